"""`python -m forwarder`: the process that sends readings and statistics to other systems."""

import logging
import sys
from pathlib import Path

from bus import health, state_files
from bus.clock import house_clock
from bus.events import Link
from bus.process import Process, set_up_logging
from bus.topics import Topics
from config.load import load_or_exit
from forwarder.checking import find_mistakes
from forwarder.service import NAME, Forwarder, subscriptions

log = logging.getLogger(__name__)


def main() -> int:
    """Run the process; returns its exit code."""
    set_up_logging()
    settings = load_or_exit(check=find_mistakes, notify=health.notify)
    clock = house_clock(settings)
    mine = state_files.identify(Path(settings.storage.state), NAME, clock.wall())
    topics = Topics(settings.broker.base)
    process = Process(
        NAME,
        link=Link.of(settings.broker, NAME, mine.part, instance=mine.instance),
        topics=topics,
        clock=clock,
        subscriptions=subscriptions(topics, settings),
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
    )
    if not settings.output:
        log.warning("boondock.toml names no output; there is nothing to send")
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
