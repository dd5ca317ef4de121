"""Dates stored readings anew after a clock was set: in one transaction an entity, and a kill forgets none."""

import logging
from collections.abc import Mapping

import msgspec

from statistician.arithmetic.periods import HOUR
from statistician.clock.entity_clock import Move
from statistician.records import Span
from statistician.store import Store

log = logging.getLogger(__name__)

_FACT = "redating"
_decode = msgspec.json.Decoder(dict[str, Move]).decode


class Redating:
    """Moves states and repeats by entity number; every method raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def unfinished(self) -> dict[int, Move]:
        """What a run before was killed in."""
        return {int(number): move for number, move in _decode(self._store.engine.fact(_FACT) or "{}").items()}

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
        self._store.engine.put_fact(_FACT, text)

    def _mark(self, number: int, span: Span) -> None:
        known = self._store.statistics.dirty().get(number)
        self._store.statistics.put_dirty({number: known.join(span) if known else span})


def _touched(move: Move) -> Span:
    return Span(min(move.since, move.since + move.by), max(move.until, move.until + move.by))


# A clock that comes back has lost the seconds of a restart; and so long it may have been wrong.
_SLACK = 120_000
_FAR = 48 * HOUR


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
            if gap >= fall and (not exact or gap <= fall + max(_SLACK, fall // 4)):
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
