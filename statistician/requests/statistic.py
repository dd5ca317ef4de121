"""The verb statistic: one mean, min, max and change of an entity for a whole range of time."""

import math
from collections.abc import Iterator

from bus.messages import to_iso
from bus.requests import Code, Listing, Part, Place, Refused
from statistician import calendar_periods
from statistician import store_queries as queries
from statistician.periods import HOUR, MINUTES_5, hour_of
from statistician.records import StoredRow, Table
from statistician.requests.ground import Ground, full_name, span, zone
from statistician.requests.params import CalendarPeriod, RollingWindow, StatisticOf
from statistician.requests.wishes import Wish, check_units, wish

_ROWS_AT_ONCE = 500


def statistic(ground: Ground, params: StatisticOf, place: Place) -> Listing:
    """From hourly rows, and 5-minute rows where an hour is not whole. Raises Refused."""
    live = ground.find(params.entity, "entity")
    start, end = _range(params, place.now)
    check_units(params.units)
    types = None if params.types is None else frozenset[str](params.types)
    return Listing.whole(_parts(ground, wish(live, types, params.units), start, min(end, place.now)))


def _range(params: StatisticOf, now: int) -> tuple[int | None, int]:
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
        start = calendar_periods.shifted(now, one.period, one.offset, where)
        return start, calendar_periods.shifted(start, one.period, 1, where)
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"calendar.offset: {error}") from error


def _parts(ground: Ground, one: Wish, start: int | None, end: int) -> Iterator[Part | None]:
    entity = one.live.record.id
    spans = _spans(ground, entity, start, end)
    weighted = weight = 0.0
    x = y = 0.0
    low, high = math.inf, -math.inf
    newest: StoredRow | None = None
    for table, length, since, until in spans:
        for stored in _rows(ground, entity, table, length, start=since, end=until):
            if stored is None:
                yield None
                continue
            row = stored.row
            if row.mean is not None and row.mean_weight is not None:
                x += math.cos(math.radians(row.mean)) * row.mean_weight
                y += math.sin(math.radians(row.mean)) * row.mean_weight
            elif row.mean is not None:
                weighted += row.mean * length
                weight += length
            low = low if row.min is None else min(low, row.min)
            high = high if row.max is None else max(high, row.max)
            newest = stored if row.sum is not None else newest
    mean = weighted / weight if weight else math.degrees(math.atan2(y, x)) % 360 if x or y else None
    change = None
    if newest is not None and newest.row.sum is not None:
        change = newest.row.sum - _sum_before(ground, entity, spans[0][2])
    values = {
        "mean": one.show("mean", mean),
        "min": one.show("min", low if math.isfinite(low) else None),
        "max": one.show("max", high if math.isfinite(high) else None),
        "change": one.show_difference("change", change),
    }
    yield Part(
        (),
        {
            "entity": full_name(one.live),
            "unit": one.unit,
            "start": None if start is None else to_iso(start),
            "end": to_iso(end),
        }
        | {name: value for name, value in values.items() if value is not None},
    )


def _spans(ground: Ground, entity: int, start: int | None, end: int) -> list[tuple[Table, int, int, int]]:
    """The incomplete first hour, the whole hours and the incomplete last one; ms."""
    if start is None:
        oldest = [queries.first_row(ground.store, table, entity) for table in Table]
        start = min((first for first in oldest if first is not None), default=end)
    # The row of an hour is there once its last period is compiled.
    compiled = end if ground.compiler.open is None else min(end, ground.compiler.open)
    first_whole, last_whole = hour_of(start + HOUR - 1), hour_of(max(0, compiled))
    if last_whole <= first_whole:
        return [(Table.FIVE_MINUTES, MINUTES_5, start, end)]
    return [
        (Table.FIVE_MINUTES, MINUTES_5, start, first_whole),
        (Table.HOUR, HOUR, first_whole, last_whole),
        (Table.FIVE_MINUTES, MINUTES_5, last_whole, end),
    ]


def _rows(
    ground: Ground, entity: int, table: Table, length: int, *, start: int, end: int
) -> Iterator[StoredRow | None]:
    while start < end:
        after = min(end, start + _ROWS_AT_ONCE * length)
        yield from ground.store.statistics.between(table, entity, start, after)
        yield None
        start = after


def _sum_before(ground: Ground, entity: int, start: int) -> float:
    """The sum where the range begins: of the 5-minute row before its first, or the last hour."""
    five = queries.row_before(ground.store, Table.FIVE_MINUTES, entity, start)
    hour = queries.row_before(ground.store, Table.HOUR, entity, start - HOUR + 1)
    found = [
        (row.start + length, row.row.sum)
        for row, length in ((five, MINUTES_5), (hour, HOUR))
        if row is not None and row.row.sum is not None
    ]
    return max(found, default=(0, 0.0))[1]
