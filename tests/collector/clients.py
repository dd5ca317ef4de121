"""Clients of a collector without a broker, and a whole BLE collector for them; the test is its radio."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bus.events import Message
from bus.health import Journal, encode
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.retained import RetainedTopics
from bus.topics import Topics
from collector.ble import BleSource, ReadBle
from collector.device import Owned, Readings, owned_devices, service_name
from collector.device_store import open_store
from collector.devices.description import LineError, Origin
from collector.devices.lines import Line
from collector.listening import BleScan, ListeningSource
from collector.polling import PollingSource
from collector.read import AskNow
from collector.registry import Registry, open_to_clients
from collector.service import Collector, LiveVerb
from collector.transports.radio import Advertisement
from config.model import Device, Settings, Storage
from tests.clock import FakeTime
from tests.collector.rig import InPlace, Rig
from tests.emulators import victron
from tests.fake_bus import FakeBus

# An answer as a client has it: plain JSON.
Json = Any
TOPICS = Topics()
KEY = bytes(range(16))


class Clients:
    """Asks the desk of a collector; `turn` of whoever runs the collector lets it work."""

    bus: FakeBus
    time: FakeTime
    service: Collector
    transport: str

    def send(self, verb: str, payload: bytes, *, retain: bool = False) -> None:
        """Deliver a request; nothing is worked on yet."""
        topic = TOPICS.request(f"collector_{self.transport}", verb)
        self.service.handle(Message(topic, payload, qos=0, retain=retain, mid=1, generation=1))

    def answers(self, verb: str) -> list[Json]:
        """Everything that was answered to a verb, oldest first."""
        return [json.loads(p) for p in self.bus.on(TOPICS.response(f"collector_{self.transport}", verb))]

    def turn(self) -> None:
        """One turn of the loop without time passing."""
        self.service.tick(self.time.monotonic_s)

    def ask(self, verb: str, **params: Json) -> Json:
        """The answer to a request that is answered at once."""
        before = len(self.answers(verb))
        self.send(verb, json.dumps(params).encode())
        self.turn()
        (answer,) = self.answers(verb)[before:]
        return answer

    def data(self, verb: str, **params: Json) -> Json:
        """The data of an answer that must be good."""
        answer = self.ask(verb, **params)
        assert answer["status"] == "ok", answer
        return answer["data"]

    def refusal(self, verb: str, **params: Json) -> tuple[str, str]:
        """Code and text of an error answer."""
        answer = self.ask(verb, **params)
        assert (answer["status"], answer["data"]) == ("error", {}), answer
        return answer["error"]["code"], answer["error"]["message"]


def let_in(transport: str, settings: Settings, service: Collector, bus: FakeBus, *live: LiveVerb) -> None:
    """Open the collector to clients, as the process does."""
    store = open_store(settings.storage, service_name(transport))
    registry = Registry(transport, settings, store, service, service._readings)
    scan, reader = live
    open_to_clients(registry, scan, reader, bus=bus, topics=TOPICS)


class Nowhere:
    """A connection that never comes about."""

    def open(self) -> None:
        """Nobody is in range."""
        raise LineError("it is not heard")

    def close(self) -> None:
        """There is nothing to close."""


def _nowhere(device: Owned) -> tuple[str, Callable[[], Line]]:
    return f"connection of {device.id}", Nowhere


class BleHouse(Clients):
    """A BLE collector on real files; `start` it again to see what is kept."""

    transport = "ble"

    def __init__(self, folder: Path, time: FakeTime, devices: dict[str, Device] | None = None) -> None:
        self.folder, self.time = folder, time
        self.start(devices or {})

    def start(self, devices: dict[str, Device]) -> None:
        """A new process with these devices in its file, on a broker that forgot everything."""
        time = self.time
        storage = Storage(runtime=str(self.folder / "run"), state=str(self.folder / "state"))
        self.settings = Settings(device=devices, storage=storage)
        self.bus, self.journal, self.emitted = FakeBus(), Journal(), []
        outbox = Outbox(self.folder / "run", self.folder / "state", "collector_ble")
        self.bus.retained = RetainedTopics(self.folder / "state" / "collector_ble-published.json")
        self.publisher = Publisher(self.bus, TOPICS, outbox, time.clock, self.journal)
        self.publisher.take(TOPICS.service("statistician"), b"online", time.monotonic_s, kept=True)
        self.readings = Readings(self.publisher, clock=time.clock, journal=self.journal)
        polling = PollingSource(self.readings, _nowhere, emit=self.emitted.append, worker=InPlace)
        source = BleSource(self.readings, ListeningSource(self.readings, emit=self.emitted.append), polling)
        self.service = Collector(
            owned_devices(self.settings, "ble", time.monotonic_s), source, self.readings, topics=TOPICS
        )
        let_in(
            "ble",
            self.settings,
            self.service,
            self.bus,
            BleScan(self.readings),
            ReadBle(self.readings, polling),
        )
        self._iv = 0

    emitted: list[object]

    def hear(
        self,
        address: str,
        *,
        key: bytes = KEY,
        rssi: int = -61,
        name: str | None = None,
        voltage: float = 13.2,
    ) -> None:
        """A battery monitor advertises."""
        self._iv += 1
        data = victron.battery_monitor(victron.BatteryMonitor(voltage=voltage), key, iv=self._iv)
        self.hear_bytes(address, data, rssi=rssi, name=name)

    def hear_bytes(self, address: str, data: bytes, *, rssi: int = -61, name: str | None = None) -> None:
        """An advertisement, whatever it says."""
        self.hear_frames(address, {victron.COMPANY: data}, rssi=rssi, name=name)

    def hear_frames(
        self, address: str, frames: Mapping[Origin, bytes], *, rssi: int = -61, name: str | None = None
    ) -> None:
        """An advertisement of several makers, whatever it says."""
        self.service.handle(Advertisement(address, frames, name, rssi, self.time.monotonic_s))

    def pass_(self, seconds: float) -> None:
        """Let time pass as the process's loop would."""
        self.service.tick(self.time.pass_(seconds))

    def health(self) -> bytes:
        """What the process would say of itself."""
        return encode(self.journal, started_ms=0, uptime=1.0, queue=0, outbox=self.service.waiting())

    def retained(self) -> dict[str, bytes]:
        """What a broker that saw everything hands to a new subscriber."""
        kept: dict[str, bytes] = {}
        for message in self.bus.published:
            if message.retain:
                kept[message.topic] = message.payload
        return {topic: payload for topic, payload in kept.items() if payload}

    def said(self, device: str) -> list[Json]:
        """The device's readings on the wire."""
        return [json.loads(payload) for payload in self.bus.on(TOPICS.state(device)) if payload]


class LineHouse(Clients):
    """A collector of lines in a Rig, with `scan` for its desk; a job is done when it is given."""

    def __init__(
        self,
        folder: Path,
        time: FakeTime,
        devices: dict[str, Device],
        transport: str,
        *,
        lines: Callable[[Owned], tuple[str, Callable[[], Line]]],
        scan: Callable[[PollingSource, Readings], LiveVerb],
    ) -> None:
        self.rig = Rig(folder, time, devices, transport, lines)
        self.time, self.transport = time, transport
        self.bus, self.service = self.rig.bus, self.rig.service
        storage = Storage(runtime=str(folder / "run"), state=str(folder / "state"))
        source, readings = self.rig.source, self.rig.readings
        settings = Settings(device=devices, storage=storage)
        let_in(transport, settings, self.service, self.bus, scan(source, readings), AskNow(source, readings))

    def turn(self) -> None:
        """One turn of the loop with every event it leads to."""
        self.rig.tick(self.time.monotonic_s)

    def scan(self, **params: Json) -> tuple[list[Json], Json]:
        """What a scan told as it went, and its answer."""
        before = len(self.answers("device_scan"))
        self.send("device_scan", json.dumps(params).encode())
        for _ in range(2000):
            self.turn()
            told = self.answers("device_scan")[before:]
            if told and told[-1]["status"] != "progress":
                return [one["data"] for one in told[:-1]], told[-1]
        raise AssertionError("the scan does not end")
