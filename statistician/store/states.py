"""States on disk: ranges of time, the state in force at a time, hourly frames, removal of the old."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import msgspec

from statistician.arithmetic.periods import MINUTES_5, hour_of, period_of
from statistician.clock.entity_clock import Move
from statistician.records import EntityRecord, Event, Heard, Span, State
from statistician.store.engine import Cell, Engine

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

    def put(self, states: Iterable[State]) -> None:
        """Keep states; of several at one ms the last counts."""
        self._engine.many(
            "INSERT OR REPLACE INTO states (ts, entity, value, last_reset) VALUES (?, ?, ?, ?)", states
        )

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
        """When states of `entities` (None: all) were repeated, start <= ts < end, in order of time."""
        sql = "SELECT ts, value FROM states WHERE entity = ? AND ts >= ?"
        values: list[Cell] = [_REPEATS, start]
        if end is not None:
            # A row stands at the newest of its period.
            sql += " AND ts < ?"
            values.append(period_of(end - 1) + MINUTES_5)
        found = [
            Heard(_int(ts) - earlier, entity)
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
        """When entities whose values expire were heard again last before `at`, as far as it matters."""
        expiring = {record.id: record.remembers for record in records if record.remembers is not None}
        if not expiring:
            return {}
        since = at - max(expiring.values())
        return {one.entity: one.ts for one in self.repeats(since, at, expiring)}

    def first(self) -> int | None:
        """Time of the oldest state."""
        found = self._engine.one("SELECT min(ts) FROM states WHERE entity > 0")
        return None if found is None or found[0] is None else int(found[0])

    def last(self, before: int = 2**62) -> int | None:
        """Time of the newest state or repeat before a time."""
        found = self._engine.one("SELECT max(ts) FROM states WHERE ts < ?", (before,))
        return None if found is None or found[0] is None else int(found[0])

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
        """The newest state before `at` of each entity that has one; `late`: what awaits correction.

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
        """The newest state of each entity that has one with start <= ts < end."""
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
        return None if row is None else (_int(row[4]), _state(row))

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

    def remove_frames_after(self, start: int) -> None:
        """Remove the frames of all entities after a time."""
        self._engine.run("DELETE FROM frames WHERE start > ?", (start,))

    def frame_at(self, entity: int, start: int) -> State | None:
        """The frame an entity has at exactly `start`."""
        frame = self._frame(entity, start)
        return frame[1] if frame is not None and frame[0] == start else None

    def remove_before(self, before: int, limit: int) -> int:
        """Remove about `limit` of the oldest states before a time; returns how many went, 0 at the end."""
        first = self.first()
        if first is None or first >= before:
            return 0
        return self._engine.run("DELETE FROM states WHERE ts < ?", (self._end(first, before, limit),))

    def sweep(
        self, start: int, end: int, limit: int, entities: Collection[int], *, among: bool
    ) -> tuple[int, int | None]:
        """Look at about `limit` states from `start` on and remove those (not) `among` entities before `end`.

        Returns how many went and where to go on; None at the end.
        """
        until = self._end(start, end, limit)
        names = ", ".join(str(int(number)) for number in entities)
        removed = self._engine.run(
            "DELETE FROM states WHERE ts >= ? AND ts < ?"  # noqa: S608 — the names are whole numbers
            f" AND entity {'' if among else 'NOT '}IN ({names})",
            (start, until),
        )
        return removed, until if until < end else None

    def _end(self, start: int, end: int, limit: int) -> int:
        """Where a piece of about `limit` states ends; more than that may share one ms."""
        found = self._engine.one(
            "SELECT ts FROM states WHERE ts >= ? ORDER BY ts LIMIT 1 OFFSET ?", (start, limit)
        )
        return end if found is None else min(end, max(_int(found[0]), start + 1))

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


def _int(cell: Cell) -> int:
    if not isinstance(cell, int):
        raise TypeError(f"{cell!r} is no whole number")
    return cell
