"""What a start and a step of the clock mean for what is stored: nothing counts twice, nothing stays ahead."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from bus.clock import Anchor, write_anchor
from bus.health import Journal
from statistician.absence import another_boot, ends, last_seen
from statistician.compile import Compiler
from statistician.corrections import merge
from statistician.derived import Derived
from statistician.entity_clock import PROBATION_S, TOLERANCE, Move
from statistician.estimated import Estimated
from statistician.house_time import HouseTime, Step
from statistician.ingest import Ingest
from statistician.live import Entities, LiveEntity
from statistician.publish import Aggregates
from statistician.records import Batch, Span, State
from statistician.redating import Redating, find_ahead
from statistician.store import Store

log = logging.getLogger(__name__)

_KEEP_EVERY_S = 300.0
_BROKER_S = 30.0
# A clock that is set right again comes back to within this, ms.
_SAME_STEP = 5_000


class ClockSteps:
    """Follows the clock; every method may raise StoreError.

    `give_up` abandons a correction on its way, `anchor` is the file of the time for the next boot.
    """

    def __init__(
        self,
        time: HouseTime,
        store: Store,
        entities: Entities,
        compiler: Compiler,
        *,
        ingest: Ingest,
        derived: Derived,
        aggregates: Aggregates,
        estimated: Estimated,
        journal: Journal,
        give_up: Callable[[], None],
        anchor: Path | None,
    ) -> None:
        self._time = time
        self._clock = time.steady()
        self._store = store
        self._entities = entities
        self._compiler = compiler
        self._ingest = ingest
        self._derived = derived
        self._aggregates = aggregates
        self._estimated = estimated
        self._journal = journal
        self._give_up = give_up
        self._redating = Redating(store)
        self._steps: deque[Step] = deque()
        # What went back with the clock, by entity: the times that are stored now, and by how much they went;
        # and the step forward that was undone.
        self._took_back: dict[int, Move] = {}
        self._undone: _Forward | None = None
        # Until when the broker may say whether it has kept our session, monotonic seconds.
        self._undecided: float | None = None
        # What the start has ended.
        self._ended: list[State] = []
        self._forward = _Forward(0, 0, [], {})
        # Where the time is kept for the next boot, and when next, monotonic seconds.
        self._anchor = anchor
        self._anchor_at = float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether there is a step to follow, or an absence to note at last."""
        late = self._undecided is not None and self._clock.monotonic() >= self._undecided
        return late or bool(self._steps)

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if something was missed before the start."""
        return self._undecided is not None

    def look(self, *, accept: bool = False) -> None:
        """Look at the clock; with `accept` a step counts however short ago it was."""
        if step := self._time.poll(accept=accept):
            self._steps.append(step)
            self._anchor_at = float("-inf")
        if self._anchor is not None and self._clock.monotonic() >= self._anchor_at:
            self._keep_time(self._anchor)

    def _keep_newest(self) -> None:
        """A clock that is behind what is stored is wrong: all processes go on from there."""
        newest = self._store.states.last() or 0
        if self._anchor is not None and self._clock.quality() == "estimated" and newest > self._clock.wall():
            here = Anchor(newest, self._clock.boot, self._clock.monotonic(), synchronised=False)
            self._write_time(self._anchor, here)

    def _keep_time(self, path: Path) -> None:
        """Write down the time, so that no later boot is behind what is stored."""
        self._anchor_at = self._clock.monotonic() + _KEEP_EVERY_S
        found = self._time.anchor()
        if found is not None:
            self._write_time(path, found)

    def _write_time(self, path: Path, found: Anchor) -> None:
        try:
            write_anchor(path, found)
        except OSError as error:
            text = (
                f"the time cannot be kept for the next start: {error}; look at the folder's rights and room"
            )
            self._journal.problem("house_clock", text, self._clock.wall())
        else:
            self._journal.solved("house_clock")

    def work(self) -> None:
        """Follow the oldest step that waits, or note the absence that nobody denied."""
        if not self._steps:
            self.connected(resumed=False)
            return
        self._follow(self._steps[0])
        self._steps.popleft()

    def finish_redating(self) -> None:
        """Finish what a run before was killed in."""
        if unfinished := self._redating.unfinished():
            merge(self._ingest.dirty, self._redating.apply(unfinished).items())

    def note_start(self, *, broker_tells: bool) -> None:
        """Note the absence before a start, and what the clock says now.

        If the broker will tell whether it has kept what was sent meanwhile, the absence is noted then.
        """
        restarted = another_boot(self._store, self._clock.boot)
        if self._estimated and self._clock.quality() != "unset":
            self._follow(Step(self._time.offset - self._estimated.offset, synchronised=True))
        if self._clock.quality() == "ok":
            # Of an earlier boot it ended before this one began.
            started = self._clock.wall() - round(self._clock.monotonic() * 1000)
            self._bring_back(None, min(started, self._clock.wall()) if restarted else None)
        self._keep_newest()
        # Then, since where an absence ends what is known is the newest reading.
        if broker_tells and not restarted:
            self._undecided = self._clock.monotonic() + _BROKER_S
        else:
            self._note_absence(restarted=restarted)

    def connected(self, *, resumed: bool) -> None:
        """Note whether the broker has kept all that was sent since the process ended."""
        if resumed:
            self._nothing_was_missed()
        elif self.undecided:
            self._note_absence(restarted=False)
        # Last: where the database refuses, it is asked again.
        self._undecided = None

    def _note_absence(self, *, restarted: bool) -> None:
        """What is known of each value ends where the process was last at work."""
        now = self._now_or_never()
        found = last_seen(self._store, now)
        if found is None:
            return
        seen, noticed = found
        if not (restarted or not now or abs(now - seen) > noticed):
            return
        self._ended = ends(self._entities, min(seen, now) if now else seen)
        self._end_knowledge(self._ended)
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
            self._restore(still)

    def _end_knowledge(self, states: list[State]) -> None:
        self._change(states, Batch(states=states))
        for state in states:
            self._entities[state.entity].cut = state.ts

    def redate(self, moves: Mapping[int, Move]) -> None:
        """Date stored readings anew, by entity number."""
        moves = self._derived.along(moves)
        if not moves:
            return
        # What goes on goes whole; what goes back leaves there what another clock had dated.
        kept = {n: tuple(self._entities[n].own_times) if move.by < 0 else () for n, move in moves.items()}
        moves = {n: move._replace(keep=kept[n]) for n, move in moves.items()}
        self._ingest.flush()
        self._give_up()
        merge(self._ingest.dirty, self._redating.apply(moves).items())
        self._derived.moved(moves)
        for number, move in moves.items():
            if (counter := self._entities[number].counter) is not None and counter.heard >= move.since:
                counter.move(move.by)
            if self._clock.quality() != "ok":
                # By a clock that may be wrong.
                self._estimated.note(number, move.since + move.by, self._time.offset)
        self._compiler.reload()
        self._journal.count("entities_redated", len(moves))

    def _follow(self, step: Step) -> None:
        """Date anew what the wrong clock had dated."""
        self._ingest.flush()
        if step.by:
            way = "forward" if step.by > 0 else "back"
            log.warning("the clock went %s by %d s", way, abs(step.by) // 1000)
        if step.synchronised:
            if step.by:
                self._ingest.stepped.note(step.by, self._clock.monotonic())
                self._date_anew(self._estimated.moves(step.by, self._entities))
            self._estimated.moved(step.by, synchronised=self._clock.quality() == "ok")
        elif back := {n: m for n, m in self._took_back.items() if abs(step.by + m.by) <= _SAME_STEP}:
            # It went back before, and that was wrong.
            self._date_anew({n: Move(m.since, self._entities[n].heard, step.by) for n, m in back.items()})
            if self._undone is not None:
                self._end_knowledge(self._undone.ended)
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
        """The clock went on to `now` and no time has passed: what was known ends, and goes on there."""
        was = now - by
        at = was - round(PROBATION_S * 1000)
        # What came since with the new time was dated by the time that passed.
        clocks = [(live, live.clock) for live in self._entities if live.clock is not None]
        ahead = [(live, clock) for live, clock in clocks if -TOLERANCE <= clock.shift + by <= TOLERANCE]
        with_us = {live.record.id for live, _ in ahead}
        others = [live for live in self._entities if live.record.id not in with_us]
        ended = ends([live for live in others if live.heard <= at], at)
        ended += ends([live for live in others if live.heard > at], was)
        self._end_knowledge(ended)
        self._ingest.back_at = now
        # One that was ahead before went with it when it began.
        since = {n.record.id: c.since if at <= c.since <= n.heard else at for n, c in ahead}
        cuts = [State(ts, number, None, None) for number, ts in since.items()]
        self._date_anew({number: Move(ts, self._entities[number].heard, by) for number, ts in since.items()})
        # Not before: it is no reading that was dated wrong.
        self._end_knowledge(cuts)
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
        now = self._now_or_never()
        forward, undone, moves = self._forward, None, {}
        went = {n.record.id: move for n in self._entities if n.clock and (move := n.clock.went_back)}
        if by is not None and abs(by + forward.by) <= _SAME_STEP:
            # It was wrong to go forward: what was known then did not end.
            self._restore(forward.ended)
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
            self._give_up()
            self._journal.count("periods_taken_back", self._compiler.roll_back(now))
            self._aggregates.take_back(self._compiler.open)

    def _restore(self, states: list[State]) -> None:
        """Remove states that have ended what was known."""
        self._change(states, Batch(removed=[state[:2] for state in states]))

    def _change(self, states: list[State], batch: Batch) -> None:
        """Write a batch that adds or removes these states, and mark what it changes in closed periods."""
        for state in states:
            if state.ts < (self._compiler.open or 0):
                self._ingest.mark(state.entity, Span(state.ts, state.ts), self._clock.wall())
        with self._store.transaction():
            self._store.commit(batch)
            self._ingest.flush()
        self._compiler.reload()

    def _now_or_never(self) -> int:
        return 0 if self._clock.quality() == "unset" else self._clock.wall()


class _Forward(NamedTuple):
    """A step forward by `by` ms to `at`, and the states that `ended` then what was known.

    `since` has the time of the first reading that went with it, by entity.
    """

    by: int
    at: int
    ended: list[State]
    since: dict[int, int]

    def since_of(self, live: LiveEntity) -> int:
        """The time from which on an entity's readings count with it."""
        return self.since.get(live.record.id, self.at)


def _back(live: LiveEntity, most: int, now: int) -> int:
    """How far an entity's readings go back with a clock that did so by `most`, ms.

    One that has spoken since is dated by the time that passed, and right again where its own time is.
    """
    clock = live.clock
    if clock is None or not 0 < clock.shift <= most + TOLERANCE or clock.at - clock.shift > now + TOLERANCE:
        return most
    return clock.shift
