"""Readings taken before the machine knew the time, kept until it does; then their times are put right."""

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bus.clock import Clock
from bus.messages import ClockQuality, decode_reading, encode_reading
from bus.shelf import FAILURES

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS early (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL
)
"""
_INSERT = "INSERT INTO early (topic, payload, at) VALUES (?, ?, ?)"
_ALL = "SELECT topic, payload, at FROM early ORDER BY id"


@dataclass(frozen=True, slots=True)
class Early:
    """A kept reading; `at` is when it was measured, in seconds since the machine started."""

    topic: str
    payload: bytes
    at: float


class EarlyReadings:
    """Lives in memory-backed /run beside the outbox: seconds since the start mean nothing after the next.

    When its file fails it goes on in the process alone.
    """

    def __init__(self, runtime: Path, name: str) -> None:
        self._path = runtime / f"{name}.early"
        try:
            runtime.mkdir(parents=True, exist_ok=True)
            self._db = _connect(self._path)
        except FAILURES as error:
            self._db = self._inside(error)
        self._count: int = self._db.execute("SELECT count(*) FROM early").fetchone()[0]

    def _inside(self, error: Exception) -> sqlite3.Connection:
        log.error("%s: %s; readings that wait for the clock are in this process alone", self._path, error)
        return _connect(None)

    def __len__(self) -> int:
        return self._count

    def keep(self, early: Early) -> None:
        """Keep one more."""
        row = (early.topic, early.payload, early.at)
        try:
            self._db.execute(_INSERT, row)
        except FAILURES as error:
            file, self._db = self._db, self._inside(error)
            self._db.executemany(_INSERT, [*file.execute(_ALL), row])
            file.close()
        self._count += 1

    def all(self) -> list[Early]:
        """Everything kept, oldest first."""
        return [Early(*row) for row in self._db.execute(_ALL)]

    def clear(self) -> None:
        """They are on their way."""
        try:
            self._db.execute("DELETE FROM early")
        except FAILURES as error:
            self._db.close()
            self._db = self._inside(error)
        self._count = 0

    def close(self) -> None:
        """Close the file; what it holds stays until the machine stops."""
        self._db.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous=OFF")
        database.execute(_SCHEMA)
        database.execute("SELECT count(*) FROM early")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


class Waiting:
    """Decides which readings wait for the right time, at most until `hold` s after the machine's start."""

    def __init__(self, early: EarlyReadings, clock: Clock, hold: float) -> None:
        self._early = early
        self._clock = clock
        self._hold = hold

    def __len__(self) -> int:
        return len(self._early)

    def takes(self, topic: str, payload: bytes, *, ts: int, quality: ClockQuality) -> bool:
        """Keep a reading that is too early to be sent; False if it may go out."""
        now = self._clock.monotonic()
        # Once one waits all wait, so that none overtakes it.
        if not (len(self._early) or (quality != "ok" and now < self._hold)):
            return False
        self._early.keep(Early(topic, payload, now - (self._clock.wall() - ts) / 1000))
        return True

    def ready(self) -> list[tuple[str, bytes]]:
        """What may go out now: the clock is right, or that takes too long. Call `sent` once it has."""
        now = self._clock.monotonic()
        right = self._clock.quality() == "ok"
        if not len(self._early) or not (right or now >= self._hold):
            return []
        wall_ms = self._clock.wall()
        return [
            (one.topic, corrected(one, wall_ms=wall_ms, now=now) if right else one.payload)
            for one in self._early.all()
        ]

    def sent(self) -> None:
        """All that was ready is under way."""
        self._early.clear()

    def close(self) -> None:
        """Close the file."""
        self._early.close()


def corrected(early: Early, *, wall_ms: int, now: float) -> bytes:
    """The payload with its time reckoned back from a clock that is right; `now` seconds since the start."""
    reading = decode_reading(early.payload)
    if reading.clock == "ok":
        # It waited only behind others.
        return early.payload
    ts = wall_ms - round((now - early.at) * 1000)
    return encode_reading(msgspec.structs.replace(reading, ts=ts, clock="estimated"))
