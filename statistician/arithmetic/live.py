"""One entity as the process knows it now: newest state, what was left out, the open period and its unit."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE
from bus.messages import Value
from statistician.arithmetic import MINUTES_5, due_at
from statistician.arithmetic.algorithm import Accumulator, NewDay, Row, Sum, accumulator
from statistician.arithmetic.counters import Counter
from statistician.arithmetic.units import Conversion, canonical, conversion, unit_class
from statistician.clock import EntityClock
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
        *("accumulator", "base", "clock", "counter", "cut", "force", "force_heard", "newest"),
        *("own_times", "recent", "record", "repeats", "spoiled", "stale"),
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
        """Say whether another counter was there at the second time: what it says is no repetition."""
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
        """Say since when states are in the unit that an about at `now` names.

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


def _since(history: tuple[Since, ...], since: int, word: str | None) -> tuple[Since, ...]:
    """Return the history with a word in force from `since` on; the first word was in force before, too."""
    if not history:
        return (Since(0, word),)
    if history[-1].word == word:
        return history
    since = max(since, history[-1].since)
    kept = tuple(one for one in history if one.since < since)
    return (*kept, Since(since, word))[-_REMEMBERED:]


class _Converting:
    """Brings each number to the unit the statistics are kept in; what has none of its class is unknown."""

    __slots__ = ("_class", "_conversions", "_into", "_record", "_spoiled", "unit")

    def __init__(self, record: EntityRecord, into: Accumulator) -> None:
        self._record = record
        self._into = into
        self._class: str | None = None
        self._conversions: dict[str, Conversion | None] = {}
        self._spoiled = False
        # Empty until a unit is named: naming it later does not change the scale.
        self.unit = ""
        if record.kept_unit:
            self._set_unit(canonical(record.kept_unit))

    def _set_unit(self, unit: str) -> None:
        self.unit = unit
        self._class = unit_class(self._record.device_class, unit)

    def carry(self, start: int, heard: int, value: Value, last_reset: int | None) -> None:
        self._into.carry(start, heard, self._converted(value, self._record.unit_at(heard)), last_reset)

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        self._into.feed(ts, self._converted(value, self._record.unit_at(ts)), last_reset)

    def hear(self, ts: int) -> None:
        self._into.hear(ts)

    def _converted(self, value: Value, said: str | None) -> Value:
        if not isinstance(value, float):
            return value
        unit = canonical(said)
        if not self.unit and unit:
            self._set_unit(unit)
        return value if unit == self.unit else self._from_other(value, unit)

    def _from_other(self, value: float, unit: str) -> float | None:
        if self._class is None:
            # Without a converter one strange unit spoils the period.
            self._spoiled = True
            return None
        if unit not in self._conversions:
            self._conversions[unit] = conversion(self._class, unit, self.unit)
        how = self._conversions[unit]
        number = math.inf if how is None else how(value)
        return number if math.isfinite(number) else None

    def close(self, end: int) -> Row | None:
        return None if self._spoiled else self._into.close(end)


def open_period(
    record: EntityRecord,
    start: int,
    base: StoredRow | None,
    carried: State | None,
    *,
    heard: int,
    new_day: NewDay,
) -> Accumulator | None:
    """Return an accumulator with the state carried in, last heard at `heard`; None: there can be no row.

    The class that counts is the one in force when the period is due, whenever it is compiled.
    """
    kind = record.class_at(due_at(start))
    if kind is None or start < record.begins or not _goes_with(_angle(kind), record.kept_angle):
        return None
    after = -1 if base is None else base.start
    adjustment = record.adjusted(after, start) if record.adjustments else 0.0
    into = accumulator(
        kind,
        None if base is None else base.row,
        adjustment,
        expire=record.expire,
        since=0 if base is None else base.start + MINUTES_5,
        new_day=new_day if record.daily else None,
    )
    if into is None:
        return None
    later: list[int] = []
    if record.renewals and isinstance(into, Sum):
        pending, done = _renewals(record, start, base)
        known = -1 if carried is None else carried.ts
        into.renew([at for at in pending if at < known], done)
        later = [at for at in pending if at >= known]
    collector = into if _is_plain(record) else _Converting(record, into)
    if carried is not None:
        collector.carry(start, max(heard, carried.ts), carried.value, carried.last_reset)
    if later and isinstance(into, Sum):
        # What is carried in counts from the period's start on, but it is not from after these.
        into.renew(later, None)
    return collector


def _renewals(record: EntityRecord, start: int, base: StoredRow | None) -> tuple[list[int], int | None]:
    """Say since when the counter is another one that the base does not know, and the latest that it knows."""
    reset = None if base is None else base.row.last_reset
    pending = [at for at in record.renewals if at < start + MINUTES_5 and (reset is None or at > reset)]
    return pending, reset if reset in record.renewals else None


def _is_plain(record: EntityRecord) -> bool:
    """Say whether every state is in the unit of the rows: nearly always so."""
    if len(record.units) > 1:
        return False
    return record.kept_unit is None or canonical(record.kept_unit) == canonical(record.unit)


def _angle(kind: str | None) -> bool | None:
    """Say whether means of a class are directions; None if it has no means."""
    if kind == MEASUREMENT_ANGLE:
        return True
    return False if kind == MEASUREMENT else None


def _goes_with(angle: bool | None, kept: bool | None) -> bool:  # noqa: FBT001 — two of a kind, compared
    return angle is None or kept is None or angle == kept


def keeping(record: EntityRecord, start: int, collector: Accumulator) -> EntityRecord:
    """Return the record once the collector has made a row: unit and kind of rows are settled then."""
    unit = collector.unit if isinstance(collector, _Converting) else canonical(record.unit)
    angle = _angle(record.class_at(due_at(start)))
    if record.kept_unit == unit and record.kept_angle is angle:
        return record
    return replace(record, kept_unit=unit if not record.kept_unit else record.kept_unit, kept_angle=angle)
