"""What a relay may do, and until when: its own policy, conditions, its load's feedback, the battery guard.

Pure: time is an argument, monotonic seconds. A measurement counts until the next one is overdue: a sensor
that died after a low value must not cut the power.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bus.commands import Code, Refused, Switch
from bus.messages import OFF, ON, Value
from config.conditions import Comparison, parse_comparison
from config.model import BatteryGuard, Relay, Settings
from controller.conditions import holds
from controller.others import Heard, States


@dataclass(frozen=True, slots=True)
class Position:
    """A commanded position; `off_at` is when it turns itself off; not `lasting` if asked for a time only."""

    on: bool
    off_at: float | None = None
    lasting: bool = True


def at_boot(policy: Relay, *, was_on: bool, now: float) -> Position:
    """Return the position to take at start; `was_on` is what was last commanded."""
    on = {"off": False, "on": True, "restore": was_on}[policy.boot]
    return lasting(policy, now) if on else Position(on=False)


def lasting(policy: Relay, now: float) -> Position:
    """Return the position on, for as long as the relay may be."""
    return Position(on=True, off_at=_limit(policy, now))


def obey(policy: Relay, position: Position, wanted: Switch, for_s: float | None, now: float) -> Position:
    """Return the position that a command leads to. Raises Refused."""
    on = not position.on if wanted is Switch.TOGGLE else wanted is Switch.ON
    if not on:
        if for_s is not None and wanted is Switch.OFF:
            raise Refused(Code.INVALID, "for: it goes with ON; an output is never turned on by itself")
        return Position(on=False)
    if for_s is None:
        return lasting(policy, now)
    if policy.max_on is not None and for_s > policy.max_on:
        raise Refused(Code.LIMIT, f"for: {for_s:g} s is more than max_on, {policy.max_on:g} s")
    return Position(on=True, off_at=now + for_s, lasting=False)


def elapse(position: Position, now: float) -> Position:
    """Return the position after its time is up."""
    if position.off_at is not None and now >= position.off_at:
        return replace(position, on=False, off_at=None, lasting=True)
    return position


def level(policy: Relay, *, on: bool) -> bool:
    """Return whether the pin must be high."""
    return on is not policy.active_low


def is_cold(policy: Relay, now: float) -> bool:
    """Return whether the machine itself has just started (`now` counts from there), so the relay was off.

    Then one that boots on waits: for its rest, and for what its conditions need to be heard.
    """
    return now < max(policy.min_off or 0.0, policy.only_if_within if policy.only_if else 0.0)


def patience(policy: Relay) -> float:
    """Return the seconds in which a relay may come back by itself; later nobody expects it."""
    return (policy.min_off or 0.0) + policy.only_if_within


def _limit(policy: Relay, now: float) -> float | None:
    return None if policy.max_on is None else now + policy.max_on


def devices(settings: Settings) -> frozenset[str]:
    """Return the devices that conditions, feedbacks and the battery guard name."""
    relays = settings.relay.values()
    sources = [parse_comparison(text).source for relay in relays for text in relay.only_if]
    sources += [relay.feedback for relay in relays if relay.feedback is not None]
    sources += [] if settings.battery_guard is None else [settings.battery_guard.source]
    return frozenset(source.partition(".")[0] for source in sources)


def partners(relays: Mapping[str, Relay]) -> dict[str, tuple[str, ...]]:
    """Return by relay those that are never on with it, whichever of the two says so."""
    return {
        name: tuple(
            other for other, its in relays.items() if other in relay.never_with or name in its.never_with
        )
        for name, relay in relays.items()
    }


def unmet(relay: Relay, states: States, now: float) -> str | None:
    """Return the first condition that is not met, with the reason; None if all are."""
    return _first(relay, states, now, since=None)


def broken(relay: Relay, states: States, now: float, *, since: float) -> str | None:
    """Do the same for a relay that is on: what nobody said since the start has `only_if_within` s for it."""
    return _first(relay, states, now, since=since)


def _first(relay: Relay, states: States, now: float, *, since: float | None) -> str | None:
    for text in relay.only_if:
        condition = parse_comparison(text)
        heard = states.get(condition.device, condition.entity)
        if heard is None and since is not None and now - since <= relay.only_if_within:
            continue
        why = _why(condition, heard, relay.only_if_within, now)
        if why is not None:
            return f"{condition} does not hold: {why}"
    return None


def _why(condition: Comparison, heard: Heard | None, within: float, now: float) -> str | None:
    if heard is None or heard.value is None:
        return f"{condition.source} is unknown"
    if now - heard.at > within:
        return f"{condition.source} is {now - heard.at:.0f} s old, which is more than {within:g} s"
    if holds(condition, heard.value):
        return None
    value = heard.value if isinstance(heard.value, str) else f"{heard.value:g}"
    return f"it is {value}"


def rest(relay: Relay, off_since: float, now: float) -> float:
    """Seconds until the relay has been off for `min_off`; 0 if it has."""
    return 0.0 if relay.min_off is None else max(0.0, off_since + relay.min_off - now)


@dataclass(frozen=True, slots=True)
class Watch:
    """`since` is when the relay moved or the load last agreed; `failed`: it did not turn on when asked to."""

    on: bool
    since: float
    failed: bool = False


def feedback_step(watch: Watch, *, on: bool, said: bool | None, now: float) -> Watch:
    """Return the watch after a look at the relay (`on`) and its feedback (`said`, None: unknown)."""
    if watch.on is not on:
        watch = replace(watch, on=on, since=now)
    if said is on:
        # Only a load that turned on shows that turning on works again.
        return replace(watch, since=now, failed=watch.failed and not on)
    return watch


def feedback_fault(watch: Watch, *, said: bool | None, within_s: float, now: float) -> bool | None:
    """Return whether relay and load disagree; None while nobody knows."""
    if watch.failed:
        return True
    if said is None:
        return None
    return said is not watch.on and now - watch.since > within_s


def feedback_said(value: Value) -> bool | None:
    """Return what a feedback entity says; anything but ON and OFF is unknown."""
    return {ON: True, OFF: False}.get(value.upper()) if isinstance(value, str) else None


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


def guard_step(settings: BatteryGuard, guard: Guard, value: float | None, at: float) -> Guard:
    """Return the guard after a measurement; None is one that says unknown, which never changes it."""
    if value is None:
        return replace(guard, since=None, heard=None)
    past = value > settings.reconnect_above if guard.tripped else value < settings.disconnect_below
    if not past:
        return replace(guard, since=None, heard=at, gap=0.0)
    if guard.since is None or guard.heard is None or at - guard.heard > LONGEST_GAP_S:
        return guard_elapse(settings, replace(guard, since=at, heard=at, gap=0.0), at)
    gap = max(guard.gap, at - guard.heard)
    return guard_elapse(settings, replace(guard, heard=at, gap=gap), at)


def guard_elapse(settings: BatteryGuard, guard: Guard, now: float, *, heartbeat: float = 0.0) -> Guard:
    """Return the guard after a time without a measurement; its source speaks each `heartbeat` s."""
    if guard.since is None or guard.heard is None:
        return guard
    valid = min(_OVERDUE * max(heartbeat, guard.gap), LONGEST_GAP_S)
    needed = settings.reconnect_after if guard.tripped else settings.disconnect_after
    if now - guard.since < needed or now - guard.heard > valid:
        return guard
    return Guard(tripped=not guard.tripped, heard=guard.heard)


def guard_refusal(settings: BatteryGuard, value: float | None) -> str:
    """Return why the relay may not be on while the guard has tripped."""
    unit = {"voltage": " V", "soc": " %"}.get(settings.source.rpartition(".")[2], "")
    low, high = f"{settings.disconnect_below:g}{unit}", f"{settings.reconnect_above:g}{unit}"
    if value is None:
        now = f"{settings.source} was below {low} and is unknown now"
    elif value < settings.disconnect_below:
        now = f"{value:g}{unit} is below {low}"
    else:
        now = f"it was below {low} and is {value:g}{unit}"
    return f"battery guard: {now}; reconnects above {high}"
