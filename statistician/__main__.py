"""`python -m statistician`: keeps states, publishes statistics, until SIGTERM."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bus import health, request_server, state_files
from bus.access_log import AccessLog
from bus.announcer import Announcer
from bus.clock import Clock, anchor_path, house_clock
from bus.events import Link
from bus.health import fault_in
from bus.process import Process, set_up_logging
from bus.state_files import LockedError
from bus.topics import Topics
from config.addresses import page_address
from config.load import EXIT_CONFIG, load_or_exit
from config.model import INTEGRAL, RELAY_DEVICE, Settings
from config.model import Statistician as StatisticianSettings
from statistician.ingest import BATCH
from statistician.layout import LayoutKeeper, of_layout
from statistician.middleware import (
    AbsentServices,
    Announcing,
    DatabaseOpener,
    of_absent_services,
    of_announcing,
)
from statistician.records import StoreError
from statistician.service import Hooks, Statistician, subscriptions
from statistician.store import Store
from statistician.store.engine import NewerError
from statistician.upkeep import Schedule
from statistician.watermarks import HOLD_FILE, HeldWatermarks

log = logging.getLogger(__name__)

NAME = "statistician"
Emit = Callable[[object], None]

# How long the broker keeps the readings of strangers for us; ours wait in their outboxes anyway.
_SESSION_S = 3600
_OPENING_S = 900


def main() -> int:
    """Run the process; returns its exit code."""
    set_up_logging()
    settings = load_or_exit(notify=health.notify)
    return serve(settings, house_clock(settings))


def serve(settings: Settings, clock: Clock, schedule_of: Callable[[Emit], Schedule] = Schedule) -> int:
    """Serve until asked to stop; time and what is due when are the caller's."""
    mine = state_files.identify(Path(settings.storage.state), NAME, clock.wall())
    link = Link.of(settings.broker, NAME, mine.part, instance=mine.instance, session_s=_SESSION_S)
    link = replace(link, receive_maximum=2 * BATCH)
    topics = Topics(settings.broker.base)
    # Its own requests are among all.
    listens = [one for one in subscriptions(topics) if one != request_server.subscription(topics, NAME)]
    listens += [*of_announcing(topics), *of_absent_services(topics), of_layout(topics)]
    process = Process(
        NAME,
        link=link,
        topics=topics,
        clock=clock,
        subscriptions=listens,
        runtime=Path(settings.storage.runtime),
        fatal=(StoreError,),
        unlocked=mine.problem,
    )
    access = AccessLog(
        Path(settings.storage.state) / f"{NAME}-access.log", clock=clock, journal=process.journal
    )
    opener = DatabaseOpener(
        lambda: _announcing(settings, process, clock, access),
        clock=clock,
        journal=process.journal,
        stop=process.emit,
    )
    try:
        opener.open_first()
    except (NewerError, LockedError) as error:
        # Neither another start nor an empty database would help.
        log.error("%s", error)  # noqa: TRY400 — the trace says nothing more
        return EXIT_CONFIG
    layout = Path(settings.storage.state) / "page.json"
    keeper = LayoutKeeper(opener, layout, process.connection, topics, clock=clock, journal=process.journal)
    refusing = request_server.RequestServer(
        NAME, {}, bus=process.connection, topics=topics, journal=process.journal, wall=clock.wall
    )
    schedule = schedule_of(process.emit)
    schedule.start()
    try:
        return process.run(AbsentServices(keeper, refusing, topics, NAME, access))
    finally:
        schedule.stop()


def _announcing(settings: Settings, process: Process, clock: Clock, access: AccessLog) -> Announcing:
    """Return the service on its database. Raises StoreError, OSError, LockedError."""
    topics, connection = process.topics, process.connection
    hold = Path(settings.storage.runtime) / HOLD_FILE
    bus = HeldWatermarks(connection, topics, hold, clock=clock, journal=process.journal)

    def make(store: Store) -> Statistician:
        return Statistician(
            bus,
            topics,
            store,
            settings.statistician,
            clock=clock,
            journal=process.journal,
            devices=settings.device,
            house=[*settings.device, *settings.imports, RELAY_DEVICE],
            ask=lambda device: process.connection.ask(topics.about(device)),
            scalars=settings.publish.scalars,
            answers=connection,
            anchor=anchor_path(settings),
            broker_tells=True,
            access=access,
            hooks=Hooks(process.guard, process.in_hand.clear, process.in_hand.release),
        )

    service = _made(make, lambda: _open(settings.statistician))
    announcer = Announcer(
        connection,
        topics,
        path=Path(settings.storage.state) / f"{NAME}-announced.json",
        page=page_address(settings.page) if settings.page.is_open else None,
        enabled=settings.publish.discovery,
        wall=lambda: 0 if clock.quality() == "unset" else clock.wall(),
    )
    return Announcing(
        service,
        announcer,
        connection,
        topics,
        clock=clock,
        journal=process.journal,
        ours=[name for name, device in settings.device.items() if device.kind == INTEGRAL],
    )


def _made(make: Callable[[Store], Statistician], opened: Callable[[], Store]) -> Statistician:
    """Make the service, if need be after a search of its database for what cannot be used."""
    store = opened()
    made: list[Statistician] = []
    fault = fault_in(lambda: made.append(make(store)), StoreError)
    if fault is None:
        return made[0]
    if not store.searched:
        log.error("something in %s cannot be used; searching it", store.path, exc_info=fault)
        store.ask_search()
        store.close()
        return make(opened())
    store.close()
    raise fault


def _open(settings: StatisticianSettings) -> Store:
    # Checking, restoring or bringing up a large file takes longer than the service manager waits.
    health.notify(f"EXTEND_TIMEOUT_USEC={_OPENING_S * 1_000_000}\nSTATUS=opening the database")
    backups = None if settings.backups is None else Path(settings.backups)
    return Store(Path(settings.database), backups, alone=True)


def _command() -> int:
    if sys.argv[1:2] != ["replay"]:
        return main()
    from statistician.replay import main as replay  # noqa: PLC0415 — the service does not pay for it

    return replay(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_command())
