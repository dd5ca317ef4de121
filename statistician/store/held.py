"""Readings of counters that are held or were left out, on disk, and what is known of each counter."""

import logging
from collections.abc import Mapping

import msgspec

from statistician.arithmetic.counters import Counter, HeldReading, Judged, Memory
from statistician.clock.entity_clock import Move
from statistician.records import State
from statistician.store.engine import Cell, Engine

log = logging.getLogger(__name__)

_COLUMNS = "entity, ts, value, before, why, verdict"


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
        """The reading of an entity at a time, if it is or was held."""
        return next(iter(self.between(entity, ts, ts + 1)), None)

    def between(self, entity: int | None, start: int, end: int) -> list[HeldReading]:
        """Readings of an entity (None: of all) with start <= ts < end, in order, whatever the verdict."""
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
            f"INSERT OR REPLACE INTO held ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 — all are ours
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
        sql = f"SELECT {_COLUMNS} FROM held WHERE {condition} ORDER BY entity, ts"  # noqa: S608 — all are ours
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
        """What a counter knew when it was stored last; feed it what came since. None: nothing is known."""
        found = self._engine.one("SELECT memory FROM counter WHERE entity = ?", (entity,))
        if found is None:
            return None
        try:
            return msgspec.json.decode(str(found[0]), type=Memory)
        except msgspec.DecodeError as error:
            # Another version wrote it: without it the counter learns its rate anew.
            log.warning("the counter of entity %s begins anew: %s", entity, error)
            return None
