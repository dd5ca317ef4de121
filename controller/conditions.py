"""What conditions say of the house now, and what follows after they have held for a time.

Pure: time is an argument, monotonic seconds. What is unknown changes nothing.
"""

import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bus.messages import Reading, Value
from config.conditions import Change, Comparison, Condition, Problem, Silence, parse_condition, texts
from config.model import Alarm, Rule
from controller.others import States

_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
# How finely a change is looked at: so many parts of its time.
_PARTS = 60


def holds(condition: Comparison, value: Value) -> bool:
    """Tell whether a known value is as a condition wants it."""
    wanted = condition.wanted
    if isinstance(wanted, str):
        if not isinstance(value, str):
            return False
        return (value.casefold() == wanted.casefold()) is (condition.operator == "==")
    if isinstance(value, str) or value is None:
        return False
    return _NUMBERS[condition.operator](value, wanted)


@dataclass(slots=True)
class _Window:
    """The numbers of one entity within some seconds, at most some two a part of that time."""

    seconds: float
    numbers: deque[tuple[float, float]] = field(default_factory=deque)

    def take(self, at: float, value: float) -> None:
        """Add a number; of those that come fast the first and the newest are kept."""
        part = self.seconds / _PARTS
        if len(self.numbers) > 1 and at - self.numbers[-2][0] < part:
            self.numbers.pop()
        self.numbers.append((at, value))

    def moved(self, condition: Change, now: float) -> bool | None:
        """Tell whether the newest number is so far from one within the time; None if there is none."""
        while self.numbers and self.numbers[0][0] < now - self.seconds:
            self.numbers.popleft()
        if not self.numbers:
            return None
        newest = self.numbers[-1][1]
        up = max(newest - value for _, value in self.numbers)
        down = max(value - newest for _, value in self.numbers)
        far = {"rises": up, "falls": down, "changes": max(up, down)}[condition.way]
        return far >= condition.by


class Look:
    """What conditions look at: states, how numbers moved, and the problems of services."""

    def __init__(self, states: States, conditions: Iterable[Condition], started: float) -> None:
        self._states = states
        self._started = started
        self._windows = {one: _Window(one.seconds) for one in conditions if isinstance(one, Change)}
        self._problems: dict[str, frozenset[str]] = {}

    def hear(self, device: str) -> None:
        """Take the newest numbers of a device."""
        for change, window in self._windows.items():
            heard = self._states.find(change.source) if change.device == device else None
            if heard is not None and isinstance(heard.value, float | int):
                window.take(heard.at, heard.value)

    def health(self, service: str, problems: Iterable[str]) -> None:
        """Take the subjects of a service's problems."""
        self._problems[service] = frozenset(problems)

    def truth(self, condition: Condition, within: float, now: float) -> bool | None:
        """Tell whether a condition holds; None if that is unknown, as of a value older than `within` s."""
        if isinstance(condition, Silence):
            last = self._states.last(condition.device, condition.entity)
            # What was never heard is silent since the start, for nobody knows of the time before.
            return now - max(last, self._started) >= condition.seconds
        if isinstance(condition, Problem):
            found = self._problems.get(condition.service)
            if found is None:
                return None
            return bool(found) if condition.subject is None else condition.subject in found
        if isinstance(condition, Change):
            return self._windows[condition].moved(condition, now)
        heard = self._states.find(condition.source)
        if heard is None or heard.value is None or now - heard.at > within:
            return None
        return holds(condition, heard.value)

    def all_of(self, conditions: Sequence[Condition], within: float, now: float) -> bool | None:
        """Tell whether all conditions hold; False as soon as one does not, whatever else is unknown."""
        found = [self.truth(one, within, now) for one in conditions]
        if False in found:
            return False
        return None if None in found else True

    def value(self, conditions: Sequence[Condition]) -> Value:
        """Return the value that the first of them looks at, None if there is none."""
        for one in conditions:
            heard = self._states.find(one.source) if isinstance(one, Comparison | Change) else None
            if heard is not None:
                return heard.value
        return None


def words(conditions: Sequence[Condition], value: Value) -> str:
    """Say what holds, with the value that was seen."""
    said = " and ".join(str(one) for one in conditions)
    if value is None:
        return said
    return f"{said} (it is {value if isinstance(value, str) else f'{value:g}'})"


@dataclass(frozen=True, slots=True)
class Hold:
    """Seconds that it takes: to begin, to end, and how long either lasts at least."""

    begin: float = 0.0
    end: float = 0.0
    least_on: float = 0.0
    least_off: float = 0.0


@dataclass(frozen=True, slots=True)
class Latch:
    """Whether something is so; `since` is when what will change it began, `changed` when it last did."""

    active: bool = False
    since: float | None = None
    changed: float = float("-inf")


def step(latch: Latch, hold: Hold, *, begins: bool | None, ends: bool | None, now: float) -> Latch:
    """Return the latch after a look; None is unknown, and then the time begins anew."""
    if not (ends if latch.active else begins):
        return latch if latch.since is None else replace(latch, since=None)
    since = now if latch.since is None else latch.since
    needed = hold.end if latch.active else hold.begin
    least = hold.least_on if latch.active else hold.least_off
    if now - since < needed or now - latch.changed < least:
        return replace(latch, since=since)
    return Latch(active=not latch.active, changed=now)


class Trigger:
    """The conditions of one alarm or rule, and whether it has begun."""

    def __init__(self, table: Alarm | Rule, *, active: bool = False) -> None:
        self.when = [parse_condition(text) for text in texts(table.when)]
        self._until = [parse_condition(text) for text in texts(table.until)]
        self._within = table.within
        least = (table.min_on, table.min_off) if isinstance(table, Rule) else ()
        self._hold = Hold(table.for_, table.until_for, *least)
        self._latch = Latch(active=active)

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""
        return self._latch.active

    def look(self, look: Look, now: float) -> bool:
        """Look at the conditions; True if it began or ended."""
        begins = look.all_of(self.when, self._within, now)
        ends = None if begins is None else not begins
        if self._until:
            ends = look.all_of(self._until, self._within, now)
            # What is over already does not begin: it would go on and off for ever.
            begins = begins and ends is not True
        before = self._latch
        self._latch = step(before, self._hold, begins=begins, ends=ends, now=now)
        return self._latch.active is not before.active


@dataclass(frozen=True, slots=True)
class Turn:
    """When something began or ended, seconds."""

    at: float
    active: bool


# Between two states of the past it is looked so often, seconds.
_LOOK_S = 10.0


def rehearse(
    table: Alarm | Rule, past: Iterable[tuple[float, str, dict[str, Value]]], end: float
) -> Iterator[Turn]:
    """Tell when an alarm or a rule would have begun and ended.

    `past` holds states as they changed, in the order of time: second, device, values. A value counts until
    the next one, for the past does not say how often it was repeated.
    """
    trigger = Trigger(replace(table, within=float("inf")))
    conditions = [*trigger.when, *(parse_condition(text) for text in texts(table.until))]
    states = States({one.device for one in conditions if not isinstance(one, Problem)})
    look: Look | None = None
    now = end
    for at, device, values in (*past, (end, "", {})):
        if look is None:
            look, now = Look(states, conditions, at), at
        while now + _LOOK_S < at:
            now += _LOOK_S
            if trigger.look(look, now):
                yield Turn(now, trigger.active)
        now = at
        if values:
            states.take(device, Reading(ts=None, values=values), kept=False, now=at, wall_ms=None)
            look.hear(device)
        if trigger.look(look, now):
            yield Turn(now, trigger.active)
