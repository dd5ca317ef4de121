"""When readings count: the clocks of the house and of devices. Here: the clock of one entity; times are ms.

Readings come in their true order. A time that falls, or lies ahead of the house's, is a clock that was set
wrong or right. Then the time that passed since the reading before counts. A time that stays behind the
house's is a clock that is slow, while what a broker had kept comes faster than the time passes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# Clocks of a house agree within this.
TOLERANCE = 60_000
# A synchronised clock that jumps for less long was wrong meanwhile, seconds; then the next look tells.
PROBATION_S = 600.0
_LOOK_S = 60.0
FIRST_STEP = 30_000
_LONGER = 4
# So long a clock has been as far behind, seconds, when it is slow; what its distance may change meanwhile.
_SLOW_S = 30.0
_FOR_EVER = 2**62
_SHARE = 0.2


def usual_step(step: int, passed: int) -> int:
    """Return the usual time between readings, ms, after one more: one long silence makes no slow device."""
    return passed if passed < _LONGER * step else 2 * step


class Move(NamedTuple):
    """States and repeats with since <= ts <= until are to be dated `by` later (earlier if negative).

    Not those at the times to `keep`: another clock has dated them.
    """

    since: int
    until: int
    by: int
    keep: tuple[int, ...] = ()


class _Behind(NamedTuple):
    """How far a clock was `behind` at monotonic second `came`; `last` is when it was so last.

    `since` is the first time it said then; None where that is not known.
    """

    behind: int
    came: float
    last: float | None
    since: int | None

    def agrees(self, behind: int, came: float) -> bool:
        """Say whether it is as far behind now."""
        return abs(behind - self.behind) <= min(TOLERANCE, _SHARE * 1000 * (came - self.came))


class EntityClock:
    """What an entity's clock said and when that was; `at` is when the newest reading counts (-1: none yet).

    `shift` is what is added to its clock: 0 while it is believed. `since` is when the first reading counts of
    those that are shifted. One that is `ours` is that of the house: what it says long after is backlog.
    """

    __slots__ = (
        *("_back", "_behind", "_behind_by", "_came", "_raw", "_right", "_slow", "_step", "_until"),
        *("at", "shift", "since"),
    )

    def __init__(self, at: int, shift: int = 0, *, ours: bool = False) -> None:
        self.at, self.shift = at, shift
        self._behind_by = _FOR_EVER if ours else TOLERANCE
        self._raw = at - shift
        self.since = 0
        self._came: float | None = None
        self._step = FIRST_STEP
        self._behind: _Behind | None = None
        # How slow it was before it was ahead, ms.
        self._slow = 0
        # So far behind the house's it is right, ms, since that one is ahead; since when readings went back
        # for it, and until what monotonic second it is believed.
        self._right = self._back = 0
        self._until = 0.0

    def believes(self, raw: int, now: int, came: float) -> bool:
        """Take the time `raw` of a reading that came at monotonic second `came`; False if it cannot be right.

        Nearly every time can; for one that cannot, ask `fall` or `reckon`.
        """
        odd = self.shift or self._right
        if odd or not self.at <= raw <= now + TOLERANCE or raw < now - self._behind_by:
            return False
        if raw > self.at >= 0:
            self._step = usual_step(self._step, raw - self.at)
        self._raw = self.at = raw
        self._came = came
        return True

    def fall(self, raw: int, now: int) -> int:
        """Say how far its clock fell just now, ms; 0: no more than clocks differ, or it is ahead or slow."""
        if raw > now + TOLERANCE or self.shift > 0:
            return 0
        if self.shift and self._slow and abs(now - raw - self._slow) <= TOLERANCE:
            # Slow as before it was ahead.
            return 0
        fall = self.at - raw
        return fall if fall > TOLERANCE else 0

    def ahead(self, fall: int, gap: int) -> Move:
        """Move back the readings since a forward step of `gap` ms that a fall has undone."""
        return Move(0, self.at, -min(fall + self._step, gap - 1))

    def set_right(self, raw: int, now: int, came: float, move: Move) -> None:
        """Take a time as right again, though the house's may be as far ahead still, after a move back."""
        behind = now - raw
        # Else it comes late: the broker or an outbox has kept it.
        self._right = behind if abs(behind + move.by) <= 2 * TOLERANCE else 0
        self._back, self._until = move.since + move.by, came + PROBATION_S + _LOOK_S
        self._believe(raw, came)

    @property
    def went_back(self) -> Move | None:
        """The move back after which it is right and the house's is ahead, by the times since."""
        return Move(self._back, self.at, -self._right) if self._right > TOLERANCE else None

    def rejoin(self, raw: int, now: int, came: float) -> Move | None:
        """Undo the move back if it goes with the house's time again, or anywhere else, or that one stays."""
        right, self._right = self._right, 0
        if right <= TOLERANCE:
            return None
        goes_on = self.at <= raw and abs(now - raw - right) <= TOLERANCE
        if goes_on and came < self._until:
            self._right = right
            return None
        move = Move(self._back, self.at, right)
        self.at += right
        if goes_on:
            # The house's clock was right, so it is slow.
            self.shift = right
        return move

    def _believe(self, raw: int, came: float) -> None:
        self.at = self._raw = raw
        self.shift = self._slow = 0
        self._came = came

    def reckon(self, raw: int, now: int, came: float) -> Move | None:
        """Set `at` by the time that has passed; the move that is due where its clock is right again."""
        passed = self._passed(raw, came)
        if raw > now + TOLERANCE:
            # After a start nobody knows what has passed: its arrival counts.
            known = self.shift or self._came is not None
            at = now if self.at < 0 or not known else min(now, self.at + passed)
        elif raw >= self.at and not self._still_slow(raw, now, came):
            if self.shift == 0 and abs(now - raw - self._right) > self._behind_by:
                return self._lag(raw, now, came)
            self._believe(raw, came)
            return None
        elif self.at - raw <= TOLERANCE and self.shift == 0:
            # Too little to move what stands: it waits until its clock is past the last reading.
            self.at += 1
            self._came = came
            return None
        else:
            at = min(max(now, self.at), self.at + passed)
        at = max(at, self.at + 1)
        if (self.shift > 0) != (at > raw) or self.shift == 0:
            self.since = at
        if self.shift > 0:
            self._slow = self.shift
        self.shift = at - raw
        self.at, self._raw, self._came = at, raw, came
        return None

    def _still_slow(self, raw: int, now: int, came: float) -> bool:
        """Say whether its clock is wrong on, after a silence longer than it is behind."""
        if self.shift <= 0:
            return False
        if self._came is None:
            return raw + self.shift <= now + TOLERANCE
        said, measured = raw - self._raw, (came - self._came) * 1000
        return abs(said - measured) <= max(TOLERANCE, _SHARE * said)

    def expect(self, behind: int) -> None:
        """Take its clock as slow as soon as it says a time so far `behind` the house's, ms."""
        self._behind = _Behind(behind, float("-inf"), self._came, None)

    def _lag(self, raw: int, now: int, came: float) -> Move | None:
        """Believe a time that is behind, until the clock is known to be slow: then its arrival counts."""
        lag, before = now - raw, self._behind
        if before is None or before.last != self._came or not before.agrees(lag, came):
            before = _Behind(lag, came, came, raw)
        self._behind = before._replace(last=came)
        if came - before.came < _SLOW_S:
            self._believe(raw, came)
            return None
        move = None if before.since is None else Move(before.since, self.at, lag)
        self._raw, self._came = raw, came
        self.at, self.shift = now, lag
        self.since = now if before.since is None else before.since + lag
        return move

    def _passed(self, raw: int, came: float) -> int:
        measured = 0 if self._came is None else round((came - self._came) * 1000)
        said = raw - self._raw if self.shift and raw > self._raw else 0
        return max(measured, said or self._step)

    def moved(self, by: int) -> None:
        """Go on from the newest reading, which counts `by` ms later than before."""
        if self.at >= 0:
            self.at += by

    def stepped(self, by: int) -> None:
        """Take notice that the house's clock went forward by `by` ms: that may be what was wrong."""
        self._right = self._slow = 0
        if self.shift and abs(self.shift + by) > TOLERANCE:
            self.shift += by
        else:
            self.shift = 0
            self._raw = self.at

    def left_behind(self, by: int, now: int) -> None:
        """Take notice that the house's clock went forward by `by` ms, to `now`, without it."""
        self.at = now
        self.shift += by


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
    """Say when each counts, in order: those of this boot by the clock's `offset` to the time since its start.

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
        """Return the time of an estimated reading that came at `now`; a step since it was stamped counts."""
        if monotonic <= self._until and abs(ts + self._by - now) <= _FRESH_MS < abs(ts - now):
            return ts + self._by
        return ts


class Arrivals:
    """Dates readings by their arrival; of those of a device that came in one millisecond each has its own."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def date(self, device: str, came: int) -> int:
        """Say when a reading that came at `came` (ms) counts: the next free millisecond of its device."""
        last = self._last.get(device)
        if last is not None and came <= last < came + _AHEAD_MS:
            came = last + 1
        elif last is None and len(self._last) >= _DEVICES_REMEMBERED:
            self._last.clear()
        self._last[device] = came
        return came
