"""What `boondock check --machine` finds of expanders, and of sensors that drivers of the kernel read."""

from pathlib import Path

from config.model import Device, Relay
from tests.cli.test_machine import _found, _made
from tests.emulators.sysfs import Sysfs


def test_a_chip_that_a_relay_names_is_looked_for(tmp_path: Path) -> None:
    _made(tmp_path, "/dev/gpiochip0").chmod(0o666)
    relays = {"heater": Relay(pin=3, chip="/dev/gpiochip2")}
    lines = _found(tmp_path, relay=relays)
    assert len(lines) == 1
    assert lines[0].startswith(
        "relay.heater.chip: there is no chip '/dev/gpiochip2'; there is /dev/gpiochip0"
    )
    _made(tmp_path, "/dev/gpiochip2").chmod(0o666)
    assert _found(tmp_path, relay=relays) == []
    door = {"door": Device(kind="gpio_input", pin=3, chip="/dev/gpiochip7")}
    assert any(
        "device.door.chip: there is no chip '/dev/gpiochip7'" in line
        for line in _found(tmp_path, device=door)
    )


def test_sensors_of_the_kernel_are_read_once(tmp_path: Path) -> None:
    device = {"fridge": Device(kind="ds18b20", address="28-0123456789ab")}
    (line,) = _found(tmp_path, device=device)
    assert "device.fridge: 1-Wire is off: write the line dtoverlay=w1-gpio" in line
    machine = Sysfs(tmp_path)
    machine.one_wire()
    machine.thermometer("28-0123456789ab", 4.5)
    assert _found(tmp_path, device=device) == []
    (line,) = _found(tmp_path, device={"cabin": Device(kind="kernel_sensor", chip="sht3x")})
    assert "device.cabin: no driver of the kernel shows a chip sht3x" in line
