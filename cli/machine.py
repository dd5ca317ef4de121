"""One thing that was looked at on this machine."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from cli.install import System
from collector.read import read_kernel
from config.addresses import NETWORK, TCP
from config.model import Ble, Controller, Device


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, the command or the step that mends it; `ok`: nothing to mend.

    One that is not `ok` and has no `mend` could not be looked at.
    """

    subject: str
    text: str
    mend: str = ""
    ok: bool = False

    def __str__(self) -> str:
        mend = f" -> {self.mend}" if self.mend else ""
        return f"{'ok' if self.ok else '!!'} {self.subject}: {self.text}{mend}"


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    """Those that somebody must mend."""
    return [one for one in findings if not one.ok]


STATE = "/var/lib/boondock-statistician"
"""Where the unit of the statistician keeps its database and state."""
UNIT = "etc/systemd/system/boondock-collector@.service"
# The group whose members may use a transport.
GROUPS = {"serial": "dialout", "i2c": "i2c", "gpio": "gpio", "ble": "bluetooth"}


class Machine(System):
    """The machine that is looked at; in tests `root` is a folder with what matters of one."""

    def there(self, pattern: str) -> list[str]:
        """Paths of that machine that match a pattern, sorted."""
        return sorted(f"/{path.relative_to(self.root)}" for path in self.root.glob(pattern.lstrip("/")))

    @cached_property
    def has_units(self) -> bool:
        """Whether Boondock is installed as services; then their users count, else the one who asks."""
        return self.at(UNIT).exists()

    @cached_property
    def groups(self) -> dict[str, int]:
        """The ids of the groups by name."""
        rows = (line.split(":") for line in self.text("/etc/group").splitlines())
        return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}

    @cached_property
    def users(self) -> set[str]:
        """The names of the users."""
        return {line.partition(":")[0] for line in self.text("/etc/passwd").splitlines()}

    def processes(self) -> Iterator[tuple[int, str, list[str]]]:
        """Id, name and command line of each process."""
        for folder in self.at("/proc").glob("[0-9]*"):
            number = int(folder.name)
            name = self.text(f"/proc/{number}/comm")
            yield number, name, self.text(f"/proc/{number}/cmdline").split("\0")

    def holders(self, path: str) -> Iterator[tuple[int, str, list[str]]]:
        """Every process but this one that has a device open or, whoever asks, locked as our collectors do."""
        real = os.path.realpath(self.at(path))
        locked = self._lockers(real)
        for number, name, line in self.processes():
            if number == os.getpid():
                continue
            opened = self.at(f"/proc/{number}/fd").glob("*")
            if number in locked or any(os.path.realpath(fd) == real for fd in opened):
                yield number, name, line

    def _lockers(self, real: str) -> set[int]:
        """Find the processes that have a file locked; the kernel names files by device and inode."""
        try:
            found = os.stat(real)  # noqa: PTH116 — a real path already
        except OSError:
            return set()
        file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        rows = (line.split() for line in self.text("/proc/locks").splitlines())
        return {int(row[4]) for row in rows if len(row) > 5 and row[5] == file and row[4].isdigit()}

    def may_use(self, subject: str, path: str, group: str) -> Finding:
        """Whether the units' users, or the one who asks, may read and write a device."""
        found = self.at(path).stat()
        if not self.has_units:
            if os.access(self.at(path), os.R_OK | os.W_OK):
                return Finding(subject, f"{path} is there", ok=True)
            mend = f"sudo usermod -aG {group} $USER, then log in again"
            return Finding(subject, f"you may not read and write {path}", mend)
        mode = found.st_mode
        by_group = found.st_gid == self.groups.get(group) and mode & stat.S_IRGRP and mode & stat.S_IWGRP
        if by_group or (mode & stat.S_IROTH and mode & stat.S_IWOTH):
            return Finding(subject, f"{path} is there", ok=True)
        mend = f"sudo chgrp {group} {path} && sudo chmod g+rw {path}"
        return Finding(subject, f"the group {group} of the service may not read and write {path}", mend)


_TIMEOUT_S = 3.0
_CONSOLES = ("console=serial0", "console=ttyAMA0", "console=ttyS0")
_BOARD = ("/dev/ttyAMA0", "/dev/ttyS0")
_CMDLINES = ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt", "/proc/cmdline")
_CONSOLE_OFF = "sudo raspi-config nonint do_serial_cons 1, then sudo reboot"
_SERIAL_ON = "sudo raspi-config nonint do_serial_hw 0, then sudo reboot"
_BLUETOOTHD = ("/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd", "/usr/sbin/bluetoothd")


def ports(place: Machine, devices: dict[str, Device]) -> Iterator[Finding]:
    """Look at the ports of devices, one finding a port or more."""
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
        host, number = parts.hostname, parts.port or NETWORK.get(f"{parts.scheme}://", NETWORK[TCP])
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


def _port(place: Machine, subject: str, port: str) -> Iterator[Finding]:
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
    # Root sees all processes, others their own.
    others = (one for one in place.holders(port) if "collector" not in one[2])
    for number, name, _ in islice(others, 1):
        text = f"{port} is used by {name} (process {number})"
        yield Finding(subject, text, f"stop {name}: sudo kill {number}")
    if (file := console(place, port)) is not None:
        yield Finding(subject, f"Linux uses {port} as its console ({file})", _CONSOLE_OFF)


def console(place: Machine, port: str) -> str | None:
    """Name the file that makes a port the console of Linux; None if it is none."""
    real = f"/{os.path.relpath(os.path.realpath(place.at(port)), os.path.realpath(place.root))}"
    if real not in _BOARD and port != "/dev/serial0":
        return None
    words = ((file, word) for file in _CMDLINES for word in place.text(file).split())
    return next((file for file, word in words if word.split(",")[0] in _CONSOLES), None)


def buses(place: Machine, devices: dict[str, int]) -> Iterator[Finding]:
    """Look at the I2C buses, by device."""
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


def bluetooth(place: Machine, ble: Ble, devices: Iterable[str]) -> Iterator[Finding]:
    """Look at the adapter and bluetoothd, for devices that are heard by radio."""
    subject = "ble.adapter"
    if not place.at(f"/sys/class/bluetooth/{ble.adapter}").exists():
        others = [path.rpartition("/")[2] for path in place.there("/sys/class/bluetooth/hci*")]
        others = [name for name in others if ":" not in name]
        if others:
            yield Finding(subject, f"there is no {ble.adapter}", f'write adapter = "{others[0]}" below [ble]')
        elif list(devices):
            mend = "plug one in, or take disable-bt out of config.txt"
            yield Finding(subject, "this machine has no Bluetooth adapter", mend)
        else:
            text = "this machine has no Bluetooth adapter, and no device needs one"
            yield Finding(subject, text, "write run = [] below [collector]")
        return
    yield Finding(subject, f"{ble.adapter} is there", ok=True)
    for switch in place.there("/sys/class/rfkill/*"):
        if (place.text(f"{switch}/type"), place.text(f"{switch}/soft")) == ("bluetooth", "1"):
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


# What a setting of controller.pins can work with; one that can be imported is enough.
_PIN_LIBRARIES = {"rpi": ("RPi.GPIO",), "gpiod": ("gpiod",), "auto": ("gpiod", "RPi.GPIO")}
_IMPORT_S = 20.0
_ASK_LABEL = "import gpiod, sys; print(gpiod.Chip(sys.argv[1]).get_info().label)"
_LIBRARY = "sudo apt install python3-rpi-lgpio on Raspberry Pi OS; docs/relays.md tells of others"
# Pins that a switch of the board's takes, the file that shows it is on, and how it is switched off.
_TAKEN = (
    ((2, 3), "/dev/i2c-1", "I2C", "sudo raspi-config nonint do_i2c 1"),
    ((7, 8, 9, 10, 11), "/dev/spidev0.0", "SPI", "sudo raspi-config nonint do_spi 1"),
    ((14, 15), "/dev/serial0", "the serial port", "sudo raspi-config nonint do_serial_hw 1"),
    ((4,), "/sys/bus/w1/devices/w1_bus_master1", "1-Wire", "sudo raspi-config nonint do_onewire 1"),
)


def pins(place: Machine, controller: Controller, uses: Mapping[str, int]) -> Iterator[Finding]:
    """Look at the pins by the settings that name them, and at the chip that they are on."""
    backend = controller.pins
    if not uses or backend == "simulated":
        return
    chips = place.there("/dev/gpiochip*")
    if controller.chip is not None:
        yield _chip(place, controller.chip, backend, chips)
    elif chips:
        yield place.may_use("pins", chips[0], "gpio")
    else:
        mend = 'write pins = "simulated" below [controller], if this is no Raspberry Pi'
        yield Finding("pins", "there is no /dev/gpiochip0: this machine shows no pins", mend)
    yield library(backend)
    for numbers, path, what, mend in _TAKEN:
        for key, pin in uses.items():
            if pin in numbers and place.at(path).exists():
                text = f"pin {pin} is taken by {what}, which is switched on"
                yield Finding(key, text, f"write another pin, or, if nothing needs {what}: {mend}")


def expanders(place: Machine, controller: Controller, named: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the other chips that settings name for their pins."""
    if controller.pins != "simulated":
        chips = place.there("/dev/gpiochip*")
        for key, wanted in named.items():
            yield _chip(place, wanted, controller.pins, chips, key)


def kernel_sensors(place: Machine, devices: Mapping[str, Device]) -> Iterator[Finding]:
    """Read each sensor once that a driver of the kernel has."""
    for name, device in devices.items():
        subject, problem = f"device.{name}", read_kernel(device, place.root)
        if problem is None:
            yield Finding(subject, "it can be read", ok=True)
        elif problem:
            yield Finding(subject, problem, "docs/wiring.md; boondock scan kernel lists them")


def _chip(
    place: Machine, wanted: str, backend: str, chips: list[str], subject: str = "controller.chip"
) -> Finding:
    """Whether a chip is there: by path, name or label."""
    if backend == "rpi":
        mend = 'write pins = "gpiod" below [controller], or no chip'
        return Finding(subject, "RPi.GPIO takes no chip", mend)
    named = wanted if "/" in wanted else f"/dev/{wanted}"
    if place.at(named).exists():
        return place.may_use(subject, named, "gpio")
    labels = {path: "" if "/" in wanted else _label(place.at(path)) for path in chips}
    fits = [path for path, label in labels.items() if label == wanted]
    if fits:
        return place.may_use(subject, fits[0], "gpio")
    there = ", ".join(f"{path} ({label})" if label else path for path, label in labels.items())
    text = f"there is no chip {wanted!r}; there is {there or 'none'}"
    if "/" not in wanted and "" in labels.values():
        text = f"no label of {there} could be read to find {wanted!r}"
    first = chips[0] if chips else "/dev/gpiochip0"
    return Finding(subject, text, f'write chip = "{first}"; gpiodetect lists them')


def _label(path: Path) -> str:
    """Ask the kernel for the label of a chip; empty if it may not be asked."""
    done = _python(_ASK_LABEL, str(path))
    return done.stdout.strip() if done.returncode == 0 else ""


def library(backend: str) -> Finding:
    """Whether a library for the pins can be imported, tried in a process of its own."""
    reasons = []
    for name in _PIN_LIBRARIES.get(backend, _PIN_LIBRARIES["auto"]):
        done = _python(f"import {name}")
        if done.returncode == 0:
            return Finding("pins", f"{name} can be imported", ok=True)
        reasons.append(f"{name}: {(done.stderr.strip().splitlines() or ['it ended'])[-1]}")
    return Finding("pins", f"no library for the pins works ({'; '.join(reasons)})", _LIBRARY)


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=_IMPORT_S, check=False)  # noqa: S603 — our own interpreter
