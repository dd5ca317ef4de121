"""`python -m forwarder`: the process that sends readings to other systems, and alarms to people."""

import logging
import sys
from pathlib import Path

from bus import health, state_files
from bus.clock import house_clock
from bus.events import Link, Subscription
from bus.process import Process, set_up_logging
from bus.topics import Topics, Verb
from config.load import load_or_exit
from config.model import Settings
from forwarder.checking import find_mistakes
from forwarder.service import NAME, Forwarder, Part, subscriptions

log = logging.getLogger(__name__)


def notifications(settings: Settings, process: Process) -> list[Part]:
    """Load what tells people of alarms, if there are some to be told."""
    if not settings.notify:
        return []
    from forwarder.notifications import Notifications  # noqa: PLC0415 — only who has it pays for it

    return [Notifications(settings, Path(settings.storage.state), process.journal, process.clock)]


def main() -> int:
    """Run the process; returns its exit code."""
    set_up_logging()
    settings = load_or_exit(check=find_mistakes, notify=health.notify)
    clock = house_clock(settings)
    mine = state_files.identify(Path(settings.storage.state), NAME, clock.wall())
    topics = Topics(settings.broker.base)
    alarms = [Subscription(filter=topics.every(Verb.ALARM))] if settings.notify else []
    process = Process(
        NAME,
        link=Link.of(settings.broker, NAME, mine.part, instance=mine.instance),
        topics=topics,
        clock=clock,
        subscriptions=[*subscriptions(topics, settings), *alarms],
        acknowledge=True,
        runtime=Path(settings.storage.runtime),
        unlocked=mine.problem,
    )
    service = Forwarder(
        settings,
        bus=process.connection,
        topics=topics,
        clock=clock,
        journal=process.journal,
        emit=process.emit,
        others=notifications(settings, process),
    )
    if not settings.output and not settings.notify:
        log.warning("boondock.toml names no [[output]] and no [[notify]]; there is nothing to send")
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
