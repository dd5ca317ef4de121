"""An entity's series as a whole, on disk: shifting its sums, and giving its newer part to another entity."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from statistician.records import State, StoredRow, Table
from statistician.store.engine import Cell, Engine
from statistician.store.statistics import Statistics

_FROM = {Table.FIVE_MINUTES: "five", Table.HOUR: "hour"}


class Amounts(NamedTuple):
    """What is added to sum, sum_increase and sum_decrease of each row; those that are null stay so."""

    sum: float
    increase: float
    decrease: float


class Shift(Struct, frozen=True):
    """Rows of an entity whose sums were moved: 5-minute rows from `five` on, hourly ones from `hour` on.

    `rows` are those as they stood before, by table.
    """

    entity: int
    five: int
    hour: int
    amounts: Amounts
    rows: dict[str, list[StoredRow]]


class Cut(Struct, frozen=True):
    """Where the series of another entity, `other`, took the place of an entity's own: states from `ts` on.

    `factor` and `offset` brought the rows of `other` to the unit of `entity`. `lost` are the rows that
    `entity` had from there on and `taken` those of `other`, by table; `frames` are its own, by hour.
    """

    entity: int
    other: int
    ts: int
    five: int
    hour: int
    factor: float
    offset: float
    lost: dict[str, list[StoredRow]]
    taken: dict[str, list[StoredRow]]
    frames: list[tuple[int, State]]


class Series:
    """Changes of whole series, within a transaction; every method raises StoreError."""

    def __init__(self, engine: Engine, statistics: Statistics) -> None:
        self._engine = engine
        self._statistics = statistics

    def first_sum(self, table: Table, entity: int, start: int) -> StoredRow | None:
        """An entity's first row with a sum from a time on."""
        return self._summed(table, entity, "start >= ? AND sum IS NOT NULL ORDER BY start", start)

    def last_sum(self, table: Table, entity: int, before: int) -> StoredRow | None:
        """An entity's last row with a sum that starts before a time."""
        return self._summed(table, entity, "start < ? AND sum IS NOT NULL ORDER BY start DESC", before)

    def _summed(self, table: Table, entity: int, where: str, at: int) -> StoredRow | None:
        sql = f"SELECT start FROM {table.value} WHERE entity = ? AND {where} LIMIT 1"  # noqa: S608 — both are ours
        found = self._engine.one(sql, (entity, at))
        if found is None:
            return None
        start = _int(found[0])
        return self._statistics.between(table, entity, start, start + 1)[0]

    def count(self, table: Table, entity: int, start: int = 0, end: int = 2**60) -> int:
        """How many rows an entity has in a range."""
        row = self._engine.one(
            f"SELECT count(*) FROM {table.value} WHERE entity = ? AND start >= ? AND start < ?",  # noqa: S608 — both are ours
            (entity, start, end),
        )
        return _int(row[0]) if row else 0

    def scale(self, table: Table, entity: int, *, factor: float, offset: float) -> int:
        """Convert all rows of an entity; sums are differences and have no offset. Returns how many."""
        values, sums = ("mean", "min", "max", "state"), ("sum", "sum_increase", "sum_decrease")
        # What is beyond all numbers is unknown: 9e999 is infinite.
        finite = "nullif(nullif({}, 9e999), -9e999)"
        changes = [f"{column} = {finite.format(f'{column} * ? + ?')}" for column in values]
        changes += [f"{column} = {column} * ?" for column in sums]
        return self._engine.run(
            f"UPDATE {table.value} SET {', '.join(changes)}, rev = rev + 1 WHERE entity = ?",  # noqa: S608 — all are ours
            (*(factor, offset) * len(values), *(factor,) * len(sums), entity),
        )

    def rows_from(self, entity: int, starts: Mapping[Table, int]) -> dict[str, list[StoredRow]]:
        """An entity's rows from a time on, by the table's name."""
        return {t.value: self._statistics.between(t, entity, at, 2**60) for t, at in starts.items()}

    def shift(self, entity: int, five: int, hour: int, amounts: Amounts) -> Shift:
        """Add to the sums from a period and an hour on."""
        before = self.rows_from(entity, {Table.FIVE_MINUTES: five, Table.HOUR: hour})
        done = Shift(entity, five, hour, amounts, before)
        self._add(done, amounts)
        return done

    def shift_back(self, shift: Shift) -> None:
        """Take a shift back, also from rows made since; what nobody touched is as it was, to the bit."""
        self._add(shift, Amounts(*(-amount for amount in shift.amounts)))
        for name, rows in shift.rows.items():
            self.put_back(Table(name), [(row, 0 if row.row.sum is None else 2) for row in rows])

    def _add(self, shift: Shift, amounts: Amounts) -> int:
        changed = 0
        for table, field in _FROM.items():
            changed += self._engine.run(
                f"UPDATE {table.value} SET sum = sum + ?, sum_increase = sum_increase + ?,"  # noqa: S608 — the table is ours
                " sum_decrease = sum_decrease + ?, rev = rev + 1"
                " WHERE entity = ? AND start >= ? AND sum IS NOT NULL",
                (*amounts, shift.entity, getattr(shift, field)),
            )
        return changed

    def put_back(self, table: Table, rows: Iterable[tuple[StoredRow, int]]) -> None:
        """Write rows as they were if they are so many revisions further: nothing else has changed them."""
        for old, ahead in rows:
            now = self._statistics.between(table, old.entity, old.start, old.start + 1)
            if now and now[0].rev == old.rev + ahead:
                self._statistics.put(table, [old._replace(rev=now[0].rev)])

    def cut_off(self, cut: Cut) -> None:
        """Remove what an entity has from a cut on but its states."""
        for table, field in _FROM.items():
            self._engine.run(
                f"DELETE FROM {table.value} WHERE entity = ? AND start >= ?",  # noqa: S608 — the table is ours
                (cut.entity, getattr(cut, field)),
            )
        self._engine.run("DELETE FROM frames WHERE entity = ? AND start > ?", (cut.entity, cut.ts))
        self._engine.run("DELETE FROM imported WHERE entity = ? AND start >= ?", (cut.entity, cut.hour))
        self._engine.run("DELETE FROM adjusted WHERE entity = ? AND start >= ?", (cut.entity, cut.five))

    def give(self, cut: Cut, giver: int, taker: int) -> None:
        """Give everything from a cut on to another entity, in whose place there is nothing."""
        give = self._engine.run
        give("UPDATE states SET entity = ? WHERE ts >= ? AND entity = ?", (taker, cut.ts, giver))
        give("UPDATE frames SET entity = ? WHERE entity = ? AND start > ?", (taker, giver, cut.ts))
        for table, field in _FROM.items():
            give(
                f"UPDATE {table.value} SET entity = ? WHERE entity = ? AND start >= ?",  # noqa: S608 — the table is ours
                (taker, giver, getattr(cut, field)),
            )
        give("UPDATE imported SET entity = ? WHERE entity = ? AND start >= ?", (taker, giver, cut.hour))
        give("UPDATE adjusted SET entity = ? WHERE entity = ? AND start >= ?", (taker, giver, cut.five))
        give("UPDATE renewed SET entity = ? WHERE entity = ? AND start >= ?", (taker, giver, cut.ts))
        give("DELETE FROM dirty WHERE entity = ?", (giver,))

    def first_state(self, entity: int, since: int) -> int | None:
        """Time of an entity's first state from `since` on."""
        return self._least("SELECT min(ts) FROM states WHERE ts >= ? AND entity = ?", since, entity)

    def first_row(self, table: Table, entity: int) -> int | None:
        """Start of an entity's first row."""
        return self._least(f"SELECT min(start) FROM {table.value} WHERE entity = ?", entity)  # noqa: S608 — the table is ours

    def _least(self, sql: str, *values: int) -> int | None:
        found = self._engine.one(sql, values)
        return None if found is None or found[0] is None else _int(found[0])

    def frames_after(self, entity: int, ts: int) -> list[tuple[int, State]]:
        """An entity's states in force at the hours after a time."""
        rows = self._engine.all(
            "SELECT start, ts, entity, value, last_reset FROM frames WHERE entity = ? AND start > ?",
            (entity, ts),
        )
        return [(_int(start), State(*state)) for start, *state in rows]  # type: ignore[arg-type]  # columns are what State says

    def imported_by(self, entity: int, fixes: Collection[int]) -> list[int]:
        """The hours that these fixes brought, in order of time."""
        names = ", ".join(str(int(fix)) for fix in fixes)
        rows = self._engine.all(
            f"SELECT start FROM imported WHERE entity = ? AND fix IN ({names}) ORDER BY start",  # noqa: S608 — whole numbers
            (entity,),
        )
        return [_int(start) for (start,) in rows]


def _int(cell: Cell) -> int:
    if not isinstance(cell, int):
        raise TypeError(f"{cell!r} is no whole number")
    return cell
