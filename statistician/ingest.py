"""Messages become a batch of states; after its commit they are acknowledged and watermarks are published."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from bus import about as about_message
from bus.clock import BUILD_DATE_MS, Clock
from bus.events import Message, Publishes
from bus.health import Journal
from bus.messages import BadMessageError, Reading, decode_reading, to_iso
from bus.topics import Topic, Topics, Verb, check_id
from statistician.compile import Compiler
from statistician.corrections import merge
from statistician.derived import Derived
from statistician.live import Entities, LiveEntity
from statistician.periods import DAY
from statistician.records import Batch, DeadLetter, Span, State
from statistician.store import Store
from statistician.streams import Place, envelope, spot_of
from statistician.undated import Arrivals, Undated, WaitingRoom
from statistician.watermarks import Watermarks

log = logging.getLogger(__name__)

# So many messages are committed at once even before the interval is over.
BATCH = 250
# A broken or hostile publisher must not fill memory and card.
MOST_ENTITIES = 10_000
MOST_WAITING = 5_000
_TOPICS_REMEMBERED = 4_096


class Bus(Publishes, Protocol):
    """The part of a connection that the statistician needs."""

    def acknowledge(self, message: Message) -> None:
        """Tell the broker a message is done with."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, ms: no reading is older than `earliest`; what is older than `begin` is only carried in."""

    earliest: int = BUILD_DATE_MS
    begin: int = 0


class Ingest:
    """Takes messages, keeps what the next commit writes. `dirty` gathers what came late."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        store: Store,
        entities: Entities,
        compiler: Compiler,
        *,
        derived: Derived,
        clock: Clock,
        journal: Journal,
        kept_since: Callable[[int, int], int],
        limits: Limits,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._store = store
        self._entities = entities
        self._compiler = compiler
        self._derived = derived
        self._clock = clock
        self._journal = journal
        self._kept_since = kept_since
        self._limits = limits
        self._watermarks = Watermarks(bus, topics, store, journal)
        self._batch = Batch()
        self._messages: list[Message] = []
        self._parsed: dict[str, Topic] = {}
        self._connected_at = clock.wall()
        # Counted here, told at each commit.
        self._readings = self._equal = 0
        self._undated = WaitingRoom()
        self._arrivals = Arrivals()
        self.dirty: dict[int, Span] = store.statistics.dirty()
        # Monotonic second of the oldest message that waits for a commit, and of the newest late state.
        self.since: float | None = None
        self.late_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Messages that are not committed yet."""
        return len(self._messages)

    def take(self, message: Message) -> None:
        """Take one message; whatever is wrong with it, it will be acknowledged."""
        if len(self._messages) >= MOST_WAITING:
            # Unacknowledged, so the broker or the collector's outbox still has it.
            self._journal.count("messages_refused")
            return
        if self.since is None:
            self.since = self._clock.monotonic()
        self._messages.append(message)
        try:
            topic = self._parse(message.topic)
            if topic.name in self._derived:
                # Our own comes back, and nobody else may speak for the device.
                return
            if topic.verb is Verb.ABOUT:
                gone = about_message.About(name=topic.name)
                self._describe(topic.name, about_message.decode(message.payload) if message.payload else gone)
            elif topic.verb is Verb.STATE and topic.part is None and message.payload:
                self._take_reading(topic.name, message)
        except (ValueError, RecursionError) as error:
            self._set_aside(message, str(error))

    def _parse(self, text: str) -> Topic:
        topic = self._parsed.get(text)
        if topic is None:
            topic = self._topics.parse(text)
            if len(self._parsed) >= _TOPICS_REMEMBERED:
                self._parsed.clear()
            self._parsed[text] = topic
        return topic

    def _describe(self, device: str, about: about_message.About) -> None:
        self._watermarks.described(device, about.service)
        for key in about.entities:
            check_id(key, "entity")
        if len(self._entities) + len(about.entities) > MOST_ENTITIES:
            raise BadMessageError(f"more than {MOST_ENTITIES} entities")
        for record in self._entities.describe(device, about, self._clock.wall()):
            self._batch.entities[record.id] = record

    def _set_aside(self, message: Message, error: str) -> None:
        now = self._clock.wall()
        self._journal.count("dead_letters")
        # Only the first of a row: a broken or hostile publisher must not fill the log.
        level = logging.DEBUG if "messages" in self._journal.problems else logging.WARNING
        log.log(level, "set aside: %s: %s", message.topic, error)
        self._journal.problem("messages", f"{message.topic}: {error}"[:300], now)
        self._batch.dead.append(DeadLetter(now, message.topic, message.payload, error))
        topic = self._parsed.get(message.topic)
        spot = envelope(message.payload) if topic is not None and topic.verb is Verb.STATE else None
        if topic is not None and spot is not None:
            # Else the stream would wait for ever for what can never be read.
            self._watermarks.place(topic.name, spot, now)

    def _take_reading(self, device: str, message: Message) -> None:
        reading = decode_reading(message.payload)
        now = self._clock.wall()
        if reading.ts is None and self._clock.quality() == "unset":
            self._journal.count("readings_undated")
            if self._undated.add(Undated(device, message.payload, self._clock.monotonic())):
                self._journal.count("undated_lost")
            return
        # What the broker retains of a stranger has no time: it is no news beside what came since the connect.
        since = self._connected_at if message.retain and reading.ts is None else None
        ts = self._arrivals.date(device, now) if reading.ts is None else reading.ts
        self._take_values(device, reading, ts, now, since)

    def _date_the_undated(self, now: int) -> None:
        for one, came in self._undated.leave(now, self._clock.monotonic()):
            ts = self._arrivals.date(one.device, came)
            try:
                self._take_values(one.device, decode_reading(one.payload), ts, now, None)
            except BadMessageError as error:
                self._batch.dead.append(DeadLetter(now, one.device, one.payload, str(error)))

    def _take_values(self, device: str, reading: Reading, ts: int, now: int, since: int | None) -> None:
        self._check_time(ts, now)
        self._readings += 1
        if reading.clock != "ok":
            self._journal.count(f"readings_{reading.clock}")
        place = Place.NEXT
        spot = spot_of(reading)
        if spot is not None:
            place = self._watermarks.place(device, spot, now)
            if place is Place.DUPLICATE:
                self._journal.count("duplicates")
                return
            if place is Place.GAP:
                self._journal.count("gaps")
        known = self._entities.of(device)
        for key, value in reading.values.items():
            live = known.get(key) or self._add(device, key, ts)
            if since is not None and live.newest is not None and live.newest.ts >= since:
                continue
            self._take_value(live, State(ts, live.record.id, value, reading.last_reset.get(key)), now)
        if since is None and place is Place.NEXT:
            # What stands behind a gap comes again once the gap is filled: energy needs the order.
            for live, state in self._derived.feed(device, reading.values, ts, self._batch.entities):
                self._keep(live, state, now)

    def _take_value(self, live: LiveEntity, state: State, now: int) -> None:
        if not live.record.enabled:
            self._journal.count("states_disabled")
            return
        states = live.news(state)
        if not states:
            self._equal += 1
            self._batch.repeats.append(state)
        for one in states:
            self._keep(live, one, now)

    def _keep(self, live: LiveEntity, state: State, now: int) -> None:
        if state.ts < live.record.first:
            # No search for what is in force may stop short of it.
            live.record = replace(live.record, first=state.ts)
            self._batch.entities[live.record.id] = live.record
        self._batch.states.append(state)
        span = self._compiler.take(live, state)
        if span is not None:
            self._mark_late(live, span, now)

    def _check_time(self, ts: int, now: int) -> None:
        if ts < self._limits.earliest:
            raise BadMessageError(f"ts: {to_iso(ts)} is before this software was made")
        if ts > now + DAY and self._clock.quality() != "unset":
            raise BadMessageError(f"ts: {to_iso(ts)} is more than a day ahead")

    def _add(self, device: str, key: str, ts: int) -> LiveEntity:
        if len(self._entities) >= MOST_ENTITIES:
            raise BadMessageError(f"more than {MOST_ENTITIES} entities")
        live = self._entities.add(device, key, ts)
        self._batch.entities[live.record.id] = live.record
        return live

    def _mark_late(self, live: LiveEntity, span: Span, now: int) -> None:
        self._journal.count("late")
        begin = self._limits.begin
        span = Span(max(span.since, begin), max(span.until, begin))
        if span.since < self._kept_since(live.record.id, now):
            # The rows it belongs to may be gone already.
            return
        self.late_at = self._clock.monotonic()
        merge(self.dirty, [(live.record.id, span)])
        self._batch.dirty[live.record.id] = span

    def commit(self, walking: dict[int, Span]) -> None:
        """COMMIT, acknowledge, then watermarks; `walking` is being corrected. StoreError loses nothing."""
        if self._undated and self._clock.quality() != "unset":
            self._date_the_undated(self._clock.wall())
        # What is still undated asks again after the next interval.
        self.since = self._clock.monotonic() if self._undated else self.since
        if not self._messages and not self._batch.states:
            return
        batch = self._batch
        batch.streams = self._watermarks.moved()
        batch.owners = self._watermarks.owners()
        # A row compiled meanwhile may have settled more of it.
        batch.entities = {number: self._entities[number].record for number in batch.entities}
        # The mark on disk is one for all that is wrong with an entity.
        for marks in (self.dirty, walking):
            merge(batch.dirty, [(number, marks[number]) for number in batch.dirty if number in marks])
        self._store.commit(batch)
        messages, self._messages = self._messages, []
        self._batch = Batch()
        if not self._undated:
            self.since = None
        for message in messages:
            self._bus.acknowledge(message)
        self._count(batch)
        self._derived.committed()
        self._watermarks.committed(self._clock.wall())

    def _count(self, batch: Batch) -> None:
        self._journal.count("states_stored", len(batch.states))
        self._journal.count("readings", self._readings)
        self._journal.count("states_equal", self._equal)
        self._readings = self._equal = 0
        if not batch.dead:
            self._journal.solved("messages")

    def connected(self) -> None:
        """Publish every watermark again. Raises StoreError."""
        self._connected_at = self._clock.wall()
        self._watermarks.connected(self._connected_at)
