"""Goes on when the database refuses: tells, makes room where it can, and waits longer each time."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.health import Journal
from statistician.records import StoreError
from statistician.store_engine import DamagedError, FullError
from statistician.upkeep import Upkeep

log = logging.getLogger(__name__)

_LONGEST_S = 60.0


class Patience:
    """Does work on the database. Times are monotonic seconds."""

    def __init__(self, upkeep: Upkeep, *, clock: Clock, journal: Journal) -> None:
        self._upkeep = upkeep
        self._clock = clock
        self._journal = journal
        # Between two tries.
        self._pause = 0.0
        self._again_at = float("-inf")

    def left(self, now: float) -> float:
        """Seconds until the database is asked again; 0 if it may be asked now."""
        return max(0.0, self._again_at - now)

    def hurry(self) -> None:
        """Ask at once, whatever it said before."""
        self._again_at = float("-inf")

    def do(self, work: Callable[[], None], now: int, open_period: int | None) -> bool:
        """Do a piece of work at wall `now` (ms, 0: unknown); False: it is still due. Raises DamagedError."""
        if self.left(self._clock.monotonic()):
            return False
        try:
            work()
        except DamagedError:
            # Only a start can set it aside and put a copy in its place; outboxes send again.
            log.critical("the database is damaged")
            raise
        except StoreError as error:
            full = isinstance(error, FullError)
            if not (full and now and self._upkeep.relieve(now, open_period)):
                self._wait(error, full=full)
            return False
        if self._pause:
            self._pause = 0.0
            self._journal.solved("database")
            log.info("the database works again")
        return True

    def _wait(self, error: StoreError, *, full: bool) -> None:
        self._pause = min(max(1.0, self._pause * 2), _LONGEST_S)
        self._again_at = self._clock.monotonic() + self._pause
        text = f"{error}: {self._upkeep.room()}; nothing is acknowledged" if full else str(error)
        if self._journal.problem("database", text, self._clock.wall()):
            log.error("the database refuses: %s; trying again", text)
