"""Waits for a database that cannot be opened yet, as on a read-only disk, and says so in health meanwhile."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.events import Connected, Message
from bus.health import Journal
from bus.process import EXIT_RESTART, KeepsMessages, Stop
from bus.state_files import LockedError
from statistician.records import StoreError
from statistician.store_engine import NewerError

log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 2.0, 30.0
# More the broker never sends without an acknowledgement.
_MOST_HELD = 1000


class Late:
    """A bus.process.KeepsMessages around another, which `build` makes once it can."""

    def __init__(
        self,
        build: Callable[[], KeepsMessages],
        *,
        clock: Clock,
        journal: Journal,
        stop: Callable[[object], None],
    ) -> None:
        self._build = build
        self._clock = clock
        self._journal = journal
        self._stop = stop
        self._inner: KeepsMessages | None = None
        # What is not acknowledged, the newest connection first of all.
        self._held: list[object] = []
        self._pause = _FIRST_S
        self._again_at = float("-inf")

    def open_first(self) -> None:
        """Try at once. Raises LockedError, and NewerError if no other try would help."""
        try:
            self._open()
        except (NewerError, LockedError):
            raise
        except (StoreError, OSError) as error:
            self._wait(error)

    def _open(self) -> None:
        self._inner = self._build()
        if self._journal.solved("database"):
            log.info("the database is open")
        held, self._held = self._held, []
        for event in held:
            self._inner.handle(event)

    def _wait(self, error: Exception) -> None:
        self._again_at = self._clock.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_S)
        text = f"it cannot be opened: {error}; trying again, nothing is acknowledged until it works"
        if self._journal.problem("database", text, self._clock.wall()):
            log.error("no database: %s", text)

    def handle(self, event: object) -> None:
        """Take one event, or keep it until the database is open."""
        if self._inner is not None:
            self._inner.handle(event)
        elif isinstance(event, Connected):
            # The broker sends again what came before.
            self._held = [event]
        elif isinstance(event, Message) and event.qos and len(self._held) < _MOST_HELD:
            self._held.append(event)

    def tick(self, now: float) -> float:
        """Do what is due, or try to open the database."""
        if self._inner is not None:
            return self._inner.tick(now)
        if now < self._again_at:
            return min(1.0, self._again_at - now)
        try:
            self._open()
        except (NewerError, LockedError) as error:
            # The next start says why and ends for good.
            self._stop(Stop(EXIT_RESTART, str(error)))
        except (StoreError, OSError) as error:
            self._wait(error)
        return 0.0

    def close(self) -> None:
        """Close what is open."""
        if self._inner is not None:
            self._inner.close()

    def waiting(self) -> int | None:
        """None: the statistician sends no readings."""
        return None

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Keep a message that must not be handled; without a database it stays with the broker."""
        if self._inner is not None:
            self._inner.set_aside(message, error)

    def put_on_disk(self) -> None:
        """Put on disk what came so far."""
        if self._inner is not None:
            self._inner.put_on_disk()
