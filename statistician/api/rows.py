"""Rows of statistics as answers show them, and the change of sums from one to the next."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from statistician.arithmetic.algorithm import Row


class Line(Struct, omit_defaults=True, kw_only=True):
    """One period of one entity in an answer; what was not asked for or does not apply is absent."""

    start: str
    end: str
    mean: float | None = None
    min: float | None = None
    min_at: str | None = None
    max: float | None = None
    max_at: str | None = None
    state: float | None = None
    sum: float | None = None
    change: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: str | None = None
    coverage: float | None = None


class Period(NamedTuple):
    """A period in ms with its row in the unit of the rows, and how far the sum moved in it."""

    start: int
    end: int
    row: Row
    change: float | None


class Changes:
    """The change of a sum from row to row; `before` gives the row that ends last before a time (ms).

    Where there is none the sum was 0, as Home Assistant has it.
    """

    def __init__(self, before: Callable[[int], Row | None]) -> None:
        self._before = before
        self._end: int | None = None
        self._sum = 0.0

    def period(self, start: int, end: int, row: Row) -> Period:
        """The period with its change; periods come in order of time."""
        if row.sum is None:
            return Period(start, end, row, None)
        if start != self._end:
            # Something else may have moved the sum since the row before: an import, hours of an absence.
            base = self._before(start)
            self._sum = 0.0 if base is None or base.sum is None else base.sum
        change = row.sum - self._sum
        self._sum, self._end = row.sum, end
        return Period(start, end, row, change)
