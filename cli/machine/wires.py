"""Serial ports, network ports, I2C buses and Bluetooth, as devices need them."""

import os
import socket
import stat
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from cli.machine.finding import Finding
from cli.machine.place import Place
from config.model import Ble, Device

_TIMEOUT_S = 3.0
_MODBUS_TCP = 502
_CONSOLES = ("console=serial0", "console=ttyAMA0", "console=ttyS0")
_BOARD = ("/dev/ttyAMA0", "/dev/ttyS0")
_CMDLINES = ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt", "/proc/cmdline")
_CONSOLE_OFF = "sudo raspi-config nonint do_serial_cons 1, then sudo reboot"
_SERIAL_ON = "sudo raspi-config nonint do_serial_hw 0, then sudo reboot"
_BLUETOOTHD = ("/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd", "/usr/sbin/bluetoothd")


def ports(place: Place, devices: dict[str, Device]) -> Iterator[Finding]:
    """The ports of devices, one finding a port or more."""
    seen: dict[str, str] = {}
    for name, device in devices.items():
        port = device.port
        if port is None:
            continue
        subject = f"device.{name}.port"
        if "://" in port:
            yield reached(subject, port)
            continue
        real = os.path.realpath(place.at(port))
        if seen.setdefault(real, port) != port:
            text = f"{port} and {seen[real]} are one port under two names"
            yield Finding(subject, text, f'write port = "{seen[real]}" for both')
        yield from _port(place, subject, port)


def reached(subject: str, url: str) -> Finding:
    """Whether the host and port of a URL take a connection within 3 s."""
    parts = urlsplit(url)
    try:
        host, number = parts.hostname, parts.port or _MODBUS_TCP
    except ValueError:
        return Finding(subject, f"{url} has no right port", "write a number from 1 to 65535 after the last :")
    if parts.scheme == "hwgrep" or host is None:
        return Finding(subject, f"{url} is found by the collector itself", ok=True)
    try:
        with socket.create_connection((host, number), timeout=_TIMEOUT_S):
            return Finding(subject, f"{host}:{number} answers", ok=True)
    except socket.gaierror:
        return Finding(subject, f"the name {host} is not known here", f"write its address; try: ping {host}")
    except TimeoutError:
        text = f"{host}:{number} did not answer within {_TIMEOUT_S:g} s"
        return Finding(subject, text, f"is it switched on and in this network? try: ping {host}")
    except OSError as error:
        text = f"{host}:{number} takes no connection ({error.strerror or error})"
        return Finding(subject, text, "switch its server on, or write its right port")


def _port(place: Place, subject: str, port: str) -> Iterator[Finding]:
    found = place.at(port)
    if not found.exists():
        if port in ("/dev/serial0", *_BOARD):
            yield Finding(subject, f"there is no {port}: the board's serial port is off", _SERIAL_ON)
            return
        by_id = place.there("/dev/serial/by-id/*") or place.there("/dev/tty[UA][SC][BM]*")
        here = f"; there is {', '.join(by_id)}" if by_id else ", and no other serial adapter"
        yield Finding(subject, f"there is no {port}{here}", "plug it in, then: ls -l /dev/serial/by-id")
        return
    if not stat.S_ISCHR(found.stat().st_mode):
        yield Finding(subject, f"{port} is no serial port", "ls -l /dev/serial/by-id shows those there are")
        return
    yield place.may_use(subject, port, "dialout")
    held = place.holder(port)
    if held is not None:
        number, name = held
        yield Finding(
            subject, f"{port} is used by {name} (process {number})", f"stop {name}: sudo kill {number}"
        )
    if (file := console(place, port)) is not None:
        yield Finding(subject, f"Linux uses {port} as its console ({file})", _CONSOLE_OFF)


def console(place: Place, port: str) -> str | None:
    """The file that makes a port the console of Linux; None if it is none."""
    real = f"/{os.path.relpath(os.path.realpath(place.at(port)), os.path.realpath(place.root))}"
    if real not in _BOARD and port != "/dev/serial0":
        return None
    words = ((file, word) for file in _CMDLINES for word in place.text(file).split())
    return next((file for file, word in words if word.split(",")[0] in _CONSOLES), None)


def buses(place: Place, devices: dict[str, int]) -> Iterator[Finding]:
    """The I2C buses, by device."""
    for name, number in devices.items():
        subject, path = f"device.{name}.bus", f"/dev/i2c-{number}"
        if place.at(path).exists():
            yield place.may_use(subject, path, "i2c")
        elif place.at(f"/sys/class/i2c-adapter/i2c-{number}").exists():
            mend = (
                "sudo modprobe i2c-dev; for every start: echo i2c-dev | sudo tee /etc/modules-load.d/i2c.conf"
            )
            yield Finding(subject, f"there is no {path}: the module i2c-dev is not loaded", mend)
        else:
            others = place.there("/dev/i2c-*")
            text = f"there is no {path}" + (f"; there is {', '.join(others)}" if others else ": I2C is off")
            mend = "write the number of yours" if others else "sudo raspi-config nonint do_i2c 0"
            yield Finding(subject, text, mend)


def bluetooth(place: Place, ble: Ble, devices: Iterable[str]) -> Iterator[Finding]:
    """The adapter and bluetoothd, for devices that are heard by radio."""
    subject = "ble.adapter"
    if not place.at(f"/sys/class/bluetooth/{ble.adapter}").exists():
        others = [path.rpartition("/")[2] for path in place.there("/sys/class/bluetooth/hci*")]
        others = [name for name in others if ":" not in name]
        if others:
            yield Finding(subject, f"there is no {ble.adapter}", f'write adapter = "{others[0]}" below [ble]')
        elif list(devices):
            yield Finding(
                subject,
                "this machine has no Bluetooth adapter",
                "plug one in, or take disable-bt out of config.txt",
            )
        else:
            text = "this machine has no Bluetooth adapter, and no device needs one"
            yield Finding(subject, text, "write run = [] below [collector]")
        return
    yield Finding(subject, f"{ble.adapter} is there", ok=True)
    for switch in place.there("/sys/class/rfkill/*"):
        if (
            place.text(f"{switch}/type").strip() == "bluetooth"
            and place.text(f"{switch}/soft").strip() == "1"
        ):
            yield Finding(subject, "Bluetooth is switched off (rfkill)", "sudo rfkill unblock bluetooth")
    running = next((line for _, name, line in place.processes() if name == "bluetoothd"), None)
    if running is None:
        there = any(place.at(path).exists() for path in _BLUETOOTHD)
        mend = "sudo systemctl enable --now bluetooth" if there else "sudo apt install bluez"
        yield Finding("bluetoothd", f"it {'is not running' if there else 'is not installed'}", mend)
    elif ble.mode == "passive" and not {"--experimental", "-E"} & set(running):
        mend = 'write mode = "active" below [ble], or start bluetoothd with --experimental'
        yield Finding("ble.mode", "passive needs bluetoothd --experimental", mend)
    else:
        yield Finding("bluetoothd", "it is running", ok=True)
