"""Decides which readings of a growing counter count: a fall or a leap is held until the next; time is ms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bus.messages import to_iso
from statistician.arithmetic import DAY, HOUR
from statistician.arithmetic.algorithm import RESET_BELOW

Why = Literal["fall", "leap"]
Judged = Literal["held", "left_out", "accepted"]

# A rise is a leap above so many times the highest hourly rate, and above so many times the largest step: one
# reading of a counter of whole kWh may have been missed.
_RATES = 20
_STEPS = 2
# What a counter has done since a confirmed fall or leap is remembered for so many values and so long.
_MOST_STEPS = 32
_LONGEST = DAY
# A rise from -1e308 to 1e308 is infinite, and no infinity can be stored.
_LARGEST = 1e300


class Marks(NamedTuple):
    """What is known of a counter at its last accepted value; `ts` is when that was last heard.

    `rate` is the highest rise per hour over windows of at least an hour (None before the first), `step` the
    largest rise between readings less than an hour apart.
    """

    ts: int
    value: float
    window_ts: int
    window_value: float
    step: float = 0.0
    rate: float | None = None

    def reach(self, ts: int) -> float:
        """Return the most that the value may rise until `ts`."""
        if self.rate is None:
            return max(_RATES * self.step, self._dip)
        return max(_STEPS * self.step, _RATES * self.rate * (ts - self.ts) / HOUR)

    @property
    def _dip(self) -> float:
        return (1 - RESET_BELOW) * abs(self.value)

    def leapt(self, ts: int, value: float) -> bool:
        """Say whether a value at `ts` is more than can be."""
        return value > self.value + self.reach(ts)

    def near(self, ts: int, value: float) -> bool:
        """Say whether a value at `ts` goes on from here, give or take a dip."""
        return -self._dip <= value - self.value <= max(self.reach(ts), self._dip)

    def after(self, ts: int, value: float) -> "Marks":
        """Return the marks once a value at `ts` is accepted."""
        rise = value - self.value
        step, rate = self.step, self.rate
        window = self.window_ts, self.window_value
        if rise > 0 and ts - self.ts < HOUR:
            step = _learn(step, rise)
        if ts < self.window_ts:
            window = ts, value
        elif ts - self.window_ts >= HOUR:
            hours = (ts - self.window_ts) / HOUR
            rate = _learn(rate or 0.0, (value - self.window_value) / hours)
            window = ts, value
        return Marks(ts, value, *window, step, rate)


def _learn(known: float, seen: float) -> float:
    # One wild value that was confirmed must not allow all that follow.
    return max(known, min(seen, _RATES * known if known else _LARGEST, _LARGEST))


class Step(NamedTuple):
    """A value that was accepted; `why` and the marks `before` it, if it was a fall or a leap."""

    ts: int
    value: float
    why: Why | None = None
    before: Marks | None = None


class Held(NamedTuple):
    """A reading that fell or leapt from the value `before`."""

    ts: int
    value: float
    before: float
    why: Why


class HeldReading(NamedTuple):
    """A reading of an entity (by its number) that is held, was left out, or was accepted by a user."""

    entity: int
    ts: int
    value: float
    before: float
    why: Why
    verdict: Judged


class Memory(NamedTuple):
    """All that a Counter knows: what it needs to go on after a restart; values are in `unit`."""

    marks: Marks | None = None
    held: Held | None = None
    # From a fall or a leap on, oldest first.
    trail: tuple[Step, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reading decides: `accepted` if it counts now, `held` if the next value decides.

    `confirmed` were held and count with their own times; `left_out` do not count, nor those among them that
    were accepted before. Neither: a negative value, which is passed over. `replaced` is the time of a held
    reading in whose place this one came. `keep`: store the counter's memory with this reading.
    """

    accepted: bool = False
    held: Held | None = None
    confirmed: tuple[Held, ...] = ()
    left_out: tuple[Held, ...] = ()
    replaced: int | None = None
    keep: bool = False

    def changes(self, entity: int) -> dict[tuple[int, int], HeldReading | None]:
        """Return what becomes of stored held readings, by entity and time; None removes one."""
        found: dict[tuple[int, int], HeldReading | None] = {}
        if self.replaced is not None:
            found[entity, self.replaced] = None
        found |= {(entity, one.ts): None for one in self.confirmed}
        found |= {(entity, one.ts): HeldReading(entity, *one, "left_out") for one in self.left_out}
        if self.held is not None:
            found[entity, self.held.ts] = HeldReading(entity, *self.held, "held")
        return found


_COUNTS = Verdict(accepted=True)


class Counter:
    """One `total_increasing` entity, fed every reading in order, those that only repeat a value too.

    `unit` is what its values are in: before one in another unit `convert` it.
    """

    __slots__ = ("_held", "_marks", "_trail", "unit")

    def __init__(self, memory: Memory | None = None) -> None:
        self._marks, self._held, self._trail, self.unit = memory or Memory()

    @property
    def memory(self) -> Memory:
        """What to store, and to give to the counter after a restart."""
        return Memory(self._marks, self._held, self._trail, self.unit)

    @property
    def heard(self) -> int:
        """Time of the newest reading taken; after a restart feed those stored since. -1 before the first."""
        known = [one.ts for one in (self._marks, self._held) if one is not None]
        return max(known, default=-1)

    def take(self, ts: int, value: float, *, daily: bool = False) -> Verdict:
        """Take the next reading; of a `daily` counter no fall is held."""
        marks, held = self._marks, self._held
        if marks is None:
            self._marks = Marks(ts, value, ts, value)
            return Verdict(accepted=True, keep=True)
        if value < 0:
            return Verdict()
        if held is None and not self._trail and value >= marks.value and not marks.leapt(ts, value):
            # Nearly all readings: nothing to decide.
            self._marks = marks.after(ts, value)
            return _COUNTS if self._marks.window_ts == marks.window_ts else Verdict(accepted=True, keep=True)
        return self._decide(marks, held, ts, value, daily=daily)

    def move(self, by: int) -> None:
        """Go on with all times `by` ms later, since its readings were dated anew."""

        def moved(marks: Marks) -> Marks:
            return marks._replace(ts=marks.ts + by, window_ts=marks.window_ts + by)

        self._marks = self._marks and moved(self._marks)
        self._held = self._held and self._held._replace(ts=self._held.ts + by)
        self._trail = tuple(
            step._replace(ts=step.ts + by, before=step.before and moved(step.before)) for step in self._trail
        )

    def convert(self, unit: str, how: Callable[[float], float]) -> None:
        """Go on in another unit: `how` brings a value to it; a counter's units have one zero."""

        def convert(marks: Marks) -> Marks:
            ts, value, window_ts, window_value, step, rate = marks
            rate = None if rate is None else how(rate)
            return Marks(ts, how(value), window_ts, how(window_value), how(step), rate)

        if self._marks is not None:
            self._marks = convert(self._marks)
        if self._held is not None:
            self._held = self._held._replace(value=how(self._held.value), before=how(self._held.before))
        self._trail = tuple(
            step._replace(value=how(step.value), before=step.before and convert(step.before))
            for step in self._trail
        )
        self.unit = unit

    def _decide(self, marks: Marks, held: Held | None, ts: int, value: float, *, daily: bool) -> Verdict:
        self._held = None
        replaced = held is not None and held.ts == ts
        confirmed = held is not None and not replaced and not _contradicted(marks, held, value)
        left_out = [] if held is None or replaced or confirmed else [held]
        if held is not None and confirmed:
            marks = self._advance(marks, held.ts, held.value)
        marks, taken = self._take_back(marks, ts, value)
        if held is not None and held.ts in {one.ts for one in taken}:
            confirmed = False
        why = _doubted(marks, ts, value, daily=daily)
        window = marks.window_ts
        self._marks = marks
        if why is None:
            self._marks = self._advance(marks, ts, value)
        else:
            self._held = Held(ts, value, marks.value, why)
        return Verdict(
            accepted=why is None,
            held=self._held,
            confirmed=(held,) if held is not None and confirmed else (),
            left_out=(*left_out, *(one for one in taken if one.ts != ts)),
            replaced=ts if replaced else None,
            keep=held is not None or why is not None or bool(taken) or self._marks.window_ts != window,
        )

    def _advance(self, marks: Marks, ts: int, value: float) -> Marks:
        """Accept a value, and remember since which fall or leap."""
        why: Why | None = "leap" if marks.leapt(ts, value) else None
        if value < RESET_BELOW * marks.value:
            why = "fall"
        if why is not None or (self._trail and value != marks.value):
            self._trail = _recent((*self._trail, Step(ts, value, why, marks if why else None)), ts)
        return marks.after(ts, value)

    def _take_back(self, marks: Marks, ts: int, value: float) -> tuple[Marks, tuple[Held, ...]]:
        """Leave out all since a fall or leap that was accepted if an unlikely value goes on from before."""
        if value < marks.value or marks.leapt(ts, value):
            for at in reversed(range(len(self._trail))):
                _, _, why, before = self._trail[at]
                alone = at + 1 == len(self._trail)
                if why and before and _goes_on(before, ts, value, marks.value, alone=alone):
                    gone = tuple(Held(one.ts, one.value, before.value, why) for one in self._trail[at:])
                    self._trail = self._trail[:at]
                    return before, gone
        return marks, ()


def _goes_on(before: Marks, ts: int, value: float, last: float, *, alone: bool) -> bool:
    """Say whether a value goes on from `before`, not from the `last` one; `alone`: nothing came in between.

    What may be the first value after a reset is one: a counter that begins anew is never taken for a glitch.
    """
    if ts - before.ts > _LONGEST or not before.near(ts, value) or before.near(ts, last):
        return False
    return value > last or value > before.reach(ts) or (alone and value >= before.value > 0)


def _contradicted(marks: Marks, held: Held, value: float) -> bool:
    """Say whether a value takes the held one back."""
    if held.why == "fall":
        return value >= marks.value
    if value < RESET_BELOW * marks.value and marks.near(held.ts, held.value):
        # A reset says nothing of the small step before it.
        return False
    # Nearer to the value before than to the leap.
    return 2 * value < marks.value + held.value


def _doubted(marks: Marks, ts: int, value: float, *, daily: bool) -> Why | None:
    """Say why a value must wait for the next one; in the first hour there is no rate to call it a leap."""
    if value < marks.value:
        return None if daily else "fall"
    return "leap" if marks.rate is not None and marks.leapt(ts, value) else None


def _recent(trail: tuple[Step, ...], ts: int) -> tuple[Step, ...]:
    """Return the trail from its first fall or leap that may still be taken back."""
    for at, step in enumerate(trail):
        if step.before and len(trail) - at <= _MOST_STEPS and ts - step.before.ts <= _LONGEST:
            return trail[at:]
    return ()


def subject(name: str) -> str:
    """Return the subject in health of the readings that were left out of `device.entity`."""
    return f"counter.{name}"


def told(reading: HeldReading, name: str, unit: str | None, topic: str) -> str:
    """Tell health of a reading of `device.entity` that was left out; `topic` takes accept_reading."""
    at = to_iso(reading.ts)
    shown = " ".join(filter(None, (f"{reading.value:.12g}", unit)))
    did = "fell" if reading.why == "fall" else "rose too fast"
    return (
        f"{shown} at {at} was left out: it {did} from {reading.before:.12g} and came back. If it was real:"
        f' mosquitto_pub -t {topic} -m \'{{"entity": "{name}", "ts": "{at}"}}\''
    )
