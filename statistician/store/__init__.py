"""The database as the service sees it: one commit for a batch, and everything a restart needs."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bus.state_files import hold
from statistician.clock.entity_clock import Undated
from statistician.records import Batch, DeadLetter, EntityRecord, StreamRecord
from statistician.store.backup import Backup
from statistician.store.engine import Cell, Engine
from statistician.store.files import Misplaced
from statistician.store.fixes import FixTables, Kept
from statistician.store.held import HeldReadings
from statistician.store.models import Dead, Entity, Owner, Stream
from statistician.store.open import open_or_set_aside
from statistician.store.search import ask_search, search
from statistician.store.series import Series
from statistician.store.states import States
from statistician.store.statistics import Statistics

DEAD_LETTERS_KEPT = 1000
_LARGEST_DEAD_LETTER = 4096
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
        self._engine, self.damage = open_or_set_aside(path, self.backups)
        self.unusable, self.searched = search(self._engine)
        self.states = States(self._engine)
        self.statistics = Statistics(self._engine)
        self.series = Series(self._engine, self.statistics)
        self.fixes = FixTables(self._engine)
        self.held = HeldReadings(self._engine)

    def _hold(self) -> IO[bytes] | None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        return hold(lock, f"another statistician is running on {self.path}")

    def put_back(self, found: Misplaced) -> Path | None:
        """Give the open database its place back; returns where what stood there is kept now."""
        aside = self._engine.put_back(found)
        if self._lock is not None and found is Misplaced.GONE:
            # Its file may have gone, too.
            self._lock.close()
            self._lock = self._hold()
        return aside

    @property
    def engine(self) -> Engine:
        """The open database, for tests and tools."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is written is on disk when the block ends."""
        with self._engine.transaction():
            yield

    def commit(self, batch: Batch) -> None:
        """Put a batch on disk, whole."""
        with self._engine.transaction():
            if batch.forgotten:
                self._remove_entities(batch.forgotten)
            if batch.entities:
                self.put_entities(batch.entities.values())
            if batch.removed:
                self.states.remove(batch.removed)
            self.states.put(batch.states)
            if batch.repeats:
                self.states.put_repeats(batch.repeats)
            self._engine.many(
                "INSERT OR REPLACE INTO stream (stream, seq, seen, first, newest) VALUES (?, ?, ?, ?, ?)",
                [(s.stream, s.seq, s.seen, s.first, s.newest) for s in batch.streams.values()],
            )
            if batch.owners:
                self._engine.many("INSERT OR IGNORE INTO owner (device, service) VALUES (?, ?)", batch.owners)
            if batch.dirty:
                self.statistics.put_dirty(batch.dirty)
            if batch.dead:
                self._put_dead(batch.dead)
            if batch.held:
                self.held.put(batch.held)
            if batch.counters:
                self.held.put_counters(batch.counters)
            self._put_undated(batch)

    def put_entities(self, records: Iterable[EntityRecord]) -> None:
        """Keep what is known of entities; within a transaction."""
        records = list(records)
        self._engine.many(
            # No REPLACE: what about says nothing of, such as retention_days, stays.
            "INSERT INTO entity (id, device, entity, first, name, unit, device_class, state_class)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET device = excluded.device,"
            " entity = excluded.entity, first = excluded.first,"
            " name = excluded.name, unit = excluded.unit, device_class = excluded.device_class,"
            " state_class = excluded.state_class",
            [
                (e.id, e.device, e.entity, e.first, e.name, e.unit, e.device_class, e.state_class)
                for e in records
            ],
        )
        self.fixes.put_kept(records)

    def never_read(self, numbers: Iterable[int]) -> set[int]:
        """Those of entities without a state in force of which nothing else is kept, and no fix tells of."""
        rows = self._engine.all(_NEVER_READ, (json.dumps(list(numbers)),))
        return {int(number or 0) for (number,) in rows}

    def _remove_entities(self, numbers: Iterable[int]) -> None:
        names = json.dumps(list(numbers))
        for table, column in (("entity", "id"), ("keeping", "entity"), ("described", "entity")):
            sql = f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608 — the same
            self._engine.run(sql, (names,))

    def _put_dead(self, letters: list[DeadLetter]) -> None:
        self._engine.many(
            "INSERT INTO dead_letter (ts, topic, payload, error) VALUES (?, ?, ?, ?)",
            [
                (d.ts, d.topic, d.payload if d.whole else d.payload[:_LARGEST_DEAD_LETTER], d.error)
                for d in letters
            ],
        )
        self._engine.run(
            "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (DEAD_LETTERS_KEPT,)
        )

    def _put_undated(self, batch: Batch) -> None:
        if batch.dated_to:
            self._engine.run("DELETE FROM undated WHERE id <= ?", (batch.dated_to,))
        if batch.undated:
            sql = "INSERT INTO undated (boot, since_boot, device, payload) VALUES (?, ?, ?, ?)"
            self._engine.many(sql, batch.undated)

    def undated(self) -> list[tuple[int, Undated]]:
        """The readings that wait for the time, with their numbers, in order."""
        rows = self._engine.all("SELECT id, boot, since_boot, device, payload FROM undated ORDER BY id")
        return [(int(number or 0), Undated(*row)) for number, *row in rows]  # type: ignore[arg-type]  # as the columns are

    def drop_undated(self, most: int) -> int:
        """Keep the newest `most` of the readings that wait for the time; returns how many went."""
        return self._engine.run("DELETE FROM undated WHERE id <= (SELECT max(id) FROM undated) - ?", (most,))

    def entities(self) -> list[EntityRecord]:
        """All entities ever seen."""
        kept = self.fixes.kept()
        nothing = Kept()
        with self._engine.reading():
            found = list(Entity.select().execute(self._engine.database))
        return [_record(e, kept.get(e.id, nothing)) for e in found]

    def streams(self) -> list[StreamRecord]:
        """All streams, how far each is, and when it was heard."""
        with self._engine.reading():
            found = Stream.select().execute(self._engine.database)
            return [StreamRecord(s.stream, s.seq, s.seen, s.first, s.newest) for s in found]

    def owners(self) -> list[tuple[str, str]]:
        """Devices and the services that their abouts have named."""
        with self._engine.reading():
            return [(o.device, o.service) for o in Owner.select().execute(self._engine.database)]

    def remove_streams(self, streams: list[str]) -> None:
        """Forget streams that are long silent, all at once."""
        names = json.dumps(streams)
        self._engine.run("DELETE FROM stream WHERE stream IN (SELECT value FROM json_each(?))", (names,))

    def dead_letters(self) -> list[DeadLetter]:
        """The messages that could not be used, oldest first."""
        with self._engine.reading():
            found = Dead.select().order_by(Dead.id).execute(self._engine.database)
            return [DeadLetter(d.ts, d.topic, bytes(d.payload), d.error) for d in found]

    def letters(self, before: int, limit: int) -> list[tuple[int, DeadLetter]]:
        """Dead letters with numbers below `before`, at most `limit`, the newest first."""
        rows = self._engine.all(
            "SELECT id, ts, topic, payload, error FROM dead_letter WHERE id < ? ORDER BY id DESC LIMIT ?",
            (before, limit),
        )
        return [(int(number or 0), _letter(cells)) for number, *cells in rows]

    def letter(self, number: int) -> DeadLetter | None:
        """A dead letter by its number."""
        return next((one for found, one in self.letters(number + 1, 1) if found == number), None)

    def remove_letter(self, number: int) -> None:
        """Forget a dead letter."""
        self._engine.run("DELETE FROM dead_letter WHERE id = ?", (number,))

    def oldest(self) -> int | None:
        """Time of the oldest state or 5-minute row that a purge would find."""
        firsts = (self.states.first(), self.statistics.first_run())
        return min((at for at in firsts if at is not None), default=None)

    def own_retention(self) -> dict[int, int]:
        """Days that entities are kept which have a time of their own, by number."""
        rows = self._engine.all("SELECT id, retention_days FROM entity WHERE retention_days IS NOT NULL")
        return {int(number or 0): int(days or 0) for number, days in rows}

    def backup(self, now: int) -> Backup:
        """A copy into `backups`, not yet begun."""
        return Backup(self.path, self.backups, now)

    def spare_pages(self) -> tuple[int, int]:
        """Pages of the file that hold nothing, and all its pages."""
        free, pages = (self._engine.one(f"PRAGMA {what}") for what in ("freelist_count", "page_count"))
        return int((free or (0,))[0] or 0), int((pages or (0,))[0] or 0)

    def give_back(self, pages: int) -> None:
        """Shorten the file by up to so many spare pages."""
        self._engine.to_the_end(f"PRAGMA incremental_vacuum({pages:d})")

    def ask_search(self) -> None:
        """Let the next start search all of the database for what cannot be used."""
        ask_search(self._engine)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, so that the log begins anew."""
        self._engine.all("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the file."""
        self._engine.close()
        if self._lock is not None:
            self._lock.close()


def _letter(cells: list[Cell]) -> DeadLetter:
    ts, topic, payload, error = cells
    kept = payload if isinstance(payload, bytes) else str(payload).encode()
    # What is exactly as long as a cut one was cut.
    whole = len(kept) != _LARGEST_DEAD_LETTER
    return DeadLetter(int(ts or 0), str(topic), kept, str(error), whole)


def _record(e: Entity, kept: Kept) -> EntityRecord:
    return EntityRecord(
        id=e.id,
        device=e.device,
        entity=e.entity,
        first=e.first,
        name=e.name,
        unit=e.unit,
        device_class=e.device_class,
        state_class=e.state_class,
        units=kept.units,
        classes=kept.classes,
        kept_unit=kept.unit,
        kept_angle=kept.angle,
        begins=kept.begins,
        enabled=kept.enabled,
        said=kept.said,
        adjustments=kept.adjustments,
        expire=kept.expire,
        daily=kept.daily,
        renewals=kept.renewals,
    )
