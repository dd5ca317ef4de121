"""All entities, how many are kept, and the filter through which readings of growing counters go."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from msgspec import structs

from bus.about import TOTAL_INCREASING, About, of_house
from bus.clock import Clock
from bus.events import Acknowledges
from bus.health import Journal
from bus.integral import LARGEST
from bus.messages import Reading, to_iso
from bus.topics import Topics
from statistician.arithmetic import DAY
from statistician.arithmetic.algorithm import countable
from statistician.arithmetic.counters import Counter, Held, HeldReading, subject, told
from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.units import canonical, conversion, unit_class
from statistician.records import Batch, EntityRecord, State, StoreError
from statistician.store import Store


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
            words = {name: getattr(said, name) for name in ("name", "unit", "device_class", "state_class")}
            changed += live.describe(words, now, expire=expire, daily=said.daily)
        for key, live in self.of(device).items():
            if key not in about.entities:
                gone: dict[str, str | None] = {"state_class": None}
                changed += live.describe(gone, now, expire=live.record.expire, daily=live.record.daily)
        return changed


log = logging.getLogger(__name__)

# Entities of the house, of all strangers together, and of one device, whoever it is.
MOST_ENTITIES = 10_000
MOST_OF_STRANGERS = 5_000
MOST_OF_DEVICE = 1_000

# How long it is told that entities were refused, how long none is looked for that gives way after there was
# none, and how often one about is asked for, seconds.
_TOLD_FOR_S = 600.0
_PAUSE_S = 10.0
_ASK_EVERY_S = 600.0
_MOST_ASKED = 4_096
# So many give way at once: looking whether they were ever read costs about as much as for one.
_AT_ONCE = 64
_CURE = "what was never read gives way by itself; empty the about topic of devices that are gone"


@dataclass(frozen=True, slots=True)
class Shared:
    """What all parts of the running statistician work with; a step of `clock` counts once it has lasted."""

    bus: Acknowledges
    topics: Topics
    store: Store
    entities: Entities
    clock: Clock
    journal: Journal


class Part:
    """A part of the running statistician."""

    def __init__(self, shared: Shared) -> None:
        self._bus, self._topics = shared.bus, shared.topics
        self._store, self._entities = shared.store, shared.entities
        self._clock, self._journal = shared.clock, shared.journal

    def _known_time(self) -> int:
        """Return the wall clock, ms; 0 while nobody knows the time."""
        return 0 if self._clock.quality() == "unset" else self._clock.wall()


class EntityLimits(Part):
    """Adds entities while there is room: strangers take none from the house, what was never read gives way.

    `house` are the devices that the settings name; those whose about names a service of the house belong to
    it too. `ask` asks the broker for the about of a device.
    """

    def __init__(self, shared: Shared, house: Collection[str], ask: Callable[[str], None]) -> None:
        super().__init__(shared)
        self._ask = ask
        # When each about was asked for, when an entity was refused last, and when none was found to give way.
        self._asked: dict[str, float] = {}
        self._refused_at = self._sought_at = float("-inf")
        self._settings = frozenset(house)
        self._services = {device for device, service in shared.store.owners() if of_house(service)}
        # Entities in all, and those of strangers among them; counted again where others changed them.
        self._total, self._strangers = -1, 0
        # Removed, but not from the disk yet.
        self.forgotten: set[int] = set()

    def has(self, device: str) -> bool:
        """Say whether a device is of the house."""
        return device in self._settings or device in self._services

    def describe(self, device: str, about: About, now: int) -> list[EntityRecord]:
        """Take what about says at `now` (ms); returns what changed. Without room nothing new."""
        if of_house(about.service) and device not in self._services:
            self._services.add(device)
            self._total = -1
        known = self._entities.of(device)
        if not self._make(device, len(about.entities.keys() - known.keys())):
            about = structs.replace(about, entities={k: e for k, e in about.entities.items() if k in known})
        before = len(self._entities)
        changed = self._entities.describe(device, about, now)
        self._came(device, len(self._entities) - before)
        return changed

    def lives(
        self, device: str, keys: Collection[str], first: int, changed: dict[int, EntityRecord]
    ) -> dict[str, LiveEntity]:
        """Return the entities of a reading, without those for which there is no room.

        New ones go into `changed`.
        """
        known = self._entities.of(device)
        if all(key in known for key in keys):
            return {key: known[key] for key in keys}
        lives: dict[str, LiveEntity] = {}
        for key in keys:
            live = self._entities.find(device, key)
            if live is None and self._make(device, 1):
                live = self._entities.add(device, key, first)
                changed[live.record.id] = live.record
                self._came(device, 1)
                self._ask_about(device)
            if live is not None:
                lives[key] = live
        return lives

    def committed(self) -> None:
        """Note a commit; stop telling that entities were refused once that is over."""
        self.forgotten = set()
        if self._clock.monotonic() - self._refused_at >= _TOLD_FOR_S:
            self._journal.solved("room")

    def _ask_about(self, device: str) -> None:
        """Ask for the about of a device whose entity a reading had to add: it may have given way."""
        now = self._clock.monotonic()
        if now - self._asked.get(device, -_ASK_EVERY_S) >= _ASK_EVERY_S:
            if len(self._asked) >= _MOST_ASKED:
                self._asked.clear()
            self._asked[device] = now
            self._ask(device)

    def _came(self, device: str, more: int) -> None:
        self._total += more
        self._strangers += 0 if self.has(device) else more

    def _make(self, device: str, more: int) -> bool:
        """Make room for so many more entities of a device; False, and told, if there is none."""
        problem = self._problem(device, more)
        if problem is None:
            return True
        self._journal.count("refused_entities", more)
        self._refused_at = self._clock.monotonic()
        if self._journal.problem("room", problem, self._clock.wall()):
            log.warning("%s", problem)
        return False

    def _problem(self, device: str, more: int) -> str | None:
        if more and len(self._entities.of(device)) + more > MOST_OF_DEVICE:
            return f"{device} has more than {MOST_OF_DEVICE} entities: let it be several devices"
        surplus = self._surplus(device, more)
        if surplus <= 0 or self._forget(device, surplus):
            return None
        whose, most = ("the house", MOST_ENTITIES) if self.has(device) else ("strangers", MOST_OF_STRANGERS)
        return f"there are {most} entities of {whose}, so not all of {device} are kept: {_CURE}"

    def _surplus(self, device: str, more: int) -> int:
        total = len(self._entities) + more
        if not more or device in self._settings or total <= MOST_OF_STRANGERS:
            return 0
        if self._total != len(self._entities):
            self._total = len(self._entities)
            self._strangers = sum(not self.has(live.record.device) for live in self._entities)
        if self.has(device):
            return total - self._strangers - MOST_ENTITIES
        return self._strangers + more - MOST_OF_STRANGERS

    def _forget(self, device: str, least: int) -> bool:
        """Forget the newest of its kind that were described but never read; False if there are too few."""
        now = self._clock.monotonic()
        if now - self._sought_at < _PAUSE_S:
            return False
        house, chosen = self.has(device), dict[int, LiveEntity]()
        for live in self._entities.newest_first():
            record = live.record
            stays = live.newest is not None or live.clock is not None or record.device in self._settings
            if not stays and record.device != device and self.has(record.device) is house:
                chosen[record.id] = live
            if len(chosen) >= max(least, _AT_ONCE):
                break
        try:
            never = self._store.never_read(chosen) if len(chosen) >= least else set()
        except StoreError as error:
            log.warning("nothing gives way: %s", error)
            never = set()
        if len(never) < least:
            self._sought_at = now
            return False
        for number in never:
            self._entities.remove(chosen[number])
        self._came(chosen[min(never)].record.device, -len(never))
        self.forgotten |= never
        self._journal.count("forgotten_entities", len(never))
        return True


# Entities whose readings health tells of at a time.
_MOST_TOLD = 50


class CounterFilter(Part):
    """Feeds the counters of all entities, in order of their readings; times are ms."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._topic = shared.topics.request("statistician", "accept_reading")
        # When health was told of a reading that was left out, by subject.
        self._told: dict[str, int] = {}

    def take(self, live: LiveEntity, state: State, batch: Batch) -> tuple[list[State], list[State]]:
        """Return the states that count now, this one or earlier ones, and those that count no more.

        Raises StoreError.
        """
        record, value = live.record, state.value
        if countable(value) is not value:
            # It has no part in sums, so it is neither a fall nor a leap.
            self._tell_large(live, state)
            return [state], []
        if record.state_class != TOTAL_INCREASING:
            return [*self._release(live, batch), state], []
        if not isinstance(value, float):
            return [state], []
        counter = self._counter(live)
        verdict = counter.take(state.ts, value, daily=record.daily)
        batch.held.update(verdict.changes(record.id))
        if verdict.keep:
            batch.counters[record.id] = counter.memory
        counts = [_state(live, one) for one in verdict.confirmed]
        if verdict.accepted or verdict.held is None:
            counts.append(state)
        if verdict.held is not None:
            self._journal.count("delayed_counter_readings")
        for one in verdict.left_out:
            self._tell(live, one, state.ts)
        return counts, [_state(live, one) for one in verdict.left_out]

    def _release(self, live: LiveEntity, batch: Batch) -> list[State]:
        """Return what waits of an entity that is no growing counter any more: nothing will decide it."""
        held = None if live.counter is None else live.counter.memory.held
        live.counter = None
        if held is None:
            return []
        batch.held[live.record.id, held.ts] = None
        return [_state(live, held)]

    def _counter(self, live: LiveEntity) -> Counter:
        counter = live.counter
        if counter is None:
            memory = self._store.held.counter(live.record.id)
            live.counter = counter = Counter(memory)
            if memory is not None:
                for state in self._store.states.between(counter.heard + 1, None, {live.record.id}):
                    if isinstance(state.value, float):
                        counter.take(state.ts, state.value, daily=live.record.daily)
        unit = canonical(live.record.unit)
        if unit != counter.unit:
            group = unit_class(live.record.device_class, counter.unit)
            how = conversion(group, counter.unit, unit) if group else None
            if how is not None:
                counter.convert(unit, how)
            counter.unit = unit
        return counter

    def _tell(self, live: LiveEntity, left_out: Held, now: int) -> None:
        record = live.record
        name = f"{record.device}.{record.entity}"
        self._journal.count("refused_counter_readings")
        if subject(name) in self._told or len(self._told) < _MOST_TOLD:
            self._told[subject(name)] = now
            reading = HeldReading(record.id, *left_out, "left_out")
            self._journal.problem(subject(name), told(reading, name, record.unit, self._topic), now)

    def note_flaws(self, device: str, reading: Reading, now: int) -> None:
        """Tell of what a reading says of cycles and cannot be read, until one that can."""
        about = f"last_reset.{device}"
        if reading.flaws:
            self._journal.count("refused_last_resets", len(reading.flaws))
            self._journal.problem(about, reading.flaws[0], now)
        elif reading.last_reset:
            self._journal.solved(about)

    def _tell_large(self, live: LiveEntity, state: State) -> None:
        name = f"{live.record.device}.{live.record.entity}"
        self._journal.count("refused_large_values")
        about = f"value.{name}"
        if about in self._told or len(self._told) < _MOST_TOLD:
            self._told[about] = state.ts
            text = (
                f"{state.value} at {to_iso(state.ts)} is beyond {LARGEST:g}: no sum and no energy counts it;"
                " see what the device sends"
            )
            self._journal.problem(about, text, state.ts)

    def look(self, now: int) -> None:
        """Stop telling of what was left out more than a day ago."""
        for old in [one for one, at in self._told.items() if now - at > DAY]:
            del self._told[old]
            self._journal.solved(old)


def _state(live: LiveEntity, held: Held) -> State:
    return State(held.ts, live.record.id, held.value, None)
