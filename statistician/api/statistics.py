"""The verbs statistics and statistic: rows of entities by period, or one value for a whole range."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct, to_builtins

from bus.commands import Code, Refused
from bus.requests import LATEST_MS, Listing, Part, Place
from statistician.api import BY_ROW, Context, Moment, Name, Names, full_name, span, verb, zone
from statistician.api.rows import Changes, EntityRows, Period, Selection, answer_row, check_units, select
from statistician.arithmetic import DAY, HOUR, MINUTES_5, Calendar, hour_of, shifted, start_of
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import LiveEntity
from statistician.records import Table

# Rows an answer may have, over all its pages, and rows that may be read for it.
MOST_ROWS = 50_000
MOST_READ = 1_000_000
_LENGTHS: dict[str, int] = {
    "5minute": MINUTES_5,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
    "month": 28 * DAY,
    "year": 365 * DAY,
}
_TYPES = frozenset[str]({"mean", "min", "max", "change", "coverage"})
_LIMIT = 10
# So many more than wanted are kept before the rest is dropped.
_ROOM = 100


Zone = Annotated[str, Meta(min_length=1, max_length=64)]
PeriodName = Literal["5minute", "hour", "day", "week", "month", "year", "lifetime"]
Number = Literal["mean", "min", "max", "state", "sum", "change", "sum_increase", "sum_decrease", "coverage"]
Type = Number | Literal["last_reset", "min_at", "max_at"]
Units = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=32)]]


class StatisticsOf(Struct, forbid_unknown_fields=True):
    """Rows of entities, by period; `units` maps a unit class to the unit wanted.

    With `order_by` the `limit` (10) greatest, or smallest, of each entity, and how many there are `above`.
    """

    entities: Names
    period: PeriodName = "hour"
    start: Moment | None = None
    end: Moment | None = None
    types: Annotated[tuple[Type, ...], Meta(min_length=1)] | None = None
    units: Units | None = None
    time_zone: Zone | None = None
    order_by: Number | None = None
    descending: bool | None = None
    limit: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    above: float | None = None


class FixedPeriod(Struct, forbid_unknown_fields=True):
    """From start, or ever, to end, or now."""

    start: Moment | None = None
    end: Moment | None = None


class CalendarPeriod(Struct, forbid_unknown_fields=True):
    """The running hour, day, week, month or year, or the one `offset` later."""

    period: Literal["hour", "day", "week", "month", "year"]
    offset: Annotated[int, Meta(ge=-100_000, le=100_000)] = 0


class RollingWindow(Struct, forbid_unknown_fields=True):
    """The last `duration` seconds, moved by `offset` seconds."""

    duration: Annotated[float, Meta(gt=0, le=315_360_000)]
    offset: Annotated[float, Meta(ge=-315_360_000, le=0)] = 0


class StatisticOf(Struct, forbid_unknown_fields=True):
    """One value for a whole range; exactly one of the three ranges."""

    entity: Name
    fixed_period: FixedPeriod | None = None
    calendar: CalendarPeriod | None = None
    rolling_window: RollingWindow | None = None
    types: (
        Annotated[
            tuple[Literal["mean", "min", "max", "change", "coverage", "min_at", "max_at"], ...],
            Meta(min_length=1),
        ]
        | None
    ) = None
    units: Units | None = None
    time_zone: Zone | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which type ranks periods, in the unit of the answer; only those `above` count."""

    order_by: Number
    descending: bool
    limit: int
    above: float | None

    def best(
        self, one: Selection, periods: Iterator[Period | None]
    ) -> Generator[None, None, tuple[int, list[Period]]]:
        """Count how many periods count, and the first `limit` of them; of equal ones the earlier is first."""
        count = 0
        found: list[tuple[float, int, Period]] = []
        for period in periods:
            if period is None:
                yield None
                continue
            value: float | None = getattr(one.answer_row(period, None, None), self.order_by)
            if value is None or (self.above is not None and value <= self.above):
                continue
            count += 1
            found.append((-value if self.descending else value, period.start, period))
            if len(found) > self.limit + _ROOM:
                found = sorted(found)[: self.limit]
        return count, [period for _, _, period in sorted(found)[: self.limit]]


def ranking(params: StatisticsOf) -> Ranking | None:
    """Return what a request ranks by; None if it wants all in order of time. Raises Refused."""
    if params.order_by is None:
        for field in ("descending", "limit", "above"):
            if getattr(params, field) is not None:
                raise Refused(Code.INVALID, f"{field}: it goes with order_by, the type that is ranked")
        return None
    return Ranking(
        params.order_by,
        descending=params.descending is not False,
        limit=_LIMIT if params.limit is None else params.limit,
        above=params.above,
    )


@dataclass(frozen=True, slots=True)
class _Range:
    """What to read: rows of a table with start <= row start < end, put together by `period`; ms."""

    table: Table
    length: int
    start: int
    end: int
    period: PeriodName
    zone: tzinfo


@verb(StatisticsOf, asker="viewer", pages=BY_ROW)
def statistics(context: Context, params: StatisticsOf, place: Place) -> Listing:
    """Rows by entity; a period without rows is absent. Raises Refused."""
    lives = context.find_all(params.entities, "entities")
    start, end = span(params.start, params.end)
    if end is None:
        end = place.now
    where = _range(
        params.period, _start(context, lives, params.period, start, end), end, zone(params.time_zone)
    )
    _check_size(where, len(lives))
    check_units(params.units)
    ranks = ranking(params)
    ranked = () if ranks is None else (ranks.order_by,)
    types = None if params.types is None else frozenset[str]((*params.types, *ranked))
    selections = [select(live, types, params.units) for live in lives]
    counts: dict[str, int] = {}

    def parts() -> Iterator[Part | None]:
        first, after = (0, -1) if place.after is None else (int(place.after[0]), int(place.after[1]))
        for number, one in enumerate(selections[max(0, first) :], max(0, first)):
            series = EntityRows(context, one.live, place.now)
            behind = after if number == first else -1
            if ranks is None:
                yield from _in_order(series, one, number, _behind(behind, where))
                continue
            count, best = yield from ranks.best(one, _periods(series, where))
            counts[full_name(one.live.record)] = count
            for rank, period in enumerate(best[behind + 1 :], behind + 1):
                shown = yield from answer_row(series, one, period)
                yield Part((number, rank), shown)

    return Listing(parts(), lambda found: _by_entity(selections, found, None if ranks is None else counts))


def _in_order(series: EntityRows, one: Selection, number: int, where: _Range) -> Iterator[Part | None]:
    for period in _periods(series, where):
        if period is None:
            yield None
        else:
            shown = yield from answer_row(series, one, period)
            yield Part((number, period.start), shown)


def _behind(after: int, where: _Range) -> _Range:
    """Return what is left behind the period that ended the page before; none ended it below 0."""
    return where if after < 0 else replace(where, start=_bounds(after, where)[1])


def _by_entity(selections: Sequence[Selection], found: list[Part], counts: dict[str, int] | None) -> object:
    rows: dict[str, list[object]] = {}
    for part in found:
        rows.setdefault(full_name(selections[int(part.key[0])].live.record), []).append(part.value)
    answer: dict[str, object] = {
        "units": {full_name(one.live.record): one.unit for one in selections},
        "rows": rows,
    }
    return answer if counts is None else answer | {"count": counts}


def _start(
    context: Context, lives: Sequence[LiveEntity], period: PeriodName, start: int | None, end: int
) -> int:
    """Nothing is older than the oldest row: an early start costs nothing."""
    tables = {"5minute": [Table.FIVE_MINUTES], "hour": [Table.HOUR]}.get(period, list(Table))
    found = [context.store.statistics.first_row(table, live.record.id) for table in tables for live in lives]
    oldest = min((first for first in found if first is not None), default=end)
    return oldest if start is None else min(max(start, oldest), end)


def _range(period: PeriodName, start: int, end: int, where: tzinfo) -> _Range:
    if period == "5minute":
        return _Range(Table.FIVE_MINUTES, MINUTES_5, start, end, period, where)
    if period in ("hour", "lifetime"):
        return _Range(Table.HOUR, HOUR, start, end, period, where)
    calendar = cast("Calendar", period)
    try:
        first = start_of(start, calendar, where)
        last = start_of(end - 1, calendar, where) if end > start else first
        after = shifted(last, calendar, 1, where) if end > start else first
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"start, end: {error}") from error
    return _Range(Table.HOUR, HOUR, first, after, period, where)


def _check_size(where: _Range, entities: int) -> None:
    long = where.end - where.start
    rows = 0 if where.period == "lifetime" else entities * (long // _LENGTHS[where.period])
    if rows > MOST_ROWS:
        raise Refused(
            Code.LIMIT,
            f"start: {rows} rows lie before end, more than {MOST_ROWS}; ask for a longer period,"
            " a shorter range or fewer entities",
        )
    reads = entities * (long // where.length)
    if reads > MOST_READ:
        raise Refused(
            Code.LIMIT,
            f"start: {reads} rows would be read, more than {MOST_READ}; ask for a shorter range"
            " or fewer entities",
        )


def _periods(series: EntityRows, where: _Range) -> Iterator[Period | None]:
    """Yield the periods that have rows, in order of time: stored rows as they are, else rows put together."""
    if where.period in ("5minute", "hour"):
        changes = Changes(lambda ts: series.before(ts, where.table))
        for stored in series.rows(where.table, where.start, where.end):
            if stored is None:
                yield None
            else:
                yield changes.period(stored.start, stored.start + where.length, stored.row)
        return
    changes = Changes(series.at)
    start: int | None = series.following(where.start)
    while start is not None and start < where.end:
        start, end = _bounds(start, where)
        if where.period == "lifetime":
            end = min(where.end, series.end)
        row = yield from series.fold(start, end)
        if row is not None:
            yield changes.period(start, end, row)
        start = end if row is not None and end < series.end else series.following(end)


def _bounds(start: int, where: _Range) -> tuple[int, int]:
    if where.period in ("5minute", "hour"):
        return start, start + where.length
    if where.period == "lifetime":
        return start, LATEST_MS
    calendar = cast("Calendar", where.period)
    first = start_of(start, calendar, where.zone)
    return first, shifted(first, calendar, 1, where.zone)


@verb(StatisticOf, asker="viewer")
def statistic(context: Context, params: StatisticOf, place: Place) -> Listing:
    """From hourly rows, and 5-minute rows where an hour is not whole. Raises Refused."""
    live = context.find(params.entity, "entity")
    start, end = _asked_range(params, place.now)
    check_units(params.units)
    types = _TYPES if params.types is None else frozenset[str](params.types)
    one = select(live, types, params.units)
    return Listing.whole(_parts(context, one, start, min(end, place.now), place.now))


def _asked_range(params: StatisticOf, now: int) -> tuple[int | None, int]:
    given = [r for r in (params.fixed_period, params.calendar, params.rolling_window) if r is not None]
    if len(given) != 1:
        raise Refused(
            Code.INVALID, "fixed_period, calendar, rolling_window: exactly one of the three is needed"
        )
    (one,) = given
    if isinstance(one, RollingWindow):
        end = now + int(one.offset * 1000)
        return max(0, end - int(one.duration * 1000)), end
    if isinstance(one, CalendarPeriod):
        return _calendar(one, params.time_zone, now)
    start, until = span(one.start, one.end, "fixed_period.")
    return start, now if until is None else until


def _calendar(one: CalendarPeriod, name: str | None, now: int) -> tuple[int, int]:
    where = zone(name)
    if one.period == "hour":
        start = hour_of(now) + one.offset * HOUR
        return start, start + HOUR
    try:
        start = shifted(now, one.period, one.offset, where)
        return start, shifted(start, one.period, 1, where)
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"calendar.offset: {error}") from error


def _parts(context: Context, one: Selection, start: int | None, end: int, now: int) -> Iterator[Part | None]:
    series = EntityRows(context, one.live, now)
    if start is None:
        start = end if series.first is None else min(end, series.first)
    row = yield from series.fold(start, end)
    period = Changes(series.at).period(start, end, row or Row())
    found = yield from answer_row(series, one, period)
    yield Part((), {"entity": full_name(one.live.record), "unit": one.unit} | to_builtins(found))
