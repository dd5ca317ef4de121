"""Removes what is older than it is kept, in pieces short enough not to hold up readings."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from statistician.arithmetic import DAY, horizon
from statistician.entities import Entities
from statistician.store import Store

# Nothing may keep readings waiting longer than 50 ms; half of it leaves room for a slow card's moods.
_TARGET_S = 0.02
# Spare pages are what tomorrow's states fill: giving all back and taking them again would wear the card.
_SPARE = 8
# Looking for an entity's rows costs about as much as removing so many.
_LOOK = 20
_PURGE = "purge"
_SAVE_EVERY_S = 3600.0


class Pace:
    """How much to do at once, from the time the last piece took."""

    def __init__(self, size: int, *, least: int, most: int, timer: Callable[[], float]) -> None:
        self.size = size
        self.longest = 0.0
        self._least = least
        self._most = most
        self._timer = timer
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._timer()

    def __exit__(self, *_: object) -> None:
        took = self._timer() - self._began
        self.longest = max(self.longest, took)
        # At most twice as much: the next rows may lie further apart.
        share = min(2.0, _TARGET_S / took) if took > 0 else 2.0
        self.size = max(self._least, min(self._most, int(self.size * share)))


class Keep:
    """How long entities are kept: `days`, or as long as each says itself. Times are ms."""

    def __init__(self, store: Store, days: int) -> None:
        self._store = store
        self._days = days
        self._own = store.own_retention()
        # A full disk may have taken more than was due.
        self._gone = int(store.engine.fact("purged_before") or 0)

    def since(self, number: int, now: int) -> int:
        """States and 5-minute rows of an entity before this may be gone."""
        return max(self._gone, horizon(now, self._own.get(number, self._days)))

    def refresh(self) -> None:
        """Read again what entities say of themselves."""
        self._own = self._store.own_retention()

    def others(self, now: int) -> dict[int, int]:
        """Say from when the entities are kept that have a time of their own."""
        return {number: horizon(now, days) for number, days in self._own.items()}

    def before(self, now: int) -> int:
        """Say from when all others are kept."""
        return horizon(now, self._days)

    def note_removed(self, before: int) -> None:
        """Remember that everything before a time was or is being removed."""
        self._gone = max(self._gone, before)
        self._store.engine.put_fact("purged_before", str(self._gone))


class Allowance:
    """How far the time has come for a purge: a clock that is set wrong must not remove what is right.

    Time goes on as the process runs, also over restarts, and a day faster where the clock says so. Over a
    time of which nothing is stored it goes at once. Times are ms.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._looked_at = self._saved_at = monotonic()
        # The time of the last purge (None before the first), and how long the process has run since.
        purged_at, _, ran = (store.engine.fact(_PURGE) or "").partition(" ")
        self._purged_at = int(purged_at) if purged_at else None
        self._ran = int(ran or 0)

    def take(self, now: int, *, trusted: bool, days: int) -> int:
        """Return the time that a purge goes by, which begins now; states are kept `days`. Raises StoreError.

        Call `close` to keep that.
        """
        self._run()
        oldest = self._store.oldest()
        if self._purged_at is None and not trusted:
            # Of a clock that may be wrong nothing is known yet.
            self._purged_at = min(now, self._store.states.last() or now)
        if self._purged_at is not None and oldest is not None:
            since = max(self._purged_at, oldest + days * DAY)
            now = min(now, since + self._ran + (DAY if trusted else 0))
        self._purged_at, self._ran = now, 0
        return now

    def look(self) -> None:
        """Keep, once an hour, how long the process has run. Raises StoreError."""
        if self._monotonic() - self._saved_at >= _SAVE_EVERY_S:
            self.close()

    def close(self) -> None:
        """Keep when the last purge was, and how long the process has run since. Raises StoreError."""
        self._run()
        self._saved_at = self._monotonic()
        if self._purged_at is not None:
            self._store.engine.put_fact(_PURGE, f"{self._purged_at} {self._ran}")

    def _run(self) -> None:
        now = self._monotonic()
        self._ran += round((now - self._looked_at) * 1000)
        self._looked_at = now


class Retention:
    """One purge: states, 5-minute rows, frames and runs before a time (ms); hourly rows stay for ever.

    `others` are the times for entities that are kept shorter or longer than the rest.
    """

    def __init__(
        self,
        store: Store,
        entities: Entities,
        before: int,
        *,
        others: dict[int, int] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store = store
        self._entities = entities
        self._before = before
        self._others = others or {}
        self.removed = 0
        self._timer = timer
        self._written = False
        self._pace = Pace(1000, least=200, most=10_000, timer=timer)
        self._pieces = self._work()

    @property
    def longest(self) -> float:
        """Seconds the longest piece took."""
        return self._pace.longest

    def again(self) -> "Retention":
        """Return the same purge from its beginning."""
        return Retention(self._store, self._entities, self._before, others=self._others, timer=self._timer)

    def step(self) -> bool:
        """Remove a piece; False when there is no more. Raises StoreError."""
        if self._written:
            # By itself SQLite would do it for many pieces at once, in the middle of somebody's commit.
            self._store.checkpoint()
            self._written = False
            return True
        with self._pace:
            self._written = next(self._pieces, False)
        return self._written

    def _work(self) -> Iterator[bool]:
        oldest = min([self._before, *self._others.values()])
        self._store.changes.note_purge(self._before)
        while removed := self._remove_states(oldest):
            self.removed += removed
            yield True
        yield from self._single_out(oldest)
        yield from self._rows()
        self.removed += self._store.statistics.remove_runs_before(self._before)
        # Not before the states are gone: one that was left out would count.
        self.removed += self._store.held.remove_before(oldest)
        self._store.changes.remove_before(oldest)
        yield True

    def _remove_states(self, before: int) -> int:
        with self._store.changes.unnoted("reading"):
            return self._store.states.remove_before(before, self._pace.size)

    def _single_out(self, start: int) -> Iterator[bool]:
        """States of the entities whose time is over while that of others is not."""
        groups: dict[int, set[int]] = {}
        for number, before in self._others.items():
            groups.setdefault(before, set()).add(number)
        for before, numbers in groups.items():
            yield from self._sweep(start, before, numbers, among=True)
        if self._others and start < self._before:
            yield from self._sweep(start, self._before, set(self._others), among=False)

    def _sweep(self, start: int, end: int, numbers: set[int], *, among: bool) -> Iterator[bool]:
        at: int | None = start
        while at is not None and at < end:
            with self._store.changes.unnoted("reading"):
                removed, at = self._store.states.sweep(at, end, self._pace.size, numbers, among=among)
            self.removed += removed
            yield True

    def _rows(self) -> Iterator[bool]:
        numbers = deque(live.record.id for live in self._entities)
        while numbers:
            room = self._pace.size
            with self._store.changes.unnoted("5minute"), self._store.transaction():
                while numbers and room > 0:
                    removed = self._remove_rows(numbers[0], room)
                    if removed < room:
                        numbers.popleft()
                    room -= max(removed, _LOOK)
            yield True

    def _remove_rows(self, number: int, limit: int) -> int:
        before = self._others.get(number, self._before)
        removed = self._store.statistics.remove_before(number, before, limit)
        self.removed += removed
        if removed < limit:
            self.removed += self._store.states.remove_frames_before(number, before)
        return removed


class Shrink:
    """Gives spare pages back to the disk, all but an eighth of the file."""

    def __init__(self, store: Store, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self._store = store
        self._pace = Pace(64, least=8, most=4096, timer=timer)

    @property
    def longest(self) -> float:
        """Seconds the longest piece took."""
        return self._pace.longest

    def step(self) -> bool:
        """Give a piece back; False when there is no more. Raises StoreError."""
        spare, pages = self._store.spare_pages()
        over = spare - pages // _SPARE
        if over <= 0:
            return False
        with self._pace:
            self._store.give_back(min(over, self._pace.size))
        # A file that cannot shrink is left as it is.
        return self._store.spare_pages()[0] < spare
