"""Closes 5-minute periods and hours: live from accumulators, after an absence from the stored states."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from bus.health import spares
from bus.messages import machine_zone
from statistician.arithmetic import (
    HOUR,
    MINUTES_5,
    another_day,
    due_at,
    ends_hour,
    hour_of,
    is_due,
    period_of,
)
from statistician.arithmetic.algorithm import Row, hourly
from statistician.arithmetic.live import LiveEntity, keeping, open_period
from statistician.entities import Entities
from statistician.records import EntityRecord, Event, Heard, Span, State, StoredRow, StoreError, Table
from statistician.store import Store
from statistician.store.states import by_entity

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
        for live in self._entities:
            # They may have been dated anew.
            live.remember((), ())
        repeated = by_entity(self._store.states.repeats(since, None))
        if not repeated:
            return
        records = [live.record for live in self._entities if live.record.id in repeated]
        states = by_entity(self._store.states.between(since, None, {record.id for record in records}))
        late = self._store.statistics.dirty()
        for number, state in self._store.states.in_force(records, since, late=late).items():
            states.setdefault(number, []).append(state)
        for record in records:
            times = [one.ts for one in repeated[record.id]]
            self._entities[record.id].remember(states.get(record.id, ()), times)

    def ensure_loaded(self) -> None:
        """Read the open period from the database, if needed; whatever was taken must be stored by then."""
        if self._loaded or self.open is None:
            return
        start = self.open
        # A newest state older than the true one would take what is news for a repeat of it.
        late = self._store.statistics.dirty()
        records = self._entities.records()
        self._open(self._entities, start, late)
        for live in self._entities:
            live.newest = live.force
        for event in self._store.states.events(start, None, records):
            live = self._entities[event.entity]
            if isinstance(event, State):
                live.newest = event
            if event.ts < start + MINUTES_5:
                _feed(live, event)
        self._loaded = True

    def take(self, live: LiveEntity, event: Event) -> Span | None:
        """Take a state or repeat that will be stored; returns what it changes in periods already compiled."""
        start = self.open
        if start is None or event.ts >= start + MINUTES_5:
            # What belongs to a later period is read from the database when that opens.
            return None
        if isinstance(event, Heard) and live.record.remembers is None:
            # A value that does not expire is known all the same.
            return None
        in_order = live.force is None or event.ts > live.force_heard
        if event.ts >= start and in_order and self._loaded and not live.stale:
            _feed(live, event)
            return None
        live.stale = True
        return Span(event.ts, event.ts) if event.ts < start else None

    def spoiled(self) -> dict[str, Exception]:
        """Return the entities without a row for an error that nobody expected, since the last call."""
        found = {f"{e.record.device}.{e.record.entity}": e.spoiled for e in self._entities if e.spoiled}
        for live in self._entities if found else ():
            live.spoiled = None
        return found

    def due(self, now: int) -> bool:
        """Say whether the open period may be closed."""
        return self.open is not None and is_due(self.open, now)

    def leave(self, start: int) -> None:
        """Finish every period and hour that has states, then go on at `start`."""
        self.ensure_loaded()
        if self.open is not None:
            newest = self._store.states.last(start) or 0
            with self._store.transaction():
                while True:
                    left = self.open
                    self._close(left, Closed())
                    if left + MINUTES_5 > newest:
                        break
                    self.open = left + MINUTES_5
                    self._open_next(self.open)
                if not ends_hour(left):
                    self._close_hour(hour_of(left))
            self._unsaved.clear()
        self.begin(start)

    def roll_back(self, now: int) -> int:
        """Forget what was compiled of the time after `now`: the clock was ahead. Returns how many periods."""
        if self.open is None or self.open <= now:
            return 0
        start = period_of(now)
        with self._store.transaction():
            removed = self._store.statistics.remove_from(start)
            self._store.states.remove_frames_after(start)
        last, first = self._store.statistics.last_run(), self._store.states.first()
        if last is not None:
            start = min(start, last + MINUTES_5)
        elif first is not None:
            start = min(start, period_of(first))
        self.begin(start)
        return removed

    def reload(self) -> None:
        """Read everything again after stored states were changed."""
        if self.open is not None:
            self.begin(self.open)

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
            accumulator, row = live.accumulator, _close(live, end)
            if row is not None:
                live.base = StoredRow(live.record.id, start, row, 0)
                rows.append(live.base)
                record = keeping(live.record, start, accumulator)
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
        self._open(lives, start)
        for event in self._store.states.events(start, start + MINUTES_5, [live.record for live in lives]):
            _feed(self._entities[event.entity], event)

    def _open(self, lives: Iterable[LiveEntity], start: int, late: dict[int, Span] | None = None) -> None:
        """Open a period of these entities on what is stored; `late`: what awaits correction."""
        records = [live.record for live in lives]
        in_force = self._store.states.in_force(records, start, late=late)
        heard = self._store.states.heard(records, start)
        for live in lives:
            live.base = self._store.statistics.latest(live.record.id, start)
            _open_period(live, start, in_force.get(live.record.id), heard.get(live.record.id, 0))

    def _open_next(self, start: int) -> None:
        for live in self._entities:
            _open_period(live, start, live.force, live.force_heard)
        for event in self._store.states.events(start, start + MINUTES_5, self._entities.records()):
            _feed(self._entities[event.entity], event)


@spares(LiveEntity.spoil)
def _feed(live: LiveEntity, event: Event) -> None:
    live.feed(event)


@spares(LiveEntity.spoil)
def _close(live: LiveEntity, end: int) -> Row | None:
    return live.close(end)


@spares(LiveEntity.spoil)
def _open_period(live: LiveEntity, start: int, carried: State | None, heard: int) -> None:
    live.stale = False
    live.force = carried
    live.force_heard = heard if carried is None else max(heard, carried.ts)
    live.accumulator = open_period(live.record, start, live.base, carried, heard=heard, new_day=new_day)


def new_day(before: int, ts: int) -> bool:
    """Say whether a silent night lies between two readings (ms)."""
    return another_day(before, ts, machine_zone())
