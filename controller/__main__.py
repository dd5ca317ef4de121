"""`python -m controller`: the process that switches relays."""

import logging
import sys
from pathlib import Path

from bus.clock import system_clock
from bus.early import EarlyReadings
from bus.events import Link, Subscription
from bus.outbox import Limits, Outbox
from bus.process import Process, set_up_logging
from bus.publisher import Publisher
from bus.topics import Topics, Verb
from config.load import load_or_exit
from controller.bank import Bank
from controller.memory import Memory
from controller.pins import make_pins
from controller.service import Controller

log = logging.getLogger(__name__)

NAME = "controller"


def main() -> int:
    """Run the controller; returns the exit code."""
    set_up_logging()
    settings = load_or_exit()
    storage = settings.storage
    clock = system_clock(trusted=settings.clock.trusted)
    topics = Topics(settings.broker.base)
    limits = Limits(storage.outbox_rows, storage.outbox_mb * 1024 * 1024)
    outbox = Outbox(Path(storage.runtime), Path(storage.state), NAME, limits=limits)
    process = Process(
        NAME,
        link=Link.of(settings.broker, NAME),
        topics=topics,
        clock=clock,
        acknowledge=True,
        subscriptions=[
            Subscription(filter=topics.every(Verb.SET), retained=False),
            *(Subscription(filter=topics.watermark(stream)) for stream in outbox.streams()),
        ],
    )
    bus = process.connection
    publisher = Publisher(
        bus,
        topics,
        outbox,
        clock,
        process.journal,
        early=EarlyReadings(Path(storage.runtime), NAME),
        hold=settings.clock.hold,
        scalars=settings.publish.scalars,
    )
    memory = Memory(Path(storage.state) / "relays.json")
    pins = make_pins(settings.controller.pins)
    bank = Bank(settings.relay, pins, memory, clock=clock, journal=process.journal)
    service = Controller(
        settings, bank, bus=bus, publisher=publisher, topics=topics, clock=clock, journal=process.journal
    )
    if not settings.relay:
        log.warning("boondock.toml names no relay; there is nothing to switch")
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
