"""Two processes of one name on one broker, on two machines: the younger leaves it. No clock, no socket."""

from dataclasses import dataclass
from enum import Enum, auto

# Two keep-alives: what a connection that was cut may still be taken for.
PATIENCE_S = 60.0
# So often each says that it is there while it hears another.
_AGAIN_S = 10.0
# So long the younger stays off the broker before it looks whether the other is gone, and so long it looks.
_AWAY_S = 30.0
_LISTENS_S = 5.0


class Step(Enum):
    """What a process that stays off the broker does next."""

    WAIT = auto()
    LOOK = auto()
    LEAVE = auto()
    ENTER = auto()


@dataclass(slots=True)
class Rivals:
    """What is heard of others of our name; `mine` is our instance, and all of them sort by their start."""

    mine: str
    other: str | None = None
    _since: float = 0.0
    _heard: float = 0.0
    _said: float = float("-inf")
    # Whether we stay off the broker, whether we look just now, and until when either lasts.
    away: bool = False
    _looking: bool = False
    _until: float | None = None

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

    def leave(self, now: float) -> None:
        """Stay off the broker from monotonic second `now` on."""
        self.away, self._looking, self._until = True, False, now + _AWAY_S

    def step(self, now: float, *, there: bool) -> Step:
        """Say what to do while we stay away; `there`: the broker has let us in to look."""
        if not self._looking:
            if self._until is not None and now < self._until:
                return Step.WAIT
            self.other, self._looking, self._until = None, True, None
            return Step.LOOK
        if self.other is not None:
            self.leave(now)
            return Step.LEAVE
        if self._until is None:
            self._until = now + _LISTENS_S if there else None
        elif now >= self._until:
            self.away = False
            return Step.ENTER
        return Step.WAIT

    @property
    def lost(self) -> bool:
        """Whether another was heard long enough, and was there first."""
        return self.other is not None and self._heard - self._since >= PATIENCE_S and self.other < self.mine
