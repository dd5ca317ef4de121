"""What goes wrong between us and a Modbus TCP device, on a real connection, as its owner sees it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.device import Owned
from collector.devices.lines import Line
from collector.devices.modbus import tcp_address
from collector.lines import line_of
from collector.transports.modbus_tcp import ModbusTcp
from config.model import Device
from tests.clock import FakeTime
from tests.collector.profile_cases import CASES, HOLDING
from tests.collector.rig import Rig
from tests.emulators.modbus_tcp import HOST, HostileServer

REGISTERS = {a + n: w for a, run in CASES[0].words[HOLDING].items() for n, w in enumerate(run)}
# A block is read whole: what the document leaves out between is 0.
WHOLE = {a: REGISTERS.get(a, 0) for first in (30000, 32016, 37000, 37700) for a in range(first, first + 125)}
GONE = 400.0


def quick(owned: Owned) -> tuple[str, Callable[[], Line]]:
    """The real line, but impatient."""
    name, make = line_of(owned)
    assert isinstance(make(), ModbusTcp)
    host, port = tcp_address(owned.settings.port or "")
    return name, lambda: ModbusTcp(host, port, timeout=0.15)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(1, WHOLE) as server:
        yield server


@pytest.fixture
def other() -> Iterator[HostileServer]:
    with HostileServer(7, WHOLE) as server:
        yield server


def device(server: HostileServer, unit: int = 1) -> Device:
    port = f"tcp://{HOST}:{server.port}"
    return Device(kind="modbus", port=port, profile="huawei_sun2000", unit=unit, every=5)


@pytest.fixture
def rig(server: HostileServer, other: HostileServer, tmp_path: Path) -> Iterator[Rig]:
    devices = {"sun": device(server), "neighbour": device(other, 7)}
    rig = Rig(tmp_path, FakeTime(), devices, "tcp", lines=quick)
    rig.run(10)
    yield rig
    rig.close()


FAULTS = {
    "silent": "does not answer: is the unit right",
    "busy": "it is busy",
    "gateway": "is the unit right, is it switched on",
    "wrong_unit": "unit 2 answered for unit 1",
    "other_transaction": "does another program use the gateway, too?",
    "wrong_function": "another question",
    "garbage": "is not Modbus TCP",
    "closed": "is another program connected",
    "half": "closed the connection",
}


def test_a_device_is_read_and_described(rig: Rig) -> None:
    assert rig.online("sun")
    reading = rig.said("sun")[-1]
    assert (reading["pv_power"], reading["battery_power"], reading["grid_power"]) == (2355, 1500, -1000)
    assert rig.about("sun")["battery_power"]["unit"] == "W"
    assert rig.problem("sun") is None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_ends_without_a_restart(rig: Rig, server: HostileServer, fault: str) -> None:
    server.always = fault
    rig.run(75, step=2.5)
    assert rig.online("sun") is False
    assert rig.said("sun")[-1]["pv_power"] is None
    assert FAULTS[fault] in (rig.problem("sun") or "")
    assert rig.online("neighbour"), "another line is untouched"
    server.always = None
    rig.run(65, step=2.5)
    assert rig.online("sun")
    assert rig.problem("sun") is None
    assert rig.said("sun")[-1]["pv_power"] == 2355


def test_a_refused_connection_is_told_and_tried_again_ever_later(rig: Rig, server: HostileServer) -> None:
    server.stop()
    before = server.connections
    rig.run(GONE, step=2.5)
    assert rig.online("sun") is False
    assert "refuses connections: is Modbus TCP switched on" in (rig.problem("sun") or "")
    assert rig.online("neighbour")
    server.start()
    rig.run(65, step=2.5)
    assert rig.online("sun")
    assert server.connections == before + 1


def test_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    sun = Device(kind="modbus", port="tcp://no-such-host.invalid", profile="sdm630")
    rig = Rig(tmp_path, FakeTime(), {"sun": sun}, "tcp", lines=quick)
    rig.run(70, step=10)
    assert rig.online("sun") is False
    assert "there is no host no-such-host.invalid" in (rig.problem("sun") or "")
    rig.close()


def test_a_wrong_unit_is_told_and_the_right_one_on_the_same_line_goes_on(
    server: HostileServer, tmp_path: Path
) -> None:
    devices = {"sun": device(server), "ghost": device(server, 5)}
    rig = Rig(tmp_path, FakeTime(), devices, "tcp", lines=quick)
    rig.run(70, step=2.5)
    assert rig.online("sun")
    assert rig.online("ghost") is False
    assert "unit 5" in (rig.problem("ghost") or "")
    readings = [reading for reading in rig.said("sun") if reading["pv_power"] is None]
    assert readings == [], "the right one never missed a value"
    rig.close()


def test_a_silent_device_is_asked_ever_less(rig: Rig, server: HostileServer) -> None:
    server.always = "silent"
    rig.run(120, step=5)
    server.requests.clear()
    rig.run(120, step=5)
    # Twice each half minute: the second is the one for dongles that lose a connection's first.
    assert 4 <= len(server.requests) <= 10


def test_a_connection_that_is_reset_between_polls_is_no_fault(rig: Rig, server: HostileServer) -> None:
    for _ in range(5):
        server.hang_up()
        rig.run(5)
    assert rig.online("sun")
    assert rig.journal.counters.get("failed_polls.sun", 0) == 0
