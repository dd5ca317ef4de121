"""The restart ladder of a radio, pure: from the times things happened to what to try next."""

from enum import Enum, auto

_LAST_RUNG = 3
_POWER_CYCLE_RUNG = 2


class Step(Enum):
    """What the radio must do now."""

    WAIT = auto()
    START = auto()
    POWER_CYCLE = auto()
    EXIT = auto()


class Ladder:
    """Climbs one rung per `silence` seconds without an advertisement; all times are monotonic seconds."""

    # Failed starts climb by the same clock: whatever the cause, three silences after the last
    # advertisement the process is restarted. In between they are retried, ever later.

    def __init__(
        self, *, silence: float = 90.0, first_retry: float = 1.0, longest_retry: float = 30.0
    ) -> None:
        self._silence = silence
        self._first_retry = first_retry
        self._longest_retry = longest_retry
        self._running = False
        self._rung = 0
        self._failures = 0
        self._quiet_since: float | None = None
        self._retry_at = 0.0

    @property
    def rung(self) -> int:
        """0 while all is well, then 1 new scanner, 2 power-cycle, 3 exit."""
        return self._rung

    def started(self, now: float) -> None:
        """The scanner runs: it has the whole silence to hear something."""
        self._running = True
        self._failures = 0
        self._quiet_since = now

    def failed(self, now: float) -> float:
        """A start or power-cycle failed; the seconds until the next attempt."""
        self._running = False
        delay = min(self._longest_retry, self._first_retry * (1 << self._failures))
        # Past the cap the exponent says nothing new, and must not overflow in a long outage.
        self._failures = min(self._failures + 1, 16)
        self._retry_at = now + delay
        return delay

    def heard(self, now: float) -> None:
        """Any advertisement: the radio works, back to the ground."""
        self._rung = 0
        self._quiet_since = now

    def step(self, now: float) -> Step:
        """What to do now; START and POWER_CYCLE must be answered with started() or failed()."""
        if self._quiet_since is None:
            self._quiet_since = now
        if now >= self._quiet_since + self._silence:
            return self._climb(now)
        if not self._running and now >= self._retry_at:
            return Step.START
        return Step.WAIT

    def wait(self, now: float) -> float:
        """Seconds until step() can say something new, if nothing happens before."""
        silent_at = (now if self._quiet_since is None else self._quiet_since) + self._silence
        due = silent_at if self._running else min(silent_at, self._retry_at)
        return max(0.0, due - now)

    def _climb(self, now: float) -> Step:
        self._running = False
        self._retry_at = now
        self._quiet_since = now
        self._rung = min(self._rung + 1, _LAST_RUNG)
        if self._rung == _LAST_RUNG:
            return Step.EXIT
        return Step.POWER_CYCLE if self._rung == _POWER_CYCLE_RUNG else Step.START
