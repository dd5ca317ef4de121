"""Messages become a batch of states; after its commit they are acknowledged and watermarks are published."""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from bus import about as about_message
from bus.clock import BUILD_DATE_MS
from bus.events import Message
from bus.messages import OFFLINE, BadMessageError, Reading, decode_reading, to_iso
from bus.topics import BadTopicError, Verb, check_id
from statistician.arithmetic.live import LiveEntity
from statistician.clock import TOLERANCE, Move, dated
from statistician.clock.dating import Dating, HouseTime, ReadingTimes
from statistician.clock.redating import Estimated
from statistician.compile import Compiler
from statistician.corrections import Corrector, merge
from statistician.entities import CounterFilter, EntityLimits, Part, Shared
from statistician.publish import Derived
from statistician.records import Batch, DeadLetter, Event, Heard, Span, State, StoreError
from statistician.streams import StreamPlace, spot_of
from statistician.watermarks import Provisional, Watermarks, device_of

log = logging.getLogger(__name__)

# So many messages are committed at once even before the interval is over.
BATCH = 250
MOST_WAITING = 5_000
# Readings without the time that are kept: some days of a small van. Beyond them the oldest give way.
MOST_UNDATED = 200_000
_TOPICS_REMEMBERED = 4_096
_FOR_EVER = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, ms: no reading is older than `earliest`; what is older than `begin` is only carried in."""

    earliest: int = BUILD_DATE_MS
    begin: int = 0


class Ingest(Part):
    """Takes messages, keeps what the next commit writes."""

    def __init__(
        self,
        shared: Shared,
        time: HouseTime,
        compiler: Compiler,
        corrector: Corrector,
        *,
        derived: Derived,
        kept_since: Callable[[int, int], int],
        limits: Limits,
        estimated: Estimated,
        house: Collection[str],
        ask: Callable[[str], None],
    ) -> None:
        super().__init__(shared)
        self._compiler = compiler
        self._derived = derived
        self._kept_since = kept_since
        self._limits = limits
        self._watermarks = Watermarks(shared)
        self._batch = Batch()
        self._messages: list[Message] = []
        self._parse = lru_cache(_TOPICS_REMEMBERED)(shared.topics.parse)
        self._connected_at = shared.clock.wall()
        self._entity_limits = EntityLimits(shared, house, ask)
        self._readings = self._equal = 0
        # Dates stored readings anew.
        self.redate: Callable[[Mapping[int, Move]], None] = lambda _: None
        self._dating = Dating(
            shared,
            flush=self.flush,
            redate=lambda moves: self.redate(moves),  # noqa: PLW0108 — it is set later
            pending=lambda: self._batch,
            estimated=estimated,
        )
        self._estimated = estimated
        self._time = time
        # Until when nobody listened, ms.
        self.back_at = 0
        self._counter_filter = CounterFilter(shared)
        self.times = ReadingTimes(time, limits.earliest, waiting=bool(shared.store.undated()))
        self._provisional = Provisional()
        self._corrector = corrector
        # Monotonic second of the oldest message that waits for a commit.
        self.since: float | None = None

    @property
    def waiting(self) -> int:
        """Messages that are not committed yet."""
        return len(self._messages)

    def take(self, message: Message) -> None:
        """Take one message; whatever is wrong with it, it will be acknowledged."""
        if len(self._messages) >= MOST_WAITING:
            # Unacknowledged, so the broker or the collector's outbox still has it.
            self._journal.count("refused_messages")
            return
        if self.since is None:
            self.since = self._clock.monotonic()
        try:
            topic = self._parse(message.topic)
            # Of what is derived our own comes back, and nobody else may speak for it.
            if topic.verb is Verb.BACKLOG:
                reading = decode_reading(message.payload)
                if (device := device_of(topic, reading)) not in self._derived:
                    self._take_reading(device, reading, message, again=True)
            elif topic.name in self._derived:
                return
            elif topic.verb is Verb.ABOUT:
                gone = about_message.About(name=topic.name)
                self._describe(topic.name, about_message.decode(message.payload) if message.payload else gone)
            elif topic.verb is Verb.STATE and topic.part is None and message.payload:
                self._take_reading(topic.name, decode_reading(message.payload), message)
            elif topic.verb is Verb.AVAILABILITY and message.payload == OFFLINE:
                self._end(topic.name)
        except (ValueError, RecursionError) as error:
            self._set_aside(message, str(error))
        finally:
            # Last: what is put on disk meanwhile must not acknowledge it.
            self._messages.append(message)

    def _describe(self, device: str, about: about_message.About) -> None:
        self._watermarks.described(device, about.service)
        self._derived.source_described(device, about)
        for key in about.entities:
            check_id(key, "entity")
        for record in self._entity_limits.describe(device, about, self._clock.wall()):
            self._batch.entities[record.id] = record
            live, opened = self._entities[record.id], self._compiler.open
            since = record.units[-1].since if record.units else 0
            if opened is not None and 0 < since < min(opened, live.heard + 1):
                # A reading in the new unit came before it was named, and its row is made.
                self._mark_late(live, Span(since, live.heard), self._clock.wall())

    def _end(self, device: str) -> None:
        """Note that a device is gone: nothing of it is known any more."""
        now = self._clock.wall()
        for live in self._entities.of(device).values():
            # What expires does so by itself, and the outbox of its collector may fill the time.
            known = live.newest is not None and live.newest.value is not None
            if known and live.record.expire is None and self._clock.quality() != "unset":
                self._take_value(live, State(max(now, live.heard + 1), live.record.id, None, None), now)

    def set_aside(self, message: Message, why: str) -> None:
        """Keep a message whole that must not be handled, or was handled in part only."""
        self.since = self._clock.monotonic() if self.since is None else self.since
        if message not in self._messages[-1:]:
            self._messages.append(message)
        self._set_aside(message, why, whole=True)

    def _set_aside(self, message: Message, error: str, *, whole: bool = False) -> None:
        now = self._clock.wall()
        self._journal.count("dead_letters")
        # Only the first of a row: a broken or hostile publisher must not fill the log.
        level = logging.DEBUG if "messages" in self._journal.problems else logging.WARNING
        log.log(level, "set aside: %s: %s", message.topic, error)
        self._journal.problem("messages", f"{message.topic}: {error}"[:300], now)
        self._batch.dead.append(DeadLetter(now, message.topic, message.payload, error, whole))
        with suppress(BadTopicError):
            self._watermarks.pass_over(self._parse(message.topic), message.payload, now)

    def _take_reading(self, device: str, reading: Reading, message: Message, *, again: bool = False) -> None:
        now = self._clock.wall()
        self._counter_filter.note_flaws(device, reading, now)
        if self.times.must_wait(reading):
            self._let_wait(device, reading, now, again=again)
            return
        if self.times.waiting and not self.times.unknown():
            try:
                # They came before it.
                self._date_the_undated(now)
            except StoreError as error:
                log.warning("readings go on waiting for their time: %s", error)
                self._let_wait(device, reading, now, again=again)
                return
        # What the broker retains of a stranger has no time: it is no news beside what came since the connect.
        since = self._connected_at if message.retain and reading.ts is None else None
        self._take_values(device, reading, self.times.of(device, reading, now), now, since, again=again)

    def _let_wait(self, device: str, reading: Reading, now: int, *, again: bool) -> None:
        if self._placed(device, reading, now, again=again) is not StreamPlace.NEXT:
            # What is ahead of a missing one comes again in its turn.
            return
        if self._clock.quality() == "unset":
            self._journal.count("delayed_undated_readings")
        self._batch.undated.append(self.times.hold(device, reading))

    def _date_the_undated(self, now: int) -> None:
        """Take what waited, now that the clock is set. Raises StoreError; then it waits on."""
        self.flush()
        waiting = self._store.undated()
        offset = now - round(self._clock.monotonic() * 1000)
        for ts, one in dated([one for _, one in waiting], self._clock.boot, offset):
            try:
                reading = decode_reading(one.payload)
                when = self.times.when(one.device, reading, ts)
                self._take_lives(one.device, reading, when, now, None, in_order=True)
            except BadMessageError as error:
                self._batch.dead.append(DeadLetter(now, one.device, one.payload, str(error)))
        self._batch.dated_to = max((number for number, _ in waiting), default=0)
        self.times.waiting = False

    def _placed(self, device: str, reading: Reading, now: int, *, again: bool) -> StreamPlace:
        self._readings += 1
        if reading.clock != "ok":
            self._journal.count(f"readings_{reading.clock}")
        spot = spot_of(reading)
        return (
            StreamPlace.NEXT if spot is None else self._watermarks.place(device, spot, now, of_service=again)
        )

    def _take_values(
        self, device: str, reading: Reading, ts: int, now: int, since: int | None, *, again: bool
    ) -> None:
        if ts < self._limits.earliest:
            raise BadMessageError(f"ts: {to_iso(ts)} is before this software was made")
        place = self._placed(device, reading, now, again=again)
        if place is StreamPlace.DUPLICATE or (place is StreamPlace.GAP and again):
            return
        if not again and self._provisional.doubts(reading, ahead=place is StreamPlace.GAP, late_by=now - ts):
            # It comes again, and so does all that was taken ahead of its turn.
            if self._provisional:
                self.flush()
            return
        in_order = place is StreamPlace.NEXT and not reading.late
        dated = self._take_lives(device, reading, ts, now, since, in_order=in_order)
        if place is StreamPlace.GAP:
            self._provisional.note(reading, dated)

    def _take_lives(
        self, device: str, reading: Reading, ts: int, now: int, since: int | None, *, in_order: bool
    ) -> dict[int, int]:
        """Store the values of a reading; return when each counts, by entity."""
        # Nothing is ahead of a clock that is not set.
        latest = now if self._clock.quality() != "unset" else _FOR_EVER
        lives = self._entity_limits.lives(device, reading.values, min(ts, latest), self._batch.entities)
        values = reading.values
        if len(lives) < len(values):
            values = {key: values[key] for key in lives}
        if since is not None:
            # What the broker kept of a stranger has no age: of what is known already it is no news.
            lives = {key: live for key, live in lives.items() if live.newest is None}
        dated = self._dates(device, reading, lives, ts, latest, turn=in_order)
        counts = {live.record.id: dated[key] for key, live in lives.items()}
        if in_order and self._provisional.differs(reading, counts):
            self.flush()
        if self._clock.quality() != "ok":
            arrived = now if abs(ts - now) > TOLERANCE else None
            self._estimated.note_reading(reading, counts, arrived, self._time.offset)
        take = self._count_value if in_order else self._take_value
        for key, live in lives.items():
            value = State(dated[key], live.record.id, values[key], reading.last_reset.get(key))
            if in_order and live.cut is not None and value.ts > live.cut:
                self._fill(live, value.ts, now)
            take(live, value, now)
        if in_order and since is None:
            # What stands behind a gap comes again once the gap is filled: energy needs the order.
            for live, state in self._derived.feed(device, values, dated, self._batch.entities):
                self._keep(live, state, now)
        elif reading.late:
            self._derived.pass_over(device, reading.values)
        return counts

    def _dates(
        self, device: str, reading: Reading, lives: dict[str, LiveEntity], ts: int, now: int, *, turn: bool
    ) -> dict[str, int]:
        if not turn:
            return self._dating.late(reading, lives, ts, now)
        said = reading.ts if self.times.too_old(reading) and self._clock.quality() != "unset" else None
        return self._dating.date(device, reading, lives, ts, now=now, said=said)

    def _fill(self, live: LiveEntity, ts: int, now: int) -> None:
        """Take back an absence that a reading of the time in which nobody listened fills."""
        cut, live.cut = live.cut, None
        # It is news, also if it says that nothing is known: the end that it follows may be taken back.
        live.newest = None
        if cut is not None and cut < ts < self.back_at:
            self._journal.count("filled_absences")
            self._drop(live, State(cut, live.record.id, None, None), now)

    def _count_value(self, live: LiveEntity, state: State, now: int) -> None:
        if not live.record.enabled:
            self._journal.count("ignored_disabled_states")
            return
        counts, gone = self._counter_filter.take(live, state, self._batch)
        for one in gone:
            self._drop(live, one, now)
        for one in counts:
            self._take_value(live, one, now)

    def _drop(self, live: LiveEntity, state: State, now: int) -> None:
        """Take back a state that may be stored."""
        self._batch.removed.append((state.ts, state.entity))
        self._batch.states = [one for one in self._batch.states if one[:2] != state[:2]]
        live.stale = True
        if self._compiler.open is not None and state.ts < self._compiler.open:
            self._mark_late(live, Span(state.ts, state.ts), now)

    def _take_value(self, live: LiveEntity, state: State, now: int) -> None:
        if not live.record.enabled:
            self._journal.count("ignored_disabled_states")
            return
        states = live.news(state)
        if not states:
            self._equal += 1
            self._keep(live, Heard(state.ts, state.entity), now)
        for one in states:
            self._keep(live, one, now)

    def _keep(self, live: LiveEntity, event: Event, now: int) -> None:
        if event.ts < live.record.first:
            # No search for what is in force may stop short of it.
            live.record = replace(live.record, first=event.ts)
            self._batch.entities[live.record.id] = live.record
        if isinstance(event, State):
            self._batch.states.append(event)
        else:
            self._batch.repeats.append(event)
        span = self._compiler.take(live, event)
        if span is not None:
            self._mark_late(live, span, now)

    def _mark_late(self, live: LiveEntity, span: Span, now: int) -> None:
        self._journal.count("late_states")
        begin = self._limits.begin
        self.mark(live.record.id, Span(max(span.since, begin), max(span.until, begin)), now)

    def mark(self, number: int, span: Span, now: int | None = None) -> None:
        """Mark what changed in closed periods of an entity; the next commit puts it on disk."""
        now = self._clock.wall() if now is None else now
        if span.since < self._kept_since(number, now):
            # The rows it belongs to may be gone already.
            return
        self._corrector.mark(number, span, self._clock.monotonic())
        self._batch.dirty[number] = span

    def flush(self) -> None:
        """Put on disk what came in order, take back what was ahead: it comes again. Raises StoreError."""
        ahead = self._provisional.take_all()
        for ts, number in ahead:
            self._drop(self._entities[number], State(ts, number, None, None), self._clock.wall())
        self._write(self._batch)
        if ahead:
            self._compiler.reload()

    def _write(self, batch: Batch) -> None:
        # A row compiled meanwhile may have settled more of it.
        batch.forgotten = self._entity_limits.forgotten
        for number in batch.entities.keys() & batch.forgotten:
            del batch.entities[number]
        batch.entities = {number: self._entities[number].record for number in batch.entities}
        # The mark on disk is one for all that is wrong with an entity.
        for marks in (self._corrector.dirty, self._corrector.walking):
            merge(batch.dirty, [(number, marks[number]) for number in batch.dirty if number in marks])
        with self._store.transaction():
            self._estimated.save()
            self._store.commit(batch)
        self._estimated.saved()
        self._entity_limits.committed()
        self._batch = Batch()
        self._count(batch)

    def commit(self) -> None:
        """COMMIT, acknowledge, then watermarks. StoreError loses nothing."""
        if self.times.waiting and not self.times.unknown():
            self._date_the_undated(self._clock.wall())
        # What is still undated asks again after the next interval.
        self.since = self._clock.monotonic() if self.times.waiting else self.since
        if not self._messages and not self._batch.states and not self._batch.dated_to:
            return
        self._batch.streams = self._watermarks.moved()
        self._batch.owners = self._watermarks.owners()
        self._write(self._batch)
        if self.times.waiting:
            self._journal.count("dropped_undated_readings", self._store.drop_undated(MOST_UNDATED))
        messages, self._messages = self._messages, []
        if not self.times.waiting:
            self.since = None
        self._bus.acknowledge(*messages)
        self._derived.committed()
        self._counter_filter.look(self._clock.wall())
        self._watermarks.committed(self._clock.wall())

    def _count(self, batch: Batch) -> None:
        self._journal.count("stored_states", len(batch.states))
        self._journal.count("readings", self._readings)
        self._journal.count("unchanged_states", self._equal)
        self._readings = self._equal = 0
        if not batch.dead:
            self._journal.solved("messages")

    def connected(self) -> None:
        """Publish every watermark again. Raises StoreError."""
        self._connected_at = self._clock.wall()
        self._watermarks.connected(self._connected_at)
