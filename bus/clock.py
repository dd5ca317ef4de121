"""Time as a value that is passed in: the system's clock, and how far it may be trusted."""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bus.messages import ClockQuality

# No reading can be older than the software that took it.
BUILD_DATE_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1000
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_LIBC = ctypes.CDLL(None, use_errno=True)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a process gets its time: `wall()` in ms since 1970 UTC, `monotonic()` in s, `quality()`.

    `boot` names the machine's start since which `monotonic` counts.
    """

    wall: Callable[[], int]
    monotonic: Callable[[], float]
    quality: Callable[[], ClockQuality]
    boot: str = ""


def system_clock(*, trusted: bool) -> Clock:
    """The machine's clock; `trusted` says it has a real-time clock and needs no synchronisation."""

    def quality() -> ClockQuality:
        if _wall() < BUILD_DATE_MS:
            return "unset"
        return "ok" if trusted or synchronised() else "estimated"

    return Clock(_wall, _monotonic, quality)


def _wall() -> int:
    return time.time_ns() // 1_000_000


def _monotonic() -> float:
    # Suspend counts as time that passed; macOS has no BOOTTIME.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def synchronised() -> bool:
    """Whether timesyncd or the kernel's NTP discipline (adjtimex(2)) says the clock is set."""
    if sys.platform != "linux" or _TIMESYNCD.exists():
        return True
    # struct timex begins with modes=0 (read only) and is 208 bytes on 64-bit Linux; more is harmless.
    buffer = ctypes.create_string_buffer(512)
    state: int = _LIBC.adjtimex(buffer)
    return 0 <= state < _TIME_ERROR
