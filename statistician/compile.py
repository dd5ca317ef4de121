"""Closes 5-minute periods and hours: live from accumulators, after an absence from the stored states."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from statistician.algorithm import hourly
from statistician.collecting import keeping, open_period
from statistician.live import Entities, LiveEntity
from statistician.periods import HOUR, MINUTES_5, due_at, ends_hour, hour_of, is_due
from statistician.records import EntityRecord, Span, State, StoredRow, StoreError, Table
from statistician.store import Store
from statistician.store_states import by_entity

# How far back a restart looks for repeats.
_REMEMBERED = HOUR


@dataclass(slots=True)
class Closed:
    """What a compilation wrote: how many periods, and the rows of the newest period and hour."""

    periods: int = 0
    five_minutes: list[StoredRow] = field(default_factory=list)
    hour: list[StoredRow] = field(default_factory=list)


class Compiler:
    """Owns the open period, the first not compiled yet. Times are ms. Raises StoreError."""

    def __init__(self, store: Store, entities: Entities) -> None:
        self._store = store
        self._entities = entities
        # None until there is a first state.
        self.open: int | None = None
        self._loaded = False
        # Records that changed with a row, until they are on disk.
        self._unsaved: dict[int, EntityRecord] = {}

    def begin(self, start: int) -> None:
        """Make `start` the open period; it is loaded from the stored states."""
        self.open = start
        self._loaded = False
        self.ensure_loaded()
        self._remember(start - _REMEMBERED)

    def _remember(self, since: int) -> None:
        """Know again which states were left out as repeats: one that comes late may show they were news."""
        repeated = self._store.states.repeats(since)
        if not repeated:
            return
        records = [live.record for live in self._entities if live.record.id in repeated]
        states = by_entity(self._store.states.between(since, None, {record.id for record in records}))
        late = self._store.statistics.dirty()
        for number, state in self._store.states.in_force(records, since, late=late).items():
            states.setdefault(number, []).append(state)
        for record in records:
            self._entities[record.id].remember(states.get(record.id, ()), repeated[record.id])

    def ensure_loaded(self) -> None:
        """Read the open period from the database, if needed; whatever was taken must be stored by then."""
        if self._loaded or self.open is None:
            return
        start = self.open
        # A newest state older than the true one would take what is news for a repeat of it.
        late = self._store.statistics.dirty()
        in_force = self._store.states.in_force(self._entities.records(), start, late=late)
        for live in self._entities:
            live.base = self._store.statistics.latest(live.record.id, start)
            _open_period(live, start, in_force.get(live.record.id))
            live.newest = live.force
        for state in self._store.states.between(start, None):
            live = self._entities[state.entity]
            live.newest = state
            if state.ts < start + MINUTES_5:
                live.feed(state)
        self._loaded = True

    def take(self, live: LiveEntity, state: State) -> Span | None:
        """Take a state that will be stored; returns what it changes in periods already compiled."""
        start = self.open
        if start is None or state.ts >= start + MINUTES_5:
            # What belongs to a later period is read from the database when that opens.
            return None
        in_order = live.force is None or state.ts > live.force.ts
        if state.ts >= start and in_order and self._loaded and not live.stale:
            live.feed(state)
            return None
        live.stale = True
        return Span(state.ts, state.ts) if state.ts < start else None

    def due(self, now: int) -> bool:
        """Whether the open period may be closed."""
        return self.open is not None and is_due(self.open, now)

    def advance(self, now: int, budget_s: float, *, timer: Callable[[], float] = time.perf_counter) -> Closed:
        """Close what is due at `now`, in one transaction, until the budget is spent."""
        closed = Closed()
        self.ensure_loaded()
        if self.open is None:
            return closed
        began = timer()
        first = self.open
        try:
            with self._store.transaction():
                while is_due(self.open, now):
                    self._close(self.open, closed)
                    self.open += MINUTES_5
                    self._open_next(self.open)
                    if timer() - began >= budget_s:
                        break
        except StoreError:
            self.open = first
            self._loaded = False
            raise
        self._unsaved.clear()
        return closed

    def _close(self, start: int, closed: Closed) -> None:
        end = start + MINUTES_5
        self._refresh([live for live in self._entities if live.stale], start)
        rows: list[StoredRow] = []
        for live in self._entities:
            if live.accumulator is None:
                continue
            row = live.accumulator.close(end)
            if row is not None:
                live.base = StoredRow(live.record.id, start, row, 0)
                rows.append(live.base)
                record = keeping(live.record, start, live.accumulator)
                if record is not live.record:
                    live.record = self._unsaved[record.id] = record
        if self._unsaved:
            self._store.put_entities(self._unsaved.values())
        self._store.statistics.put(Table.FIVE_MINUTES, rows)
        self._store.statistics.add_run(start)
        closed.periods += 1
        closed.five_minutes = rows
        if ends_hour(start):
            closed.hour = self._close_hour(hour_of(start))

    def _close_hour(self, start: int) -> list[StoredRow]:
        rows: list[StoredRow] = []
        for live in self._entities:
            found = self._store.statistics.between(Table.FIVE_MINUTES, live.record.id, start, start + HOUR)
            row = hourly([one.row for one in found], live.record.class_at(due_at(start + HOUR - MINUTES_5)))
            if row is not None:
                rows.append(StoredRow(live.record.id, start, row, 0))
        self._store.statistics.put(Table.HOUR, rows)
        frames = [live.force for live in self._entities if live.force is not None]
        self._store.states.put_frames(start + HOUR, frames)
        return rows

    def _refresh(self, lives: Collection[LiveEntity], start: int) -> None:
        """Make the accumulators of these entities again from what is stored."""
        if not lives:
            return
        in_force = self._store.states.in_force([live.record for live in lives], start)
        numbers = {live.record.id for live in lives}
        states = by_entity(self._store.states.between(start, start + MINUTES_5, numbers))
        for live in lives:
            live.base = self._store.statistics.latest(live.record.id, start)
            _open_period(live, start, in_force.get(live.record.id))
            for state in states.get(live.record.id, ()):
                live.feed(state)

    def _open_next(self, start: int) -> None:
        for live in self._entities:
            _open_period(live, start, live.force)
        for state in self._store.states.between(start, start + MINUTES_5):
            self._entities[state.entity].feed(state)


def _open_period(live: LiveEntity, start: int, carried: State | None) -> None:
    live.stale = False
    live.force = carried
    live.accumulator = open_period(live.record, start, live.base, carried)
