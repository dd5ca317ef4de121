"""SQLite through peewee: the file in its place, opening, transactions, and where its errors become ours."""

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import peewee

from statistician.records import StoreError
from statistician.store.schema import MODELS, SCHEMA_VERSION, TABLES, bring_up

log = logging.getLogger(__name__)

# Removing rows writes too, at worst a whole write-ahead log and the pages it adds to the file.
RESERVE = 4 * 1024 * 1024


def free(folder: Path) -> int:
    """Bytes that may still be written to the disk of a folder, or of the nearest one that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sync(path: Path) -> None:
    """Make sure that a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Reserve:
    """A file beside the database that takes up room until the disk is full."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.reserve")

    def hold(self) -> bool:
        """Take the reserve, unless the disk is too full for it; whether there is one."""
        if self._path.exists():
            return True
        if free(self._path.parent) < 4 * RESERVE:
            return False
        try:
            # No zeros are written: the card's wear is one block.
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE)
        except OSError as error:
            log.warning("no reserve at %s: %s", self._path, error)
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the reserve back; whether there was one."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
            return True
        return False


_LOG, _SHARED = "-wal", "-shm"
_Id = tuple[int, int] | None


Progress = Callable[[int, int, int], None]


class Misplaced(Enum):
    """What became of the files of a database that is in use."""

    GONE = "was deleted"
    REPLACED = "was replaced by another file"
    LOG_GONE = "lost its write-ahead log"
    EMPTIED = "was emptied"


class Files:
    """Remembers which files belong to the open database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = (path, Path(f"{path}{_LOG}"), Path(f"{path}{_SHARED}"))
        self._ids = [identity(name) for name in self._names]

    def misplaced(self) -> Misplaced | None:
        """Return what is wrong with them, None if nothing is. Raises OSError if nobody can say."""
        now = [identity(name) for name in self._names]
        if now[0] is None:
            return Misplaced.GONE
        if now[0] != self._ids[0]:
            return Misplaced.REPLACED
        if self._path.stat().st_size == 0:
            return Misplaced.EMPTIED
        if now[1:] != self._ids[1:]:
            return Misplaced.LOG_GONE
        return None

    def make_way(self) -> Path | None:
        """Move what stands in the place and is not of the open database aside; returns where the first is."""
        aside = None
        for name, known in zip(self._names, self._ids, strict=True):
            found = identity(name)
            if found is not None and found != known:
                target = _free(
                    name.with_name(name.name.replace(self._path.name, f"{self._path.name}.replaced"))
                )
                name.replace(target)
                aside = aside or target
        return aside


def copy_whole(
    source: sqlite3.Connection, part: Path, pages: int = -1, progress: Progress | None = None
) -> None:
    """Write all that an open database holds, with its log, to a new file and to the disk.

    `progress` is called after so many pages, with what SQLite tells. Raises sqlite3.Error, OSError.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode = off")
        target.execute("PRAGMA synchronous = off")
        source.backup(target, pages=pages, progress=progress)
    sync(part)


def identity(path: Path) -> _Id:
    """Say which file has this name; None if there is none. Raises OSError."""
    try:
        found = os.stat(path)  # noqa: PTH116 — as the kernel has it
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _free(path: Path) -> Path:
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


Cell = int | float | str | bytes | None

# The first must come first: once anything is written, only a VACUUM changes it.
_PRAGMAS = {
    "auto_vacuum": "incremental",
    "journal_mode": "wal",
    "synchronous": "full",
    "cache_size": -4096,
    "temp_store": "memory",
}
_INCREMENTAL = 2
_BUSY_S = 5
# Below this a database cannot even be opened: its shared memory is a file, too.
_ROOM_TO_OPEN = 1024 * 1024
# A VACUUM writes the whole file into a temporary one and again into the write-ahead log.
_VACUUM_ROOM = 2.2
_OPEN = "open"
_LONGEST_VERSION = 4


class FullError(StoreError):
    """The disk is full."""


class DamagedError(StoreError):
    """What is in the file is no database any more."""


class NewerError(StoreError):
    """The file was written by a newer version of this software, and must be left alone."""


class Engine:
    """An open database of the newest schema; every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.reserve = Reserve(path)
        if free(path.parent) < _ROOM_TO_OPEN:
            self.reserve.release()
        self._damaged = False
        self._connected: Callable[[], None] = lambda: None
        self._commits: Callable[[], None] = lambda: None
        self.database = peewee.SqliteDatabase(str(path), pragmas=_PRAGMAS, timeout=_BUSY_S, thread_safe=False)
        try:
            self._connect()
            self._check()
            self._bring_up_to_date()
            self._mark_open()
            self._make_shrinkable()
        except StoreError:
            self.database.close()
            raise
        self.reserve.hold()
        self._files = Files(path)

    def _connect(self) -> None:
        with self._translated():
            self.database.connect()
        # A text that is none must not keep all others from being read.
        self._connection().text_factory = _text
        self._connected()

    def attach(self, connected: Callable[[], None], commits: Callable[[], None]) -> None:
        """Call `connected` now and when the file is opened again, `commits` at the end of transactions."""
        self._connected, self._commits = connected, commits
        connected()

    def _tables(self) -> set[str]:
        return {str(name) for (name,) in self.all("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _check(self) -> None:
        """Check a file that was not closed: it may have been a power cut, and the card may have lied."""
        if "meta" in self._tables() and self.fact(_OPEN) is not None:
            log.info("%s was not closed; checking it", self.path)
            problem = quick_check(self.all("PRAGMA quick_check(1)"))
            if problem:
                raise DamagedError(problem)

    def _bring_up_to_date(self) -> None:
        newest = SCHEMA_VERSION
        found = self._version()
        if found is not None and found > newest:
            raise NewerError(f"{self.path} is of version {found}; this software knows up to {newest}")
        if found is not None and found < newest:
            log.info("bringing %s from version %d to %d", self.path, found, newest)
            with self._translated():
                bring_up(self.database, found)
        if not self._tables() >= {table.name for table in TABLES}:
            with self.transaction(), self.database.bind_ctx(MODELS):
                self.database.create_tables(MODELS)
        self.run("INSERT OR IGNORE INTO meta VALUES ('schema_version', ?)", (str(newest),))

    def _version(self) -> int | None:
        text = self.fact("schema_version") if "meta" in self._tables() else None
        if text is None:
            return None
        known = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_VERSION
        newest = SCHEMA_VERSION
        if not (known and int(text) >= newest) and self._is_newest():
            # No version of ours has written that.
            log.warning("%s has the version %r, but is of the newest form", self.path, text)
            self.put_fact("schema_version", str(newest))
            return newest
        if not known:
            raise NewerError(f"{self.path} has the version {text!r}, which this software does not know")
        return int(text)

    def _is_newest(self) -> bool:
        """Say whether every table is there as this version makes it."""
        return all(
            {str(name) for _, name, *_ in self.all(f"PRAGMA table_info({table.name})")}
            == table.columns.keys()
            for table in TABLES
        )

    def _mark_open(self) -> None:
        try:
            self.put_fact(_OPEN, "since the last start")
        except FullError as error:
            # It must open all the same: nobody else would make room.
            log.warning("%s: %s", self.path, error)

    def _make_shrinkable(self) -> None:
        """Write a file of version 1 anew, once: until then it cannot give pages back."""
        if self.one("PRAGMA auto_vacuum") == (_INCREMENTAL,):
            return
        size = self.path.stat().st_size
        if free(self.path.parent) < _VACUUM_ROOM * size + _ROOM_TO_OPEN:
            log.warning("%s cannot shrink: no room to write it anew", self.path)
            return
        try:
            # In memory the copy might be larger than the machine.
            for sql in ("temp_store = file", f"auto_vacuum = {_INCREMENTAL}"):
                self.all(f"PRAGMA {sql}")
            self.run("VACUUM")
        except FullError as error:
            log.warning("%s cannot shrink: %s", self.path, error)
        finally:
            self.all("PRAGMA temp_store = memory")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self.database.connection()  # type: ignore[no-untyped-call]  # peewee's stubs
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise the engine's errors as StoreError."""
        try:
            yield
        except (sqlite3.Error, peewee.PeeweeException) as error:
            ours = _translate(error)
            self._damaged = self._damaged or isinstance(ours, DamagedError)
            raise ours from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is written is on disk when the block ends."""
        with self._translated():
            inner = bool(self.database.transaction_depth())
            with self.database.atomic("immediate"):
                yield
                if not inner:
                    self._commits()

    def many(self, sql: str, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows on peewee's own connection: its models cost five times as much."""
        if rows := list(rows):
            with self._translated():
                self._connection().executemany(sql, rows)

    def run(self, sql: str, values: Sequence[Cell] = ()) -> int:
        """Write; returns how many rows were touched."""
        with self._translated():
            count: int = self._connection().execute(sql, values).rowcount
        return count

    def all(self, sql: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Read every row."""
        with self._translated():
            rows: list[tuple[Cell, ...]] = self._connection().execute(sql, values).fetchall()
        return rows

    def to_the_end(self, sql: str) -> None:
        """Run a statement that does a part of its work for each row it does not return."""
        with self._translated():
            # An `execute` stops after the first: of an incremental_vacuum that is one page.
            self._connection().executescript(sql)

    def one(self, sql: str, values: Sequence[Cell] = ()) -> tuple[Cell, ...] | None:
        """Read the first row."""
        with self._translated():
            row: tuple[Cell, ...] | None = self._connection().execute(sql, values).fetchone()
        return row

    def number(self, sql: str, values: Sequence[Cell] = ()) -> int | None:
        """Read one whole number; None where there is no row, or null."""
        found = self.one(sql, values)
        return None if found is None or found[0] is None else whole(found[0])

    def fact(self, key: str) -> str | None:
        """Return a fact about the database, from its table `meta`."""
        found = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if found is None else str(found[0])

    def put_fact(self, key: str, value: str) -> None:
        """State a fact about the database."""
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def misplaced(self) -> Misplaced | None:
        """Say what became of the open file's name; None: nothing. Raises DamagedError if it was emptied."""
        try:
            found = self._files.misplaced()
        except OSError as error:
            raise StoreError(f"{self.path} cannot be looked at: {error}") from error
        if found is Misplaced.EMPTIED:
            self._damaged = True
            raise DamagedError(f"{self.path} {found.value} by somebody else")
        return found

    def put_back(self, found: Misplaced) -> Path | None:
        """Give the open database its place back; returns where what stood there is kept now."""
        part = self.path.with_name(f"{self.path.name}.restored")
        aside = None
        try:
            with self._translated():
                if found is Misplaced.LOG_GONE:
                    self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                else:
                    copy_whole(self._connection(), part)
                    aside = self._files.make_way()
                # It removes its log by name, so its name must not be another's yet.
                self.database.close()
                if found is not Misplaced.LOG_GONE:
                    part.replace(self.path)
                    sync(self.path.parent)
        except OSError as error:
            raise StoreError(f"{self.path} {found.value}, and cannot be put back: {error}") from error
        finally:
            if self.database.is_closed():
                self._connect()
        self._mark_open()
        self._files = Files(self.path)
        return aside

    def close(self) -> None:
        """Close the file; one that is in order is not checked at the next start."""
        try:
            if not self._damaged:
                self.run("DELETE FROM meta WHERE key = ?", (_OPEN,))
        except StoreError as error:
            log.warning("%s will be checked at the next start: %s", self.path, error)
        with self._translated():
            self.database.close()


def whole(cell: Cell) -> int:
    """Return a cell that holds a whole number. Raises TypeError for another."""
    if not isinstance(cell, int):
        raise TypeError(f"{cell!r} is no whole number")
    return cell


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def quick_check(answer: list[tuple[Cell, ...]]) -> str | None:
    """Return what `PRAGMA quick_check` found wrong; None if nothing."""
    return None if answer == [("ok",)] else "; ".join(str(line) for (line,) in answer) or "no answer"


def _translate(error: BaseException) -> StoreError:
    """Choose the error that says most: a rollback that fails after it hides that the disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        code = getattr(cause, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
            return FullError(str(cause))
        if code is not None and code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return DamagedError(str(cause))
        cause = cause.__cause__ or cause.__context__
    return StoreError(str(error))
