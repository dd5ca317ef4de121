"""`boondock backup`."""

import errno
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from typer import Option

from bus import state_files
from bus.disks import mount_of, wants_mount
from bus.state_files import BackupReport, LockedError, hold
from cli.backup import HouseFiles, Part, inside
from cli.backup.archive import Reader, Writer, create
from cli.house import Json
from cli.terminal import CommandError, Progress, show
from statistician.store.backup import SnapshotError, is_database
from statistician.store.engine import sync

_SECRET = "it holds keys and passwords: keep it where nobody else can read it"  # noqa: S105 — a sentence


_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(
    r"boondock-(?P<house>[A-Za-z0-9_-]*)-(?P<stamp>\d{8}T\d{6}Z)-(?P<kind>full|changes)\.zip\Z"
)
_PART = ".part"
# A new whole one each week (seconds; nights differ), or when what changed takes half as much.
_WHOLE_EVERY_S = 7 * 86_400 - 3600
_MUCH = 0.5
# What a backup leaves free on the disk of the database: on a full disk the statistician gives up old states.
_LEAST_FREE = 64 * 1024 * 1024
_LOOK_EVERY = 4 * 1024 * 1024
_SAID = {
    errno.ENOSPC: "the disk is full: remove something there, or keep fewer backups",
    errno.EROFS: "it can only be read: look at the disk, or mount it for writing",
    errno.EACCES: "it may not be written by this user: use sudo, or another folder",
    errno.EPERM: "it may not be written by this user: use sudo, or another folder",
    errno.EIO: "the disk does not answer as it should: is it still plugged in? It may be worn out",
    errno.ENODEV: "the disk is gone: plug it in again",
    errno.ESTALE: "the other machine has forgotten the folder: mount it again",
    errno.EHOSTDOWN: "the other machine does not answer",
}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in a folder."""

    path: Path
    at: datetime
    whole: bool


def kept(folder: Path, house: str | None = None) -> list[Kept]:
    """Find the backups in a folder, newest first; of one house, or of all. Raises OSError."""
    found = []
    for path in folder.glob("boondock-*.zip"):
        match = _NAME.match(path.name)
        if match and house in (None, match["house"]):
            at = datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
            found.append(Kept(path, at, match["kind"] == "full"))
    return sorted(found, key=lambda one: (one.at, one.path.name), reverse=True)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where backups go, and how many are kept; `mounted`: only onto a disk of its own."""

    folder: Path
    keep: int
    mounted: bool | None = None


def destination_of(house: HouseFiles, to: Path | None = None, keep: int | None = None) -> Destination:
    """As the settings have it, if nothing else is asked for."""
    wanted = house.settings.backup
    if to is None:
        return Destination(inside(house.root, Path(wanted.to)), keep or wanted.keep, wanted.mounted)
    return Destination(to.absolute(), keep or wanted.keep)


def back_up(
    house: HouseFiles,
    target: Destination,
    name: str,
    now: datetime,
    *,
    whole: bool = False,
    tell: Tell = lambda _: None,
) -> Path:
    """Make a backup of the house called `name` and return it; the report in its clock folder says the same.

    `tell` gets sentences about what is not as it should be, though the backup is good.
    Raises CommandError with a sentence; then the old backups stand as they were.
    """
    folder = inside(house.root, house.clock)
    before = state_files.read_backup_report(folder) if folder.is_dir() else None
    at = round(now.timestamp() * 1000)
    report = BackupReport(at, None, before.file if before else None, before.good_at if before else None)
    try:
        made = _safely(house, target, name, now, whole=whole, tell=tell)
    except CommandError as error:
        _report(folder, BackupReport(at, str(error), report.file, report.good_at))
        raise
    _report(folder, BackupReport(at, None, str(made), at))
    return made


def _report(folder: Path, report: BackupReport) -> None:
    if folder.is_dir():
        try:
            state_files.write_backup_report(folder, report)
        except OSError as error:
            raise CommandError(
                f"{folder}: {error.strerror or error}: the statistician cannot tell how the backup went"
                + (f". It went wrong: {report.problem}" if report.problem else "")
            ) from error


def _safely(
    house: HouseFiles, target: Destination, name: str, now: datetime, *, whole: bool, tell: Tell
) -> Path:
    """Make one, every error a sentence."""
    try:
        _check(house, target)
        target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = hold(target.folder / ".lock", "another backup is being made", 0)
        try:
            return _make(house, target, name, now, whole=whole, tell=tell)
        finally:
            if lock is not None:
                lock.close()
    except LockedError as error:
        raise CommandError(str(error)) from error
    except SnapshotError as error:
        raise CommandError(f"no backup: {error}") from error
    except OSError as error:
        where = error.filename or target.folder
        said = _SAID.get(error.errno or 0, error.strerror or str(error))
        raise CommandError(f"no backup in {target.folder}: {where}: {said}") from error


def _make(
    house: HouseFiles, target: Destination, name: str, now: datetime, *, whole: bool, tell: Tell
) -> Path:
    for half in target.folder.glob(f"boondock-*{_PART}"):
        half.unlink()
    base = None if whole else _base(kept(target.folder, name), now)
    try:
        path = _one(house, target.folder, name, base, now)
    except CommandError as error:
        if base is None:
            raise
        tell(f"{error}; a whole backup is made instead")
        path = _one(house, target.folder, name, None, now)
    if path.stat().st_mode & 0o077:
        tell(f"{target.folder} keeps no rights: whoever has this disk can read the passwords in {path.name}")
    mine = kept(target.folder, name)
    for old in _too_old(mine, target.keep):
        old.unlink()
    return path


def _one(house: HouseFiles, folder: Path, name: str, base: Path | None, now: datetime) -> Path:
    """Write a backup, read it back, and only then give it its name."""
    kind = "full" if base is None else "changes"
    path = folder / f"boondock-{name}-{now.strftime(_STAMP)}-{kind}.zip"
    part = path.with_name(path.name + _PART)
    try:
        _write(house, part, base, now)
        with Reader(part) as written:
            written.verify()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync(folder)
    return path


def _base(mine: list[Kept], now: datetime) -> Path | None:
    """Choose the whole backup to which the changes are written; None if it is time for another."""
    newest = next((one for one in mine if one.whole), None)
    if newest is None or not 0 <= (now - newest.at).total_seconds() < _WHOLE_EVERY_S:
        return None
    size = newest.path.stat().st_size
    much = any(one.at > newest.at and one.path.stat().st_size > _MUCH * size for one in mine)
    return None if much else newest.path


def _too_old(mine: list[Kept], keep: int) -> Iterator[Path]:
    """All but the newest, and the whole ones that those need: of each, the next older one."""
    rest = mine[keep:]
    if mine[:keep] and not mine[:keep][-1].whole:
        needed = next((one for one in rest if one.whole), None)
        rest = [one for one in rest if one is not needed]
    yield from (one.path for one in rest)


def _write(house: HouseFiles, part: Path, base: Path | None, now: datetime) -> None:
    """Write everything to `part`, and onto the disk."""
    progress = Progress()
    pause = _careful(house, part, progress)
    with ExitStack() as stack:
        file = stack.enter_context(create(part))
        reader = None if base is None else stack.enter_context(Reader(base))
        with Writer(file, now.isoformat(), reader, pause) as writer:
            _fill(house, writer, part.parent)
        file.flush()
        os.fsync(file.fileno())
    progress.done()


def _fill(house: HouseFiles, writer: Writer, target: Path) -> None:
    for item in house.items():
        there = inside(house.root, item.path)
        if target in (there, *there.parents):
            # No backups of backups.
            continue
        try:
            if item.folder:
                writer.folder(item, there)
            elif item.part is Part.DATABASE:
                writer.database(item, there)
            elif is_database(there):
                writer.small_database(item, there)
            else:
                writer.file(item, there)
        except (OSError, SnapshotError):
            # What a process removed meanwhile it needs no more.
            if there.exists():
                raise


def _careful(house: HouseFiles, part: Path, progress: Progress) -> Callable[[int], None]:
    """Make what is called for all that is read: it shows how far it is, and leaves room on the disk."""
    done = [0, 0]
    database = inside(house.root, house.database)
    total = database.stat().st_size if database.exists() else 0
    same = database.exists() and database.stat().st_dev == part.parent.stat().st_dev

    def pause(size: int) -> None:
        done[0] += size
        progress.show(done[0] / max(total, 1), f"{done[0] / 1e6:.0f} MB read")
        if same and done[0] - done[1] >= _LOOK_EVERY:
            done[1] = done[0]
            if shutil.disk_usage(part.parent).free < _LEAST_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.parent))

    return pause


def _check(house: HouseFiles, target: Destination) -> None:
    """Raise CommandError where the disk that should be mounted is not: nothing may fill the card instead."""
    if not wants_mount(target.folder, target.mounted):
        return
    ours = {mount_of(inside(house.root, path)) for path in (Path("/"), house.config, house.database)}
    if mount_of(target.folder) in ours:
        raise CommandError(
            f"no backup: no disk is mounted at {target.folder}: plug it in and mount it"
            " (or say mounted = false in [backup], if the folder shall be on this disk)"
        )


def backup(
    *,
    to: Annotated[
        Path | None, Option(metavar="FOLDER", help="Where to; default: the setting backup.to.")
    ] = None,
    keep: Annotated[int | None, Option(min=1, help="How many backups stay there.")] = None,
    full: Annotated[bool, Option("--full", help="A whole one, not only what changed.")] = False,
    shown: Annotated[bool, Option("--list", help="Only show the backups that are there.")] = False,
    verify: Annotated[
        Path | None, Option(metavar="FILE", help="Only read a backup and say whether it is good.")
    ] = None,
    config: Annotated[Path | None, Option(metavar="FILE", help="The settings.")] = None,
    as_json: Json = False,
) -> int:
    """Back up everything into one file: database, settings, secrets, devices, users, certificates."""
    if verify is not None:
        with Reader(verify.absolute()) as reader:
            reader.verify()
        made = reader.manifest.made
        show(
            {"file": str(verify), "good": True, "made": made}, [f"{verify}: good, of {made}"], as_json=as_json
        )
        return 0
    house = HouseFiles.of(config)
    target = destination_of(house, to, keep)
    if shown:
        found = kept(target.folder) if target.folder.is_dir() else []
        if not found:
            raise CommandError(f"there is no backup in {target.folder}")
        show([_row(one) for one in found], map(_line, found), as_json=as_json)
        return 0
    told: list[str] = []
    path = back_up(house, target, name_of_house(), datetime.now(UTC), whole=full, tell=told.append)
    print(*(f"boondock backup: {text}" for text in told), sep="\n", end="\n" * bool(told), file=sys.stderr)
    size = path.stat().st_size
    said = f"{path}: {size / 1e6:.1f} MB, read back and good; {_SECRET}"
    show({"file": str(path), "bytes": size, "notes": told}, [said], as_json=as_json)
    return 0


def name_of_house() -> str:
    """Name the backups of this machine; several houses may share a folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:40] or "house"


def _row(one: Kept) -> dict[str, object]:
    return {
        "file": str(one.path),
        "made": one.at.isoformat(),
        "bytes": one.path.stat().st_size,
        "whole": one.whole,
    }


def _line(one: Kept) -> str:
    kind = "whole" if one.whole else "changes"
    return f"{one.at:%Y-%m-%d %H:%M} UTC  {one.path.stat().st_size / 1e6:8.1f} MB  {kind:<7}  {one.path}"
