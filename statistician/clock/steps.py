"""What a start, an absence and a step of the clock mean for what is stored.

Nothing counts twice, nothing stays ahead. What nobody listened to is not known: each value ends where the
statistician was last seen at work.
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from statistician.arithmetic import MINUTES_5, due_at
from statistician.arithmetic.live import LiveEntity
from statistician.clock import PROBATION_S, TOLERANCE, Move
from statistician.clock.dating import ClockStep, HouseTime, KeptTime
from statistician.clock.redating import Estimated, Redating, find_ahead
from statistician.compile import Compiler
from statistician.corrections import Corrector, merge
from statistician.entities import Part, Shared
from statistician.ingest import Ingest
from statistician.publish import Aggregates, Derived
from statistician.records import Batch, Span, State
from statistician.store import Store

# A shorter absence, without a restart of the machine, hides nothing worth a gap, ms.
_NOTICED = 60_000
# A process that was killed had compiled its last period by then, though nothing else may have come.
_KILLED = due_at(0) + _NOTICED
_CLOSED = "closed_at"
_BOOT = "boot"
# How long the broker has to say that it has kept our session, seconds.
_BROKER_S = 30.0


def note_end(store: Store, now: int) -> None:
    """Keep when the process ended. Raises StoreError."""
    store.engine.put_fact(_CLOSED, str(now))


def last_seen(store: Store, now: int) -> tuple[int, int] | None:
    """Say when the statistician was last at work, and how long an absence is one, ms; None: never at work.

    A later time than `now` (0: unknown) was that of a wrong clock. Raises StoreError.
    """
    run = store.statistics.last_run()
    seen = [store.states.last(), None if run is None else run + MINUTES_5]
    closed = int(store.engine.fact(_CLOSED) or 0)
    if closed:
        # The next end may come without notice.
        store.engine.run("DELETE FROM meta WHERE key = ?", (_CLOSED,))
    newest = max((at for at in seen if at is not None), default=None)
    if newest is None:
        return None
    right = not now or closed <= now
    # Not at that very time: what comes again may be of it.
    return (closed, _NOTICED) if closed >= newest and right else (newest - 1, _KILLED)


def another_boot(store: Store, boot: str) -> bool:
    """Say whether the machine has started since the last call. Raises StoreError."""
    known = store.engine.fact(_BOOT)
    if known != boot:
        store.engine.put_fact(_BOOT, boot)
    return known is not None and known != boot


def ends(lives: Iterable[LiveEntity], at: int) -> list[State]:
    """Return the states that end at `at` what is known of entities."""
    return [
        # What was heard just then was known for a millisecond.
        State(live.heard + 1 if at <= live.heard <= at + 1 else at, live.record.id, None, None)
        for live in lives
        if live.newest is not None and live.newest.value is not None
    ]


class Absence(Part):
    """Notes a time before the start in which nobody listened, once it is known that something was missed.

    It ends what is known of values, and takes that back; what that changes in closed periods is marked.
    """

    def __init__(self, shared: Shared, compiler: Compiler, ingest: Ingest) -> None:
        super().__init__(shared)
        self._compiler = compiler
        self._ingest = ingest
        # Until when the broker may say whether it has kept our session, monotonic seconds.
        self._undecided: float | None = None
        # What the start has ended.
        self._ended: list[State] = []

    def end(self, states: list[State]) -> None:
        """Store states that end what is known. Raises StoreError."""
        self._change(states, Batch(states=states))
        for state in states:
            self._entities[state.entity].cut = state.ts

    def restore(self, states: list[State]) -> None:
        """Remove states that have ended what was known. Raises StoreError."""
        self._change(states, Batch(removed=[state[:2] for state in states]))

    def _change(self, states: list[State], batch: Batch) -> None:
        for state in states:
            if state.ts < (self._compiler.open or 0):
                self._ingest.mark(state.entity, Span(state.ts, state.ts))
        with self._store.transaction():
            self._store.commit(batch)
            self._ingest.flush()
        self._compiler.reload()

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if something was missed before the start."""
        return self._undecided is not None

    @property
    def overdue(self) -> bool:
        """Whether the broker has not said in time that it has kept our session."""
        return self._undecided is not None and self._clock.monotonic() >= self._undecided

    def begin(self, *, restarted: bool, broker_tells: bool) -> None:
        """Note the absence, or let the broker tell whether it has kept what was sent meanwhile."""
        if broker_tells and not restarted:
            self._undecided = self._clock.monotonic() + _BROKER_S
        else:
            self._note(restarted=restarted)

    def connected(self, *, resumed: bool) -> None:
        """Note whether the broker has kept all that was sent since the process ended."""
        if resumed:
            self._nothing_was_missed()
        elif self.undecided:
            self._note(restarted=False)
        # Last: where the database refuses, it is asked again.
        self._undecided = None

    def _note(self, *, restarted: bool) -> None:
        """End what is known of each value where the process was last at work."""
        now = self._known_time()
        found = last_seen(self._store, now)
        if found is None:
            return
        seen, noticed = found
        if not (restarted or not now or abs(now - seen) > noticed):
            return
        self._ended = ends(self._entities, min(seen, now) if now else seen)
        self.end(self._ended)
        # What the outboxes still hold of that time fills it; what is measured since the boot is none of it.
        booted = now - round(self._clock.monotonic() * 1000)
        self._ingest.back_at = min(now, booted) if restarted else now
        if restarted:
            self._ended = []

    def _nothing_was_missed(self) -> None:
        """No value has ended: what is known of them goes on."""
        ended, self._ended = self._ended, []
        if ended:
            self._ingest.flush()
            # Some are filled already.
            still = [s for s in ended if s in self._store.states.between(s.ts, s.ts + 1, {s.entity})]
            for state in still:
                self._entities[state.entity].cut = None
            self.restore(still)


log = logging.getLogger(__name__)

# A clock that is set right again comes back to within this, ms.
_SAME_STEP = 5_000


class ClockSteps(Part):
    """Follows the clock; every method may raise StoreError.

    `anchor` is the file of the time for the next boot.
    """

    def __init__(
        self,
        shared: Shared,
        time: HouseTime,
        compiler: Compiler,
        corrector: Corrector,
        *,
        ingest: Ingest,
        derived: Derived,
        aggregates: Aggregates,
        estimated: Estimated,
        anchor: Path | None,
    ) -> None:
        super().__init__(shared)
        self._time = time
        self._compiler = compiler
        self._ingest = ingest
        self._derived = derived
        self._aggregates = aggregates
        self._estimated = estimated
        self._corrector = corrector
        self._redating = Redating(shared.store)
        self._steps: deque[ClockStep] = deque()
        # What went back with the clock, by entity: the times that are stored now, and by how much they went;
        # and the step forward that was undone.
        self._took_back: dict[int, Move] = {}
        self._undone: _Forward | None = None
        self._forward = _Forward(0, 0, [], {})
        self._kept_time = KeptTime(time, anchor, shared.journal)
        self.absence = Absence(shared, compiler, ingest)

    @property
    def waiting(self) -> bool:
        """Whether there is a step to follow, or an absence to note at last."""
        return self.absence.overdue or bool(self._steps)

    def look(self, *, accept: bool = False) -> None:
        """Look at the clock; with `accept` a step counts however short ago it was."""
        if step := self._time.poll(accept=accept):
            self._steps.append(step)
        self._kept_time.look(at_once=step is not None)

    def work(self) -> None:
        """Follow the oldest step that waits, or note the absence that nobody denied."""
        if not self._steps:
            self.absence.connected(resumed=False)
            return
        self._follow(self._steps[0])
        self._steps.popleft()

    def finish_redating(self) -> None:
        """Finish what a run before was killed in."""
        if unfinished := self._redating.unfinished():
            merge(self._corrector.dirty, self._redating.apply(unfinished).items())

    def note_start(self, *, broker_tells: bool) -> None:
        """Note the absence before a start, and what the clock says now.

        If the broker will tell whether it has kept what was sent meanwhile, the absence is noted then.
        """
        restarted = another_boot(self._store, self._clock.boot)
        if self._estimated and self._clock.quality() != "unset":
            self._follow(ClockStep(self._time.offset - self._estimated.offset, synchronised=True))
        if self._clock.quality() == "ok":
            # Of an earlier boot it ended before this one began.
            started = self._clock.wall() - round(self._clock.monotonic() * 1000)
            self._bring_back(None, min(started, self._clock.wall()) if restarted else None)
        # A clock that is behind what is stored is wrong: all processes go on from there.
        self._kept_time.not_behind(self._store.states.last() or 0)
        # Then, since where an absence ends what is known is the newest reading.
        self.absence.begin(restarted=restarted, broker_tells=broker_tells)

    def redate(self, moves: Mapping[int, Move]) -> None:
        """Date stored readings anew, by entity number."""
        moves = self._derived.along(moves)
        if not moves:
            return
        # What goes on goes whole; what goes back leaves there what another clock had dated.
        kept = {n: tuple(self._entities[n].own_times) if move.by < 0 else () for n, move in moves.items()}
        moves = {n: move._replace(keep=kept[n]) for n, move in moves.items()}
        self._ingest.flush()
        self._corrector.give_up()
        merge(self._corrector.dirty, self._redating.apply(moves).items())
        self._derived.moved(moves)
        for number, move in moves.items():
            if (counter := self._entities[number].counter) is not None and counter.heard >= move.since:
                counter.move(move.by)
            if self._clock.quality() != "ok":
                # By a clock that may be wrong.
                self._estimated.note(number, move.since + move.by, self._time.offset)
        self._compiler.reload()
        self._journal.count("redated_entities", len(moves))

    def _follow(self, step: ClockStep) -> None:
        """Date anew what the wrong clock had dated."""
        self._ingest.flush()
        if step.by:
            way = "forward" if step.by > 0 else "back"
            log.warning("the clock went %s by %d s", way, abs(step.by) // 1000)
        if step.synchronised:
            if step.by:
                self._ingest.times.stepped.note(step.by, self._clock.monotonic())
                self._date_anew(self._estimated.moves(step.by, self._entities))
            self._estimated.moved(step.by, synchronised=self._clock.quality() == "ok")
        elif back := {n: m for n, m in self._took_back.items() if abs(step.by + m.by) <= _SAME_STEP}:
            # It went back before, and that was wrong.
            self._date_anew({n: Move(m.since, self._entities[n].heard, step.by) for n, m in back.items()})
            if self._undone is not None:
                self.absence.end(self._undone.ended)
                self._forward, self._undone = self._undone, None
            self._took_back = {}
        elif step.by > 0:
            self._go_forward(step.by, self._clock.wall())
            return
        if step.by < 0:
            self._bring_back(None if step.synchronised else step.by)
        self._step_clocks(step.by, self._entities)

    def _step_clocks(self, by: int, lives: Iterable[LiveEntity]) -> None:
        if not by:
            return
        for live in lives:
            if live.clock is not None:
                live.clock.stepped(by)
        self._estimated.stepped(by)

    def _date_anew(self, moves: Mapping[int, Move]) -> None:
        self.redate(moves)
        for number, move in moves.items():
            if (clock := self._entities[number].clock) is not None:
                clock.moved(move.by)

    def _go_forward(self, by: int, now: int) -> None:
        """Follow a clock that went on to `now` though no time passed: what was known ends and goes on."""
        was = now - by
        at = was - round(PROBATION_S * 1000)
        # What came since with the new time was dated by the time that passed.
        clocks = [(live, live.clock) for live in self._entities if live.clock is not None]
        ahead = [(live, clock) for live, clock in clocks if -TOLERANCE <= clock.shift + by <= TOLERANCE]
        with_us = {live.record.id for live, _ in ahead}
        others = [live for live in self._entities if live.record.id not in with_us]
        ended = ends([live for live in others if live.heard <= at], at)
        ended += ends([live for live in others if live.heard > at], was)
        self.absence.end(ended)
        self._ingest.back_at = now
        # One that was ahead before went with it when it began.
        since = {n.record.id: c.since if at <= c.since <= n.heard else at for n, c in ahead}
        cuts = [State(ts, number, None, None) for number, ts in since.items()]
        self._date_anew({number: Move(ts, self._entities[number].heard, by) for number, ts in since.items()})
        # Not before: it is no reading that was dated wrong.
        self.absence.end(cuts)
        self._forward = _Forward(by, now, [*ended, *cuts], {n: ts + by for n, ts in since.items()})
        self._step_clocks(by, [live for live, _ in ahead])
        for live, clock in clocks:
            if live.record.id in with_us:
                continue
            if clock.shift or live.heard > at:
                clock.left_behind(by, now)
            else:
                # Nobody knows yet whether it goes with ours.
                clock.expect(by)

    def _bring_back(self, by: int | None, limit: int | None = None) -> None:
        """Nothing stays in the future: what lies there goes back by `by` ms; None: to end before `limit`."""
        now = self._known_time()
        forward, undone, moves = self._forward, None, {}
        went = {n.record.id: move for n in self._entities if n.clock and (move := n.clock.went_back)}
        if by is not None and abs(by + forward.by) <= _SAME_STEP:
            # It was wrong to go forward: what was known then did not end.
            self.absence.restore(forward.ended)
            self._forward, undone = _Forward(0, 0, [], {}), forward
            moves = {
                live.record.id: Move(forward.since_of(live), live.heard, -_back(live, -by, now))
                for live in self._entities
                if live.heard >= forward.since_of(live) and live.record.id not in went
            }
        ahead = [n for n in self._entities if n.heard > now + TOLERANCE and n.record.id not in moves]
        if ahead:
            most = -by if by else max(live.heard for live in ahead) + 1 - (now if limit is None else limit)
            falls = {live.record.id: (live.heard, _back(live, most, now) if by else most) for live in ahead}
            found = find_ahead(self._store, falls, exact=False)
            moves |= {n: Move(since, falls[n][0], -falls[n][1]) for n, (since, _) in found.items()}
        if moves:
            self._date_anew(moves)
        if moves or went:
            self._undone = undone
            self._took_back = went | {n: m._replace(since=m.since + m.by) for n, m in moves.items()}
        if self._compiler.open is not None and self._compiler.open > now > 0:
            self._ingest.flush()
            self._corrector.give_up()
            self._journal.count("removed_future_periods", self._compiler.roll_back(now))
            self._aggregates.take_back(self._compiler.open)


class _Forward(NamedTuple):
    """A step forward by `by` ms to `at`, and the states that `ended` then what was known.

    `since` has the time of the first reading that went with it, by entity.
    """

    by: int
    at: int
    ended: list[State]
    since: dict[int, int]

    def since_of(self, live: LiveEntity) -> int:
        """Return the time from which on an entity's readings count with it."""
        return self.since.get(live.record.id, self.at)


def _back(live: LiveEntity, most: int, now: int) -> int:
    """Say how far an entity's readings go back with a clock that did so by `most`, ms.

    One that has spoken since is dated by the time that passed, and right again where its own time is.
    """
    clock = live.clock
    if clock is None or not 0 < clock.shift <= most + TOLERANCE or clock.at - clock.shift > now + TOLERANCE:
        return most
    return clock.shift
