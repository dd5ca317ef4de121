"""When a reading counts whose own time cannot be right; one for each entity, times are ms.

Readings come in their true order. A time that falls, or lies ahead of the house's, is a clock that was set
wrong or right. Then the time that passed since the reading before counts.
"""

from typing import NamedTuple

# Clocks of a house agree within this.
TOLERANCE = 60_000
_FIRST_STEP = 30_000
_LONGER = 4


class Move(NamedTuple):
    """States and repeats with since <= ts <= until are to be dated `by` later (earlier if negative)."""

    since: int
    until: int
    by: int


class EntityClock:
    """What an entity's clock said and when that was; `at` is when the newest reading counts (-1: none yet).

    `shift` is what is added to its clock: 0 while it is believed. `since` is when the first reading counts of
    those that are shifted.
    """

    __slots__ = ("_came", "_raw", "_step", "at", "shift", "since")

    def __init__(self, at: int) -> None:
        self.at = self._raw = at
        self.shift = self.since = 0
        self._came: float | None = None
        self._step = _FIRST_STEP

    def believes(self, raw: int, now: int, came: float) -> bool:
        """Take the time `raw` of a reading that came at monotonic second `came`; False if it cannot be right.

        Nearly every time can; for one that cannot, ask `fall` or `reckon`.
        """
        if self.shift or not self.at <= raw <= now + TOLERANCE:
            return False
        if raw > self.at >= 0:
            # One long silence does not make a slow device.
            passed = raw - self.at
            self._step = passed if passed < _LONGER * self._step else 2 * self._step
        self._raw = self.at = raw
        self._came = came
        return True

    def fall(self, raw: int, now: int) -> int:
        """How far its clock fell just now, ms; 0 if no more than clocks differ, or if it is ahead."""
        if raw > now + TOLERANCE or (self.shift > 0 and raw > self._raw):
            return 0
        fall = self.at - raw
        return fall if fall > TOLERANCE else 0

    def ahead(self, fall: int, gap: int) -> Move:
        """The readings since a forward step of `gap` ms that a fall has undone: they were dated ahead."""
        return Move(0, self.at, -min(fall + self._step, gap - 1))

    def believe(self, raw: int, came: float) -> None:
        """Take a time as right again, whatever was before."""
        self.at = self._raw = raw
        self.shift = 0
        self._came = came

    def reckon(self, raw: int, now: int, came: float) -> Move | None:
        """Set `at` by the time that has passed; the move that is due where its clock is right again."""
        passed = self._passed(raw, came)
        move = None
        if raw > now + TOLERANCE:
            # After a start nobody knows what has passed: its arrival counts.
            at = now if self.at < 0 or self._came is None else min(now, self.at + passed)
        elif raw >= self.at:
            missed = raw - self.at - passed
            if self.shift > 0 and missed > TOLERANCE:
                move = Move(self.since, self.at, missed)
            self.believe(raw, came)
            return move
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
        self.shift = at - raw
        self.at, self._raw, self._came = at, raw, came
        return move

    def _passed(self, raw: int, came: float) -> int:
        measured = 0 if self._came is None else round((came - self._came) * 1000)
        said = raw - self._raw if self.shift and raw > self._raw else 0
        return max(measured, said or self._step)

    def trust(self, by: int = 0) -> None:
        """Believe its clock from now on; the newest reading counts `by` ms later than before."""
        if self.at >= 0:
            self.at += by
        self._raw = self.at
        self.shift = 0
