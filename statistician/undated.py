"""Readings without a time: they are dated by their arrival, once our own clock is set."""

from collections import deque
from typing import NamedTuple

# A stranger that never stops must not fill memory: the oldest give way.
MOST = 1000
# What the broker held for us comes faster than the clock ticks: so far ahead of it may a reading be dated.
_AHEAD_MS = 10_000
_DEVICES_REMEMBERED = 4_096


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


class Arrivals:
    """Dates readings by their arrival; of those of a device that came in one millisecond each has its own."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def date(self, device: str, came: int) -> int:
        """When a reading that came at `came` (ms) counts: the next free millisecond of its device."""
        last = self._last.get(device)
        if last is not None and came <= last < came + _AHEAD_MS:
            came = last + 1
        elif last is None and len(self._last) >= _DEVICES_REMEMBERED:
            self._last.clear()
        self._last[device] = came
        return came
