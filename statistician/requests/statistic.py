"""The verb statistic: one mean, min, max and change of an entity for a whole range of time."""

from collections.abc import Iterator

from msgspec import to_builtins

from bus.commands import Code, Refused
from bus.requests import Listing, Part, Place
from statistician import calendar_periods
from statistician.algorithm import Row
from statistician.periods import HOUR, hour_of
from statistician.requests.ground import Ground, full_name, span, zone
from statistician.requests.params import CalendarPeriod, RollingWindow, StatisticOf
from statistician.requests.rows import Changes
from statistician.requests.series import Series, line
from statistician.requests.wishes import Wish, check_units, wish

_TYPES = frozenset[str]({"mean", "min", "max", "change", "coverage"})


def statistic(ground: Ground, params: StatisticOf, place: Place) -> Listing:
    """From hourly rows, and 5-minute rows where an hour is not whole. Raises Refused."""
    live = ground.find(params.entity, "entity")
    start, end = _range(params, place.now)
    check_units(params.units)
    types = _TYPES if params.types is None else frozenset[str](params.types)
    one = wish(live, types, params.units)
    return Listing.whole(_parts(ground, one, start, min(end, place.now), place.now))


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


def _parts(ground: Ground, one: Wish, start: int | None, end: int, now: int) -> Iterator[Part | None]:
    series = Series(ground, one.live, now)
    if start is None:
        start = end if series.first is None else min(end, series.first)
    row = yield from series.fold(start, end)
    period = Changes(series.at).period(start, end, row or Row())
    found = yield from line(series, one, period)
    yield Part((), {"entity": full_name(one.live), "unit": one.unit} | to_builtins(found))
