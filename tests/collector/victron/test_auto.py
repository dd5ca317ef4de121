"""The kind `victron` finds out what a device is: from one record, and in the collector's service."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Readings, owned_devices
from collector.devices import KINDS
from collector.devices.description import BadRecordError, ImplausibleError, WrongKeyError, WrongKindError
from collector.devices.victron.ble import BY_RECORD_TYPE
from collector.listening import ListeningSource
from collector.service import Collector
from collector.transports.radio import Advertisement
from config.model import Device, Settings
from tests.clock import FakeTime
from tests.collector.kinds import ble_kind
from tests.collector.rig import check
from tests.emulators import victron, victron_records
from tests.emulators.victron_records import TWINS
from tests.fake_bus import FakeBus

_KEY = bytes.fromhex("64ba49f1a8562e45197a8e1fe50d7658")
_ADDRESS = "C0:11:22:33:44:55"
_FRAMES = {
    **{name: layout.sealed({}, _KEY) for name, layout in TWINS.items()},
    "victron_battery_monitor": victron.battery_monitor(victron.BatteryMonitor(), _KEY),
    "victron_solar_charger": victron.solar_charger(victron.SolarCharger(), _KEY),
}
_AUTO = ble_kind("victron")


@pytest.mark.parametrize("name", sorted(_FRAMES))
def test_a_record_is_read_as_what_it_is(name: str) -> None:
    own, found = ble_kind(name).decode(_FRAMES[name], _KEY), _AUTO.decode(_FRAMES[name], _KEY)
    assert found.rows is ble_kind(name).rows
    assert (found.values, found.model, found.unknown) == (own.values, own.model, own.unknown)


def test_every_victron_kind_over_bluetooth_can_be_found() -> None:
    names = {name for name, kind in KINDS.items() if name.startswith("victron_")}
    assert {kind.name for kind in BY_RECORD_TYPE.values()} == set(_FRAMES) == names


@pytest.mark.parametrize("model_id", [0xA3A4, 0xA3A5])
def test_a_battery_sense_is_told_by_its_model(model_id: int) -> None:
    layout = victron_records.BATTERY_SENSE
    raw = layout.sealed({"voltage": 12.2, "temperature": 21.5}, _KEY, model_id=model_id)
    assert _AUTO.decode(raw, _KEY).values == {"voltage": 12.2, "temperature": 21.5}
    monitor = layout.sealed({"voltage": 12.2}, _KEY, model_id=victron.SMARTSHUNT_500A)
    assert "soc" in _AUTO.decode(monitor, _KEY).values


@pytest.mark.parametrize(("readout_type", "name"), [(0x07, "GX device"), (0x42, "unknown record type 0x42")])
def test_a_record_nobody_reads_is_told_with_those_that_are(readout_type: int, name: str) -> None:
    raw = victron.seal(bytes(16), _KEY, readout_type=readout_type, model_id=0xA300, iv=1)
    with pytest.raises(WrongKindError) as caught:
        _AUTO.decode(raw, _KEY)
    assert name in str(caught.value)
    for known in ("solar charger", "Smart Battery Sense", "VE.Bus", "Orion XS", "Lynx Smart BMS"):
        assert known in str(caught.value)


def test_mistakes_are_those_of_the_kind_found() -> None:
    raw = _FRAMES["victron_inverter"]
    with pytest.raises(WrongKeyError):
        _AUTO.decode(raw, bytes(16))
    with pytest.raises(BadRecordError, match="Instant Readout"):
        _AUTO.decode(b"\x02" + raw[1:], _KEY)
    with pytest.raises(BadRecordError, match="inverter record has 19 bytes"):
        _AUTO.decode(raw[:-1], _KEY)
    layout = victron_records.INVERTER
    with pytest.raises(ImplausibleError):
        _AUTO.decode(layout.sealed({"ac_voltage": 301.0}, _KEY), _KEY)


class Setup:
    """A collector of one device of kind `victron`; the test is the radio."""

    def __init__(self, folder: Path, time: FakeTime, device: Device) -> None:
        self.bus, self.time, self.journal = FakeBus(), time, Journal()
        settings = Settings(device={"thing": device})
        check(settings, "boondock.toml")
        outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        publisher = Publisher(self.bus, Topics(), outbox, time.clock, self.journal)
        clock, journal = time.clock, self.journal
        readings = Readings(publisher, clock=clock, journal=journal)
        self.service = Collector(
            owned_devices(settings, "ble", time.monotonic_s),
            ListeningSource(readings, emit=lambda _: None),
            readings,
            topics=Topics(),
        )

    def hear(self, raw: bytes) -> None:
        """One advertisement of it."""
        self.service.handle(Advertisement(_ADDRESS, {victron.COMPANY: raw}, None, -61, self.time.monotonic_s))

    def abouts(self) -> list[dict[str, Any]]:
        """Its descriptions on the wire, oldest first."""
        return [json.loads(payload) for payload in self.bus.on(Topics().about("thing"))]

    def readings(self) -> list[dict[str, object]]:
        """Its readings on the wire, oldest first."""
        return [json.loads(payload) for payload in self.bus.on(Topics().state("thing"))]


def _setup(folder: Path, time: FakeTime, **settings: object) -> Setup:
    device = Device(kind="victron", address=_ADDRESS, key=_KEY.hex(), **settings)  # type: ignore[arg-type] # few
    return Setup(folder, time, device)


def test_the_service_describes_the_device_once_it_is_heard(tmp_path: Path, time: FakeTime) -> None:
    setup = _setup(tmp_path, time)
    assert [set(about["entities"]) for about in setup.abouts()] == [{"rssi"}]
    charger = victron_records.AC_CHARGER
    setup.hear(charger.sealed({"state": 3, "error": 0, "voltage_1": 13.5, "current_1": 5.0}, _KEY, iv=1))
    about = setup.abouts()[-1]
    kind = ble_kind("victron_ac_charger")
    assert set(about["entities"]) == {name for name, row in kind.rows.items() if not row.optional}
    assert about["entities"]["charge_state"]["device_class"] == "enum"
    assert about["model"] == "Blue Smart IP22 Charger 12/30 (1)"
    (reading,) = setup.readings()
    said = {name: reading[name] for name in ("charge_state", "voltage", "current", "temperature", "rssi")}
    assert said == {
        "charge_state": "bulk",
        "voltage": 13.5,
        "current": 5.0,
        "temperature": None,
        "rssi": -61,
    }
    assert setup.bus.on(Topics().availability("thing")) == [b"online"]


def test_it_is_described_again_only_when_it_reveals_more(tmp_path: Path, time: FakeTime) -> None:
    setup = _setup(tmp_path, time)
    charger = victron_records.AC_CHARGER
    for iv in range(1, 5):
        setup.hear(charger.sealed({"voltage_1": 13.5}, _KEY, iv=iv))
        time.pass_(2)
    assert len(setup.abouts()) == 2
    setup.hear(charger.sealed({"voltage_1": 13.5, "voltage_2": 12.9}, _KEY, iv=5))
    assert len(setup.abouts()) == 3
    assert "voltage_2" in setup.abouts()[-1]["entities"]


def test_steps_and_disabled_hold_for_what_was_found(tmp_path: Path, time: FakeTime) -> None:
    setup = _setup(tmp_path, time, steps={"voltage": 0.5}, disabled=("charger_error",))
    charger = victron_records.AC_CHARGER
    for iv, voltage in enumerate((13.0, 13.2, 13.4, 13.6), start=1):
        setup.hear(charger.sealed({"voltage_1": voltage}, _KEY, iv=iv))
        time.pass_(2)
    assert [reading["voltage"] for reading in setup.readings()] == [13.0, 13.6]
    assert "charger_error" not in setup.readings()[-1]
    assert "charger_error" not in setup.abouts()[-1]["entities"]


def test_the_owner_of_an_unread_device_is_told_which_are_read(tmp_path: Path, time: FakeTime) -> None:
    setup = _setup(tmp_path, time)
    for iv in range(3):
        setup.hear(victron.seal(bytes(16), _KEY, readout_type=0x07, model_id=0xA300, iv=iv))
    assert "GX device" in setup.journal.problems["device.thing"]
    assert "Multi RS" in setup.journal.problems["device.thing"]
    assert setup.readings() == []
    assert [set(about["entities"]) for about in setup.abouts()] == [{"rssi"}]


def test_a_wrong_key_describes_nothing(tmp_path: Path, time: FakeTime) -> None:
    setup = _setup(tmp_path, time)
    for iv in range(3):
        setup.hear(victron_records.VE_BUS.sealed({"voltage": 13.5}, bytes(16), iv=iv))
    assert "key" in setup.journal.problems["device.thing"]
    assert [set(about["entities"]) for about in setup.abouts()] == [{"rssi"}]
