"""When something is due: each so many seconds, or at the times of a crontab line.

Pure: time is an argument, and so is chance. apscheduler's scheduler is not used here, only its crontab
triggers: it is loaded only where there is such a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger


class BadCronError(ValueError):
    """The text is no crontab line, or names no time that ever comes."""


@dataclass(slots=True)
class Every:
    """Due each `seconds` on a grid that a late poll does not shift, plus up to `jitter` seconds of chance."""

    seconds: float
    jitter: float
    chance: Callable[[], float]
    _grid: float | None = None
    _next: float = float("-inf")

    def due(self, now: float, _wall_ms: int) -> bool:
        """Whether it is time; a True counts as taken."""
        if self._grid is not None and now < self._next:
            return False
        self._grid = now if self._grid is None else self._grid
        missed = int((now - self._grid) // self.seconds)
        self._grid += (missed + 1) * self.seconds
        self._next = self._grid + self.jitter * self.chance()
        return True

    def wait(self, now: float, _wall_ms: int) -> float:
        """Seconds until it is time."""
        return max(0.0, self._next - now)


@dataclass(slots=True)
class Cron:
    """Due at the times of a crontab line in the machine's time zone, and once at the start."""

    trigger: "CronTrigger"
    jitter: float
    chance: Callable[[], float]
    _next_ms: float = float("-inf")
    _seen_ms: int = 0

    def due(self, _now: float, wall_ms: int) -> bool:
        """Whether it is time; a True counts as taken."""
        back = wall_ms < self._seen_ms
        self._seen_ms = wall_ms
        if back:
            # The clock was set back: what was planned lies too far ahead.
            self._plan(wall_ms)
        if wall_ms < self._next_ms:
            return False
        self._plan(wall_ms)
        return True

    def wait(self, _now: float, wall_ms: int) -> float:
        """Seconds until it is time."""
        return max(0.0, (self._next_ms - wall_ms) / 1000)

    def _plan(self, wall_ms: int) -> None:
        # One millisecond on, or a time that is just now would come again.
        after = datetime.fromtimestamp((wall_ms + 1) / 1000, UTC)
        fire = self.trigger.get_next_fire_time(None, after)
        self._next_ms = (fire.timestamp() + self.jitter * self.chance()) * 1000 if fire else float("inf")


Timer = Every | Cron


def check_cron(text: str) -> None:
    """Raise BadCronError saying what is wrong with a crontab line."""
    if cron_trigger(text).get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)) is None:
        raise BadCronError(f"{text!r} names a time that never comes")


def cron_trigger(text: str) -> "CronTrigger":
    """Read a crontab line, in the machine's time zone. Raises BadCronError."""
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 — only where there is a crontab line

    try:
        return CronTrigger.from_crontab(text)
    except ValueError as error:
        raise BadCronError(f"{text!r} is no crontab line: {error}") from error


def instants(interval: float | None, cron: str | None) -> Callable[[int], int | None]:
    """Make what returns the first time of `cron`, or of a grid of `interval` seconds, after a time; all ms.

    None: there is none. Raises BadCronError.
    """
    if cron is None:
        step = max(1, round((interval or 1.0) * 1000))
        return lambda after: (after // step + 1) * step
    trigger = cron_trigger(cron)

    def following(after: int) -> int | None:
        fire = trigger.get_next_fire_time(None, datetime.fromtimestamp((after + 1) / 1000, UTC))
        return None if fire is None else round(fire.timestamp() * 1000)

    return following
