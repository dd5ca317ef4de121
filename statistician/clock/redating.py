"""Dates stored readings anew after a clock was set, and remembers which are of a wrong clock.

One transaction an entity, and a kill forgets none.
"""

import logging
from collections.abc import Mapping

import msgspec

from bus.messages import Reading
from statistician.arithmetic import HOUR
from statistician.arithmetic.live import LiveEntity
from statistician.clock import TOLERANCE, Move
from statistician.entities import Entities
from statistician.records import KeptClocks, Span
from statistician.store import Store

log = logging.getLogger(__name__)

_UNFINISHED = "redating"
_decode = msgspec.json.Decoder(dict[str, Move]).decode


class Redating:
    """Moves states and repeats by entity number; every method raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def unfinished(self) -> dict[int, Move]:
        """Return what a run before was killed in."""
        return {
            int(number): move
            for number, move in _decode(self._store.engine.fact(_UNFINISHED) or "{}").items()
        }

    def apply(self, moves: Mapping[int, Move]) -> dict[int, Span]:
        """Move them; returns which states changed, by entity, for a correction."""
        waiting = dict(moves)
        spans = {number: _touched(move) for number, move in moves.items()}
        self._remember(waiting)
        with self._store.transaction():
            # The repeats of all entities stand together.
            self._store.states.move_repeats(waiting)
            for number, span in spans.items():
                self._mark(number, span)
        for number, move in moves.items():
            with self._store.transaction():
                self._store.states.move(number, move)
                self._store.held.move(number, move)
                del waiting[number]
                self._remember(waiting)
        log.info("dated the readings of %d entities anew", len(moves))
        return spans

    def _remember(self, moves: Mapping[int, Move]) -> None:
        text = msgspec.json.encode({str(number): move for number, move in moves.items()}).decode()
        self._store.engine.put_fact(_UNFINISHED, text)

    def _mark(self, number: int, span: Span) -> None:
        known = self._store.statistics.dirty().get(number)
        self._store.statistics.put_dirty({number: known.join(span) if known else span})


def _touched(move: Move) -> Span:
    return Span(min(move.since, move.since + move.by), max(move.until, move.until + move.by))


# A clock that comes back has lost the seconds of a restart; and so long it may have been wrong.
_SLACK = 120_000
_FAR = 48 * HOUR


def undoes(jump: int, fall: int) -> bool:
    """Say whether a jump of a clock is the other end of a fall by `fall` ms, and what passed meanwhile."""
    return fall <= jump <= fall + max(_SLACK, fall // 4)


def find_ahead(
    store: Store, falls: Mapping[int, tuple[int, int]], *, exact: bool
) -> dict[int, tuple[int, int]]:
    """Find where clocks went forward that have now fallen: time of the first reading since, and the gap.

    `falls` has for each entity when its newest reading counts and how far the clock fell. The gap is the
    newest one into which what follows fits when it is dated back; `exact`: it must also be of about that
    length. An entity without such a gap is left out. Times are ms. Raises StoreError.
    """
    found: dict[int, tuple[int, int]] = {}
    last = {number: head for number, (head, _) in falls.items()}
    missing = set(falls)
    at = max(last.values(), default=0) + 1
    oldest = store.states.first() or 0
    while missing and at > oldest:
        start = (at - 1) - (at - 1) % HOUR
        for event in reversed(store.states.every(start, at, missing)):
            number = event.entity
            if number not in missing or event.ts >= last[number]:
                continue
            head, fall = falls[number]
            gap = last[number] - event.ts
            if undoes(gap, fall) or (gap >= fall and not exact):
                found[number] = (last[number], gap)
                missing.discard(number)
            elif exact and head - event.ts > fall + _FAR:
                missing.discard(number)
            last[number] = event.ts
        at = start
    if not exact:
        # Nothing stands before: all of it may go back.
        found |= {number: (last[number], falls[number][1] + HOUR) for number in missing}
    return found


_ESTIMATED = "estimated"
# A smaller change of how wrong a clock is need not be kept, ms.
_SMALL = 1_000


class Estimated:
    """Remembers them across restarts of the process; times are ms."""

    def __init__(self, store: Store, boot: str, offset: int) -> None:
        kept = msgspec.json.decode(store.engine.fact(_ESTIMATED) or "{}", type=KeptClocks)
        if kept.boot != boot:
            # What another boot has dated stays: nobody knows by how much it was wrong.
            kept = KeptClocks(boot=boot, offset=offset, shifts=kept.shifts)
        self._kept = kept
        self._store = store
        self._changed = False

    @property
    def offset(self) -> int:
        """The offset that the readings were dated with."""
        return self._kept.offset

    def __bool__(self) -> bool:
        return bool(self._kept.since)

    def note(self, number: int, ts: int, offset: int) -> None:
        """Note that an entity's reading was dated so."""
        if not self._kept.since:
            self._kept.offset = offset
        if number not in self._kept.since:
            self._kept.since[number] = ts
            self._changed = True

    def note_reading(
        self, reading: Reading, dated: Mapping[int, int], arrived: int | None, offset: int
    ) -> None:
        """Note what a clock has dated that is not synchronised, by entity number.

        Also a reading that `arrived` with a time that was not believed, unless its order says another one.
        """
        if reading.late:
            return
        ours = reading.clock != "ok" or reading.ts is None
        for number, ts in dated.items():
            if ours or (arrived is not None and ts >= arrived - TOLERANCE):
                self.note(number, ts, offset)

    def shift(self, number: int) -> int:
        """Return what was added to an entity's clock before the start, ms."""
        return self._kept.shifts.get(number, 0)

    def note_shift(self, live: LiveEntity) -> None:
        """Note how wrong an entity's clock is."""
        number, shift = live.record.id, 0 if live.clock is None else live.clock.shift
        if (shift == 0) == (number in self._kept.shifts) or abs(shift - self.shift(number)) > _SMALL:
            self._kept.shifts.pop(number, None)
            if shift:
                self._kept.shifts[number] = shift
            self._changed = True

    def stepped(self, by: int) -> None:
        """Note that the house's clock went forward by `by` ms. Raises StoreError."""
        shifts = {number: shift + by for number, shift in self._kept.shifts.items()}
        self._kept.shifts = {number: shift for number, shift in shifts.items() if abs(shift) > TOLERANCE}
        if shifts:
            self._changed = True
            self.save()
            self.saved()

    def save(self) -> None:
        """Put on disk what changed; within the transaction that stores the readings. Raises StoreError."""
        if self._changed:
            self._store.engine.put_fact(_ESTIMATED, msgspec.json.encode(self._kept).decode())

    def saved(self) -> None:
        """Note that the transaction is committed."""
        self._changed = False

    def moves(self, by: int, entities: Entities) -> dict[int, Move]:
        """Say how they are to be dated now that the clock went forward by `by` ms."""
        found = self._kept.since
        return {
            number: Move(since, entities[number].heard, by)
            for number, since in found.items()
            if number in entities and entities[number].heard >= since
        }

    def moved(self, by: int, *, synchronised: bool) -> None:
        """Note that they were dated anew; a `synchronised` clock dated them right. Raises StoreError."""
        self._kept.offset += by
        since = {} if synchronised else self._kept.since
        self._kept.since = {number: at + by for number, at in since.items()}
        self._changed = True
        self.save()
        self.saved()
