"""What may go wrong on I2C, on real ioctls: told with what to do, and over without a restart.

Each function of the table runs in a Python of its own, where umockdev's bus is seen: a starter battery at
0x48, a tank at 0x49 and a fridge at 0x40.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.i2c_child import Bed, in_bed, needs_bed

pytestmark = needs_bed

CHIPS = ("ads1115 0x48 0=2.5", "ads1115 0x49 1=1.0", "ina219 0x40 volts=13.2 amps=2")
TIMEOUT = 10.0
STARTER = Device(kind="ads1115_voltage", channel=0, divider=5, timeout=TIMEOUT, min_interval=0, heartbeat=2)
TANK = Device(
    kind="tank_sender",
    address=0x49,
    channel=1,
    calibration=((0.5, 0), (1.5, 100)),
    every=1,
    timeout=TIMEOUT,
    min_interval=0,
    heartbeat=2,
)
FRIDGE = Device(kind="ina219", address="0x40", timeout=TIMEOUT, min_interval=0, heartbeat=2)
# A line is tried again after at most a minute, a device after half of one.
LINE_BACK_S, DEVICE_BACK_S = 61.0, 31.0


def _rig(folder: str, **devices: Device) -> Rig:
    return Rig(Path(folder), FakeTime(), devices, "i2c")


def _running(folder: str) -> Rig:
    rig = _rig(folder, starter=STARTER, tank=TANK)
    rig.run(3)
    assert (rig.online("starter"), rig.online("tank")) == (True, True)
    return rig


def _the_tank_is_untouched(rig: Rig) -> None:
    assert rig.online("tank")
    assert rig.problem("tank") is None
    assert abs(float(str(rig.said("tank")[-1]["level"])) - 50) < 0.2


def _is_gone(rig: Rig, device: str, *says: str) -> None:
    """Offline within its time-out, its values null, the reason in health."""
    rig.run(TIMEOUT + 2)
    assert rig.online(device) is False
    problem = rig.problem(device)
    assert problem is not None
    assert all(word in problem for word in says), problem
    assert [value for name, value in rig.said(device)[-1].items() if name in rig.about(device)] == [None] * (
        len(rig.about(device))
    )


def _is_back(rig: Rig, device: str, within: float) -> None:
    rig.run(within)
    assert rig.online(device)
    assert rig.problem(device) is None


def _of_the_chip(bed: Bed, folder: str, fault: str, over: str, *says: str) -> None:
    rig = _running(folder)
    bed.tell(fault)
    _is_gone(rig, "starter", *says)
    _the_tank_is_untouched(rig)
    # Long enough for the longest back-off.
    polls = rig.journal.counters["failed_polls.starter"]
    rig.run(60)
    assert rig.journal.counters["failed_polls.starter"] - polls <= 6
    bed.tell(over)
    _is_back(rig, "starter", DEVICE_BACK_S)
    assert rig.said("starter")[-1]["voltage"] == 12.5
    rig.close()


def chip_pulled(bed: Bed, folder: str) -> None:
    _of_the_chip(bed, folder, "gone 0x48", "back 0x48", "0x48", "i2cdetect -y 1")


def chip_answers_with_errors(bed: Bed, folder: str) -> None:
    _of_the_chip(bed, folder, "fail 0x48 EIO", "back 0x48", "0x48", "wiring")


def wire_shorted(bed: Bed, folder: str) -> None:
    _of_the_chip(bed, folder, "fail 0x48 ETIMEDOUT", "back 0x48", "0x48", "held")


def chip_stands_still(bed: Bed, folder: str) -> None:
    _of_the_chip(bed, folder, "stuck 0x48", "stuck 0x48", "0x48", "does not convert")


def kernel_has_the_chip(bed: Bed, folder: str) -> None:
    _of_the_chip(bed, folder, "claim 0x48", "claim 0x48", "0x48", "dtoverlay")


def _of_the_bus(bed: Bed, folder: str, fault: str, over: str, *says: str) -> None:
    rig = _running(folder)
    bed.tell(fault)
    _is_gone(rig, "starter", *says)
    _is_gone(rig, "tank", *says)
    rig.run(120)
    bed.tell(over)
    _is_back(rig, "starter", LINE_BACK_S)
    _the_tank_is_untouched(rig)
    rig.close()


def bus_pulled(bed: Bed, folder: str) -> None:
    _of_the_bus(bed, folder, "bus gone", "bus back", "/dev/i2c-1 is not there", "raspi-config")


def wrong_address(_bed: Bed, folder: str) -> None:
    rig = _rig(folder, starter=STARTER, wrong=Device(kind="ina219", address=0x41, timeout=TIMEOUT))
    rig.run(TIMEOUT + 2)
    assert rig.online("wrong") is False
    assert "0x41" in str(rig.problem("wrong"))
    assert rig.online("starter")
    rig.close()


def wrong_bus(_bed: Bed, folder: str) -> None:
    """A line that is not there takes nothing from the devices of another line."""
    rig = _rig(folder, starter=STARTER, wrong=Device(kind="ina219", bus=3, timeout=TIMEOUT))
    rig.run(TIMEOUT + 2)
    assert rig.online("wrong") is False
    assert "/dev/i2c-3 is not there" in str(rig.problem("wrong"))
    assert rig.online("starter")
    rig.close()


@contextmanager
def _forbidden() -> Iterator[None]:
    """We may not open the bus meanwhile, as a user outside the group i2c; root loses its rights first."""
    bed = Path(os.environ["UMOCKDEV_DIR"])
    node = (bed / "dev" / "i2c-1").resolve()
    mode = node.stat().st_mode
    node.chmod(0)
    # umockdev's own socket must still be found: it is asked even where the file does not open.
    bed.chmod(0o711)
    (bed / "ioctl" / "dev" / "i2c-1").chmod(0o777)
    root = os.geteuid() == 0
    # The line imports it when it opens the bus; nobody may not even read the folder of a clone.
    import_module("smbus2")
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        node.chmod(mode)


def permission_denied(_bed: Bed, folder: str) -> None:
    rig = _rig(folder, starter=STARTER)
    # The outbox must go on, also as nobody.
    for path in (Path(folder), *Path(folder).rglob("*")):
        path.chmod(0o777)
    with _forbidden():
        rig.run(TIMEOUT + 2)
        assert rig.online("starter") is False
        assert rig.problem("starter") == (
            "/dev/i2c-1: permission denied: the user of this service must be in the group i2c"
        )
    _is_back(rig, "starter", LINE_BACK_S)
    rig.close()


def bus_missing_at_start(bed: Bed, folder: str) -> None:
    bed.tell("bus gone")
    rig = _rig(folder, starter=STARTER)
    rig.run(TIMEOUT + 2)
    assert rig.online("starter") is False
    assert "switch I2C on with raspi-config" in str(rig.problem("starter"))
    bed.tell("bus back")
    _is_back(rig, "starter", LINE_BACK_S)
    rig.close()


def brown_out(bed: Bed, folder: str) -> None:
    """A chip that lost its calibration would read 0 A: it never does."""
    rig = _rig(folder, fridge=FRIDGE, starter=STARTER)
    rig.run(2)
    for _ in range(4):
        bed.tell("brown_out 0x40")
        bed.tell("brown_out 0x48")
        rig.run(1)
    assert rig.online("fridge")
    assert rig.problem("fridge") is None
    assert {reading["voltage"] for reading in rig.said("fridge")} == {13.2}
    currents = [float(str(reading["current"])) for reading in rig.said("fridge")]
    assert all(abs(current - 2) < 0.001 for current in currents), currents
    assert {reading["voltage"] for reading in rig.said("starter")} == {12.5}
    rig.close()


def saturation(bed: Bed, folder: str) -> None:
    rig = _rig(folder, fridge=FRIDGE)
    rig.run(2)
    bed.tell("ina219 0x40 amps=4")
    rig.run(3)
    reading = rig.said("fridge")[-1]
    assert (reading["current"], reading["power"], reading["voltage"]) == (None, None, 13.2)
    assert rig.online("fridge")
    assert "current above 3.2 A" in rig.journal.problems["entity.fridge.current"]
    bed.tell("ina219 0x40 amps=1")
    rig.run(3)
    assert "entity.fridge.current" not in rig.journal.problems
    assert abs(float(str(rig.said("fridge")[-1]["power"])) - 13.2) < 0.02
    rig.close()


def sender_wire_broken(bed: Bed, folder: str) -> None:
    rig = _running(folder)
    bed.tell("ads1115 0x49 1=3.3")
    rig.run(5)
    assert rig.said("tank")[-1]["level"] is None
    assert "is its wire broken?" in rig.journal.problems["entity.tank.level"]
    assert rig.online("tank"), "the chip still answers"
    bed.tell("ads1115 0x49 1=1.25")
    rig.run(5)
    assert abs(float(str(rig.said("tank")[-1]["level"])) - 75) < 0.2
    assert rig.online("starter")
    rig.close()


FAULTS: tuple[Callable[[Bed, str], None], ...] = (
    chip_pulled,
    chip_answers_with_errors,
    wire_shorted,
    chip_stands_still,
    kernel_has_the_chip,
    bus_pulled,
    bus_missing_at_start,
    wrong_address,
    wrong_bus,
    permission_denied,
    brown_out,
    saturation,
    sender_wire_broken,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_told_and_ends_without_a_restart(
    fault: Callable[[Bed, str], None], tmp_path: Path
) -> None:
    in_bed(fault, str(tmp_path), chips=CHIPS)
