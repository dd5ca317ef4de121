"""Statistics on disk: 5-minute and hourly rows, the base of sums, runs, what awaits correction."""

from collections.abc import Iterable

from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.periods import HOUR, MINUTES_5
from statistician.records import Span, StoredRow, Table
from statistician.store.engine import Cell, Engine

_COLUMNS = ", ".join(("entity", "start", *Row._fields, "rev"))
_MARKS = ", ".join("?" * (len(Row._fields) + 3))


class Statistics:
    """The tables of rows, runs and corrections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, table: Table, rows: Iterable[StoredRow]) -> None:
        """Write rows, over those of the same entity and period."""
        self._engine.many(
            f"INSERT OR REPLACE INTO {table.value} ({_COLUMNS}) VALUES ({_MARKS})",  # noqa: S608 — all three are ours
            [(entity, start, *row, rev) for entity, start, row, rev in rows],
        )

    def remove(self, table: Table, entity: int, start: int) -> None:
        """Remove the row of a period that turned out to have no number."""
        self._engine.run(
            f"DELETE FROM {table.value} WHERE entity = ? AND start = ?",  # noqa: S608 — the table is ours
            (entity, start),
        )

    def between(self, table: Table, entity: int, start: int, end: int) -> list[StoredRow]:
        """An entity's rows with start <= row start < end, in order of time."""
        return self._read(table, "entity = ? AND start >= ? AND start < ? ORDER BY start", entity, start, end)

    def latest(self, entity: int, before: int) -> StoredRow | None:
        """What a sum goes on from: the latest 5-minute row, or a later hour, as its last period."""
        newest = "entity = ? AND start < ? ORDER BY start DESC LIMIT 1"
        rows = self._read(Table.FIVE_MINUTES, newest, entity, before)
        if rows and rows[0].start == before - MINUTES_5:
            return rows[0]
        hours = self._read(Table.HOUR, newest, entity, before - HOUR + 1)
        rows += [hour._replace(start=hour.start + HOUR - MINUTES_5) for hour in hours]
        return max(rows, key=lambda row: row.start, default=None)

    def _read(self, table: Table, where: str, *values: Cell) -> list[StoredRow]:
        sql = f"SELECT {_COLUMNS} FROM {table.value} WHERE {where}"  # noqa: S608 — both are ours
        return [_stored(row) for row in self._engine.all(sql, values)]

    def remove_before(self, entity: int, before: int, limit: int) -> int:
        """Remove at most `limit` of an entity's oldest 5-minute rows; hourly rows stay for ever."""
        found = self._engine.one(
            "SELECT start FROM statistics_5minute WHERE entity = ? ORDER BY start LIMIT 1 OFFSET ?",
            (entity, limit),
        )
        end = before if found is None else min(before, int(found[0] or 0))
        return self._engine.run(
            "DELETE FROM statistics_5minute WHERE entity = ? AND start < ?", (entity, end)
        )

    def add_run(self, start: int) -> None:
        """Mark a 5-minute period as compiled."""
        self._engine.run("INSERT OR IGNORE INTO runs VALUES (?)", (start,))

    def first_run(self) -> int | None:
        """The oldest compiled 5-minute period that is remembered."""
        return self._run("SELECT min(start) FROM runs")

    def runs(self, start: int, end: int) -> set[int]:
        """The compiled 5-minute periods with start <= period < end."""
        found = self._engine.all("SELECT start FROM runs WHERE start >= ? AND start < ?", (start, end))
        return {int(run or 0) for (run,) in found}

    def last_run(self) -> int | None:
        """The newest compiled 5-minute period."""
        return self._run("SELECT max(start) FROM runs")

    def _run(self, sql: str) -> int | None:
        found = self._engine.one(sql)
        return None if found is None or found[0] is None else int(found[0])

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
        """These are correct again."""
        self._engine.many("DELETE FROM dirty WHERE entity = ?", [(entity,) for entity in entities])

    def dirty(self) -> dict[int, Span]:
        """What must be corrected, by entity."""
        rows = self._engine.all("SELECT entity, since, until FROM dirty")
        return {int(entity or 0): Span(int(since or 0), int(until or 0)) for entity, since, until in rows}


def _stored(cells: tuple[Cell, ...]) -> StoredRow:
    entity, start, *row, rev = cells
    return StoredRow(entity, start, Row(*row), rev)  # type: ignore[arg-type]  # columns are what Row says
