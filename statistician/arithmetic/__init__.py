"""Arithmetic of statistics, no clock, no socket, no file. Here: the periods, also those of the calendar.

Times are ms since 1970 UTC, and arguments.
"""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Literal

MINUTES_5 = 300_000
HOUR = 3_600_000
DAY = 86_400_000
# Readings of a period may still be on their way when it ends.
COMPILE_DELAY = 10_000


def period_of(ts: int) -> int:
    """Start of the 5-minute period that holds `ts`."""
    return ts - ts % MINUTES_5


def hour_of(ts: int) -> int:
    """Start of the hour that holds `ts`."""
    return ts - ts % HOUR


def ends_hour(start: int) -> bool:
    """Say whether the 5-minute period is the last one of its hour."""
    return (start + MINUTES_5) % HOUR == 0


def due_at(start: int) -> int:
    """Say when the 5-minute period may be compiled."""
    return start + MINUTES_5 + COMPILE_DELAY


def is_due(start: int, now: int) -> bool:
    """Say whether the 5-minute period may be compiled at `now`."""
    return now >= due_at(start)


def horizon(now: int, keep_days: int) -> int:
    """Start of the first hour whose states and 5-minute rows are kept at `now`."""
    return hour_of(now - keep_days * DAY)


def first_to_compile(last_run: int | None, first_state: int | None, now: int, keep_days: int) -> int | None:
    """Start of the 5-minute period to go on with at `now` (0: unknown); None without a state or a run."""
    if last_run is not None:
        return last_run + MINUTES_5
    if first_state is None:
        return None
    # A publisher whose clock is ahead must not open a period that is yet to come.
    return max(period_of(min(first_state, now) if now > 0 else first_state), horizon(now, keep_days))


Calendar = Literal["day", "week", "month", "year"]
_WEEK = 7
_MONTHS = 12
# A counter that was heard through midnight is still that of the day before until it falls.
_SILENT_NIGHT = 10_800_000


def another_day(before: int, ts: int, zone: tzinfo) -> bool:
    """Say whether a night without a reading lies between two times."""
    return ts - before >= _SILENT_NIGHT and start_of(before, "day", zone) != start_of(ts, "day", zone)


def start_of(ts: int, period: Calendar, zone: tzinfo) -> int:
    """Start of the period that holds `ts`; weeks begin on Monday."""
    return _midnight(_first(_day(ts, zone), period), zone)


def shifted(start: int, period: Calendar, by: int, zone: tzinfo) -> int:
    """Start of the period `by` periods after the one that holds `start`.

    Raises ValueError or OverflowError beyond the years 1 to 9999.
    """
    first = _first(_day(start, zone), period)
    match period:
        case "day":
            moved = first + timedelta(days=by)
        case "week":
            moved = first + timedelta(days=_WEEK * by)
        case "month":
            years, month = divmod(first.month - 1 + by, _MONTHS)
            moved = first.replace(year=first.year + years, month=month + 1)
        case "year":
            moved = first.replace(year=first.year + by)
    return _midnight(moved, zone)


def _day(ts: int, zone: tzinfo) -> date:
    day = datetime.fromtimestamp(ts / 1000, zone).date()
    # Where clocks go back over midnight a part of the day before comes twice, the second time in the new day.
    after = day + timedelta(days=1)
    return after if _midnight(after, zone) <= ts else day


def _first(day: date, period: Calendar) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


def _midnight(day: date, zone: tzinfo) -> int:
    """Return the first moment of a day, also where clocks skip midnight or have it twice."""
    wall = datetime.combine(day, time(), zone)
    first = round(wall.timestamp())
    if datetime.fromtimestamp(first, zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return first * 1000
    # Clocks skip midnight: the day begins at their change, which lies between the two readings of the gap.
    before = round(wall.replace(fold=1).timestamp())
    while first - before > 1:
        middle = (before + first) // 2
        if datetime.fromtimestamp(middle, zone).date() < day:
            before = middle
        else:
            first = middle
    return first * 1000
