"""`python -m controller`: the process that switches relays."""

import logging
import sys
from pathlib import Path

from bus import health, request_server
from bus.access_log import AccessLog
from bus.clock import house_clock
from bus.command_server import Answers
from bus.events import Subscription
from bus.pins import make_pins
from bus.process import set_up_logging
from bus.publisher import owner_of_devices
from bus.request_server import RequestServer
from bus.topics import Topics, Verb
from config.load import load_or_exit
from config.model import RELAY_DEVICE, Settings
from controller import automation, policy
from controller.files import BrokerRestart, Memory
from controller.relays import RelayOutputs
from controller.service import Controller

log = logging.getLogger(__name__)

NAME = "controller"


def subscriptions(topics: Topics, settings: Settings) -> list[Subscription]:
    """List what the controller listens to, besides what every owner of devices does."""
    # Also those whose topic is malformed, and those for others, with what these answer.
    commands = Subscription(filter=topics.below(Verb.SET), qos=0, retained=False)
    results = Subscription(filter=topics.every(Verb.RESULT), qos=0, retained=False)
    # What a stranger sends retained is news; what the broker had kept of it is none.
    devices = sorted(policy.devices(settings) | automation.devices(settings))
    states = [Subscription(filter=topics.state(device), as_published=False) for device in devices]
    services = [Subscription(filter=topics.every(verb)) for verb in (Verb.ABOUT, Verb.SERVICE)]
    services += [Subscription(filter=topics.health(name)) for name in sorted(automation.services(settings))]
    return [*states, *services, commands, results, request_server.subscription(topics, NAME)]


def main() -> int:
    """Run the controller; returns the exit code."""
    set_up_logging()
    settings = load_or_exit(notify=health.notify)
    clock = house_clock(settings)
    topics = Topics(settings.broker.base)
    process, publisher = owner_of_devices(
        NAME, settings, clock, subscriptions(topics, settings), availability=True
    )
    memory = Memory(Path(settings.storage.state) / "relays.json")
    pins = make_pins(settings.controller, f"boondock {NAME}")
    outputs = RelayOutputs(settings.relay, pins, memory, clock=clock, journal=process.journal)
    # In memory, so that it costs no card writes; it outlives the process.
    kept = Path(settings.storage.runtime) / f"{NAME}-answers.json"
    answers = Answers(process.connection, topics, process.journal, clock=clock, path=kept)
    access = AccessLog(
        Path(settings.storage.state) / f"{NAME}-access.log", clock=clock, journal=process.journal
    )
    service = Controller(
        settings,
        outputs,
        answers=answers,
        publisher=publisher,
        link=process.connection,
        access=access,
        requests=RequestServer(
            NAME,
            {},
            bus=process.connection,
            topics=topics,
            journal=process.journal,
            wall=clock.wall,
            access=access,
        ),
        restart=BrokerRestart(settings.broker, Path(settings.storage.runtime), process.journal),
        topics=topics,
        kept=Path(settings.storage.state) / "alarms.json",
    )
    topics_of_relays = frozenset(topics.set(RELAY_DEVICE, relay) for relay in settings.relay)
    process.put_first(topics_of_relays.__contains__)
    if not settings.relay:
        log.warning("boondock.toml names no relay; there is nothing to switch")
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
