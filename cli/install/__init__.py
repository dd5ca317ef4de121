"""The machine that is installed on: its files below `root`, its programs, what it says of itself."""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.terminal import CommandError

PYTHONS = ((3, 11), (3, 12), (3, 13))
_LAST_LINES = 15


@dataclass
class System:
    """Files and commands of one machine; `root` is another folder in tests."""

    root: Path = field(default=Path("/"))

    def at(self, path: str | Path) -> Path:
        """Where a file of the machine is."""
        return self.root / str(path).lstrip("/")

    def text(self, path: str | Path) -> str:
        """Read the text of a file; empty if there is none that may be read."""
        return _read(self.at(path))

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        return which(program) is not None

    def word(self, *argv: str) -> str:
        """Return what a command prints, whatever its exit code: `systemctl is-enabled` says it by both."""
        return _done(argv)[1]

    def ask(self, *argv: str) -> str:
        """Return what a command prints; empty if it fails or is not there."""
        code, said = _done(argv)
        return "" if code else said

    def succeeds(self, *argv: str) -> bool:
        """Whether a command ends well; its output is of no interest."""
        return _done(argv, 600)[0] == 0

    def run(self, *argv: str, live: bool = False, env: Mapping[str, str] | None = None) -> None:
        """Run a command; `live` shows its output as it comes. Raises CommandError with its last lines."""
        sys.stdout.flush()
        try:
            done = subprocess.run(  # noqa: S603 — commands of this package
                argv,
                stdin=subprocess.DEVNULL,
                stdout=sys.stdout if live else subprocess.PIPE,
                stderr=None if live else subprocess.STDOUT,
                text=True,
                check=False,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            raise CommandError(f"{shown(argv)}: {error.strerror}") from error
        if done.returncode != 0:
            last = "\n".join((done.stdout or "").splitlines()[-_LAST_LINES:])
            raise CommandError(f"{shown(argv)} failed (exit code {done.returncode})\n{last}".rstrip())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _done(argv: Sequence[str], seconds: float = 60) -> tuple[int, str]:
    """Run a command to its end; return its exit code, 1 if it cannot be run, and what it printed."""
    try:
        done = subprocess.run(  # noqa: S603 — commands of this package
            argv, capture_output=True, text=True, check=False, timeout=seconds, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout.strip()


def which(program: str) -> str | None:
    """Find a program of the system; Debian keeps some where an ordinary user's PATH may not look."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"))
    return shutil.which(program, path=path)


@contextmanager
def alone(system: System) -> Iterator[None]:
    """Keep any other command from changing the machine meanwhile. Raises CommandError if one does."""
    path = system.at("/run/boondock-install.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                "another install, update or uninstall is going on\nnext: wait until it is done, start again"
            ) from error
        yield


def shown(argv: Sequence[str]) -> str:
    """Write a command as one would type it."""
    return " ".join(json.dumps(one) if " " in one or not one else one for one in argv)


def load(path: Path) -> Any:  # noqa: ANN401 — what JSON holds
    """Read a JSON file of ours; None if there is none. Raises CommandError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}; move it away to begin anew") from error


def save(path: Path, value: object, *, mode: int = 0o600) -> None:
    """Write a JSON file of ours in one step. Raises OSError."""
    put(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(), mode=mode)


def put(path: Path, content: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Replace a file with its rights: a power cut leaves the old or the new. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        # A boot partition (FAT) knows neither owners nor modes.
        if owner is not None and os.geteuid() == 0 and owner != (0, 0):
            os.fchown(file.fileno(), *owner)
        if file.fileno() >= 0 and os.fstat(file.fileno()).st_mode & 0o777 != mode:
            os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def known(lookup: Callable[[str], object], name: str) -> bool:
    """Whether `lookup`, such as pwd.getpwnam, finds a name."""
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def describe(system: System) -> str:
    """Operating system, machine and Python in one line."""
    lines = system.text("/etc/os-release").splitlines()
    pretty = dict(line.partition("=")[::2] for line in lines).get("PRETTY_NAME", "unknown system").strip('"')
    board = system.text("/proc/device-tree/model").strip("\0\n") or "no Raspberry Pi"
    return f"{pretty}, {platform.machine()}, {board}, Python {platform.python_version()}"


def refuse_unfit(system: System) -> None:
    """Raise CommandError where no house can be installed."""
    if sys.version_info[:2] not in PYTHONS:
        raise CommandError(f"this is Python {platform.python_version()}; Boondock needs 3.11, 3.12 or 3.13")
    if not system.at("/run/systemd/system").is_dir():
        raise CommandError(
            "systemd does not run here, and it is what starts the services\n"
            "next: ./scripts/run starts everything in a terminal; docker-compose.yml is for Docker"
        )
    if not system.has("apt-get"):
        raise CommandError("apt-get is missing: this is for Debian, Raspberry Pi OS and Ubuntu")


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
    """List the serial adapters, then the board's own UART."""
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
    bare = [one for name in ("ttyUSB*", "ttyACM*") for one in sorted(system.at("/dev").glob(name))]
    bare = [one for one in bare if os.path.realpath(one) not in real]
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
    words = [_read(adapter / name) for name in ("idVendor", "idProduct", "manufacturer", "product")]
    return " ".join(filter(None, (":".join(words[:2]), *words[2:])))


def has_pins(system: System) -> bool:
    """Whether the machine has pins."""
    return any(system.at("/dev").glob("gpiochip*"))


def chips(system: System, bus: int = 1) -> list[int]:
    """List the addresses that answer on an I2C bus; none if there is no bus or it cannot be asked."""
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
    """List the kinds of chips that may have an address."""
    found = ["ads1115_voltage", "tank_sender"] if address in _ADS1115 else []
    return found + (["ina219"] if address in _INA219 else [])


def interfaces(system: System) -> list[str]:
    """Network interfaces that carry the way out, the most likely first."""
    routes = system.ask("ip", "-4", "route", "show", "default")
    found = re.findall(r"\bdev (\S+)", routes)
    links = [one.name for one in sorted(system.at("/sys/class/net").glob("*"))]
    return list(dict.fromkeys([*found, *(one for one in links if one.startswith(("wl", "eth", "en")))]))


def zones(system: System) -> frozenset[str]:
    """List the time zones that this machine knows."""
    lines = system.text("/usr/share/zoneinfo/tzdata.zi").splitlines()
    zones_ = [line.split()[1] for line in lines if line.startswith("Z ")]
    links = [line.split()[2] for line in lines if line.startswith("L ")]
    return frozenset([*zones_, *links])
