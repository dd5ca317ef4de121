"""Tells each publisher of a stream how far its readings are on disk, so that it may forget them."""

from collections.abc import Iterable

from bus.events import Publishes
from bus.topics import BadTopicError, Topics
from statistician.records import StreamRecord
from statistician.store import Store
from statistician.streams import Place, Streams


class Watermarks:
    """The streams that are known, on disk and on their retained topics. Times are ms."""

    def __init__(self, bus: Publishes, topics: Topics, store: Store) -> None:
        self._bus = bus
        self._topics = topics
        self._store = store
        self._streams = Streams(store.streams())

    @property
    def lost(self) -> int:
        """Readings that never came and never will."""
        return self._streams.lost

    def place(self, stream: str, seq: int, after: int | None, now: int) -> Place:
        """Where a reading stands in its stream."""
        if stream not in self._streams:
            try:
                self._topics.watermark(stream)
            except BadTopicError:
                # A stream whose watermark has no topic is none.
                return Place.NEXT
        return self._streams.place(stream, seq, after, now)

    def moved(self) -> dict[str, StreamRecord]:
        """What the next commit must put on disk."""
        return self._streams.moved()

    def committed(self, now: int) -> None:
        """Say the marks that moved, now that they are on disk. Raises StoreError."""
        self._say(self._streams.committed())
        if self._streams.crowded:
            self._forget(now)

    def connected(self, now: int) -> None:
        """Say every mark again; a stream silent for 30 days is forgotten. Raises StoreError."""
        self._forget(now)
        self._say(self._streams.known(now))

    def _say(self, records: Iterable[StreamRecord]) -> None:
        for record in records:
            self._bus.publish(self._topics.watermark(record.stream), str(record.seq).encode(), retain=True)

    def _forget(self, now: int) -> None:
        if gone := self._streams.forget_old(now):
            self._store.remove_streams(gone)
            for stream in gone:
                self._bus.publish(self._topics.watermark(stream), b"", retain=True)
