"""Readings of growing counters on their way to the database: what falls or leaps waits for the next one.

What is held or left out stands in a table of its own; states are what counts.
"""

from bus.about import TOTAL_INCREASING
from bus.health import Journal
from bus.messages import Reading, to_iso
from bus.topics import Topics
from statistician.arithmetic.algorithm import LARGEST, countable
from statistician.arithmetic.counters import Counter, Held, HeldReading, subject, told
from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.periods import DAY
from statistician.arithmetic.units import canonical, conversion, unit_class
from statistician.records import Batch, State
from statistician.store import Store

# Entities whose readings health tells of at a time.
_MOST_TOLD = 50


class CounterFilter:
    """Feeds the counters of all entities, in order of their readings; times are ms."""

    def __init__(self, store: Store, topics: Topics, journal: Journal) -> None:
        self._store = store
        self._topic = topics.request("statistician", "accept_reading")
        self._journal = journal
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
            self._journal.count("readings_held")
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
        self._journal.count("readings_left_out")
        if subject(name) in self._told or len(self._told) < _MOST_TOLD:
            self._told[subject(name)] = now
            reading = HeldReading(record.id, *left_out, "left_out")
            self._journal.problem(subject(name), told(reading, name, record.unit, self._topic), now)

    def note_flaws(self, device: str, reading: Reading, now: int) -> None:
        """Tell of what a reading says of cycles and cannot be read, until one that can."""
        about = f"last_reset.{device}"
        if reading.flaws:
            self._journal.count("last_resets_unread", len(reading.flaws))
            self._journal.problem(about, reading.flaws[0], now)
        elif reading.last_reset:
            self._journal.solved(about)

    def _tell_large(self, live: LiveEntity, state: State) -> None:
        name = f"{live.record.device}.{live.record.entity}"
        self._journal.count("values_too_large")
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
