"""Puts right the time of a reading that was stamped by a wrong clock. Pure: the clock is an argument.

A stamp keeps the offset (wall time minus CLOCK_BOOTTIME, ms) that a time was made with, so the right time
is the old one plus the difference of the offsets. It is kept beside the reading and changes with it: however
often that is asked for, and whoever died in between, no time moves twice.
"""

from dataclasses import dataclass

import msgspec

from bus.messages import ClockQuality, decode_reading, encode_reading


@dataclass(frozen=True, slots=True)
class Stamp:
    """The offset a time was made with, ms, and whether that of a clock that was right."""

    offset: int
    right: bool


@dataclass(frozen=True, slots=True)
class Now:
    """The clock at a moment: its offset and wall time in ms, and its quality."""

    offset: int
    wall: int
    quality: ClockQuality

    @property
    def stamp(self) -> Stamp:
        """What is kept beside a reading stamped now."""
        return Stamp(self.offset, self.quality == "ok")


def put_right(payload: bytes, stamp: Stamp, now: Now) -> tuple[bytes, Stamp]:
    """A reading and its stamp by the clock as it is now; both unchanged where that says nothing new.

    An estimated time follows the clock. A time of a clock that was right stays, unless it now lies ahead.
    """
    by = now.offset - stamp.offset
    if stamp.right and by >= 0:
        return payload, stamp
    reading = decode_reading(payload)
    if reading.ts is None or (stamp.right and reading.ts <= now.wall):
        return payload, stamp
    moved = Stamp(now.offset, right=stamp.right or now.quality == "ok")
    clock: ClockQuality = "unset" if now.quality == "unset" else "estimated"
    return encode_reading(msgspec.structs.replace(reading, ts=reading.ts + by, clock=clock)), moved
