"""SQLite through peewee: opening, transactions, and the one place where its errors become ours."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import peewee

from statistician import store_models
from statistician.records import StoreError

log = logging.getLogger(__name__)

Cell = int | float | str | bytes | None

_PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "cache_size": -4096, "temp_store": "memory"}
_BUSY_S = 5


class Engine:
    """An open database; every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = peewee.SqliteDatabase(str(path), pragmas=_PRAGMAS, timeout=_BUSY_S, thread_safe=False)
        with translated():
            self.database.connect()
            with self.database.bind_ctx(store_models.ALL):
                self.database.create_tables(store_models.ALL)
        self._check_version(path)

    def _check_version(self, path: Path) -> None:
        wanted = str(store_models.SCHEMA_VERSION)
        self.run("INSERT OR IGNORE INTO meta VALUES ('schema_version', ?)", (wanted,))
        for (found,) in self.all("SELECT value FROM meta WHERE key = 'schema_version'"):
            if found != wanted:
                raise StoreError(f"{path} has schema version {found!r}, not {wanted}")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self.database.connection()  # type: ignore[no-untyped-call]  # peewee's stubs
        return connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is written is on disk when the block ends."""
        with translated(), self.database.atomic("immediate"):
            yield

    def many(self, sql: str, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows on peewee's own connection: its models cost five times as much."""
        with translated():
            self._connection().executemany(sql, rows)

    def run(self, sql: str, values: Sequence[Cell] = ()) -> int:
        """Write; returns how many rows were touched."""
        with translated():
            count: int = self._connection().execute(sql, values).rowcount
        return count

    def all(self, sql: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Read every row."""
        with translated():
            rows: list[tuple[Cell, ...]] = self._connection().execute(sql, values).fetchall()
        return rows

    def one(self, sql: str, values: Sequence[Cell] = ()) -> tuple[Cell, ...] | None:
        """Read the first row."""
        with translated():
            row: tuple[Cell, ...] | None = self._connection().execute(sql, values).fetchone()
        return row

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read through peewee's models."""
        with translated():
            yield

    def close(self) -> None:
        """Close the file."""
        with translated():
            self.database.close()


@contextmanager
def translated() -> Iterator[None]:
    """Raise the engine's errors as StoreError."""
    try:
        yield
    except (sqlite3.Error, peewee.PeeweeException) as error:
        raise StoreError(str(error)) from error


def open_or_set_aside(path: Path) -> tuple[Engine, str | None]:
    """Open the database; one that is damaged is renamed, and the second value says so."""
    try:
        return Engine(path), None
    except StoreError as error:
        if not _damaged(error):
            raise
        aside = path.with_name(f"{path.name}.damaged")
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.replace(aside)
        return Engine(path), f"{path} was damaged ({error}) and set aside as {aside.name}"


def _damaged(error: StoreError) -> bool:
    code = getattr(_root(error), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return error
