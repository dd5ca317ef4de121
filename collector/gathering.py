"""When the values of a device that says them piece by piece are worth a reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.devices.description import Values
from collector.reporting import Report, Reporter


@dataclass(slots=True)
class Gatherer(Reporter):
    """A Reporter that judges each value by itself: what one message leaves out is neither news nor unknown.

    What waits for `min_interval` goes out in one reading, dated by its newest; nothing waits longer.
    """

    _told_when: dict[str, float] = field(default_factory=dict)

    def offer(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> None:
        """The device said these of its values at `now`, or at `ts`."""
        self._heard = now
        waits = self._newest
        if waits is None and not self._worth(values, now):
            return
        before, resets = (waits.values, waits.last_reset) if waits is not None else ({}, {})
        self._newest = Report({**before, **values}, ts, now, {**resets, **(last_reset or {})})

    def at_once(
        self, values: Values, ts: int | None, now: float, last_reset: Mapping[str, int] | None = None
    ) -> Report:
        """A reading that goes out whatever the cadence says."""
        self._told_when |= dict.fromkeys(values, now)
        # Without an argument-free super: slots make the dataclass anew.
        return Reporter.at_once(self, values, ts, now, last_reset)

    def due(self, now: float) -> Report | None:
        """The reading to publish now, if any; it counts as published."""
        newest = self._newest
        if newest is None or now - self._told_at < self.cadence.min_interval:
            return None
        self._newest = None
        self._told |= newest.values
        self._told_at = now
        self._told_when |= dict.fromkeys(newest.values, now)
        self.online = True
        return newest

    def _worth(self, values: Values, now: float) -> bool:
        if self.online is not True:
            return True
        if self._moved(values):
            return True
        return any(now - self._told_when[entity] >= self.cadence.heartbeat for entity in values)
