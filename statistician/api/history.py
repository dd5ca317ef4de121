"""The verbs history and outliers: stored states of an entity."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct

from bus.about import MEASUREMENT
from bus.commands import Code, Refused
from bus.messages import Value, to_iso
from bus.requests import Listing, Part, Place
from statistician.api import BY_TIME, BY_TWO, Context, Moment, Name, full_name, span, verb
from statistician.arithmetic import DAY, HOUR
from statistician.arithmetic.algorithm import Row, accumulator
from statistician.arithmetic.counters import HeldReading
from statistician.arithmetic.live import LiveEntity
from statistician.records import State

# States a request may read at once to make buckets or find outliers.
MOST_STATES = 200_000
_NEWEST = 100


class History(Struct, forbid_unknown_fields=True):
    """States of an entity, start <= ts < end; without a range the newest `limit`; `points` buckets."""

    entity: Name
    start: Moment | None = None
    end: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    points: Annotated[int, Meta(ge=1, le=5_000)] | None = None


class Outliers(Struct, forbid_unknown_fields=True):
    """States that lie `threshold` robust deviations or more from their neighbours; default the last day."""

    entity: Name
    start: Moment | None = None
    end: Moment | None = None
    threshold: Annotated[float, Meta(ge=1, le=1000)] = 6.0


@verb(History, asker="viewer", pages=BY_TWO)
def history(context: Context, params: History, place: Place) -> Listing:
    """States as rows of (ts, value), or buckets as rows of (start, mean, min, max). Raises Refused."""
    live = context.find(params.entity, "entity")
    start, end = span(params.start, params.end)
    if params.points is not None:
        if params.limit is not None:
            raise Refused(Code.INVALID, "limit: it does not go with points")
        return _listing(live, ("start", "mean", "min", "max"), _buckets(context, live, params, place))
    if start is None and end is None:
        return _listing(live, ("ts", "value"), _newest(context, live, params.limit or _NEWEST, place))
    states = _stored(context, live, start or 0, end, place)
    return _listing(live, ("ts", "value"), _limited(states, params.limit, place))


def _listing(live: LiveEntity, columns: tuple[str, ...], parts: Iterator[Part | None]) -> Listing:
    def assemble(found: list[Part]) -> object:
        rows = [part.value for part in found]
        return {"entity": full_name(live.record), "unit": live.record.unit, "columns": columns, "rows": rows}

    return Listing(parts, assemble)


def chunks(context: Context, live: LiveEntity, start: int, end: int) -> Iterator[list[State]]:
    """Yield an entity's states with start <= ts < end, an hour of the database at a time."""
    first = context.store.states.first()
    newest = live.newest
    if first is None or newest is None:
        return
    start = max(start, first)
    end = min(end, newest.ts + 1)
    while start < end:
        after = min(end, start - start % HOUR + HOUR)
        yield context.store.states.between(start, after, {live.record.id})
        start = after


def _stored(
    context: Context, live: LiveEntity, start: int, end: int | None, place: Place
) -> Iterator[State | None]:
    if place.after is not None:
        start = max(start, int(place.after[0]) + 1)
    # A publisher's clock may be a day ahead.
    return _range(context, live, start, place.now + DAY if end is None else end)


def _part(state: State, left: int) -> Part:
    return Part((state.ts, left), (to_iso(state.ts), state.value))


def _limited(states: Iterator[State | None], limit: int | None, place: Place) -> Iterator[Part | None]:
    left = _left(limit, place)
    for state in states:
        if left == 0:
            return
        if state is None:
            yield None
        else:
            left -= 1
            yield _part(state, left)


def _left(limit: int | None, place: Place) -> int:
    """Count how many rows are still to come; below 0 there is no limit."""
    if place.after is not None:
        return int(place.after[1])
    return -1 if limit is None else limit


def _newest(context: Context, live: LiveEntity, limit: int, place: Place) -> Iterator[Part | None]:
    first = context.store.states.first()
    if first is None or live.newest is None:
        return
    left = _left(limit, place)
    end = live.newest.ts + 1 if place.after is None else int(place.after[0])
    while end > first and left:
        start = (end - 1) - (end - 1) % HOUR
        for state in reversed(context.store.states.between(start, end, {live.record.id})[-left:]):
            left -= 1
            yield _part(state, left)
        yield None
        end = start


def _buckets(context: Context, live: LiveEntity, params: History, place: Place) -> Iterator[Part | None]:
    """Yield means weighted by time with the extremes, so that no peak is lost; unknown is null."""
    start, end = span(params.start, params.end)
    points = params.points or 1
    until = min(place.now if end is None else end, place.now)
    since = max(0, until - DAY) if start is None else start
    if since >= until:
        raise Refused(Code.INVALID, "start: it must be before end and not in the future")
    done = -1 if place.after is None else int(place.after[0])
    bounds = [since + (until - since) * n // points for n in range(points + 1)]
    bucket = _Bucket(bounds, context.store.states.in_force([live.record], since).get(live.record.id))
    yield None
    for state in counted(_range(context, live, since, until)):
        if state is None:
            yield None
            continue
        for number, row in bucket.until(state.ts):
            if number > done:
                yield Part((number, 0), row)
        bucket.feed(state)
    for number, row in bucket.until(until):
        if number > done:
            yield Part((number, 0), row)


class _Bucket:
    """The bucket that is being filled; each begins with the state carried into it."""

    def __init__(self, bounds: list[int], carried: State | None) -> None:
        self._bounds = bounds
        self._number = 0
        self._carried = carried
        self._open()

    def _open(self) -> None:
        self._numbers = accumulator(MEASUREMENT, None)
        self._empty = True

    def _carry(self, ts: int) -> None:
        """Before the first state of the bucket at `ts`: the one in force until then, if it held a while."""
        start, carried = self._bounds[self._number], self._carried
        if self._empty and carried is not None and carried.value is not None and ts > start:
            self._take(start, carried.value)
        self._empty = False

    def _take(self, ts: int, value: Value) -> None:
        if self._numbers is not None:
            self._numbers.feed(ts, value, None)

    def feed(self, state: State) -> None:
        """Take the next state of this bucket."""
        self._carry(state.ts)
        self._carried = state
        self._take(state.ts, state.value)

    def until(self, ts: int) -> Iterator[tuple[int, tuple[str, float | None, float | None, float | None]]]:
        """Yield number and row of every bucket that ends before or at `ts`."""
        while self._number + 1 < len(self._bounds) and self._bounds[self._number + 1] <= ts:
            number = self._number
            start, end = self._bounds[number], self._bounds[number + 1]
            self._carry(end)
            row = (self._numbers.close(end) if self._numbers is not None and start < end else None) or Row()
            self._number += 1
            self._open()
            yield number, (to_iso(start), row.mean, row.min, row.max)


def _range(context: Context, live: LiveEntity, start: int, end: int) -> Iterator[State | None]:
    for states in chunks(context, live, start, end):
        yield from states
        yield None


def counted(states: Iterator[State | None], *, most: int = MOST_STATES) -> Iterator[State | None]:
    """States, until there are too many to read at once. Raises Refused(limit)."""
    number = 0
    for state in states:
        number += state is not None
        if number > most:
            raise Refused(
                Code.LIMIT, f"start: more than {most} states lie before end; ask for a shorter range"
            )
        yield state


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


@verb(Outliers, asker="viewer", pages=BY_TIME)
def outliers(context: Context, params: Outliers, place: Place) -> Listing:
    """States with the range expected of them, and the readings that were left out of a counter's rows.

    A lasting change is no outlier. Raises Refused.
    """
    live = context.find(params.entity, "entity")
    start, end = span(params.start, params.end)
    until = place.now if end is None else end
    since = max(0, until - DAY) if start is None else start

    def parts() -> Iterator[Part | None]:
        numbers: list[tuple[int, float]] = []
        for state in counted(s for hour in chunks(context, live, since, until) for s in (*hour, None)):
            if state is None:
                yield None
            elif isinstance(state.value, float):
                numbers.append((state.ts, state.value))
        done = -1 if place.after is None else int(place.after[0])
        stored = context.store.held.between(live.record.id, since, until)
        left_out = {reading.ts: reading for reading in stored if reading.verdict == "left_out"}
        numbers = sorted([*numbers, *((reading.ts, reading.value) for reading in left_out.values())])
        for found in _with_left_out(find(numbers, params.threshold), numbers, left_out):
            if found is None:
                yield None
            elif found.ts > done:
                yield Part((found.ts,), _row(found, left_out.get(found.ts)))

    columns = ("ts", "value", "expected_min", "expected_max", "score", "left_out", "before")
    return _listing(live, columns, parts())


def _row(found: Outlier, left_out: HeldReading | None) -> tuple[str | float | bool | None, ...]:
    before = None if left_out is None else left_out.before
    shown = (to_iso(found.ts), found.value, found.low, found.high, found.score)
    return (*shown, left_out is not None, before)


def _with_left_out(
    outliers: Iterator[Outlier | None],
    numbers: Sequence[tuple[int, float]],
    left_out: Mapping[int, HeldReading],
) -> Iterator[Outlier | None]:
    """Yield the outliers, and between them in order of time the numbers left out that are none themselves."""
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
    """Return the middle number, or the mean of both; the standard library's costs 3 MB. Raises IndexError."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
