"""When a device is asked, when what it says is worth a reading, and when its silence is.

Pure: time is an argument, and so is chance.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from bus.schedule import BadCronError, Cron, Every, Timer, cron_trigger
from collector.devices.description import Values
from config.model import Device

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_FIRES = 16
_DAY_S = 86_400.0
# A month: a device whose line names one day in four years must be missed before that.
_LONGEST_S = 31 * _DAY_S


def timer(device: Device, every: float, chance: Callable[[], float]) -> Timer:
    """Make the device's own timer; `every` is its kind's, `chance` gives 0 to 1."""
    jitter = device.jitter or 0.0
    if device.cron is not None:
        return Cron(cron_trigger(device.cron), jitter, chance)
    return Every(device.every or every, jitter, chance)


def longest_interval(device: Device, every: float) -> float:
    """Return the longest pause between two polls, seconds."""
    jitter = device.jitter or 0.0
    if device.cron is None:
        return (device.every or every) + jitter
    try:
        trigger = cron_trigger(device.cron)
    except BadCronError:
        return _DAY_S
    return min(max(_between_fires(trigger), _across_a_week(trigger)), _LONGEST_S) + jitter


def _between_fires(trigger: "CronTrigger") -> float:
    """Return the longest of the first pauses, s."""
    moments = [datetime(2026, 1, 1, tzinfo=UTC)]
    for _ in range(_FIRES):
        following = trigger.get_next_fire_time(None, moments[-1] + timedelta(milliseconds=1))
        if following is None:
            break
        moments.append(following)
    return max((b - a).total_seconds() for a, b in pairwise(moments[1:])) if len(moments) > 2 else _DAY_S


def _across_a_week(trigger: "CronTrigger") -> float:
    """Return the longest wait from any full hour of a week, s: nights and weekends that a line leaves out."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in range(7 * 24)]
    fires = [(hour, trigger.get_next_fire_time(None, hour)) for hour in hours]
    return max(((fire - hour).total_seconds() for hour, fire in fires if fire), default=_DAY_S)


# Values are decimal fractions in binary; a step is reached within this share of it.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds: at least `min_interval` apart, at least each `heartbeat`, offline after `timeout`."""

    min_interval: float
    heartbeat: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Report:
    """Values to publish; `last_reset` is when totals were reset (ms since 1970 UTC).

    They were measured at `ts` if the device said when, else at monotonic second `at`: the machine's clock may
    be set while they wait.
    """

    values: Values
    ts: int | None
    at: float
    last_reset: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Reporter:
    """Decides for one device; `steps` says how far each value must move (0: any change).

    A step of infinity lets a value ride along without causing a reading of its own.
    """

    cadence: Cadence
    steps: Mapping[str, float]
    started: float
    online: bool | None = None
    _newest: Report | None = None
    _heard: float | None = None
    _told: Values = field(default_factory=dict)
    _told_at: float = float("-inf")

    def offer(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> None:
        """Take what the device said at monotonic second `now`, of `ts` if it knows when."""
        self._newest = Report(values, ts, now, last_reset or {})
        self._heard = now

    def at_once(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> Report:
        """Return a reading that goes out whatever the cadence says, such as after a command."""
        self._heard = now
        self._told |= values
        self.online = True
        if self._newest is not None:
            # What waits is older than this, and would undo it.
            self._newest = Report({**self._newest.values, **values}, ts, now, self._newest.last_reset)
        return Report(values, ts, now, last_reset or {})

    def known(self, entity: str) -> float | str | None:
        """Return what the device last said of an entity; None if that is unknown."""
        newest = self._newest.values if self._newest is not None else {}
        return newest.get(entity, self._told.get(entity))

    def due(self, now: float) -> Report | None:
        """Return the reading to publish now, if any; it counts as published."""
        newest = self._newest
        if newest is None or self.wait(now) > 0:
            return None
        self._newest = None
        self._told = newest.values
        self._told_at = now
        self.online = True
        return newest

    def wait(self, now: float) -> float:
        """Return the seconds until a reading is due, if nothing comes before; infinity: none is."""
        newest = self._newest
        if newest is None:
            return math.inf
        moved = self._moved(newest.values)
        return self._told_at + (self.cadence.min_interval if moved else self._longest) - now

    @property
    def _longest(self) -> float:
        """How long a reading waits in which nothing has moved, seconds."""
        return max(self.cadence.heartbeat, self.cadence.min_interval)

    def silent(self, now: float) -> list[str] | None:
        """Return the entities that become unknown if the device has just been silent too long, else None.

        An empty list: it was never heard at all.
        """
        since = self._heard if self._heard is not None else self.started
        if self.online is False or now - since < self.cadence.timeout:
            return None
        return self.gone()

    def gone(self) -> list[str]:
        """Note that it is not there any more; return the entities that become unknown by that."""
        self.online = False
        self._newest = None
        known = [entity for entity, value in self._told.items() if value is not None]
        self._told = {}
        self._told_at = float("-inf")
        return known

    def _moved(self, values: Values) -> bool:
        for entity, value in values.items():
            if entity not in self._told:
                return True
            old, step = self._told[entity], self.steps.get(entity, 0.0)
            if isinstance(value, str) or isinstance(old, str) or value is None or old is None or not step:
                if value != old:
                    return True
            elif abs(value - old) >= step * (1 - _SLACK):
                return True
        return False


@dataclass(slots=True)
class Coalescer(Reporter):
    """Decides for a device that says its values piece by piece: each is judged by itself.

    What one message leaves out is neither news nor unknown. What waits for `min_interval`
    goes out in one reading, dated by its newest; nothing waits longer.
    """

    _told_when: dict[str, float] = field(default_factory=dict)

    def offer(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> None:
        """Take those of its values that the device said at `now`, or at `ts`."""
        self._heard = now
        waits = self._newest
        if waits is None and not self._worth(values, now):
            return
        before, resets = (waits.values, waits.last_reset) if waits is not None else ({}, {})
        self._newest = Report({**before, **values}, ts, now, {**resets, **(last_reset or {})})

    def at_once(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> Report:
        """Return a reading that goes out whatever the cadence says, such as after a command."""
        self._told_when |= dict.fromkeys(values, now)
        # Without an argument-free super: slots make the dataclass anew.
        return Reporter.at_once(self, values, ts, now, last_reset)

    def due(self, now: float) -> Report | None:
        """Return the reading to publish now, if any; it counts as published."""
        newest = self._newest
        if newest is None or self.wait(now) > 0:
            return None
        self._newest = None
        self._told |= newest.values
        self._told_at = now
        self._told_when |= dict.fromkeys(newest.values, now)
        self.online = True
        return newest

    @property
    def _longest(self) -> float:
        # Each value that waits was found worth it.
        return self.cadence.min_interval

    def _worth(self, values: Values, now: float) -> bool:
        if self.online is not True:
            return True
        if self._moved(values):
            return True
        return any(now - self._told_when[entity] >= self.cadence.heartbeat for entity in values)
