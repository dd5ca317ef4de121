"""Notices that the process stood still: what it finds waiting then may be old. Pure: `now` in monotonic s."""

# SIGSTOP, a card that blocks, the machine asleep.
STOOD_STILL_S = 10.0
# What waited in the broker comes within this.
_WARY_S = 1.0


class Standstill:
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
