"""Tells each publisher of a stream how far its readings are on disk, so that it may forget them."""

import logging

from bus.events import Publishes
from bus.health import Journal
from bus.outbox import REFUSED
from bus.topics import BadTopicError, Topic, Topics, Verb
from statistician.arithmetic.periods import HOUR
from statistician.records import StreamRecord
from statistician.store import Store
from statistician.streams import Owners, Place, Spot, Streams, envelope, service_of

log = logging.getLogger(__name__)

# How long health says what was wrong with a device's numbering, and of how many devices.
_TOLD_FOR = HOUR
_MOST_TOLD = 50


class Watermarks:
    """The streams that are known, on disk and on their retained topics. Times are ms.

    A reading's stream is believed only if an about of its device has named the stream's service.
    """

    def __init__(self, bus: Publishes, topics: Topics, store: Store, journal: Journal) -> None:
        self._bus = bus
        self._topics = topics
        self._store = store
        self._journal = journal
        self._streams = Streams(store.streams())
        self._owners = Owners(store.owners())
        # Devices whose numbering is wrong: when that was told.
        self._told: dict[str, int] = {}
        self._lost = self._jumps = self._restarts = 0

    def described(self, device: str, service: str | None) -> None:
        """Take which service an about names. Raises BadMessageError if too many are known."""
        if service is not None:
            self._owners.add(device, service)
            self._solved(device)

    def place(self, device: str, spot: Spot, now: int, *, of_service: bool = False) -> Place:
        """Where a reading stands in its stream; NEXT if the stream is not the device's.

        `of_service`: it came on a topic where the service of the stream alone may write.
        """
        stream = spot.stream
        if not of_service and not self._owners.owns(device, stream):
            self._journal.count("streams_refused")
            self._tell(device, _not_its_own(device, stream), now)
            return Place.NEXT
        if stream not in self._streams:
            try:
                self._topics.watermark(stream)
            except BadTopicError:
                # A stream whose watermark has no topic is none.
                return Place.NEXT
        mark, jumps = self._streams.mark(stream), self._streams.jumps
        place = self._streams.place(spot, now)
        if place is Place.DUPLICATE:
            self._journal.count("duplicates")
        elif place is Place.GAP:
            self._journal.count("gaps")
        if self._streams.jumps != jumps:
            self._tell(device, _impossible(device, spot, mark), now)
        return place

    def pass_over(self, topic: Topic, payload: bytes, now: int) -> None:
        """Fill the place of a reading that can never be read: else its stream would wait for ever."""
        spot = envelope(payload)
        if spot is None or topic.verb not in (Verb.STATE, Verb.BACKLOG):
            return
        again = topic.verb is Verb.BACKLOG
        if not again or (topic.name, topic.part) == (service_of(spot.stream), spot.stream):
            self.place(topic.name, spot, now, of_service=again)

    def _tell(self, device: str, text: str, now: int) -> None:
        if device not in self._told:
            if len(self._told) >= _MOST_TOLD:
                # A crowd of enemies must fill neither health nor log: the counters go on.
                return
            log.warning("%s", text)
            self._journal.problem(f"stream.{device}", text, now)
        self._told[device] = now

    def _solved(self, device: str) -> None:
        if self._told.pop(device, None) is not None:
            self._journal.solved(f"stream.{device}")

    def moved(self) -> dict[str, StreamRecord]:
        """What the next commit must put on disk."""
        return self._streams.moved()

    def owners(self) -> list[tuple[str, str]]:
        """Devices and services that the next commit must put on disk."""
        return list(self._owners.new)

    def committed(self, now: int) -> None:
        """Say the marks that moved, now that they are on disk. Raises StoreError."""
        self._owners.new.clear()
        said = self._streams.committed()
        self._say(said)
        # One that moved and has a gap all the same; again, it asks for what follows.
        self._say({stream: said[stream] for stream in self._streams.gaps})
        self._count()
        for device in [one for one, told in self._told.items() if abs(now - told) >= _TOLD_FOR]:
            self._solved(device)
        if self._streams.crowded:
            self._forget(now)

    def _count(self) -> None:
        streams = self._streams
        self._journal.count("readings_lost", streams.lost - self._lost)
        self._journal.count("jumps_refused", streams.jumps - self._jumps)
        self._journal.count("streams_restarted", streams.restarts - self._restarts)
        self._lost, self._jumps, self._restarts = streams.lost, streams.jumps, streams.restarts

    def connected(self, now: int) -> None:
        """Say every mark again; a stream silent for 30 days is forgotten. Raises StoreError."""
        self._forget(now)
        self._say({record.stream: record.seq for record in self._streams.known(now)})

    def _say(self, marks: dict[str, int | None]) -> None:
        for stream, seq in marks.items():
            payload = REFUSED if seq is None else str(seq).encode()
            self._bus.publish(self._topics.watermark(stream), payload, retain=True)

    def _forget(self, now: int) -> None:
        if gone := self._streams.forget_old(now):
            self._store.remove_streams(gone)
            for stream in gone:
                self._bus.publish(self._topics.watermark(stream), b"", retain=True)


def _not_its_own(device: str, stream: str) -> str:
    return (
        f"{device} numbers its readings in the stream {stream[:80]!r}, but its about does not say "
        f'"service": "{service_of(stream)[:64]}": they are stored in the order of their arrival. '
        "Leave out stream, seq and after, or let the about name the service that owns the device"
    )


def _impossible(device: str, spot: Spot, mark: int) -> str:
    after = "" if spot.after is None else f" after {spot.after}"
    return (
        f"{device}: seq {spot.seq}{after} of the stream {spot.stream} cannot be, it was at {mark}: "
        "the reading is stored, but its place is not believed. Let the sender begin a new stream at 1"
    )
