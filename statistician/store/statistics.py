"""Statistics on disk: rows, runs, what awaits correction, what requests ask, and changes of whole series."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from statistician.arithmetic import HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.records import Span, State, StoredRow, Table
from statistician.store.engine import Cell, Engine, whole

Extreme = Literal["min", "max"]
_COLUMNS = ", ".join(("entity", "start", *Row._fields, "rev"))
_MARKS = ", ".join("?" * (len(Row._fields) + 3))
# Later than every row.
EVER = 2**60
_FROM = {Table.FIVE_MINUTES: "five", Table.HOUR: "hour"}


class Gathered(NamedTuple):
    """Rows of one length put together: how many, the sum of `means` of them, extremes, `known` periods.

    `known` is None if no row says its coverage. Directions are in `angles` as (mean, weight). `last` is the
    newest row with a sum, or without any the newest with a state.
    """

    rows: int
    means: int
    mean: float
    min: float | None
    max: float | None
    known: float | None
    angles: Sequence[tuple[float, float]]
    last: Row | None


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


class Statistics:
    """The tables of rows, runs and corrections; every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, table: Table, rows: Iterable[StoredRow]) -> None:
        """Write rows, over those of the same entity and period."""
        self._engine.many(
            f"INSERT OR REPLACE INTO {table.value} ({_COLUMNS}) VALUES ({_MARKS})",  # noqa: S608 — all three are ours
            [(entity, start, *row, rev) for entity, start, row, rev in rows],
        )

    def remove(self, table: Table, entity: int, start: int, end: int | None = None) -> None:
        """Remove an entity's row of a period, or its rows with start <= row start < end."""
        self._engine.run(
            f"DELETE FROM {table.value} WHERE entity = ? AND start >= ? AND start < ?",  # noqa: S608 — the table is ours
            (entity, start, start + 1 if end is None else end),
        )

    def between(self, table: Table, entity: int, start: int, end: int = EVER) -> list[StoredRow]:
        """Return an entity's rows with start <= row start < end, in order of time."""
        return self._read(table, "entity = ? AND start >= ? AND start < ? ORDER BY start", entity, start, end)

    def after(
        self, table: Table, after: tuple[int, int], until: tuple[int, int], entities: Collection[int]
    ) -> list[StoredRow]:
        """Return the rows of entities with after < (start, entity) <= until, in that order."""
        where = (
            "entity IN (SELECT value FROM json_each(?)) AND start >= ? AND start <= ?"
            " AND (start, entity) > (?, ?) AND (start, entity) <= (?, ?) ORDER BY start, entity"
        )
        return self._read(table, where, json.dumps(list(entities)), after[0], until[0], *after, *until)

    def first_of_any(self, table: Table, since: int, entities: Collection[int]) -> int | None:
        """Return the start of the first row that any of the entities has from a time on."""
        return self._engine.number(
            f"SELECT min((SELECT min(start) FROM {table.value} WHERE entity = one.value AND start >= ?))"  # noqa: S608 — the table is ours
            " FROM json_each(?) AS one",
            (since, json.dumps(list(entities))),
        )

    def row_before(self, table: Table, entity: int, before: int = EVER) -> StoredRow | None:
        """Return an entity's newest row that starts before a time."""
        return self._one(table, "entity = ? AND start < ? ORDER BY start DESC", entity, before)

    def latest(self, entity: int, before: int = EVER) -> StoredRow | None:
        """Return what a sum goes on from: the latest 5-minute row, or a later hour, as its last period."""
        row = self.row_before(Table.FIVE_MINUTES, entity, before)
        if row is not None and row.start == before - MINUTES_5:
            return row
        hour = self.row_before(Table.HOUR, entity, before - HOUR + 1)
        rows = [row, None if hour is None else hour._replace(start=hour.start + HOUR - MINUTES_5)]
        return max((row for row in rows if row is not None), key=lambda row: row.start, default=None)

    def first_sum(self, table: Table, entity: int, start: int) -> StoredRow | None:
        """Return an entity's first row with a sum from a time on."""
        return self._one(table, "entity = ? AND start >= ? AND sum IS NOT NULL ORDER BY start", entity, start)

    def first_of_sums(self, entity: int, five: int, hour: int) -> StoredRow | None:
        """Return an entity's first row with a sum from a 5-minute period and from an hour on."""
        rows = self.first_sum(Table.FIVE_MINUTES, entity, five), self.first_sum(Table.HOUR, entity, hour)
        return min((row for row in rows if row is not None), key=lambda row: row.start, default=None)

    def last_sum(self, table: Table, entity: int, before: int) -> StoredRow | None:
        """Return an entity's last row with a sum that starts before a time."""
        where = "entity = ? AND start < ? AND sum IS NOT NULL ORDER BY start DESC"
        return self._one(table, where, entity, before)

    def _one(self, table: Table, where: str, *values: Cell) -> StoredRow | None:
        return next(iter(self._read(table, f"{where} LIMIT 1", *values)), None)

    def _read(self, table: Table, where: str, *values: Cell) -> list[StoredRow]:
        sql = f"SELECT {_COLUMNS} FROM {table.value} WHERE {where}"  # noqa: S608 — both are ours
        rows = self._engine.all(sql, values)
        return [StoredRow(entity, start, Row(*row), rev) for entity, start, *row, rev in rows]  # type: ignore[arg-type]  # columns are what Row says

    def first_row(self, table: Table, entity: int, since: int = 0) -> int | None:
        """Return the start of an entity's first row that starts at a time or later."""
        sql = f"SELECT min(start) FROM {table.value} WHERE entity = ? AND start >= ?"  # noqa: S608 — the table is ours
        return self._engine.number(sql, (entity, since))

    def last_row(self, table: Table, entity: int) -> int | None:
        """Return the start of an entity's newest row."""
        return self._engine.number(f"SELECT max(start) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours

    def count(self, table: Table, entity: int) -> int:
        """Count the rows of an entity."""
        return self._engine.number(f"SELECT count(*) FROM {table.value} WHERE entity = ?", (entity,)) or 0  # noqa: S608 — the table is ours

    def first_with(
        self, table: Table, entity: int, extreme: Extreme, value: float, *, start: int, end: int
    ) -> int | None:
        """Return the start of an entity's first row with this extreme and start <= row start < end."""
        return self._engine.number(
            f"SELECT start FROM {table.value} WHERE entity = ? AND start >= ? AND start < ?"  # noqa: S608 — both are ours
            f" AND {extreme} = ? ORDER BY start LIMIT 1",
            (entity, start, end, value),
        )

    def gathered(self, table: Table, entity: int, start: int, end: int) -> Gathered:
        """Return an entity's rows with start <= row start < end, put together by the database."""
        where, values = "WHERE entity = ? AND start >= ? AND start < ?", (entity, start, end)
        found = self._engine.one(
            "SELECT count(*), count(mean), sum(mean), min(min), max(max), sum(coverage),"  # noqa: S608 — all are ours
            f" count(mean_weight), count(sum), count(state), max(start) FROM {table.value} {where}",
            values,
        )
        if found is None or not found[0]:
            return Gathered(0, 0, 0.0, None, None, None, (), None)
        rows, means, mean, low, high, known, weighted, sums, states, newest = found
        angles: list[tuple[Cell, ...]] = []
        if weighted:
            sql = f"SELECT mean, mean_weight FROM {table.value} {where} AND mean_weight IS NOT NULL"  # noqa: S608 — both are ours
            angles = self._engine.all(sql, values)
        last = None
        if sums or states:
            kind, there = ("sum", sums) if sums else ("state", states)
            if there != rows:
                sql = f"SELECT max(start) FROM {table.value} {where} AND {kind} IS NOT NULL"  # noqa: S608 — all are ours
                newest = self._engine.number(sql, values)
            last = self.between(table, entity, whole(newest), whole(newest) + 1)[0].row
        return Gathered(rows, means, mean or 0.0, low, high, known, angles, last)  # type: ignore[arg-type]  # as the columns are

    def remove_before(self, entity: int, before: int, limit: int) -> int:
        """Remove at most `limit` of an entity's oldest 5-minute rows; hourly rows stay for ever."""
        found = self._engine.number(
            "SELECT start FROM statistics_5minute WHERE entity = ? ORDER BY start LIMIT 1 OFFSET ?",
            (entity, limit),
        )
        end = before if found is None else min(before, found)
        return self._engine.run(
            "DELETE FROM statistics_5minute WHERE entity = ? AND start < ?", (entity, end)
        )

    def add_run(self, start: int) -> None:
        """Mark a 5-minute period as compiled."""
        self._engine.run("INSERT OR IGNORE INTO runs VALUES (?)", (start,))

    def first_run(self) -> int | None:
        """Return the oldest compiled 5-minute period that is remembered."""
        return self._engine.number("SELECT min(start) FROM runs")

    def runs(self, start: int, end: int) -> set[int]:
        """Return the compiled 5-minute periods with start <= period < end."""
        found = self._engine.all("SELECT start FROM runs WHERE start >= ? AND start < ?", (start, end))
        return {whole(run) for (run,) in found}

    def last_run(self) -> int | None:
        """Return the newest compiled 5-minute period."""
        return self._engine.number("SELECT max(start) FROM runs")

    def remove_runs_before(self, before: int) -> int:
        """Forget runs before a time, never the newest."""
        return self._engine.run(
            "DELETE FROM runs WHERE start < ? AND start < (SELECT max(start) FROM runs)", (before,)
        )

    def remove_from(self, start: int) -> int:
        """Forget every run and row from a 5-minute period on, and the hours that end after it.

        Returns the number of runs.
        """
        runs = self._engine.run("DELETE FROM runs WHERE start >= ?", (start,))
        self._engine.run("DELETE FROM statistics_5minute WHERE start >= ?", (start,))
        self._engine.run(
            "DELETE FROM statistics_hour WHERE start > ? AND NOT EXISTS (SELECT 1 FROM imported AS i"
            " WHERE i.entity = statistics_hour.entity AND i.start = statistics_hour.start)",
            (start - HOUR,),
        )
        return runs

    def put_dirty(self, spans: dict[int, Span]) -> None:
        """Remember what must be corrected, in place of what was remembered of these entities."""
        self._engine.many(
            "INSERT OR REPLACE INTO dirty VALUES (?, ?, ?)",
            [(entity, span.since, span.until) for entity, span in spans.items()],
        )

    def remove_dirty(self, entities: Iterable[int]) -> None:
        """Forget what had to be corrected of entities: they are correct again."""
        self._engine.many("DELETE FROM dirty WHERE entity = ?", [(entity,) for entity in entities])

    def dirty(self) -> dict[int, Span]:
        """Return what must be corrected, by entity."""
        rows = self._engine.all("SELECT entity, since, until FROM dirty")
        return {whole(entity): Span(whole(since), whole(until)) for entity, since, until in rows}

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
        """Return an entity's rows from a time on, by the table's name."""
        return {t.value: self.between(t, entity, at) for t, at in starts.items()}

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

    def _add(self, shift: Shift, amounts: Amounts) -> None:
        for table, field in _FROM.items():
            self._engine.run(
                f"UPDATE {table.value} SET sum = sum + ?, sum_increase = sum_increase + ?,"  # noqa: S608 — the table is ours
                " sum_decrease = sum_decrease + ?, rev = rev + 1"
                " WHERE entity = ? AND start >= ? AND sum IS NOT NULL",
                (*amounts, shift.entity, getattr(shift, field)),
            )

    def put_back(self, table: Table, rows: Iterable[tuple[StoredRow, int]]) -> None:
        """Write rows as they were if they are so many revisions further: nothing else has changed them."""
        for old, ahead in rows:
            now = self.between(table, old.entity, old.start, old.start + 1)
            if now and now[0].rev == old.rev + ahead:
                self.put(table, [old._replace(rev=now[0].rev)])

    def cut_off(self, cut: Cut) -> None:
        """Remove what an entity has from a cut on but its states."""
        for table, field in _FROM.items():
            self.remove(table, cut.entity, getattr(cut, field), EVER)
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
