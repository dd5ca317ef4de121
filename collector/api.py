"""What clients may ask a collector, and how it is opened to them: the verbs, the roster, the scan."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from bus.access_log import AccessLog
from bus.clock import Clock
from bus.commands import Refused
from bus.events import Publishes
from bus.health import Journal
from bus.publisher import Publisher
from bus.request_server import RequestServer
from bus.requests import Action, Listing, Part, Parts, Place, action
from bus.topics import Topics
from collector import scanning
from collector.device_store import DeviceSettings, DeviceStore, Renamed, Which, Whose, masked
from collector.reading_now import Reader
from collector.readings import Readings
from collector.registry import Registry, published
from collector.scanning import Scan
from collector.service import Collector
from config import model

if TYPE_CHECKING:
    from collector.polling import PollingSource

P = TypeVar("P", bound=Struct)

_NOTHING = {
    "gpio": "a pin does not say what hangs on it: there is nothing to scan",
    "mqtt": "what others publish is chosen by [[import]] tables: there is nothing to scan",
    "host": "there is one computer, this one: there is nothing to scan",
}


class Nothing(Struct, forbid_unknown_fields=True):
    """No parameters."""


def verbs(registry: Registry) -> Mapping[str, Action]:
    """Return the verbs of every collector."""

    def removed(asked: Which) -> object:
        registry.remove(asked.device)
        return {"removed": asked.device}

    return {
        "devices": action(Nothing, _devices(registry), key=tuple[str]),
        "device_add": _once(DeviceSettings, registry.add),
        "device_update": _once(DeviceSettings, registry.update),
        "device_rename": _once(Renamed, lambda a: registry.rename(a.device, a.to)),
        "device_remove": _once(Which, removed),
        "entity_enable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=True)),
        "entity_disable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=False)),
    }


def _devices(registry: Registry) -> Callable[[Nothing, Place], Listing]:
    def run(_asked: Nothing, place: Place) -> Listing:
        after = "" if place.after is None else str(place.after[0])
        parts = (Part((entry.device,), entry) for entry in registry.entries() if entry.device > after)
        return Listing(parts, lambda found: [part.value for part in found])

    return run


def _once(params: type[P], run: Callable[[P], object]) -> Action:
    """An action whose refusals never show a secret that the request held."""

    def parts(asked: P) -> Parts:
        try:
            yield Part((), run(asked))
        except Refused as refusal:
            raise Refused(refusal.code, masked(str(refusal), asked)) from refusal

    found = action(params, lambda asked, _place: Listing.whole(parts(asked)))

    def start(raw: bytes, place: Place) -> Listing:
        try:
            return found.start(raw, place)
        except Refused as refusal:
            raise Refused(refusal.code, masked(str(refusal))) from refusal

    return Action(start, found.key, found.largest, found.params, changes=True)


def name_of(transport: str) -> str:
    """Return the service that reads a transport."""
    return f"collector_{transport}"


def roster_of(storage: model.Storage, transport: str) -> DeviceStore:
    """Return the devices that were added to a collector over MQTT."""
    return DeviceStore(Path(storage.state) / f"{name_of(transport)}-devices.json")


def open_to_clients(
    transport: str,
    settings: model.Settings,
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
    """Read the devices that were added over MQTT too, and answer requests from now on."""
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
    more = {"device_scan": scan.action(), "read": reader.action()}
    desk = RequestServer(
        name,
        {**verbs(registry), **more},
        bus=bus,
        topics=topics,
        journal=journal,
        wall=clock.wall,
        access=access,
    )
    service.open(desk, (scan, reader), published(readings), access)


def nothing_to_scan(transport: str) -> Scan:
    """Return the scan of a transport that has nothing to scan; its answer says why."""
    return scanning.Nothing(_NOTHING[transport])


def scan_of(transport: str, source: "PollingSource", readings: Readings) -> Scan:
    """Return the scan of a transport whose devices are asked."""
    if transport == "i2c":
        from collector.scan_lines import I2cScan  # noqa: PLC0415 — only the collector that needs it

        return I2cScan(source, readings)
    if transport in ("serial", "tcp"):
        from collector.scan_lines import ModbusScan, guesses_of  # noqa: PLC0415 — the same

        return ModbusScan(source, readings, guesses_of, tcp=transport == "tcp")
    return nothing_to_scan(transport)
