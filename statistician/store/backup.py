"""Copies of the database: made while it is in use, checked, kept, put in place of a damaged one."""

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from bus.messages import to_iso
from statistician.store.engine import quick_check
from statistician.store.space import RESERVE, free, sync

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
        with (
            contextlib.closing(_reader(self._database)) as source,
            contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA journal_mode = off")
            target.execute("PRAGMA synchronous = off")
            # Held open, this read keeps the source as it is; else every commit would start the copy anew.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(target, pages=_PAGES, progress=_Progress(part, self._stop))
        sync(part)


class _Progress:
    """Called between two slices: waits as long as the last one took, and ends the copy if asked."""

    def __init__(self, part: Path, stop: threading.Event) -> None:
        self._part = part
        self._stop = stop
        self._slices = 0
        self._began = time.monotonic()

    def __call__(self, _status: int, _remaining: int, _total: int) -> None:
        self._slices += 1
        if self._slices % _SLICES_A_SYNC == 0:
            sync(self._part)
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
    """The whole copies, newest first."""
    return sorted(folder.glob(f"{database.stem}-*Z.db"), reverse=True)


def taken_at(copy: Path) -> int | None:
    """When a copy was made, ms; None if its name does not say."""
    try:
        moment = datetime.strptime(copy.stem.rsplit("-", 1)[-1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000)


def verify(copy: Path) -> str | None:
    """What is wrong with a copy; None if nothing is."""
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
