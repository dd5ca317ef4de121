"""The statistician's time: the machine's clock, but a step of it counts only once it has lasted.

The time since the machine's start is steady; the wall clock is an offset to it, which may be set.
"""

from dataclasses import dataclass
from pathlib import Path

from bus.clock import Anchor, Clock, write_anchor
from bus.health import Journal
from bus.messages import ClockQuality
from statistician.clock.entity_clock import PROBATION_S

# Slewing and the time between two reads stay below this, ms.
_STEP = 1_000
_KEEP_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class ClockStep:
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
        """Return what no later boot may be behind."""
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
        """Return a clock that reads this time."""
        return Clock(self.wall, self._clock.monotonic, self._clock.quality, boot=self._clock.boot)

    def poll(self, *, accept: bool = False) -> ClockStep | None:
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
            return ClockStep(0, synchronised=True) if synchronised and quality == "ok" else None
        if not synchronised and quality == "ok" and not accept and not self._lasted(measured):
            return None
        self._offset = measured
        self._new_offset = None
        return ClockStep(by, synchronised=synchronised)

    def _lasted(self, measured: int) -> bool:
        now = self._clock.monotonic()
        if self._new_offset is None or abs(measured - self._new_offset) > _STEP:
            self._new_offset = measured
            self._accept_at = now + PROBATION_S
        return now >= self._accept_at


class KeptTime:
    """Writes the time into the file `path` for the next boot: no later one may be behind what is stored."""

    def __init__(self, time: HouseTime, path: Path | None, journal: Journal) -> None:
        self._time = time
        self._clock = time.steady()
        self._path = path
        self._journal = journal
        # Monotonic seconds.
        self._next_at = float("-inf")

    def look(self, *, at_once: bool) -> None:
        """Write the time every five minutes, or now."""
        if self._path is None or not (at_once or self._clock.monotonic() >= self._next_at):
            return
        self._next_at = self._clock.monotonic() + _KEEP_EVERY_S
        found = self._time.anchor()
        if found is not None:
            self._write(self._path, found)

    def not_behind(self, newest: int) -> None:
        """Let all processes go on from the `newest` stored time (ms) if the clock may be behind it."""
        if self._path is not None and self._clock.quality() == "estimated" and newest > self._clock.wall():
            here = Anchor(newest, self._clock.boot, self._clock.monotonic(), synchronised=False)
            self._write(self._path, here)

    def _write(self, path: Path, found: Anchor) -> None:
        try:
            write_anchor(path, found)
        except OSError as error:
            text = (
                f"the time cannot be kept for the next start: {error}; look at the folder's rights and room"
            )
            self._journal.problem("house_clock", text, self._clock.wall())
        else:
            self._journal.solved("house_clock")


def _trust(quality: ClockQuality) -> int:
    return ("unset", "estimated", "ok").index(quality)
