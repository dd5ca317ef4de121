"""Makes compiled rows again where states came late: the rows are those had the states come in time."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from bus.health import fault_in
from statistician.arithmetic import HOUR, MINUTES_5, due_at, hour_of, period_of
from statistician.arithmetic.algorithm import Row, hourly
from statistician.arithmetic.live import keeping, open_period
from statistician.compile import new_day
from statistician.entities import Entities
from statistician.records import Event, Span, State, StoredRow, StoreError, Table
from statistician.store import Store
from statistician.store.states import by_entity

# Late readings come in crowds: wait until they are through, but not for ever, seconds.
_QUIET_S = 1.0
_AT_MOST_S = 30.0
# Stands for a period without a row.
_NONE = Row()


@dataclass(slots=True)
class _Walker:
    """One entity on its way from the first wrong period to where rows are right again."""

    number: int
    span: Span
    base: StoredRow | None = None
    carried: State | None = None
    # When the value carried in was heard last, ms.
    heard: int = 0
    # Whether the newest row so far, on which later sums build, is another than before.
    base_changed: bool = False
    frame_changed: bool = False


@dataclass(slots=True)
class Corrected:
    """The periods (table, start) in which rows changed, by entity number."""

    changed: set[tuple[Table, int, int]] = field(default_factory=set)
    finished: bool = False


class Correction:
    """One walk over everything dirty, hour by hour, oldest first; abandon it on StoreError and start anew."""

    def __init__(self, store: Store, entities: Entities, dirty: dict[int, Span]) -> None:
        self._store = store
        self._entities = entities
        self.spans = dict(dirty)
        first = store.states.first() or 0
        spans = [(n, self._from_the_oldest(n, s) if s.since < first else s) for n, s in dirty.items()]
        self._waiting = sorted(spans, key=lambda item: item[1].since, reverse=True)
        self._walking: dict[int, _Walker] = {}
        self._done: list[int] = []
        self._hour = hour_of(self._waiting[-1][1].since)
        # Rows that a user brought stay.
        self._imported = store.fixes.imported(dirty)
        self._result = Corrected()
        self._first_run = store.statistics.first_run()
        self._runs: set[int] = set()

    def _from_the_oldest(self, number: int, span: Span) -> Span:
        """Return the span without the time from which an entity has neither states nor rows."""
        oldest = [self._store.states.first(), *(self._store.statistics.first_row(t, number) for t in Table)]
        since = max(span.since, min(at for at in oldest if at is not None))
        return Span(since, max(since, span.until))

    def work(
        self,
        before: int,
        budget_s: float,
        *,
        also: dict[int, Span],
        timer: Callable[[], float] = time.perf_counter,
    ) -> Corrected:
        """Correct periods before `before` until the budget is spent; what is dirty `also` stays marked."""
        result = self._result = Corrected()
        began = timer()
        with self._store.transaction():
            while not result.finished:
                if self._hour < before:
                    self._walk_hour(before)
                if self._hour >= before:
                    # Never pause in an hour that goes on: what closes meanwhile would be passed over.
                    self._done += [*self._walking, *(number for number, _ in self._waiting)]
                    self._walking, self._waiting = {}, []
                result.finished = not self._walking and not self._waiting
                if timer() - began >= budget_s:
                    break
            self._remember(also)
        return result

    def _remember(self, also: dict[int, Span]) -> None:
        # After a crash in mid-walk the rows corrected so far must not look like the end of the change.
        reached = {n: Span(w.span.since, max(w.span.until, self._hour)) for n, w in self._walking.items()}
        self.spans.update(reached)
        for number in self._done:
            self.spans.pop(number, None)
            # Its open period may have begun on what was wrong.
            self._entities[number].stale = True
        self._store.statistics.remove_dirty(self._done)
        self._done = []
        marked = dict(reached)
        merge(marked, also.items())
        self._store.statistics.put_dirty(marked)

    def _walk_hour(self, before: int) -> None:
        hour = self._hour
        if not self._walking and self._waiting:
            # Nothing is wrong until the next one begins.
            hour = max(hour, hour_of(self._waiting[-1][1].since))
            if hour >= before:
                self._hour = hour
                return
        joining = self._join(hour)
        start = min([period_of(w.span.since) for w in joining], default=hour)
        if len(self._walking) > len(joining):
            start = hour
        self._runs = self._store.statistics.runs(hour, hour + HOUR)
        records = [self._entities[number].record for number in self._walking]
        events = by_entity(self._store.states.events(start, min(hour + HOUR, before), records))
        for walker in list(self._walking.values()):
            since = max(hour, period_of(walker.span.since))
            its = events.get(walker.number, [])
            fault = fault_in(partial(self._walk, walker, since, before, its), StoreError)
            if fault is not None:
                # Its rows stay as they are.
                self._entities[walker.number].spoiled = fault
            if fault is not None or self._settled(walker, hour + HOUR, before):
                del self._walking[walker.number]
                self._done.append(walker.number)
        self._hour = hour + HOUR

    def _join(self, hour: int) -> list[_Walker]:
        groups: dict[int, list[_Walker]] = {}
        while self._waiting and self._waiting[-1][1].since < hour + HOUR:
            number, span = self._waiting.pop()
            self._walking[number] = walker = _Walker(number, span)
            groups.setdefault(period_of(span.since), []).append(walker)
        for start, walkers in groups.items():
            records = [self._entities[walker.number].record for walker in walkers]
            in_force = self._store.states.in_force(records, start)
            heard = self._store.states.heard(records, start)
            for walker in walkers:
                walker.base = self._store.statistics.latest(walker.number, start)
                walker.carried = in_force.get(walker.number)
                walker.heard = heard.get(walker.number, 0)
        return [walker for walkers in groups.values() for walker in walkers]

    def _walk(self, walker: _Walker, since: int, before: int, events: list[Event]) -> None:
        """Make the rows of one entity from `since` to the end of its hour again."""
        hour = hour_of(since)
        number = walker.number
        table = self._store.statistics
        kept = {row.start: row for row in table.between(Table.FIVE_MINUTES, number, hour, hour + HOUR)}
        coming = deque(event for event in events if event.ts >= since)
        for start in range(since, min(hour + HOUR, before), MINUTES_5):
            row = self._period(walker, start, coming)
            record = self._entities[number].record
            if record.class_at(due_at(start)) is None or self._was_skipped(start):
                # There is nothing to put in place of what stands.
                continue
            new = StoredRow(number, start, row or _NONE, 0)
            changed = self._replace(Table.FIVE_MINUTES, new, kept)
            if row is not None or changed:
                walker.base_changed = changed
            if row is not None:
                walker.base = new
        periods = range(hour, hour + HOUR, MINUTES_5)
        if hour + HOUR <= before and not all(self._was_skipped(start) for start in periods):
            self._finish_hour(walker, hour, kept)

    def _was_skipped(self, start: int) -> bool:
        """Say whether a period was never compiled, since nobody was there for longer than states are kept."""
        return self._first_run is not None and start > self._first_run and start not in self._runs

    def _period(self, walker: _Walker, start: int, coming: deque[Event]) -> Row | None:
        live = self._entities[walker.number]
        collector = open_period(
            live.record, start, walker.base, walker.carried, heard=walker.heard, new_day=new_day
        )
        while coming and coming[0].ts < start + MINUTES_5:
            event = coming.popleft()
            walker.heard = event.ts
            if isinstance(event, State):
                walker.carried = event
                if collector is not None:
                    collector.feed(event.ts, event.value, event.last_reset)
            elif collector is not None:
                collector.hear(event.ts)
        row = None if collector is None else collector.close(start + MINUTES_5)
        if row is not None and collector is not None and live.record.kept_unit is None:
            live.record = keeping(live.record, start, collector)
            self._store.put_entities([live.record])
        return row

    def _replace(self, table: Table, new: StoredRow, kept: dict[int, StoredRow]) -> bool:
        """Put a row in place of the one in `kept`; whether they differ."""
        old = kept.get(new.start)
        if new.row == (old.row if old else _NONE):
            return False
        if new.row is _NONE:
            self._store.statistics.remove(table, new.entity, new.start)
            del kept[new.start]
        else:
            kept[new.start] = new._replace(rev=old.rev + 1 if old else 1)
            self._store.statistics.put(table, [kept[new.start]])
        self._result.changed.add((table, new.start, new.entity))
        return True

    def _finish_hour(self, walker: _Walker, hour: int, kept: dict[int, StoredRow]) -> None:
        number = walker.number
        record = self._entities[number].record
        state_class = record.class_at(due_at(hour + HOUR - MINUTES_5))
        row = hourly([kept[start].row for start in sorted(kept)], state_class)
        old = {one.start: one for one in self._store.statistics.between(Table.HOUR, number, hour, hour + 1)}
        if hour not in self._imported.get(number, ()):
            self._replace(Table.HOUR, StoredRow(number, hour, row or _NONE, 0), old)
        frame = self._store.states.frame_at(number, hour + HOUR)
        walker.frame_changed = frame != walker.carried
        if walker.frame_changed and walker.carried is not None:
            self._store.states.put_frames(hour + HOUR, [walker.carried])

    def _settled(self, walker: _Walker, end: int, before: int) -> bool:
        """Say whether nothing after `end` can differ from what stands."""
        return end <= before and end > walker.span.until and not (walker.base_changed or walker.frame_changed)


class Corrector:
    """Makes rows again where states came late: a Correction at a time, once a crowd is through.

    `dirty` is what awaits the next one, by entity number. Times are monotonic seconds.
    """

    def __init__(self, store: Store, entities: Entities) -> None:
        self._store = store
        self._entities = entities
        self.dirty: dict[int, Span] = store.statistics.dirty()
        self._walk: Correction | None = None
        # Whether nothing else is to be waited for.
        self.hurried = False
        # Since when something waits, and when the newest was marked.
        self._since: float | None = None
        self._marked_at = float("-inf")

    @property
    def walking(self) -> dict[int, Span]:
        """What is being corrected."""
        return self._walk.spans if self._walk is not None else {}

    @property
    def busy(self) -> bool:
        """Whether a correction is on its way."""
        return self._walk is not None

    def mark(self, number: int, span: Span, now: float) -> None:
        """Mark what changed in closed periods of an entity."""
        self._marked_at = now
        merge(self.dirty, [(number, span)])

    def due(self, now: float) -> bool:
        """Say whether there is something to correct now."""
        if self._walk is not None:
            return True
        if not self.dirty:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        quiet = now - self._marked_at >= _QUIET_S
        return self.hurried or quiet or now - self._since >= _AT_MOST_S

    def work(self, before: int, budget_s: float) -> Corrected:
        """Correct periods before `before` (ms) until the budget is spent.

        Raises StoreError; then all of it awaits correction again.
        """
        if self._walk is None:
            self._walk = Correction(self._store, self._entities, self.dirty)
            self.dirty, self._since = {}, None
        try:
            result = self._walk.work(before, budget_s, also=self.dirty)
        except StoreError:
            self.give_up()
            raise
        if result.finished:
            self._walk = None
        return result

    def give_up(self) -> dict[int, Span]:
        """Abandon a correction on its way; returns what awaits correction."""
        if self._walk is not None:
            merge(self.dirty, self._walk.spans.items())
            self._walk = None
        return self.dirty


def merge(into: dict[int, Span], spans: Iterable[tuple[int, Span]]) -> None:
    """Add what is dirty to what was."""
    for number, span in spans:
        known = into.get(number)
        into[number] = known.join(span) if known else span
