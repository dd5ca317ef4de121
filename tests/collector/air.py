"""A collector of devices that are connected: the real radio on a real D-Bus with a fake bluetoothd."""

import json
import queue
import time as real_time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bus.clock import Clock
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.ble import BleSource
from collector.device import Readings, owned_devices
from collector.lines import Surroundings, line_of
from collector.listening import ListeningSource
from collector.polling import PollingSource
from collector.service import Collector
from collector.transports.radio import Ladder, Radio, RadioState
from config.model import Device, Settings
from tests.clock import NOON_MS
from tests.emulators.bluez import FakeBluez
from tests.emulators.dbus import PrivateBus
from tests.fake_bus import FakeBus

# Long enough for a busy machine; far below the watchdog, which must not be what finds a fault.
SOON, WATCHDOG = 20.0, 86_400.0


class Air:
    """A collector with its radio; time runs, and a test moves it on."""

    def __init__(
        self,
        folder: Path,
        dbus: PrivateBus,
        bluez: FakeBluez,
        devices: dict[str, Device],
        *,
        mode: str = "active",
        silence: float = WATCHDOG,
    ) -> None:
        self.dbus, self.bluez = dbus, bluez
        self.states: list[RadioState] = []
        self._ahead = 0.0
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.bus, self.journal = FakeBus(), Journal()
        clock = Clock(lambda: NOON_MS, self.now, lambda: "ok")
        outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        publisher = Publisher(self.bus, Topics(), outbox, clock, self.journal)
        publisher.take(Topics().service("statistician"), b"online", self.now(), kept=True)
        self.readings = Readings(publisher, clock=clock, journal=self.journal)
        ladder = Ladder(silence=silence, first_retry=0.02, longest_retry=0.1)
        self.radio = Radio(
            "hci0",
            "passive" if mode == "passive" else "active",
            self._events.put,
            ladder=ladder,
            patience=5.0,
            monotonic=self.now,
        )
        lines = partial(line_of, around=Surroundings(connections=self.radio.connections))
        self.polling = PollingSource(self.readings, lines, emit=self._events.put, chance=lambda: 0.0)
        listening = ListeningSource(self.readings, emit=self._events.put)
        source = BleSource(self.readings, listening, self.polling)
        owned = owned_devices(Settings(device=devices), "ble", self.now())
        self.service = Collector(owned, source, self.readings, topics=Topics())

    def now(self) -> float:
        """Monotonic seconds."""
        return real_time.monotonic() + self._ahead

    def start(self) -> None:
        """Switch the radio on."""
        self.radio.start()

    def stop(self) -> None:
        """Switch it off."""
        self.radio.stop()
        self.polling.stop()

    def pass_(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead += seconds
        self.service.tick(self.now())

    def until(self, done: Callable[[], bool], *, pace: float = 0.0) -> None:
        """Turn the loop until it is so; with `pace` each turn is so many seconds longer than it is."""
        end = real_time.monotonic() + SOON
        while not done():
            if real_time.monotonic() > end:
                raise TimeoutError(f"{self.journal.problems}, {self.journal.facts}, {self.bluez.calls[-20:]}")
            try:
                event = self._events.get(timeout=0.02)
            except queue.Empty:
                self.pass_(pace)
                continue
            if isinstance(event, RadioState):
                self.states.append(event)
            self.service.handle(event)

    def said(self, device: str) -> list[dict[str, object]]:
        """The device's readings on the wire, oldest first."""
        return [json.loads(payload) for payload in self.bus.on(Topics().state(device))]

    def about(self, device: str) -> dict[str, dict[str, object]]:
        """The device's newest description: its entities by id."""
        entities: dict[str, dict[str, object]] = json.loads(self.bus.on(Topics().about(device))[-1])[
            "entities"
        ]
        return entities

    def polled(self, device: str, times: int = 1) -> None:
        """Wait until the device has said so much more."""
        before = len(self.said(device))
        self.until(lambda: len(self.said(device)) >= before + times, pace=1.0)

    def online(self, device: str) -> bool:
        """What its availability says."""
        return self.bus.on(Topics().availability(device))[-1:] == [b"online"]

    def problem(self, device: str) -> str:
        """What health says of it."""
        return self.journal.problems.get(f"device.{device}", "")
