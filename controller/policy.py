"""What a relay may do, and until when. Pure: time is an argument (monotonic seconds)."""

from dataclasses import dataclass, replace

from bus.commands import Code, Refused, Switch
from config.model import Relay


@dataclass(frozen=True, slots=True)
class Position:
    """A commanded position; `off_at` is when it turns itself off; not `lasting` if asked for a time only."""

    on: bool
    off_at: float | None = None
    lasting: bool = True


def at_boot(policy: Relay, *, was_on: bool, now: float) -> Position:
    """The position to take at start; `was_on` is what was last commanded."""
    on = {"off": False, "on": True, "restore": was_on}[policy.boot]
    return lasting(policy, now) if on else Position(on=False)


def lasting(policy: Relay, now: float) -> Position:
    """On, for as long as the relay may be."""
    return Position(on=True, off_at=_limit(policy, now))


def obey(policy: Relay, position: Position, wanted: Switch, for_s: float | None, now: float) -> Position:
    """The position a command leads to. Raises Refused."""
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
    """The position after its time is up."""
    if position.off_at is not None and now >= position.off_at:
        return replace(position, on=False, off_at=None, lasting=True)
    return position


def level(policy: Relay, *, on: bool) -> bool:
    """Whether the pin must be high."""
    return on is not policy.active_low


def is_cold(policy: Relay, now: float) -> bool:
    """Whether the machine itself has just started (`now` counts from there), so that the relay was off.

    Then one that boots on waits: for its rest, and for what its conditions need to be heard.
    """
    return now < max(policy.min_off or 0.0, policy.only_if_within if policy.only_if else 0.0)


def patience(policy: Relay) -> float:
    """Seconds in which a relay may come back by itself; later nobody expects it any more."""
    return (policy.min_off or 0.0) + policy.only_if_within


def _limit(policy: Relay, now: float) -> float | None:
    return None if policy.max_on is None else now + policy.max_on
