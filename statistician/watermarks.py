"""Tells each publisher of a stream how far its readings are on disk, so that it may forget them.

Until a new version is found healthy no collector may forget a reading, for a copy of the
database may be put back that does not have it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from bus.clock import Clock
from bus.events import Acknowledges, Message, Sent
from bus.health import Journal
from bus.messages import BadMessageError, Reading, to_iso
from bus.outbox import REFUSED
from bus.topics import BadTopicError, Topic, Topics, Verb, check_id
from statistician.arithmetic import HOUR
from statistician.clock import TOLERANCE
from statistician.entities import Part, Shared
from statistician.records import StreamRecord
from statistician.streams import Owners, Spot, StreamPlace, Streams, envelope, service_of

log = logging.getLogger(__name__)

# How long health says what was wrong with a device's numbering, and of how many devices.
_TOLD_FOR = HOUR
_MOST_TOLD = 50


class Watermarks(Part):
    """The streams that are known, on disk and on their retained topics. Times are ms.

    A reading's stream is believed only if an about of its device has named the stream's service.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._streams = Streams(shared.store.streams())
        self._owners = Owners(shared.store.owners())
        # Devices whose numbering is wrong: when that was told.
        self._told: dict[str, int] = {}
        self._lost = self._jumps = self._restarts = 0

    def described(self, device: str, service: str | None) -> None:
        """Take which service an about names. Raises BadMessageError if too many are known."""
        if service is not None:
            self._owners.add(device, service)
            self._solved(device)

    def place(self, device: str, spot: Spot, now: int, *, of_service: bool = False) -> StreamPlace:
        """Say where a reading stands in its stream; NEXT if the stream is not the device's.

        `of_service`: it came on a topic where the service of the stream alone may write.
        """
        stream = spot.stream
        if not of_service and not self._owners.owns(device, stream):
            self._journal.count("refused_streams")
            self._tell(device, _not_its_own(device, stream), now)
            return StreamPlace.NEXT
        if stream not in self._streams:
            try:
                self._topics.watermark(stream)
            except BadTopicError:
                # A stream whose watermark has no topic is none.
                return StreamPlace.NEXT
        mark, jumps = self._streams.mark(stream), self._streams.jumps
        place = self._streams.place(spot, now)
        if place is StreamPlace.DUPLICATE:
            self._journal.count("repeated_readings")
        elif place is StreamPlace.GAP:
            self._journal.count("stream_gaps")
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
        """Return what the next commit must put on disk."""
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
        self._journal.count("lost_readings", streams.lost - self._lost)
        self._journal.count("refused_jumps", streams.jumps - self._jumps)
        self._journal.count("restarted_streams", streams.restarts - self._restarts)
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


HOLD_FILE = "hold"
"""In the runtime folder: the second of CLOCK_BOOTTIME until which watermarks wait."""


class HeldWatermarks:
    """A connection on which watermarks wait while `path` says so; all else passes.

    Health says since when and how long. The newest watermark of each stream goes out with whatever is
    published or acknowledged next.
    """

    def __init__(
        self,
        bus: Acknowledges,
        topics: Topics,
        path: Path,
        *,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._bus = bus
        self._prefix = topics.watermark("x").removesuffix("x")
        self._path = path
        self._clock = clock
        self._journal = journal
        # Until when they wait, as health says it.
        self._told: float | None = None
        self._waiting: dict[str, bytes] = {}

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Publish now, but for a watermark that must wait."""
        if not topic.startswith(self._prefix):
            self._release()
            return self._bus.publish(topic, payload, qos=qos, retain=retain, correlation=correlation)
        if self._held():
            self._waiting[topic] = payload
            return Sent.YES
        self._waiting.pop(topic, None)
        self._release()
        self._done()
        return self._bus.publish(topic, payload, qos=qos, retain=retain)

    def acknowledge(self, *messages: Message) -> None:
        """Acknowledge at once: what the broker forgets the collectors still have."""
        self._bus.acknowledge(*messages)
        self._release()

    def _release(self) -> None:
        if not self._waiting or self._held():
            return
        self._done()
        log.info("the update is done: %d watermarks that waited are published", len(self._waiting))
        waiting, self._waiting = self._waiting, {}
        for topic, payload in waiting.items():
            self._bus.publish(topic, payload, retain=True)

    def _tell(self, until: float) -> None:
        if until == self._told:
            return
        now, self._told = self._clock.wall(), until
        ends = to_iso(now + int(1000 * (until - self._clock.monotonic())))
        text = (
            f"an update is on trial since {to_iso(now)}: collectors keep their readings until it is found "
            f"healthy or goes back, at the latest until {ends}. Nothing is lost: wait, then boondock status"
        )
        self._journal.problem("hold", text, now)

    def _done(self) -> None:
        self._told = None
        self._journal.solved("hold")

    def _held(self) -> bool:
        try:
            until = float(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            log.warning("%s cannot be used, watermarks do not wait: %s", self._path, error)
            return False
        held = self._clock.monotonic() < until
        if held:
            self._tell(until)
        return held


# Of an outbox that is drained meanwhile more are rarely ahead.
_MOST = 10_000

Dated = Mapping[int, int]


def device_of(topic: Topic, reading: Reading) -> str:
    """Take the device out of a reading on a backlog topic.

    Raises BadMessageError if it names none, or if its stream is not that of the topic and its service.
    """
    device = reading.values.pop("device", None)
    if not isinstance(device, str):
        raise BadMessageError("device: allowed is the id of the device that was read")
    if reading.seq is None or reading.stream != topic.part or service_of(topic.part or "") != topic.name:
        raise BadMessageError(
            f"stream {str(reading.stream)[:80]!r}, seq {reading.seq}: allowed on a backlog topic is its own"
            f" stream, which begins with {topic.name}-, and a seq"
        )
    return check_id(device, "device")


class Provisional:
    """Times of readings that are stored ahead of a missing one: ms by entity, by stream and seq."""

    def __init__(self) -> None:
        self._dated: dict[tuple[str | None, int | None], Dated] = {}
        # Streams with a gap whose live readings may be of a wrong time.
        self._doubted: set[str | None] = set()

    def __bool__(self) -> bool:
        return bool(self._dated)

    def doubts(self, reading: Reading, *, ahead: bool, late_by: int) -> bool:
        """Take a live reading that came so many ms late; say whether it is to wait for its turn.

        Ahead of it only what is surely of now counts, and none of its stream after a clock was set meanwhile.
        """
        if not ahead:
            self._doubted.discard(reading.stream)
        elif not 0 <= late_by < TOLERANCE:
            self._doubted.add(reading.stream)
        return ahead and reading.stream in self._doubted

    def note(self, reading: Reading, dated: Dated) -> None:
        """Remember when the values of a reading count before its turn; of too many forget the oldest."""
        self._dated[reading.stream, reading.seq] = dated
        if len(self._dated) > _MOST:
            del self._dated[next(iter(self._dated))]

    def differs(self, reading: Reading, dated: Dated) -> bool:
        """Take a reading whose turn has come; say whether it is stored at another time than it counts now."""
        place = reading.stream, reading.seq
        if self._dated and place in self._dated:
            if self._dated[place] != dated:
                return True
            del self._dated[place]
        return False

    def take_all(self) -> list[tuple[int, int]]:
        """Forget all; return times and entities."""
        found = [(ts, number) for dated in self._dated.values() for number, ts in dated.items()]
        self._dated.clear()
        return found
