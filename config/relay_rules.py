"""What a type cannot say of relays and the battery guard: conditions, partners, feedback, thresholds."""

import re
from collections.abc import Iterator

from config.addresses import id_allowed
from config.conditions import ALLOWED, parse
from config.model import Relay, Settings

Wrong = tuple[str, str, str]

_ID = re.compile(r"[a-z0-9_]+\Z")
_SOURCE = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+\Z")
# Entities of the relays' device beside the relays themselves.
GUARD = "battery_guard"
FAULT = "_fault"


def relays(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [relay.<id>] and [battery_guard]: key, what is wrong, what is allowed."""
    for name, relay in settings.relay.items():
        if not _ID.match(name):
            yield f"relay.{name}", "this is no id", id_allowed(name)
        yield from _names(name, settings)
        yield from _conditions(name, relay)
        yield from _partners(name, relay, settings.relay)
        yield from _feedback(name, relay)
    yield from _guard(settings)


def _names(name: str, settings: Settings) -> Iterator[Wrong]:
    if name == GUARD and settings.battery_guard is not None:
        yield f"relay.{name}", "the battery guard reports under this id", "any other id"
    of = settings.relay.get(name.removesuffix(FAULT)) if name.endswith(FAULT) else None
    if of is not None and has_feedback(of):
        yield f"relay.{name}", "another relay's feedback reports under this id", "any other id"


def _conditions(name: str, relay: Relay) -> Iterator[Wrong]:
    for text in relay.only_if:
        try:
            parse(text)
        except ValueError as error:
            yield f"relay.{name}.only_if", str(error), ALLOWED


def _partners(name: str, relay: Relay, others: dict[str, Relay]) -> Iterator[Wrong]:
    key = f"relay.{name}.never_with"
    for other in relay.never_with:
        if other == name:
            yield key, "this is the relay itself", "other relays"
        elif other not in others:
            known = ", ".join(one for one in others if one != name)
            yield key, f"there is no relay {other!r}", known or "a relay of this file"
        elif relay.boot == "on" and others[other].boot == "on":
            yield key, f"{name} and {other} both boot on", "at most one that boots on"


def has_feedback(relay: Relay) -> bool:
    """Whether anything tells if the relay's load follows."""
    return relay.feedback is not None or relay.feedback_pin is not None


def _feedback(name: str, relay: Relay) -> Iterator[Wrong]:
    if relay.feedback is not None and relay.feedback_pin is not None:
        yield f"relay.{name}.feedback_pin", "there is a feedback already", "feedback or feedback_pin"
    if relay.feedback is not None and not _SOURCE.match(relay.feedback):
        yield f"relay.{name}.feedback", f"{relay.feedback!r} is not device.entity", "such as shore.contact"


def _guard(settings: Settings) -> Iterator[Wrong]:
    guard = settings.battery_guard
    if guard is None:
        return
    if guard.relay not in settings.relay:
        known = ", ".join(settings.relay) or "a relay of this file"
        yield f"{GUARD}.relay", f"there is no relay {guard.relay!r}", known
    if not _SOURCE.match(guard.source):
        yield f"{GUARD}.source", f"{guard.source!r} is not device.entity", "such as smartshunt.voltage"
    if not guard.reconnect_above > guard.disconnect_below:
        yield (
            f"{GUARD}.reconnect_above",
            f"{guard.reconnect_above:g} would flap",
            f"more than disconnect_below, {guard.disconnect_below:g}",
        )
