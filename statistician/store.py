"""The database as the service sees it: one commit for a batch, and everything a restart needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from statistician.records import Batch, DeadLetter, EntityRecord, StreamRecord
from statistician.store_engine import Engine, open_or_set_aside
from statistician.store_models import Dead, Entity, Stream
from statistician.store_states import States
from statistician.store_statistics import Statistics

DEAD_LETTERS_KEPT = 1000
_LARGEST_DEAD_LETTER = 4096


class Store:
    """States, statistics and streams on disk. Every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._engine, self.damage = open_or_set_aside(path)
        self.states = States(self._engine)
        self.statistics = Statistics(self._engine)

    @property
    def engine(self) -> Engine:
        """The open database, for tests and tools."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is written is on disk when the block ends."""
        with self._engine.transaction():
            yield

    def commit(self, batch: Batch) -> None:
        """Put a batch on disk, whole."""
        with self._engine.transaction():
            if batch.entities:
                self._put_entities(batch)
            self.states.put(batch.states)
            self._engine.many(
                "INSERT OR REPLACE INTO stream VALUES (?, ?, ?)",
                [(s.stream, s.seq, s.seen) for s in batch.streams.values()],
            )
            if batch.dirty:
                self.statistics.put_dirty(batch.dirty)
            if batch.dead:
                self._put_dead(batch.dead)

    def _put_entities(self, batch: Batch) -> None:
        self._engine.many(
            "INSERT OR REPLACE INTO entity"
            " (id, device, entity, first, name, unit, device_class, state_class)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (e.id, e.device, e.entity, e.first, e.name, e.unit, e.device_class, e.state_class)
                for e in batch.entities.values()
            ],
        )

    def _put_dead(self, letters: list[DeadLetter]) -> None:
        self._engine.many(
            "INSERT INTO dead_letter (ts, topic, payload, error) VALUES (?, ?, ?, ?)",
            [(d.ts, d.topic, d.payload[:_LARGEST_DEAD_LETTER], d.error) for d in letters],
        )
        self._engine.run(
            "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (DEAD_LETTERS_KEPT,)
        )

    def entities(self) -> list[EntityRecord]:
        """All entities ever seen."""
        with self._engine.reading():
            return [
                EntityRecord(
                    id=e.id,
                    device=e.device,
                    entity=e.entity,
                    first=e.first,
                    name=e.name,
                    unit=e.unit,
                    device_class=e.device_class,
                    state_class=e.state_class,
                )
                for e in Entity.select().execute(self._engine.database)
            ]

    def streams(self) -> list[StreamRecord]:
        """All streams, how far each is, and when it was heard."""
        with self._engine.reading():
            found = Stream.select().execute(self._engine.database)
            return [StreamRecord(s.stream, s.seq, s.seen) for s in found]

    def remove_stream(self, stream: str) -> None:
        """Forget a stream that is long silent."""
        self._engine.run("DELETE FROM stream WHERE stream = ?", (stream,))

    def dead_letters(self) -> list[DeadLetter]:
        """The messages that could not be used, oldest first."""
        with self._engine.reading():
            found = Dead.select().order_by(Dead.id).execute(self._engine.database)
            return [DeadLetter(d.ts, d.topic, bytes(d.payload), d.error) for d in found]

    def close(self) -> None:
        """Close the file."""
        self._engine.close()
