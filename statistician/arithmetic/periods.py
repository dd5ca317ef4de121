"""Arithmetic of 5-minute and hourly periods; all times are integer ms since 1970 UTC."""

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
    """Whether the 5-minute period is the last one of its hour."""
    return (start + MINUTES_5) % HOUR == 0


def due_at(start: int) -> int:
    """When the 5-minute period may be compiled."""
    return start + MINUTES_5 + COMPILE_DELAY


def is_due(start: int, now: int) -> bool:
    """Whether the 5-minute period may be compiled at `now`."""
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
