"""Energy from power: what the statistician derives from any device, and a collector from its own. Pure."""

from typing import Literal

# Sums of what is larger might grow infinite, in whatever unit, and one such number would spoil all after it.
LARGEST = 1e100

# A longer silence adds nothing unless the owner says otherwise, ms.
MAX_GAP = 300_000

Sign = Literal["positive", "negative", "both"]

_MS_PER_HOUR = 3_600_000
# No van has a terawatt; and beside what it makes of energy, nothing smaller would count.
MOST_WATTS = 1e12


class Integral:
    """The energy of one power entity, fed in order of time.

    `sign` says which watts count: those above zero, those below (as energy that grows), or all, so that
    discharging takes away. A silence longer than `max_gap` ms adds nothing. Power beyond
    MOST_WATTS is unknown.
    """

    def __init__(self, *, max_gap: int, sign: Sign) -> None:
        self.energy = 0.0
        # When it was fed last; None before that.
        self.ts: int | None = None
        self.ignored = 0
        self._max_gap = max_gap
        self._sign: Sign = sign
        self._watts: float | None = None
        # Whether a value of it was kept, be it 0.
        self._begun = False

    def resume(self, energy: float, ts: int, watts: float | None) -> None:
        """Go on from the energy kept last, at `ts`, and the power in force then; from 0 if it cannot be."""
        self.energy = energy if abs(energy) <= LARGEST else 0.0
        self.ts = ts
        self._begun = True
        self._watts = self._counting(watts)

    def running_at(self, now: int) -> bool:
        """Say whether the power is known, and not for too long from the same reading."""
        return self._watts is not None and self.ts is not None and now - self.ts <= self._max_gap

    def feed(self, ts: int, watts: float | None) -> bool:
        """Take the power from `ts` on, None if unknown; older than the last is ignored and counted.

        True if the energy at `ts` must be kept: it begins, it moved, or from `ts` on it moves. The newest
        kept energy and the power in force then are all that is needed to go on after a restart.
        """
        before = self.energy
        if self.ts is not None:
            if ts < self.ts:
                self.ignored += 1
                return False
            if self._watts is not None and ts - self.ts <= self._max_gap:
                self.energy += self._watts * (ts - self.ts) / _MS_PER_HOUR
        self.ts = ts
        self._watts = self._counting(watts)
        begins = not self._begun and self._watts is not None
        self._begun |= begins
        return begins or self.energy != before or bool(self._watts)

    def _counting(self, watts: float | None) -> float | None:
        if watts is None or not -MOST_WATTS <= watts <= MOST_WATTS:
            return None
        if self._sign == "both":
            return watts
        return max(0.0, watts if self._sign == "positive" else -watts)
