"""The statistician's time: the machine's clock, but a step of it counts only once it has lasted.

The time since the machine's start is steady; the wall clock is an offset to it, which may be set.
"""

from dataclasses import dataclass

from bus.clock import Anchor, Clock
from bus.messages import ClockQuality
from statistician.entity_clock import PROBATION_S

# Slewing and the time between two reads stay below this, ms.
_STEP = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """The clock went forward by `by` ms (back if negative).

    `synchronised` says that it was not synchronised before: all that it dated since the machine started
    was wrong by as much. Where it became so without a step, `by` is 0.
    """

    by: int
    synchronised: bool


class HouseTime:
    """Reads the clock; `wall` follows a step only after `poll` has told it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._measured()
        self._quality = clock.quality()
        # A step on probation: its offset, and the monotonic second from which it counts.
        self._new_offset: int | None = None
        self._accept_at = 0.0

    def _measured(self) -> int:
        return self._clock.offset()

    def anchor(self) -> Anchor | None:
        """What no later boot may be behind."""
        return self._clock.anchor()

    @property
    def offset(self) -> int:
        """Wall clock less the time since the machine's start, ms."""
        return self._offset

    def wall(self) -> int:
        """Milliseconds since 1970 UTC."""
        wall = self._clock.wall()
        expected = self._offset + round(self._clock.monotonic() * 1000)
        if abs(wall - expected) <= _STEP or _trust(self._clock.quality()) > _trust(self._quality):
            return wall
        return expected

    def steady(self) -> Clock:
        """A clock that reads this time."""
        return Clock(self.wall, self._clock.monotonic, self._clock.quality, boot=self._clock.boot)

    def poll(self, *, accept: bool = False) -> Step | None:
        """Look at the clock; a step that counts from now on. With `accept` none is put on probation."""
        self._clock.poll()
        measured, quality = self._measured(), self._clock.quality()
        was, self._quality = self._quality, quality
        by = measured - self._offset
        synchronised = was != "ok"
        if abs(by) <= _STEP:
            # Slewed, or back again.
            self._offset = measured
            self._new_offset = None
            return Step(0, synchronised=True) if synchronised and quality == "ok" else None
        if not synchronised and quality == "ok" and not accept and not self._lasted(measured):
            return None
        self._offset = measured
        self._new_offset = None
        return Step(by, synchronised=synchronised)

    def _lasted(self, measured: int) -> bool:
        now = self._clock.monotonic()
        if self._new_offset is None or abs(measured - self._new_offset) > _STEP:
            self._new_offset = measured
            self._accept_at = now + PROBATION_S
        return now >= self._accept_at


def _trust(quality: ClockQuality) -> int:
    return ("unset", "estimated", "ok").index(quality)
