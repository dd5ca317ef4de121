"""What goes wrong on a Modbus RTU line: said, survived without a restart, and nobody else suffers."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial

from collector.device import Owned
from collector.devices.lines import Line
from collector.lines import line_of
from collector.transports.modbus_rtu import ModbusRtu
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.epever import Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.emulators.tunnel import Tunnel

EVERY, TIMEOUT = 5.0, 15.0
# The longest pauses between two attempts, PollingSource's and Worker's, and a poll.
LONGEST_S = 60.0 + EVERY + 1.0
# How long a unit may think, in real seconds: the rig's own time stands still meanwhile. Where no unit is
# silent by intent, it is what a busy machine may take.
PATIENCE, LONG_PATIENCE = 0.15, 5.0


def tracer(port: str, unit: int = 1, baudrate: int | None = None) -> Device:
    return Device(kind="epever_tracer", port=port, unit=unit, baudrate=baudrate, every=EVERY, timeout=TIMEOUT)


def impatient(
    time: FakeTime, healthy: str = "", patience: float = PATIENCE
) -> Callable[[Owned], tuple[str, Callable[[], Line]]]:
    """The real lines, which wait less long for an answer, but on the port that is `healthy`."""

    def lines(device: Owned) -> tuple[str, Callable[[], Line]]:
        name, make = line_of(device)
        assert isinstance(make(), ModbusRtu)
        port, speed = str(device.settings.port), device.settings.baudrate or 115_200
        waits = LONG_PATIENCE if port == healthy else patience
        return name, lambda: ModbusRtu(port, speed, timeout=waits, monotonic=time.clock.monotonic)

    return lines


@dataclass
class Van:
    """Two controllers on one bus, a third on another, and the collector that reads them."""

    bus: Slave
    other: Slave
    tunnel: Tunnel | None
    rig: Rig
    ended: ExitStack
    monkeypatch: pytest.MonkeyPatch

    def mend(self) -> None:
        """End whatever fault there is."""
        self.bus.always = ""
        self.bus.dead.clear()
        self.bus.faults.clear()
        self.bus.baudrate = None
        if not Path(self.bus.port).exists():
            self.bus.replug()
        self.ended.close()
        self.monkeypatch.undo()


@pytest.fixture
def van(
    request: pytest.FixtureRequest, tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Van]:
    patience = getattr(request, "param", PATIENCE)
    with ExitStack() as stack:
        yield make_van(stack, tmp_path, time, monkeypatch, patience)


def make_van(
    stack: ExitStack, folder: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch, patience: float
) -> Van:
    units = {1: Tracer.simulated(), 2: Tracer.simulated(Weather(voltage=12.5))}
    bus = stack.enter_context(Slave(units))
    other = stack.enter_context(Slave({1: Tracer.simulated()}))
    devices = {"front": tracer(bus.port), "rear": tracer(bus.port, 2), "shed": tracer(other.port)}
    rig = Rig(folder, time, devices, "serial", impatient(time, other.port, patience))
    stack.callback(rig.close)
    return Van(bus, other, None, rig, stack.enter_context(ExitStack()), monkeypatch)


def pull(van: Van) -> None:
    van.bus.unplug()


def pull_in_mid_question(van: Van) -> None:
    van.bus.faults.append("hangup")


def take_the_port(van: Van) -> None:
    van.bus.replug()
    van.ended.enter_context(serial.Serial(van.bus.port, exclusive=True))


def forbid_the_port(van: Van) -> None:
    real = os.open

    def refuse(path: str, *arguments: int) -> int:
        if path == van.bus.port:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments)

    van.bus.replug()
    van.monkeypatch.setattr(os, "open", refuse)


def speed(van: Van) -> None:
    van.bus.baudrate = 9600


def always(fault: str) -> Callable[[Van], None]:
    def begin(van: Van) -> None:
        van.bus.always = fault

    return begin


DAMAGE = ("garbage", "crc", "truncate", "noise", "wrong_unit")
FAULTS: tuple[tuple[Callable[[Van], None], str], ...] = (
    (pull, "is not there: is the cable plugged in"),
    (pull_in_mid_question, "is not there: is the cable plugged in"),
    (take_the_port, "in use by another program"),
    (forbid_the_port, "permission denied: the user of this service must be in the group dialout"),
    (speed, "does not answer at 115200 baud"),
    (always("silent"), "is it switched on, are unit and baudrate right"),
    *((always(fault), "answers with damaged frames") for fault in DAMAGE),
    (always("illegal"), "it has no such address (exception 2)"),
    (always("busy"), "is busy"),
)


@pytest.mark.parametrize(("begin", "text"), FAULTS, ids=[text[:24] for _, text in FAULTS])
def test_a_fault_is_told_survived_and_leaves_others_alone(
    van: Van, begin: Callable[[Van], None], text: str
) -> None:
    van.rig.run(EVERY + 1)
    assert [van.rig.online(name) for name in ("front", "rear", "shed")] == [True] * 3
    begin(van)
    van.rig.run(EVERY + TIMEOUT + 1)
    for name in ("front", "rear"):
        assert van.rig.online(name) is False
        assert text in str(van.rig.problem(name))
        assert van.rig.said(name)[-1]["voltage"] is None
    assert (van.rig.online("shed"), van.rig.problem("shed")) == (True, None)
    assert van.rig.journal.counters.get("failed_polls.shed", 0) == 0
    van.mend()
    van.rig.run(LONGEST_S)
    for name in ("front", "rear"):
        assert (van.rig.online(name), van.rig.problem(name)) == (True, None)
    assert van.rig.said("rear")[-1]["voltage"] == 12.5


def test_attempts_become_rarer_but_never_stop(van: Van) -> None:
    van.rig.run(EVERY + 1)
    van.bus.always = "silent"
    # 1, 2, 4, 8 and 16 s apart: from then on they are 30 s apart.
    van.rig.run(120, step=1.0)
    asked = len(van.bus.requests)
    van.rig.run(60, step=1.0)
    assert 0 < len(van.bus.requests) - asked <= 8, "two units, 30 s apart, each with a question to catch up"
    van.mend()
    van.rig.run(LONGEST_S, step=1.0)
    assert [van.rig.online(name) for name in ("front", "rear")] == [True, True]


# The neighbour must never be late, on a busy machine too.
@pytest.mark.parametrize("van", [4 * PATIENCE], indirect=True)
def test_a_silent_unit_leaves_its_neighbour_on_the_bus_alone(van: Van) -> None:
    van.rig.run(EVERY + 1)
    van.bus.dead.add(1)
    van.rig.run(120)
    assert (van.rig.online("front"), van.rig.online("rear")) == (False, True)
    assert "unit 1 does not answer" in str(van.rig.problem("front"))
    assert van.rig.problem("rear") is None
    assert van.rig.journal.counters.get("failed_polls.rear", 0) == 0
    # Asked ever less often, so that the neighbour's time is not eaten.
    asked = van.rig.journal.counters["failed_polls.front"]
    assert asked < 120 / EVERY / 2
    van.mend()
    van.rig.run(LONGEST_S)
    assert (van.rig.online("front"), van.rig.problem("front")) == (True, None)


def test_a_late_answer_never_becomes_a_value(van: Van) -> None:
    van.rig.run(EVERY + 1)
    voltages = {reading["voltage"] for reading in van.rig.said("front")}
    van.bus.late = PATIENCE * 2.5
    for _ in range(6):
        van.bus.faults.append("late")
        van.rig.run(EVERY)
    van.rig.run(LONGEST_S)
    assert van.rig.online("front") is True
    told = {reading["voltage"] for reading in van.rig.said("front")} - {None}
    assert told == voltages == {13.2}
    assert {reading["voltage"] for reading in van.rig.said("rear")} - {None} == {12.5}


def test_a_tunnel_that_is_cut_is_dug_again(tmp_path: Path, time: FakeTime) -> None:
    with Slave({1: Tracer.simulated()}) as bus, Tunnel(bus.port) as tunnel:
        rig = Rig(tmp_path, time, {"front": tracer(tunnel.url)}, "serial", impatient(time))
        rig.run(EVERY + 1)
        assert rig.online("front") is True
        tunnel.dead = True
        rig.run(EVERY + TIMEOUT + 1)
        assert rig.online("front") is False
        assert "does not answer" in str(rig.problem("front"))
        tunnel.dead = False
        tunnel.cut()
        rig.run(LONGEST_S)
        assert (rig.online("front"), rig.problem("front")) == (True, None)
        rig.close()
