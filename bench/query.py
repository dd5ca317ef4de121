"""A day of states, a month of hours and ten years by month, of one entity out of fifty."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import layouts
from bench.measure import Spread, page, progress, table
from statistician.arithmetic import DAY
from statistician.records import Table
from statistician.store import Store

_START = 20_780 * DAY
_ONE = 7
_ENTITIES = 50
_STATES = (
    "INSERT INTO states (ts, entity, value, last_reset)"
    " WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 - 1)"
    " SELECT ?1 + i * ?3, i % 50 + 1, 10 + (i * 7919 % 5000) / 1000.0, NULL FROM n"
)
_HOURS = (
    "INSERT INTO statistics_hour (entity, start, mean, min, max, coverage, rev)"
    " WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 - 1)"
    " SELECT i % 50 + 1, ?1 + i / 50 * 3600000, 12.0 + i % 7, 10.0, 15.0, 1.0, 0 FROM n"
)
_BY_MONTH = (
    "SELECT strftime('%Y-%m', start / 1000, 'unixepoch') AS month, avg(mean), min(min), max(max)"
    " FROM statistics_hour WHERE entity = ? AND start >= ? AND start < ? GROUP BY month"
)
_HOUR_ROWS = "SELECT * FROM statistics_hour WHERE entity = ? AND start >= ? AND start < ? ORDER BY start"
_STATE_ROWS = (
    "SELECT ts, entity, value, last_reset FROM states WHERE entity = ? AND ts >= ? AND ts < ? ORDER BY ts"
)


def measure(*, quick: bool, rounds: int) -> str:
    """Time the three questions, both layouts in turn; return the table."""
    states, years = (20_000, 1) if quick else (1_200_000, 10)
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        progress(f"query: filling two databases with {states} states and {years} years of hours")
        store, peer = Store(Path(folder, "ours.db")), layouts.RowidIndex(Path(folder, "theirs.db"))
        for run in (store.engine.run, peer.database.execute):
            run(_STATES, (_START, states, 10 * DAY // states))
            run(_HOURS, (_START - years * 365 * DAY, years * 365 * 24 * _ENTITIES))
        # The middle: neither the first page nor the last.
        day = (_START + 5 * DAY, _START + 6 * DAY)
        month = (_START - 60 * DAY, _START - 30 * DAY)
        ever = (_START - years * 365 * DAY, _START)
        questions: list[tuple[str, Callable[[], list[object]], Callable[[], list[object]]]] = [
            (
                "24 h of states",
                lambda: list(store.states.between(*day, {_ONE})),
                lambda: peer.database.execute(_STATE_ROWS, (_ONE, *day)).fetchall(),
            ),
            (
                "a month of hours",
                lambda: list(store.statistics.between(Table.HOUR, _ONE, *month)),
                lambda: peer.database.execute(_HOUR_ROWS, (_ONE, *month)).fetchall(),
            ),
            (
                f"{years} years by month",
                lambda: list(store.engine.all(_BY_MONTH, (_ONE, *ever))),
                lambda: peer.database.execute(_BY_MONTH, (_ONE, *ever)).fetchall(),
            ),
        ]
        rows = [_row(what, ours, theirs, rounds) for what, ours, theirs in questions]
        sizes = [Path(folder, name).stat().st_size / 1e6 for name in ("ours.db", "theirs.db")]
        store.close()
        peer.close()
    remark = (
        f"One of {_ENTITIES} entities, {states} states in ten days, {years * 365 * 24 * _ENTITIES} hourly"
        f" rows, caches warm, {rounds} rounds. Ours keeps states by time, so that the card is written less: a"
        f" day of one entity reads the day of all. {sizes[0]:.0f} and {sizes[1]:.0f} MB on disk. No goal."
    )
    return page(table(("question", "rows", "ours ms", f"{layouts.NAME} ms", "ratio"), rows), remark)


def _row(
    what: str, ours: Callable[[], list[object]], theirs: Callable[[], list[object]], rounds: int
) -> tuple[object, ...]:
    mine, others = [], []
    counts = {len(ours()), len(theirs())}
    if len(counts) != 1:
        raise RuntimeError(f"{what}: {counts} rows")
    for _ in range(rounds):
        mine.append(_ms(ours))
        others.append(_ms(theirs))
    ratio = Spread.of(mine).over(Spread.of(others))
    return (what, counts.pop(), Spread.of(mine), Spread.of(others), ratio)


def _ms(question: Callable[[], list[object]]) -> float:
    began = time.perf_counter()
    question()
    return (time.perf_counter() - began) * 1000
