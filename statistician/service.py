"""The statistician: commits readings, compiles periods, corrects what came late, purges what is old."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.events import Connected, Message, Subscription
from bus.health import Journal
from bus.topics import Topics, Verb
from config.model import Statistician as Settings
from statistician.compile import Compiler
from statistician.corrections import Correction, merge
from statistician.ingest import BATCH, Bus, Ingest
from statistician.live import Entities
from statistician.periods import HOUR, horizon, missed
from statistician.publish import Aggregates
from statistician.records import StoreError, Table
from statistician.retention import Retention
from statistician.schedule import Purge
from statistician.store import Store

log = logging.getLogger(__name__)

# Nothing may keep readings waiting longer than this, seconds.
_SLICE_S = 0.03
_LONGEST_BACKOFF_S = 60.0
# Late readings come in crowds: wait until they are through, but not for ever, seconds.
_LATE_QUIET_S = 1.0
_LATE_AT_MOST_S = 30.0
_CATCHING_UP = 2 * HOUR


def subscriptions(topics: Topics) -> list[Subscription]:
    """What the statistician listens to."""
    return [Subscription(filter=topics.every(verb, levels=1)) for verb in (Verb.ABOUT, Verb.STATE)]


class Statistician:
    """A bus.process.Service; `bus` is the connection or what stands in for it."""

    def __init__(
        self, bus: Bus, topics: Topics, store: Store, settings: Settings, *, clock: Clock, journal: Journal
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._entities = Entities(store.entities())
        self._compiler = Compiler(store, self._entities)
        self._aggregates = Aggregates(bus, topics, store, self._entities)
        self._ingest = Ingest(
            bus,
            topics,
            store,
            self._entities,
            self._compiler,
            clock=clock,
            journal=journal,
            keep_days=settings.keep_days,
        )
        self._correction: Correction | None = None
        self._retention: Retention | None = None
        self._dirty_since: float | None = None
        self._backoff = 0.0
        self._retry_at = float("-inf")
        if store.damage is not None:
            log.error("%s", store.damage)
            journal.problem("damage", store.damage, clock.wall())
        self._begin(store.states.first())
        if self._compiler.open is not None:
            self._aggregates.say_newest(self._compiler.open)

    def _begin(self, first_state: int | None) -> None:
        """Find the period to go on with; none while there is no state."""
        now = self._now_or_never()
        last_run = self._store.statistics.last_run()
        periods = missed(last_run, first_state, now, self._settings.keep_days)
        if last_run is None and first_state is None:
            return
        if periods:
            log.info("%d periods were missed", len(periods))
        self._compiler.begin(periods.start)

    def _now_or_never(self) -> int:
        # A machine that does not know the time skips nothing and compiles nothing.
        return 0 if self._clock.quality() == "unset" else self._clock.wall()

    def handle(self, event: object) -> None:
        """Take one event from the queue."""
        if isinstance(event, Message):
            self._ingest.take(event)
            if self._ingest.waiting >= BATCH:
                self._guard(self._commit)
        elif isinstance(event, Connected):
            self._guard(self._ingest.connected)
        elif isinstance(event, Purge):
            now = self._now_or_never()
            if now and self._retention is None:
                before = horizon(now, self._settings.keep_days)
                self._retention = Retention(self._store, self._entities, before)

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""
        if now < self._retry_at:
            return self._retry_at - now
        since = self._ingest.since
        if since is not None and now - since >= self._settings.commit_interval:
            self._guard(self._commit)
        if not self._guard(self._work_slice):
            return self._backoff
        if self._busy(now):
            return 0.0
        since = self._ingest.since
        return 1.0 if since is None else min(1.0, max(0.0, since + self._settings.commit_interval - now))

    def _busy(self, now: float) -> bool:
        due = self._compiler.due(self._now_or_never())
        return due or self._correction is not None or self._retention is not None or self._late_due(now)

    def _work_slice(self) -> None:
        now = self._clock.monotonic()
        if self._compiler.due(self._now_or_never()):
            self._compile()
        elif self._correction is not None or self._late_due(now):
            self._correct()
        elif self._retention is not None:
            self._purge(self._retention)

    def _commit(self) -> None:
        self._ingest.commit(self._correction.spans if self._correction else {})
        if self._compiler.open is None:
            self._begin(self._store.states.first())

    def _compile(self) -> None:
        self._commit()
        if self._ingest.dirty and self._correction is None:
            # Sums go on from the rows before: those first, as far as a slice goes.
            self._correct()
        now = self._now_or_never()
        closed = self._compiler.advance(now, _SLICE_S)
        self._journal.count("periods_compiled", closed.periods)
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

    def _late_due(self, now: float) -> bool:
        if not self._ingest.dirty:
            self._dirty_since = None
            return False
        if self._dirty_since is None:
            self._dirty_since = now
        return now - self._ingest.late_at >= _LATE_QUIET_S or now - self._dirty_since >= _LATE_AT_MOST_S

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
            merge(self._ingest.dirty, self._correction.spans.items())
            self._correction = None
            raise
        if result.finished:
            self._correction = None
        self._journal.count("rows_corrected", len(result.changed))
        self._aggregates.say_corrected(result.changed, before)

    def _purge(self, retention: Retention) -> None:
        if retention.step():
            return
        self._retention = None
        self._journal.count("rows_purged", retention.removed)
        log.info("purged %d rows", retention.removed)

    def _guard(self, work: Callable[[], None]) -> bool:
        """Do a piece of work; if the database refuses, tell, and wait longer each time before the next."""
        if self._clock.monotonic() < self._retry_at:
            return False
        try:
            work()
        except StoreError as error:
            self._backoff = min(max(1.0, self._backoff * 2), _LONGEST_BACKOFF_S)
            self._retry_at = self._clock.monotonic() + self._backoff
            if self._journal.problem("database", str(error), self._clock.wall()):
                log.error("the database refuses: %s; trying again", error)  # noqa: TRY400 — the trace says nothing more
            return False
        if self._backoff:
            self._backoff = 0.0
            self._journal.solved("database")
            log.info("the database works again")
        return True

    def close(self) -> None:
        """Put everything that matters on disk."""
        self._retry_at = float("-inf")
        self._guard(self._commit)
        self._store.close()

    def waiting(self) -> int | None:
        """None: the statistician sends no readings."""
        return None
