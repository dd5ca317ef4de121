"""Faults of the machine we run on: what cannot be read is unknown, and the rest is still told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.device import Owned
from collector.devices.lines import Line
from collector.lines import line_of
from collector.transports.board import Host
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.machine import Machine


class Van:
    """A machine with a broker and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder / "root").zero_2_w()
        self.broker = self.clock = True
        self.runtime = folder / "memory"
        self.runtime.mkdir()

    def line_of(self, _device: Owned) -> tuple[str, Callable[[], Line]]:
        """The machine as the real transport sees it."""
        return "host", lambda: Host(
            state=self.machine.root,
            runtime=self.runtime,
            root=self.machine.root,
            broker_up=lambda: self.broker,
            synchronised=lambda: self.clock,
        )


@pytest.fixture
def van(tmp_path: Path) -> Van:
    return Van(tmp_path)


@pytest.fixture
def rig(tmp_path: Path, time: FakeTime, van: Van) -> Iterator[Rig]:
    rig = Rig(tmp_path, time, {"pi": Device(kind="raspberry_pi")}, "host", van.line_of)
    yield rig
    rig.close()


FAULTS: dict[str, tuple[Callable[[Machine], None], tuple[str, ...]]] = {
    "no thermal driver": (lambda m: m.remove("sys/class/thermal"), ("cpu_temperature",)),
    "garbage for a temperature": (
        lambda m: m.write("sys/class/thermal/thermal_zone0/temp", "\0\xff?"),
        ("cpu_temperature",),
    ),
    "a sensor at absolute zero": (
        lambda m: m.write("sys/class/thermal/thermal_zone0/temp", "-273150\n"),
        ("cpu_temperature",),
    ),
    "an empty meminfo": (lambda m: m.write("proc/meminfo", ""), ("memory_free", "memory_used")),
    "a card that was taken out": (lambda m: m.remove("sys/block/mmcblk0"), ("card_written",)),
    "no /proc": (lambda m: m.remove("proc"), ("memory_free", "memory_used", "load", "uptime")),
}


@pytest.mark.parametrize(("fault", "lost"), FAULTS.values(), ids=FAULTS.keys())
def test_what_cannot_be_read_is_unknown_until_it_can(
    rig: Rig, van: Van, fault: Callable[[Machine], None], lost: tuple[str, ...]
) -> None:
    rig.run(65)
    whole = rig.said("pi")[-1]
    assert all(whole[key] is not None for key in lost)
    fault(van.machine)
    rig.run(65)
    now = rig.said("pi")[-1]
    assert {key for key in whole if now[key] is None} == set(lost)
    assert rig.online("pi")
    assert rig.problem("pi") is None
    van.machine.zero_2_w()
    rig.run(65)
    assert all(rig.said("pi")[-1][key] == whole[key] for key in lost)


def test_a_laptop_describes_what_it_has(rig: Rig, van: Van) -> None:
    van.machine.remove("sys")
    van.machine.remove("proc")
    rig.run(5)
    assert rig.about("pi").keys() == {"disk_free", "disk_used", "clock_synchronised", "broker"}
    van.machine.zero_2_w()
    rig.run(65)
    assert {"cpu_temperature", "under_voltage", "card_written"} <= rig.about("pi").keys()
    assert "system_disk_free" not in rig.about("pi")


def test_under_voltage_is_told_and_remembered(rig: Rig, van: Van) -> None:
    rig.run(35)
    van.machine.throttled(0x50005)
    rig.run(31)
    van.machine.throttled(0)
    rig.run(31)
    told = [(s["under_voltage"], s["under_voltage_since_boot"]) for s in rig.said("pi")]
    assert [pair for n, pair in enumerate(told) if n == 0 or pair != told[n - 1]] == [
        ("OFF", "OFF"),
        ("ON", "ON"),
        ("OFF", "ON"),
    ]


def test_a_broker_that_was_away_and_a_clock_that_was_lost(rig: Rig, van: Van) -> None:
    rig.run(35)
    van.broker = van.clock = False
    rig.run(31)
    assert (rig.said("pi")[-1]["broker"], rig.said("pi")[-1]["clock_synchronised"]) == ("OFF", "OFF")
    van.broker = van.clock = True
    rig.run(31)
    assert (rig.said("pi")[-1]["broker"], rig.said("pi")[-1]["clock_synchronised"]) == ("ON", "ON")


def test_memory_that_cannot_be_written_costs_nothing_but_the_memory(
    rig: Rig, van: Van, caplog: pytest.LogCaptureFixture
) -> None:
    van.runtime.rmdir()
    van.machine.throttled(0x1)
    rig.run(5)
    assert rig.said("pi")[-1]["under_voltage_since_boot"] == "ON"
    assert "forgotten with this process" in caplog.text
    van.machine.throttled(0)
    rig.run(31)
    assert rig.said("pi")[-1]["under_voltage_since_boot"] == "ON"


def test_the_real_machine_can_be_read(tmp_path: Path, time: FakeTime) -> None:
    rig = Rig(tmp_path, time, {"here": Device(kind="raspberry_pi")}, "host", line_of)
    rig.run(2)
    rig.close()
    said = rig.said("here")[-1]
    assert rig.online("here")
    assert isinstance(said["disk_free"], float)
    assert said["clock_synchronised"] in ("ON", "OFF")
    assert "broker" not in rig.about("here")
