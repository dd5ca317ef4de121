"""Clocks that stand still until a test moves them."""

from datetime import UTC, datetime
from pathlib import Path

from bus.clock import ANCHOR_FILE, Anchor, Clock, HouseClock, write_anchor
from bus.messages import ClockQuality

NOON_MS = int(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()) * 1000


class FakeTime:
    """Wall time in ms and monotonic seconds, moved together."""

    def __init__(self, wall_ms: int = NOON_MS) -> None:
        self.wall_ms = wall_ms
        self.monotonic_s = 1000.0
        self.quality: ClockQuality = "ok"
        self.clock = Clock(lambda: self.wall_ms, lambda: self.monotonic_s, lambda: self.quality)

    def pass_(self, seconds: float) -> float:
        """Let time pass; returns the new monotonic second."""
        self.wall_ms += round(seconds * 1000)
        self.monotonic_s += seconds
        return self.monotonic_s


class Machine:
    """A machine whose raw clock, boots and synchronisation a test moves."""

    def __init__(self, folder: Path, raw: int = NOON_MS, *, trusted: bool = False) -> None:
        self.anchor = folder / ANCHOR_FILE
        self.trusted = trusted
        self.raw = raw
        self.boottime = 20.0
        self.boot = 1
        self.synced = False

    def process(self) -> HouseClock:
        """A process starts."""
        return HouseClock(
            raw_wall=lambda: self.raw,
            boottime=lambda: self.boottime,
            synchronised=lambda: self.synced,
            boot_id=f"boot{self.boot}",
            trusted=self.trusted,
            anchor=self.anchor,
        )

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.raw += round(seconds * 1000)
        self.boottime += seconds

    def reboot(self, raw: int) -> None:
        """The machine starts again and believes it is `raw`."""
        self.raw, self.boottime, self.synced = raw, 5.0, False
        self.boot += 1

    def store(self, ts: int, **others: object) -> None:
        """The statistician writes the newest time it has stored, now."""
        known = {"boot_id": f"boot{self.boot}", "boottime": self.boottime, "synchronised": self.synced}
        write_anchor(self.anchor, Anchor(ts=ts, **(known | others)))  # type: ignore[arg-type]  # a test's own words
