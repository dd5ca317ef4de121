"""Whether a relay's load follows its relay. Pure: time is an argument (monotonic seconds)."""

from dataclasses import dataclass, replace

from bus.messages import OFF, ON, Value


@dataclass(frozen=True, slots=True)
class Watch:
    """`since` is when the relay moved or the load last agreed; `failed`: it did not turn on when asked to."""

    on: bool
    since: float
    failed: bool = False


def look(watch: Watch, *, on: bool, said: bool | None, now: float) -> Watch:
    """The watch after a look at the relay (`on`) and its feedback (`said`, None: unknown)."""
    if watch.on is not on:
        watch = replace(watch, on=on, since=now)
    if said is on:
        # Only a load that turned on shows that turning on works again.
        return replace(watch, since=now, failed=watch.failed and not on)
    return watch


def fault(watch: Watch, *, said: bool | None, within_s: float, now: float) -> bool | None:
    """Whether relay and load disagree; None while nobody knows."""
    if watch.failed:
        return True
    if said is None:
        return None
    return said is not watch.on and now - watch.since > within_s


def as_switch(value: Value) -> bool | None:
    """What a feedback entity says; anything but ON and OFF is unknown."""
    return {ON: True, OFF: False}.get(value.upper()) if isinstance(value, str) else None
