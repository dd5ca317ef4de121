"""What nobody listened to is not known: each value ends where the statistician was last seen at work."""

from collections.abc import Iterable

from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.periods import MINUTES_5, due_at
from statistician.records import State
from statistician.store import Store

# A shorter absence, without a restart of the machine, hides nothing worth a gap, ms.
_NOTICED = 60_000
# A process that was killed had compiled its last period by then, though nothing else may have come.
_KILLED = due_at(0) + _NOTICED
_CLOSED = "closed_at"
_BOOT = "boot"


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
    """The states that end at `at` what is known of entities."""
    return [
        # What was heard just then was known for a millisecond.
        State(live.heard + 1 if at <= live.heard <= at + 1 else at, live.record.id, None, None)
        for live in lives
        if live.newest is not None and live.newest.value is not None
    ]
