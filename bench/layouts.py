"""The layout that most would choose, rowid with an index on entity and time, as a peer on the same SQLite."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from statistician.records import State

# The statistician's own, so that only the layout differs.
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "cache_size=-4096", "temp_store=MEMORY")
_SCHEMA = """
CREATE TABLE states (
    id INTEGER PRIMARY KEY, entity INTEGER NOT NULL, ts INTEGER NOT NULL, value, last_reset INTEGER
);
CREATE INDEX states_entity_ts ON states (entity, ts);
CREATE TABLE statistics_hour (
    id INTEGER PRIMARY KEY, entity INTEGER NOT NULL, start INTEGER NOT NULL,
    mean REAL, mean_weight REAL, min REAL, max REAL, state REAL, sum REAL,
    sum_increase REAL, sum_decrease REAL, last_reset INTEGER, coverage REAL NOT NULL, rev INTEGER NOT NULL
);
CREATE UNIQUE INDEX statistics_hour_entity_start ON statistics_hour (entity, start);
"""
NAME = "rowid + index(entity, ts)"


class RowidIndex:
    """A database of that layout."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        for pragma in _PRAGMAS:
            self.database.execute(f"PRAGMA {pragma}")
        self.database.executescript(_SCHEMA)

    def put(self, states: Iterable[State]) -> None:
        """One commit."""
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany(
            "INSERT INTO states (ts, entity, value, last_reset) VALUES (?, ?, ?, ?)", states
        )
        self.database.execute("COMMIT")

    def remove_before(self, before: int, limit: int) -> int:
        """One commit, by id, which grows with time here: the cheapest way this layout has."""
        newest = self.database.execute(
            "SELECT ts FROM states WHERE id = (SELECT min(id) FROM states)"
        ).fetchone()
        if newest is None or newest[0] >= before:
            return 0
        return self.database.execute(
            "DELETE FROM states WHERE id IN (SELECT id FROM states ORDER BY id LIMIT ?) AND ts < ?",
            (limit, before),
        ).rowcount

    def close(self) -> None:
        """Close the file."""
        self.database.close()
