"""Every profile on pymodbus's server, by TCP, to the state topic; what it refuses; the newer by serial port.

The registers are those of the cases, written from the profiles' sources; the other side is not ours.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.devices.modbus.models import load
from collector.devices.modbus.profile import Block
from config.model import Device
from tests.clock import FakeTime
from tests.collector.modbus_cases import DEYE_RECORDED, NEWER_CASES
from tests.collector.profile_cases import HOLDING, INPUT, Case
from tests.collector.rig import Rig
from tests.collector.test_faults_tcp import quick
from tests.collector.test_modbus_profiles import ALL
from tests.emulators.modbus_rtu import Slave, Tables
from tests.emulators.modbus_tcp import HOST, ModbusServer, Unit

CASES = {case.profile: case for case in ALL} | {"deye_recorded": DEYE_RECORDED}
UNITS = {name: number for number, name in enumerate(CASES, 1)}
# A device that has none of these registers, and one that the server does not have.
EMPTY, ABSENT = 200, 201


def answered(case: Case, block: Block) -> dict[int, int]:
    """The registers of a block that the device of a case has: all of it, or none."""
    table = {a + n: w for a, run in case.words.get(block.function, {}).items() for n, w in enumerate(run)}
    whole = range(block.address, block.address + block.count)
    return {a: table.get(a, 0) for a in whole} if any(a in table for a in whole) else {}


def unit(case: Case) -> Unit:
    """The whole device."""
    tables: dict[int, dict[int, int]] = {1: {}, HOLDING: {}, INPUT: {}}
    for function, runs in case.words.items():
        tables[function] |= {a + n: w for a, run in runs.items() for n, w in enumerate(run)}
    for block in load(case.profile).requests():
        tables.setdefault(block.function, {}).update(answered(case, block))
    coils = {address: bool(on) for address, on in tables[1].items()}
    return Unit(holding=tables[HOLDING], input=tables[INPUT], coils=coils)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    units = {UNITS[name]: unit(case) for name, case in CASES.items()} | {EMPTY: Unit()}
    with ModbusServer(units) as server:
        port = f"tcp://{HOST}:{server.port}"
        devices = {
            name: Device(kind="modbus", port=port, profile=case.profile, unit=UNITS[name], every=5)
            for name, case in CASES.items()
        }
        devices["empty"] = Device(kind="modbus", port=port, profile="sdm630", unit=EMPTY, every=5)
        folder: Path = tmp_path_factory.mktemp("wire")
        rig = Rig(folder, FakeTime(), devices, "tcp")
        # So long until what never answered is told.
        rig.run(75, step=5)
        yield rig
        rig.close()


@pytest.mark.parametrize("name", CASES)
def test_a_profile_reads_what_another_implementation_serves(rig: Rig, name: str) -> None:
    case = CASES[name]
    assert rig.online(name), rig.problem(name)
    reading = rig.said(name)[-1]
    expected = {key: value for key, value in case.expected.items() if value is not None}
    assert {key: reading.get(key, "absent") for key in expected} == expected
    assert [
        key for key, value in case.expected.items() if value is None and reading.get(key) is not None
    ] == []
    optional = [block for block in load(case.profile).blocks if block.optional and not answered(case, block)]
    refused = {value.id for block in optional for value in block.values} - case.expected.keys()
    assert not {key for key in refused if reading.get(key) is not None}, "refused with exception 2"


def test_a_device_without_these_registers_is_told_in_words(rig: Rig) -> None:
    assert not rig.online("empty")
    assert f"unit {EMPTY}" in (rig.problem("empty") or "")
    assert "no such address (exception 2)" in (rig.problem("empty") or "")


def test_a_unit_that_is_not_there_is_offline_and_the_others_on_its_line_are_not(tmp_path: Path) -> None:
    with ModbusServer({1: unit(CASES["sdm630"])}) as server:
        port = f"tcp://{HOST}:{server.port}"
        absent = Device(kind="modbus", port=port, profile="dtsu666", unit=ABSENT, every=5)
        meter = Device(kind="modbus", port=port, profile="sdm630", unit=1, every=5)
        rig = Rig(tmp_path, FakeTime(), {"meter": meter, "absent": absent}, "tcp", lines=quick)
        rig.run(75, step=5)
        assert (rig.online("meter"), rig.online("absent")) == (True, False)
        assert f"unit {ABSENT}" in (rig.problem("absent") or "")
        rig.close()


@pytest.mark.parametrize(
    ("behind", "profile", "says", "right"),
    [
        # StephanJoubert/home_assistant_solarman, issue 608: zeros from 586 on with the three-phase map.
        ("deye_hybrid_1p", "deye_sg04lp3", "register 0 says 3, a single-phase hybrid", "deye_hybrid_1p"),
        ("deye_hybrid_hv", "deye_sg04lp3", "register 0 says 6, a high-voltage", "deye_hybrid_hv"),
        ("deye_recorded", "deye_hybrid_hv", "register 0 says 5, a low-voltage", "deye_sg04lp3"),
        ("sdm120", "sdm630", "register 64514 says 32, an SDM120", None),
        ("sdm72", "sdm630", "register 64514 says 132, an SDM72 V1", "sdm72"),
        ("sdm630", "sdm120", "register 64514 says 112, an SDM630", None),
    ],
)
def test_a_model_of_another_profile_is_named_and_not_read(
    behind: str, profile: str, says: str, right: str | None, tmp_path: Path
) -> None:
    own = unit(CASES[behind])
    # What the wrong profile asks for is there, and 0.
    zeros: dict[int, dict[int, int]] = {HOLDING: {}, INPUT: {}}
    for block in load(profile).blocks:
        zeros[block.function] |= dict.fromkeys(range(block.address, block.address + block.count), 0)
    whole = Unit(holding=zeros[HOLDING] | dict(own.holding), input=zeros[INPUT] | dict(own.input))
    with ModbusServer({1: whole}) as server:
        device = Device(kind="modbus", port=f"tcp://{HOST}:{server.port}", profile=profile, every=5)
        rig = Rig(tmp_path, FakeTime(), {"sun": device}, "tcp")
        rig.run(75, step=5)
        told = rig.problem("sun") or ""
        assert says in told
        assert f'next: kind = "modbus", profile = "{right}"' in told or right is None, told
        keys = load(profile).rows()
        assert [key for one in rig.said("sun") for key in keys if one.get(key) is not None] == []
        assert not rig.online("sun")
        rig.close()


@pytest.mark.parametrize("name", [case.profile for case in NEWER_CASES])
def test_a_profile_reads_its_device_on_a_serial_port_at_the_makers_speed(name: str, tmp_path: Path) -> None:
    own, case, speed = unit(CASES[name]), CASES[name], load(name).about.baudrate
    tables = Tables(holding=dict(own.holding), input=dict(own.input))
    with Slave({1: tables}, baudrate=speed) as bus:
        device = Device(kind="modbus", port=bus.port, profile=name, every=5)
        rig = Rig(tmp_path, FakeTime(), {"it": device}, "serial")
        rig.run(5, step=2.5)
        assert rig.online("it"), rig.problem("it")
        expected = {key: value for key, value in case.expected.items() if value is not None}
        assert {key: rig.said("it")[-1].get(key, "absent") for key in expected} == expected
        rig.close()
