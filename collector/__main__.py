"""`python -m collector ble`: the process that reads one transport."""

import argparse
import logging
import sys

from bus import sd_notify
from bus.answers import Answers
from bus.clock import Clock, system_clock
from bus.events import Subscription
from bus.owner import owner_of_devices
from bus.process import EXIT_OK, Process, set_up_logging
from bus.publisher import Publisher
from bus.topics import Topics
from collector.ownership import TRANSPORTS, Owned, check, owned_devices
from collector.readings import Readings
from collector.service import Collector
from config.load import find, give_up, load_or_exit
from config.mistakes import ConfigError
from config.model import Settings

log = logging.getLogger(__name__)


def main() -> int:
    """Run the collector of the transport named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    parser.add_argument("transport", choices=TRANSPORTS)
    transport: str = parser.parse_args().transport
    set_up_logging()
    settings = load_or_exit()
    try:
        check(settings, str(find()))
    except ConfigError as error:
        give_up(error)
    clock = system_clock(trusted=settings.clock.trusted)
    devices = owned_devices(settings, transport, clock.monotonic())
    if not devices and transport not in settings.collector.run:
        log.info(
            "boondock.toml has no device for the %s collector, and collector.run does not name it: "
            "nothing to do",
            transport,
        )
        # systemd takes an end without this for a failed start.
        sd_notify.notify("READY=1\nSTATUS=nothing to read")
        return EXIT_OK
    return run(settings, transport, devices, clock)


def run(settings: Settings, transport: str, devices: list[Owned], clock: Clock) -> int:
    """Run a collector until it is asked to stop; returns the exit code."""
    topics = Topics(settings.broker.base)
    # All of them, for devices may join later; what is addressed to others is passed over.
    commands = [] if transport == "ble" else [Subscription(filter=topics.set("+", "+"))]
    process, publisher = owner_of_devices(f"collector_{transport}", settings, clock, commands)
    readings = Readings(publisher, clock=clock, journal=process.journal)
    if transport == "ble":
        return _run_ble(settings, devices, process, publisher, readings)
    return _run_polled(devices, process, publisher, readings)


def _run_ble(
    settings: Settings, devices: list[Owned], process: Process, publisher: Publisher, readings: Readings
) -> int:
    # Only here, so that no other collector carries the radio.
    from collector.listening import ListeningSource  # noqa: PLC0415 — see above
    from collector.transports.ble import Radio  # noqa: PLC0415 — see above
    from collector.transports.ble_ladder import Ladder  # noqa: PLC0415 — see above

    clock, journal = process.clock, process.journal
    source = ListeningSource(readings, clock=clock, journal=journal, emit=process.emit)
    service = Collector(
        devices, source, readings, publisher, topics=process.topics, clock=clock, journal=journal
    )
    if not devices:
        log.warning("no device of boondock.toml is read over Bluetooth; listening all the same")
    radio = Radio(
        adapter=settings.ble.adapter,
        mode=settings.ble.mode,
        emit=process.emit,
        ladder=Ladder(silence=settings.ble.watchdog),
        monotonic=clock.monotonic,
    )
    radio.start()
    try:
        return process.run(service)
    finally:
        radio.stop()


def _run_polled(devices: list[Owned], process: Process, publisher: Publisher, readings: Readings) -> int:
    from collector.lines import line_of  # noqa: PLC0415 — the radio's process needs no lines
    from collector.polling import PollingSource  # noqa: PLC0415 — the same
    from collector.switching import Switching  # noqa: PLC0415 — the same

    clock, journal = process.clock, process.journal
    source = PollingSource(readings, line_of, clock=clock, journal=journal, emit=process.emit)
    answers = Answers(process.connection, process.topics, journal)
    switching = Switching(source, readings, answers, clock=clock, journal=journal)
    service = Collector(
        devices,
        source,
        readings,
        publisher,
        topics=process.topics,
        clock=clock,
        journal=journal,
        switching=switching,
    )
    try:
        return process.run(service)
    finally:
        source.stop()


if __name__ == "__main__":
    sys.exit(main())
