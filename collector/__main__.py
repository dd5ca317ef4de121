"""`python -m collector ble`: the process that reads one transport."""

import argparse
import logging
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bus import health, request_server
from bus.clock import Clock, house_clock
from bus.command_server import Answers
from bus.events import Subscription
from bus.process import EXIT_OK, Process, set_up_logging
from bus.publisher import has_left, owner_of_devices
from bus.topics import Topics, Verb
from collector.checking import find_mistakes
from collector.day_book import DayBook
from collector.device import MQTT, TRANSPORTS, Owned, Readings, owned_devices, service_name
from collector.device_store import DeviceStore, Which, open_store
from collector.energy import Energies
from collector.lines import Surroundings, line_of
from collector.polling import PollingSource
from collector.read import AskNow, ours
from collector.registry import Registry, open_to_clients
from collector.scan import Refusing, nothing_to_scan
from collector.scan.modbus import scan_of
from collector.service import Collector, LiveVerb, Obeys, Source, Switching, Timers
from config.load import load_or_exit
from config.model import Settings

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
    store = open_store(settings.storage, service_name(transport))
    # What the last device has left at the broker and at Home Assistant is still to be taken back.
    left = has_left(service_name(transport), settings)
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
class _Assembly:
    """What every collector has, whatever its transport."""

    transport: str
    settings: Settings
    devices: list[Owned]
    store: DeviceStore
    process: Process
    readings: Readings

    def service(self, source: Source, switching: Switching | None = None) -> Collector:
        """Return the service of a source."""
        return Collector(self.devices, source, self.readings, topics=self.process.topics, switching=switching)

    def open(self, service: Collector, scan: LiveVerb, reader: LiveVerb) -> None:
        """Let clients in."""
        registry = Registry(self.transport, self.settings, self.store, service, self.readings)
        open_to_clients(registry, scan, reader, bus=self.process.connection, topics=self.process.topics)


def run(settings: Settings, transport: str, devices: list[Owned], store: DeviceStore, clock: Clock) -> int:
    """Run a collector until it is asked to stop; returns the exit code."""
    name = service_name(transport)
    topics = Topics(settings.broker.base)
    # All of them, for devices may join later; what is addressed to others is passed over.
    commands = Subscription(filter=topics.every(Verb.SET), qos=0)
    requests = request_server.subscription(topics, name)
    foreign = _foreign(settings) if transport == MQTT else []
    process, publisher = owner_of_devices(name, settings, clock, [commands, requests, *foreign])
    kept = Path(settings.storage.state) / f"{name}-energy.json"
    energies = Energies(kept, clock.boot, clock.monotonic())
    book = DayBook(Path(settings.storage.state) / f"{name}-days.json")
    readings = Readings(publisher, clock=clock, journal=process.journal, energies=energies, book=book)
    parts = _Assembly(transport, settings, devices, store, process, readings)
    if transport == "ble":
        return _run_ble(parts)
    return _run_imports(parts) if transport == MQTT else _run_polled(parts)


def _run_ble(parts: _Assembly) -> int:
    # Only here, so that no other collector carries the radio.
    from collector.ble import BleSource, ReadBle  # noqa: PLC0415 — see above
    from collector.listening import BleScan, ListeningSource  # noqa: PLC0415 — see above
    from collector.transports.radio import Ladder, Radio  # noqa: PLC0415 — see above

    settings, process, readings = parts.settings, parts.process, parts.readings
    radio = Radio(
        adapter=settings.ble.adapter,
        mode=settings.ble.mode,
        emit=process.emit,
        ladder=Ladder(silence=settings.ble.watchdog),
        monotonic=process.clock.monotonic,
    )
    around = Surroundings(connections=radio.connections)
    polling = PollingSource(readings, partial(line_of, around=around), emit=process.emit)
    source = BleSource(readings, ListeningSource(readings, emit=process.emit), polling)
    service = parts.service(source, _switching(parts, source))
    parts.open(service, BleScan(readings), ReadBle(readings, polling))
    if not list(readings):
        log.info("no device is read over Bluetooth yet; listening all the same")
    radio.start()
    try:
        return process.run(service)
    finally:
        # First, for it ends what the workers wait for.
        radio.stop()
        polling.stop()


def _run_polled(parts: _Assembly) -> int:
    settings, process, readings = parts.settings, parts.process, parts.readings
    around = Surroundings(
        state=Path(settings.storage.state),
        runtime=Path(settings.storage.runtime),
        # Before the first connection nobody knows: a start is no failure of the broker.
        broker_up=lambda: process.connection.connected if process.connection.generation else None,
        controller=settings.controller,
        tell_pins=partial(process.journal.fact, "pins"),
    )
    source = PollingSource(readings, partial(line_of, around=around), emit=process.emit)
    service = parts.service(source, _switching(parts, source))
    parts.open(service, scan_of(parts.transport, source, readings), AskNow(source, readings))
    try:
        return process.run(service)
    finally:
        source.stop()


def _run_imports(parts: _Assembly) -> int:
    from collector.importing import ImportingSource  # noqa: PLC0415 — only the collector that needs it

    process, readings = parts.process, parts.readings
    source = ImportingSource(readings, process.connection, emit=process.emit)
    service = parts.service(source, _switching(parts, source))
    why = "what others publish is on their own topics: boondock watch shows it"
    reader = Refusing(why, Which, lambda asked: ours(readings, asked.device))
    parts.open(service, nothing_to_scan(MQTT), reader)
    return process.run(service)


def _switching(parts: _Assembly, source: Obeys) -> Switching:
    """Let devices of a source obey."""
    process, readings = parts.process, parts.readings
    runtime = Path(parts.settings.storage.runtime)
    kept = runtime / f"{process.name}-answers.json"
    answers = Answers(process.connection, process.topics, process.journal, clock=process.clock, path=kept)
    switching = Switching(source, readings, answers, Timers(runtime / f"{process.name}-timers.json"))
    process.put_first(lambda topic: switching.owns(*process.topics.levels_of(topic)[:2]))
    return switching


if __name__ == "__main__":
    sys.exit(main())
