"""Keeps how admins arranged the page: the broker forgets what it retains when it ends."""

from pathlib import Path

from bus import state_files
from bus.clock import Clock
from bus.events import Message, Subscription, Wire
from bus.health import Journal
from bus.messages import BadMessageError, decode_layout
from bus.process import KeepsMessages
from bus.topics import Topics
from statistician.middleware import Middleware

# By then the broker has sent what it retains.
_RETAINED_S = 5.0


def of_layout(topics: Topics) -> Subscription:
    """Return what it listens to; QoS 0, for it is no data."""
    return Subscription(filter=topics.page, qos=0)


class LayoutKeeper(Middleware):
    """Puts the layout of the page on disk; says it again on a connection that does not bring it."""

    def __init__(
        self, inner: KeepsMessages, path: Path, bus: Wire, topics: Topics, *, clock: Clock, journal: Journal
    ) -> None:
        super().__init__(inner)
        self._path = path
        self._bus = bus
        self._topic = topics.page
        self._clock = clock
        self._journal = journal
        self._say_at: float | None = None

    def _connected(self) -> None:
        self._say_at = self._clock.monotonic() + _RETAINED_S

    def tick(self, now: float) -> float:
        """Say the layout if the broker has none, and go on with the service inside."""
        if self._say_at is not None and now >= self._say_at:
            self._say_at = None
            self._say()
        return super().tick(now)

    def _say(self) -> None:
        try:
            kept = self._path.read_bytes()
            decode_layout(kept)
        except FileNotFoundError:
            return
        except (OSError, BadMessageError) as error:
            self._complain(f"{self._path} cannot be used: {error}; arrange the page again")
            return
        self._bus.say_once(self._topic, kept)

    def _takes(self, message: Message) -> bool:
        if message.topic != self._topic:
            return False
        # What is there is newer than what is kept, and emptied is what an admin wants.
        self._say_at = None
        try:
            self._keep(message.payload)
        except BadMessageError as error:
            self._complain(f"{self._topic} is ignored: {error}; arrange the page again")
        except OSError as error:
            self._complain(
                f"{self._path}: {error.strerror}; how the page is arranged is lost with the broker"
            )
        else:
            self._journal.solved("page")
        return True

    def _keep(self, payload: bytes) -> None:
        """Put it on disk if it is another. Raises BadMessageError, OSError."""
        if not payload:
            self._path.unlink(missing_ok=True)
            return
        decode_layout(payload)
        before = self._path.read_bytes() if self._path.exists() else b""
        if before != payload:
            state_files.write(self._path, payload)

    def _complain(self, text: str) -> None:
        self._journal.problem("page", text, self._clock.wall())
