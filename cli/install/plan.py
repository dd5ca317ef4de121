"""What is installed: answers and facts, kept so that an interruption loses nothing; and releases.

A release is a copy of a source folder in /opt/boondock/releases, with a Python environment of its own.
"""

import hashlib
import os
import re
import shutil
import socket
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.install import System, load, save, shown, texts
from cli.install.changes import Journal
from cli.terminal import CommandError
from config.addresses import is_here

ANSWERS = "/var/lib/boondock-install/answers.json"
# An update that has begun, and is not decided about yet.
PENDING = "/var/lib/boondock-install/update.json"
SETTINGS = "/etc/boondock/boondock.toml"
SECRETS = "/etc/boondock/secrets"
OWN, EXISTING, ELSEWHERE = "own", "existing", "elsewhere"
# How the kinds of devices are wired, as far as the machine must be prepared for it. The collector's own table
# needs libraries, which a fresh machine does not have yet; a test holds this against it.
I2C_KINDS = frozenset(
    {"ads1115_voltage", "bme280", "ina219", "ina226", "ina228", "ina3221", "sht3x", "tank_sender"}
)
_UARTS = ("/dev/serial0", "/dev/serial1", "/dev/ttyAMA", "/dev/ttyS")


@dataclass
class Plan:
    """The answers. `toml` is the text of boondock.toml, `secrets` the secret files by name.

    `broker` is OWN, EXISTING (a Mosquitto of this machine is kept) or ELSEWHERE.
    """

    source: str
    release: str
    toml: str
    broker: str
    secrets: dict[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    i2c: bool = False
    uart: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """boondock.toml as it is read, unchecked. Raises CommandError."""
        return parsed(self.toml, SETTINGS)

    @property
    def users(self) -> bool:
        """Whether each process has a user of its own at the broker of this machine."""
        if self.broker == OWN:
            return True
        if self.broker == ELSEWHERE or "username" in self.settings.get("broker", {}):
            return False
        found = texts.existing_broker(Path("/"))
        return found is not None and found.asks_passwords


def parsed(text: str, name: str) -> dict[str, Any]:
    """Read a TOML text; every table that is none becomes an empty one. Raises CommandError."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{name}: {error}") from error


def tables(settings: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Choose the tables below [name.…]; what is no table is left to the check of the settings."""
    found = settings.get(name)
    rows = found.items() if isinstance(found, dict) else ()
    return {key: one for key, one in rows if isinstance(one, dict)}


def kinds(settings: Mapping[str, Any]) -> set[str]:
    """Collect the kinds of all devices."""
    return {str(one.get("kind")) for one in tables(settings, "device").values()}


# Of each extra that outputs or [[notify]] need, the package that pip installs last.
_EXTRAS = {"signed": "joserfc", "gcloud": "google_cloud_pubsub", "notify": "apprise"}


def extras(settings: Mapping[str, Any]) -> dict[str, str]:
    """Choose the extras of Python packages that are needed: name, and the package that pip installs last."""
    outputs = settings.get("output")
    rows = outputs if isinstance(outputs, list) else []
    wanted = {str(one.get("kind")) for one in rows if isinstance(one, dict)}
    wanted |= {"notify"} if settings.get("notify") else set()
    return {name: package for name, package in _EXTRAS.items() if name in wanted}


def needs_i2c(settings: Mapping[str, Any]) -> bool:
    """Whether a device is on the I2C bus."""
    return bool(kinds(settings) & I2C_KINDS)


def needs_uart(settings: Mapping[str, Any]) -> bool:
    """Whether a device is on the board's own serial port."""
    return any(str(one.get("port", "")).startswith(_UARTS) for one in tables(settings, "device").values())


def broker_of(settings: Mapping[str, Any], system: System) -> str:
    """Which broker settings mean that nobody was asked about: what is here and runs is kept."""
    table = settings.get("broker", {})
    if not is_here(str(table.get("host", "127.0.0.1"))):
        return ELSEWHERE
    return EXISTING if keeps(system) else OWN


def keeps(system: System) -> bool:
    """Whether a Mosquitto of the distribution runs, or would at the next start."""
    enabled = system.word("systemctl", "is-enabled", texts.MOSQUITTO)
    return enabled == "enabled" or system.succeeds("systemctl", "-q", "is-active", texts.MOSQUITTO)


def addresses(host: str) -> list[str]:
    """Look up the addresses a name has now; none if it has none."""
    try:
        return sorted({str(one[4][0]) for one in socket.getaddrinfo(host, None)})
    except OSError:
        return []


def remembered(system: System) -> Plan | None:
    """Read the answers of an installation that was begun. Raises CommandError."""
    found = load(system.at(ANSWERS))
    return None if found is None else Plan(**found)


def remember(system: System, plan: Plan) -> None:
    """Keep the answers; the secrets are in files of their own once those are written. Raises OSError."""
    save(system.at(ANSWERS), asdict(plan))


HOME = Path("/opt/boondock")
_READY = ".ready"
# What a house needs not; what stands here by its own name at any depth is not copied either.
_LEFT_OUT = frozenset({".git", ".venv", ".ci", "tests", "bench", "boondock.toml", ".env", "node_modules"})
_RUBBISH = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_MB = 1_000_000
# A Python environment and its bytecode, measured: 150 MB; the rest is room to breathe.
_ROOM = 400 * _MB


@dataclass(frozen=True)
class Source:
    """A folder with Boondock's files: a clone, or an unpacked archive."""

    folder: Path

    def files(self) -> Iterator[Path]:
        """Every file a release has, below `folder`, sorted. Raises CommandError if this is no Boondock."""
        for name in ("pyproject.toml", "scripts/setup", "cli/__init__.py", "systemd/boondock.target"):
            if not (self.folder / name).exists():
                raise CommandError(f"{self.folder} is no folder of Boondock: {name} is missing")
        for here, folders, names in os.walk(self.folder):
            top = Path(here) == self.folder
            folders[:] = sorted(
                one
                for one in folders
                if one not in _RUBBISH and not one.endswith(".egg-info") and not (top and one in _LEFT_OUT)
            )
            for name in sorted(names):
                if not (top and (name in _LEFT_OUT or name == _READY)):
                    yield (Path(here) / name).relative_to(self.folder)

    def version(self) -> str:
        """As pyproject.toml says. Raises CommandError."""
        found = _VERSION.search((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        if found is None:
            raise CommandError(f"{self.folder}/pyproject.toml says no version")
        return found[1]

    def name(self) -> str:
        """Version and a digest of all files: the same files are the same release."""
        digest = hashlib.sha256()
        for file in self.files():
            path = self.folder / file
            digest.update(f"{file}\0{os.access(path, os.X_OK)}\0".encode())
            digest.update(path.read_bytes())
            digest.update(b"\0")
        return f"{self.version()}-{digest.hexdigest()[:10]}"


def unpacked(system: System, path: Path, into: Path) -> Path:
    """Return the folder of a source: `path`, or the archive's content below `into`. Raises CommandError."""
    if path.is_dir():
        return path
    if not path.exists():
        raise CommandError(
            f"{path} does not exist: name a folder, a clone or an archive (.tar.gz) of Boondock"
        )
    into.mkdir(parents=True, exist_ok=True)
    system.run("tar", "-xf", str(path), "-C", str(into), "--no-same-owner")
    inner = [one for one in into.iterdir() if one.is_dir()]
    return inner[0] if len(inner) == 1 and not (into / "pyproject.toml").exists() else into


@dataclass(frozen=True)
class Release:
    """A release as it shall stand: copied, with its environment, its bytecode compiled."""

    system: System
    source: Path
    path: Path

    @property
    def python(self) -> Path:
        """Its own Python."""
        return self.path / ".venv" / "bin" / "python"

    def show(self) -> Iterator[str]:
        """Show what is copied and what is run."""
        files = list(Source(self.source).files())
        size = sum((self.source / one).stat().st_size for one in files) / _MB
        yield f"copy {len(files)} files ({size:.1f} MB) from {self.source} to {self.path}"
        for argv in self._commands():
            yield f"run {shown(argv)}"

    def _commands(self) -> list[list[str]]:
        compiling = ["-I", "-m", "compileall", "-q", "-j", "0", "-x", "/[.]venv/", str(self.path)]
        return [[str(self.path / "scripts" / "setup")], [str(self.python), *compiling]]

    def done(self) -> bool:
        """Whether it is whole."""
        return (self.path / _READY).exists()

    def do(self, journal: Journal) -> None:
        """Copy it and set it up; a copy that was interrupted begins anew. Raises CommandError, OSError."""
        journal.note("tree", str(self.system.at(HOME)))
        if self.path != self.source and not self.path.exists():
            self._copy()
        setup, compiling = self._commands()
        self.system.run(*setup, live=True)
        self.system.run(*compiling)
        (self.path / _READY).touch()
        os.sync()

    def _copy(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path.parent).free
        if free < _ROOM:
            raise CommandError(
                f"a release takes up to {_ROOM // _MB} MB, {free // _MB} MB are free on {self.path.parent}\n"
                "next: remove what you do not need (sudo apt-get clean, df -h), then start again"
            )
        part = self.path.with_name(f".{self.path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for file in Source(self.source).files():
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.source / file, part / file)
        # The user's umask must not keep the services out.
        for place in (part, *part.rglob("*")):
            place.chmod(0o755 if place.is_dir() or os.access(place, os.X_OK) else 0o644)
            if os.geteuid() == 0:
                os.chown(place, 0, 0)
        part.replace(self.path)


def current(system: System) -> Path | None:
    """Find the release that runs; None if there is none."""
    link = system.at(HOME / "current")
    return Path(os.path.realpath(link)) if link.is_symlink() else None


def tidy(system: System, *keep: Path) -> list[str]:
    """Remove all releases but `keep` and half copies; returns their names."""
    gone = [one for one in sorted(system.at(HOME / "releases").iterdir()) if one not in keep]
    for one in gone:
        shutil.rmtree(one)
    return [one.name for one in gone if not one.name.startswith(".")]
