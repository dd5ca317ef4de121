"""`python -m statistician`: keeps states, publishes statistics, until SIGTERM."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bus import sd_notify
from bus.announcer import Announcer
from bus.clock import Clock, anchor_path, house_clock
from bus.events import Link
from bus.process import EXIT_RESTART, Process, set_up_logging
from bus.topics import Topics
from config.load import EXIT_CONFIG, load_or_exit
from config.model import INTEGRAL, Settings
from config.model import Statistician as StatisticianSettings
from config.rules import RELAY_DEVICE
from statistician import announcing
from statistician.ingest import BATCH
from statistician.records import StoreError
from statistician.replay import main as replay
from statistician.schedule import Schedule
from statistician.service import Statistician, subscriptions
from statistician.store import Store
from statistician.store_engine import NewerError

log = logging.getLogger(__name__)

NAME = "statistician"
Emit = Callable[[object], None]

# How long the broker keeps the readings of strangers for us; ours wait in their outboxes anyway.
_SESSION_S = 3600
_OPENING_S = 900


def main() -> int:
    """Run the process; returns its exit code."""
    set_up_logging()
    settings = load_or_exit()
    return serve(settings, house_clock(settings))


def serve(settings: Settings, clock: Clock, schedule_of: Callable[[Emit], Schedule] = Schedule) -> int:
    """Serve until asked to stop; time and what is due when are the caller's."""
    link = replace(Link.of(settings.broker, NAME, session_s=_SESSION_S), receive_maximum=2 * BATCH)
    topics = Topics(settings.broker.base)
    listens = [*subscriptions(topics), *announcing.subscriptions(topics)]
    process = Process(NAME, link=link, topics=topics, clock=clock, subscriptions=listens)
    try:
        service = Statistician(
            process.connection,
            topics,
            _open(settings.statistician),
            settings.statistician,
            clock=clock,
            journal=process.journal,
            devices=settings.device,
            house=[*settings.device, *settings.imports, RELAY_DEVICE],
            ask=lambda device: process.connection.ask(topics.about(device)),
            scalars=settings.publish.scalars,
            answers=process.connection,
            anchor=anchor_path(settings),
            broker_tells=True,
        )
    except NewerError as error:
        # Neither another start nor an empty database would help.
        log.error("%s", error)  # noqa: TRY400 — the trace says nothing more
        return EXIT_CONFIG
    except (StoreError, OSError) as error:
        # The service manager tries again: a full or read-only disk may be cured meanwhile.
        log.error("no database at %s: %s", settings.statistician.database, error)  # noqa: TRY400 — the trace says nothing more
        return EXIT_RESTART
    announcer = Announcer(
        process.connection,
        topics,
        path=Path(settings.storage.state) / f"{NAME}-announced.json",
        enabled=settings.publish.discovery,
        wall=lambda: 0 if clock.quality() == "unset" else clock.wall(),
    )
    announced = announcing.Announcing(
        service,
        announcer,
        process.connection,
        topics,
        monotonic=clock.monotonic,
        journal=process.journal,
        wall=clock.wall,
        ours=[name for name, device in settings.device.items() if device.kind == INTEGRAL],
    )
    schedule = schedule_of(process.emit)
    schedule.start()
    try:
        return process.run(announced)
    finally:
        schedule.stop()


def _open(settings: StatisticianSettings) -> Store:
    # Checking, restoring or bringing up a large file takes longer than the service manager waits.
    sd_notify.notify(f"EXTEND_TIMEOUT_USEC={_OPENING_S * 1_000_000}\nSTATUS=opening the database")
    backups = None if settings.backups is None else Path(settings.backups)
    return Store(Path(settings.database), backups)


if __name__ == "__main__":
    sys.exit(replay(sys.argv[2:]) if sys.argv[1:2] == ["replay"] else main())
