"""Closing a 5-minute period: accumulators, insert and commit against time-weighted SQL, insert and commit."""

import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Goal, Spread, goals, page, progress, table
from bus.about import MEASUREMENT, About, Entity
from statistician.arithmetic import DAY, MINUTES_5, due_at
from statistician.compile import Compiler
from statistician.entities import Entities
from statistician.records import Batch, State, Table
from statistician.store import Store

_START = 20_780 * DAY
_SCHEMA = (
    # What holds when the period begins; the SQL gets it for nothing.
    "CREATE TABLE carried (entity INTEGER PRIMARY KEY, ts INTEGER, value REAL)",
    (
        "CREATE TABLE by_sql (entity INTEGER, start INTEGER, mean REAL, min REAL, max REAL, coverage REAL,"
        " rev INTEGER, PRIMARY KEY (entity, start)) WITHOUT ROWID"
    ),
)
_SQL = """
INSERT INTO by_sql (entity, start, mean, min, max, coverage, rev)
WITH held AS (
    SELECT entity, ?1 AS ts, value FROM carried
    UNION ALL SELECT entity, ts, value FROM states WHERE ts >= ?1 AND ts < ?2
), spans AS (
    SELECT entity, value, ts, lead(ts, 1, ?2) OVER (PARTITION BY entity ORDER BY ts) - ts AS ms FROM held
)
SELECT entity, ?1, sum(value * ms) / sum(ms), min(value), max(value), sum(ms) / 300000.0, 0
FROM spans GROUP BY entity
"""
_LONGEST_S = 60.0


def measure(*, quick: bool, rounds: int) -> str:
    """Time `rounds` periods, each closed both ways; return the table."""
    entities, states = (50, 500) if quick else (1000, 10_000)
    progress(f"compile: {rounds + 1} periods of {entities} entities and {states} states")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        periods = list(_Periods(Path(folder), entities, states).close_both_ways(rounds + 1))
    # The first only warms the caches.
    ours, sql, floor = (Spread.of(s * 1000 for s in times) for times in zip(*periods[1:], strict=True))
    ratio = ours.over(sql)
    head = (f"{entities} entities, {states} states", "ms")
    rows = [
        ("ours: close the accumulators, insert, commit", ours),
        ("SQL: time-weighted compile, insert, commit", sql),
        ("of both: insert and commit of the finished rows", floor),
        ("ratio", ratio),
    ]
    remark = (
        f"{rounds} periods, each closed both ways on the same database; means, extremes and coverage of both"
        " were equal. The SQL gets what is carried in for nothing; feeding our accumulators is paid when"
        " states arrive, see ingest."
    )
    why = f"insert and commit, which both need, are {floor.over(sql).median:.2f} of the SQL already"
    return page(
        table(head, rows), remark, goals([Goal("time, share of the SQL's", ratio.median, 0.3, why=why)])
    )


class _Periods:
    def __init__(self, folder: Path, entities: int, states: int) -> None:
        self._store = Store(folder / "statistics.db")
        for sql in _SCHEMA:
            self._store.engine.run(sql)
        self._entities = Entities([])
        self._count = states
        self._dice = random.Random(1)  # noqa: S311 — the same states in every run
        about = About(
            name="bench",
            entities={f"e{n}": Entity(name="e", state_class=MEASUREMENT) for n in range(entities)},
        )
        records = self._entities.describe("bench", about, _START)
        self._compiler = Compiler(self._store, self._entities)
        self._store.commit(Batch(entities={record.id: record for record in records}))

    def close_both_ways(self, periods: int) -> Iterator[tuple[float, float, float]]:
        """Seconds that ours, the SQL, and the bare insert took, period by period."""
        self._compiler.begin(_START)
        self._take([State(_START, live.record.id, 12.0, None) for live in self._entities])
        for start in range(_START, _START + periods * MINUTES_5, MINUTES_5):
            self._carry(start)
            self._take(self._states(start))
            # Whoever comes second finds the states in the cache; take turns.
            first = (start // MINUTES_5) % 2 == 0
            sql = self._sql(start) if first else 0.0
            ours = self._ours(start)
            yield ours, sql or self._sql(start), self._insert(start)
            self._compare(start)
        self._store.close()

    def _states(self, start: int) -> list[State]:
        numbers = [live.record.id for live in self._entities]
        dice = self._dice
        times = sorted(dice.sample(range(start + 1, start + MINUTES_5), self._count))
        return [
            State(ts, numbers[i % len(numbers)], dice.uniform(10, 15), None) for i, ts in enumerate(times)
        ]

    def _take(self, states: list[State]) -> None:
        for state in states:
            live = self._entities[state.entity]
            live.newest = state
            self._compiler.take(live, state)
        self._store.commit(Batch(states=states))

    def _carry(self, start: int) -> None:
        forces = [live.newest for live in self._entities if live.newest is not None]
        engine = self._store.engine
        with self._store.transaction():
            engine.run("DELETE FROM carried")
            carried = [(state.entity, start, state.value) for state in forces]
            engine.many("INSERT INTO carried VALUES (?, ?, ?)", carried)

    def _ours(self, start: int) -> float:
        began = time.perf_counter()
        closed = self._compiler.advance(due_at(start), _LONGEST_S)
        took = time.perf_counter() - began
        if closed.periods != 1:
            raise RuntimeError(f"{closed.periods} periods were closed")
        return took

    def _insert(self, start: int) -> float:
        read = self._store.statistics.between
        numbers = [live.record.id for live in self._entities]
        rows = [row for number in numbers for row in read(Table.FIVE_MINUTES, number, start, start + 1)]
        for row in rows:
            self._store.statistics.remove(Table.FIVE_MINUTES, row.entity, start)
        began = time.perf_counter()
        with self._store.transaction():
            self._store.statistics.put(Table.FIVE_MINUTES, rows)
        return time.perf_counter() - began

    def _sql(self, start: int) -> float:
        began = time.perf_counter()
        with self._store.transaction():
            self._store.engine.run(_SQL, (start, start + MINUTES_5))
        return time.perf_counter() - began

    def _compare(self, start: int) -> None:
        rows = self._store.engine.all(
            "SELECT entity, mean, min, max, coverage FROM by_sql WHERE start = ?", (start,)
        )
        if len(rows) != len(self._entities):
            raise RuntimeError(f"the SQL made {len(rows)} rows for {len(self._entities)} entities")
        for entity, *theirs in rows:
            (stored,) = self._store.statistics.between(Table.FIVE_MINUTES, int(entity or 0), start, start + 1)
            row = stored.row
            for mine, other in zip((row.mean, row.min, row.max, row.coverage), theirs, strict=True):
                if not math.isclose(float(mine or 0), float(other or 0), rel_tol=1e-9):
                    raise RuntimeError(f"entity {entity!r} at {start}: {row} against {theirs} of the SQL")
