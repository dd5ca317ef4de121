"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime

from bus.clock import Clock
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
