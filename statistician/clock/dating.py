"""When each reading counts: by its own time while that can be right, else by the time that passed."""

import logging
from collections.abc import Callable, Mapping

from bus.health import Journal
from bus.messages import Value
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.arithmetic.periods import DAY
from statistician.clock.entity_clock import TOLERANCE, EntityClock, Move
from statistician.clock.estimated import Estimated
from statistician.clock.redating import find_ahead
from statistician.records import Batch, Event, StoreError
from statistician.store import Store

log = logging.getLogger(__name__)


class Dating:
    """Keeps the clocks of all entities.

    `pending` is what is taken and not on disk; `flush` puts it there, `redate` moves what is there.
    """

    def __init__(
        self,
        store: Store,
        entities: Entities,
        journal: Journal,
        *,
        flush: Callable[[], None],
        redate: Callable[[Mapping[int, Move]], None],
        pending: Callable[[], Batch],
        estimated: Estimated,
    ) -> None:
        self._store = store
        self._entities = entities
        self._journal = journal
        self._flush = flush
        self._redate = redate
        self._pending = pending
        self._estimated = estimated

    def date(
        self,
        device: str,
        values: Mapping[str, Value],
        lives: Mapping[str, LiveEntity],
        raw: int,
        *,
        now: int,
        came: float,
        stream: bool,
        said: int | None = None,
    ) -> dict[str, int]:
        """When each of the values of a reading counts; `came` in monotonic seconds.

        Of a `stream` what was stored last need not be what came before it. What its clock `said`, if `raw` is
        its arrival because that cannot be.
        """
        for live in lives.values():
            if live.clock is None:
                live.clock = (
                    EntityClock(-1, ours=True) if stream else EntityClock(live.heard, self._shift(live))
                )
        doubtful = {key for key, live in lives.items() if not clock_of(live).believes(raw, now, came)}
        again: set[str] = set()
        if doubtful and all(self._knows(lives[key], raw, values[key]) for key in doubtful):
            # It comes again: another reading of that time would say something else.
            doubtful, again = again, doubtful
        subject, text = f"clock.{device}", None
        if doubtful:
            self._settle([lives[key] for key in doubtful], raw, now, came)
            for live in lives.values():
                self._estimated.note_shift(live)
            text = _complaint(clock_of(lives[min(doubtful)]), raw, now)
        if said is not None:
            text = _behind(now - said)
        if text:
            self._journal.count("readings_of_a_wrong_clock")
            self._journal.problem(subject, text, now)
        elif subject in self._journal.problems:
            self._journal.solved(subject)
        return {key: raw if key in again else clock_of(live).at for key, live in lives.items()}

    def late(
        self, lives: Mapping[str, LiveEntity], raw: int, now: int, *, stream: bool, history: bool
    ) -> dict[str, int]:
        """When the values of a reading count that is `history`, or stands behind a gap of its `stream`.

        Outside of a stream it was dated by the clock that may be known to be wrong.
        """
        shifts = {key: 0 if stream else self._shift(live) for key, live in lives.items()}
        for live in lives.values():
            # While ours is in doubt: what goes back then is of ours alone.
            if history and stream and live.clock is not None and live.clock.shift:
                live.note_own_time(raw)
        return {key: min(raw + shift, now) for key, shift in shifts.items()}

    def _shift(self, live: LiveEntity) -> int:
        return self._estimated.shift(live.record.id) if live.clock is None else live.clock.shift

    def _knows(self, live: LiveEntity, ts: int, value: Value) -> bool:
        """Whether an earlier reading of that time and value is there already."""
        if ts >= clock_of(live).at:
            return False
        record, batch = live.record, self._pending()
        number = record.id
        states = [one for one in batch.states if one.entity == number and one.ts <= ts]
        events: list[Event] = [*states, *(one for one in batch.repeats if one.entity == number)]
        held = batch.held.get((number, ts)) or self._store.held.get(number, ts)
        if held is not None:
            return held.value == value
        if not any(one.ts == ts for one in events) and not self._store.states.every(ts, ts + 1, {number}):
            return not record.enabled
        # A repeat has the value in force.
        stored = self._store.states.in_force([record], ts + 1).get(number)
        newest = max([*states, *([stored] if stored else [])], key=lambda one: one.ts, default=None)
        return newest is not None and newest.value == value

    def _settle(self, lives: list[LiveEntity], raw: int, now: int, came: float) -> None:
        undone = {live.record.id: move for live in lives if (move := clock_of(live).rejoin(raw, now, came))}
        if undone:
            self._redate(undone)
        falls = {
            live.record.id: (clock_of(live).at, fall)
            for live in lives
            if (fall := clock_of(live).fall(raw, now))
        }
        moves = self._moves_back(falls)
        for live in lives:
            clock = clock_of(live)
            if live.record.id in moves:
                clock.set_right(raw, now, came, moves[live.record.id])
            elif move := clock.reckon(raw, now, came):
                moves[live.record.id] = move
        if moves:
            self._redate(moves)

    def _moves_back(self, falls: Mapping[int, tuple[int, int]]) -> dict[int, Move]:
        """The moves of entities whose clocks were ahead until now."""
        if not falls:
            return {}
        try:
            self._flush()
            found = find_ahead(self._store, falls, exact=True)
        except StoreError as error:
            # Their order stays all the same.
            log.warning("readings of a wrong clock keep their dates: %s", error)
            return {}
        return {
            number: clock_of(self._entities[number]).ahead(falls[number][1], gap)._replace(since=since)
            for number, (since, gap) in found.items()
        }


def clock_of(live: LiveEntity) -> EntityClock:
    """The clock of an entity."""
    if live.clock is None:
        live.clock = EntityClock(-1)
    return live.clock


def _complaint(clock: EntityClock, raw: int, now: int) -> str | None:
    """What is wrong with a clock and what to do about it."""
    off = (raw - now if raw > now + TOLERANCE else -clock.shift) // 1000
    return None if off == 0 else _wrong(f"{abs(off)} s {'ahead of' if off > 0 else 'behind'} ours")


def _behind(off: int) -> str:
    # In days: else it would be news with every reading.
    return _wrong(f"{off // DAY} days behind ours")


def _wrong(how: str) -> str:
    return (
        f"its clock is {how}: its readings are dated by their order and arrival; set its"
        " clock, or let it leave ts out"
    )
