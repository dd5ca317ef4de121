"""Whether something else forbids a relay to be on. Pure: time is an argument (monotonic seconds)."""

import operator
from collections.abc import Callable, Mapping

from bus.messages import Value
from config.conditions import Condition, parse
from config.model import Relay, Settings
from controller.states import Heard, States

_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def devices(settings: Settings) -> frozenset[str]:
    """The devices that conditions, feedbacks and the battery guard name."""
    relays = settings.relay.values()
    sources = [parse(text).source for relay in relays for text in relay.only_if]
    sources += [relay.feedback for relay in relays if relay.feedback is not None]
    sources += [] if settings.battery_guard is None else [settings.battery_guard.source]
    return frozenset(source.partition(".")[0] for source in sources)


def partners(relays: Mapping[str, Relay]) -> dict[str, tuple[str, ...]]:
    """By relay, those that are never on with it, whichever of the two says so."""
    return {
        name: tuple(
            other for other, its in relays.items() if other in relay.never_with or name in its.never_with
        )
        for name, relay in relays.items()
    }


def unmet(relay: Relay, states: States, now: float) -> str | None:
    """The first condition that does not hold, with the reason; None if all hold."""
    return _first(relay, states, now, since=None)


def broken(relay: Relay, states: States, now: float, *, since: float) -> str | None:
    """The same for a relay that is on: what nobody said since the start has `only_if_within` s to be said."""
    return _first(relay, states, now, since=since)


def _first(relay: Relay, states: States, now: float, *, since: float | None) -> str | None:
    for text in relay.only_if:
        condition = parse(text)
        heard = states.get(condition.device, condition.entity)
        if heard is None and since is not None and now - since <= relay.only_if_within:
            continue
        why = _why(condition, heard, relay.only_if_within, now)
        if why is not None:
            return f"{condition} does not hold: {why}"
    return None


def _why(condition: Condition, heard: Heard | None, within: float, now: float) -> str | None:
    if heard is None or heard.value is None:
        return f"{condition.source} is unknown"
    if now - heard.at > within:
        return f"{condition.source} is {now - heard.at:.0f} s old, which is more than {within:g} s"
    if _holds(condition, heard.value):
        return None
    value = heard.value if isinstance(heard.value, str) else f"{heard.value:g}"
    return f"it is {value}"


def _holds(condition: Condition, value: Value) -> bool:
    wanted = condition.wanted
    if isinstance(wanted, str):
        if not isinstance(value, str):
            return False
        return (value.casefold() == wanted.casefold()) is (condition.operator == "==")
    if isinstance(value, str) or value is None:
        return False
    return _NUMBERS[condition.operator](value, wanted)


def rest(relay: Relay, off_since: float, now: float) -> float:
    """Seconds until the relay has been off for `min_off`; 0 if it has."""
    return 0.0 if relay.min_off is None else max(0.0, off_since + relay.min_off - now)
