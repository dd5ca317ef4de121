"""`boondock restore`."""

import errno
import grp
import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

from typer import Argument, Option

from bus.health import VERSION
from bus.state_files import LockedError, hold
from cli.backup import BEFORE, COMPANIONS, Part, inside, standing, top_of
from cli.backup.archive import Entry, Manifest, Reader, create
from cli.house import Json
from cli.terminal import CommandError, Progress, show
from statistician.store.backup import verify
from statistician.store.engine import RESERVE, free, sync
from statistician.store.schema import SCHEMA_VERSION

# systemctl returns before the last service has ended.
_PATIENCE_S = 20.0


_FRESH = ".restoring"
_STAMP = "%Y%m%dT%H%M%S"
# Readings that wait here are newer than those of the backup, and stand nowhere else.
_OUTBOX = ".outbox"
_PRIVATE = Path("/var/lib/private")
STOP = "sudo systemctl stop boondock.target"
START = "sudo systemctl start boondock.target"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What a restore does: what is written, what stands there now and is moved, and what is left alone."""

    manifest: Manifest
    entries: list[Entry]
    moved: list[Path]
    left: list[Path]
    stamp: str
    root: Path

    def lines(self) -> Iterator[str]:
        """Show the plan, a line a file."""
        for entry in self.entries:
            if not entry.folder:
                yield f"write {entry.path} ({entry.size} bytes, of {entry.owner}, {entry.mode:04o})"
        for path in self.moved:
            yield f"keep {path} as {aside(path, self.stamp)}"
        for path in self.left:
            yield f"leave {path}: the readings that wait in it are newer"


def aside(path: Path, stamp: str) -> Path:
    """Where what stood at a path is kept."""
    top = top_of(path)
    return top / f"{BEFORE}{stamp}" / path.relative_to(top)


def plan_restore(reader: Reader, root: Path, now: datetime, only: Part | None = None) -> Restoration:
    """Plan what restoring does below `root`. Raises CommandError if this software cannot use the backup."""
    _fits(reader)
    wanted = [one for one in reader.manifest.entries if only in (None, one.part)]
    if not any(not one.folder for one in wanted):
        raise CommandError(f"{reader.path} holds no {only or 'files'}")
    waiting = [Path(one.path) for one in wanted if one.path.endswith(_OUTBOX)]
    left = [path for path in waiting if inside(root, path).exists()]
    entries = [one for one in wanted if Path(one.path) not in left]
    there = {Path(one.path): None for one in entries if not one.folder}
    there |= {one.path: None for one in standing(root) if not one.folder and only in (None, one.part)}
    for entry in entries:
        if entry.part is Part.DATABASE or entry.path.endswith(_OUTBOX):
            there |= {Path(f"{entry.path}{end}"): None for end in COMPANIONS}
    moved = [path for path in there if inside(root, path).exists() and path not in left]
    if only in (None, Part.STATE):
        left += [path for path in moved if path.name.endswith(_OUTBOX)]
        moved = [path for path in moved if not path.name.endswith(_OUTBOX)]
    return Restoration(reader.manifest, entries, moved, left, now.strftime(_STAMP), root)


def _fits(reader: Reader) -> None:
    manifest = reader.manifest
    newer = (manifest.schema or 0) > SCHEMA_VERSION or _numbers(manifest.version) > _numbers(VERSION)
    if newer:
        raise CommandError(
            f"{reader.path} is of Boondock {manifest.version}, this is {VERSION}:"
            " an older one cannot read it. Update this one first"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]


@contextmanager
def alone(done: Restoration, patience: float) -> Iterator[None]:
    """Keep every process of the house from starting meanwhile; one that runs has `patience` seconds to end.

    Raises CommandError.
    """
    folders = {inside(done.root, Path(one.path)).parent for one in done.entries}
    folders |= {inside(done.root, path).parent for path in done.moved}
    with ExitStack() as stack:
        for folder in sorted(folders):
            for lock in (*sorted(folder.glob("*.id")), *sorted(folder.glob("*.db.lock"))):
                held = _held(lock, patience)
                if held is not None:
                    stack.enter_context(held)
        yield


def _held(lock: Path, patience: float) -> IO[bytes] | None:
    """Hold the lock of a process; one that is just being stopped has so many seconds. Raises CommandError."""
    name = lock.name.partition(".")[0]
    progress = Progress()
    for wait in (0, patience):
        try:
            return hold(lock, f"{name} is running", wait)
        except LockedError as error:
            if wait == patience:
                raise CommandError(f"{error}: {STOP} (or end ./scripts/run with Ctrl-C)") from error
            progress.show(0, f"{name} runs; waiting {patience:.0f} s for its end")
    return None


def put_back(
    reader: Reader, done: Restoration, tell: Callable[[str], None] = lambda _: None, *, patience: float = 0
) -> None:
    """Do what is planned. Raises CommandError, OSError; until all is written and checked nothing is changed.

    Processes that still run have `patience` seconds to end.
    """
    fresh: list[tuple[Path, Path]] = []
    with alone(done, patience):
        _has_room(done)
        try:
            _write(reader, done, fresh, tell)
            for path in done.moved:
                _keep(done, path)
            for part, target in fresh:
                part.replace(target)
        finally:
            for part, _ in fresh:
                part.unlink(missing_ok=True)
        for folder in {target.parent for _, target in fresh}:
            sync(folder)


def _has_room(done: Restoration) -> None:
    wanted: dict[int, tuple[Path, int]] = {}
    for entry in done.entries:
        folder = inside(done.root, Path(entry.path)).parent
        while not folder.exists():
            folder = folder.parent
        device = folder.stat().st_dev
        wanted[device] = (folder, wanted.get(device, (folder, RESERVE))[1] + entry.size)
    for folder, size in wanted.values():
        if free(folder) < size:
            raise CommandError(
                f"{folder}: what is restored takes {size / 1e6:.0f} MB beside what is there, and"
                f" {free(folder) / 1e6:.0f} MB are free: make room, then try again"
            )


def _write(
    reader: Reader, done: Restoration, fresh: list[tuple[Path, Path]], tell: Callable[[str], None]
) -> None:
    """Write every file beside its place, with its rights; `fresh` gets both names."""
    missing: set[str] = set()
    progress, written = Progress(), 0
    total = sum(entry.size for entry in done.entries)
    for entry in done.entries:
        target = inside(done.root, Path(entry.path))
        if entry.folder:
            if not target.is_dir():
                target.mkdir(mode=0o700, parents=True)
                _give(target, entry, missing, done.root)
            continue
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}{_FRESH}")
        fresh.append((part, target))
        with create(part) as file:
            for piece in reader.content(entry):
                file.write(piece)
                written += len(piece)
                progress.show(written / max(total, 1), entry.path)
            file.flush()
            os.fsync(file.fileno())
        _give(part, entry, missing, done.root)
        if entry.part is Part.DATABASE and (problem := verify(part)):
            raise CommandError(f"the database in {reader.path} is damaged: {problem}")
    progress.done()
    for name in sorted(missing):
        tell(
            f"there is no user or group {name} here: its files are root's; the services take theirs at start"
        )


def _give(path: Path, entry: Entry, missing: set[str], root: Path) -> None:
    """Give a file its rights, and as root its owner, by name: numbers are others on another machine."""
    if os.geteuid() == 0:
        user = _id(entry.owner, lambda name: pwd.getpwnam(name).pw_uid, missing)
        group = _id(entry.group, lambda name: grp.getgrnam(name).gr_gid, missing)
        os.chown(path, *(_owner_of_service(path, root) or (user, group)))
    path.chmod(entry.mode)


def _owner_of_service(path: Path, root: Path) -> tuple[int, int] | None:
    """User and group in the folder that systemd keeps for a service with a dynamic user; None elsewhere.

    systemd.exec(5), DynamicUser=: since 257 the files there belong to `nobody` and are mapped to the user of
    the service, before that they belong to it. It puts them right only if the folder itself is another's.
    """
    private, real = inside(root, _PRIVATE).resolve(), path.parent.resolve()
    if private not in real.parents:
        return None
    found = (private / real.relative_to(private).parts[0]).stat()
    return found.st_uid, found.st_gid


def _id(name: str, lookup: Callable[[str], int], missing: set[str]) -> int:
    try:
        return lookup(name) if name else 0
    except KeyError:
        missing.add(name)
        return 0


def _keep(done: Restoration, path: Path) -> None:
    """Move what stands there into a dated folder beside it, which its owner alone may enter."""
    there, target = inside(done.root, path), inside(done.root, aside(path, done.stamp))
    (inside(done.root, top_of(path)) / f"{BEFORE}{done.stamp}").mkdir(mode=0o700, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        there.replace(target)
    except OSError as error:
        # Another disk, mounted below.
        if error.errno != errno.EXDEV:
            raise
        shutil.move(there, target)


def restore(
    file: Annotated[Path, Argument(help="A backup; one with changes needs the whole one beside it.")],
    *,
    only: Annotated[Part | None, Option(help="Only this part of it.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be done.")] = False,
    root: Annotated[Path, Option(metavar="FOLDER", help="Where the system is mounted.")] = Path("/"),
    as_json: Json = False,
) -> None:
    """Bring a house back from a backup; what stands there is kept under a dated name."""
    told: list[str] = []
    with Reader(file.absolute()) as reader:
        done = plan_restore(reader, root.absolute(), datetime.now(UTC), only)
        if not dry_run:
            put_back(reader, done, told.append, patience=_PATIENCE_S)
    if not as_json:
        print(
            *(f"boondock restore: {text}" for text in told), sep="\n", end="\n" * bool(told), file=sys.stderr
        )
    show(_data(done, told), done.lines() if dry_run else _lines(done), as_json=as_json)


def _data(done: Restoration, told: list[str]) -> dict[str, object]:
    return {
        "made": done.manifest.made,
        "written": [entry.path for entry in done.entries if not entry.folder],
        "kept": {str(path): str(aside(path, done.stamp)) for path in done.moved},
        "left": [str(path) for path in done.left],
        "notes": told,
    }


def _lines(done: Restoration) -> Iterator[str]:
    files = sum(not entry.folder for entry in done.entries)
    yield f"restored {files} files of {done.manifest.made}"
    for path in done.left:
        yield f"left {path} as it is: the readings that wait in it are newer"
    folders = sorted({str(aside(path, done.stamp).parent) for path in done.moved})
    if folders:
        yield f"what was there is in {', '.join(folders)}"
    yield f"now start it: {START}"
