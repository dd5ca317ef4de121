"""What is wired to this machine, as far as it can be seen without opening a port or asking a device."""

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.install.system import System

_I2C_SLAVE = 0x0703
# By what their makers call them in /dev/serial/by-id.
_CABLES = (("VictronEnergy", "vedirect"), ("RL7023", "route_b_meter"), ("BP35", "route_b_meter"))
# 0x03 to 0x07 and 0x78 up are reserved by the I2C specification; a clock chip is in use by the kernel.
_ADDRESSES = range(0x08, 0x78)
_INA219 = range(0x40, 0x50)
_ADS1115 = range(0x48, 0x4C)


@dataclass(frozen=True)
class Port:
    """A serial port by its lasting name, which kind of device its name speaks for, and what USB says."""

    path: str
    kind: str | None
    usb: str | None = None


def ports(system: System) -> list[Port]:
    """Serial adapters, then the board's own UART."""
    named = sorted(system.at("/dev/serial/by-id").glob("*"))
    found = [
        Port(
            f"/dev/serial/by-id/{one.name}",
            next((kind for word, kind in _CABLES if word in one.name), None),
            _usb(system, one),
        )
        for one in named
    ]
    real = {os.path.realpath(one) for one in named}
    bare = [
        one
        for pattern in ("ttyUSB*", "ttyACM*")
        for one in sorted(system.at("/dev").glob(pattern))
        if os.path.realpath(one) not in real
    ]
    found += [Port(f"/dev/{one.name}", None, _usb(system, one)) for one in bare]
    if system.at("/dev/serial0").exists():
        found.append(Port("/dev/serial0", None))
    return found


def _usb(system: System, port: Path) -> str | None:
    """Vendor, product and what the adapter calls itself; None where it is not on USB."""
    tty = system.at(f"/sys/class/tty/{Path(os.path.realpath(port)).name}/device").resolve()
    adapter = next((one for one in (tty, *tty.parents[:3]) if (one / "idVendor").exists()), None)
    if adapter is None:
        return None
    words = [_word(adapter / name) for name in ("idVendor", "idProduct", "manufacturer", "product")]
    return " ".join(filter(None, (":".join(words[:2]), *words[2:])))


def _word(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # not every adapter has all of them
        return ""


def has_pins(system: System) -> bool:
    """Whether the machine has pins."""
    return any(system.at("/dev").glob("gpiochip*"))


def chips(system: System, bus: int = 1) -> list[int]:
    """The addresses that answer on an I2C bus; none if there is no bus or it cannot be asked."""
    path = system.at(f"/dev/i2c-{bus}")
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return []
    try:
        return [address for address in _ADDRESSES if _answers(descriptor, address)]
    finally:
        os.close(descriptor)


def _answers(descriptor: int, address: int) -> bool:
    """Whether a chip acknowledges a read of one byte, which changes nothing in those that we know."""
    try:
        fcntl.ioctl(descriptor, _I2C_SLAVE, address)
        os.read(descriptor, 1)
    except OSError:
        return False
    return True


def kinds_at(address: int) -> list[str]:
    """The kinds of chips that may have an address."""
    found = ["ads1115_voltage", "tank_sender"] if address in _ADS1115 else []
    return found + (["ina219"] if address in _INA219 else [])


def interfaces(system: System) -> list[str]:
    """Network interfaces that carry the way out, the most likely first."""
    routes = system.ask("ip", "-4", "route", "show", "default")
    found = re.findall(r"\bdev (\S+)", routes)
    return list(dict.fromkeys([*found, *_links(system)]))


def _links(system: System) -> Iterator[str]:
    folder = system.at("/sys/class/net")
    yield from (one.name for one in sorted(folder.glob("*")) if one.name.startswith(("wl", "eth", "en")))


def zones(system: System) -> frozenset[str]:
    """The time zones that this machine knows."""
    table = system.at("/usr/share/zoneinfo/tzdata.zi")
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    zones_ = [line.split()[1] for line in lines if line.startswith("Z ")]
    links = [line.split()[2] for line in lines if line.startswith("L ")]
    return frozenset([*zones_, *links])
