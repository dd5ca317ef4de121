"""The days that devices without a clock remember: dated if they are as many as the days that have passed."""

import logging
from datetime import date, datetime, time, timedelta
from pathlib import Path

import msgspec

from bus import state_files
from collector.devices.description import Days, Earlier

log = logging.getLogger(__name__)


class _Seen(msgspec.Struct, frozen=True):
    """A day of the calendar, and the number that the device gave it."""

    day: date
    number: int


class DayBook:
    """Knows of each device when its newest day was; in a file, so that a restart forgets nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: dict[str, _Seen] | None = None

    def take(self, device: str, days: Days, today: date) -> tuple[Earlier, ...]:
        """Note a new day; return the days since the one before, each at its end in local time.

        None of them if the device has counted others than the calendar: it had no supply, or no sun.
        """
        if self._seen is None:
            self._seen = state_files.read(self._path, dict[str, _Seen]) or {}
        before = self._seen.get(device)
        self._seen[device] = _Seen(today, days.number)
        self._save()
        if before is None or before.day >= today:
            return ()
        passed, counted = (today - before.day).days, (days.number - before.number) % days.of
        if passed != counted:
            log.info("%s: %d days have passed, it counted %d: not filled in", device, passed, counted)
            return ()
        return tuple(
            Earlier(_end_of(today - timedelta(ago)), days.before[ago])
            for ago in range(passed, 0, -1)
            if ago in days.before
        )

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            state_files.write(self._path, msgspec.json.encode(self._seen))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)


def _end_of(day: date) -> int:
    """Return the last millisecond of a day, ms since 1970 UTC."""
    return round(datetime.combine(day + timedelta(1), time.min).astimezone().timestamp() * 1000) - 1
