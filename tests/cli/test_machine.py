"""What `boondock check --machine` finds on machines that are folders with what matters of one."""

import json
import os
import re
import socket
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args

import pytest

from cli.check import machine
from cli.machine import UNIT, Finding, Machine, library, reached, wrong
from config.model import BatteryGuard, Ble, Broker, Collector, Controller, Device, Relay, Settings
from tests.cli.test_check import boondock, written
from tests.ports import free_port

SHUNT = Device(kind="victron_battery_monitor", address="C0:11:22:33:44:55", key="0" * 32)
CABLE = Device(kind="vedirect", port="/dev/ttyUSB0")
NO_BLE = Collector(run=())


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A Raspberry Pi with nothing on it."""
    for folder in ("dev", "proc", "sys/class", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def _found(root: Path, **tables: object) -> list[str]:
    """The findings that somebody must mend, as `subject: text -> mend`."""
    settings = Settings(**{"collector": NO_BLE, **tables})  # type: ignore[arg-type]  # as the tests name them
    return [str(one).removeprefix("!! ") for one in wrong(machine(settings, root, ask_broker=False))]


def _made(root: Path, path: str, text: str = "") -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _device(root: Path, path: str, to: str = "/dev/null") -> None:
    """A character device under a name of the machine."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(to)


def _process(root: Path, number: int, name: str, *line: str, holds: str | None = None) -> None:
    _made(root, f"proc/{number}/comm", f"{name}\n")
    _made(root, f"proc/{number}/cmdline", "\0".join((name, *line)))
    if holds is not None:
        (root / f"proc/{number}/fd").mkdir()
        (root / f"proc/{number}/fd/7").symlink_to(holds)


def test_a_house_that_needs_nothing_has_nothing_to_mend(pi: Path) -> None:
    assert _found(pi) == []


def test_a_port_that_is_not_there_is_told_with_those_that_are(pi: Path) -> None:
    mend = "plug it in, then: ls -l /dev/serial/by-id"
    start = "device.cable.port: there is no /dev/ttyUSB0"
    assert _found(pi, device={"cable": CABLE}) == [f"{start}, and no other serial adapter -> {mend}"]
    _device(pi, "/dev/serial/by-id/usb-Victron-if00")
    here = "there is /dev/serial/by-id/usb-Victron-if00"
    assert _found(pi, device={"cable": CABLE}) == [f"{start}; {here} -> {mend}"]


def test_a_port_that_is_a_file_is_none(pi: Path) -> None:
    _made(pi, "/dev/ttyUSB0")
    (line,) = _found(pi, device={"cable": CABLE})
    assert line.startswith("device.cable.port: /dev/ttyUSB0 is no serial port -> ")


def test_a_port_that_is_there_and_may_be_used_is_good(pi: Path) -> None:
    _device(pi, "/dev/ttyUSB0")
    assert _found(pi, device={"cable": CABLE}) == []


def test_who_uses_a_port_is_told_but_not_our_own_collector(pi: Path) -> None:
    _device(pi, "/dev/ttyUSB0")
    _process(pi, 7, "python", "-m", "collector", "serial", holds="/dev/null")
    assert _found(pi, device={"cable": CABLE}) == []
    _process(pi, 8, "gpsd", holds="/dev/null")
    assert _found(pi, device={"cable": CABLE}) == [
        "device.cable.port: /dev/ttyUSB0 is used by gpsd (process 8) -> stop gpsd: sudo kill 8"
    ]


def test_two_names_of_one_port_are_told(pi: Path) -> None:
    _device(pi, "/dev/ttyUSB0")
    (pi / "dev/cable").symlink_to("ttyUSB0")
    other = Device(kind="vedirect", port="/dev/cable")
    assert _found(pi, device={"a": CABLE, "b": other}) == [
        (
            "device.b.port: /dev/cable and /dev/ttyUSB0 are one port under two names "
            '-> write port = "/dev/ttyUSB0" for both'
        )
    ]


@pytest.mark.parametrize("file", ["boot/firmware/cmdline.txt", "boot/cmdline.txt", "proc/cmdline"])
def test_a_console_on_the_boards_port_is_told(pi: Path, file: str) -> None:
    _device(pi, "/dev/serial0")
    devices = {"a": Device(kind="vedirect", port="/dev/serial0")}
    assert _found(pi, device=devices) == []
    _made(pi, file, "root=/dev/x console=serial0,115200 console=tty1")
    assert _found(pi, device=devices) == [
        (
            f"device.a.port: Linux uses /dev/serial0 as its console (/{file}) "
            "-> sudo raspi-config nonint do_serial_cons 1, then sudo reboot"
        )
    ]


def test_a_boards_port_that_is_off_is_told_with_the_switch(pi: Path) -> None:
    (line,) = _found(pi, device={"a": Device(kind="vedirect", port="/dev/serial0")})
    assert line.endswith("-> sudo raspi-config nonint do_serial_hw 0, then sudo reboot")


def _installed(root: Path, *, loads: bool = True) -> None:
    _made(root, UNIT, "LoadCredential=secrets:/etc/boondock/secrets\n" if loads else "")
    (root / "etc/boondock/secrets").mkdir(parents=True, exist_ok=True)
    (root / "etc/boondock/secrets").chmod(0o700)
    users = "".join(
        f"boondock-{name}:x:9:9::/:/x\n" for name in ("collector", "controller", "forwarder", "statistician")
    )
    _made(root, "etc/passwd", users)
    _made(root, "etc/group", "dialout:x:20:\ni2c:x:998:\ngpio:x:997:\nbluetooth:x:111:\n")


def test_the_group_of_the_service_counts_where_it_is_installed(pi: Path) -> None:
    _installed(pi)
    device = _made(pi, "/dev/i2c-1")
    device.chmod(0o660)
    chip = {"fridge": Device(kind="ina219")}
    assert _found(pi, device=chip) == [
        (
            "device.fridge.bus: the group i2c of the service may not read and write /dev/i2c-1 "
            "-> sudo chgrp i2c /dev/i2c-1 && sudo chmod g+rw /dev/i2c-1"
        )
    ]
    group = f"i2c:x:{device.stat().st_gid}:\n"
    _made(pi, "etc/group", group)
    assert _found(pi, device=chip) == []
    device.chmod(0o640)
    assert len(_found(pi, device=chip)) == 1
    device.chmod(0o666)
    assert _found(pi, device=chip) == []


def test_a_group_or_user_that_the_units_name_and_nobody_made_is_told(pi: Path) -> None:
    _installed(pi)
    _made(pi, "etc/group", "x:x:1:\n")
    _made(
        pi,
        "etc/passwd",
        "boondock-collector:x:9:9::/:/x\nboondock-forwarder:x:9:9::/:/x\nboondock-controller:x:9:9::/:/x\n",
    )
    _device(pi, "/dev/ttyUSB0")
    (line,) = _found(pi, device={"cable": CABLE})
    assert line == (
        "groups: there is no user boondock-statistician, no group dialout -> sudo systemd-sysusers"
    )


def test_a_bus_that_is_off_without_its_module_or_another_one_is_told(pi: Path) -> None:
    chip = {"fridge": Device(kind="ina219")}
    assert _found(pi, device=chip) == [
        "device.fridge.bus: there is no /dev/i2c-1: I2C is off -> sudo raspi-config nonint do_i2c 0"
    ]
    _made(pi, "/dev/i2c-3")
    assert _found(pi, device=chip) == [
        "device.fridge.bus: there is no /dev/i2c-1; there is /dev/i2c-3 -> write the number of yours"
    ]
    (pi / "sys/class/i2c-adapter/i2c-1").mkdir(parents=True)
    (line,) = _found(pi, device=chip)
    assert "the module i2c-dev is not loaded -> sudo modprobe i2c-dev" in line


def test_pins_that_a_switch_of_the_board_takes_are_told(pi: Path) -> None:
    _made(pi, "/dev/gpiochip0")
    for path in ("/dev/i2c-1", "/dev/spidev0.0", "/dev/serial0", "/sys/bus/w1/devices/w1_bus_master1"):
        _made(pi, path)
    relays = {name: Relay(pin=pin) for name, pin in zip("abcdef", (2, 8, 14, 4, 17, 27), strict=True)}
    found = [line for line in _found(pi, relay=relays) if line.startswith("relay.")]
    assert [(line.split(":")[0], line.split("taken by ")[1].split(",")[0]) for line in found] == [
        ("relay.a.pin", "I2C"),
        ("relay.b.pin", "SPI"),
        ("relay.c.pin", "the serial port"),
        ("relay.d.pin", "1-Wire"),
    ]
    assert "sudo raspi-config nonint do_spi 1" in found[1]


@pytest.mark.parametrize(
    ("chip", "found"),
    [
        ("/dev/gpiochip4", []),
        ("gpiochip4", []),
        ("pinctrl-rp1", []),
        ("/dev/gpiochip9", ["there is no chip '/dev/gpiochip9'; there is /dev/gpiochip0, /dev/gpiochip4"]),
        ("gpiochip9", ["there is no chip 'gpiochip9'; there is /dev/gpiochip0 (other), "]),
        ("pinctrl-rp2", ["there is no chip 'pinctrl-rp2'; there is /dev/gpiochip0 (other), "]),
    ],
)
def test_the_chip_of_the_pins_must_be_there(
    pi: Path, monkeypatch: pytest.MonkeyPatch, chip: str, found: list[str]
) -> None:
    _made(pi, "/dev/gpiochip0")
    _made(pi, "/dev/gpiochip4")
    labels = {"gpiochip0": "other", "gpiochip4": "pinctrl-rp1"}
    monkeypatch.setattr("cli.machine._label", lambda path: labels[path.name])
    relays = {"pump": Relay(pin=17)}
    told = [
        line.removeprefix("controller.chip: ")
        for line in _found(pi, relay=relays, controller=Controller(chip=chip))
        if line.startswith("controller.chip")
    ]
    assert [line[: len(start)] for line, start in zip(told, found, strict=True)] == found


def test_a_chip_whose_label_cannot_be_read_is_not_called_absent(pi: Path) -> None:
    _made(pi, "/dev/gpiochip0")
    (line,) = [
        line
        for line in _found(pi, relay={"pump": Relay(pin=17)}, controller=Controller(chip="pinctrl-rp1"))
        if line.startswith("controller.chip")
    ]
    assert "no label of /dev/gpiochip0 could be read to find 'pinctrl-rp1' -> write chip = " in line


def test_rpi_gpio_takes_no_chip(pi: Path) -> None:
    found = _found(pi, relay={"pump": Relay(pin=17)}, controller=Controller(pins="rpi", chip="gpiochip4"))
    assert any(line.startswith("controller.chip: RPi.GPIO takes no chip -> ") for line in found)


# Settings that name something of the machine, and who looks at each.
_LOOKED_AT = {
    "broker.host": "the broker is asked",
    "broker.port": "the broker is asked",
    "lan.port": "boondock broker",
    "broker.tls_ca": "the broker is asked",
    "lan.listen": "boondock broker",
    "lan.certificate": "boondock broker reads it as root",
    "lan.private_key": "boondock broker reads it as root",
    "page.listen": "boondock-page waits for the interface, and doctor asks the page",
    "page.port": "boondock-page says in its log who has it, and doctor asks the page",
    "storage.runtime": "the units make it",
    "storage.state": "the units make it",
    "clock.folder": "the statistician makes it",
    "ble.adapter": "bluetooth",
    "device.port": "ports",
    "device.bus": "buses",
    "device.pin": "pins",
    "device.levels": "pins",
    "device.profile": "boondock check reads it",
    "statistician.database": "the statistician makes it",
    "statistician.backups": "the statistician makes it, and its health tells",
    "output.path": "the output, each time; its health tells",
    "output.tls_ca": "the output; its health tells",
    "backup.to": "boondock doctor and the health of the statistician",
    "controller.chip": "pins",
    "relay.chip": "expanders",
    "device.chip": "expanders, or kernel_sensors",
    "relay.pin": "pins",
    "relay.feedback_pin": "pins",
}
_NAMES = re.compile(
    r"(host|tls_ca|listen|certificate|private_key|runtime|state|folder|adapter|port|bus|pin|levels|profile|"
    r"database|backups|to|chip|feedback_pin|.*(path|file|device|folder|chip|socket|interface))"
)


def test_every_setting_that_names_something_of_the_machine_is_looked_at() -> None:
    named = set()
    for table in fields(Settings):
        kind = next((one for one in (table.type, *get_args(table.type)) if is_dataclass(one)), None)
        if table.name != "imports" and kind is not None:
            named |= {f"{table.name}.{one.name}" for one in fields(kind) if _NAMES.fullmatch(one.name)}
    assert named == set(_LOOKED_AT)


def test_a_machine_without_pins_is_told_unless_they_are_simulated(pi: Path) -> None:
    relays = {"pump": Relay(pin=17)}
    assert any("there is no /dev/gpiochip0" in line for line in _found(pi, relay=relays))
    simulated = Controller(pins="simulated")
    assert _found(pi, relay=relays, controller=simulated) == []


def test_a_library_is_tried_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "RPi").mkdir()
    (tmp_path / "RPi/__init__.py").write_text("")
    (tmp_path / "RPi/GPIO.py").write_text("raise RuntimeError('this is no Pi')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = library("rpi")
    assert not found.ok
    assert "RPi.GPIO: RuntimeError: this is no Pi" in found.text
    assert found.mend
    (tmp_path / "RPi/GPIO.py").write_text("")
    assert library("rpi").ok


def test_bluetooth_is_looked_at_from_the_adapter_to_bluetoothd(pi: Path) -> None:
    house = {"device": {"shunt": SHUNT}, "collector": Collector()}
    (line,) = _found(pi, **house)
    assert line.startswith("ble.adapter: this machine has no Bluetooth adapter -> ")
    (pi / "sys/class/bluetooth/hci1").mkdir(parents=True)
    (line,) = _found(pi, **house)
    assert line == 'ble.adapter: there is no hci0 -> write adapter = "hci1" below [ble]'
    (pi / "sys/class/bluetooth/hci0").mkdir()
    assert _found(pi, **house) == ["bluetoothd: it is not installed -> sudo apt install bluez"]
    _made(pi, "/usr/libexec/bluetooth/bluetoothd")
    mend = "sudo systemctl enable --now bluetooth"
    assert _found(pi, **house) == [f"bluetoothd: it is not running -> {mend}"]
    _process(pi, 5, "bluetoothd")
    assert _found(pi, **house) == []
    (line,) = _found(pi, **house, ble=Ble(mode="passive"))
    assert line.startswith("ble.mode: passive needs bluetoothd --experimental -> ")
    _made(pi, "/sys/class/rfkill/rfkill0/type", "bluetooth\n")
    _made(pi, "/sys/class/rfkill/rfkill0/soft", "1\n")
    assert _found(pi, **house) == [
        "ble.adapter: Bluetooth is switched off (rfkill) -> sudo rfkill unblock bluetooth"
    ]


def test_a_radio_that_no_device_needs_is_told_how_to_leave_it_out(pi: Path) -> None:
    assert _found(pi, collector=Collector(run=("ble",))) == [
        (
            "ble.adapter: this machine has no Bluetooth adapter, and no device needs one "
            "-> write run = [] below [collector]"
        )
    ]


@pytest.mark.parametrize(("mode", "lines"), [(0o600, 0), (0o640, 1), (0o604, 1), (0o644, 1)])
def test_a_secret_file_that_others_may_read_is_told(pi: Path, mode: int, lines: int) -> None:
    _installed(pi)
    secret = _made(pi, "/etc/boondock/secrets/device__shunt__key", "x")
    secret.chmod(mode)
    found = [line for line in _found(pi) if "may read" in line]
    path = "/etc/boondock/secrets/device__shunt__key"
    expected = f"secrets: others than its owner may read {path} -> sudo chmod 600 {path}"
    assert found == [expected] * lines


def test_a_secret_file_of_another_owner_and_an_open_folder_are_told(pi: Path) -> None:
    _installed(pi)
    secret = _made(pi, "/etc/boondock/secrets/device__shunt__key", "x")
    secret.chmod(0o600)
    if os.getuid() == 0:
        os.chown(secret, 1000, 1000)
    (pi / "etc/boondock/secrets").chmod(0o755)
    found = _found(pi)
    folder = "/etc/boondock/secrets"
    assert f"secrets: others than root may look into {folder} -> sudo chmod 700 {folder}" in found
    assert any("is not root's -> sudo chown root:root" in line for line in found)


def test_units_that_hide_the_secrets_are_told(pi: Path) -> None:
    _installed(pi, loads=False)
    assert _found(pi) == [
        "secrets: boondock-collector@.service does not load /etc/boondock/secrets -> sudo boondock update"
    ]


def test_an_env_file_that_the_services_may_not_read_is_told(pi: Path) -> None:
    _installed(pi)
    _made(pi, "/etc/boondock/.env", "BOONDOCK_BROKER__PORT=1884").chmod(0o600)
    (line,) = _found(pi)
    assert line.startswith(".env: the services may not read /etc/boondock/.env -> ")


def test_a_broker_or_a_host_is_tried() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert reached("x", f"tcp://127.0.0.1:{server.getsockname()[1]}").ok
    port = free_port()
    found = reached("x", f"tcp://127.0.0.1:{port}")
    assert (found.ok, found.text) == (False, f"127.0.0.1:{port} takes no connection (Connection refused)")
    assert not reached("x", "tcp://127.0.0.1:99999").ok
    assert reached("x", "tcp://127.0.0.1").text.startswith("127.0.0.1:502 ")
    assert reached("x", "solarman://127.0.0.1").text.startswith("127.0.0.1:8899 ")
    assert not reached("x", "tcp://no.such.name.invalid").ok


def test_no_broker_is_told_with_the_command_that_starts_it(pi: Path) -> None:
    settings = Settings(collector=NO_BLE, broker=Broker(port=free_port()))
    assert [one.mend for one in wrong(machine(settings, pi))] == ["./scripts/run"]
    _installed(pi)
    assert [one.mend for one in wrong(machine(settings, pi))] == ["sudo systemctl start boondock-mosquitto"]


def test_a_certificate_authority_that_cannot_be_read_is_told(pi: Path) -> None:
    settings = Settings(collector=NO_BLE, broker=Broker(tls_ca="/etc/ca.crt"))
    (found,) = wrong(machine(settings, pi))
    assert found == Finding("broker.tls_ca", "/etc/ca.crt cannot be read", "sudo chmod 644 /etc/ca.crt")


def test_a_user_may_use_what_the_file_system_lets_him(pi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(pi, "/dev/i2c-1")
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = Machine(pi).may_use("x", "/dev/i2c-1", "i2c")
    assert found == Finding(
        "x", "you may not read and write /dev/i2c-1", "sudo usermod -aG i2c $USER, then log in again"
    )


def test_a_device_of_an_unknown_kind_does_not_stop_the_look(pi: Path) -> None:
    guard = BatteryGuard(relay="a", source="b.c", disconnect_below=1, reconnect_above=2)
    assert _found(pi, device={"x": Device(kind="nothing")}, battery_guard=guard) == []


def test_the_command_tells_it_in_lines_and_as_json(tmp_path: Path) -> None:
    file = written(tmp_path, f"[broker]\nport = {free_port()}\n[collector]\nrun = []\n")
    done = boondock("check", "--machine", "--config", str(file))
    assert done.returncode == 78
    assert done.stdout.startswith(f"{file}: good.")
    assert "!! broker: no broker: " in done.stderr
    done = boondock("check", "--machine", "--json", "--config", str(file))
    said = json.loads(done.stdout)
    assert (said["good"], said["mistakes"], said["file"]) == (False, [], str(file))
    assert {"subject", "text", "mend", "ok"} == set(said["machine"][-1])
