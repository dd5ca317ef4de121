"""How a collector is put together: the registry of its devices, the desk in front of it, its way to scan."""

from pathlib import Path
from typing import TYPE_CHECKING

from bus.access_log import AccessLog
from bus.clock import Clock
from bus.events import Publishes
from bus.health import Journal
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device_store import DeviceStore
from collector.reading_now import Reader
from collector.readings import Readings
from collector.reception import open_desk
from collector.registry import Registry, published
from collector.scanning import Nothing, Scan
from collector.service import Collector
from config.model import Settings, Storage

if TYPE_CHECKING:
    from collector.polling import PollingSource


_NOTHING = {
    "gpio": "a pin does not say what hangs on it: there is nothing to scan",
    "mqtt": "what others publish is chosen by [[import]] tables: there is nothing to scan",
    "host": "there is one computer, this one: there is nothing to scan",
}


def name_of(transport: str) -> str:
    """The service that reads a transport."""
    return f"collector_{transport}"


def roster_of(storage: Storage, transport: str) -> DeviceStore:
    """The devices that were added to a collector over MQTT."""
    return DeviceStore(Path(storage.state) / f"{name_of(transport)}-devices.json")


def receive(
    transport: str,
    settings: Settings,
    roster: DeviceStore,
    *,
    service: Collector,
    readings: Readings,
    publisher: Publisher,
    scan: Scan,
    reader: Reader,
    bus: Publishes,
    topics: Topics,
    clock: Clock,
    journal: Journal,
) -> None:
    """Read the roster's devices too, and answer requests from now on."""
    registry = Registry(
        transport,
        settings,
        roster,
        reads=service,
        readings=readings,
        publisher=publisher,
        clock=clock,
        journal=journal,
    )
    registry.start()
    name = name_of(transport)
    access = AccessLog(Path(settings.storage.state) / f"{name}-access.log", clock=clock, journal=journal)
    verbs = {"device_scan": scan.action(), "read": reader.action()}
    desk = open_desk(
        name, registry, verbs, bus=bus, topics=topics, clock=clock, journal=journal, access=access
    )
    service.open(desk, (scan, reader), published(readings), access)


def nothing_to_scan(transport: str) -> Scan:
    """The scan of a transport that has nothing to scan; its answer says why."""
    return Nothing(_NOTHING[transport])


def scan_of(transport: str, source: "PollingSource", readings: Readings) -> Scan:
    """How a transport whose devices are asked is scanned."""
    if transport == "i2c":
        from collector.scan_lines import I2cScan  # noqa: PLC0415 — only the collector that needs it

        return I2cScan(source, readings)
    if transport in ("serial", "tcp"):
        from collector.scan_lines import ModbusScan, guesses_of  # noqa: PLC0415 — the same

        return ModbusScan(source, readings, guesses_of, tcp=transport == "tcp")
    return nothing_to_scan(transport)
