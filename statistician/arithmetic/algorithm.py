"""How states become statistics: accumulators of 5-minute periods, hourly rows from their rows; time is ms."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE, TOTAL, TOTAL_INCREASING
from bus.integral import LARGEST
from bus.messages import Value
from statistician.arithmetic import HOUR, MINUTES_5

# A fall below this share of the last value is a reset, a smaller one a dip.
RESET_BELOW = 0.9

# Whether a counter that begins anew each day has begun a new one between two readings (ms).
NewDay = Callable[[int, int], bool]


# Tuples, because a thousand of these are made and stored at every boundary.
class Row(NamedTuple):
    """A statistic of one period in the entity's unit; `mean_weight` s, `last_reset` ms.

    `coverage` is the share of the period in which the value was known, 0..1; None: nobody knows the share.
    """

    mean: float | None = None
    mean_weight: float | None = None
    min: float | None = None
    max: float | None = None
    state: float | None = None
    sum: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: int | None = None
    coverage: float | None = 0.0


class Accumulator(Protocol):
    """Collects one entity's states of one 5-minute period; only time with a known value counts."""

    def carry(self, start: int, heard: int, value: Value, last_reset: int | None) -> None:
        """Take the state in force when the period starts, last heard at `heard`."""

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        """Take the next state; `ts` never falls."""

    def hear(self, ts: int) -> None:
        """Note that the value in force was measured again."""

    def close(self, end: int) -> Row | None:
        """Return the row of the period that ends at `end`; None if no time of it had a known value."""


class _Holding:
    """The frame of all accumulators: how long each number is known.

    A number is known from its reading until the next one, but for at most `expire` ms (None: no limit). What
    is no number ends it.
    """

    __slots__ = ("_expire", "_from", "_heard", "_known", "_value")

    def __init__(self, expire: int | None) -> None:
        self._expire = expire
        self._value: float | None = None
        self._from = self._heard = self._known = 0

    def carry(self, start: int, heard: int, value: Value, last_reset: int | None) -> None:
        if isinstance(value, float):
            self._carried(
                start, value, last_reset, in_force=self._expire is None or heard + self._expire > start
            )
            self._value = value
            self._from = start
            self._heard = heard

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        if self._value is not None:
            self._hold(ts)
        if not isinstance(value, float):
            self._value = None
            return
        self._add(ts, value, last_reset)
        self._value = value
        self._from = self._heard = ts

    def hear(self, ts: int) -> None:
        if self._value is None:
            return
        if self._expire is not None and ts > self._heard + self._expire:
            self._hold(ts)
            self._from = ts
        self._heard = ts

    def close(self, end: int) -> Row | None:
        if self._value is not None:
            self._hold(end)
            self._value = None
        return self._row(self._known / MINUTES_5) if self._known else None

    def _hold(self, until: int) -> None:
        if self._expire is not None:
            until = min(until, self._heard + self._expire)
        if until > self._from and self._value is not None:
            self._known += until - self._from
            self._weigh(self._value, until - self._from)

    # What does nothing here is left so where a number counts only for its time, or has no weight.
    def _carried(self, start: int, value: float, last_reset: int | None, *, in_force: bool) -> None:
        """Take the number that is carried in."""

    def _add(self, ts: int, value: float, last_reset: int | None) -> None:
        """Take the next number."""

    def _weigh(self, value: float, duration: int) -> None:
        """Weigh a number by the time in which it was known, ms."""

    def _row(self, coverage: float) -> Row:
        raise NotImplementedError


def accumulator(
    state_class: str | None,
    base: Row | None,
    adjustment: float = 0.0,
    *,
    expire: int | None = None,
    since: int = 0,
    new_day: NewDay | None = None,
) -> Accumulator | None:
    """Return a fresh accumulator; `base` is the entity's latest earlier row. None without statistics.

    `adjustment` is what a user added to the sums since that row. `since` is when a number was known last
    before the period, `new_day` tells for a counter that begins anew each day whether it did.
    """
    if state_class == MEASUREMENT:
        return _Mean(expire)
    if state_class == MEASUREMENT_ANGLE:
        return _Angle(expire)
    if state_class == TOTAL_INCREASING:
        return _TotalIncreasing(base, adjustment, expire, since, new_day)
    if state_class == TOTAL:
        return _Total(base, adjustment, expire)
    return None


class _Mean(_Holding):
    """Time-weighted mean and extremes."""

    __slots__ = ("_max", "_min", "_weighted")

    def __init__(self, expire: int | None) -> None:
        super().__init__(expire)
        self._weighted = 0.0
        self._min = math.inf
        self._max = -math.inf

    def _carried(self, _start: int, value: float, _last_reset: int | None, *, in_force: bool) -> None:
        if in_force:
            self._min = self._max = value

    def _add(self, _ts: int, value: float, _last_reset: int | None) -> None:
        self._min = min(self._min, value)
        self._max = max(self._max, value)

    def _weigh(self, value: float, duration: int) -> None:
        self._weighted += value * duration

    def _row(self, coverage: float) -> Row:
        return Row(_finite(self._weighted / self._known), None, self._min, self._max, coverage=coverage)


class _Angle(_Holding):
    """Mean direction in degrees 0..360, as the vector sum of unit vectors held over time."""

    __slots__ = ("_x", "_y")

    def __init__(self, expire: int | None) -> None:
        super().__init__(expire)
        self._x = self._y = 0.0

    def _weigh(self, value: float, duration: int) -> None:
        angle = math.radians(value)
        seconds = duration / 1000
        self._x += math.cos(angle) * seconds
        self._y += math.sin(angle) * seconds

    def _row(self, coverage: float) -> Row:
        return Row(direction(self._x, self._y), math.hypot(self._x, self._y), coverage=coverage)


class Sum(_Holding):
    """The frame of both totals: a cycle runs from its zero point to the last number."""

    __slots__ = (
        *("_before", "_cycle_reset", "_decrease", "_increase", "_last_reset", "_new", "_renewals"),
        *("_renewed", "_zero"),
    )

    def __init__(self, base: Row | None, adjustment: float, expire: int | None) -> None:
        super().__init__(expire)
        # A row without a sum is another state class's; the next number is a first one then. It is one
        # too after an imported row without a state, but the sum goes on.
        known = base if base is not None and base.sum is not None else Row(sum=0.0)
        self._zero = self._new = known.state
        # So that the sum stays the difference of the two, whatever the adjustment's sign.
        self._before = (known.sum or 0.0) + adjustment
        self._increase = (known.sum_increase or 0.0) + adjustment
        self._decrease = known.sum_decrease or 0.0
        self._last_reset = self._cycle_reset = known.last_reset
        self._renewals: list[int] = []
        self._renewed: int | None = None

    def carry(self, start: int, heard: int, value: Value, last_reset: int | None) -> None:
        """As every accumulator, but what is too large to count is unknown."""
        super().carry(start, heard, countable(value), last_reset)

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        """As every accumulator, but what is too large to count is unknown."""
        super().feed(ts, countable(value), last_reset)

    def renew(self, times: Iterable[int], done: int | None) -> None:
        """After each time it is another counter: its first number adds nothing. The base knows `done`."""
        self._renewals += times
        self._renewed = done if self._renewed is None else self._renewed

    def _carried(self, start: int, value: float, last_reset: int | None, *, in_force: bool) -> None:
        # Also one that is no longer in force: what it counted may stand in no row yet.
        del in_force
        self._take(start, value, last_reset)

    def _take(self, ts: int, value: float, last_reset: int | None) -> None:
        if self._renewals and ts > self._renewals[0]:
            self._begin(value, ts)
        else:
            self._step(value, last_reset)

    def _begin(self, value: float, ts: int) -> None:
        while self._renewals and self._renewals[0] < ts:
            self._renewed = self._last_reset = self._cycle_reset = self._renewals.pop(0)
        self._before += (self._new or 0.0) - (self._zero or 0.0)
        self._zero = self._new = value

    def _add(self, ts: int, value: float, last_reset: int | None) -> None:
        self._take(ts, value, last_reset)

    def _step(self, value: float, last_reset: int | None) -> None:
        raise NotImplementedError

    def _move(self, value: float, *, reset: bool) -> None:
        previous = self._new
        if previous is None or self._zero is None:
            self._zero = self._new = value
            return
        if reset:
            self._before += previous - self._zero
            self._zero = previous = 0.0
        step = value - previous
        if step > 0:
            self._increase += step
        else:
            self._decrease -= step
        self._new = value

    def _row(self, coverage: float) -> Row:
        new, zero = self._new or 0.0, self._zero or 0.0
        return Row(
            state=new,
            sum=_finite(self._before + (new - zero)),
            sum_increase=_finite(self._increase),
            sum_decrease=_finite(self._decrease),
            last_reset=self._last_reset,
            coverage=coverage,
        )


class _TotalIncreasing(Sum):
    """A counter that only grows: a fall to less than 90 % is a reset, a negative number is skipped.

    One that begins anew each day has also done so when another day's first number is higher than the last.
    """

    __slots__ = ("_new_day", "_since")

    def __init__(
        self, base: Row | None, adjustment: float, expire: int | None, since: int, new_day: NewDay | None
    ) -> None:
        super().__init__(base, adjustment, expire)
        self._since = since
        self._new_day = new_day

    def _add(self, ts: int, value: float, _last_reset: int | None) -> None:
        new = self._new
        anew = (
            self._new_day is not None
            and new is not None
            and value > new
            and self._new_day(self._heard or self._since, ts)
        )
        if anew and not self._renewals:
            self._move(value, reset=True)
        else:
            self._take(ts, value, None)

    def _step(self, value: float, _last_reset: int | None) -> None:
        new = self._new
        if new is None:
            self._move(value, reset=False)
        elif value >= 0:
            self._move(value, reset=value < RESET_BELOW * new)


class _Total(Sum):
    """A value that goes up and down; only a new `last_reset` starts another cycle."""

    __slots__ = ()

    def _step(self, value: float, last_reset: int | None) -> None:
        if self._renewed is not None and (last_reset is None or last_reset < self._renewed):
            # What the counter said before it became another one.
            last_reset = self._renewed
        reset = last_reset is not None and last_reset != self._cycle_reset
        if reset:
            self._cycle_reset = last_reset
        self._last_reset = last_reset
        self._move(value, reset=reset)


def hourly(rows: Sequence[Row], state_class: str | None) -> Row | None:
    """Return the row of an hour from its 5-minute rows in order of time; None without rows."""
    if not rows:
        return None
    last = rows[-1]
    mean = weight = None
    if state_class not in (TOTAL, TOTAL_INCREASING):
        mean, weight = _mean_of(rows)
    lows = [row.min for row in rows if row.min is not None]
    highs = [row.max for row in rows if row.max is not None]
    return Row(
        mean=mean,
        mean_weight=weight,
        min=min(lows, default=None),
        max=max(highs, default=None),
        state=last.state,
        sum=last.sum,
        sum_increase=last.sum_increase,
        sum_decrease=last.sum_decrease,
        last_reset=last.last_reset,
        coverage=sum(row.coverage or 0.0 for row in rows) * MINUTES_5 / HOUR,
    )


def _mean_of(rows: Sequence[Row]) -> tuple[float | None, float | None]:
    angles = [(row.mean, row.mean_weight) for row in rows if row.mean_weight is not None]
    if angles:
        x = sum(math.cos(math.radians(mean)) * weight for mean, weight in angles if mean is not None)
        y = sum(math.sin(math.radians(mean)) * weight for mean, weight in angles if mean is not None)
        return direction(x, y), math.hypot(x, y)
    means = [row.mean for row in rows if row.mean is not None]
    return (_finite(sum(means) / len(means)) if means else None), None


def direction(x: float, y: float) -> float:
    """Return the direction of a vector in degrees, 0 <= degrees < 360."""
    degrees = math.degrees(math.atan2(y, x)) % 360
    # A tiny negative angle rounds up to a full turn.
    return 0.0 if degrees >= 360 else degrees


def countable(value: Value) -> Value:
    """Return a value as sums take it: a number beyond LARGEST is unknown."""
    return None if isinstance(value, float) and not -LARGEST <= value <= LARGEST else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
