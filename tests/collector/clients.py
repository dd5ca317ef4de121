"""Clients of a collector without a broker, and a whole BLE collector for them; the test is its radio."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.events import Message
from bus.health import Journal, encode
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.retained import RetainedTopics
from bus.topics import Topics
from collector.api import open_to_clients, roster_of
from collector.device import Owned, owned_devices
from collector.devices.lines import Line
from collector.listening import ListeningSource
from collector.polling import PollingSource
from collector.reading_now import AskNow, LastFrames, Reader
from collector.readings import Readings
from collector.scan_ble import BleScan
from collector.scanning import Scan
from collector.service import Collector
from collector.transports.ble.radio import Advertisement
from config.model import Device, Settings, Storage
from tests.clock import FakeTime
from tests.collector.rig import Rig
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


def let_in(
    transport: str,
    settings: Settings,
    scan: Scan,
    reader: Reader,
    *,
    service: Collector,
    readings: Readings,
    publisher: Publisher,
    bus: FakeBus,
    time: FakeTime,
    journal: Journal,
) -> None:
    """Open the desk, as the process does."""
    open_to_clients(
        transport,
        settings,
        roster_of(settings.storage, transport),
        service=service,
        readings=readings,
        publisher=publisher,
        scan=scan,
        reader=reader,
        bus=bus,
        topics=TOPICS,
        clock=time.clock,
        journal=journal,
    )


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
        source = ListeningSource(
            self.readings, clock=time.clock, journal=self.journal, emit=self.emitted.append
        )
        self.service = Collector(
            owned_devices(self.settings, "ble", time.monotonic_s),
            source,
            self.readings,
            self.publisher,
            topics=TOPICS,
            clock=time.clock,
            journal=self.journal,
        )
        let_in(
            "ble",
            self.settings,
            BleScan(self.readings, clock=time.clock),
            LastFrames(self.readings, clock=time.clock),
            service=self.service,
            readings=self.readings,
            publisher=self.publisher,
            bus=self.bus,
            time=time,
            journal=self.journal,
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
        self.service.handle(Advertisement(address, data, name, rssi, self.time.monotonic_s))

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
        scan: Callable[[PollingSource, Readings], Scan],
    ) -> None:
        self.rig = Rig(folder, time, devices, transport, lines)
        self.time, self.transport = time, transport
        self.bus, self.service = self.rig.bus, self.rig.service
        storage = Storage(runtime=str(folder / "run"), state=str(folder / "state"))
        let_in(
            transport,
            Settings(device=devices, storage=storage),
            scan(self.rig.source, self.rig.readings),
            AskNow(self.rig.source, self.rig.readings, clock=time.clock),
            service=self.service,
            readings=self.rig.readings,
            publisher=self.service._publisher,
            bus=self.bus,
            time=time,
            journal=self.rig.journal,
        )

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
