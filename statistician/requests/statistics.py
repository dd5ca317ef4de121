"""The verb statistics: rows of entities by 5 minutes, hour, day, week, month, year, or all in one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import cast

from bus.requests import LATEST_MS, Code, Listing, Part, Place, Refused
from statistician import calendar_periods
from statistician import store_queries as queries
from statistician.calendar_periods import Calendar
from statistician.live import LiveEntity
from statistician.periods import DAY, HOUR, MINUTES_5
from statistician.records import StoredRow, Table
from statistician.requests.ground import Ground, full_name, span, zone
from statistician.requests.params import Period, StatisticsOf
from statistician.requests.rows import Bucket, Changes, Line
from statistician.requests.wishes import Wish, check_units, wish

# Rows an answer may have, over all its pages, and rows that may be read for it.
MOST_ROWS = 50_000
MOST_READ = 1_000_000
_ROWS_AT_ONCE = 500
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
    """What to read: rows of a table with start <= row start < end, put together by `period`."""

    table: Table
    length: int
    start: int
    end: int
    period: Period
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
    types = None if params.types is None else frozenset[str](params.types)
    check_units(params.units)
    wishes = [wish(live, types, params.units) for live in lives]

    def parts() -> Iterator[Part | None]:
        first, after = (0, 0) if place.after is None else (int(place.after[0]), int(place.after[1]))
        for number, one in enumerate(wishes[max(0, first) :], max(0, first)):
            rest = where
            if place.after is not None and number == first:
                # Behind the row that ended the page before.
                rest = replace(where, start=_bounds(after, where)[1])
            for found in _lines(ground, one, rest):
                yield None if found is None else Part((number, found[0]), found[1])

    return Listing(parts(), lambda found: _by_entity(wishes, found))


def _by_entity(wishes: Sequence[Wish], found: list[Part]) -> object:
    rows: dict[str, list[object]] = {}
    for part in found:
        rows.setdefault(full_name(wishes[int(part.key[0])].live), []).append(part.value)
    return {"units": {full_name(one.live): one.unit for one in wishes}, "rows": rows}


def _start(ground: Ground, lives: Sequence[LiveEntity], period: Period, start: int | None, end: int) -> int:
    """Nothing is older than the oldest row: an early start costs nothing."""
    table = Table.FIVE_MINUTES if period == "5minute" else Table.HOUR
    found = [queries.first_row(ground.store, table, live.record.id) for live in lives]
    oldest = min((first for first in found if first is not None), default=end)
    return oldest if start is None else min(max(start, oldest), end)


def _range(period: Period, start: int, end: int, where: tzinfo) -> _Range:
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


def _lines(ground: Ground, one: Wish, where: _Range) -> Iterator[tuple[int, Line] | None]:
    changes = Changes(queries.row_before(ground.store, where.table, one.live.record.id, where.start))
    bucket: Bucket | None = None
    bounds = (0, 0)
    for stored in _rows(ground, one.live.record.id, where):
        if stored is None:
            yield None
            continue
        if bucket is None or stored.start >= bounds[1]:
            if bucket is not None:
                yield _line(one, bounds, bucket, changes)
            bounds = _bounds(stored.start, where)
            bucket = Bucket()
        bucket.add(stored.row, where.length)
        if where.period == "lifetime":
            bucket.until = stored.start + where.length
    if bucket is not None:
        yield _line(one, (bounds[0], bucket.until or bounds[1]), bucket, changes)


def _line(one: Wish, bounds: tuple[int, int], bucket: Bucket, changes: Changes) -> tuple[int, Line]:
    start, end = bounds
    row = bucket.row(end - start)
    return start, one.line(start, end, row, changes.take(row.sum))


def _bounds(start: int, where: _Range) -> tuple[int, int]:
    if where.period in ("5minute", "hour"):
        return start, start + where.length
    if where.period == "lifetime":
        return start, LATEST_MS
    calendar = cast("Calendar", where.period)
    first = calendar_periods.start_of(start, calendar, where.zone)
    return first, calendar_periods.shifted(first, calendar, 1, where.zone)


def _rows(ground: Ground, entity: int, where: _Range) -> Iterator[StoredRow | None]:
    oldest = queries.first_row(ground.store, where.table, entity)
    newest = queries.last_row(ground.store, where.table, entity)
    if oldest is None or newest is None:
        return
    start, end = max(where.start, oldest), min(where.end, newest + 1)
    while start < end:
        after = min(end, start + _ROWS_AT_ONCE * where.length)
        yield from ground.store.statistics.between(where.table, entity, start, after)
        yield None
        start = after
