"""Readings without a time that came while our own clock was unset: they wait until it is set."""

from collections import deque
from typing import NamedTuple

# A stranger that never stops must not fill memory: the oldest give way.
MOST = 1000


class Undated(NamedTuple):
    """A reading's device and payload, and the monotonic second in which it came."""

    device: str
    payload: bytes
    came: float


class WaitingRoom:
    """Keeps undated readings."""

    def __init__(self) -> None:
        self._waiting: deque[Undated] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, reading: Undated) -> bool:
        """Let one wait; True if the oldest had to give way."""
        full = len(self._waiting) >= MOST
        if full:
            self._waiting.popleft()
        self._waiting.append(reading)
        return full

    def leave(self, wall: int, monotonic: float) -> list[tuple[Undated, int]]:
        """All that wait and when they came (ms), now that the clock is set; the room is empty then."""
        gone = [(one, wall - round((monotonic - one.came) * 1000)) for one in self._waiting]
        self._waiting.clear()
        return gone
