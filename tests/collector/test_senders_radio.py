"""Every kind that advertises, from a fake BlueZ on a real D-Bus through the real bleak to the state topic."""

import json
import queue
import time as real_time
from collections.abc import Callable, Iterator, Mapping
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
from tests.emulators.victron import COMPANY, seal
from tests.emulators.victron_records import INVERTER, INVERTER_RS, SOLARSENSE
from tests.fake_bus import FakeBus

KEY = bytes(range(16))
_FILE = Path(__file__).parents[1] / "captures" / "victron_ble_owners.json"
# What owners of such devices captured.
OWNERS = {one["kind"]: one for one in json.loads(_FILE.read_text())["vectors"]}
ADDRESSES = {
    name: f"C0:11:22:33:55:{number:02X}"
    for number, name in enumerate(("gas", "tank", "tag", "fridge", "door", "light", "rs", *OWNERS))
}
DEVICES = {
    "gas": Device(kind="mopeka", address=ADDRESSES["gas"], calibration=((20, 0), (270, 100)), capacity=20.0),
    "tank": Device(kind="gobius", address=ADDRESSES["tank"], calibration=((400, 0), (30, 100))),
    "tag": Device(kind="ruuvi", address=ADDRESSES["tag"]),
    "fridge": Device(kind="bthome", address=ADDRESSES["fridge"], key=KEY.hex()),
    "door": Device(kind="bthome", address=ADDRESSES["door"].lower()),
    "light": Device(kind="victron_solarsense", address=ADDRESSES["light"]),
    "rs": Device(kind="victron_inverter_rs", address=ADDRESSES["rs"], key=KEY.hex()),
} | {name: Device(kind="victron", address=ADDRESSES[name], key=KEY.hex()) for name in OWNERS}
# Company or service, data, and what must stand on the state topic.
Case = tuple[int | str, bytes, Mapping[str, object]]


def _sealed(owner: dict[str, Any]) -> bytes:
    number, model = int(owner["record"], 16), int(owner["model_id"], 16)
    return seal(bytes.fromhex(owner["plain"]), KEY, readout_type=number, model_id=model, iv=7)


def cases() -> dict[str, Case]:
    at = ADDRESSES
    tag = senders.ruuvi_5(at["tag"], 21.5, 45.0, 101_300)
    fridge = senders.BtHomeDevice(at["fridge"], KEY).says(senders.temperature(4.5), senders.battery(80))
    door = b"\x44\x00\x07\x2d\x01\x3a\x01"
    light = SOLARSENSE.sealed({"irradiance": 750.5, "power": 600, "cell_temperature": 24.9}, KEY)
    inverter = INVERTER_RS.sealed({"voltage": 51.7, "current": -12.8, "pv_power": 500}, KEY)
    return {
        "gas": (senders.MOPEKA, senders.mopeka(at["gas"], 145), {"level": 50, "volume": 10, "distance": 145}),
        "tank": (senders.GOBIUS, senders.gobius(at["tank"], 215), {"level": 50, "temperature": 18}),
        "tag": (senders.RUUVI, tag, {"temperature": 21.5, "humidity": 45, "pressure": 1013}),
        "fridge": (senders.BTHOME, fridge, {"temperature": 4.5, "battery": 80}),
        "door": (senders.BTHOME, door, {"window": "ON", "button": "press", "button_events": 1}),
        "light": (COMPANY, light, {"irradiance": 750.5, "estimated_power": 600, "cell_temperature": 24.9}),
        "rs": (COMPANY, inverter, {"voltage": 51.7, "current": -12.8, "pv_power": 500}),
        **{name: (COMPANY, _sealed(one), one["expected"]) for name, one in OWNERS.items()},
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
        self.until(lambda: bool(self.state(name)))
        return self.state(name)[-1]

    def until(self, done: Callable[[], bool]) -> None:
        """Handle the radio's events until it is so."""
        end = real_time.monotonic() + 20.0
        while not done():
            self.service.handle(self._events.get(timeout=max(0.0, end - real_time.monotonic())))

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


def test_records_of_an_unlisted_type_between_good_ones_cost_one_line(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "collector")
    name = "victron_inverter"
    odd = seal(bytes(12), KEY, readout_type=0x10, model_id=0xA231, iv=1)
    for pair in range(1, 121):
        says = INVERTER.sealed({"voltage": 12.0 + pair / 100}, KEY, iv=pair)
        for data in (says, odd):
            assert air.bluez.advertise(ADDRESSES[name], {COMPANY: data})
    air.until(lambda: air.journal.counters["frames"] == 240)
    assert air.state(name)[0]["voltage"] == 12.01
    assert air.journal.problems == {}
    assert [one.getMessage() for one in caplog.records] == [
        f"{name} says what nobody reads: records of type 0x10 (told once)"
    ]
