"""The statistician: commits readings, compiles periods, corrects what came late, purges what is old."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.access_log import AccessLog
from bus.clock import Clock
from bus.events import Acknowledges, Connected, Message, Publishes, Subscription
from bus.health import Journal, fault_in, why_aside
from bus.inbox import digest_of
from bus.process import RestartError
from bus.request_server import RequestServer, subscription
from bus.topics import STATISTICIAN, Topics, Verb
from config.model import Device
from config.model import Statistician as Settings
from statistician.api import VERBS, Context, changes, history, maintenance, statistics
from statistician.arithmetic import HOUR, first_to_compile, horizon
from statistician.clock.dating import HouseTime
from statistician.clock.redating import Estimated
from statistician.clock.steps import ClockSteps, note_end
from statistician.compile import Compiler
from statistician.corrections import Corrector
from statistician.entities import Entities, Part, Shared
from statistician.ingest import BATCH, Ingest, Limits
from statistician.publish import Aggregates, Derived
from statistician.records import Span, StoreError, Table
from statistician.store import Store
from statistician.upkeep import BackUp, Purge, Retry, Upkeep

__all__ = ["MODULES", "VERBS", "Hooks", "Statistician", "subscriptions"]

log = logging.getLogger(__name__)

# Each puts its verbs into the table when it is imported.
MODULES = (changes, history, maintenance, statistics)
# Nothing may keep readings waiting longer than this, seconds.
_SLICE_S = 0.03
# Between two tries of work that failed by an error of ours, seconds.
_REST_S = 60.0
_CATCHING_UP = 2 * HOUR


def _unguarded(work: Callable[[], None]) -> None:
    work()


def subscriptions(topics: Topics) -> list[Subscription]:
    """Return what the statistician listens to."""
    # What a stranger sends retained is news; what the broker had kept of it is none.
    data = [
        Subscription(filter=topics.every(verb, levels=1), as_published=False)
        for verb in (Verb.ABOUT, Verb.STATE)
    ]
    backlog = Subscription(filter=topics.every(Verb.BACKLOG), retained=False)
    return [*data, backlog, subscription(topics, STATISTICIAN)]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the process does: `guard` a piece of work, `clear` the marks, `forgive` a message."""

    guard: Callable[[Callable[[], None]], Exception | None] = _unguarded
    clear: Callable[[], None] = lambda: None
    forgive: Callable[[bytes], object] = lambda _: None


class Statistician(Part):
    """A bus.process.KeepsMessages; `bus` is the connection or what stands for it, `devices` the house's.

    `house` names all devices that the settings have, also those of others; `ask` asks the broker again for
    what it retains on a topic.
    """

    # Until when work that failed by an error of ours rests, monotonic seconds.
    _resting_until = float("-inf")

    def __init__(
        self,
        bus: Acknowledges,
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
        access: AccessLog | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._hooks = hooks or Hooks()
        self._settings = settings
        self._time = HouseTime(clock)
        entities = Entities(store.entities())
        shared = Shared(bus, topics, store, entities, self._time.steady(), journal)
        super().__init__(shared)
        self._limits = limits or Limits()
        self._upkeep = Upkeep(shared, settings, anchor)
        self._retry = Retry(shared, self._upkeep)
        self._compiler = Compiler(store, entities)
        self._corrector = Corrector(store, entities)
        self._aggregates = Aggregates(shared)
        self._derived = Derived(shared, devices or {}, scalars=scalars)
        estimated = Estimated(store, clock.boot, self._time.offset)
        self._ingest = Ingest(
            shared,
            self._time,
            self._compiler,
            self._corrector,
            derived=self._derived,
            kept_since=self._upkeep.keep.since,
            limits=self._limits,
            estimated=estimated,
            house=house or devices or (),
            ask=ask,
        )
        self._ingest.redate = lambda moves: self._steps.redate(moves)  # noqa: PLW0108 — it is made below
        self._steps = ClockSteps(
            shared,
            self._time,
            self._compiler,
            self._corrector,
            ingest=self._ingest,
            derived=self._derived,
            aggregates=self._aggregates,
            estimated=estimated,
            anchor=anchor,
        )
        self._resume(broker_tells=broker_tells)
        self.context = Context(
            store,
            entities,
            self._compiler,
            settings,
            self._clock,
            self._clock.monotonic(),
            self._upkeep,
            self._aggregates,
            settle=self._settle,
            take_again=self._take_again,
            note_quiet=self._note_quiet,
        )
        # Who gives no way to answer is not asked.
        self._desk = None if answers is None else self._requests(answers, access)

    def _requests(self, bus: Publishes, access: AccessLog | None) -> RequestServer:
        return RequestServer(
            STATISTICIAN,
            {name: row.on(self.context) for name, row in VERBS.items()},
            bus=bus,
            topics=self._topics,
            journal=self._journal,
            wall=self._clock.wall,
            failures=(StoreError,),
            access=access,
        )

    def _resume(self, *, broker_tells: bool) -> None:
        """Go on from what is on disk; `broker_tells` whether it has kept what was sent meanwhile."""
        damage = self._store.damage
        if damage is not None:
            log.error("%s", damage)
            self._journal.problem("damage", damage, self._clock.wall())
        if self._store.unusable:
            text = (
                f"{self._store.unusable} values in {self._store.path} could not be used: they were set aside"
                " among the dead letters, or left empty"
            )
            self._journal.problem("unusable", text, self._clock.wall())
        self._steps.finish_redating()
        self._begin()
        self._steps.note_start(broker_tells=broker_tells)
        if (start := self._compiler.open) is not None:
            self._hooks.guard(lambda: self._aggregates.say_newest(start))
        self._hooks.guard(self._derived.resume)

    def _begin(self) -> None:
        """Find the period to go on with; none while there is no state."""
        last, first = self._store.statistics.last_run(), self._store.states.first()
        start = first_to_compile(last, first, self._now_or_never(), self._settings.keep_days)
        if start is not None:
            self._compiler.begin(max(start, self._limits.begin))

    def _now_or_never(self) -> int:
        # A machine that does not know the time, or what it has missed, skips nothing and compiles nothing.
        return 0 if self._steps.absence.undecided else self._known_time()

    def handle(self, event: object) -> None:
        """Take one event from the queue."""
        if isinstance(event, Message) and self._desk is not None and event in self._desk:
            self._desk.take(event)
            # It is no data: asking again is the client's affair.
            self._bus.acknowledge(event)
        elif isinstance(event, Message):
            self._ingest.take(event)
            if self._ingest.waiting >= BATCH:
                self._guard(self._commit)
        elif isinstance(event, Connected):
            self._guard(lambda: self._steps.absence.connected(resumed=event.resumed))
            self._guard(self._ingest.connected)
        elif isinstance(event, Purge):
            if now := self._now_or_never():
                self._upkeep.purge(now, self._compiler.open)
        elif isinstance(event, BackUp):
            self._upkeep.back_up(self._clock.wall())

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Keep a message that must not be handled."""
        why = why_aside(error)
        self._ingest.set_aside(message, why)
        text = (
            f"{message.topic[:80]}: a message was set aside: {why[:150]}; the request dead_letters shows it,"
            " and take_again has it taken once more"
        )
        if self._journal.problem("set_aside", text, self._clock.wall()):
            log.error("%s", text)

    def _take_again(self, message: Message) -> str | None:
        """Take a message as if it came just now; returns why it was set aside again. Raises StoreError."""
        self._hooks.forgive(digest_of(message))
        self._journal.solved("set_aside")
        before = self._journal.counters["dead_letters"]
        self._ingest.take(message)
        self._commit()
        again = self._journal.counters["dead_letters"] > before
        return self._journal.problems.get("messages", "it cannot be used") if again else None

    def _note_quiet(self) -> None:
        if self._ingest.since is None:
            self._store.changes.committed(self._known_time())

    def put_on_disk(self) -> None:
        """Put on disk what came so far, and acknowledge it, unless the database refuses."""
        self._guard(self._commit)

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""
        wait = self._tick(now)
        if self._desk is None or not self._desk.busy:
            return wait
        return min(wait, self._desk.work(_SLICE_S))

    def _tick(self, now: float) -> float:
        for look in (self._derived.look, self._upkeep.look, self._steps.look):
            self._hooks.guard(look)
        while self._steps.waiting and self._guard(self._steps.work):
            pass
        if left := self._retry.left(now):
            return left
        self._guard(self._upkeep.keep_in_place)
        since = self._ingest.since
        if since is not None and now - since >= self._settings.commit_interval:
            self._guard(self._commit)
        if now >= self._resting_until and not self._contain(self._work_slice):
            return self._retry.left(self._clock.monotonic())
        if now >= self._resting_until and self._busy(now):
            return 0.0
        since = self._ingest.since
        return 1.0 if since is None else min(1.0, max(0.0, since + self._settings.commit_interval - now))

    def _busy(self, now: float) -> bool:
        return self._compiler.due(self._now_or_never()) or self._upkeep.busy or self._correction_due(now)

    def _correction_due(self, now: float) -> bool:
        # Before the first period is opened there are no rows to correct.
        return self._compiler.open is not None and self._corrector.due(now)

    def _work_slice(self) -> None:
        now = self._clock.monotonic()
        if self._compiler.due(self._now_or_never()):
            self._compile()
        elif self._correction_due(now):
            self._correct()
        elif self._upkeep.busy:
            self._upkeep.step()

    def _commit(self) -> None:
        waiting = self._ingest.waiting
        self._upkeep.keep_in_place()
        self._upkeep.check_room()
        self._ingest.commit()
        self._store.changes.committed(self._known_time())
        self._hooks.clear()
        if waiting:
            self._upkeep.settled()
        if self._compiler.open is None:
            self._begin()

    def _compile(self) -> None:
        self._commit()
        if self._corrector.dirty and not self._corrector.busy:
            # Sums go on from the rows before: those first, as far as a slice goes.
            self._correct()
        now = self._now_or_never()
        self._skip_what_is_not_kept(now)
        closed = self._compiler.advance(now, _SLICE_S)
        self._tell_spoiled()
        self._journal.count("compiled_periods", closed.periods)
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

    def _tell_spoiled(self) -> None:
        for name, error in self._compiler.spoiled().items():
            self._journal.count("failed_rows")
            text = (
                f"{name} has no row, by an error of this software, please report it; others have: {error!r}"
            )
            self._journal.problem("rows", text[:300], self._clock.wall())

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
        return self._corrector.give_up()

    def _correct(self) -> None:
        before = self._compiler.open
        if before is None:
            return
        if not self._corrector.busy:
            self._commit()
        result = self._corrector.work(before, _SLICE_S)
        self._tell_spoiled()
        self._journal.count("corrected_rows", len(result.changed))
        self._aggregates.say_corrected(result.changed, before)

    def _guard(self, work: Callable[[], None]) -> bool:
        """Do work on the database; False: it refused. Raises RestartError if only a new start can help."""
        done = False

        def tried() -> None:
            nonlocal done
            done = self._retry.do(work, self._now_or_never(), self._compiler.open)

        error = fault_in(tried, StoreError, RestartError)
        if error is None:
            return done
        if not self._ingest.waiting and self._store.searched:
            raise error
        # What is in hand is to blame, or a value on disk: the next start finds out which.
        log.error("the database was given something that it does not take", exc_info=error)
        self._store.ask_search()
        raise RestartError(f"{error!r} in what is written to {self._store.path}") from error

    def _contain(self, work: Callable[[], None]) -> bool:
        """Do work on what is stored; after an error that no new start cures it rests, all else goes on."""
        done = False

        def guarded() -> None:
            nonlocal done
            done = self._guard(work)

        if self._hooks.guard(guarded) is not None:
            self._corrector.give_up()
            self._resting_until = self._clock.monotonic() + _REST_S
        return done

    def wait_no_longer(self) -> None:
        """Take the clock as right, however short ago it was set, and correct what came late at once."""
        self._corrector.hurried = True
        self._steps.look(accept=True)

    def close(self) -> None:
        """Put everything that matters on disk."""
        self._retry.reset()
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
