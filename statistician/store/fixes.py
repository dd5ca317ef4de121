"""What users changed, on disk: the journal, adjustments, imported hours, and rows rewritten in bulk."""

import zlib
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from statistician.arithmetic.counters import HeldReading
from statistician.records import Adjustment, EntityRecord, State, StoredRow, Table
from statistician.store.engine import Cell, Engine, whole
from statistician.store.statistics import Cut, Shift

# As bytes: as a text of Python one emoji makes every character take four.
_WHOLE = "id NOT IN (SELECT fix FROM piece)"
# Their adjustments make series meet.
_RENAMES = ("device_rename", "entity_rename")
_ADJUSTED = (
    "SELECT adjusted.entity, adjusted.start, amount, verb FROM adjusted"
    " LEFT JOIN fix ON fix.id = adjusted.fix WHERE ?1 IS NULL OR adjusted.entity = ?2"
    " ORDER BY adjusted.start, amount"
)
_ENTRY = "SELECT id, ts, verb, CAST(params AS BLOB), entities, undone FROM fix"


# Adjustments of sums, hours and counters that are a user's, fixes that go on with others.
TableOfFixes = Literal["adjusted", "imported", "renewed", "piece"]


class Undo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stood before a fix; what is not named was not touched."""

    five_minutes: list[StoredRow] = []
    hours: list[StoredRow] = []
    # Hours that had no row.
    absent: list[tuple[int, int]] = []
    states: list[State] = []
    held: list[HeldReading] = []
    imported: list[tuple[int, int, int]] = []
    records: list[EntityRecord] = []
    # Days an entity was kept; None: as long as all others.
    retention: dict[int, int | None] = {}
    adjusted: list[tuple[int, int, int, float]] = []
    # Start of the first period after a clear.
    cleared_at: int = 0
    # In the order in which they were made.
    shifts: list[Shift] = []
    cuts: list[Cut] = []


class Entry(msgspec.Struct, frozen=True):
    """A fix in the journal, its params as JSON; `undone` is when it was taken back, ms."""

    id: int
    ts: int
    verb: str
    params: bytes
    entities: tuple[int, ...]
    undone: int | None


class FixTables:
    """The tables that fixes write; every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, ts: int, verb: str, params: bytes, entities: Collection[int], undo: Undo | None) -> int:
        """Note a fix in the journal; returns its id."""
        packed = None if undo is None else zlib.compress(msgspec.json.encode(undo))
        self._engine.run(
            "INSERT INTO fix (ts, verb, params, entities, undo) VALUES (?, ?, ?, ?, ?)",
            (ts, verb, params.decode(), msgspec.json.encode(sorted(entities)).decode(), packed),
        )
        return self._engine.number("SELECT max(id) FROM fix") or 0

    def entry(self, number: int) -> Entry | None:
        """Return a fix by its id."""
        return _entry(self._engine.one(f"{_ENTRY} WHERE id = ?", (number,)))

    def entry_before(self, number: int) -> Entry | None:
        """Return the fix with the next lower id that is no piece of another; alone, for it may be large."""
        return _entry(
            self._engine.one(f"{_ENTRY} WHERE id < ? AND {_WHOLE} ORDER BY id DESC LIMIT 1", (number,))
        )

    def whole(self, number: int) -> list[int]:
        """List the ids of a fix and of all that go on with it, or with which it goes on, in order."""
        first = self._engine.number("SELECT first FROM piece WHERE fix = ?", (number,)) or number
        rows = self._engine.all("SELECT fix FROM piece WHERE first = ? ORDER BY fix", (first,))
        return [first, *(whole(fix) for (fix,) in rows)]

    def standing_on(self, number: int) -> tuple[int, str] | None:
        """Id and verb of the newest fix that must be taken back before this one, as it shares an entity."""
        row = self._engine.one(
            "WITH ours (id) AS (SELECT ? UNION SELECT fix FROM piece WHERE first = ?)"
            " SELECT ifnull((SELECT first FROM piece WHERE fix = newer.id), newer.id), newer.verb"
            " FROM fix AS newer, fix AS mine WHERE mine.id IN ours AND newer.id > mine.id"
            " AND newer.id NOT IN ours AND newer.undone IS NULL AND newer.verb NOT IN ('undo', 'recompile')"
            " AND EXISTS (SELECT 1 FROM json_each(newer.entities) AS theirs"
            " JOIN json_each(mine.entities) AS its ON theirs.value = its.value)"
            " ORDER BY newer.id DESC LIMIT 1",
            (number, number),
        )
        return None if row is None else (whole(row[0]), str(row[1]))

    def undo_of(self, number: int) -> Undo | None:
        """Return what takes a fix back; None if nothing can."""
        row = self._engine.one("SELECT undo FROM fix WHERE id = ?", (number,))
        if row is None or not isinstance(row[0], bytes):
            return None
        return msgspec.json.decode(zlib.decompress(row[0]), type=Undo)

    def set_undone(self, number: int, ts: int) -> None:
        """Note that a fix was taken back, and forget what that took."""
        self._engine.run("UPDATE fix SET undone = ?, undo = NULL WHERE id = ?", (ts, number))

    def adjust(self, entity: int, first: int, hour: int, amount: float) -> tuple[int, int]:
        """Add to the sums of rows from a period and an hour on; returns how many of each."""
        sql = (
            "UPDATE {} SET sum = sum + ?, sum_increase = ifnull(sum_increase, 0) + ?, rev = rev + 1"
            " WHERE entity = ? AND start >= ? AND sum IS NOT NULL"
        )
        five = self._engine.run(sql.format(Table.FIVE_MINUTES.value), (amount, amount, entity, first))
        return five, self._engine.run(sql.format(Table.HOUR.value), (amount, amount, entity, hour))

    def put(self, table: TableOfFixes, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Remember what a fix did for rows that are made later or again; the rows are whole."""
        rows = list(rows)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._engine.many(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608 — both are ours

    def remove(self, table: TableOfFixes, fix: int) -> None:
        """Forget what a fix did, as far as it stands in a table."""
        self._engine.run(f"DELETE FROM {table} WHERE fix = ?", (fix,))  # noqa: S608 — the table is ours

    def adjusted(self, entity: int) -> list[tuple[int, int, int, float]]:
        """List an entity's adjustments: entity, start, fix, amount."""
        sql = "SELECT entity, start, fix, amount FROM adjusted WHERE entity = ?"
        return self._engine.all(sql, (entity,))  # type: ignore[return-value]  # as the columns are

    def adjustments(self, entity: int | None = None) -> dict[int, list[Adjustment]]:
        """Return the adjustments in the order of time by entity; `entity`: of that one alone."""
        found: dict[int, list[Adjustment]] = {}
        for number, start, amount, verb in self._engine.all(_ADJUSTED, (entity, entity)):
            found.setdefault(whole(number), []).append(Adjustment(start, amount, verb in _RENAMES))  # type: ignore[arg-type]  # as above
        return found

    def scale_adjusted(self, entity: int, factor: float) -> None:
        """Convert an entity's adjustments: the unit of its sums is another one now."""
        self._engine.run("UPDATE adjusted SET amount = amount * ? WHERE entity = ?", (factor, entity))

    def renewals(self) -> dict[int, tuple[int, ...]]:
        """Say from when on counters were others, by entity, in order of time."""
        found: dict[int, tuple[int, ...]] = {}
        for entity, start in self._engine.all("SELECT DISTINCT entity, start FROM renewed ORDER BY start"):
            found[whole(entity)] = (*found.get(whole(entity), ()), whole(start))
        return found

    def set_retention(self, entity: int, days: int | None) -> None:
        """Days an entity's states and 5-minute rows are kept; None: as long as all others."""
        self._engine.run("UPDATE entity SET retention_days = ? WHERE id = ?", (days, entity))

    def clear(self, entity: int) -> None:
        """Remove all rows of an entity and what was done to them; its states stay."""
        for table in (*(t.value for t in Table), "adjusted", "imported", "dirty"):
            self._engine.run(f"DELETE FROM {table} WHERE entity = ?", (entity,))  # noqa: S608 — the tables are ours

    def imported(self, entities: Collection[int]) -> dict[int, set[int]]:
        """Return the hours of these entities that are a user's, by entity."""
        found: dict[int, set[int]] = {}
        for entity, start in self._engine.all("SELECT entity, start FROM imported"):
            if entity in entities:
                found.setdefault(whole(entity), set()).add(whole(start))
        return found

    def imports(self, entity: int) -> list[tuple[int, int, int]]:
        """List an entity's imported hours: entity, start, fix."""
        sql = "SELECT entity, start, fix FROM imported WHERE entity = ?"
        return self._engine.all(sql, (entity,))  # type: ignore[return-value]  # as the columns are

    def remove_states(self, entity: int, start: int, end: int) -> int:
        """Remove the states with start <= ts < end, and the hourly frames that may have held one of them."""
        removed = self._engine.run(
            "DELETE FROM states WHERE entity = ? AND ts >= ? AND ts < ?", (entity, start, end)
        )
        self._engine.run("DELETE FROM frames WHERE entity = ? AND ts >= ? AND ts < ?", (entity, start, end))
        return removed


def _entry(row: tuple[Cell, ...] | None) -> Entry | None:
    if row is None:
        return None
    number, ts, verb, params, entities, undone = row
    numbers = msgspec.json.decode(str(entities), type=tuple[int, ...])
    return Entry(number, ts, verb, params, numbers, undone)  # type: ignore[arg-type]  # as the columns are
