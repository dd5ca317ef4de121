"""What users changed, on disk: the journal, adjustments, imported hours, and rows rewritten in bulk."""

import zlib
from collections.abc import Collection, Iterable

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
        """A fix by its id."""
        return _entry(self._engine.one(f"{_ENTRY} WHERE id = ?", (number,)))

    def entry_before(self, number: int) -> Entry | None:
        """The fix with the next lower id that is no piece of another; one at a time, for it may be large."""
        return _entry(
            self._engine.one(f"{_ENTRY} WHERE id < ? AND {_WHOLE} ORDER BY id DESC LIMIT 1", (number,))
        )

    def add_piece(self, first: int, fix: int) -> None:
        """The fix goes on with an earlier one."""
        self._engine.run("INSERT INTO piece VALUES (?, ?)", (first, fix))

    def whole(self, number: int) -> list[int]:
        """The ids of a fix and of all that go on with it, or with which it goes on; the first comes first."""
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
        """What takes a fix back; None if nothing can."""
        row = self._engine.one("SELECT undo FROM fix WHERE id = ?", (number,))
        if row is None or not isinstance(row[0], bytes):
            return None
        return msgspec.json.decode(zlib.decompress(row[0]), type=Undo)

    def set_undone(self, number: int, ts: int) -> None:
        """The fix was taken back; what that took is no longer needed."""
        self._engine.run("UPDATE fix SET undone = ?, undo = NULL WHERE id = ?", (ts, number))

    def adjust(self, entity: int, first: int, hour: int, amount: float) -> tuple[int, int]:
        """Add to the sums of rows from a period and an hour on; returns how many of each."""
        sql = (
            "UPDATE {} SET sum = sum + ?, sum_increase = ifnull(sum_increase, 0) + ?, rev = rev + 1"
            " WHERE entity = ? AND start >= ? AND sum IS NOT NULL"
        )
        five = self._engine.run(sql.format(Table.FIVE_MINUTES.value), (amount, amount, entity, first))
        return five, self._engine.run(sql.format(Table.HOUR.value), (amount, amount, entity, hour))

    def put_adjusted(self, entity: int, start: int, fix: int, amount: float) -> None:
        """Remember an adjustment for rows that are made later or again."""
        self._engine.run("INSERT INTO adjusted VALUES (?, ?, ?, ?)", (entity, start, fix, amount))

    def adjusted(self, entity: int) -> list[tuple[int, int, int, float]]:
        """An entity's adjustments: entity, start, fix, amount."""
        rows = self._engine.all("SELECT entity, start, fix, amount FROM adjusted WHERE entity = ?", (entity,))
        return [(whole(e), whole(s), whole(f), _float(a)) for e, s, f, a in rows]

    def adjustments(self, entity: int | None = None) -> dict[int, list[Adjustment]]:
        """Return the adjustments in the order of time by entity; `entity`: of that one alone."""
        found: dict[int, list[Adjustment]] = {}
        for e, start, amount, verb in self._engine.all(_ADJUSTED, (entity, entity)):
            found.setdefault(whole(e), []).append(Adjustment(whole(start), _float(amount), verb in _RENAMES))
        return found

    def remove_adjusted(self, fix: int) -> None:
        """Forget an adjustment."""
        self._engine.run("DELETE FROM adjusted WHERE fix = ?", (fix,))

    def scale_adjusted(self, entity: int, factor: float) -> None:
        """The unit of the sums is another one now."""
        self._engine.run("UPDATE adjusted SET amount = amount * ? WHERE entity = ?", (factor, entity))

    def put_renewed(self, entity: int, start: int, fix: int) -> None:
        """Remember from when on a counter was another one."""
        self._engine.run("INSERT INTO renewed VALUES (?, ?, ?)", (entity, start, fix))

    def remove_renewed(self, fix: int) -> None:
        """Forget it."""
        self._engine.run("DELETE FROM renewed WHERE fix = ?", (fix,))

    def renewals(self) -> dict[int, tuple[int, ...]]:
        """From when on counters were others, by entity, in order of time."""
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

    def put_imported(self, entity: int, starts: Iterable[int], fix: int) -> None:
        """These hours are a user's."""
        rows = [(entity, start, fix) for start in starts]
        self._engine.many("INSERT OR REPLACE INTO imported VALUES (?, ?, ?)", rows)

    def imported(self, entities: Collection[int]) -> dict[int, set[int]]:
        """The hours of these entities that are a user's."""
        found: dict[int, set[int]] = {}
        for entity, start in self._engine.all("SELECT entity, start FROM imported"):
            if entity in entities:
                found.setdefault(whole(entity), set()).add(whole(start))
        return found

    def imports(self, entity: int) -> list[tuple[int, int, int]]:
        """An entity's imported hours: entity, start, fix."""
        rows = self._engine.all("SELECT entity, start, fix FROM imported WHERE entity = ?", (entity,))
        return [(whole(e), whole(s), whole(f)) for e, s, f in rows]

    def remove_imported(self, fix: int) -> None:
        """The hours a fix brought are no longer a user's."""
        self._engine.run("DELETE FROM imported WHERE fix = ?", (fix,))

    def remove_states(self, entity: int, start: int, end: int) -> int:
        """Remove the states with start <= ts < end, and the hourly frames that may have held one of them."""
        removed = self._engine.run(
            "DELETE FROM states WHERE entity = ? AND ts >= ? AND ts < ?", (entity, start, end)
        )
        self._engine.run("DELETE FROM frames WHERE entity = ? AND ts >= ? AND ts < ?", (entity, start, end))
        return removed

    def restore(self, undo: Undo) -> None:
        """Put adjustments and imports back as they stood."""
        self._engine.many("INSERT OR REPLACE INTO imported VALUES (?, ?, ?)", undo.imported)
        self._engine.many("INSERT OR REPLACE INTO adjusted VALUES (?, ?, ?, ?)", undo.adjusted)


def _float(cell: Cell) -> float:
    if not isinstance(cell, int | float):
        raise TypeError(f"{cell!r} is no number")
    return float(cell)


def _entry(row: tuple[Cell, ...] | None) -> Entry | None:
    if row is None:
        return None
    number, ts, verb, params, entities, undone = row
    if not isinstance(params, bytes):
        raise TypeError(f"{params!r} are no bytes")
    return Entry(
        id=whole(number),
        ts=whole(ts),
        verb=str(verb),
        params=params,
        entities=msgspec.json.decode(str(entities), type=tuple[int, ...]),
        undone=None if undone is None else whole(undone),
    )
