"""Time as a value that is passed in: the clock that all processes of the house agree on.

Time inside a boot is CLOCK_BOOTTIME; wall time is what is known of its offset. The kernel slews both
together, so the offset moves only when the clock is set.

The newest stored time (the anchor) stands in a small file that all processes read and the statistician
writes. A stamp keeps the offset (wall time minus CLOCK_BOOTTIME, ms) that a reading's time was made with, so
the right time is the old one plus the difference of the offsets. It is kept beside the reading and changes
with it: however often that is asked for, and whoever died in between, no time moves twice.
"""

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from bus import state_files
from bus.messages import ClockQuality, decode_reading, encode_reading
from config.model import Settings


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
    """Date a reading and its stamp by the clock as it is now; both stay where that says nothing new.

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


ANCHOR_FILE = "house-clock.json"
# How often a changed file is looked for, seconds.
_LOOK_EVERY_S = 1.0
_LARGEST_MS = 2**48
_LONGEST_ID = 64
_CURE = "let all processes read it; the statistician writes it again once the clock is right"


class Anchor(msgspec.Struct, frozen=True):
    """The newest time that was stored: no later boot is behind it.

    `ts` is in ms since 1970 UTC, `boottime` its CLOCK_BOOTTIME in s in the boot `boot_id`; `synchronised`
    says that the clock was synchronised in that boot.
    """

    ts: int
    boot_id: str
    boottime: float
    synchronised: bool


def read_anchor(path: Path) -> Anchor | None:
    """Read the anchor; None if there is none, or if it cannot be read or be true, which is logged."""
    anchor = state_files.read(path, Anchor)
    if anchor is None:
        return None
    good = 0 <= anchor.ts < _LARGEST_MS and 0 <= anchor.boottime < _LARGEST_MS
    return anchor if good and len(anchor.boot_id) <= _LONGEST_ID else None


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Replace the anchor, safe against a power cut. Raises OSError; then the old one stands as it was."""
    state_files.write(path, msgspec.json.encode(anchor), mode=0o644)


class AnchorFile:
    """The anchor as it is now; the file is looked at once a second at most, and read when it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._anchor: Anchor | None = None
        self._looked = -math.inf
        self._seen: tuple[int, int] | None = None
        self.problem: str | None = None

    def read(self, now: float) -> Anchor | None:
        """Look up the newest anchor at monotonic second `now`; `problem` says what is wrong with the file."""
        if now - self._looked < _LOOK_EVERY_S:
            return self._anchor
        self._looked = now
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._anchor, self._seen, self.problem = None, None, None
            return None
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error}; let all processes read its folder"
            return self._anchor
        # Also when its rights change.
        seen = found.st_ctime_ns, found.st_ino
        if seen != self._seen:
            self._seen = seen
            self._anchor = read_anchor(self._path)
            damaged = f"{self._path} cannot be read or is damaged: {_CURE}"
            self.problem = damaged if self._anchor is None else None
        return self._anchor


# No reading can be older than the software that took it.
BUILD_DATE_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1000
# A smaller difference between two looks at the clock is no step.
STEP_MS = 1000
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LIBC = ctypes.CDLL(None, use_errno=True)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
# Two readings that this process was interrupted between say nothing of the offset.
_APART_S = 0.001
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """The clock moved against CLOCK_BOOTTIME by `by` ms (positive: forward), seen at boottime second `at`.

    `was` is the quality before, `now` after.
    """

    by: int
    at: float
    was: ClockQuality
    now: ClockQuality


_SYNCHRONISED = "synchronised"
_ESTIMATED = "estimated since the start, from the machine's own clock, until it is synchronised"
_FROM_ANCHOR = "estimated since the start, from the newest stored time, until the clock is synchronised"
_UNSET = "not set: the time is not known until the clock is synchronised"
_SAYS: dict[ClockQuality, str] = {"ok": _SYNCHRONISED, "estimated": _ESTIMATED, "unset": _UNSET}


class Clock:
    """Where a process gets its time; this one never steps.

    `wall()` is in ms since 1970 UTC, `monotonic()` in s since the machine's start that `boot` names, suspend
    included; `quality()` says how far `wall` may be trusted.
    """

    def __init__(
        self,
        wall: Callable[[], int],
        monotonic: Callable[[], float],
        quality: Callable[[], ClockQuality],
        boot: str = "",
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.quality = quality
        self.boot = boot

    def offset(self) -> int:
        """Tell how far `wall` is ahead of `monotonic`, ms."""
        return self.wall() - round(self.monotonic() * 1000)

    def now(self) -> Now:
        """Look at offset, time and quality together, to date a reading by."""
        return Now(self.offset(), self.wall(), self.quality())

    def poll(self) -> Step | None:
        """Look at the machine's clock; the step if it moved by more than a second.

        Call it once a second, from one place in a process, or another misses the step.
        """
        return None

    def told(self) -> str:
        """Say in a sentence where the time comes from."""
        return _SAYS[self.quality()]

    def anchor(self) -> Anchor | None:
        """Return what the statistician writes: no later boot is behind it. None while it is not set."""
        return None

    def problem(self) -> str | None:
        """Say what a person should put right, None if nothing."""
        return None


class HouseClock(Clock):
    """One time in all processes: the machine's once that is right, till then never behind what is stored.

    It moves at `poll` alone, so that what was stamped between two of them has one offset, and one quality.
    `raw_wall` is CLOCK_REALTIME in ms, `boottime` CLOCK_BOOTTIME in s, `boot_id` empty where it is not known;
    `trusted` says that the machine has a real-time clock.
    """

    def __init__(
        self,
        *,
        raw_wall: Callable[[], int],
        boottime: Callable[[], float],
        synchronised: Callable[[], bool],
        boot_id: str,
        trusted: bool,
        anchor: Path,
    ) -> None:
        def wall() -> int:
            return round(boottime() * 1000) + (self._offset or 0)

        super().__init__(wall, boottime, lambda: self._quality, boot_id)
        self._raw_wall = raw_wall
        self._is_synchronised = synchronised
        self._trusted = trusted
        self._file = AnchorFile(anchor)
        # In this boot, by us or by the one who wrote the anchor.
        self._synchronised = False
        self._offset: int | None = None
        self._quality: ClockQuality = "unset"
        self._from_anchor = False
        self._look(boottime())

    def offset(self) -> int:
        """Tell how far `wall` is ahead of `monotonic`, ms."""
        return self._offset or 0

    def now(self) -> Now:
        """Look at offset, time and quality together, to date a reading by."""
        offset = self._offset or 0
        return Now(offset, round(self.monotonic() * 1000) + offset, self._quality)

    def anchor(self) -> Anchor | None:
        """Return what the statistician writes: no later boot is behind it. None while it is not set."""
        if self._quality == "unset":
            return None
        now = self.monotonic()
        return Anchor(round(now * 1000) + self.offset(), self.boot, now, self._synchronised)

    def poll(self) -> Step | None:
        """Look at the machine's clock; the step if it moved by more than a second."""
        was, before, at = self._quality, self._offset or 0, self.monotonic()
        self._look(at)
        by = (self._offset or 0) - before
        return Step(by, at, was, self._quality) if abs(by) > STEP_MS else None

    def told(self) -> str:
        """Say in a sentence where the time comes from."""
        if self._quality == "ok":
            return _SYNCHRONISED if self._synchronised else "kept by the real-time clock of the machine"
        return _FROM_ANCHOR if self._quality == "estimated" and self._from_anchor else _SAYS[self._quality]

    def problem(self) -> str | None:
        """Say what a person should put right, None if nothing."""
        if self._trusted and self._quality == "estimated":
            return (
                "the real-time clock is behind the newest stored time, so it is not believed: set it, or let "
                "the machine get the time from the network"
            )
        # Once it is right the file is read no more, and the statistician writes it again.
        return None if self._quality == "ok" else self._file.problem

    def _look(self, now: float) -> None:
        ms, raw = round(now * 1000), self._raw_offset()
        is_set = raw + ms >= BUILD_DATE_MS
        anchor = None if is_set and self._synchronised else self._file.read(now)
        same_boot = anchor is not None and anchor.boot_id == self.boot != "" and anchor.boottime <= now
        if is_set and not self._synchronised:
            said = same_boot and anchor is not None and anchor.synchronised
            self._synchronised = self._is_synchronised() or said
        if is_set and self._synchronised:
            self._from_anchor = False
            offset = raw
            self._quality = "ok"
        else:
            # This boot did not begin before the newest stored time.
            floor = raw
            if anchor is not None:
                floor = anchor.ts - (round(anchor.boottime * 1000) if same_boot else 0)
            self._from_anchor = floor > raw
            offset = max(raw, floor)
            right = self._trusted and offset - raw <= STEP_MS
            self._quality = "unset" if offset + ms < BUILD_DATE_MS else "ok" if right else "estimated"
        # Both are rounded to ms: without this the time would go back by one now and then.
        if self._offset is None or abs(offset - self._offset) > 1:
            self._offset = offset

    def _raw_offset(self) -> int:
        apart, offset = float("inf"), 0
        for _ in range(_TRIES):
            before, wall, after = self.monotonic(), self._raw_wall(), self.monotonic()
            if after - before < apart:
                apart, offset = after - before, wall - round((before + after) * 500)
            if apart < _APART_S:
                break
        return offset


def system_clock(*, trusted: bool, state: Path) -> Clock:
    """Make the house clock of this machine; `state` is the folder of the newest stored time."""
    return HouseClock(
        raw_wall=lambda: time.time_ns() // 1_000_000,
        # Suspend counts as time that passed; macOS has no BOOTTIME.
        boottime=partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)),
        synchronised=synchronised,
        boot_id=boot_id(),
        trusted=trusted,
        anchor=state / ANCHOR_FILE,
    )


def house_clock(settings: Settings) -> Clock:
    """Make the house clock as boondock.toml has it."""
    return system_clock(trusted=settings.clock.trusted, state=anchor_path(settings).parent)


def anchor_path(settings: Settings) -> Path:
    """Name the file of the newest stored time, which all processes read and the statistician writes."""
    return Path(settings.clock.folder or settings.storage.state) / ANCHOR_FILE


def boot_id() -> str:
    """Name this boot of the machine; empty where it is not known."""
    # A unit that sees nothing of /proc/sys is told by systemd.
    told = os.environ.get("BOOT_ID")
    if told is None and _BOOT_ID.exists():
        told = _BOOT_ID.read_text()
    return (told or "").strip().replace("-", "")


def synchronised() -> bool:
    """Whether timesyncd or the kernel's NTP discipline (adjtimex(2)) says the clock is set."""
    if sys.platform != "linux" or _TIMESYNCD.exists():
        return True
    # struct timex begins with modes=0 (read only) and is 208 bytes on 64-bit Linux; more is harmless.
    buffer = ctypes.create_string_buffer(512)
    state: int = _LIBC.adjtimex(buffer)
    return 0 <= state < _TIME_ERROR
