"""`python -m collector ble`: the process that reads one transport."""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bus import health, request_server
from bus.clock import Clock, house_clock
from bus.command_server import Answers
from bus.events import Subscription
from bus.process import EXIT_OK, Process, set_up_logging
from bus.publisher import Publisher, has_left, owner_of_devices
from bus.topics import Topics, Verb
from collector.api import name_of, nothing_to_scan, open_to_clients, roster_of, scan_of
from collector.checking import find_mistakes
from collector.device import MQTT, TRANSPORTS, Owned, owned_devices
from collector.device_store import DeviceStore
from collector.reading_now import AskNow, LastFrames, NoReader, Reader
from collector.readings import Readings
from collector.scanning import Scan
from collector.service import Collector
from config.load import load_or_exit
from config.model import Settings

if TYPE_CHECKING:
    from collector.importing import ImportingSource
    from collector.polling import PollingSource

    SwitchingSource = ImportingSource | PollingSource

log = logging.getLogger(__name__)


def main() -> int:
    """Run the collector of the transport named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    parser.add_argument("transport", choices=TRANSPORTS)
    transport: str = parser.parse_args().transport
    set_up_logging()
    settings = load_or_exit(find_mistakes, health.notify)
    clock = house_clock(settings)
    devices = _devices(settings, transport, clock.monotonic())
    store = roster_of(settings.storage, transport)
    # What the last device has left at the broker and at Home Assistant is still to be taken back.
    left = has_left(name_of(transport), settings)
    # What is wrong with the file of those that were added over MQTT must be told.
    added = store.devices or store.unread or store.problem
    if not (devices or added or left or transport in settings.collector.run):
        log.info(
            "the %s collector has no device, in boondock.toml or added over MQTT: nothing to do; "
            'to scan or to add some over MQTT: [collector] run = ["%s"]',
            transport,
            transport,
        )
        # systemd takes an end without this for a failed start.
        health.notify("READY=1\nSTATUS=nothing to read")
        return EXIT_OK
    return run(settings, transport, devices, store, clock)


def _devices(settings: Settings, transport: str, now: float) -> list[Owned]:
    if transport != MQTT:
        return owned_devices(settings, transport, now)
    from collector.importing import owned_imports  # noqa: PLC0415 — only the collector that needs it

    return owned_imports(settings, now)


def _foreign(settings: Settings) -> list[Subscription]:
    from collector.importing import subscriptions  # noqa: PLC0415 — only the collector that needs it

    return subscriptions(settings)


@dataclass(frozen=True, slots=True)
class _House:
    """What every collector has; `open` lets clients in once it is put together."""

    settings: Settings
    devices: list[Owned]
    process: Process
    publisher: Publisher
    readings: Readings
    open: Callable[[Collector, Scan, Reader], None]


def run(settings: Settings, transport: str, devices: list[Owned], store: DeviceStore, clock: Clock) -> int:
    """Run a collector until it is asked to stop; returns the exit code."""
    name = name_of(transport)
    topics = Topics(settings.broker.base)
    # All of them, for devices may join later; what is addressed to others is passed over.
    commands = [] if transport == "ble" else [Subscription(filter=topics.every(Verb.SET), qos=0)]
    requests = request_server.subscription(topics, name)
    foreign = _foreign(settings) if transport == MQTT else []
    process, publisher = owner_of_devices(name, settings, clock, [*commands, requests, *foreign])
    readings = Readings(publisher, clock=clock, journal=process.journal)

    def let_in(service: Collector, scan: Scan, reader: Reader) -> None:
        open_to_clients(
            transport,
            settings,
            store,
            service=service,
            readings=readings,
            publisher=publisher,
            scan=scan,
            reader=reader,
            bus=process.connection,
            topics=topics,
            clock=clock,
            journal=process.journal,
        )

    house = _House(settings, devices, process, publisher, readings, let_in)
    if transport == "ble":
        return _run_ble(house)
    return _run_imports(house) if transport == MQTT else _run_polled(house, transport)


def _run_ble(house: _House) -> int:
    # Only here, so that no other collector carries the radio.
    from collector.listening import ListeningSource  # noqa: PLC0415 — see above
    from collector.scan_ble import BleScan  # noqa: PLC0415 — see above
    from collector.transports.ble.radio import Ladder, Radio  # noqa: PLC0415 — see above

    settings, process, readings = house.settings, house.process, house.readings
    clock, journal = process.clock, process.journal
    source = ListeningSource(readings, clock=clock, journal=journal, emit=process.emit)
    service = Collector(
        house.devices,
        source,
        readings,
        house.publisher,
        topics=process.topics,
        clock=clock,
        journal=journal,
    )
    house.open(service, BleScan(readings, clock=clock), LastFrames(readings, clock=clock))
    if not list(readings):
        log.info("no device is read over Bluetooth yet; listening all the same")
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


def _run_polled(house: _House, transport: str) -> int:
    from collector.lines import Surroundings, line_of  # noqa: PLC0415 — the radio's process needs no lines
    from collector.polling import PollingSource  # noqa: PLC0415 — the same

    settings, process, readings = house.settings, house.process, house.readings
    clock, journal = process.clock, process.journal
    around = Surroundings(
        state=Path(settings.storage.state),
        runtime=Path(settings.storage.runtime),
        # Before the first connection nobody knows: a start is no failure of the broker.
        broker_up=lambda: process.connection.connected if process.connection.generation else None,
        controller=settings.controller,
        tell_pins=partial(journal.fact, "pins"),
    )
    lines = partial(line_of, around=around)
    source = PollingSource(readings, lines, clock=clock, journal=journal, emit=process.emit)
    service = _switching(house, source)
    house.open(service, scan_of(transport, source, readings), AskNow(source, readings, clock=clock))
    try:
        return process.run(service)
    finally:
        source.stop()


def _run_imports(house: _House) -> int:
    from collector.importing import ImportingSource  # noqa: PLC0415 — only the collector that needs it

    process = house.process
    source = ImportingSource(
        house.readings,
        process.connection,
        clock=process.clock,
        journal=process.journal,
        emit=process.emit,
    )
    service = _switching(house, source)
    why = "what others publish is on their own topics: boondock watch shows it"
    house.open(service, nothing_to_scan(MQTT), NoReader(house.readings, why))
    return process.run(service)


def _switching(house: _House, source: "SwitchingSource") -> Collector:
    """The service of a source whose devices obey."""
    from collector.switching import Switching, Timers  # noqa: PLC0415 — the radio's process needs none

    process, readings = house.process, house.readings
    clock, journal = process.clock, process.journal
    runtime = Path(house.settings.storage.runtime)
    kept = runtime / f"{process.name}-answers.json"
    answers = Answers(process.connection, process.topics, journal, clock=clock, path=kept)
    timers = Timers(runtime / f"{process.name}-timers.json")
    switching = Switching(source, readings, answers, clock=clock, journal=journal, timers=timers)
    process.put_first(lambda topic: switching.owns(*process.topics.levels_of(topic)[:2]))
    return Collector(
        house.devices,
        source,
        readings,
        house.publisher,
        topics=process.topics,
        clock=clock,
        journal=journal,
        switching=switching,
    )


if __name__ == "__main__":
    sys.exit(main())
