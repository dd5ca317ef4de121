"""States on disk: ranges of time, the state in force, hourly frames; held readings of counters."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from statistician.arithmetic import MINUTES_5, hour_of, period_of
from statistician.arithmetic.counters import Counter, HeldReading, Judged, Memory
from statistician.clock import Move
from statistician.records import EntityRecord, Event, Heard, Span, State
from statistician.store.engine import Cell, Engine, whole

# SQLite takes at least 999 values in a statement.
_MOST_NAMED = 900
_COLUMNS = "ts, entity, value, last_reset"
# No entity has this number. Under it stand the readings that only repeated what was stored: in the same
# page as the states of their commit they cost a few bytes each, in a table of their own a page a commit.
_REPEATS = 0
_Event = TypeVar("_Event", State, Heard, Event)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


class States:
    """The tables of states and of hourly frames."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A trigger for this would cost a twentieth of all that ingest costs.
        self.written: Callable[[Sequence[State]], None] = lambda _: None

    def put(self, states: Iterable[State]) -> None:
        """Keep states; of several at one ms the last counts."""
        states = list(states)
        self._engine.many(
            "INSERT OR REPLACE INTO states (ts, entity, value, last_reset) VALUES (?, ?, ?, ?)", states
        )
        self.written(states)

    def put_repeats(self, repeats: Iterable[Heard]) -> None:
        """Keep when states were repeated, one row for a commit and period; its time is that of the newest."""
        periods: dict[int, list[Heard]] = {}
        for one in repeats:
            periods.setdefault(period_of(one.ts), []).append(one)
        for its in periods.values():
            newest = max(one.ts for one in its)
            row = self._engine.one("SELECT value FROM states WHERE ts = ? AND entity = ?", (newest, _REPEATS))
            known = _unpacked(None if row is None else row[0])
            packed = _encode(known + [(one.entity, newest - one.ts) for one in its])
            self._engine.run(
                "INSERT OR REPLACE INTO states (ts, entity, value) VALUES (?, ?, ?)",
                (newest, _REPEATS, packed),
            )

    def repeats(self, start: int, end: int | None, entities: Collection[int] | None = None) -> list[Heard]:
        """Say when states of `entities` (None: all) were repeated, start <= ts < end, in order of time."""
        sql = "SELECT ts, value FROM states WHERE entity = ? AND ts >= ?"
        values: list[Cell] = [_REPEATS, start]
        if end is not None:
            # A row stands at the newest of its period.
            sql += " AND ts < ?"
            values.append(period_of(end - 1) + MINUTES_5)
        found = [
            Heard(whole(ts) - earlier, entity)
            for ts, packed in self._engine.all(sql, values)
            for entity, earlier in _unpacked(packed)
            if entities is None or entity in entities
        ]
        return sorted(one for one in found if one.ts >= start and (end is None or one.ts < end))

    def every(self, start: int, end: int, entities: Collection[int]) -> list[Event]:
        """All states and repeats of entities with start <= ts < end, in order of time."""
        states: list[Event] = [*self.between(start, end, entities)]
        return sorted([*states, *self.repeats(start, end, entities)], key=lambda event: event.ts)

    def move(self, entity: int, move: Move) -> None:
        """Date an entity's states anew; within a transaction."""
        since, until, by, keep = move
        found = self.between(since, until + 1, {entity})
        self._engine.run(
            "DELETE FROM states WHERE ts >= ? AND ts <= ? AND entity = ?", (since, until, entity)
        )
        self.put([state._replace(ts=state.ts + by) for state in found if state.ts not in keep])
        self.put([state for state in found if state.ts in keep])
        # They are made again with the rows.
        self._engine.run(
            "DELETE FROM frames WHERE entity = ? AND start > ?", (entity, min(since, since + by))
        )

    def move_repeats(self, moves: Mapping[int, Move]) -> None:
        """Date the repeats of entities anew; within a transaction."""
        start = min(move.since for move in moves.values())
        end = max(move.until for move in moves.values()) + 1
        found = self.repeats(period_of(start), period_of(end) + MINUTES_5)
        self._engine.run(
            "DELETE FROM states WHERE entity = ? AND ts >= ? AND ts < ?",
            (_REPEATS, period_of(start), period_of(end) + MINUTES_5),
        )
        self.put_repeats(
            one._replace(ts=one.ts + move.by)
            if (move := moves.get(one.entity)) is not None and move.since <= one.ts <= move.until
            else one
            for one in found
        )

    def events(self, start: int, end: int | None, records: Iterable[EntityRecord]) -> list[Event]:
        """States of entities and, where that matters, when they were repeated, in order of time."""
        records = list(records)
        expiring = {record.id for record in records if record.remembers is not None}
        states: list[Event] = [*self.between(start, end, {record.id for record in records})]
        if not expiring:
            return states
        # A state comes before a repeat of the same time.
        return sorted([*states, *self.repeats(start, end, expiring)], key=lambda event: event.ts)

    def heard(self, records: Iterable[EntityRecord], at: int) -> dict[int, int]:
        """Say when entities whose values expire were heard again last before `at`, as far as it matters."""
        expiring = {record.id: record.remembers for record in records if record.remembers is not None}
        if not expiring:
            return {}
        since = at - max(expiring.values())
        return {one.entity: one.ts for one in self.repeats(since, at, expiring)}

    def first(self) -> int | None:
        """Time of the oldest state."""
        return self._engine.number("SELECT min(ts) FROM states WHERE entity > 0")

    def last(self, before: int = 2**62) -> int | None:
        """Time of the newest state or repeat before a time."""
        return self._engine.number("SELECT max(ts) FROM states WHERE ts < ?", (before,))

    def last_stored(self) -> int | None:
        """Return the time of the newest state, repeats not counted."""
        return self._engine.number("SELECT max(ts) FROM states WHERE entity > 0")

    def first_of(self, entity: int, since: int) -> int | None:
        """Return the time of an entity's first state from `since` on."""
        return self._engine.number("SELECT min(ts) FROM states WHERE ts >= ? AND entity = ?", (since, entity))

    def count(self, start: int, end: int) -> int:
        """Count the states of all entities with start <= ts < end."""
        sql = "SELECT count(*) FROM states WHERE ts >= ? AND ts < ? AND entity > 0"
        return self._engine.number(sql, (start, end)) or 0

    def between(self, start: int, end: int | None, entities: Collection[int] | None = None) -> list[State]:
        """States of `entities` (None: all) with start <= ts < end, in order of time."""
        sql = f"SELECT {_COLUMNS} FROM states WHERE entity > 0 AND ts >= ?"  # noqa: S608 — the columns are ours
        values: list[Cell] = [start]
        if end is not None:
            sql += " AND ts < ?"
            values.append(end)
        if entities is not None and len(entities) <= _MOST_NAMED:
            sql += f" AND entity IN ({', '.join('?' * len(entities))})"
            values += entities
            entities = None
        rows = self._engine.all(f"{sql} ORDER BY ts, entity", values)
        return [_state(row) for row in rows if entities is None or row[1] in entities]

    def in_force(
        self, entities: Collection[EntityRecord], at: int, *, late: Mapping[int, Span] | None = None
    ) -> dict[int, State]:
        """Find the newest state before `at` of each entity that has one; `late`: what awaits correction.

        Without `late`, states that came late count only once their hours' frames are corrected.
        """
        found: dict[int, State] = {}
        since = at
        for entity in entities:
            frame = self._frame(entity.id, at)
            if frame is None:
                since = min(since, entity.first, hour_of(at))
            else:
                start, found[entity.id] = frame
                since = min(since, start)
        found |= {state.entity: state for state in self.between(since, at, {e.id for e in entities})}
        known = {e.id: late[e.id].since for e in entities if e.id in late} if late else {}
        if known:
            newest = self._newest(min(known.values()), at)
            found |= {number: state for number, state in newest.items() if number in known}
        return found

    def _newest(self, start: int, end: int) -> dict[int, State]:
        """Find the newest state of each entity that has one with start <= ts < end."""
        rows = self._engine.all(
            "SELECT max(ts), entity, value, last_reset FROM states"
            " WHERE entity > 0 AND ts >= ? AND ts < ? GROUP BY entity",
            (start, end),
        )
        return {state.entity: state for state in map(_state, rows)}

    def _frame(self, entity: int, at: int) -> tuple[int, State] | None:
        row = self._engine.one(
            "SELECT ts, entity, value, last_reset, start FROM frames"
            " WHERE entity = ? AND start <= ? ORDER BY start DESC LIMIT 1",
            (entity, at),
        )
        return None if row is None else (whole(row[4]), _state(row))

    def put_frames(self, start: int, states: Iterable[State]) -> None:
        """Keep the states in force at `start`, the start of an hour."""
        self._engine.many(
            "INSERT OR REPLACE INTO frames (entity, start, ts, value, last_reset) VALUES (?, ?, ?, ?, ?)",
            ((state.entity, start, state.ts, state.value, state.last_reset) for state in states),
        )

    def remove(self, states: Iterable[tuple[int, int]]) -> None:
        """Remove states by (ts, entity), and the frames that they are in force in; within a transaction."""
        states = list(states)
        for table in ("states", "frames"):
            self._engine.many(f"DELETE FROM {table} WHERE ts = ? AND entity = ?", states)  # noqa: S608 — ours

    def frames_after(self, entity: int, ts: int) -> list[tuple[int, State]]:
        """Return an entity's states in force at the hours after a time."""
        rows = self._engine.all(
            f"SELECT {_COLUMNS}, start FROM frames WHERE entity = ? AND start > ?",  # noqa: S608 — the columns are ours
            (entity, ts),
        )
        return [(whole(row[4]), _state(row)) for row in rows]

    def remove_frames_after(self, start: int) -> None:
        """Remove the frames of all entities after a time."""
        self._engine.run("DELETE FROM frames WHERE start > ?", (start,))

    def frame_at(self, entity: int, start: int) -> State | None:
        """Return the frame an entity has at exactly `start`."""
        frame = self._frame(entity, start)
        return frame[1] if frame is not None and frame[0] == start else None

    def remove_before(self, before: int, limit: int) -> int:
        """Remove about `limit` of the oldest states before a time; returns how many went, 0 at the end."""
        first = self.first()
        if first is None or first >= before:
            return 0
        return self._engine.run("DELETE FROM states WHERE ts < ?", (self.end_of_piece(first, before, limit),))

    def sweep(
        self, start: int, end: int, limit: int, entities: Collection[int], *, among: bool
    ) -> tuple[int, int | None]:
        """Look at about `limit` states from `start` on and remove those (not) `among` entities before `end`.

        Returns how many went and where to go on; None at the end.
        """
        until = self.end_of_piece(start, end, limit)
        names = ", ".join(str(int(number)) for number in entities)
        removed = self._engine.run(
            "DELETE FROM states WHERE ts >= ? AND ts < ?"  # noqa: S608 — the names are whole numbers
            f" AND entity {'' if among else 'NOT '}IN ({names})",
            (start, until),
        )
        return removed, until if until < end else None

    def end_of_piece(self, start: int, end: int, limit: int) -> int:
        """Say where a piece of about `limit` states ends; more than that may share one ms."""
        sql = "SELECT ts FROM states WHERE ts >= ? ORDER BY ts LIMIT 1 OFFSET ?"
        found = self._engine.number(sql, (start, limit))
        return end if found is None else min(end, max(found, start + 1))

    def remove_frames_before(self, entity: int, before: int) -> int:
        """Remove an entity's frames before a time but for the one in force then."""
        return self._engine.run(
            "DELETE FROM frames WHERE entity = ? AND start <"
            " (SELECT max(start) FROM frames WHERE entity = ? AND start <= ?)",
            (entity, entity, before),
        )


def by_entity(events: Iterable[_Event]) -> dict[int, list[_Event]]:
    """Events grouped by entity, order kept."""
    groups: dict[int, list[_Event]] = {}
    for event in events:
        groups.setdefault(event.entity, []).append(event)
    return groups


def _unpacked(cell: Cell) -> list[tuple[int, int]]:
    try:
        return _decode(cell) if isinstance(cell, bytes) else []
    except ValueError:
        # Nobody can read when these were repeated: they were not.
        return []


def _state(row: tuple[Cell, ...]) -> State:
    return State(*row[:4])  # type: ignore[arg-type]  # the table's columns are what State says


log = logging.getLogger(__name__)

_HELD_COLUMNS = "entity, ts, value, before, why, verdict"


class HeldReadings:
    """The tables of held readings and of counters; every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, changes: Mapping[tuple[int, int], HeldReading | None]) -> None:
        """Keep held readings by entity and time, None removes one; within a transaction.

        What a user accepted stays accepted, whatever the next value says.
        """
        self._engine.many(
            "DELETE FROM held WHERE entity = ? AND ts = ? AND verdict != 'accepted'",
            [key for key, reading in changes.items() if reading is None],
        )
        self._engine.many(
            "INSERT INTO held (entity, ts, value, before, why, verdict) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value, before = excluded.before, why = excluded.why,"
            " verdict = excluded.verdict WHERE verdict != 'accepted'",
            [reading for reading in changes.values() if reading is not None],
        )

    def get(self, entity: int, ts: int) -> HeldReading | None:
        """Return the reading of an entity at a time, if it is or was held."""
        return next(iter(self.between(entity, ts, ts + 1)), None)

    def between(self, entity: int | None, start: int, end: int) -> list[HeldReading]:
        """List readings of an entity (None: of all), start <= ts < end, in order, whatever the verdict."""
        return self._select("(? IS NULL OR entity = ?) AND ts >= ? AND ts < ?", (entity, entity, start, end))

    def pending(self) -> list[HeldReading]:
        """All readings for which the next value decides."""
        return self._select("verdict = 'held'", ())

    def move(self, entity: int, move: Move) -> None:
        """Date the readings of an entity anew, also the one that waits, and what its counter knows.

        Within a transaction.
        """
        found = [
            one
            for one in self.between(entity, move.since, 2**62)
            if one.ts <= move.until or one.verdict == "held"
        ]
        self._engine.many(
            "DELETE FROM held WHERE entity = ? AND ts = ?", [(one.entity, one.ts) for one in found]
        )
        self._engine.many(
            f"INSERT OR REPLACE INTO held ({_HELD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 — all are ours
            [one._replace(ts=one.ts + move.by) for one in found],
        )
        memory = self.counter(entity)
        if memory is not None:
            counter = Counter(memory)
            if counter.heard >= move.since:
                counter.move(move.by)
                self.put_counters({entity: counter.memory})

    def release(self, entity: int, since: int | None = None) -> list[State]:
        """Take out the readings of an entity that wait, all later than `since`, and what its counter knew.

        Within a transaction. Returns them as states, which are not put.
        """
        condition = "entity = ? AND (verdict = 'held' OR (ts > ? AND verdict = 'left_out'))"
        values = (entity, 2**62 if since is None else since)
        found = self._select(condition, values)
        self._engine.run(f"DELETE FROM held WHERE {condition}", values)  # noqa: S608 — it is ours
        self._engine.run("DELETE FROM counter WHERE entity = ?", (entity,))
        return [State(one.ts, one.entity, one.value, None) for one in found]

    def _select(self, condition: str, values: tuple[Cell, ...]) -> list[HeldReading]:
        sql = f"SELECT {_HELD_COLUMNS} FROM held WHERE {condition} ORDER BY entity, ts"  # noqa: S608 — all are ours
        rows = self._engine.all(sql, values)
        return [HeldReading(*row) for row in rows]  # type: ignore[arg-type]  # as the columns are

    def judge(self, entity: int, ts: int, verdict: Judged) -> None:
        """Put a user's word in place of the verdict on a reading."""
        self._engine.run("UPDATE held SET verdict = ? WHERE entity = ? AND ts = ?", (verdict, entity, ts))

    def remove_before(self, before: int) -> int:
        """Forget the readings before a time; their states must be gone. Returns how many went."""
        return self._engine.run("DELETE FROM held WHERE ts < ?", (before,))

    def put_counters(self, memories: Mapping[int, Memory]) -> None:
        """Keep what counters know, by entity; within the transaction that stores their readings."""
        self._engine.many(
            "INSERT OR REPLACE INTO counter (entity, memory) VALUES (?, ?)",
            [(entity, msgspec.json.encode(memory).decode()) for entity, memory in memories.items()],
        )

    def counter(self, entity: int) -> Memory | None:
        """Return what a counter knew when it was stored last (None: nothing); feed it what came since."""
        found = self._engine.one("SELECT memory FROM counter WHERE entity = ?", (entity,))
        if found is None:
            return None
        try:
            return msgspec.json.decode(str(found[0]), type=Memory)
        except msgspec.DecodeError as error:
            # Another version wrote it: without it the counter learns its rate anew.
            log.warning("the counter of entity %s begins anew: %s", entity, error)
            return None
