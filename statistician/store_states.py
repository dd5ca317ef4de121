"""States on disk: ranges of time, the state in force at a time, hourly frames, removal of the old."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from statistician.periods import hour_of
from statistician.records import EntityRecord, Span, State
from statistician.store_engine import Cell, Engine

# SQLite takes at least 999 values in a statement.
_MOST_NAMED = 900
_COLUMNS = "ts, entity, value, last_reset"
# No entity has this number. Under it stand the readings that only repeated what was stored: in the same
# page as the states of their commit they cost a few bytes each, in a table of their own a page a commit.
_REPEATS = 0
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

    def put_repeats(self, repeats: Collection[State]) -> None:
        """Keep when states were repeated, one row for a commit; its time is that of the newest."""
        newest = max(state.ts for state in repeats)
        row = self._engine.one("SELECT value FROM states WHERE ts = ? AND entity = ?", (newest, _REPEATS))
        known = _decode(row[0]) if row is not None and isinstance(row[0], bytes) else []
        packed = _encode(known + [(state.entity, newest - state.ts) for state in repeats])
        self._engine.run(
            "INSERT OR REPLACE INTO states (ts, entity, value) VALUES (?, ?, ?)", (newest, _REPEATS, packed)
        )

    def repeats(self, since: int) -> dict[int, list[int]]:
        """When states of each entity were repeated, as far as committed with one from `since` on."""
        found: dict[int, list[int]] = {}
        for ts, packed in self._engine.all(
            "SELECT ts, value FROM states WHERE entity = ? AND ts >= ?", (_REPEATS, since)
        ):
            if isinstance(packed, bytes):
                for entity, earlier in _decode(packed):
                    found.setdefault(entity, []).append(_int(ts) - earlier)
        return found

    def first(self) -> int | None:
        """Time of the oldest state."""
        found = self._engine.one("SELECT min(ts) FROM states WHERE entity > 0")
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


def by_entity(states: Iterable[State]) -> dict[int, list[State]]:
    """States grouped by entity, order kept."""
    groups: dict[int, list[State]] = {}
    for state in states:
        groups.setdefault(state.entity, []).append(state)
    return groups


def _state(row: tuple[Cell, ...]) -> State:
    return State(*row[:4])  # type: ignore[arg-type]  # the table's columns are what State says


def _int(cell: Cell) -> int:
    if not isinstance(cell, int):
        raise TypeError(f"{cell!r} is no whole number")
    return cell
