"""What every process that owns devices is made of: an outbox, a connection, and a publisher on both."""

from pathlib import Path

from bus import state_files
from bus.announcer import Announcer
from bus.clock import Clock, boot_id
from bus.events import Link, Subscription
from bus.outbox import Limits, Outbox
from bus.process import Process
from bus.publisher import Publisher
from bus.retained import RetainedTopics
from bus.topics import HOME_ASSISTANT, Topics, Verb
from config.model import Settings

_MB = 1024 * 1024


def owner_of_devices(
    name: str,
    settings: Settings,
    clock: Clock,
    subscriptions: list[Subscription],
    *,
    availability: bool = False,
) -> tuple[Process, Publisher]:
    """The process `name` and its publisher; it also listens for the watermarks of its readings.

    And for what others say of the availability of devices, to contradict where it knows better; with
    `availability` also for what they said before.
    """
    storage = settings.storage
    mine = state_files.identify(Path(storage.state), name, clock.wall())
    topics = Topics(settings.broker.base)
    limits = Limits(storage.outbox_rows, storage.outbox_mb * _MB)
    outbox = Outbox(
        Path(storage.runtime),
        Path(storage.state),
        name,
        limits=limits,
        boot=boot_id(),
        commit_s=settings.statistician.commit_interval,
    )
    said = Subscription(filter=topics.every(Verb.AVAILABILITY), retained=availability)
    process = Process(
        name,
        link=Link.of(settings.broker, name, mine.part, instance=mine.instance),
        unlocked=mine.problem,
        topics=topics,
        clock=clock,
        acknowledge=True,
        runtime=Path(storage.runtime),
        retained=RetainedTopics(_published(name, settings)),
        subscriptions=[*subscriptions, said, Subscription(filter=HOME_ASSISTANT)],
    )
    announcer = Announcer(
        process.connection,
        topics,
        service=name,
        path=_announced(name, settings),
        enabled=settings.publish.discovery,
        wall=lambda: 0 if clock.quality() == "unset" else clock.wall(),
    )
    publisher = Publisher(
        process.connection,
        topics,
        outbox,
        clock,
        process.journal,
        scalars=settings.publish.scalars,
        announcer=announcer,
    )
    return process, publisher


def has_left(name: str, settings: Settings) -> bool:
    """Whether earlier runs of the process have published what may still have to be taken back."""
    files = (_announced(name, settings), _published(name, settings))
    return any(state_files.read(path, dict[str, object]) for path in files)


def _announced(name: str, settings: Settings) -> Path:
    return Path(settings.storage.state) / f"{name}-announced.json"


def _published(name: str, settings: Settings) -> Path:
    return Path(settings.storage.state) / f"{name}-published.json"
