"""The few questions to the database that only requests ask. Every function raises StoreError."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from statistician.arithmetic.algorithm import Row
from statistician.records import StoredRow, Table
from statistician.store import Store

Extreme = Literal["min", "max"]


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


def gathered(store: Store, table: Table, entity: int, start: int, end: int) -> Gathered:
    """An entity's rows with start <= row start < end, put together by the database."""
    where, values = "WHERE entity = ? AND start >= ? AND start < ?", (entity, start, end)
    found = store.engine.one(
        "SELECT count(*), count(mean), sum(mean), min(min), max(max), sum(coverage),"  # noqa: S608 — all are ours
        f" count(mean_weight), count(sum), count(state), max(start) FROM {table.value} {where}",
        values,
    )
    if found is None or not found[0]:
        return Gathered(0, 0, 0.0, None, None, None, (), None)
    rows, means, mean, low, high, known, weighted, sums, states, newest = found
    angles: list[tuple[float, float]] = []
    if weighted:
        sql = f"SELECT mean, mean_weight FROM {table.value} {where} AND mean_weight IS NOT NULL"  # noqa: S608 — both are ours
        angles = [(_float(direction), _float(weight)) for direction, weight in store.engine.all(sql, values)]
    last = None
    if sums or states:
        kind, there = ("sum", sums) if sums else ("state", states)
        if there != rows:
            sql = f"SELECT max(start) FROM {table.value} {where} AND {kind} IS NOT NULL"  # noqa: S608 — all are ours
            (newest,) = store.engine.one(sql, values) or (0,)
        last = store.statistics.between(table, entity, int(newest or 0), int(newest or 0) + 1)[0].row
    return Gathered(
        int(rows or 0),
        int(means or 0),
        _float(mean or 0.0),
        None if low is None else _float(low),
        None if high is None else _float(high),
        None if known is None else _float(known),
        angles,
        last,
    )


def _float(cell: object) -> float:
    return float(cell) if isinstance(cell, int | float) else math.nan


def first_with(
    store: Store, table: Table, entity: int, extreme: Extreme, value: float, *, start: int, end: int
) -> int | None:
    """Start of an entity's first row with this extreme and start <= row start < end."""
    found = store.engine.one(
        f"SELECT start FROM {table.value} WHERE entity = ? AND start >= ? AND start < ?"  # noqa: S608 — both are ours
        f" AND {extreme} = ? ORDER BY start LIMIT 1",
        (entity, start, end, value),
    )
    return None if found is None or not isinstance(found[0], int) else found[0]


def row_from(store: Store, table: Table, entity: int, start: int) -> int | None:
    """Start of an entity's first row that starts at a time or later."""
    found = store.engine.one(
        f"SELECT min(start) FROM {table.value} WHERE entity = ? AND start >= ?",  # noqa: S608 — the table is ours
        (entity, start),
    )
    return None if found is None or not isinstance(found[0], int) else found[0]


def first_row(store: Store, table: Table, entity: int) -> int | None:
    """Start of an entity's oldest row."""
    found = store.engine.one(f"SELECT min(start) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return None if found is None or not isinstance(found[0], int) else found[0]


def last_row(store: Store, table: Table, entity: int) -> int | None:
    """Start of an entity's newest row."""
    found = store.engine.one(f"SELECT max(start) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return None if found is None or not isinstance(found[0], int) else found[0]


def row_before(store: Store, table: Table, entity: int, before: int) -> StoredRow | None:
    """An entity's newest row that starts before a time."""
    found = store.engine.one(
        f"SELECT max(start) FROM {table.value} WHERE entity = ? AND start < ?",  # noqa: S608 — the table is ours
        (entity, before),
    )
    if found is None or not isinstance(found[0], int):
        return None
    rows = store.statistics.between(table, entity, found[0], found[0] + 1)
    return rows[0] if rows else None


def count_rows(store: Store, table: Table, entity: int) -> int:
    """How many rows an entity has."""
    found = store.engine.one(f"SELECT count(*) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return int(found[0] or 0) if found else 0


def count_states(store: Store, start: int, end: int) -> int:
    """How many states all entities have with start <= ts < end."""
    found = store.engine.one(
        "SELECT count(*) FROM states WHERE ts >= ? AND ts < ? AND entity > 0", (start, end)
    )
    return int(found[0] or 0) if found else 0


def last_state(store: Store) -> int | None:
    """Time of the newest state on disk."""
    found = store.engine.one("SELECT max(ts) FROM states WHERE entity > 0")
    return None if found is None or not isinstance(found[0], int) else found[0]


def size(store: Store) -> int:
    """Bytes of the database file."""
    pages = store.engine.one("PRAGMA page_count")
    page = store.engine.one("PRAGMA page_size")
    return int(pages[0] or 0) * int(page[0] or 0) if pages and page else 0
