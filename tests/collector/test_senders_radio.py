"""Every kind that advertises, from a fake BlueZ on a real D-Bus through the real bleak to the state topic."""

import json
import queue
import time as real_time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bus.clock import Clock
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Readings, owned_devices
from collector.listening import BleScan, ListeningSource
from collector.service import Collector
from collector.transports.radio import Event, Ladder, Radio
from config.model import Device, Settings
from tests.clock import NOON_MS
from tests.collector.rig import check
from tests.emulators import senders
from tests.emulators.bluez import FakeBluez
from tests.emulators.dbus import PrivateBus
from tests.emulators.victron import COMPANY
from tests.emulators.victron_records import INVERTER_RS, SMART_BMS, SOLARSENSE
from tests.fake_bus import FakeBus

KEY = bytes(range(16))
ADDRESSES = {
    name: f"C0:11:22:33:55:{number:02X}"
    for number, name in enumerate(("gas", "tank", "tag", "fridge", "door", "light", "bms", "rs"))
}
DEVICES = {
    "gas": Device(kind="mopeka", address=ADDRESSES["gas"], calibration=((20, 0), (270, 100)), capacity=20.0),
    "tank": Device(kind="gobius", address=ADDRESSES["tank"], calibration=((400, 0), (30, 100))),
    "tag": Device(kind="ruuvi", address=ADDRESSES["tag"]),
    "fridge": Device(kind="bthome", address=ADDRESSES["fridge"], key=KEY.hex()),
    "door": Device(kind="bthome", address=ADDRESSES["door"].lower()),
    "light": Device(kind="victron_solarsense", address=ADDRESSES["light"]),
    "bms": Device(kind="victron", address=ADDRESSES["bms"], key=KEY.hex()),
    "rs": Device(kind="victron_inverter_rs", address=ADDRESSES["rs"], key=KEY.hex()),
}
# Company or service, data, and what must stand on the state topic.
Case = tuple[int | str, bytes, Mapping[str, object]]


def cases() -> dict[str, Case]:
    at = ADDRESSES
    tag = senders.ruuvi_5(at["tag"], 21.5, 45.0, 101_300)
    fridge = senders.BtHomeDevice(at["fridge"], KEY).says(senders.temperature(4.5), senders.battery(80))
    door = b"\x44\x00\x07\x2d\x01\x3a\x01"
    light = SOLARSENSE.sealed({"irradiance": 750.5, "power": 600, "cell_temperature": 24.9}, KEY)
    bms = SMART_BMS.sealed({"voltage_1": 12.56, "voltage_2": 12.55, "voltage_3": 12.15}, KEY)
    inverter = INVERTER_RS.sealed({"voltage": 51.7, "current": -12.8, "pv_power": 500}, KEY)
    return {
        "gas": (senders.MOPEKA, senders.mopeka(at["gas"], 145), {"level": 50, "volume": 10, "distance": 145}),
        "tank": (senders.GOBIUS, senders.gobius(at["tank"], 215), {"level": 50, "temperature": 18}),
        "tag": (senders.RUUVI, tag, {"temperature": 21.5, "humidity": 45, "pressure": 1013}),
        "fridge": (senders.BTHOME, fridge, {"temperature": 4.5, "battery": 80}),
        "door": (senders.BTHOME, door, {"window": "ON", "button": "press", "button_events": 1}),
        "light": (COMPANY, light, {"irradiance": 750.5, "estimated_power": 600, "cell_temperature": 24.9}),
        "bms": (COMPANY, bms, {"voltage_1": 12.56, "voltage_2": 12.55, "voltage_3": 12.15}),
        "rs": (COMPANY, inverter, {"voltage": 51.7, "current": -12.8, "pv_power": 500}),
    }


class Air:
    """A collector with its radio on the fake BlueZ."""

    def __init__(self, folder: Path, bluez: FakeBluez, mode: str) -> None:
        self.bluez, self.bus, self.journal = bluez, FakeBus(), Journal()
        clock = Clock(lambda: NOON_MS, real_time.monotonic, lambda: "ok")
        outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        readings = Readings(
            Publisher(self.bus, Topics(), outbox, clock, self.journal), clock=clock, journal=self.journal
        )
        settings = Settings(device=DEVICES)
        check(settings, "boondock.toml")
        devices = owned_devices(settings, "ble", real_time.monotonic())
        self.scan = BleScan(readings)
        self.service = Collector(
            devices, ListeningSource(readings, emit=lambda _: None), readings, topics=Topics()
        )
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.radio = Radio(
            "hci0",
            "passive" if mode == "passive" else "active",
            self._events.put,
            ladder=Ladder(silence=86_400.0),
        )
        self.radio.start()
        assert bluez.wait_scanning(20.0)

    def says(self, name: str, origin: int | str, data: bytes, rssi: int = -60) -> dict[str, Any]:
        """Advertise, and return what stands on the device's state topic."""
        by_company = {origin: data} if isinstance(origin, int) else {}
        by_service = {origin: data} if isinstance(origin, str) else {}
        assert self.bluez.advertise(ADDRESSES[name], by_company, services=by_service, rssi=rssi)
        end = real_time.monotonic() + 20.0
        while not self.state(name):
            self.service.handle(self._events.get(timeout=max(0.0, end - real_time.monotonic())))
        return self.state(name)[-1]

    def state(self, name: str) -> list[dict[str, Any]]:
        """What was published of a device."""
        return [json.loads(payload) for payload in self.bus.on(f"camper/state/{name}")]


@pytest.fixture(params=["active", "passive"])
def air(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Air]:
    with PrivateBus() as dbus, FakeBluez(dbus.address) as bluez:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", dbus.address)
        air = Air(tmp_path, bluez, request.param)
        yield air
        air.radio.stop()


def test_what_a_sender_says_stands_on_its_state_topic(air: Air) -> None:
    told = cases()
    assert told.keys() == DEVICES.keys()
    for name, (origin, data, expected) in told.items():
        state = air.says(name, origin, data, rssi=-71)
        assert expected.items() <= {key: state.get(key) for key in expected}.items(), name
        assert state["rssi"] == -71
        about = json.loads(air.bus.on(f"camper/about/{name}")[-1])
        assert expected.keys() <= about["entities"].keys()
        assert air.bus.on(f"camper/availability/{name}") == [b"online"]
    assert air.journal.problems == {}


def test_the_passive_scan_hears_no_other_service(air: Air) -> None:
    heard = air.bluez.advertise(
        "5A:00:00:00:00:01", {}, services={"0000feaa-0000-1000-8000-00805f9b34fb": b"\x00"}
    )
    assert heard is ("StartDiscovery" in air.bluez.calls), "the active one hears all"
