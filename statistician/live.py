"""The entities as the process knows them now: newest state, what was left out, the open period."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from bus.about import About
from bus.messages import Value
from statistician.algorithm import Accumulator, Row
from statistician.records import EntityRecord, State

# Repeats remembered per entity: a state that comes late may show that one of them was news.
_REPEATS = 32


class LiveEntity:
    """One entity. `newest` is its newest stored state, `force` the one in force in the open period."""

    __slots__ = ("accumulator", "base", "force", "newest", "record", "repeats", "stale")

    def __init__(self, record: EntityRecord) -> None:
        self.record = record
        self.newest: State | None = None
        self.repeats: deque[State] = deque(maxlen=_REPEATS)
        self.force: State | None = None
        self.base: Row | None = None
        self.accumulator: Accumulator | None = None
        # The accumulator no longer agrees with the stored states: make it again when it closes.
        self.stale = False

    def news(self, ts: int, value: Value, last_reset: int | None) -> list[State]:
        """The states to store because of this one, in order of time; none if it repeats the newest."""
        newest = self.newest
        state = State(ts, self.record.id, value, last_reset)
        if newest is None:
            self.newest = state
            return [state]
        if ts >= newest.ts and value == newest.value and last_reset == newest.last_reset:
            self._repeat(state)
            return []
        if ts > newest.ts and (not self.repeats or self.repeats[-1].ts < ts):
            self.newest = state
            return [state]
        if ts >= newest.ts:
            self.newest = state
        return [state, *self._uncover(ts)]

    def _repeat(self, state: State) -> None:
        if self.newest is not None and state.ts == self.newest.ts:
            return
        if self.repeats and state.ts <= self.repeats[-1].ts:
            kept = {repeat.ts: repeat for repeat in (*self.repeats, state)}
            self.repeats = deque(sorted(kept.values()), maxlen=_REPEATS)
        else:
            self.repeats.append(state)

    def _uncover(self, ts: int) -> list[State]:
        """The first repeat after `ts`: it was left out as no news, but is news after a state at `ts`."""
        later = sorted(repeat for repeat in self.repeats if repeat.ts > ts)
        kept = [repeat for repeat in self.repeats if repeat.ts < ts] + later[1:]
        self.repeats = deque(kept, maxlen=_REPEATS)
        if later and (self.newest is None or later[0].ts > self.newest.ts):
            self.newest = later[0]
        return later[:1]

    def feed(self, state: State) -> None:
        """Take the next state of the open period."""
        self.force = state
        if self.accumulator is not None:
            self.accumulator.feed(state.ts, state.value, state.last_reset)


class Entities:
    """All entities, by device and id and by number."""

    def __init__(self, records: Iterable[EntityRecord]) -> None:
        self._by_number: dict[int, LiveEntity] = {}
        self._devices: dict[str, dict[str, LiveEntity]] = {}
        self._last = 0
        for record in records:
            self._add(record)

    def __iter__(self) -> Iterator[LiveEntity]:
        return iter(self._by_number.values())

    def __len__(self) -> int:
        return len(self._by_number)

    def __getitem__(self, number: int) -> LiveEntity:
        return self._by_number[number]

    def records(self) -> list[EntityRecord]:
        """What is known of every entity."""
        return [live.record for live in self]

    def of(self, device: str) -> dict[str, LiveEntity]:
        """A device's entities by id."""
        return self._devices.setdefault(device, {})

    def _add(self, record: EntityRecord) -> LiveEntity:
        live = LiveEntity(record)
        self._by_number[record.id] = live
        self._last = max(self._last, record.id)
        self.of(record.device)[record.entity] = live
        return live

    def add(self, device: str, entity: str, first: int) -> LiveEntity:
        """A new entity whose first state was at `first`."""
        return self._add(EntityRecord(id=self._last + 1, device=device, entity=entity, first=first))

    def describe(self, device: str, about: About, now: int) -> list[EntityRecord]:
        """Take what about says; returns what changed. An entity it leaves out loses its state class."""
        changed: list[EntityRecord] = []
        known = self.of(device)
        for key, said in about.entities.items():
            live = known.get(key) or self.add(device, key, now)
            wanted = replace(
                live.record,
                name=said.name,
                unit=said.unit,
                device_class=said.device_class,
                state_class=said.state_class,
            )
            changed += _describe(live, wanted)
        for key, live in known.items():
            if key not in about.entities:
                changed += _describe(live, replace(live.record, state_class=None))
        return changed


def _describe(live: LiveEntity, wanted: EntityRecord) -> list[EntityRecord]:
    if wanted == live.record:
        return []
    if wanted.state_class != live.record.state_class:
        live.stale = True
    live.record = wanted
    return [wanted]
