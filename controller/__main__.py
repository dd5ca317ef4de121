"""`python -m controller`: the process that switches relays."""

import logging
import sys
from pathlib import Path

from bus import sd_notify
from bus.answers import Answers
from bus.clock import house_clock
from bus.events import Subscription
from bus.owner import owner_of_devices
from bus.process import set_up_logging
from bus.topics import Topics, Verb
from config.load import load_or_exit
from controller import interlocks
from controller.bank import Bank
from controller.memory import Memory
from controller.pins import make_pins
from controller.service import Controller

log = logging.getLogger(__name__)

NAME = "controller"


def main() -> int:
    """Run the controller; returns the exit code."""
    set_up_logging()
    settings = load_or_exit(notify=sd_notify.notify)
    clock = house_clock(settings)
    topics = Topics(settings.broker.base)
    commands = Subscription(filter=topics.every(Verb.SET), retained=False)
    states = [Subscription(filter=topics.state(device)) for device in sorted(interlocks.devices(settings))]
    services = [Subscription(filter=topics.every(verb)) for verb in (Verb.ABOUT, Verb.SERVICE)]
    process, publisher = owner_of_devices(NAME, settings, clock, [commands, *states, *services])
    memory = Memory(Path(settings.storage.state) / "relays.json")
    pins = make_pins(settings.controller.pins)
    bank = Bank(settings.relay, pins, memory, clock=clock, journal=process.journal)
    # In memory, so that it costs no card writes; it outlives the process.
    kept = Path(settings.storage.runtime) / f"{NAME}-answers.json"
    answers = Answers(process.connection, topics, process.journal, clock=clock, path=kept)
    service = Controller(
        settings,
        bank,
        answers=answers,
        publisher=publisher,
        say_once=process.connection.say_once,
        topics=topics,
        clock=clock,
        journal=process.journal,
    )
    if not settings.relay:
        log.warning("boondock.toml names no relay; there is nothing to switch")
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
