"""When to compile and when to purge. The only file with apscheduler; its jobs only emit events."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger


@dataclass(frozen=True, slots=True)
class Compile:
    """A 5-minute period ended 10 s ago."""


@dataclass(frozen=True, slots=True)
class Purge:
    """It is night: remove what is too old."""


class Schedule:
    """Emits Compile at second 10 of every fifth minute and Purge at 04:12 local time."""

    def __init__(self, emit: Callable[[object], None]) -> None:
        self._scheduler = BackgroundScheduler(timezone=UTC)
        # A job that the machine slept through is made up once.
        common = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        five = CronTrigger(minute="*/5", second=10, timezone=UTC)
        self._scheduler.add_job(lambda: emit(Compile()), five, id="compile", **common)
        # Without a zone the trigger takes the machine's.
        self._scheduler.add_job(lambda: emit(Purge()), CronTrigger(hour=4, minute=12), id="purge", **common)

    def start(self) -> None:
        """Start the scheduler's thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the scheduler's thread."""
        self._scheduler.shutdown(wait=False)
