"""The entities as the process knows them now: newest state, what was left out, the open period."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter

from bus.about import About
from statistician.arithmetic.algorithm import Accumulator, Row
from statistician.arithmetic.counters import Counter
from statistician.arithmetic.units import canonical, conversion, unit_class
from statistician.clock.entity_clock import EntityClock
from statistician.records import EntityRecord, Event, Said, Since, State, StoredRow

# Repeats remembered per entity: a state that comes late may show that one of them was news.
_REPEATS = 32
# What devices remembered and told lately, per entity.
_OWN_TIMES = 4_096
# Changes of a unit or a class that are remembered.
_REMEMBERED = 64
# States among which one may be in a unit that about names only afterwards, and how long before, ms.
_RECENT = 4
_BEFORE_ABOUT = 120_000
# How far the next value may be from the last one converted, as a share of it.
_ABOUT = 0.1


class LiveEntity:
    """One entity. `newest` is its newest stored state, `force` the one in force in the open period.

    `force_heard` is when the value in force was heard last (ms).
    """

    __slots__ = (
        "accumulator",
        "base",
        "clock",
        "counter",
        "cut",
        "force",
        "force_heard",
        "newest",
        "own_times",
        "recent",
        "record",
        "repeats",
        "spoiled",
        "stale",
    )

    def __init__(self, record: EntityRecord) -> None:
        self.record = record
        self.newest: State | None = None
        # The last that were stored in order.
        self.recent: deque[State] = deque(maxlen=_RECENT)
        self.repeats: deque[State] = deque(maxlen=_REPEATS)
        # When an absence ended what was known of it, until the next reading.
        self.cut: int | None = None
        self.clock: EntityClock | None = None
        # Times that the device itself has said, of what it remembered; made with the first.
        self.own_times: deque[int] | tuple[()] = ()
        self.counter: Counter | None = None
        self.force: State | None = None
        self.force_heard = 0
        # The newest row before the open period.
        self.base: StoredRow | None = None
        self.accumulator: Accumulator | None = None
        # The accumulator no longer agrees with the stored states: make it again when it closes.
        self.stale = False
        # What nobody expected, when its period was computed; there is no row then.
        self.spoiled: Exception | None = None

    def news(self, state: State) -> list[State]:
        """Return the states to store because of this one, in order of time; none if it repeats the newest."""
        newest = self.newest
        ts, _, value, last_reset = state
        if newest is None:
            self.newest = state
            self.recent.append(state)
            return [state]
        same = value == newest.value and last_reset == newest.last_reset
        if same and ts >= newest.ts and self._same_unit(ts, newest.ts) and not self._renewed(newest.ts, ts):
            self._repeat(state)
            return []
        if ts > newest.ts and (not self.repeats or self.repeats[-1].ts < ts):
            self.newest = state
            self.recent.append(state)
            return [state]
        if ts >= newest.ts:
            self.newest = state
        return [state, *self._uncover(ts)]

    def _same_unit(self, ts: int, other: int) -> bool:
        record = self.record
        return len(record.units) < 2 or record.unit_at(ts) == record.unit_at(other)

    def _renewed(self, ts: int, other: int) -> bool:
        """Whether another counter was there at the second time: what it says is no repetition."""
        return any(ts <= at < other for at in self.record.renewals)

    @property
    def heard(self) -> int:
        """Time of the newest state, stored or left out; -1 before the first."""
        newest = -1 if self.newest is None else self.newest.ts
        return max(newest, self.repeats[-1].ts) if self.repeats else newest

    def note_own_time(self, ts: int) -> None:
        """Note that no step of a clock changes the time of the state at `ts`."""
        if not isinstance(self.own_times, deque):
            self.own_times = deque(maxlen=_OWN_TIMES)
        self.own_times.append(ts)

    def remember(self, states: Iterable[State], repeated: Iterable[int]) -> None:
        """Know again what was left out before a restart: times, and the stored states they lie among."""
        stored = sorted(states)
        times = {state.ts for state in stored}
        found: list[State] = []
        at = 0
        for ts in sorted(set(repeated) - times):
            while at < len(stored) and stored[at].ts < ts:
                at += 1
            if at:
                found.append(stored[at - 1]._replace(ts=ts))
        self.repeats = deque(found, maxlen=_REPEATS)

    def _repeat(self, state: State) -> None:
        if self.newest is not None and state.ts == self.newest.ts:
            return
        if self.repeats and state.ts <= self.repeats[-1].ts:
            kept = {repeat.ts: repeat for repeat in (*self.repeats, state)}
            self.repeats = deque(sorted(kept.values()), maxlen=_REPEATS)
        else:
            self.repeats.append(state)

    def _uncover(self, ts: int) -> list[State]:
        """Return the first repeat after `ts`: left out as no news, but news after a state at `ts`."""
        later = sorted(repeat for repeat in self.repeats if repeat.ts > ts)
        kept = [repeat for repeat in self.repeats if repeat.ts < ts] + later[1:]
        self.repeats = deque(kept, maxlen=_REPEATS)
        if later and (self.newest is None or later[0].ts > self.newest.ts):
            self.newest = later[0]
        return later[:1]

    def describe(
        self, words: dict[str, str | None], now: int, *, expire: int | None, daily: bool
    ) -> list[EntityRecord]:
        """Take what about says; what a user has set stays. Returns the record if it changed."""
        record = replace(self.record, expire=expire, daily=daily)
        overridden = {one.field for one in record.said}
        if overridden:
            said = tuple(Said(one.field, words.get(one.field, one.word)) for one in record.said)
            record = replace(record, said=said)
            words = {field: word for field, word in words.items() if field not in overridden}
        record = replace(record, **words)  # type: ignore[arg-type]  # the fields named are all texts
        if "unit" in words:
            # Readings may be on their way: the new unit is that of all that come after the newest heard.
            units = _since(record.units, self._unit_since(record, now), canonical(record.unit))
            record = replace(record, units=units)
        if "state_class" in words:
            record = replace(record, classes=_since(record.classes, now, record.state_class))
        if record == self.record:
            return []
        # All that a period's row depends on.
        words_of = attrgetter("units", "classes", "expire", "daily")
        self.stale = self.stale or words_of(record) != words_of(self.record)
        self.record = record
        return [record]

    def _unit_since(self, record: EntityRecord, now: int) -> int:
        """Since when states are in the unit that an about at `now` names.

        A reading may come before it: the jump from the state before it is that of the units then.
        """
        old, new = canonical(self.record.unit), canonical(record.unit)
        group = unit_class(record.device_class, new)
        how = conversion(group, old, new) if group and old != new else None
        states = list(self.recent)
        for before, state in reversed(list(pairwise(states))) if how else ():
            if state.ts < now - _BEFORE_ABOUT or state.ts < self.record.units[-1].since:
                break
            if how and isinstance(before.value, float) and isinstance(state.value, float):
                wanted = how(before.value)
                least = min(abs(wanted), abs(wanted - before.value))
                if abs(state.value - wanted) < _ABOUT * least:
                    return state.ts
        return self.heard + 1

    def spoil(self, error: Exception) -> None:
        """Make no row of the open period, because of an error that nobody expected."""
        self.accumulator = None
        self.spoiled = error

    def feed(self, event: Event) -> None:
        """Take the next state of the open period, or note that the last one was heard again."""
        self.force_heard = event.ts
        if isinstance(event, State):
            self.force = event
            if self.accumulator is not None:
                self.accumulator.feed(event.ts, event.value, event.last_reset)
        elif self.accumulator is not None:
            self.accumulator.hear(event.ts)

    def close(self, end: int) -> Row | None:
        """Return the row of the open period, which ends at `end`."""
        return None if self.accumulator is None else self.accumulator.close(end)


class Entities:
    """All entities, by device and id and by number; those merged into others only by number."""

    def __init__(self, records: Iterable[EntityRecord]) -> None:
        self._by_number: dict[int, LiveEntity] = {}
        self._merged: dict[int, LiveEntity] = {}
        self._devices: dict[str, dict[str, LiveEntity]] = {}
        self._last = 0
        for record in records:
            self._add(record)

    def __iter__(self) -> Iterator[LiveEntity]:
        return iter(self._by_number.values())

    def __len__(self) -> int:
        return len(self._by_number)

    def __contains__(self, number: int) -> bool:
        return number in self._by_number or number in self._merged

    def __getitem__(self, number: int) -> LiveEntity:
        return self._by_number.get(number) or self._merged[number]

    def records(self) -> list[EntityRecord]:
        """Return what is known of every entity."""
        return [live.record for live in self]

    def of(self, device: str) -> dict[str, LiveEntity]:
        """Return a device's entities by id."""
        # Whoever asks for what does not exist must not fill the memory.
        return self._devices.get(device, {})

    def newest_first(self) -> Iterator[LiveEntity]:
        """All but those merged into others, in the order in which they may be forgotten."""
        return reversed(self._by_number.values())

    def find(self, device: str, entity: str) -> LiveEntity | None:
        """Return the entity of a device, if it is known."""
        return self._devices.get(device, {}).get(entity)

    @property
    def next_number(self) -> int:
        """The number a new entity gets."""
        return self._last + 1

    def put(self, record: EntityRecord) -> LiveEntity:
        """Take a record in place of the one known, also under another name, or as a new entity."""
        live = self._by_number.get(record.id) or self._merged.get(record.id)
        if live is None:
            return self._add(record)
        old, live.record = live.record, record
        if (old.device, old.entity) != (record.device, record.entity):
            if self.find(old.device, old.entity) is live:
                del self._devices[old.device][old.entity]
            self._place(live)
        return live

    def _add(self, record: EntityRecord) -> LiveEntity:
        live = LiveEntity(record)
        self._last = max(self._last, record.id)
        self._place(live)
        return live

    def _place(self, live: LiveEntity) -> None:
        record = live.record
        if record.merged_into is not None:
            self._by_number.pop(record.id, None)
            self._merged[record.id] = live
            return
        self._merged.pop(record.id, None)
        self._by_number[record.id] = live
        self._devices.setdefault(record.device, {})[record.entity] = live

    def add(self, device: str, entity: str, first: int) -> LiveEntity:
        """Return a new entity whose first state was at `first`."""
        return self._add(EntityRecord(id=self._last + 1, device=device, entity=entity, first=first))

    def remove(self, live: LiveEntity) -> None:
        """Forget an entity."""
        del self._by_number[live.record.id]
        of_device = self._devices[live.record.device]
        del of_device[live.record.entity]
        if not of_device:
            del self._devices[live.record.device]

    def describe(self, device: str, about: About, now: int) -> list[EntityRecord]:
        """Take what about says; returns what changed. An entity it leaves out loses its state class."""
        changed: list[EntityRecord] = []
        known = self.of(device)
        expire = None if about.expire_after is None else round(about.expire_after * 1000)
        for key, said in about.entities.items():
            live = known.get(key) or self.add(device, key, now)
            words = {
                "name": said.name,
                "unit": said.unit,
                "device_class": said.device_class,
                "state_class": said.state_class,
            }
            changed += live.describe(words, now, expire=expire, daily=said.daily)
        for key, live in self.of(device).items():
            if key not in about.entities:
                gone: dict[str, str | None] = {"state_class": None}
                changed += live.describe(gone, now, expire=live.record.expire, daily=live.record.daily)
        return changed


def _since(history: tuple[Since, ...], since: int, word: str | None) -> tuple[Since, ...]:
    """Return the history with a word in force from `since` on; the first word was in force before, too."""
    if not history:
        return (Since(0, word),)
    if history[-1].word == word:
        return history
    since = max(since, history[-1].since)
    kept = tuple(one for one in history if one.since < since)
    return (*kept, Since(since, word))[-_REMEMBERED:]
