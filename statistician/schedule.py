"""When to compile, to purge and to back up. The only file with apscheduler; its jobs only emit events."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger


@dataclass(frozen=True, slots=True)
class Compile:
    """A 5-minute period ended 10 s ago."""


@dataclass(frozen=True, slots=True)
class Purge:
    """It is night: remove what is too old."""


@dataclass(frozen=True, slots=True)
class BackUp:
    """It is night, and the purge has begun: make a copy after it."""


# A van's night is often dark: what was due while the machine was off is made up soon after a start.
_SOON = timedelta(minutes=10)


class Schedule:
    """Emits Compile at second 10 of every fifth minute, Purge at 04:12 local time and BackUp at 04:13.

    Both also come ten minutes after the start.
    """

    def __init__(self, emit: Callable[[object], None]) -> None:
        self._scheduler = BackgroundScheduler(timezone=UTC)
        # A job that the machine slept through is made up once.
        common = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        five = CronTrigger(minute="*/5", second=10, timezone=UTC)
        self._scheduler.add_job(lambda: emit(Compile()), five, id="compile", **common)
        # Without a zone the trigger takes the machine's.
        self._scheduler.add_job(lambda: emit(Purge()), CronTrigger(hour=4, minute=12), id="purge", **common)
        self._scheduler.add_job(lambda: emit(BackUp()), CronTrigger(hour=4, minute=13), id="backup", **common)
        soon = datetime.now(UTC) + _SOON
        for number, event in enumerate((Purge(), BackUp())):
            at = DateTrigger(soon + timedelta(minutes=number), timezone=UTC)
            self._scheduler.add_job(emit, at, args=[event], id=f"soon{number}", **common)

    def start(self) -> None:
        """Start the scheduler's thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the scheduler's thread."""
        self._scheduler.shutdown(wait=False)
