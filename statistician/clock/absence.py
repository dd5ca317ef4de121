"""What nobody listened to is not known: each value ends where the statistician was last seen at work."""

from collections.abc import Iterable

from bus.clock import Clock
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.arithmetic.periods import MINUTES_5, due_at
from statistician.compile import Compiler
from statistician.ingest import Ingest
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
    """When the statistician was last at work, and how long an absence is one, ms; None: never at work.

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
    """Whether the machine has started since the last call. Raises StoreError."""
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


class Knowledge:
    """Ends what is known of values, and takes that back; what that changes in closed periods is marked."""

    def __init__(self, store: Store, entities: Entities, compiler: Compiler, ingest: Ingest) -> None:
        self._store = store
        self._entities = entities
        self._compiler = compiler
        self._ingest = ingest

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


class Absence:
    """Notes a time before the start in which nobody listened, once it is known that something was missed."""

    def __init__(
        self, store: Store, entities: Entities, ingest: Ingest, knowledge: Knowledge, clock: Clock
    ) -> None:
        self._store = store
        self._entities = entities
        self._ingest = ingest
        self._knowledge = knowledge
        self._clock = clock
        # Until when the broker may say whether it has kept our session, monotonic seconds.
        self._undecided: float | None = None
        # What the start has ended.
        self._ended: list[State] = []

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
        now = 0 if self._clock.quality() == "unset" else self._clock.wall()
        found = last_seen(self._store, now)
        if found is None:
            return
        seen, noticed = found
        if not (restarted or not now or abs(now - seen) > noticed):
            return
        self._ended = ends(self._entities, min(seen, now) if now else seen)
        self._knowledge.end(self._ended)
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
            self._knowledge.restore(still)
