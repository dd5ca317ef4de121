"""Two processes of one name on one broker, on two machines: the younger one ends. No clock, no socket."""

from dataclasses import dataclass

# Two keep-alives: what a connection that was cut may still be taken for.
PATIENCE_S = 60.0
# So often each says that it is there while it hears another.
_AGAIN_S = 10.0


@dataclass(slots=True)
class Rivals:
    """What is heard of others of our name; `mine` is our instance, and all of them sort by their start."""

    mine: str
    other: str | None = None
    _since: float = 0.0
    _heard: float = 0.0
    _said: float = float("-inf")

    def hear(self, instance: str, now: float) -> None:
        """Take what a process of our name said that it is, at monotonic second `now`."""
        if instance == self.mine:
            return
        if self.other != instance or not self.present(now):
            self._since = now
        self.other, self._heard = instance, now

    def present(self, now: float) -> bool:
        """Whether another was heard lately."""
        return self.other is not None and now - self._heard <= PATIENCE_S

    def due(self, now: float) -> bool:
        """Whether it is time to say that we are there too, so that the other may end."""
        if not self.present(now) or now - self._said < _AGAIN_S:
            return False
        self._said = now
        return True

    @property
    def lost(self) -> bool:
        """Whether another was heard long enough, and was there first."""
        return self.other is not None and self._heard - self._since >= PATIENCE_S and self.other < self.mine
