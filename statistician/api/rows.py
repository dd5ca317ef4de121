"""Rows of an entity over any range of time: put together, in the units and types that are asked for."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from bus.commands import Code, Refused
from bus.messages import to_iso
from statistician.api import Context, iso
from statistician.arithmetic import HOUR, MINUTES_5, hour_of, period_of, units
from statistician.arithmetic.algorithm import Row, direction
from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.units import convert
from statistician.records import State, StoredRow, Table
from statistician.store.statistics import Extreme, Gathered


class AnswerRow(Struct, omit_defaults=True, kw_only=True):
    """One period of one entity in an answer; what was not asked for or does not apply is absent."""

    start: str
    end: str
    mean: float | None = None
    min: float | None = None
    min_at: str | None = None
    max: float | None = None
    max_at: str | None = None
    state: float | None = None
    sum: float | None = None
    change: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: str | None = None
    coverage: float | None = None


class Period(NamedTuple):
    """A period in ms with its row in the unit of the rows, and how far the sum moved in it."""

    start: int
    end: int
    row: Row
    change: float | None


class Changes:
    """The change of a sum from row to row; `before` gives the row that ends last before a time (ms).

    Where there is none the sum was 0, as Home Assistant has it.
    """

    def __init__(self, before: Callable[[int], Row | None]) -> None:
        self._before = before
        self._end: int | None = None
        self._sum = 0.0

    def period(self, start: int, end: int, row: Row) -> Period:
        """Return the period with its change; periods come in order of time."""
        if row.sum is None:
            return Period(start, end, row, None)
        if start != self._end:
            # Something else may have moved the sum since the row before: an import, hours of an absence.
            base = self._before(start)
            self._sum = 0.0 if base is None or base.sum is None else base.sum
        change = row.sum - self._sum
        self._sum, self._end = row.sum, end
        return Period(start, end, row, change)


Convert = Callable[[float], float]
_VALUES = ("mean", "min", "max", "state")
_SUMS = ("sum", "sum_increase", "sum_decrease")
_ASKED_FOR = frozenset({"min_at", "max_at"})


@dataclass(frozen=True, slots=True)
class Selection:
    """An entity, the types wanted (None: all) and the unit; differences convert without the zero point."""

    live: LiveEntity
    types: frozenset[str] | None
    unit: str | None
    value: Convert
    difference: Convert

    def wants(self, name: str) -> bool:
        """Say whether a type belongs into the answer; what costs reads of its own only where it is named."""
        return name not in _ASKED_FOR if self.types is None else name in self.types

    def answer_row(self, period: Period, min_at: int | None, max_at: int | None) -> AnswerRow:
        """Return a period as it goes into the answer; `min_at` and `max_at` in ms, if they are wanted."""
        row = period.row
        known = row.coverage if self.wants("coverage") else None
        numbers: dict[str, float | None] = {name: getattr(row, name) for name in (*_VALUES, *_SUMS)}
        numbers["change"] = period.change
        for name, number in numbers.items():
            if number is not None:
                how = self.value if name in _VALUES else self.difference
                numbers[name] = _finite(how(number)) if self.wants(name) else None
        return AnswerRow(
            start=to_iso(period.start),
            end=to_iso(period.end),
            min_at=iso(min_at),
            max_at=iso(max_at),
            last_reset=iso(row.last_reset) if self.wants("last_reset") else None,
            coverage=None if known is None else round(known, 6),
            **numbers,
        )


def _finite(number: float) -> float | None:
    # Of numbers near the largest there are, sums and differences may be none.
    return number if math.isfinite(number) else None


def stored_unit(live: LiveEntity) -> str | None:
    """Return the unit of an entity's rows; before the first row that of its states."""
    kept = live.record.kept_unit
    return live.record.unit if kept is None else kept or None


def unit_class(live: LiveEntity) -> str | None:
    """Return the class of units into which an entity's rows can be converted."""
    return units.unit_class(live.record.device_class, stored_unit(live))


def check_units(wanted: Mapping[str, str] | None) -> None:
    """Raise Refused(invalid) for a class or a unit that does not exist."""
    for name, unit in (wanted or {}).items():
        known = ", ".join(units.units_of(name))
        if not known:
            raise Refused(Code.INVALID, f"units: there is no class {name!r}")
        if units.canonical(unit) not in units.units_of(name):
            raise Refused(Code.INVALID, f"units.{name}: {unit!r} is not in it; allowed are {known}")


def select(live: LiveEntity, types: frozenset[str] | None, wanted: Mapping[str, str] | None) -> Selection:
    """Return what is wanted of an entity: in a unit of `wanted`, by class, else that of its states."""
    own = stored_unit(live)
    name = unit_class(live)
    target = (wanted or {}).get(name or "", live.record.unit)
    how = units.conversion(name, units.canonical(own), units.canonical(target)) if name else None
    if how is None or units.canonical(own) == units.canonical(target):
        return Selection(live, types, own, float, float)
    zero = how(0.0)
    return Selection(live, types, target, how, lambda value: how(value) - zero)


# Hours that the database puts together at once: a few ms on the smallest machine.
_AT_ONCE = 2_000 * HOUR
_ROWS_AT_ONCE = 500
_NOTHING = Row(sum=0.0, sum_increase=0.0, sum_decrease=0.0)


class _Piece(NamedTuple):
    """Rows with start <= row start < end, that count for `share` of their time, up to `until`; ms."""

    table: Table
    start: int
    end: int
    share: float
    until: int


class EntityRows:
    """The rows of one entity at `now`, from `first`, the start of the oldest, to `end`, the newest's; ms."""

    def __init__(self, context: Context, live: LiveEntity, now: int) -> None:
        self._store = context.store
        self._record = live.record
        starts = {table: context.store.statistics.first_row(table, live.record.id) for table in Table}
        newest = [
            last + table.length
            for table in Table
            if (last := context.store.statistics.last_row(table, live.record.id)) is not None
        ]
        self._first_five = starts[Table.FIVE_MINUTES]
        self.first = min((start for start in starts.values() if start is not None), default=None)
        self.end = max(newest, default=0)
        # Up to here all is compiled.
        compiled = period_of(now) if context.compiler.open is None else context.compiler.open
        self._until = max(compiled, self.end)
        # Two periods that meet share an hour: what was read of it last.
        self._split: tuple[int, bool] = (-1, False)
        self._shared: tuple[_Piece, Gathered] | None = None

    def fold(self, start: int, end: int) -> Generator[None, None, Row | None]:
        """One row of all from start to end, None without any; a None yielded is a moment for others.

        Means count by their time, as Home Assistant has it. Sums and state are those at the end.
        """
        start, end = self._border(start), min(self._border(end), self._until)
        folding, last = _Folding(), None
        for piece in self._pieces(start, end):
            newest = None
            for since in range(piece.start, piece.end, _AT_ONCE):
                found = self._gathered(piece, since)
                folding.add(found, piece.table.length * piece.share)
                newest = found.last or newest
                yield None
            if newest is not None:
                last = self._at_end(newest, piece)
        return folding.row(last, end - start)

    def rows(self, table: Table, start: int, end: int) -> Iterator[StoredRow | None]:
        """Yield a table's rows as they are, start <= row start < end; a None is a moment for others."""
        if self.first is None:
            return
        start, end = max(start, self.first), min(end, self.end)
        while start < end:
            after = min(end, start + _ROWS_AT_ONCE * table.length)
            yield from self._store.statistics.between(table, self._record.id, start, after)
            yield None
            start = after

    def at(self, ts: int) -> Row | None:
        """Return the sums at a time, as far as they are known; None before the first row."""
        ts = min(self._border(ts), self._until)
        for piece in self._pieces(hour_of(ts), ts):
            newest = self._gathered(piece, piece.start).last
            if newest is not None:
                return self._at_end(newest, piece)
        return self.before(hour_of(ts), Table.HOUR)

    def before(self, ts: int, table: Table) -> Row | None:
        """Return the row that ends last before or at a time; of two that end together that of `table`."""
        found = []
        for kind in Table:
            if kind is Table.FIVE_MINUTES and (self._first_five is None or self._first_five >= ts):
                continue
            stored = self._store.statistics.row_before(kind, self._record.id, ts - kind.length + 1)
            if stored is not None:
                found.append((stored.start + kind.length, kind is table, stored.row))
        return max(found, key=lambda one: one[:2])[2] if found else None

    def following(self, ts: int) -> int | None:
        """Say when the first row begins or goes on after a time; None without any."""
        starts = [
            self._store.statistics.first_row(table, self._record.id, ts - table.length + 1) for table in Table
        ]
        return min((max(ts, start) for start in starts if start is not None), default=None)

    def when(self, extreme: Extreme, value: float, start: int, end: int) -> Generator[None, None, int | None]:
        """Say when the extreme of a range was first reached: the state's time, else its period's start."""
        start, end = self._border(start), min(self._border(end), self._until)
        for piece in self._pieces(start, end):
            for since in range(piece.start, piece.end, _AT_ONCE):
                found = self._with(piece.table, extreme, value, since, min(piece.end, since + _AT_ONCE))
                yield None
                if found is not None:
                    return max(start, self._moment(piece.table, extreme, value, found))
        return None

    def _with(self, table: Table, extreme: Extreme, value: float, start: int, end: int) -> int | None:
        return self._store.statistics.first_with(table, self._record.id, extreme, value, start=start, end=end)

    def _moment(self, table: Table, extreme: Extreme, value: float, start: int) -> int:
        if table is Table.HOUR:
            five = self._with(Table.FIVE_MINUTES, extreme, value, start, start + HOUR)
            if five is None:
                return start
            start = five
        states = self._store.states.between(start, start + MINUTES_5, {self._record.id})
        # A state carried in from before has the value from the period's start on.
        return next((state.ts for state in states if self._is(state, value)), start)

    def _is(self, state: State, value: float) -> bool:
        if not isinstance(state.value, float):
            return False
        try:
            number = convert(state.value, self._record.unit_at(state.ts), self._record.kept_unit)
        except ValueError:
            # Named or changed without a way from one to the other: rows are in the states' numbers.
            number = state.value
        return math.isclose(number, value, rel_tol=1e-9, abs_tol=1e-12)

    def _gathered(self, piece: _Piece, since: int) -> Gathered:
        if self._shared is not None and self._shared[0][:3] == piece[:3]:
            return self._shared[1]
        until = min(piece.end, since + _AT_ONCE)
        found = self._store.statistics.gathered(piece.table, self._record.id, since, until)
        if piece.share < 1:
            self._shared = (piece, found)
        return found

    def _pieces(self, start: int, end: int) -> Iterator[_Piece]:
        """Yield the incomplete first hour, the whole hours and the incomplete last one."""
        if self.first is None:
            return
        start, end = max(start, self.first), min(end, self.end)
        first_whole, last_whole = hour_of(start + HOUR - 1), hour_of(max(0, end))
        if start < min(first_whole, end):
            yield self._part(start, min(first_whole, end))
        if first_whole < last_whole:
            yield _Piece(Table.HOUR, first_whole, last_whole, 1.0, last_whole)
        if first_whole <= last_whole < end:
            yield self._part(last_whole, end)

    def _part(self, start: int, end: int) -> _Piece:
        """Return a part of an hour: from its 5-minute rows, else its share of the hourly row."""
        hour = hour_of(start)
        if self._by_fives(hour):
            return _Piece(Table.FIVE_MINUTES, start, end, 1.0, end)
        return _Piece(Table.HOUR, hour, hour + HOUR, (end - start) / HOUR, end)

    def _border(self, ts: int) -> int:
        """Say where a border counts: a 5-minute row belongs to the range in which it starts."""
        if ts % MINUTES_5 == 0:
            return ts
        return period_of(ts) + (MINUTES_5 if self._by_fives(hour_of(ts)) else 0)

    def _by_fives(self, hour: int) -> bool:
        """Say whether the 5-minute rows of an hour are kept, and are those of which its row was made."""
        if self._split[0] != hour:
            self._split = (hour, self._has_fives(hour))
        return self._split[1]

    def _has_fives(self, hour: int) -> bool:
        if self._first_five is None or self._first_five >= hour + HOUR:
            return False
        number = self._record.id
        fives = self._store.statistics.gathered(Table.FIVE_MINUTES, number, hour, hour + HOUR)
        row = self._store.statistics.gathered(Table.HOUR, number, hour, hour + HOUR)
        if not fives.rows or not row.rows:
            return fives.rows > 0
        # While they are being removed, or once an import took the hour's place, they are not the whole.
        known = None if fives.known is None else fives.known * MINUTES_5 / HOUR
        total, whole = (None if one.last is None else one.last.sum for one in (fives, row))
        return _same(known, row.known) and _same(total, whole)

    def _at_end(self, row: Row, piece: _Piece) -> Row:
        """Return the sums where a piece ends: of an hour that is known as a whole, in proportion to time."""
        done = (piece.until - piece.start) / (piece.end - piece.start)
        if piece.share == 1 or done == 1:
            return row
        base = self.before(piece.start, Table.HOUR)
        if base is None or base.sum is None:
            base = _NOTHING
        return row._replace(
            state=base.state,
            last_reset=base.last_reset,
            sum=_between(base.sum, row.sum, done),
            sum_increase=_between(base.sum_increase, row.sum_increase, done),
            sum_decrease=_between(base.sum_decrease, row.sum_decrease, done),
        )


def answer_row(series: EntityRows, one: Selection, period: Period) -> Generator[None, None, AnswerRow]:
    """Return a period as it goes into the answer, with the times of its extremes where they are wanted."""
    row, lowest, highest = period.row, None, None
    if row.min is not None and one.wants("min_at"):
        lowest = yield from series.when("min", row.min, period.start, period.end)
    if row.max is not None and one.wants("max_at"):
        highest = yield from series.when("max", row.max, period.start, period.end)
    return one.answer_row(period, lowest, highest)


class _Folding:
    """Means, extremes and coverage of pieces."""

    def __init__(self) -> None:
        self._rows = 0
        self._weight = self._mean = self._x = self._y = 0.0
        self._angle = False
        self._known: float | None = None
        self._min, self._max = math.inf, -math.inf

    def add(self, found: Gathered, length: float) -> None:
        """Take rows that count for `length` ms each."""
        self._rows += found.rows
        self._weight += found.means * length
        self._mean += found.mean * length
        for mean, weight in found.angles:
            self._angle = True
            self._x += math.cos(math.radians(mean)) * weight * length
            self._y += math.sin(math.radians(mean)) * weight * length
        if found.min is not None:
            self._min = min(self._min, found.min)
        if found.max is not None:
            self._max = max(self._max, found.max)
        if found.known is not None:
            self._known = (self._known or 0.0) + found.known * length

    def row(self, last: Row | None, length: int) -> Row | None:
        """Return the row of a range of `length` ms with the sums of `last`."""
        if not self._rows:
            return None
        mean = self._mean / self._weight if self._weight else None
        if self._angle:
            mean = direction(self._x, self._y)
        return (last or Row())._replace(
            mean=mean,
            mean_weight=None,
            min=self._min if math.isfinite(self._min) else None,
            max=self._max if math.isfinite(self._max) else None,
            coverage=None if self._known is None else min(1.0, self._known / length),
        )


def _between(before: float | None, after: float | None, share: float) -> float | None:
    return None if before is None or after is None else before + (after - before) * share


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
