"""The verb statistics: rows of entities by 5 minutes, hour, day, week, month, year, or all in one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import cast

from bus.commands import Code, Refused
from bus.requests import LATEST_MS, Listing, Part, Place
from statistician import calendar_periods
from statistician import store_queries as queries
from statistician.calendar_periods import Calendar
from statistician.live import LiveEntity
from statistician.periods import DAY, HOUR, MINUTES_5
from statistician.records import Table
from statistician.requests.ground import Ground, full_name, span, zone
from statistician.requests.params import Period as PeriodName
from statistician.requests.params import StatisticsOf
from statistician.requests.ranking import Ranking, ranking
from statistician.requests.rows import Changes, Period
from statistician.requests.series import Series, line
from statistician.requests.wishes import Wish, check_units, wish

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


@dataclass(frozen=True, slots=True)
class _Range:
    """What to read: rows of a table with start <= row start < end, put together by `period`; ms."""

    table: Table
    length: int
    start: int
    end: int
    period: PeriodName
    zone: tzinfo


def statistics(ground: Ground, params: StatisticsOf, place: Place) -> Listing:
    """Rows by entity; a period without rows is absent. Raises Refused."""
    lives = ground.find_all(params.entities, "entities")
    start, end = span(params.start, params.end)
    if end is None:
        end = place.now
    where = _range(
        params.period, _start(ground, lives, params.period, start, end), end, zone(params.time_zone)
    )
    _check_size(where, len(lives))
    check_units(params.units)
    ranks = ranking(params)
    types = None if params.types is None else frozenset[str]((*params.types, *_ranked_by(ranks)))
    wishes = [wish(live, types, params.units) for live in lives]
    counts: dict[str, int] = {}

    def parts() -> Iterator[Part | None]:
        first, after = (0, -1) if place.after is None else (int(place.after[0]), int(place.after[1]))
        for number, one in enumerate(wishes[max(0, first) :], max(0, first)):
            series = Series(ground, one.live, place.now)
            behind = after if number == first else -1
            if ranks is None:
                yield from _in_order(series, one, number, _behind(behind, where))
                continue
            count, best = yield from ranks.best(one, _periods(series, where))
            counts[full_name(one.live)] = count
            for rank, period in enumerate(best[behind + 1 :], behind + 1):
                shown = yield from line(series, one, period)
                yield Part((number, rank), shown)

    return Listing(parts(), lambda found: _by_entity(wishes, found, None if ranks is None else counts))


def _ranked_by(ranks: Ranking | None) -> tuple[str, ...]:
    return () if ranks is None else (ranks.order_by,)


def _in_order(series: Series, one: Wish, number: int, where: _Range) -> Iterator[Part | None]:
    for period in _periods(series, where):
        if period is None:
            yield None
        else:
            shown = yield from line(series, one, period)
            yield Part((number, period.start), shown)


def _behind(after: int, where: _Range) -> _Range:
    """What is left behind the period that ended the page before; none ended it below 0."""
    return where if after < 0 else replace(where, start=_bounds(after, where)[1])


def _by_entity(wishes: Sequence[Wish], found: list[Part], counts: dict[str, int] | None) -> object:
    rows: dict[str, list[object]] = {}
    for part in found:
        rows.setdefault(full_name(wishes[int(part.key[0])].live), []).append(part.value)
    answer: dict[str, object] = {"units": {full_name(one.live): one.unit for one in wishes}, "rows": rows}
    return answer if counts is None else answer | {"count": counts}


def _start(
    ground: Ground, lives: Sequence[LiveEntity], period: PeriodName, start: int | None, end: int
) -> int:
    """Nothing is older than the oldest row: an early start costs nothing."""
    tables = {"5minute": [Table.FIVE_MINUTES], "hour": [Table.HOUR]}.get(period, list(Table))
    found = [queries.first_row(ground.store, table, live.record.id) for table in tables for live in lives]
    oldest = min((first for first in found if first is not None), default=end)
    return oldest if start is None else min(max(start, oldest), end)


def _range(period: PeriodName, start: int, end: int, where: tzinfo) -> _Range:
    if period == "5minute":
        return _Range(Table.FIVE_MINUTES, MINUTES_5, start, end, period, where)
    if period in ("hour", "lifetime"):
        return _Range(Table.HOUR, HOUR, start, end, period, where)
    calendar = cast("Calendar", period)
    try:
        first = calendar_periods.start_of(start, calendar, where)
        last = calendar_periods.start_of(end - 1, calendar, where) if end > start else first
        after = calendar_periods.shifted(last, calendar, 1, where) if end > start else first
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


def _periods(series: Series, where: _Range) -> Iterator[Period | None]:
    """The periods that have rows, in order of time: stored rows as they are, else rows put together."""
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
    first = calendar_periods.start_of(start, calendar, where.zone)
    return first, calendar_periods.shifted(first, calendar, 1, where.zone)
