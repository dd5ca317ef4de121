"""What belongs to a house and is backed up: one table of places, and the files below them."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path

from cli.house import load_settings
from config import load, secret_files
from config.model import Settings

DATABASE = Path("/var/lib/boondock-statistician/statistics.db")
CLOCK = Path("/var/lib/boondock-clock")
# Files of SQLite that are nothing without the database beside them.
COMPANIONS = ("-wal", "-shm", "-journal")
BEFORE = "before-"


class Part(StrEnum):
    """What a file belongs to."""

    SETTINGS = "settings"
    STATE = "state"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of the system, and which of its entries are of the house, with all below them."""

    part: Part
    top: Path
    pattern: str = "*"


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder of the house; `path` is as the house sees it."""

    path: Path
    part: Part
    folder: bool = False


PLACES = (
    Tree(Part.SETTINGS, Path("/etc/boondock")),
    Tree(Part.SETTINGS, Path("/etc/credstore"), "boondock-*"),
    Tree(Part.SETTINGS, Path("/etc/systemd/system"), "boondock*.d"),
    Tree(Part.SETTINGS, Path("/etc/mosquitto/conf.d"), "boondock*"),
    Tree(Part.STATE, Path("/var/lib"), "boondock"),
    Tree(Part.STATE, Path("/var/lib"), "boondock-*"),
)
# Made again by whoever needs them, or older than what is beside them.
_LEFT_OUT = (
    *(f"*{end}" for end in COMPANIONS),
    *("*.reserve", "*.part", "*.part-*", ".*.new", "*.restoring", "*.restored", "*.damaged*", "*.replaced*"),
    *(
        "*.lock",
        "lock",
        "*.id",
        "*.opening",
        "*.chain",
        "backups",
        f"{BEFORE}*",
        "boondock-backup",
        "boondock-install",
        "__pycache__",
        "logs",
        "settings-*.json",
    ),
)
# Added over MQTT they are settings, though the collectors keep them.
_ROSTER = "*-devices.json"


def inside(root: Path, path: Path) -> Path:
    """Where a path of the house is below `root`."""
    return root / path.absolute().relative_to("/")


@dataclass(frozen=True, slots=True)
class HouseFiles:
    """Where one house has its settings and its state; `root` is `/`, or where another system is mounted."""

    settings: Settings
    config: Path
    secrets: Path
    root: Path = Path("/")

    @classmethod
    def of(cls, config: Path | None) -> "HouseFiles":
        """Load those of a file, or of the one that the processes use. Raises SettingsError."""
        return cls(load_settings(config), config or load.find(), secret_files.places()[0])

    @property
    def installed(self) -> bool:
        """Whether the services run it, which have folders of their own."""
        return inside(self.root, CLOCK).is_dir()

    @property
    def database(self) -> Path:
        """The statistician's database."""
        named = Path(self.settings.statistician.database).absolute()
        return DATABASE if inside(self.root, DATABASE).exists() else named

    @property
    def clock(self) -> Path:
        """The folder that all processes read."""
        named = self.settings.clock.folder or self.settings.storage.state
        return CLOCK if self.installed else Path(named).absolute()

    def items(self) -> Iterator[Item]:
        """All there is, each once, the database last.

        A reading is in the database or in an outbox. The outboxes come first: one that leaves them in between
        is in the database by then, and one that is in both is dropped when it is sent again.
        """
        found: dict[Path, Item] = {}
        without = {self.database, Path(self.settings.backup.to).absolute()}
        if self.settings.statistician.backups is not None:
            without.add(Path(self.settings.statistician.backups).absolute())
        for item in (*standing(self.root), *self._own()):
            if not any(path in (item.path, *item.path.parents) for path in without):
                found.setdefault(item.path, item)
        yield from found.values()
        if inside(self.root, self.database).exists():
            yield Item(self.database, Part.DATABASE)

    def _own(self) -> Iterator[Item]:
        """Find what stands elsewhere because the settings say so."""
        settings = self.settings
        named = [self.config.absolute(), self.config.absolute().with_name(".env")]
        lan = (settings.lan.certificate, settings.lan.private_key)
        named += [Path(file) for file in (settings.broker.tls_ca, *lan) if file]
        named += [Path(d.profile) for d in settings.device.values() if d.profile and "/" in d.profile]
        if inside(self.root, self.secrets).is_dir():
            named += [self.secrets.absolute() / one.name for one in inside(self.root, self.secrets).iterdir()]
        for path in named:
            if inside(self.root, path).is_file():
                yield Item(path.absolute(), Part.SETTINGS)
        for folder in {Path(settings.storage.state).absolute(), self.clock}:
            there = inside(self.root, folder)
            if there.is_dir():
                yield from _below(Part.STATE, folder, there, deep=False)


def standing(root: Path) -> Iterator[Item]:
    """Find what stands in the places of every installed house."""
    for place in PLACES:
        top = inside(root, place.top)
        if top.is_dir():
            yield from _below(place.part, place.top, top, place.pattern)


def _below(part: Part, top: Path, there: Path, pattern: str = "*", *, deep: bool = True) -> Iterator[Item]:
    for one in sorted(there.iterdir()):
        path = top / one.name
        if not fnmatch(one.name, pattern) or any(fnmatch(one.name, left) for left in _LEFT_OUT):
            continue
        # Through a link, as systemd makes them for state folders.
        mode = _mode(one)
        if stat.S_ISREG(mode):
            yield Item(path, Part.SETTINGS if fnmatch(one.name, _ROSTER) else part)
        elif stat.S_ISDIR(mode) and deep:
            yield Item(path, part, folder=True)
            yield from _below(part, path, one)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        # A link to nothing, or gone since.
        return 0


def top_of(path: Path) -> Path:
    """Name the folder in which what stood at a path is kept when another takes its place."""
    for place in PLACES:
        if place.top in path.parents and fnmatch(path.relative_to(place.top).parts[0], place.pattern):
            below = place.part is Part.STATE
            return place.top / path.relative_to(place.top).parts[0] if below else place.top
    return path.parent
