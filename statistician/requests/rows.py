"""Rows of statistics put together into longer periods, with the change of sums, as answers show them."""

import math

from msgspec import Struct

from statistician.algorithm import Row
from statistician.records import StoredRow


class Line(Struct, omit_defaults=True, kw_only=True):
    """One period of one entity in an answer; what was not asked for or does not apply is absent."""

    start: str
    end: str
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    state: float | None = None
    sum: float | None = None
    change: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: str | None = None
    coverage: float | None = None


class Changes:
    """The change of a sum from row to row; before the first row ever it was 0."""

    def __init__(self, before: StoredRow | None) -> None:
        self._sum = 0.0 if before is None or before.row.sum is None else before.row.sum

    def take(self, total: float | None) -> float | None:
        """How far the sum has moved since the row before."""
        if total is None:
            return None
        change = total - self._sum
        self._sum = total
        return change


class Bucket:
    """Gathers rows of one length, in order of time, into one of a longer period."""

    __slots__ = ("_angles", "_count", "_known", "_last", "_max", "_mean", "_min", "_x", "_y", "until")

    def __init__(self) -> None:
        # Where it ends if the calendar does not say.
        self.until: int | None = None
        self._count = self._angles = 0
        self._mean = self._x = self._y = 0.0
        # ms; None as long as no row says how much of it is known.
        self._known: float | None = None
        self._min = math.inf
        self._max = -math.inf
        self._last = Row()

    def add(self, row: Row, length: int) -> None:
        """Take a row of `length` ms."""
        if row.mean is not None and row.mean_weight is not None:
            self._angles += 1
            self._x += math.cos(math.radians(row.mean)) * row.mean_weight
            self._y += math.sin(math.radians(row.mean)) * row.mean_weight
        elif row.mean is not None:
            self._count += 1
            self._mean += row.mean
        if row.min is not None:
            self._min = min(self._min, row.min)
        if row.max is not None:
            self._max = max(self._max, row.max)
        if row.coverage is not None:
            self._known = (self._known or 0.0) + row.coverage * length
        self._last = row

    def row(self, length: int) -> Row:
        """The row of a period of `length` ms; means count alike, as Home Assistant has it."""
        mean = None
        if self._angles:
            mean = math.degrees(math.atan2(self._y, self._x)) % 360
        elif self._count:
            mean = self._mean / self._count
        return self._last._replace(
            mean=mean,
            min=self._min if math.isfinite(self._min) else None,
            max=self._max if math.isfinite(self._max) else None,
            coverage=None if self._known is None else self._known / length,
        )
