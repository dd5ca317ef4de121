"""The I2C transport: smbus2's real ioctls on a bus that umockdev serves.

Each `in_bed` function runs in a Python of its own, where the bus is seen.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collector.devices import KINDS
from collector.devices.description import LineError, NoAnswerError, PolledKind, RefusedError, Values
from collector.transports.board import I2cBus
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.i2c_child import PYTHON, ROOT, Bed, in_bed, needs_bed, running
from tests.open_files import open_files

pytestmark = needs_bed

CHIPS = ("ina219 0x40 volts=13.2 amps=1.5", "ads1115 0x48 0=2.31")


def _opened(number: int = 1) -> I2cBus:
    line = I2cBus(number)
    line.open()
    return line


def registers_come_high_byte_first(bed: Bed) -> None:
    line = _opened()
    assert line.read(0x40, 0, 2) == b"\x39\x9f"
    line.write(0x40, 5, b"\x10\x62")
    assert bed.tell("ask 0x40 5") == "0x1062"
    assert line.read(0x40, 5, 2) == b"\x10\x62"
    assert line.read(0x48, 1, 2) == b"\x85\x83"
    line.close()


def _poll(line: I2cBus, device: Device) -> Values:
    kind = KINDS[device.kind]
    assert isinstance(kind, PolledKind)
    return kind.make(device).poll(line, 0.0).values


def devices_read_their_chips(bed: Bed) -> None:
    line = _opened()
    bed.tell("ina226 0x41 volts=13.2 amps=0.5")
    bed.tell("ina228 0x42 volts=13.2 amps=1.5")
    bed.tell("ina3221 0x43 3=13.2,1.5")
    for kind, address, amps, channel in (
        ("ina219", 0x40, 1.5, None),
        ("ina226", 0x41, 0.5, None),
        ("ina228", 0x42, 1.5, None),
        ("ina3221", 0x43, 1.5, 3),
    ):
        values = _poll(line, Device(kind=kind, address=address, channel=channel))
        assert abs(float(str(values["voltage"])) - 13.2) < 0.001, kind
        assert abs(float(str(values["current"])) - amps) < 0.0003, kind
    starter = _poll(line, Device(kind="ads1115_voltage", channel=0, divider=5.7))
    assert abs(float(str(starter["voltage"])) - 2.31 * 5.7) < 0.001
    line.close()


def chips_reach_the_state_topic(bed: Bed, folder: str) -> None:
    devices = {
        "inverter": Device(kind="ina226", address=0x41),
        "battery": Device(kind="ina228", address=0x42),
        "solar": Device(kind="ina3221", address=0x43, channel=2),
        "cabin": Device(kind="sht3x", address=0x44, every=1, timeout=10),
        "outside": Device(kind="bme280", every=1),
    }
    bed.tell("ina226 0x41 volts=12.5 amps=0.5")
    bed.tell("ina228 0x42 volts=12.5 amps=-5 celsius=31")
    bed.tell("ina3221 0x43 2=13,1.25")
    bed.tell("sht3x 0x44 celsius=21.5 percent=40")
    bed.tell("bme280 0x76 celsius=-5.25 hectopascals=989 percent=80")
    rig = Rig(Path(folder), FakeTime(), devices, "i2c")
    rig.run(3)
    said = {name: rig.said(name)[-1] for name in devices}
    close = {
        "inverter": {"voltage": 12.5, "current": 0.5, "power": 6.25},
        "battery": {"voltage": 12.5, "current": -5, "power": -62.5, "temperature": 31},
        "solar": {"voltage": 13, "current": 1.25, "power": 16.25},
        "cabin": {"temperature": 21.5, "humidity": 40},
        "outside": {"temperature": -5.25, "pressure": 989, "humidity": 80},
    }
    for name, values in close.items():
        for entity, value in values.items():
            assert said[name][entity] == pytest.approx(value, abs=0.1), (name, entity)
    assert {"energy", "charge"} <= said["battery"].keys()
    bed.tell("gone 0x44")
    rig.run(15)
    assert rig.online("cabin") is False
    assert "no answer from 0x44" in str(rig.problem("cabin"))
    bed.tell("back 0x44")
    rig.run(32)
    assert rig.said("cabin")[-1]["temperature"] == pytest.approx(21.5, abs=0.1)
    rig.close()


def bytes_are_received_without_a_register(bed: Bed) -> None:
    line = _opened()
    bed.tell("sht3x 0x44 celsius=20 percent=50")
    with pytest.raises(NoAnswerError, match="0x44"):
        line.receive(0x44, 6)
    line.write(0x44, 0x24, b"\x00")
    line.pause(0.02)
    assert len(line.receive(0x44, 6)) == 6
    bed.tell("bus gone")
    with pytest.raises(LineError, match="/dev/i2c-1 is not there"):
        line.receive(0x44, 6)
    line.close()


def a_scan_finds_who_answers(bed: Bed) -> None:
    bed.tell("ads1115 0x50")
    bed.tell("ina219 0x77")
    before = [bed.tell(f"ask {chip} {register}") for chip in ("0x40", "0x48") for register in (0, 1)]
    line = _opened()
    assert line.scan() == [0x40, 0x48, 0x50, 0x77]
    # What stands at 0x30 to 0x37 and 0x50 to 0x5F may not survive a quick write.
    asked = {address: bed.tell(f"quick {address}") for address in ("0x40", "0x48", "0x50", "0x33", "0x5f")}
    assert asked == {"0x40": "True", "0x48": "True", "0x50": "False", "0x33": "False", "0x5f": "False"}
    assert before == [bed.tell(f"ask {chip} {register}") for chip in ("0x40", "0x48") for register in (0, 1)]
    line.close()


def a_scan_leaves_out_what_the_kernel_has_and_ends_on_a_held_bus(bed: Bed) -> None:
    line = _opened()
    bed.tell("claim 0x40")
    assert line.scan() == [0x48]
    bed.tell("fail 0x20 ETIMEDOUT")
    with pytest.raises(LineError, match="bus 1 is held"):
        line.scan()
    bed.tell("bus gone")
    with pytest.raises(LineError, match="/dev/i2c-1 is not there"):
        line.scan()
    line.close()


def silence_names_the_address(bed: Bed) -> None:
    line = _opened()
    with pytest.raises(NoAnswerError, match=r"0x41 on I2C bus 1: .*i2cdetect -y 1"):
        line.read(0x41, 0, 2)
    for number in ("EREMOTEIO", "ENXIO", "EIO", "EAGAIN", "ETIMEDOUT"):
        bed.tell(f"fail 0x40 {number}")
        with pytest.raises(NoAnswerError, match="no answer from 0x40 on I2C bus 1"):
            line.read(0x40, 0, 2)
        with pytest.raises(NoAnswerError, match="no answer from 0x40"):
            line.write(0x40, 5, b"\x10\x62")
        # The bus itself works, for others.
        assert line.read(0x48, 1, 2) == b"\x85\x83"
    bed.tell("back 0x40")
    assert line.read(0x40, 0, 2) == b"\x39\x9f"
    bed.tell("claim 0x40")
    with pytest.raises(RefusedError, match="0x40 on I2C bus 1 belongs to a driver"):
        _opened().read(0x40, 0, 2)
    line.close()


def a_bus_that_goes_is_a_lost_line(bed: Bed) -> None:
    line = _opened()
    bed.tell("bus gone")
    with pytest.raises(LineError, match="switch I2C on with raspi-config, Interface Options"):
        line.read(0x40, 0, 2)
    line.close()
    line.close()
    with pytest.raises(LineError, match="/dev/i2c-1 is not there"):
        line.open()
    with pytest.raises(LineError, match="not open"):
        line.read(0x40, 0, 2)
    bed.tell("bus back")
    line.open()
    assert line.read(0x40, 0, 2) == b"\x39\x9f"
    line.close()


def what_cannot_be_opened_says_why(_bed: Bed) -> None:
    with pytest.raises(LineError, match="/dev/i2c-3 is not there: switch I2C on"):
        I2cBus(3).open()
    file = Path(os.environ["UMOCKDEV_DIR"], "dev", "i2c-4")
    file.write_text("a file")
    with pytest.raises(LineError, match="/dev/i2c-4 is no I2C bus"):
        I2cBus(4).open()
    assert str(file) not in open_files(), "a bus that did not open stays open"


def opening_twice_leaks_nothing(_bed: Bed) -> None:
    line = _opened()
    node = str(Path(os.environ["UMOCKDEV_DIR"], "dev", "i2c-1").resolve())
    assert open_files().count(node) == 1
    line.open()
    assert open_files().count(node) == 1
    line.close()
    assert open_files().count(node) == 0


@pytest.mark.parametrize(
    "body",
    [
        registers_come_high_byte_first,
        devices_read_their_chips,
        bytes_are_received_without_a_register,
        a_scan_finds_who_answers,
        a_scan_leaves_out_what_the_kernel_has_and_ends_on_a_held_bus,
        silence_names_the_address,
        a_bus_that_goes_is_a_lost_line,
        what_cannot_be_opened_says_why,
        opening_twice_leaks_nothing,
    ],
    ids=lambda body: body.__name__,
)
def test_in_the_bed(body: object) -> None:
    assert callable(body)
    in_bed(body, chips=CHIPS)


def test_chips_reach_the_state_topic(tmp_path: Path) -> None:
    in_bed(chips_reach_the_state_topic, str(tmp_path))


def a_broken_assertion(_bed: Bed) -> None:
    raise AssertionError("as planted")


def test_a_failure_in_the_bed_is_a_failure_of_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="as planted"):
        in_bed(a_broken_assertion, chips=CHIPS)


def test_the_bed_stands_alone_for_the_demo_and_leaves_nothing_behind() -> None:
    command = [PYTHON, str(ROOT / "tests" / "emulators" / "i2c_bed.py"), "--chip", CHIPS[0]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as bed:
        assert bed.stdout is not None
        environment = dict(part.split("=", 1) for part in bed.stdout.readline().split())
        code = (
            "from collector.transports.board import I2cBus\n"
            "line = I2cBus(1)\nline.open()\nprint(line.read(0x40, 0, 2).hex())"
        )
        # Its stdin is at its end, and it serves all the same.
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"399f\n"
        bed.terminate()
        assert bed.wait(10) == 0
    assert not Path(environment["UMOCKDEV_DIR"]).exists()


@pytest.mark.parametrize("line", ["nonsense 0x40", "ina219", "ina219 0x40 ohms=3", "gone nowhere", "bus"])
def test_the_bed_answers_nonsense_and_goes_on(line: str) -> None:
    with running(CHIPS[0]) as (bed, _):
        with pytest.raises(AssertionError, match="error"):
            bed.tell(line)
        assert bed.tell("ask 0x40 0") == "0x399f"


def test_a_pause_is_one() -> None:
    began = time.monotonic()
    I2cBus(1).pause(0.01)
    assert time.monotonic() - began >= 0.01
