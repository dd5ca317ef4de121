"""One SQLite file of readings on their way, oldest first."""

import logging
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

from bus.clock import Now, Stamp, put_right

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    clock_offset INTEGER, clock_right INTEGER
);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB, why TEXT);
"""

# What a file may meet at any time: full, locked, read-only, damaged, not ours.
FAILURES = (sqlite3.DatabaseError, OSError)

_DEAD = 100
_COLUMNS_BEFORE = 4
# Seconds that a process stands still for another's lock.
_LOCK_WAIT_S = 1.0
_SIZE = "coalesce(sum(length(payload) + length(topic)), 0)"
_INSERT = "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)"
# Without a gap, which the statistician would wait for.
_RENUMBER = """
INSERT INTO outbox
SELECT ? + row_number() OVER (ORDER BY seq), ?, topic, payload, clock_offset, clock_right FROM outbox
"""
# A file of an earlier version has none; no default, for its rows were stamped nobody knows how.
_STAMPS = (
    "ALTER TABLE outbox ADD COLUMN clock_offset INTEGER; ALTER TABLE outbox ADD COLUMN clock_right INTEGER"
)
_STAMPED_OTHERWISE = """
SELECT seq, payload, clock_offset, clock_right FROM outbox
WHERE seq > ? AND (clock_offset > ? OR NOT clock_right) ORDER BY seq LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One kept reading; `payload` is the JSON object without stream, seq and after.

    `stamp` tells how our clock dated it in this boot; None: a device did, or an earlier boot.
    """

    seq: int
    stream: str
    topic: str
    payload: bytes
    stamp: Stamp | None = None


def complete(row: Row, previous: Row | None) -> Row:
    """Return a row as sent: with stream and seq, and `after` where no earlier row of its stream is kept."""
    tail = f'"stream":"{row.stream}","seq":{row.seq}'
    if previous is None or previous.stream != row.stream:
        tail += f',"after":{row.seq - 1}'
    joint = b"" if row.payload == b"{}" else b","
    return replace(row, payload=row.payload[:-1] + joint + tail.encode() + b"}")


def _values(row: Row) -> tuple[int, str, str, bytes, int | None, bool | None]:
    offset, right = (None, None) if row.stamp is None else (row.stamp.offset, row.stamp.right)
    return row.seq, row.stream, row.topic, row.payload, offset, right


def _stamp(offset: int | None, right: int | None) -> Stamp | None:
    return None if offset is None else Stamp(offset, bool(right))


class OutboxFile:
    """One SQLite file of rows, oldest first; without a path it ends with the process.

    Opened, it can be read and written. It and all it does raise one of FAILURES. `boot` names this boot of
    the machine (empty: not known): times of an earlier one stay, for its CLOCK_BOOTTIME is gone.
    """

    def __init__(self, path: Path | None, *, durable: bool, boot: str = "") -> None:
        self.path = path
        self._boot = boot
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(durable=durable)
        except sqlite3.DatabaseError as error:
            # A disk that is full, locked or fails: what the file holds is whole.
            if path is None or isinstance(error, sqlite3.OperationalError):
                raise
            aside = path.with_suffix(".damaged")
            log.error("%s is damaged (%s): set aside as %s", path, error, aside.name)  # noqa: TRY400 — the trace says nothing more
            path.replace(aside)
            self._open(durable=durable)

    def _open(self, *, durable: bool) -> None:
        self._db = sqlite3.connect(
            self.path or ":memory:", timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            # In memory-backed /run nothing outlives a power cut anyway; on disk a commit shall.
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            self._db.executescript(_SCHEMA)
            # The proof that it takes what is written.
            self.set_meta("opened", 1)
            self._begin_boot()
            count, size, newest = self._db.execute(
                f"SELECT count(*), {_SIZE}, coalesce(max(seq), 0) FROM outbox"  # noqa: S608 — a constant
            ).fetchone()
            self.count: int = count
            self.size: int = size
            # The highest seq it ever held.
            self.newest: int = max(newest, int(self.meta("seq") or 0))
        except sqlite3.DatabaseError:
            self._db.close()
            raise

    def _begin_boot(self) -> None:
        if len(self._db.execute("PRAGMA table_info(outbox)").fetchall()) == _COLUMNS_BEFORE:
            self._db.executescript(_STAMPS)
        if not self._boot or self.meta("boot") != self._boot:
            with self._db:
                self._db.execute("BEGIN")
                self._db.execute("UPDATE outbox SET clock_offset = NULL, clock_right = NULL")
                self.set_meta("boot", self._boot)

    def append(self, row: Row) -> None:
        """Keep a new row."""
        self._db.execute(_INSERT, _values(row))
        self.count += 1
        self.size += len(row.payload) + len(row.topic)
        self.newest = max(self.newest, row.seq)

    def add(self, rows: list[Row]) -> None:
        """Keep rows in one transaction; one already here stays as it is."""
        before = self._db.total_changes
        # Rolls back when the disk is full: neither half a transaction may stay, nor a count of it.
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(f"{_INSERT} ON CONFLICT DO NOTHING", [_values(row) for row in rows])
            added = self._db.total_changes - before
        self.count += added
        if added == len(rows):
            self.size += sum(len(r.payload) + len(r.topic) for r in rows)
        else:
            (self.size,) = self._db.execute(f"SELECT {_SIZE} FROM outbox").fetchone()  # noqa: S608 — a constant
        self.newest = max(self.newest, rows[-1].seq)

    def after(self, seq: int, limit: int) -> list[Row]:
        """Return the next `limit` rows behind `seq`."""
        found = self._db.execute("SELECT * FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [
            Row(seq, stream, topic, payload, _stamp(offset, right))
            for seq, stream, topic, payload, offset, right in found
        ]

    def put_right(self, after: int, limit: int, now: Now) -> int | None:
        """Date `limit` rows behind seq `after` by the clock as it is now; one transaction with their stamps.

        Returns the last seq that was looked at, None when all were.
        """
        found = self._db.execute(_STAMPED_OTHERWISE, (after, now.offset, limit)).fetchall()
        changes: list[tuple[bytes, int, bool, int]] = []
        grown = 0
        for seq, payload, offset, right in found:
            before = Stamp(offset, bool(right))
            dated, stamp = put_right(payload, before, now)
            if stamp != before:
                changes.append((dated, stamp.offset, stamp.right, seq))
                grown += len(dated) - len(payload)
        if changes:
            with self._db:
                self._db.execute("BEGIN")
                self._db.executemany(
                    "UPDATE outbox SET payload = ?, clock_offset = ?, clock_right = ? WHERE seq = ?", changes
                )
            self.size += grown
        return found[-1][0] if len(found) == limit else None

    def remove(self, stream: str, up_to: int) -> int:
        """Delete a stream's rows up to a seq; returns how many there were."""
        return self._remove("stream = ? AND seq <= ?", (stream, up_to))

    def remove_up_to(self, seq: int) -> int:
        """Delete all rows up to a seq; returns how many there were."""
        return self._remove("seq <= ?", (seq,))

    def drop(self) -> int:
        """Delete the oldest hundredth of the rows; returns how many."""
        return self.remove_up_to(self.after(0, max(1, self.count // 100))[-1].seq)

    def _remove(self, where: str, values: tuple[str | int, ...]) -> int:
        gone, size = self._db.execute(
            f"SELECT count(*), {_SIZE} FROM outbox WHERE {where}",  # noqa: S608 — where is ours
            values,
        ).fetchone()
        if gone:
            with self._db:
                self._db.execute("BEGIN")
                self._db.execute(f"DELETE FROM outbox WHERE {where}", values)  # noqa: S608 — where is ours
                # The rows that are left no longer tell which seqs were given: none may be given twice.
                self.set_meta("seq", self.newest)
            self.count -= gone
            self.size -= size
        return int(gone)

    def renumber(self, stream: str, above: int) -> None:
        """Make all rows one stream with seqs from `above` + 1 on, which is higher than any that was here."""
        with self._db:
            self._db.execute("BEGIN")
            self._db.execute(_RENUMBER, (above, stream))
            self._db.execute("DELETE FROM outbox WHERE seq <= ?", (above,))
            self.set_meta("stream", stream)
            self.set_meta("seq", above + self.count)
        self.newest = above + self.count

    def empty(self, seq: int) -> None:
        """Replace a row's payload by an empty object."""
        self._db.execute("UPDATE outbox SET payload = ? WHERE seq = ?", (b"{}", seq))

    def bury(self, topic: str, payload: bytes, why: str) -> None:
        """Keep a message that can never be sent, for whoever wants to know; only the newest are kept."""
        self._db.execute("INSERT INTO dead (topic, payload, why) VALUES (?, ?, ?)", (topic, payload, why))
        self._db.execute("DELETE FROM dead WHERE number <= (SELECT max(number) FROM dead) - ?", (_DEAD,))

    def dead(self) -> list[tuple[str, bytes, str]]:
        """Return what was buried: topic, payload and why, oldest first."""
        return list(self._db.execute("SELECT topic, payload, why FROM dead ORDER BY number"))

    def oldest(self) -> int | None:
        """Return the lowest seq kept here."""
        found: int | None = self._db.execute("SELECT min(seq) FROM outbox").fetchone()[0]
        return found

    def ends(self) -> dict[str, int]:
        """Return the streams that have rows here, each with its last seq."""
        return dict(self._db.execute("SELECT stream, max(seq) FROM outbox GROUP BY stream"))

    def meta(self, key: str) -> str | int | None:
        """Return a remembered value, None if there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str | int) -> None:
        """Remember a value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._db.close()

    def delete(self) -> None:
        """Close the file and remove it."""
        self.close()
        if self.path is None:
            return
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
