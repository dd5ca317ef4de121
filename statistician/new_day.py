"""When a counter that begins anew each day has begun a new one: in the days of the machine's zone."""

from bus.messages import machine_zone
from statistician.calendar_periods import another_day


def new_day(before: int, ts: int) -> bool:
    """Whether a silent night lies between two readings (ms)."""
    return another_day(before, ts, machine_zone())
