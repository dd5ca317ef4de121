"""Removing the oldest of ten days of states, in pieces that hold up nobody."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import layouts
from bench.measure import Goal, Spread, goals, page, progress, table, written_bytes
from statistician.arithmetic import DAY
from statistician.entities import Entities
from statistician.records import Batch, State
from statistician.retention import Retention
from statistician.store import Store

_START = 20_780 * DAY
_DAYS = 10
_ENTITIES = 50
_CHUNK = 20_000
# As many as ours removes at once.
_AT_ONCE = 10_000
_LONGEST_MS = 50.0


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge of a day cost: CPU and wall time in ms, the longest transaction, bytes written."""

    cpu_ms: float
    wall_ms: float
    longest_ms: float
    written: int


def measure(*, quick: bool, rounds: int) -> str:
    """Purge as many days as there are rounds, both layouts in turn; return the table."""
    states = 20_000 if quick else 1_200_000
    rounds = min(rounds, _DAYS - 1)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        progress(f"purge: filling two databases with {states} states")
        store, peer = Store(Path(folder, "ours.db")), layouts.RowidIndex(Path(folder, "theirs.db"))
        for chunk in _history(states):
            store.commit(Batch(states=chunk))
            peer.put(chunk)
        for day in range(1, rounds + 1):
            progress(f"purge: day {day} of {rounds}")
            before = _START + day * DAY
            ours.append(_timed(Retention(store, Entities([]), before).step))
            theirs.append(_timed(lambda end=before: peer.remove_before(end, _AT_ONCE) > 0))  # type: ignore[misc]  # a bound default
        store.close()
        peer.close()
    cost = Spread.of(p.cpu_ms for p in ours).over(Spread.of(p.cpu_ms for p in theirs))
    longest = max(p.longest_ms for p in ours)
    head = ("layout", "CPU ms", "wall ms", "longest transaction ms", "bytes written a row")
    day_rows = states // _DAYS
    remark = (
        f"{rounds} days of {day_rows} rows out of {_DAYS}, {_AT_ONCE} rows a transaction in both, synchronous"
        f" FULL; the peer deletes by its growing id. CPU ratio {cost}."
    )
    found = [
        Goal(f"CPU of a day, share of {layouts.NAME}", cost.median, 0.3, why="see the table"),
        Goal(
            "longest transaction, ms", longest, _LONGEST_MS, why="the machine was busy, or the disk is slow"
        ),
    ]
    rows = [_row("ours", ours, day_rows), _row(layouts.NAME, theirs, day_rows)]
    return page(table(head, rows), remark, goals(found))


def _row(name: str, purges: list[Purge], rows: int) -> tuple[object, ...]:
    return (
        name,
        Spread.of(p.cpu_ms for p in purges),
        Spread.of(p.wall_ms for p in purges),
        Spread.of(p.longest_ms for p in purges),
        Spread.of(p.written / rows for p in purges),
    )


def _history(states: int) -> Iterator[list[State]]:
    dice = random.Random(1)  # noqa: S311 — the same states in every run
    step = _DAYS * DAY // states
    for first in range(0, states, _CHUNK):
        yield [
            State(_START + number * step, number % _ENTITIES + 1, round(dice.uniform(10, 15), 3), None)
            for number in range(first, min(first + _CHUNK, states))
        ]


def _timed(piece: Callable[[], bool]) -> Purge:
    longest = 0.0
    wall, cpu, written = time.perf_counter(), time.process_time(), written_bytes()
    more = True
    while more:
        began = time.perf_counter()
        more = piece()
        longest = max(longest, time.perf_counter() - began)
    return Purge(
        cpu_ms=(time.process_time() - cpu) * 1000,
        wall_ms=(time.perf_counter() - wall) * 1000,
        longest_ms=longest * 1000,
        written=written_bytes() - written,
    )
