"""When a device is asked: every so many seconds, or as a crontab line says. The only file with apscheduler.

Pure: time is an argument, and so is chance. apscheduler's scheduler is not used, only its crontab triggers:
it is loaded only for devices that have one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from config.model import Device

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_FIRES = 16
_DAY_S = 86_400.0
# A month: a device whose line names one day in four years must be missed before that.
_LONGEST_S = 31 * _DAY_S


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


def timer(device: Device, every: float, chance: Callable[[], float]) -> Timer:
    """The device's own timer; `every` is its kind's, `chance` gives 0 to 1."""
    jitter = device.jitter or 0.0
    if device.cron is not None:
        return Cron(_trigger(device.cron), jitter, chance)
    return Every(device.every or every, jitter, chance)


def longest_interval(device: Device, every: float) -> float:
    """The longest pause between two polls, seconds."""
    jitter = device.jitter or 0.0
    if device.cron is None:
        return (device.every or every) + jitter
    try:
        trigger = _trigger(device.cron)
    except BadCronError:
        return _DAY_S
    return min(max(_between_fires(trigger), _across_a_week(trigger)), _LONGEST_S) + jitter


def _between_fires(trigger: "CronTrigger") -> float:
    """The longest of the first pauses, s."""
    moments = [datetime(2026, 1, 1, tzinfo=UTC)]
    for _ in range(_FIRES):
        following = trigger.get_next_fire_time(None, moments[-1] + timedelta(milliseconds=1))
        if following is None:
            break
        moments.append(following)
    return max((b - a).total_seconds() for a, b in pairwise(moments[1:])) if len(moments) > 2 else _DAY_S


def _across_a_week(trigger: "CronTrigger") -> float:
    """The longest wait from any full hour of a week, s: nights and weekends that a line leaves out."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in range(7 * 24)]
    fires = [(hour, trigger.get_next_fire_time(None, hour)) for hour in hours]
    return max(((fire - hour).total_seconds() for hour, fire in fires if fire), default=_DAY_S)


def check_cron(text: str) -> None:
    """Raise BadCronError saying what is wrong with a crontab line."""
    if _trigger(text).get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)) is None:
        raise BadCronError(f"{text!r} names a time that never comes")


def _trigger(text: str) -> "CronTrigger":
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 — only for devices with a crontab line

    try:
        return CronTrigger.from_crontab(text)
    except ValueError as error:
        raise BadCronError(f"{text!r} is no crontab line: {error}") from error
