"""The verb history: stored states of an entity, all of them or as many buckets as fit a chart."""

from collections.abc import Iterator

from bus.about import MEASUREMENT
from bus.commands import Code, Refused
from bus.messages import Value, to_iso
from bus.requests import Listing, Part, Place
from statistician.algorithm import Row, accumulator
from statistician.live import LiveEntity
from statistician.periods import DAY, HOUR
from statistician.records import State
from statistician.requests.ground import Ground, full_name, span
from statistician.requests.params import History

# States a request may read at once to make buckets or find outliers.
MOST_STATES = 200_000
_NEWEST = 100


def history(ground: Ground, params: History, place: Place) -> Listing:
    """States as rows of (ts, value), or buckets as rows of (start, mean, min, max). Raises Refused."""
    live = ground.find(params.entity, "entity")
    start, end = span(params.start, params.end)
    if params.points is not None:
        if params.limit is not None:
            raise Refused(Code.INVALID, "limit: it does not go with points")
        return _listing(live, ("start", "mean", "min", "max"), _buckets(ground, live, params, place))
    if start is None and end is None:
        return _listing(live, ("ts", "value"), _newest(ground, live, params.limit or _NEWEST, place))
    states = _stored(ground, live, start or 0, end, place)
    return _listing(live, ("ts", "value"), _limited(states, params.limit, place))


def _listing(live: LiveEntity, columns: tuple[str, ...], parts: Iterator[Part | None]) -> Listing:
    def assemble(found: list[Part]) -> object:
        rows = [part.value for part in found]
        return {"entity": full_name(live), "unit": live.record.unit, "columns": columns, "rows": rows}

    return Listing(parts, assemble)


def chunks(ground: Ground, live: LiveEntity, start: int, end: int) -> Iterator[list[State]]:
    """An entity's states with start <= ts < end, an hour of the database at a time."""
    first = ground.store.states.first()
    newest = live.newest
    if first is None or newest is None:
        return
    start = max(start, first)
    end = min(end, newest.ts + 1)
    while start < end:
        after = min(end, start - start % HOUR + HOUR)
        yield ground.store.states.between(start, after, {live.record.id})
        start = after


def _stored(
    ground: Ground, live: LiveEntity, start: int, end: int | None, place: Place
) -> Iterator[State | None]:
    if place.after is not None:
        start = max(start, int(place.after[0]) + 1)
    # A publisher's clock may be a day ahead.
    return _range(ground, live, start, place.now + DAY if end is None else end)


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
    """How many rows are still to come; below 0 there is no limit."""
    if place.after is not None:
        return int(place.after[1])
    return -1 if limit is None else limit


def _newest(ground: Ground, live: LiveEntity, limit: int, place: Place) -> Iterator[Part | None]:
    first = ground.store.states.first()
    if first is None or live.newest is None:
        return
    left = _left(limit, place)
    end = live.newest.ts + 1 if place.after is None else int(place.after[0])
    while end > first and left:
        start = (end - 1) - (end - 1) % HOUR
        for state in reversed(ground.store.states.between(start, end, {live.record.id})[-left:]):
            left -= 1
            yield _part(state, left)
        yield None
        end = start


def _buckets(ground: Ground, live: LiveEntity, params: History, place: Place) -> Iterator[Part | None]:
    """The mean weighted by time with the extremes, so that no peak is lost; unknown is null."""
    start, end = span(params.start, params.end)
    points = params.points or 1
    until = min(place.now if end is None else end, place.now)
    since = max(0, until - DAY) if start is None else start
    if since >= until:
        raise Refused(Code.INVALID, "start: it must be before end and not in the future")
    done = -1 if place.after is None else int(place.after[0])
    bounds = [since + (until - since) * n // points for n in range(points + 1)]
    bucket = _Bucket(bounds, ground.store.states.in_force([live.record], since).get(live.record.id))
    yield None
    for state in counted(_range(ground, live, since, until)):
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
        """Number and row of every bucket that ends before or at `ts`."""
        while self._number + 1 < len(self._bounds) and self._bounds[self._number + 1] <= ts:
            number = self._number
            start, end = self._bounds[number], self._bounds[number + 1]
            self._carry(end)
            row = (self._numbers.close(end) if self._numbers is not None and start < end else None) or Row()
            self._number += 1
            self._open()
            yield number, (to_iso(start), row.mean, row.min, row.max)


def _range(ground: Ground, live: LiveEntity, start: int, end: int) -> Iterator[State | None]:
    for states in chunks(ground, live, start, end):
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
