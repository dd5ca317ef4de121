"""A database as it is at one moment, page by page, while it is in use; nothing is written anywhere."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from statistician.store.engine import quick_check

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
    """Whether a file is a SQLite database. Raises OSError."""
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
        """What SQLite's quick check finds wrong with it; None if nothing."""
        try:
            return quick_check(self._database.execute("PRAGMA quick_check(1)").fetchall())
        except sqlite3.Error as error:
            return str(error)

    def schema(self) -> int | None:
        """The version of its tables; None if it does not say."""
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
