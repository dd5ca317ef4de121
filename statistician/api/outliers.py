"""The verb outliers: single states that jump away from their neighbours and back, and readings left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bus.messages import to_iso
from bus.requests import Listing, Part, Place
from statistician.api.ground import Ground, full_name, span
from statistician.api.history import chunks, counted
from statistician.api.params import Outliers
from statistician.arithmetic.counters import HeldReading
from statistician.arithmetic.periods import DAY

# Neighbours looked at on either side of a state.
_SIDE = 5
_AT_ONCE = 500
# Of a normal distribution this much times the median absolute deviation is the standard deviation.
_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Outlier:
    """A number at `ts` (ms) and the range in which its neighbours let expect it; `score` in deviations."""

    ts: int
    value: float
    low: float | None = None
    high: float | None = None
    score: float | None = None


def outliers(ground: Ground, params: Outliers, place: Place) -> Listing:
    """States with the range expected of them, and the readings that were left out of a counter's rows.

    A lasting change is no outlier. Raises Refused.
    """
    live = ground.find(params.entity, "entity")
    start, end = span(params.start, params.end)
    until = place.now if end is None else end
    since = max(0, until - DAY) if start is None else start

    def parts() -> Iterator[Part | None]:
        numbers: list[tuple[int, float]] = []
        for state in counted(s for hour in chunks(ground, live, since, until) for s in (*hour, None)):
            if state is None:
                yield None
            elif isinstance(state.value, float):
                numbers.append((state.ts, state.value))
        done = -1 if place.after is None else int(place.after[0])
        stored = ground.store.held.between(live.record.id, since, until)
        left_out = {reading.ts: reading for reading in stored if reading.verdict == "left_out"}
        numbers = sorted([*numbers, *((reading.ts, reading.value) for reading in left_out.values())])
        for found in _with_left_out(find(numbers, params.threshold), numbers, left_out):
            if found is None:
                yield None
            elif found.ts > done:
                yield Part((found.ts,), _row(found, left_out.get(found.ts)))

    def assemble(found: list[Part]) -> object:
        columns = ("ts", "value", "expected_min", "expected_max", "score", "left_out", "before")
        return {
            "entity": full_name(live),
            "unit": live.record.unit,
            "columns": columns,
            "rows": [part.value for part in found],
        }

    return Listing(parts(), assemble)


def _row(found: Outlier, left_out: HeldReading | None) -> tuple[str | float | bool | None, ...]:
    before = None if left_out is None else left_out.before
    shown = (to_iso(found.ts), found.value, found.low, found.high, found.score)
    return (*shown, left_out is not None, before)


def _with_left_out(
    outliers: Iterator[Outlier | None],
    numbers: Sequence[tuple[int, float]],
    left_out: Mapping[int, HeldReading],
) -> Iterator[Outlier | None]:
    """The outliers, and between them in order of time the numbers left out that are none themselves."""
    more = [Outlier(ts, value) for ts, value in reversed(numbers) if ts in left_out]
    for found in outliers:
        while found is not None and more and more[-1].ts <= found.ts:
            other = more.pop()
            if other.ts < found.ts:
                yield other
        yield found
    yield from reversed(more)


def find(numbers: Sequence[tuple[int, float]], threshold: float) -> Iterator[Outlier | None]:
    """Numbers that lie `threshold` robust deviations or more from the median around them.

    A None is a moment for others. The usual step between neighbours is the least deviation assumed, so that
    a steady value that moves by its last digit is no outlier.
    """
    if len(numbers) <= _SIDE:
        return
    values = [value for _, value in numbers]
    usual = median(abs(b - a) for a, b in pairwise(values))
    yield None
    for number, (ts, value) in enumerate(numbers):
        around = values[max(0, number - _SIDE) : number + _SIDE + 1]
        middle = median(around)
        deviation = abs(value - middle)
        scale = _SIGMA * max(median(abs(v - middle) for v in around), usual)
        if deviation > 0 and deviation >= threshold * scale:
            reach = threshold * scale
            score = round(deviation / scale, 1) if scale else None
            yield Outlier(ts, value, middle - reach, middle + reach, score)
        if number % _AT_ONCE == 0:
            yield None


def median(numbers: Iterable[float]) -> float:
    """The middle number, or the mean of both; the standard library's costs 3 MB. Raises IndexError."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
