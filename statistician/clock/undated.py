"""When readings count that came while nobody knew the time, or without one of their own; times are ms."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# What the broker held for us comes faster than the clock ticks: so far ahead of it may a reading be dated.
_AHEAD_MS = 10_000
_DEVICES_REMEMBERED = 4_096
# So long after a step readings come that were stamped before it, and so fresh they are.
_ON_THEIR_WAY_S = 30.0
_FRESH_MS = 5_000


class Undated(NamedTuple):
    """A reading that waits for the time: when it was measured, since the start `boot` of the machine."""

    boot: str
    since_boot: int
    device: str
    payload: bytes


def dated(waiting: Iterable[Undated], boot: str, offset: int) -> Iterator[tuple[int, Undated]]:
    """When each counts, in order: those of this boot by the clock's `offset` to the time since its start.

    Those of an earlier one keep their distances and end before the next began.
    """
    boots: dict[str, list[Undated]] = {}
    for one in waiting:
        boots.setdefault(one.boot, []).append(one)
    offsets = {boot: offset}
    begun = offset
    for name in reversed([name for name in boots if name != boot]):
        offsets[name] = begun - 1 - max(one.since_boot for one in boots[name])
        begun = offsets[name]
    for name in sorted(boots, key=offsets.__getitem__):
        for one in boots[name]:
            yield one.since_boot + offsets[name], one


class Stepped:
    """A reading may be on its way when the clock is set right: it comes with the time of the wrong one."""

    def __init__(self) -> None:
        self._by = 0
        self._until = float("-inf")

    def note(self, by: int, monotonic: float) -> None:
        """Take notice that the clock went forward by `by` ms at a monotonic second."""
        self._by, self._until = by, monotonic + _ON_THEIR_WAY_S

    def put_right(self, ts: int, now: int, monotonic: float) -> int:
        """The time of an estimated reading that came at `now`, after the step if it was stamped before it."""
        if monotonic <= self._until and abs(ts + self._by - now) <= _FRESH_MS < abs(ts - now):
            return ts + self._by
        return ts


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
