"""When a battery is too empty for a load and when full enough again. Pure: `at` is in monotonic seconds.

It counts from measurement to measurement, not by the clock: a sensor that died after one low value must not
cut the power.
"""

from dataclasses import dataclass, replace

from config.model import BatteryGuard

# Measurements further apart say nothing of the time between them.
LONGEST_GAP_S = 120.0


@dataclass(frozen=True, slots=True)
class Guard:
    """`tripped` means disconnected; `since` is when the value first stood where it would change that."""

    tripped: bool = False
    since: float | None = None
    heard: float | None = None


def step(settings: BatteryGuard, guard: Guard, value: float | None, at: float) -> Guard:
    """The guard after a measurement; None is one that says unknown, which never changes it."""
    if value is None:
        return replace(guard, since=None, heard=None)
    past = value > settings.reconnect_above if guard.tripped else value < settings.disconnect_below
    if not past:
        return replace(guard, since=None, heard=at)
    gap = guard.heard is None or at - guard.heard > LONGEST_GAP_S
    since = at if guard.since is None or gap else guard.since
    needed = settings.reconnect_after if guard.tripped else settings.disconnect_after
    if at - since < needed:
        return replace(guard, since=since, heard=at)
    return Guard(tripped=not guard.tripped, heard=at)


def refusal(settings: BatteryGuard, value: float | None) -> str:
    """Why the relay may not be on while the guard has tripped."""
    unit = {"voltage": " V", "soc": " %"}.get(settings.source.rpartition(".")[2], "")
    low, high = f"{settings.disconnect_below:g}{unit}", f"{settings.reconnect_above:g}{unit}"
    if value is None:
        now = f"{settings.source} was below {low} and is unknown now"
    elif value < settings.disconnect_below:
        now = f"{value:g}{unit} is below {low}"
    else:
        now = f"it was below {low} and is {value:g}{unit}"
    return f"battery guard: {now}; reconnects above {high}"
