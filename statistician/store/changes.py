"""What the change feed reads: what has come in order, and what was written or removed behind that.

Readers of the feed keep their place themselves. What lies behind a place that any of them may have reached is
noted when it is written, changed or removed, in the same transaction: by triggers, whoever does it. Only
new states are noted by what puts them.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from statistician.arithmetic import HOUR, MINUTES_5, hour_of
from statistician.records import State, StoredRow, Table
from statistician.store.engine import Cell, Engine
from statistician.store.states import States
from statistician.store.statistics import Statistics

What = Literal["reading", "5minute", "hour"]
TABLES: dict[What, Table] = {"5minute": Table.FIVE_MINUTES, "hour": Table.HOUR}
# Readings of several devices come in any order within this; a clock that falls by less has not stepped, ms.
_SETTLED = 2_000
_WOBBLE = 5_000
# So many stored states or rows are looked at together.
LOOK = 1_000
# More entries than this are joined.
_MOST = 20_000
PURGED = "feed_purged"


class Place(NamedTuple):
    """What is earlier than `time` (ms) is passed, and of that time the entities up to `entity`."""

    time: int
    entity: int


class Horizon(NamedTuple):
    """What is earlier than `before` (ms) can be read in order; no reader has seen anything from `most` on."""

    before: int
    most: int


class Entry(NamedTuple):
    """What was changed between `since` and `until` (ms, both included), where readers may have been.

    It is of the entity called `name`, or without a name of the `entity` with this number. If that is 0, all
    entities are to be read again from `since` on. With `removed` there may be less than before.
    """

    seq: int
    name: str
    entity: int
    what: What
    since: int
    until: int
    removed: bool


_STREAMS: tuple[tuple[What, str, str], ...] = (
    ("reading", "states", "ts"),
    *((what, table.value, "start") for what, table in TABLES.items()),
)
_JOIN = (
    " ON CONFLICT (name, entity, what) DO UPDATE SET since = min(since, excluded.since),"
    " until = max(until, excluded.until), removed = max(removed, excluded.removed);"
)


def _bound(column: str, what: What) -> str:
    return f"(SELECT {column} FROM feed_horizon WHERE what = '{what}')"  # noqa: S608 — all are ours


def _note(row: str, what: What, time: str, removed: int) -> str:
    values = f"'', {row}.entity, '{what}', {row}.{time}, {row}.{time}, {removed}"
    return f"INSERT INTO feed_noted VALUES ({values}){_JOIN}"  # noqa: S608 — all are ours


def _of_table(what: What, table: str, time: str) -> Iterator[str]:
    """Yield the triggers of a table; an entity 0 is none."""
    written = f"WHEN NEW.{time} < {_bound('before', what)} AND NEW.entity > 0"
    gone = f"OLD.{time} < {_bound('most', what)} AND OLD.entity > 0"
    moved = f"(OLD.entity != NEW.entity OR OLD.{time} != NEW.{time})"
    for name, event, condition, note in (
        *((("written", "INSERT", written, _note("NEW", what, time, 0)),) if what != "reading" else ()),
        ("changed", "UPDATE", written, _note("NEW", what, time, 0)),
        ("moved", "UPDATE", f"WHEN {moved} AND {gone}", _note("OLD", what, time, 1)),
        ("removed", "DELETE", f"WHEN {gone}", _note("OLD", what, time, 1)),
    ):
        yield (
            f"CREATE TEMP TRIGGER feed_{table}_{name} AFTER {event} ON main.{table}"
            f" {condition} BEGIN {note} END"
        )


def _go_back(what: What, since: str) -> str:
    return (
        f"INSERT INTO feed_noted SELECT '', 0, what, {since}, most - 1, 0 FROM feed_horizon"  # noqa: S608 — all are ours
        f" WHERE what = '{what}' AND before > {since}{_JOIN}"
    )


def _of_runs() -> str:
    """Return the trigger that has rows read again from the last period on that is left."""
    end = f"ifnull((SELECT max(start) FROM main.runs) + {MINUTES_5}, 0)"  # noqa: S608 — a number
    notes = _go_back("5minute", end) + _go_back("hour", f"{end} - {end} % {HOUR}")
    newest = f"WHEN OLD.start >= {end}"
    return f"CREATE TEMP TRIGGER feed_runs AFTER DELETE ON main.runs {newest} BEGIN {notes} END"


def _of_names() -> str:
    """Return the trigger for names, by which readers know entities; none knows one that was merged."""
    notes = "".join(
        f"INSERT INTO feed_noted SELECT {row}.device || '.' || {row}.entity, 0, what, 0, most - 1, 1"  # noqa: S608 — all are ours
        f" FROM feed_horizon WHERE most > 0 AND {row}.device NOT GLOB '#*'{_JOIN}"
        for row in ("OLD", "NEW")
    )
    return (
        "CREATE TEMP TRIGGER feed_names AFTER UPDATE ON main.entity"
        f" WHEN OLD.device != NEW.device OR OLD.entity != NEW.entity BEGIN {notes} END"
    )


_SCHEMA = (
    "CREATE TEMP TABLE feed_horizon (what TEXT PRIMARY KEY, before INTEGER, most INTEGER) WITHOUT ROWID",
    "CREATE TEMP TABLE feed_noted (name, entity, what, since, until, removed)",
    "CREATE UNIQUE INDEX temp.feed_noted_once ON feed_noted (name, entity, what)",
    *(trigger for stream in _STREAMS for trigger in _of_table(*stream)),
    _of_runs(),
    _of_names(),
)


class Changes:
    """The feed's tables; every method raises StoreError. Before `begin` nothing is noted."""

    def __init__(self, engine: Engine, states: States, statistics: Statistics) -> None:
        self._engine = engine
        self._states, self._statistics = states, statistics
        self._begun = False
        # When all that had come was on disk, ms; entries there are, and how many of them are too many.
        self._committed_at = 0
        self._count, self._most = 0, _MOST
        engine.attach(self._prepare, self._keep)
        states.written = self._note_late

    def _prepare(self) -> None:
        """Make what belongs to a connection."""
        for sql in _SCHEMA:
            self._engine.run(sql)
        if self._begun:
            self.begin()

    def begin(self) -> None:
        """Find how far readers may have come: that is stored, or a purge or an entry tells of it."""
        self._begun = True
        sql = "SELECT max(until) + 1 FROM changed WHERE what = ?"
        told = {what: self._engine.number(sql, (what,)) or 0 for what, _, _ in _STREAMS}
        newest = self._states.last_stored()
        reading = max(0 if newest is None else newest + 1, told["reading"], self.purged)
        reach: dict[What, int] = {"reading": reading, **self._compiled()}
        self._set({what: Horizon(before, max(before, told[what])) for what, before in reach.items()})
        self._count = self._engine.number("SELECT count(*) FROM changed") or 0

    def _note_late(self, states: Sequence[State]) -> None:
        before = self._engine.number("SELECT before FROM feed_horizon WHERE what = 'reading'")
        if before is not None and (late := [(s.entity, s.ts, s.ts) for s in states if s.ts < before]):
            self._engine.many(f"INSERT INTO feed_noted VALUES ('', ?, 'reading', ?, ?, 0){_JOIN}", late)  # noqa: S608 — all are ours

    def _compiled(self) -> dict[What, int]:
        run = self._statistics.last_run()
        end = 0 if run is None else run + MINUTES_5
        return {"5minute": end, "hour": hour_of(end)}

    def _set(self, horizons: Mapping[What, Horizon]) -> None:
        self._engine.many(
            "INSERT INTO feed_horizon VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET before = excluded.before,"
            " most = excluded.most",
            [(what, *horizon) for what, horizon in horizons.items()],
        )

    def horizons(self) -> dict[What, Horizon]:
        """Return how far each kind can be read."""
        rows = self._engine.all("SELECT what, before, most FROM feed_horizon")
        return {what: Horizon(before, most) for what, before, most in rows}  # type: ignore[misc, arg-type]  # as the columns are

    def committed(self, now: int) -> None:
        """Note that all that came until `now` (ms, 0: unknown) is on disk. With the clock readers go back."""
        self._committed_at = now
        if not now:
            return
        most = now - _SETTLED
        ahead = "SELECT 1 FROM feed_horizon WHERE what = 'reading' AND before > ?"
        if self._engine.one(ahead, (most + _WOBBLE,)) is not None:
            with self._engine.transaction():
                self._engine.run(_go_back("reading", "?1"), (most,))

    def advance(self) -> dict[What, Horizon]:
        """Let readers see all that is settled; returns how far."""
        found = self.horizons()
        newest = self._states.last_stored()
        reach = self._compiled()
        reach["reading"] = 0 if newest is None else min(self._committed_at - _SETTLED, newest + 1)
        for what, before in reach.items():
            known = found[what]
            found[what] = Horizon(max(known.before, before), max(known.most, before))
        self._set(found)
        return found

    @contextmanager
    def unnoted(self, what: What) -> Iterator[None]:
        """Note nothing of what is removed of this kind for its age: readers see that by `purged`."""
        # Even one that notes nothing costs a purge half as much again.
        stream = next(one for one in _STREAMS if one[0] == what)
        (again,) = (sql for sql in _of_table(*stream) if " AFTER DELETE ON " in sql)
        self._engine.run(f"DROP TRIGGER feed_{stream[1]}_removed")
        try:
            yield
        finally:
            self._engine.run(again)

    @property
    def purged(self) -> int:
        """Readings and 5-minute rows before this were or are being removed for their age, ms; 0: none."""
        return int(self._engine.fact(PURGED) or 0)

    def note_purge(self, before: int) -> None:
        """Remember that readings and 5-minute rows before a time are being removed, if there are any."""
        newest = self._states.last(before)
        if newest is not None and newest >= self.purged:
            self._engine.put_fact(PURGED, str(newest + 1))

    def remove_before(self, before: int) -> None:
        """Forget entries about readings and 5-minute rows that are gone; the newest tells the next number."""
        self._engine.run(
            "DELETE FROM changed WHERE until < ? AND what != 'hour' AND seq < (SELECT max(seq) FROM changed)",
            (before,),
        )

    def _keep(self) -> None:
        """Put on disk what was noted; at the end of a transaction."""
        if self._engine.one("SELECT 1 FROM feed_noted LIMIT 1") is None:
            return
        run = self._engine.run
        # First names and what goes back: the rest is read as they leave it.
        self._count += run(
            "INSERT INTO changed (name, entity, what, since, until, removed)"
            " SELECT name, entity, what, since, until, removed FROM feed_noted"
            " ORDER BY entity, name, what != 'reading', what"
        )
        run(
            "UPDATE feed_horizon SET before = min(before, (SELECT n.since FROM feed_noted AS n"
            " WHERE n.name = '' AND n.entity = 0 AND n.what = feed_horizon.what))"
            " WHERE what IN (SELECT n.what FROM feed_noted AS n WHERE n.name = '' AND n.entity = 0)"
        )
        run("DELETE FROM feed_noted")
        if self._count > self._most:
            self._join()

    def _join(self) -> None:
        """Join the older half of the entries by what they are of, under the newest number of each."""
        half = self._engine.number(
            "SELECT seq FROM changed ORDER BY seq LIMIT 1 OFFSET ?", (self._count // 2,)
        )
        self._engine.run(
            "INSERT OR REPLACE INTO changed (seq, name, entity, what, since, until, removed)"
            " SELECT max(seq), name, entity, what, min(since), max(until), max(removed) FROM changed"
            " WHERE seq <= ? GROUP BY name, entity, what",
            (half,),
        )
        self._engine.run(
            "DELETE FROM changed WHERE seq <= ? AND seq NOT IN"
            " (SELECT max(seq) FROM changed WHERE seq <= ? GROUP BY name, entity, what)",
            (half, half),
        )
        self._count = self._engine.number("SELECT count(*) FROM changed") or 0
        # As many as there are things to tell of cannot be joined.
        self._most = max(_MOST, self._count + _MOST // 2)

    def newest(self) -> int:
        """Return the number of the newest entry; 0: there is none."""
        return self._engine.number("SELECT max(seq) FROM changed") or 0

    def entry_after(self, seq: int) -> Entry | None:
        """Return the entry that follows a number."""
        sql = (
            "SELECT seq, name, entity, what, since, until, removed FROM changed WHERE seq > ?"
            " ORDER BY seq LIMIT 1"
        )
        row = self._engine.one(sql, (seq,))
        return None if row is None else Entry(*row)  # type: ignore[arg-type]  # as the columns are

    def readings(
        self, after: Place, end: Place, entities: Collection[int] | None
    ) -> tuple[list[State], Place]:
        """Return states of `entities` (None: all) from a place to another, of about LOOK, and up to where."""
        if entities is not None and not entities:
            return [], end
        until = self._states.end_of_piece(after.time, end.time + 1, LOOK)
        reached = min(end, Place(until, 0))
        sql = (
            "SELECT ts, entity, value, last_reset FROM states WHERE ts >= ? AND ts < ? AND entity > 0"
            " AND (ts, entity) > (?, ?) AND (ts, entity) <= (?, ?)"
        )
        values: list[Cell] = [after.time, until, *after, *reached]
        if entities is not None:
            sql += " AND entity IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(entities)))
        rows = self._engine.all(f"{sql} ORDER BY ts, entity", values)
        return [State(*row) for row in rows], reached  # type: ignore[arg-type]  # as the columns are

    def rows(
        self, table: Table, after: Place, end: Place, entities: Collection[int]
    ) -> tuple[list[StoredRow], Place]:
        """Return rows of `entities` from a place to another, about LOOK, and up to where."""
        first = after.time - after.time % table.length
        periods = max(1, LOOK // max(1, len(entities)))
        reached = min(end, Place(first + periods * table.length, 0))
        found = self._statistics.after(table, after, reached, entities)
        if found or reached == end:
            return found, reached
        start = self._statistics.first_of_any(table, reached.time, entities)
        return [], end if start is None else min(end, Place(start, 0))
