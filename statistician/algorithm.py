"""How states become statistics: accumulators of 5-minute periods, hourly rows from their rows; time is ms."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE, TOTAL, TOTAL_INCREASING
from bus.messages import Value
from statistician.periods import HOUR, MINUTES_5

# A fall below this share of the last value is a reset, a smaller one a dip.
_RESET_BELOW = 0.9


# Tuples, because a thousand of these are made and stored at every boundary.
class Row(NamedTuple):
    """A statistic of one period in the entity's unit; `mean_weight` s, `last_reset` ms.

    `coverage` is the known share of the period, 0..1; None: nobody said, as of an imported hour.
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
    """Collects one entity's states of one 5-minute period; what is no number leaves the last one in force."""

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        """Take the next state, the one carried in first, at the period's start; `ts` never falls."""

    def close(self, end: int) -> Row | None:
        """The row of the period that ends at `end`; None if it had no number."""


def accumulator(state_class: str | None, base: Row | None, adjustment: float = 0.0) -> Accumulator | None:
    """A fresh accumulator; `base` is the entity's latest earlier row. None without statistics.

    `adjustment` is what a user added to the sums since that row.
    """
    if state_class == MEASUREMENT:
        return _Mean()
    if state_class == MEASUREMENT_ANGLE:
        return _Angle()
    if state_class == TOTAL_INCREASING:
        return _TotalIncreasing(base, adjustment)
    if state_class == TOTAL:
        return _Total(base, adjustment)
    return None


class _Mean:
    """Time-weighted mean and extremes; the last number holds until the next."""

    __slots__ = ("_first", "_gap", "_gap_from", "_max", "_min", "_ts", "_value", "_weighted")

    def __init__(self) -> None:
        self._value: float | None = None
        self._first = self._ts = self._gap = 0
        self._gap_from: int | None = None
        self._weighted = self._min = self._max = 0.0

    def feed(self, ts: int, value: Value, _last_reset: int | None) -> None:
        if not isinstance(value, float):
            if self._gap_from is None:
                self._gap_from = ts
            return
        previous = self._value
        if previous is None:
            self._first = ts
            self._min = self._max = value
            self._gap_from = None
        else:
            self._weighted += previous * (ts - self._ts)
            if value < self._min:
                self._min = value
            elif value > self._max:
                self._max = value
        self._ts = ts
        self._value = value
        if self._gap_from is not None:
            self._gap += ts - self._gap_from
            self._gap_from = None

    def close(self, end: int) -> Row | None:
        value = self._value
        if value is None:
            return None
        mean = (self._weighted + value * (end - self._ts)) / (end - self._first)
        covered = _covered(end, self._first, self._gap, self._gap_from)
        return Row(_finite(mean), None, self._min, self._max, coverage=covered)


class _Angle:
    """Mean direction in degrees 0..360, as the vector sum of unit vectors held over time."""

    __slots__ = ("_cos", "_first", "_gap", "_gap_from", "_ts", "_value", "_x", "_y")

    def __init__(self) -> None:
        self._value: float | None = None
        self._first = self._ts = self._gap = 0
        self._gap_from: int | None = None
        self._x = self._y = 0.0

    def feed(self, ts: int, value: Value, _last_reset: int | None) -> None:
        if not isinstance(value, float):
            if self._gap_from is None:
                self._gap_from = ts
            return
        if self._value is None:
            self._first = ts
            self._gap_from = None
        else:
            self._hold(self._value, ts)
        self._ts = ts
        self._value = value
        if self._gap_from is not None:
            self._gap += ts - self._gap_from
            self._gap_from = None

    def _hold(self, value: float, until: int) -> None:
        angle = math.radians(value)
        seconds = (until - self._ts) / 1000
        self._x += math.cos(angle) * seconds
        self._y += math.sin(angle) * seconds

    def close(self, end: int) -> Row | None:
        if self._value is None:
            return None
        self._hold(self._value, end)
        covered = _covered(end, self._first, self._gap, self._gap_from)
        return Row(_direction(self._x, self._y), math.hypot(self._x, self._y), coverage=covered)


class _Sum:
    """The frame of both totals: a cycle runs from its zero point to the last number."""

    __slots__ = (
        "_before",
        "_cycle_reset",
        "_decrease",
        "_first",
        "_gap",
        "_gap_from",
        "_increase",
        "_last_reset",
        "_new",
        "_seen",
        "_zero",
    )

    def __init__(self, base: Row | None, adjustment: float) -> None:
        # A row without a sum is another state class's; the next number is a first one then. It is one
        # too after an imported row without a state, but the sum goes on.
        known = base if base is not None and base.sum is not None else Row(sum=0.0)
        self._zero = self._new = known.state
        # So that the sum stays the difference of the two, whatever the adjustment's sign.
        self._before = (known.sum or 0.0) + adjustment
        self._increase = (known.sum_increase or 0.0) + adjustment
        self._decrease = known.sum_decrease or 0.0
        self._last_reset = self._cycle_reset = known.last_reset
        self._seen = False
        self._first = self._gap = 0
        self._gap_from: int | None = None

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        if not isinstance(value, float):
            if self._gap_from is None:
                self._gap_from = ts
            return
        if not self._seen:
            self._seen = True
            self._first = ts
            self._gap_from = None
        elif self._gap_from is not None:
            self._gap += ts - self._gap_from
            self._gap_from = None
        self._step(value, last_reset)

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

    def close(self, end: int) -> Row | None:
        if not self._seen or self._new is None or self._zero is None:
            return None
        return Row(
            state=self._new,
            sum=_finite(self._before + (self._new - self._zero)),
            sum_increase=_finite(self._increase),
            sum_decrease=_finite(self._decrease),
            last_reset=self._last_reset,
            coverage=_covered(end, self._first, self._gap, self._gap_from),
        )


class _TotalIncreasing(_Sum):
    """A counter that only grows: a fall to less than 90 % is a reset, a negative number is skipped."""

    __slots__ = ()

    def _step(self, value: float, _last_reset: int | None) -> None:
        new = self._new
        if new is None:
            self._move(value, reset=False)
        elif value >= 0:
            self._move(value, reset=value < _RESET_BELOW * new)


class _Total(_Sum):
    """A value that goes up and down; only a new `last_reset` starts another cycle."""

    __slots__ = ()

    def _step(self, value: float, last_reset: int | None) -> None:
        reset = last_reset is not None and last_reset != self._cycle_reset
        if reset:
            self._cycle_reset = last_reset
        self._last_reset = last_reset
        self._move(value, reset=reset)


def hourly(rows: Sequence[Row], state_class: str | None) -> Row | None:
    """The row of an hour from its 5-minute rows in order of time; None without rows."""
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
        return _direction(x, y), math.hypot(x, y)
    means = [row.mean for row in rows if row.mean is not None]
    return (_finite(sum(means) / len(means)) if means else None), None


def _direction(x: float, y: float) -> float:
    degrees = math.degrees(math.atan2(y, x)) % 360
    # A tiny negative angle rounds up to a full turn.
    return 0.0 if degrees >= 360 else degrees


def _covered(end: int, first: int, gap: int, gap_from: int | None) -> float:
    unknown = gap if gap_from is None else gap + end - gap_from
    return (end - first - unknown) / MINUTES_5


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
