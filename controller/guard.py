"""When a battery is too empty for a load and when full enough again. Pure: `at` is in monotonic seconds.

A value counts until the next one is overdue: a sensor that died after a low value must not cut the power.
"""

from dataclasses import dataclass, replace

from config.model import BatteryGuard

# Measurements further apart say nothing of the time between them.
LONGEST_GAP_S = 120.0
# A measurement that is later than this share of the usual time is overdue.
_OVERDUE = 1.5


@dataclass(frozen=True, slots=True)
class Guard:
    """`tripped` means disconnected; `since` is when the value first stood where it would change that.

    `gap` is the longest time between two measurements since then, seconds.
    """

    tripped: bool = False
    since: float | None = None
    heard: float | None = None
    gap: float = 0.0


def step(settings: BatteryGuard, guard: Guard, value: float | None, at: float) -> Guard:
    """The guard after a measurement; None is one that says unknown, which never changes it."""
    if value is None:
        return replace(guard, since=None, heard=None)
    past = value > settings.reconnect_above if guard.tripped else value < settings.disconnect_below
    if not past:
        return replace(guard, since=None, heard=at, gap=0.0)
    if guard.since is None or guard.heard is None or at - guard.heard > LONGEST_GAP_S:
        return elapse(settings, replace(guard, since=at, heard=at, gap=0.0), at)
    gap = max(guard.gap, at - guard.heard)
    return elapse(settings, replace(guard, heard=at, gap=gap), at)


def elapse(settings: BatteryGuard, guard: Guard, now: float, *, heartbeat: float = 0.0) -> Guard:
    """The guard after time without a measurement; the source speaks each `heartbeat` s, or as before."""
    if guard.since is None or guard.heard is None:
        return guard
    valid = min(_OVERDUE * max(heartbeat, guard.gap), LONGEST_GAP_S)
    needed = settings.reconnect_after if guard.tripped else settings.disconnect_after
    if now - guard.since < needed or now - guard.heard > valid:
        return guard
    return Guard(tripped=not guard.tripped, heard=guard.heard)


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
