"""The machine that is installed on: its files below `root`, its programs, what it says of itself."""

import fcntl
import grp
import json
import os
import platform
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PYTHONS = ((3, 11), (3, 12), (3, 13))
_LAST_LINES = 15


class InstallError(Exception):
    """What went wrong and what to do next, for the person at the terminal."""


@dataclass
class System:
    """Files and commands of one machine; `root` is another folder in tests."""

    root: Path = field(default=Path("/"))

    def at(self, path: str | Path) -> Path:
        """Where a file of the machine is."""
        return self.root / str(path).lstrip("/")

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
        return shutil.which(program, path=path) is not None

    def ask(self, *argv: str) -> str:
        """What a command prints; empty if it fails or is not there."""
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 — commands of this package
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def word(self, *argv: str) -> str:
        """What a command prints, whatever its exit code: `systemctl is-enabled` says it by both."""
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 — commands of this package
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip()

    def succeeds(self, *argv: str) -> bool:
        """Whether a command ends well; its output is of no interest."""
        try:
            done = subprocess.run(argv, capture_output=True, check=False, timeout=600)  # noqa: S603 — commands of this package
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def run(self, *argv: str, live: bool = False, env: Mapping[str, str] | None = None) -> None:
        """Run a command; `live` shows its output as it comes. Raises InstallError with its last lines."""
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
            raise InstallError(f"{shown(argv)}: {error.strerror}") from error
        if done.returncode != 0:
            last = "\n".join((done.stdout or "").splitlines()[-_LAST_LINES:])
            raise InstallError(f"{shown(argv)} failed (exit code {done.returncode})\n{last}".rstrip())


@contextmanager
def alone(system: System) -> Iterator[None]:
    """Keep any other command from changing the machine meanwhile. Raises InstallError if one does."""
    path = system.at("/run/boondock-install.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InstallError(
                "another install, update or uninstall is going on\nnext: wait until it is done, start again"
            ) from error
        yield


def shown(argv: Sequence[str]) -> str:
    """A command as one would type it."""
    return " ".join(json.dumps(one) if " " in one or not one else one for one in argv)


def load(path: Path) -> Any:  # noqa: ANN401 — what JSON holds
    """A JSON file of ours; None if there is none. Raises InstallError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InstallError(f"{path} cannot be read: {error}; move it away to begin anew") from error


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


def known_user(name: str) -> bool:
    """Whether there is a user of this name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def known_group(name: str) -> bool:
    """Whether there is a group of this name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def describe(system: System) -> str:
    """Operating system, machine and Python in one line."""
    release = system.at("/etc/os-release")
    lines = release.read_text(encoding="utf-8").splitlines() if release.exists() else []
    pretty = dict(line.partition("=")[::2] for line in lines).get("PRETTY_NAME", "unknown system").strip('"')
    model = system.at("/proc/device-tree/model")
    board = model.read_text(encoding="utf-8").strip("\0\n") if model.exists() else "no Raspberry Pi"
    return f"{pretty}, {platform.machine()}, {board}, Python {platform.python_version()}"


def refuse_unfit(system: System) -> None:
    """Raise InstallError where no house can be installed."""
    if sys.version_info[:2] not in PYTHONS:
        raise InstallError(f"this is Python {platform.python_version()}; Boondock needs 3.11, 3.12 or 3.13")
    if not system.at("/run/systemd/system").is_dir():
        raise InstallError(
            "systemd does not run here, and it is what starts the services\n"
            "next: ./scripts/run starts everything in a terminal; docker-compose.yml is for Docker"
        )
    if not system.has("apt-get"):
        raise InstallError("apt-get is missing: this is for Debian, Raspberry Pi OS and Ubuntu")
