"""Copies of the database: made while it is in use, checked, kept, put in place of a damaged one."""

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bus.messages import to_iso
from statistician.store.engine import RESERVE, DamagedError, Engine, copy_whole, free, quick_check, sync

log = logging.getLogger(__name__)

KEPT = 3
# Between two slices the card belongs to the readings; 256 KiB take a slow one about 20 ms.
_PAGES = 64
_PAUSE_S = 0.005
# Written to the card piece by piece, or the last write would hold up every commit for seconds.
_SLICES_A_SYNC = 8
_PART = ".part"
_STAMP = "%Y%m%dT%H%M%S%fZ"


class _StoppedError(Exception):
    """The process ends before the copy is whole."""


class Backup:
    """One copy, made by a thread with a connection of its own: a reader in WAL mode holds up no writer."""

    def __init__(self, database: Path, folder: Path, now: int) -> None:
        self._database = database
        self._folder = folder
        self._stamp = datetime.fromtimestamp(now / 1000, UTC).strftime(_STAMP)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)
        # Both are set before the thread ends: the file that was made, or what went wrong.
        self.made: Path | None = None
        self.error: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it ended, well or not."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(seconds)
        return self.done

    def stop(self) -> None:
        """Abandon it; a half copy is removed by the next."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.made = self._make()
        except _StoppedError:
            self.error = "stopped before it was whole"
        except (sqlite3.Error, OSError) as error:
            self.error = f"{self._folder}: {error}"

    def _make(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for half in self._folder.glob(f"*{_PART}*"):
            half.unlink()
        make_room(self._folder, self._database)
        target = self._folder / f"{self._database.stem}-{self._stamp}.db"
        part = target.with_name(target.name + _PART)
        try:
            self._copy(part)
            problem = verify(part)
            if problem:
                raise OSError(f"the copy is not good: {problem}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        sync(self._folder)
        for old in kept(self._folder, self._database)[KEPT:]:
            old.unlink()
        return target

    def _copy(self, part: Path) -> None:
        with contextlib.closing(_reader(self._database)) as source:
            # Held open, this read keeps the source as it is; else every commit would start the copy anew.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._slices, self._began = 0, time.monotonic()
            copy_whole(source, part, _PAGES, lambda *_: self._pause(part))

    def _pause(self, part: Path) -> None:
        """Wait between two slices as long as the last one took, and end the copy if asked."""
        self._slices += 1
        if self._slices % _SLICES_A_SYNC == 0:
            sync(part)
        took = time.monotonic() - self._began
        if self._stop.wait(max(_PAUSE_S, took)):
            raise _StoppedError
        self._began = time.monotonic()


def make_room(folder: Path, database: Path) -> None:
    """Remove old copies, but the newest, until another one fits. Raises OSError if it does not."""
    wanted = database.stat().st_size + Path(f"{database}-wal").stat().st_size + RESERVE
    for old in reversed(kept(folder, database)[1:]):
        if free(folder) >= wanted:
            return
        old.unlink()
    there = free(folder)
    if there < wanted:
        raise OSError(f"a copy takes {wanted} bytes, {there} are free")


def kept(folder: Path, database: Path) -> list[Path]:
    """List the whole copies, newest first."""
    return sorted(folder.glob(f"{database.stem}-*Z.db"), reverse=True)


def taken_at(copy: Path) -> int | None:
    """Say when a copy was made, ms; None if its name does not say."""
    try:
        moment = datetime.strptime(copy.stem.rsplit("-", 1)[-1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000)


def verify(copy: Path) -> str | None:
    """Check a copy; return what is wrong with it, None if nothing is."""
    try:
        with contextlib.closing(_reader(copy, immutable=True)) as database:
            database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
            return quick_check(database.execute("PRAGMA quick_check(1)").fetchall())
    except sqlite3.Error as error:
        return str(error)


def restore(folder: Path, database: Path) -> str | None:
    """Put the newest copy that is good in the database's place and say which; remove it if there is none."""
    for copy in kept(folder, database):
        problem = verify(copy)
        if problem:
            log.error("%s is damaged, too: %s", copy, problem)
            continue
        part = database.with_name(f"{database.name}.restoring")
        shutil.copyfile(copy, part)
        sync(part)
        part.replace(database)
        sync(database.parent)
        at = taken_at(copy)
        return f"{copy.name} of {to_iso(at)}" if at is not None else copy.name
    database.unlink(missing_ok=True)
    return None


def _reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    # As it is the only one that may touch the file, an immutable copy needs no log beside it.
    address = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(address, uri=True, isolation_level=None)


def _opened(path: Path, backups: Path) -> Engine:
    if path.exists() and path.stat().st_size == 0 and kept(backups, path):
        # SQLite would take it for a new one.
        raise DamagedError("it is empty")
    return Engine(path)


def _name_again(path: Path, aside: Path) -> None:
    """Give a file a second name; where a file system has none, only that. Raises OSError.

    Until the copy takes its place another start finds the damage again, and not an empty database.
    """
    aside.unlink(missing_ok=True)
    try:
        aside.hardlink_to(path)
    except OSError:  # such as FAT
        path.replace(aside)


def open_or_set_aside(path: Path, backups: Path) -> tuple[Engine, str | None]:
    """Open the database; a damaged one is renamed and replaced, and the second value says so."""
    try:
        return _opened(path, backups), None
    except DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged")
        told = f"{path} was damaged ({error}) and set aside as {aside.name}"
        log.error("%s is damaged: %s", path, error)  # noqa: TRY400 — the trace says nothing more
    # The log first: found beside a file that is whole, it would be played into it.
    for suffix in ("-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.replace(f"{aside}{suffix}")
    _name_again(path, aside)
    try:
        copy = restore(backups, path)
        return Engine(path), f"{told}; {copy or 'an empty one'} took its place"
    except OSError as error:
        path.unlink(missing_ok=True)
        return Engine(path), f"{told}; an empty one took its place: {error}"


_MAGIC = b"SQLite format 3\0"
# Short, for a checkpoint that waits holds up the writer.
_BUSY_S = 0.2
_AGAIN_S = 0.1
# A copy that somebody else makes holds its own snapshot for minutes.
PATIENCE_S = 600.0
_PIECE = 64


class SnapshotError(Exception):
    """The database cannot be read; the text says why."""


def is_database(path: Path) -> bool:
    """Say whether a file is a SQLite database. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class Snapshot:
    """The pages of the database `path`, of `page_size` bytes each; use it in a with block.

    With its log played in whole, the file is the database. A read that is open from then on keeps every page
    of the file as it is, for SQLite promises that reader its moment: the bytes of the file are that moment's.
    All methods raise SnapshotError, OSError.
    """

    def __init__(self, path: Path, patience: float = PATIENCE_S) -> None:
        self.path = path
        self._patience = patience

    def __enter__(self) -> Self:
        # Kept open until the connection is closed: closing it would give up the process's locks on the file.
        self._file: BinaryIO = self.path.open("rb")
        try:
            address = f"{self.path.resolve().as_uri()}?mode=rw"
            self._database = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_BUSY_S)
        except sqlite3.Error as error:
            self._file.close()
            raise SnapshotError(f"{self.path}: {error}") from error
        try:
            self._begin()
        except sqlite3.Error as error:
            self._close()
            raise SnapshotError(f"{self.path}: {error}") from error
        except SnapshotError:
            self._close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._database.close()
        self._file.close()

    def _begin(self) -> None:
        until = time.monotonic() + self._patience
        while not self._caught():
            if time.monotonic() >= until:
                raise SnapshotError(f"{self.path} is written without pause: try again later")
            time.sleep(_AGAIN_S)
        self.page_size = self._number("page_size")
        self.pages = self._number("page_count")

    def _caught(self) -> bool:
        """Play the log in and begin to read; False if somebody wrote in between."""
        log = Path(f"{self.path}-wal")
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._database.execute("BEGIN")
            self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
        else:
            # Empty after the read began, it was empty when it began: the read sees the file alone.
            if not log.exists() or log.stat().st_size == 0:
                return True
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        return False

    def _number(self, pragma: str) -> int:
        found: tuple[int] = self._database.execute(f"PRAGMA {pragma}").fetchone()
        return found[0]

    def problem(self) -> str | None:
        """Return what SQLite's quick check finds wrong with it; None if nothing."""
        try:
            return quick_check(self._database.execute("PRAGMA quick_check(1)").fetchall())
        except sqlite3.Error as error:
            return str(error)

    def schema(self) -> int | None:
        """Return the version of its tables; None if it does not say."""
        try:
            found = self._database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
            return None if found is None else int(found[0])
        except (sqlite3.Error, ValueError):
            return None

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        left, size = self.pages, self.page_size
        while left:
            piece = self._file.read(size * min(left, _PIECE))
            if not piece or len(piece) % size:
                raise SnapshotError(f"{self.path} is shorter than it says")
            for at in range(0, len(piece), size):
                yield piece[at : at + size]
            left -= len(piece) // size
