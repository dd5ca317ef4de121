"""Finds what no start can go on from: cells that are not what the software writes, whoever wrote them.

A cell that says little is emptied, or made what stands beside it; else its row is set aside: it becomes a
dead letter, as a message that could not be used.
"""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from bus.messages import EARLIEST_MS, LATEST_MS
from statistician.arithmetic.counters import Memory
from statistician.arithmetic.periods import MINUTES_5
from statistician.clock.entity_clock import Move
from statistician.records import KeptClocks, Said, StoreError
from statistician.store.engine import Cell, Engine

log = logging.getLogger(__name__)

# Of the rows set aside at a time so many are kept.
_MOST_KEPT = 100
_MOST_KEPT_BYTES = 4096
_SEARCHED = "finite"

_NULL = "{0} IS NULL"
_TIME = f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN {EARLIEST_MS} AND {LATEST_MS}"
_PAST_1970 = f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN 0 AND {LATEST_MS}"
_PERIOD = f"{_PAST_1970} AND {{0}} % {MINUTES_5} = 0"
_WHOLE = f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN 0 AND {2**53}"
_NUMBER = "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 2147483647"
_FLAG = "typeof({0}) = 'integer' AND {0} IN (0, 1)"
_FINITE = "typeof({0}) = 'real' AND abs({0}) < 9e999"
_TEXT = "typeof({0}) = 'text' AND instr({0}, char(0)) = 0"
_ID = f"{_TEXT} AND {{0}} NOT GLOB '*[^a-z0-9_]*' AND length({{0}}) BETWEEN 1 AND 64"
_STREAM = f"{_TEXT} AND {{0}} NOT GLOB '*[^a-z0-9_-]*' AND length({{0}}) BETWEEN 1 AND 64"
_BYTES = "typeof({0}) = 'blob'"
# Of an entity that was merged into another: its number.
_DEVICE = (
    f"({_ID}) OR ({_TEXT} AND {{0}} GLOB '#[1-9]*' AND substr({{0}}, 2) NOT GLOB '*[^0-9]*'"
    " AND CAST(substr({0}, 2) AS INTEGER) BETWEEN 1 AND 2147483647)"
)
_KNOWN = f"{_NUMBER} AND {{0}} IN (SELECT e.id FROM entity AS e)"  # noqa: S608 — all are ours
_JSON = "typeof({0}) = 'text' AND json_valid({0})"
_VALUE = f"{_NULL} OR ({_FINITE}) OR typeof({{0}}) = 'text'"


def _or_null(condition: str) -> str:
    return f"{_NULL} OR ({condition})"


class _Column(NamedTuple):
    """What holds of a cell that can be used, and what takes the place of another (None: its row goes)."""

    name: str
    right: str
    instead: str | None = None


_DESCRIBED = (
    *("what IN ('unit', 'class') OR", "(what = 'expire' AND word NOT GLOB '*[^0-9]*'"),
    *("AND length(word) BETWEEN 1 AND 13)", "OR what = 'daily'"),
)
_SMALL: dict[str, tuple[_Column, ...]] = {
    "entity": (
        _Column("id", _NUMBER),
        # Its history stays, and can be renamed.
        _Column("device", _DEVICE, "'unusable_' || id"),
        _Column("entity", _ID, "'e' || id"),
        _Column("first", _TIME, "0"),
        *(_Column(name, _or_null(_TEXT), "NULL") for name in ("name", "unit", "device_class", "state_class")),
        _Column("retention_days", _or_null("typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 100000"), "NULL"),
    ),
    "stream": (
        _Column("stream", _STREAM),
        _Column("seq", _WHOLE),
        _Column("seen", _TIME, "0"),
        _Column("first", _or_null(_TIME), "NULL"),
        _Column("newest", _or_null(_TIME), "NULL"),
    ),
    "owner": (_Column("device", _ID), _Column("service", _ID)),
    "dirty": (_Column("entity", _KNOWN), _Column("since", _TIME), _Column("until", _TIME)),
    "keeping": (
        _Column("entity", _NUMBER),
        _Column("unit", _or_null(_TEXT), "NULL"),
        _Column("angle", _or_null(_FLAG), "NULL"),
        _Column("begins", _TIME, "0"),
        _Column("enabled", _FLAG, "1"),
        _Column("said", _JSON, "'[]'"),
    ),
    "described": (
        _Column("entity", _NUMBER),
        _Column("what", " ".join(_DESCRIBED)),
        _Column("since", _TIME),
        _Column("word", _or_null(_TEXT)),
    ),
    "fix": (
        _Column("ts", _TIME, "0"),
        _Column("verb", _TEXT),
        _Column("params", _JSON),
        _Column("entities", f"{_JSON} AND json_type({{0}}) = 'array'"),
        _Column("undo", _or_null(_BYTES), "NULL"),
        _Column("undone", _or_null(_TIME), "0"),
    ),
    "adjusted": (
        _Column("entity", _NUMBER),
        _Column("start", _TIME),
        _Column("fix", _WHOLE),
        _Column("amount", _FINITE),
    ),
    "renewed": (_Column("entity", _NUMBER), _Column("start", _TIME), _Column("fix", _WHOLE)),
    "held": (
        _Column("entity", _NUMBER),
        _Column("ts", _TIME),
        _Column("value", _FINITE),
        _Column("before", _FINITE),
        _Column("why", "{0} IN ('fall', 'leap')"),
        _Column("verdict", "{0} IN ('held', 'left_out', 'accepted')"),
    ),
    "counter": (_Column("entity", _NUMBER), _Column("memory", _JSON)),
    "piece": (_Column("first", _WHOLE), _Column("fix", _WHOLE)),
    "undated": (
        _Column("boot", _TEXT),
        _Column("since_boot", _WHOLE),
        _Column("device", _ID),
        _Column("payload", _BYTES),
    ),
    "dead_letter": (
        _Column("ts", _TIME, "0"),
        _Column("topic", "typeof({0}) = 'text'", "''"),
        _Column("payload", _BYTES, "x''"),
        _Column("error", "typeof({0}) = 'text'", "''"),
    ),
    "meta": (_Column("key", _TEXT), _Column("value", "typeof({0}) = 'text'")),
}
_ROWS = (
    _Column("entity", _NUMBER),
    _Column("start", _PERIOD),
    *(_Column(name, _or_null(_FINITE)) for name in ("state", "sum", "sum_increase", "sum_decrease")),
    *(_Column(name, _or_null(_FINITE), "NULL") for name in ("mean", "mean_weight", "min", "max", "coverage")),
    _Column("last_reset", _or_null(_TIME), "NULL"),
    _Column("rev", _WHOLE, "0"),
)
_LARGE: dict[str, tuple[_Column, ...]] = {
    "states": (
        _Column("ts", _TIME),
        _Column("entity", f"{_NUMBER} OR ({{0}} = 0 AND typeof(value) = 'blob')"),
        _Column("value", f"{_VALUE} OR (entity = 0 AND typeof({{0}}) = 'blob')"),
        _Column("last_reset", _or_null(_TIME), "NULL"),
    ),
    "frames": (
        _Column("entity", _NUMBER),
        _Column("start", _TIME),
        _Column("ts", _TIME),
        _Column("value", _VALUE),
        _Column("last_reset", _or_null(_TIME), "NULL"),
    ),
    "statistics_5minute": _ROWS,
    "statistics_hour": _ROWS,
    "runs": (_Column("start", _PERIOD),),
    "imported": (_Column("entity", _NUMBER), _Column("start", _TIME), _Column("fix", _WHOLE)),
}


def _json(kind: object) -> Callable[[str], object]:
    return msgspec.json.Decoder(kind).decode


def _purge(text: str) -> tuple[int, int]:
    at, _, ran = text.partition(" ")
    return int(at), int(ran or 0)


def _moves(text: str) -> object:
    moves = msgspec.json.decode(text, type=dict[int, Move])
    times = [part for since, until, by, keep in moves.values() for part in (since, until, by, *keep)]
    if any(abs(ts) > LATEST_MS for ts in times):
        raise ValueError("a time is out of range")
    return moves


# What a text must be read as, by table and column; a fact of `meta` by its key.
_TEXTS: tuple[tuple[str, str, str, Callable[[str], object]], ...] = (
    ("keeping", "said", "UPDATE keeping SET said = '[]' WHERE said = ?", _json(tuple[Said, ...])),
    ("counter", "memory", "DELETE FROM counter WHERE memory = ?", _json(Memory)),
    ("fix", "entities", "UPDATE fix SET entities = '[]' WHERE entities = ?", _json(tuple[int, ...])),
)
_FACTS: dict[str, Callable[[str], object]] = {
    "closed_at": int,
    "estimated": _json(KeptClocks),
    "redating": _moves,
    "purged_before": int,
    "purge": _purge,
}


class Found(NamedTuple):
    """In how many places there was something, and whether the large tables were searched, too."""

    places: int
    all_searched: bool


def search(engine: Engine) -> Found:
    """Set aside what cannot be used, in small tables always, in large ones when it was asked for.

    StoreError is told in the log, for it must open all the same.
    """
    wanted = engine.fact(_SEARCHED) is None
    try:
        with engine.transaction():
            found = _facts(engine) + sum(_texts(engine, *one) for one in _TEXTS)
            found += sum(_table(engine, *one) for one in _SMALL.items())
            if wanted:
                found += sum(_table(engine, *one) for one in _LARGE.items())
                engine.put_fact(_SEARCHED, str(found))
    except StoreError as error:
        log.warning("%s was not searched for what cannot be used: %s", engine.path, error)
        return Found(0, all_searched=False)
    if found:
        log.warning("%s: %d cells that cannot be used were set aside", engine.path, found)
    return Found(found, wanted)


def ask_search(engine: Engine) -> None:
    """Let the next start search the large tables, too."""
    try:
        engine.run("DELETE FROM meta WHERE key = ?", (_SEARCHED,))
    except StoreError as error:
        log.warning("%s will not be searched: %s", engine.path, error)


def _table(engine: Engine, table: str, columns: Iterable[_Column]) -> int:
    columns = tuple(columns)
    wrong = [(column, f"NOT ifnull({column.right.format(column.name)}, 0)") for column in columns]
    # One walk through the table tells whether there is anything to do.
    if engine.one(f"SELECT 1 FROM {table} WHERE {' OR '.join(text for _, text in wrong)} LIMIT 1") is None:  # noqa: S608 — all are ours
        return 0
    return sum(_column(engine, table, column, text) for column, text in wrong)


def _column(engine: Engine, table: str, column: _Column, wrong: str) -> int:
    if column.instead is not None:
        return engine.run(f"UPDATE OR IGNORE {table} SET {column.name} = {column.instead} WHERE {wrong}")  # noqa: S608 — all are ours
    rows = engine.all(f"SELECT * FROM {table} WHERE {wrong} LIMIT {_MOST_KEPT}")  # noqa: S608 — all are ours
    _keep(engine, table, column.name, rows)
    return engine.run(f"DELETE FROM {table} WHERE {wrong}")  # noqa: S608 — all are ours


def _keep(engine: Engine, table: str, column: str, rows: list[tuple[Cell, ...]]) -> None:
    error = f"{column}: this row of the database could not be used"
    engine.many(
        "INSERT INTO dead_letter (ts, topic, payload, error) VALUES (0, ?, ?, ?)",
        [
            (f"database/{table}", repr(row).encode("utf-8", "replace")[:_MOST_KEPT_BYTES], error)
            for row in rows
        ],
    )


def _facts(engine: Engine) -> int:
    gone = 0
    for key, read in _FACTS.items():
        text = engine.fact(key)
        if text is not None and not _reads(read, text):
            _keep(engine, "meta", key, [(text,)])
            gone += engine.run("DELETE FROM meta WHERE key = ?", (key,))
    return gone


def _texts(engine: Engine, table: str, column: str, sql: str, read: Callable[[str], object]) -> int:
    gone = 0
    for (cell,) in engine.all(f"SELECT DISTINCT {column} FROM {table}"):  # noqa: S608 — all are ours
        if not isinstance(cell, str) or not _reads(read, cell):
            _keep(engine, table, column, [(cell,)])
            gone += engine.run(sql, (cell,))
    return gone


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValueError, OverflowError, RecursionError):
        return False
    return True
