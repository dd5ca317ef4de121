"""Each family's twin: all that it can say comes back as it was meant, its protections by name."""

import pytest

from collector.devices import KINDS
from collector.devices.description import BadRecordError, Decoded, GattKind, NoAnswerError, RefusedError
from config.model import Device
from tests.collector.bms.lines import Spoken
from tests.emulators import bms
from tests.emulators.bms import Cells, Daly, Jbd, Jk, LiTime, Renogy, Topband, Twin


def read(kind: str, twin: Twin, unit: int | None = None) -> Decoded:
    found = KINDS[kind]
    assert isinstance(found, GattKind)
    return found.make(Device(kind=kind, address="AA:BB:CC:DD:EE:01", unit=unit)).poll(Spoken(twin), 0.0)


CELLS = (
    Cells(voltage=52.8, current=99.5, soc=100, left=200.0, capacity=200.0, cells=[3.3] * 16),
    Cells(current=0.0, soc=0, left=0.0, charge=False, discharge=False, cells=(2.5, 2.6, 2.7, 2.8)),
    Cells(degrees=(-20.0, 55.0), balancing=True, cycles=5000, voltage=26.4, cells=[3.3] * 8),
    Cells(current=-250.0),
)


@pytest.mark.parametrize("cells", CELLS, ids=str)
@pytest.mark.parametrize("kind", [name for name, _ in bms.every()])
def test_what_the_twin_measures_comes_back(kind: str, cells: Cells) -> None:
    twin = dict(bms.every())[kind]
    twin.says = cells
    decoded = read(kind, twin)
    values = decoded.values
    assert values["battery_voltage"] == cells.voltage
    assert values["battery_current"] == cells.current
    assert values["battery_soc"] == cells.soc
    assert values["remaining_capacity"] == cells.left
    assert values["charge_cycles"] == cells.cycles
    assert values["battery_power"] == round(cells.voltage * cells.current, 2)
    coarse = 0.05 if kind == "bms_renogy" else 1e-6
    said = [values[f"cell_voltage_{n}"] for n in range(1, len(cells.cells) + 1)]
    assert said == pytest.approx(list(cells.cells), abs=coarse)
    assert f"cell_voltage_{len(cells.cells) + 1}" not in values
    assert values["battery_temperature_1"] == pytest.approx(cells.degrees[0], abs=0.06)
    for entity, meant in (
        ("charge_mosfet", cells.charge),
        ("discharge_mosfet", cells.discharge),
        ("balancing", cells.balancing),
    ):
        word = "ON" if meant else "OFF"
        assert values.get(entity, word) == word
    assert values["alarm"] == "OFF"
    assert values["alarm_reason"] == "none"
    assert decoded.rows is not None
    assert values.keys() <= decoded.rows.keys()


# The twin with one bit set, and the protection that it stands for.
PROTECTIONS = (
    ("bms_jbd", Jbd(Cells(errors=1 << 0)), "high_cell_voltage"),
    ("bms_jbd", Jbd(Cells(errors=1 << 3)), "low_voltage"),
    ("bms_jbd", Jbd(Cells(errors=1 << 5)), "low_charge_temperature"),
    ("bms_jbd", Jbd(Cells(errors=1 << 9)), "high_discharge_current"),
    ("bms_jbd", Jbd(Cells(errors=1 << 10)), "short_circuit"),
    ("bms_jbd", Jbd(Cells(errors=1 << 12)), "mosfet_locked"),
    ("bms_daly", Daly(faults={0x3A: 1 << 1}), "high_cell_voltage"),
    ("bms_daly", Daly(faults={0x3A: 1 << 15}), "low_discharge_temperature"),
    ("bms_daly", Daly(faults={0x3B: 1 << 3}), "high_discharge_current"),
    ("bms_daly", Daly(faults={0x3C: 1 << 5}), "mosfet"),
    ("bms_daly", Daly(faults={0x3C: 1 << 14}), "communication"),
    ("bms_jk", Jk(Cells(errors=1 << 0)), "wiring"),
    ("bms_jk", Jk(Cells(errors=1 << 8)), "high_charge_temperature"),
    ("bms_jk", Jk(Cells(errors=1 << 11), version="10.08"), "low_cell_voltage"),
    ("bms_jk", Jk(Cells(errors=1 << 15)), "high_discharge_temperature"),
    ("bms_litime", LiTime(Cells(errors=1 << 2)), "high_voltage"),
    ("bms_litime", LiTime(Cells(errors=1 << 10)), "low_charge_temperature"),
    ("bms_litime", LiTime(Cells(errors=1 << 14)), "short_circuit"),
    ("bms_renogy", Renogy(Cells(errors=1 << 0)), "short_circuit"),
    ("bms_renogy", Renogy(Cells(errors=1 << 8)), "high_cell_voltage"),
    ("bms_renogy", Renogy(Cells(errors=1 << 13)), "low_charge_temperature"),
)


@pytest.mark.parametrize(("kind", "twin", "word"), PROTECTIONS)
def test_a_protection_is_told_by_its_name(kind: str, twin: Twin, word: str) -> None:
    values = read(kind, twin).values
    assert values["alarm"] == "ON"
    assert values["alarm_reason"] == word
    on = [entity for entity, value in values.items() if entity.startswith("alarm_") and value == "ON"]
    assert on == [f"alarm_{word}"]


@pytest.mark.parametrize(
    ("kind", "twin", "reason"),
    [
        ("bms_jbd", Jbd(Cells(errors=1 << 15)), "bit 15"),
        ("bms_daly", Daly(faults={0x3D: 1 << 4}), "register 0x3d bit 4"),
        ("bms_litime", LiTime(Cells(errors=1 << 63)), "bit 63"),
        ("bms_renogy", Renogy(alarms={5100: 1}), "cell or sensor, see its app"),
        ("bms_topband", Topband(Cells(errors=0b101)), "bit 0, bit 2"),
    ],
)
def test_a_bit_that_nobody_described_is_told_too(kind: str, twin: Twin, reason: str) -> None:
    values = read(kind, twin).values
    assert (values["alarm"], values["alarm_reason"]) == ("ON", reason)


@pytest.mark.parametrize(
    ("kind", "twin", "reason"),
    [
        ("bms_daly", Daly(faults={0x3A: 1}), "high_cell_voltage"),
        ("bms_daly", Daly(faults={0x3B: 3 << 6}), "low_soc"),
        ("bms_daly", Daly(faults={0x3C: 2}), "high_mosfet_temperature"),
        ("bms_jk", Jk(Cells(errors=1 << 4)), "high_cell_voltage"),
        ("bms_renogy", Renogy(warnings=1 << 4), "low_charge_temperature"),
    ],
)
def test_a_warning_is_no_alarm(kind: str, twin: Twin, reason: str) -> None:
    values = read(kind, twin).values
    assert (values["warning"], values["warning_reason"], values["alarm"]) == ("ON", reason, "OFF")


@pytest.mark.parametrize("version", ["9.01", "10.08", "11.48", "15.38", "19.27"])
def test_a_jk_is_read_by_the_layout_of_its_version(version: str) -> None:
    decoded = read("bms_jk", Jk(Cells(cells=[3.3] * 16, voltage=52.8, mosfet=31.5), version=version))
    assert decoded.sw_version == version
    assert decoded.values["battery_voltage"] == 52.8
    assert decoded.values["mosfet_temperature"] == 31.5
    assert decoded.values["cell_voltage_16"] == 3.3


@pytest.mark.parametrize(
    "cells",
    [Cells(voltage=300.0), Cells(current=3000.0), Cells(cells=(3.3, 8.0)), Cells(degrees=(160.0,))],
    ids=["voltage", "current", "cell", "temperature"],
)
def test_what_no_battery_of_a_van_has_is_not_believed(cells: Cells) -> None:
    with pytest.raises(BadRecordError, match="implausible"):
        read("bms_jk", Jk(cells))


def test_a_sensor_that_is_not_there_has_no_degrees() -> None:
    values = read("bms_jk", Jk(Cells(degrees=(21.0,)))).values
    assert (values["battery_temperature_1"], values["battery_temperature_2"]) == (21.0, None)


def test_a_jk_without_a_version_is_not_read_by_guess() -> None:
    with pytest.raises(BadRecordError, match="version"):
        read("bms_jk", Jk(version="?"))


def test_the_second_battery_on_a_bt_2_has_a_unit_of_its_own() -> None:
    assert read("bms_renogy", Renogy(unit=49), 49).values["battery_soc"] == 76
    with pytest.raises(NoAnswerError):
        read("bms_renogy", Renogy(unit=49))


def test_a_bms_that_sleeps_is_asked_twice() -> None:
    assert read("bms_jbd", Jbd(mute=1)).values["battery_soc"] == 76
    with pytest.raises(NoAnswerError):
        read("bms_jbd", Jbd(mute=2))


def test_a_refusal_is_told() -> None:
    class Refusing(Jbd):
        """It has no register 4."""

        def answer(self, uuid: int, data: bytes) -> bytes:
            return super().answer(uuid, data) if data[2] != 4 else b"\xdd\x04\x80\x00\xff\x80\x77"

    with pytest.raises(RefusedError, match="register 4"):
        read("bms_jbd", Refusing())


def test_versions_that_a_daly_does_not_tell_are_no_trouble() -> None:
    decoded = read("bms_daly", Daly(versions=False))
    assert (decoded.values["battery_soc"], decoded.sw_version) == (76, None)
