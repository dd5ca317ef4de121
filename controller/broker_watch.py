"""How long the broker has said nothing, and whether it hangs, or this process stood still itself. Pure.

What a process finds waiting after it stood still may be old. `now` is in monotonic seconds.
"""

# SIGSTOP, a card that blocks, the machine asleep.
STOOD_STILL_S = 10.0
# What waited in the broker comes within this.
_WARY_S = 1.0


class StallDetector:
    """Looked at in every turn of the loop; after a turn that took too long it is wary for a moment."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self._wary_until = float("-inf")

    def look(self, now: float) -> bool:
        """Whether what comes now may have waited."""
        if now - self._looked > STOOD_STILL_S:
            self._wary_until = now + _WARY_S
        self._looked = now
        return now < self._wary_until


# A process that hangs is asked in vain so long until it is restarted, and then again after so long.
HANGS_S = 20.0
AGAIN_S = 60.0
# Without a connection it is tried again after so long at the latest: bus.connection.
_ATTEMPT_S = 30.0
_PING_S = 5.0
# A machine that is busy answers late.
_LATE_S = 2.0


class BrokerWatch:
    """Call `look` in every turn of the loop, with a number that grows whenever the broker says something."""

    def __init__(self, now: float, *, shortest: float | None) -> None:
        """`shortest` is the shortest time, in seconds, after which anybody wants to know of a loss."""
        self._every = _PING_S if shortest is None else max(0.2, min(_PING_S, shortest / 4))
        self._heard = self._looked = self._pinged = now
        self._count = 0
        # Since when the connection is lost; at the start there is none yet.
        self._lost: float | None = now
        self._asked = float("-inf")

    def connected(self, now: float) -> None:
        """The broker has accepted us."""
        self._heard, self._lost = now, None

    def disconnected(self, now: float) -> None:
        """The connection is gone, or still not there: it counts from when the broker was last well."""
        if self._lost is None:
            self._lost = now if now - self._heard <= 2 * self._every else self._heard

    def look(self, now: float, count: int) -> bool:
        """Take note of time and count; True if the broker shall be asked for a sign of life."""
        pause = now - self._looked
        self._looked = now
        if count != self._count:
            self._count, self._heard = count, now
        elif pause > STOOD_STILL_S:
            # This process stood still itself: what the broker said waits to be read.
            self._heard = min(now, self._heard + pause)
        if self._lost is not None or now - max(self._heard, self._pinged) < self._every:
            return False
        self._pinged = now
        return True

    def away(self, now: float) -> float | None:
        """Return for how many seconds the broker has been away, None if it is there."""
        silent = now - (self._heard if self._lost is None else self._lost)
        return None if self._lost is None and silent < max(2 * self._every, _LATE_S) else silent

    def hangs(self, now: float) -> float | None:
        """Return after how many seconds of silence it is time to find out if the broker hangs.

        None: not now. At most once a minute; one that refuses us is heard with each attempt to connect.
        """
        silent = now - self._heard
        if silent < (HANGS_S if self._lost is None else HANGS_S + _ATTEMPT_S) or now - self._asked < AGAIN_S:
            return None
        self._asked = now
        return silent
