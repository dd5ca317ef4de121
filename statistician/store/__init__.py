"""The database as the service sees it: one commit for a batch, all that a restart needs, and its search.

The search finds what no start can go on from: cells that are not what the software writes. A cell that says
little is emptied, or made what stands beside it; else its row is set aside: it becomes a dead letter, as a
message that could not be used.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from bus.messages import LATEST_MS
from bus.state_files import hold
from statistician.arithmetic.counters import Memory
from statistician.clock import Move, Undated
from statistician.records import (
    Batch,
    DeadLetter,
    EntityRecord,
    KeptClocks,
    Said,
    Since,
    StoreError,
    StreamRecord,
)
from statistician.store.backup import Backup, open_or_set_aside
from statistician.store.changes import PURGED, Changes
from statistician.store.engine import Cell, Engine, Misplaced, whole
from statistician.store.fixes import FixTables
from statistician.store.schema import TABLES, TableSchema
from statistician.store.states import HeldReadings, States
from statistician.store.statistics import Statistics

log = logging.getLogger(__name__)

DEAD_LETTERS_KEPT = 1000
_LARGEST_DEAD_LETTER = 4096
# What an entity's device says of it, with its number.
_TOLD = ("id", "device", "entity", "first", "name", "unit", "device_class", "state_class")
_ENTITIES = (
    f"SELECT {', '.join(f'entity.{name}' for name in _TOLD)}, keeping.unit, angle, begins, enabled, said"  # noqa: S608 — all are ours
    " FROM entity LEFT JOIN keeping ON keeping.entity = entity.id ORDER BY entity.id"
)
# Where else than among the states there may be rows of an entity.
_OF_ENTITIES = ("statistics_hour", "statistics_5minute", "frames", "held", "counter", "imported", "adjusted")
_NONE_IN = "NOT EXISTS (SELECT 1 FROM {} WHERE entity = one.value) AND "
_NEVER_READ = "".join(
    (
        "SELECT one.value FROM json_each(?) AS one WHERE ",
        *map(_NONE_IN.format, _OF_ENTITIES),
        "one.value NOT IN (SELECT its.value FROM fix, json_each(fix.entities) AS its)",
    )
)


class Store:
    """States, statistics and streams on disk; copies go to `backups`. Every method raises StoreError.

    With `alone` no other process may have it so. Raises LockedError then.
    """

    def __init__(self, path: Path, backups: Path | None = None, *, alone: bool = False) -> None:
        self.path = path
        self._lock = self._hold() if alone else None
        self.backups = backups or path.parent / "backups"
        with ExitStack() as undone:
            if self._lock is not None:
                # Who tries again must not find our own lock: an error keeps what it was raised in.
                undone.callback(self._lock.close)
            # Open to tools and tests, too.
            self.engine, self.damage = open_or_set_aside(path, self.backups)
            undone.pop_all()
        self.states = States(self.engine)
        self.statistics = Statistics(self.engine)
        self.changes = Changes(self.engine, self.states, self.statistics)
        self.unusable, self.searched = search(self.engine)
        self.changes.begin()
        self.fixes = FixTables(self.engine)
        self.held = HeldReadings(self.engine)

    def _hold(self) -> IO[bytes] | None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        return hold(lock, f"another statistician is running on {self.path}")

    def put_back(self, found: Misplaced) -> Path | None:
        """Give the open database its place back; returns where what stood there is kept now."""
        aside = self.engine.put_back(found)
        if self._lock is not None and found is Misplaced.GONE:
            # Its file may have gone, too.
            self._lock.close()
            self._lock = self._hold()
        return aside

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is written is on disk when the block ends."""
        with self.engine.transaction():
            yield

    def commit(self, batch: Batch) -> None:
        """Put a batch on disk, whole."""
        with self.engine.transaction():
            if batch.forgotten:
                self._remove_entities(batch.forgotten)
            if batch.entities:
                self.put_entities(batch.entities.values())
            self.states.remove(batch.removed)
            self.states.put(batch.states)
            self.states.put_repeats(batch.repeats)
            self.engine.many(
                "INSERT OR REPLACE INTO stream (stream, seq, seen, first, newest) VALUES (?, ?, ?, ?, ?)",
                [(s.stream, s.seq, s.seen, s.first, s.newest) for s in batch.streams.values()],
            )
            self.engine.many("INSERT OR IGNORE INTO owner (device, service) VALUES (?, ?)", batch.owners)
            self.statistics.put_dirty(batch.dirty)
            if batch.dead:
                self._put_dead(batch.dead)
            self.held.put(batch.held)
            self.held.put_counters(batch.counters)
            self._put_undated(batch)

    def put_entities(self, records: Iterable[EntityRecord]) -> None:
        """Keep what is known of entities; within a transaction."""
        records = list(records)
        self.engine.many(
            # No REPLACE: what about says nothing of, such as retention_days, stays.
            f"INSERT INTO entity ({', '.join(_TOLD)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO"  # noqa: S608 — the columns are ours
            f" UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _TOLD[1:])}",
            [[getattr(record, name) for name in _TOLD] for record in records],
        )
        self.engine.many(
            "INSERT OR REPLACE INTO keeping (entity, unit, angle, begins, enabled, said)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (r.id, r.kept_unit, r.kept_angle, r.begins, r.enabled, msgspec.json.encode(r.said).decode())
                for r in records
            ],
        )
        self.engine.many("DELETE FROM described WHERE entity = ?", [(record.id,) for record in records])
        self.engine.many(
            "INSERT INTO described VALUES (?, ?, ?, ?)",
            [
                (record.id, what, *since)
                for record in records
                for what, history in _described(record).items()
                for since in history
            ],
        )

    def entities(self) -> list[EntityRecord]:
        """Return all entities ever seen."""
        histories: dict[int, dict[str, list[Since]]] = {}
        for entity, what, *since in self.engine.all("SELECT * FROM described ORDER BY entity, what, since"):
            histories.setdefault(whole(entity), {}).setdefault(str(what), []).append(Since(*since))  # type: ignore[arg-type]  # as the columns are
        adjustments, renewals = self.fixes.adjustments(), self.fixes.renewals()
        found: list[EntityRecord] = []
        for row in self.engine.all(_ENTITIES):
            unit, angle, begins, enabled, said = row[len(_TOLD) :]
            number = whole(row[0])
            history = histories.get(number, {})
            record = EntityRecord(
                **dict(zip(_TOLD, row, strict=False)),  # type: ignore[arg-type]  # as the columns are
                units=tuple(history.get("unit", ())),
                classes=tuple(history.get("class", ())),
                kept_unit=None if unit is None else str(unit),
                kept_angle=None if angle is None else bool(angle),
                begins=whole(begins or 0),
                enabled=enabled != 0,
                said=msgspec.json.decode(str(said or "[]"), type=tuple[Said, ...]),
                adjustments=tuple(adjustments.get(number, ())),
                expire=next((int(one.word or 0) for one in history.get("expire", ())), None),
                daily="daily" in history,
                renewals=renewals.get(number, ()),
            )
            found.append(record)
        return found

    def never_read(self, numbers: Iterable[int]) -> set[int]:
        """Those of entities without a state in force of which nothing else is kept, and no fix tells of."""
        rows = self.engine.all(_NEVER_READ, (json.dumps(list(numbers)),))
        return {whole(number) for (number,) in rows}

    def _remove_entities(self, numbers: Iterable[int]) -> None:
        names = json.dumps(list(numbers))
        for table, column in (("entity", "id"), ("keeping", "entity"), ("described", "entity")):
            sql = f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608 — the same
            self.engine.run(sql, (names,))

    def _put_dead(self, letters: list[DeadLetter]) -> None:
        self.engine.many(
            "INSERT INTO dead_letter (ts, topic, payload, error) VALUES (?, ?, ?, ?)",
            [
                (d.ts, d.topic, d.payload if d.whole else d.payload[:_LARGEST_DEAD_LETTER], d.error)
                for d in letters
            ],
        )
        self.engine.run(
            "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (DEAD_LETTERS_KEPT,)
        )

    def _put_undated(self, batch: Batch) -> None:
        if batch.dated_to:
            self.engine.run("DELETE FROM undated WHERE id <= ?", (batch.dated_to,))
        if batch.undated:
            sql = "INSERT INTO undated (boot, since_boot, device, payload) VALUES (?, ?, ?, ?)"
            self.engine.many(sql, batch.undated)

    def undated(self) -> list[tuple[int, Undated]]:
        """Return the readings that wait for the time, with their numbers, in order."""
        rows = self.engine.all("SELECT id, boot, since_boot, device, payload FROM undated ORDER BY id")
        return [(whole(number), Undated(*row)) for number, *row in rows]  # type: ignore[arg-type]  # as the columns are

    def drop_undated(self, most: int) -> int:
        """Keep the newest `most` of the readings that wait for the time; returns how many went."""
        return self.engine.run("DELETE FROM undated WHERE id <= (SELECT max(id) FROM undated) - ?", (most,))

    def streams(self) -> list[StreamRecord]:
        """Return all streams, how far each is, and when it was heard."""
        rows = self.engine.all("SELECT stream, seq, seen, first, newest FROM stream")
        return [StreamRecord(*row) for row in rows]  # type: ignore[arg-type]  # as the columns are

    def owners(self) -> list[tuple[str, str]]:
        """Return devices and the services that their abouts have named."""
        rows = self.engine.all("SELECT device, service FROM owner")
        return [(str(device), str(service)) for device, service in rows]

    def remove_streams(self, streams: list[str]) -> None:
        """Forget streams that are long silent, all at once."""
        names = json.dumps(streams)
        self.engine.run("DELETE FROM stream WHERE stream IN (SELECT value FROM json_each(?))", (names,))

    def letters(self, before: int, limit: int) -> list[tuple[int, DeadLetter]]:
        """Dead letters with numbers below `before`, at most `limit`, the newest first."""
        rows = self.engine.all(
            "SELECT id, ts, topic, payload, error FROM dead_letter WHERE id < ? ORDER BY id DESC LIMIT ?",
            (before, limit),
        )
        return [(whole(number), _letter(cells)) for number, *cells in rows]

    def letter(self, number: int) -> DeadLetter | None:
        """Return a dead letter by its number."""
        return next((one for found, one in self.letters(number + 1, 1) if found == number), None)

    def remove_letter(self, number: int) -> None:
        """Forget a dead letter."""
        self.engine.run("DELETE FROM dead_letter WHERE id = ?", (number,))

    def oldest(self) -> int | None:
        """Time of the oldest state or 5-minute row that a purge would find."""
        firsts = (self.states.first(), self.statistics.first_run())
        return min((at for at in firsts if at is not None), default=None)

    def own_retention(self) -> dict[int, int]:
        """Days that entities are kept which have a time of their own, by number."""
        rows = self.engine.all("SELECT id, retention_days FROM entity WHERE retention_days IS NOT NULL")
        return {whole(number): whole(days) for number, days in rows}

    def backup(self, now: int) -> Backup:
        """Prepare a copy into `backups`; it is not begun."""
        return Backup(self.path, self.backups, now)

    def spare_pages(self) -> tuple[int, int]:
        """Pages of the file that hold nothing, and all its pages."""
        free, pages = (self.engine.number(f"PRAGMA {what}") for what in ("freelist_count", "page_count"))
        return free or 0, pages or 0

    def size(self) -> int:
        """Return the bytes of the database file."""
        page, pages = (self.engine.number(f"PRAGMA {what}") for what in ("page_size", "page_count"))
        return (page or 0) * (pages or 0)

    def give_back(self, pages: int) -> None:
        """Shorten the file by up to so many spare pages."""
        self.engine.to_the_end(f"PRAGMA incremental_vacuum({pages:d})")

    def ask_search(self) -> None:
        """Let the next start search all of the database for what cannot be used."""
        try:
            self.engine.run("DELETE FROM meta WHERE key = ?", (_SEARCHED,))
        except StoreError as error:
            log.warning("%s will not be searched: %s", self.path, error)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, so that the log begins anew."""
        self.engine.all("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the file."""
        self.engine.close()
        if self._lock is not None:
            self._lock.close()


def _letter(cells: list[Cell]) -> DeadLetter:
    ts, topic, payload, error = cells
    kept = payload if isinstance(payload, bytes) else str(payload).encode()
    # What is exactly as long as a cut one was cut.
    uncut = len(kept) != _LARGEST_DEAD_LETTER
    return DeadLetter(whole(ts or 0), str(topic), kept, str(error), uncut)


def _described(record: EntityRecord) -> dict[str, tuple[Since, ...]]:
    """Return what about says of an entity, each from a time on."""
    return {
        "unit": record.units,
        "class": record.classes,
        "expire": () if record.expire is None else (Since(0, str(record.expire)),),
        "daily": (Since(0, None),) if record.daily else (),
    }


# Of the rows set aside at a time so many are kept.
_MOST_KEPT = 100
_MOST_KEPT_BYTES = 4096
_SEARCHED = "finite"


def _json(kind: object) -> Callable[[str], object]:
    return msgspec.json.Decoder(kind).decode


def _purge(text: str) -> tuple[int, int]:
    at, _, ran = text.partition(" ")
    return int(at), int(ran or 0)


def _past(text: str) -> int:
    at = int(text)
    if not 0 <= at <= LATEST_MS:
        raise ValueError("a time is out of range")
    return at


def _moves(text: str) -> object:
    moves = msgspec.json.decode(text, type=dict[int, Move])
    times = [part for since, until, by, keep in moves.values() for part in (since, until, by, *keep)]
    if any(abs(ts) > LATEST_MS for ts in times):
        raise ValueError("a time is out of range")
    return moves


# What a text must be read as, by table and column; a fact of `meta` by its key.
_TEXTS: tuple[tuple[str, str, str, Callable[[str], object]], ...] = (
    ("keeping", "said", "UPDATE keeping SET said = '[]' WHERE said = ?", _json(tuple[Said, ...])),
    ("counter", "memory", "DELETE FROM counter WHERE memory = ?", _json(Memory)),
    ("fix", "entities", "UPDATE fix SET entities = '[]' WHERE entities = ?", _json(tuple[int, ...])),
)
_FACTS: dict[str, Callable[[str], object]] = {
    "closed_at": int,
    "estimated": _json(KeptClocks),
    "redating": _moves,
    "purged_before": int,
    "purge": _purge,
    PURGED: _past,
}


class Found(NamedTuple):
    """In how many places there was something, and whether the large tables were searched, too."""

    places: int
    all_searched: bool


def search(engine: Engine) -> Found:
    """Set aside what cannot be used, in small tables always, in large ones when it was asked for.

    StoreError is told in the log, for it must open all the same.
    """
    wanted = engine.fact(_SEARCHED) is None
    try:
        with engine.transaction():
            found = _facts(engine) + sum(_texts(engine, *one) for one in _TEXTS)
            found += sum(_table(engine, one) for one in TABLES if wanted or not one.large)
            if wanted:
                engine.put_fact(_SEARCHED, str(found))
    except StoreError as error:
        log.warning("%s was not searched for what cannot be used: %s", engine.path, error)
        return Found(0, all_searched=False)
    if found:
        log.warning("%s: %d cells that cannot be used were set aside", engine.path, found)
    return Found(found, wanted)


def _table(engine: Engine, table: TableSchema) -> int:
    # First the rows that go: what was emptied in them would not be kept.
    columns = sorted(table.columns.items(), key=lambda column: column[1].instead is not None)
    wrong = {name: f"NOT ifnull({kind.right.format(name)}, 0)" for name, kind in columns}
    # One walk through the table tells whether there is anything to do.
    if engine.one(f"SELECT 1 FROM {table.name} WHERE {' OR '.join(wrong.values())} LIMIT 1") is None:  # noqa: S608 — all are ours
        return 0
    return sum(_column(engine, table, name, where) for name, where in wrong.items())


def _column(engine: Engine, table: TableSchema, name: str, wrong: str) -> int:
    instead = table.columns[name].instead
    if instead is not None:
        return engine.run(f"UPDATE OR IGNORE {table.name} SET {name} = {instead} WHERE {wrong}")  # noqa: S608 — all are ours
    rows = engine.all(f"SELECT * FROM {table.name} WHERE {wrong} LIMIT {_MOST_KEPT}")  # noqa: S608 — all are ours
    _keep(engine, table.name, name, rows)
    return engine.run(f"DELETE FROM {table.name} WHERE {wrong}")  # noqa: S608 — all are ours


def _keep(engine: Engine, table: str, column: str, rows: list[tuple[Cell, ...]]) -> None:
    error = f"{column}: this row of the database could not be used"
    engine.many(
        "INSERT INTO dead_letter (ts, topic, payload, error) VALUES (0, ?, ?, ?)",
        [
            (f"database/{table}", repr(row).encode("utf-8", "replace")[:_MOST_KEPT_BYTES], error)
            for row in rows
        ],
    )


def _facts(engine: Engine) -> int:
    gone = 0
    for key, read in _FACTS.items():
        text = engine.fact(key)
        if text is not None and not _reads(read, text):
            _keep(engine, "meta", key, [(text,)])
            gone += engine.run("DELETE FROM meta WHERE key = ?", (key,))
    return gone


def _texts(engine: Engine, table: str, column: str, sql: str, read: Callable[[str], object]) -> int:
    gone = 0
    for (cell,) in engine.all(f"SELECT DISTINCT {column} FROM {table}"):  # noqa: S608 — all are ours
        if not isinstance(cell, str) or not _reads(read, cell):
            _keep(engine, table, column, [(cell,)])
            gone += engine.run(sql, (cell,))
    return gone


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValueError, OverflowError, RecursionError):
        return False
    return True
