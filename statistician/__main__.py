"""`python -m statistician`: keeps states, publishes statistics, until SIGTERM."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

from bus.clock import system_clock
from bus.events import Link
from bus.process import EXIT_RESTART, Process, set_up_logging
from bus.topics import Topics
from config.load import load_or_exit
from statistician.ingest import BATCH
from statistician.records import StoreError
from statistician.schedule import Schedule
from statistician.service import Statistician, subscriptions
from statistician.store import Store

log = logging.getLogger(__name__)

NAME = "statistician"

# How long the broker keeps the readings of strangers for us; ours wait in their outboxes anyway.
_SESSION_S = 3600


def main() -> int:
    """Run the process; returns its exit code."""
    set_up_logging()
    settings = load_or_exit()
    link = replace(Link.of(settings.broker, NAME, session_s=_SESSION_S), receive_maximum=2 * BATCH)
    topics = Topics(settings.broker.base)
    clock = system_clock(trusted=settings.clock.trusted)
    process = Process(NAME, link=link, topics=topics, clock=clock, subscriptions=subscriptions(topics))
    try:
        service = Statistician(
            process.connection,
            topics,
            Store(Path(settings.statistician.database)),
            settings.statistician,
            clock=clock,
            journal=process.journal,
        )
    except (StoreError, OSError) as error:
        # The service manager tries again: a full or read-only disk may be cured meanwhile.
        log.error("no database at %s: %s", settings.statistician.database, error)  # noqa: TRY400 — the trace says nothing more
        return EXIT_RESTART
    schedule = Schedule(process.emit)
    schedule.start()
    try:
        return process.run(service)
    finally:
        schedule.stop()


if __name__ == "__main__":
    sys.exit(main())
