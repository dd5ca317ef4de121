"""The statistician: commits readings, compiles periods, corrects what came late, purges what is old."""

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from bus import desk
from bus.clock import Clock
from bus.events import Connected, Message, Publishes, Subscription
from bus.health import Journal
from bus.topics import Topics, Verb
from config.model import Device
from config.model import Statistician as Settings
from statistician.absence import note_end
from statistician.clock_steps import ClockSteps
from statistician.compile import Compiler
from statistician.corrections import Correction, merge
from statistician.derived import Derived
from statistician.estimated import Estimated
from statistician.fixes import Fixes
from statistician.house_time import HouseTime
from statistician.ingest import BATCH, Bus, Ingest
from statistician.limits import Limits
from statistician.live import Entities
from statistician.patience import Patience
from statistician.periods import HOUR, first_to_compile, horizon
from statistician.publish import Aggregates
from statistician.records import Span, StoreError, Table
from statistician.requests.ground import Ground
from statistician.requests.registry import SERVICE, open_desk
from statistician.room import Room
from statistician.schedule import BackUp, Purge
from statistician.store import Store
from statistician.upkeep import Upkeep

log = logging.getLogger(__name__)

# Nothing may keep readings waiting longer than this, seconds.
_SLICE_S = 0.03
# Late readings come in crowds: wait until they are through, but not for ever, seconds.
_LATE_QUIET_S = 1.0
_LATE_AT_MOST_S = 30.0
_CATCHING_UP = 2 * HOUR
# A clock that is set right again comes back to within this, ms.
_SAME_STEP = 5_000


def subscriptions(topics: Topics) -> list[Subscription]:
    """What the statistician listens to."""
    # What a stranger sends retained is news; what the broker had kept of it is none.
    data = [
        Subscription(filter=topics.every(verb, levels=1), as_published=False)
        for verb in (Verb.ABOUT, Verb.STATE)
    ]
    return [*data, desk.subscription(topics, SERVICE)]


class Statistician:
    """A bus.process.Service; `bus` is the connection or what stands in for it, `devices` the house's.

    `house` names all devices that the settings have, also those of others; `ask` asks the broker again for
    what it retains on a topic.
    """

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        store: Store,
        settings: Settings,
        *,
        clock: Clock,
        journal: Journal,
        devices: Mapping[str, Device] | None = None,
        house: Collection[str] = (),
        ask: Callable[[str], None] = lambda _: None,
        scalars: bool = True,
        answers: Publishes | None = None,
        limits: Limits | None = None,
        anchor: Path | None = None,
        broker_tells: bool = False,
    ) -> None:
        self._store = store
        self._settings = settings
        self._time = HouseTime(clock)
        self._clock = clock = self._time.steady()
        self._journal = journal
        self._limits = limits or Limits()
        self._entities = Entities(store.entities())
        self._upkeep = Upkeep(store, self._entities, settings, clock=clock, journal=journal)
        self._patience = Patience(self._upkeep, clock=clock, journal=journal)
        self._compiler = Compiler(store, self._entities)
        self._aggregates = Aggregates(bus, topics, store, self._entities)
        self._derived = Derived(
            bus, topics, self._entities, devices or {}, clock=clock, journal=journal, scalars=scalars
        )
        estimated = Estimated(store, clock.boot, self._time.offset)
        self._ingest = Ingest(
            bus,
            topics,
            store,
            self._entities,
            self._compiler,
            derived=self._derived,
            clock=clock,
            journal=journal,
            kept_since=self._upkeep.keep.since,
            limits=self._limits,
            estimated=estimated,
            offset=lambda: self._time.offset,
            room=self._room(store, house or devices or (), ask),
        )
        self._ingest.redate = lambda moves: self._steps.redate(moves)  # noqa: PLW0108 — it is made below
        self._ingest.walking = lambda: self._correction.spans if self._correction else {}
        self._correction: Correction | None = None
        self._dirty_since: float | None = None
        self._hurried = False
        self._acknowledge = bus.acknowledge
        self._steps = ClockSteps(
            self._time,
            store,
            self._entities,
            self._compiler,
            ingest=self._ingest,
            derived=self._derived,
            aggregates=self._aggregates,
            estimated=estimated,
            journal=journal,
            give_up=self._give_up_correction,
            anchor=anchor,
        )
        self._resume(broker_tells=broker_tells)
        self.fixes = Fixes(
            store,
            self._entities,
            self._compiler,
            self._aggregates,
            settle=self._settle,
            wall=clock.wall,
            keep_days=settings.keep_days,
        )
        self._desk = self._open_desk(answers, topics)

    def _room(self, store: Store, house: Collection[str], ask: Callable[[str], None]) -> Room:
        return Room(self._entities, store, house, clock=self._clock, journal=self._journal, ask=ask)

    def _open_desk(self, answers: Publishes | None, topics: Topics) -> desk.Desk | None:
        if answers is None:
            # Who gives no way to answer is not asked.
            return None
        clock, settings = self._clock, self._settings
        ground = Ground(self._store, self._entities, self._compiler, settings, clock, clock.monotonic())
        return open_desk(ground, self.fixes, self._upkeep, answers, topics, journal=self._journal)

    def _resume(self, *, broker_tells: bool) -> None:
        """Go on from what is on disk; `broker_tells` whether it has kept what was sent meanwhile."""
        damage = self._store.damage
        if damage is not None:
            log.error("%s", damage)
            self._journal.problem("damage", damage, self._clock.wall())
        self._steps.finish_redating()
        self._begin(self._store.states.first())
        self._steps.note_start(broker_tells=broker_tells)
        if self._compiler.open is not None:
            self._aggregates.say_newest(self._compiler.open)
        self._derived.resume(self._store)

    def _begin(self, first_state: int | None) -> None:
        """Find the period to go on with; none while there is no state."""
        start = first_to_compile(
            self._store.statistics.last_run(), first_state, self._now_or_never(), self._settings.keep_days
        )
        if start is not None:
            self._compiler.begin(max(start, self._limits.begin))

    def _now_or_never(self) -> int:
        # A machine that does not know the time, or what it has missed, skips nothing and compiles nothing.
        unknown = self._clock.quality() == "unset" or self._steps.undecided
        return 0 if unknown else self._clock.wall()

    def handle(self, event: object) -> None:
        """Take one event from the queue."""
        if isinstance(event, Message) and self._desk is not None and event in self._desk:
            self._desk.take(event)
            # It is no data: asking again is the client's affair.
            self._acknowledge(event)
        elif isinstance(event, Message):
            self._ingest.take(event)
            if self._ingest.waiting >= BATCH:
                self._guard(self._commit)
        elif isinstance(event, Connected):
            self._guard(lambda: self._steps.connected(resumed=event.resumed))
            self._guard(self._ingest.connected)
        elif isinstance(event, Purge):
            if now := self._now_or_never():
                self._upkeep.purge(now, self._compiler.open)
        elif isinstance(event, BackUp):
            self._upkeep.back_up(self._clock.wall())

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""
        wait = self._tick(now)
        if self._desk is None or not self._desk.busy:
            return wait
        return min(wait, self._desk.work(_SLICE_S))

    def _tick(self, now: float) -> float:
        self._derived.look()
        self._upkeep.look()
        self._steps.look()
        while self._steps.waiting and self._guard(self._steps.work):
            pass
        if left := self._patience.left(now):
            return left
        since = self._ingest.since
        if since is not None and now - since >= self._settings.commit_interval:
            self._guard(self._commit)
        if not self._guard(self._work_slice):
            return self._patience.left(self._clock.monotonic())
        if self._busy(now):
            return 0.0
        since = self._ingest.since
        return 1.0 if since is None else min(1.0, max(0.0, since + self._settings.commit_interval - now))

    def _busy(self, now: float) -> bool:
        due = self._compiler.due(self._now_or_never())
        return due or self._correction is not None or self._upkeep.busy or self._late_due(now)

    def _work_slice(self) -> None:
        now = self._clock.monotonic()
        if self._compiler.due(self._now_or_never()):
            self._compile()
        elif self._correction is not None or self._late_due(now):
            self._correct()
        elif self._upkeep.busy:
            self._upkeep.step()

    def _commit(self) -> None:
        waiting = self._ingest.waiting
        self._upkeep.check_room()
        self._ingest.commit()
        if waiting:
            self._upkeep.settled()
        if self._compiler.open is None:
            self._begin(self._store.states.first())

    def _compile(self) -> None:
        self._commit()
        if self._ingest.dirty and self._correction is None:
            # Sums go on from the rows before: those first, as far as a slice goes.
            self._correct()
        now = self._now_or_never()
        self._skip_what_is_not_kept(now)
        closed = self._compiler.advance(now, _SLICE_S)
        self._journal.count("periods_compiled", closed.periods)
        self._upkeep.settled()
        start = self._compiler.open or 0
        if self._compiler.due(now):
            self._journal.fact("catching_up", f"{(now - start) // 60_000} minutes behind")
            if (start // HOUR) % 24 == 0 and now - start > _CATCHING_UP:
                log.info("catching up: %d hours to go", (now - start) // HOUR)
            return
        if self._journal.facts.pop("catching_up", None) is not None:
            self._aggregates.say_newest(start)
            return
        self._aggregates.say(Table.FIVE_MINUTES, closed.five_minutes)
        self._aggregates.say(Table.HOUR, closed.hour)

    def _skip_what_is_not_kept(self, now: int) -> None:
        # A clock that was set years ahead must not fill the card with rows; as after an absence.
        start = self._compiler.open
        kept = horizon(now, self._settings.keep_days)
        if now and start is not None and start < kept:
            log.warning("%d hours are not compiled: nobody was there", (kept - start) // HOUR)
            self._compiler.leave(kept)

    def _settle(self) -> dict[int, Span]:
        """Commit, and give up a correction on its way; returns what awaits correction. Raises StoreError."""
        self._commit()
        self._give_up_correction()
        return self._ingest.dirty

    def _give_up_correction(self) -> None:
        if self._correction is not None:
            merge(self._ingest.dirty, self._correction.spans.items())
            self._correction = None

    def _late_due(self, now: float) -> bool:
        if not self._ingest.dirty:
            self._dirty_since = None
            return False
        if self._dirty_since is None:
            self._dirty_since = now
        return (
            self._hurried
            or now - self._ingest.late_at >= _LATE_QUIET_S
            or now - self._dirty_since >= _LATE_AT_MOST_S
        )

    def _correct(self) -> None:
        before = self._compiler.open
        if before is None:
            return
        if self._correction is None:
            self._commit()
            self._correction = Correction(self._store, self._entities, self._ingest.dirty)
            self._ingest.dirty = {}
            self._dirty_since = None
        try:
            result = self._correction.work(before, _SLICE_S, also=self._ingest.dirty)
        except StoreError:
            self._give_up_correction()
            raise
        if result.finished:
            self._correction = None
        self._journal.count("rows_corrected", len(result.changed))
        self._aggregates.say_corrected(result.changed, before)

    def _guard(self, work: Callable[[], None]) -> bool:
        return self._patience.do(work, self._now_or_never(), self._compiler.open)

    def wait_no_longer(self) -> None:
        """Take the clock as right, however short ago it was set, and correct what came late at once."""
        self._hurried = True
        self._steps.look(accept=True)

    def close(self) -> None:
        """Put everything that matters on disk."""
        self._patience.hurry()
        # The next start believes the clock at once.
        self._steps.look(accept=True)
        while self._steps.waiting and self._guard(self._steps.work):
            pass
        if self._guard(self._commit) and self._clock.quality() != "unset":
            self._guard(lambda: note_end(self._store, self._clock.wall()))
        self._upkeep.close()
        self._store.close()

    def waiting(self) -> int | None:
        """None: the statistician sends no readings."""
        return None
