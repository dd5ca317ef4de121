"""Announces to Home Assistant the devices that nobody else does: strangers that ask, and our own energies.

Of a device that is gone it also takes back what the statistician retains.
"""

from collections.abc import Callable

from bus import about as about_message
from bus.announcer import Announcer
from bus.events import Connected, Message, Publishes, Subscription
from bus.process import KeepsMessages
from bus.topics import HOME_ASSISTANT, BadTopicError, Topics, Verb
from statistician.publish import empty

# By then the broker has sent all that it retains, and strangers that start with the machine have spoken.
_RETAINED_S = 60.0


def subscriptions(topics: Topics) -> list[Subscription]:
    """What it listens to besides `about`; QoS 0, for nothing of it is data."""
    filters = (HOME_ASSISTANT, topics.every(Verb.AVAILABILITY))
    return [Subscription(filter=one, qos=0) for one in filters]


class Announcing:
    """A bus.process.Service around another, which sees all messages but those of Home Assistant."""

    def __init__(
        self,
        inner: KeepsMessages,
        announcer: Announcer,
        bus: Publishes,
        topics: Topics,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._bus = bus
        self._monotonic = monotonic
        self._announcer = announcer
        self._topics = topics
        self._asked: dict[str, about_message.About] = {}
        # Whoever asked an earlier run, and does not stand among the retained abouts, is gone.
        self._met = False
        self._tidy_at: float | None = None
        # Those that say whether they are there; of the others Home Assistant must not wait for it.
        self._available: set[str] = set()

    def handle(self, event: object) -> None:
        """Take one event; what is not for us goes on."""
        if isinstance(event, Connected):
            self._announcer.connected()
            if not self._met:
                self._met = True
                self._tidy_at = self._monotonic() + _RETAINED_S
        elif isinstance(event, Message) and self._takes(event):
            return
        self._inner.handle(event)

    def tick(self, now: float) -> float:
        """Say everything again when Home Assistant has started; take back who asks no more."""
        # First, for it is what must go on.
        wait = self._inner.tick(now)
        self._announcer.again(now)
        if self._tidy_at is not None and now >= self._tidy_at:
            self._tidy_at = None
            self._announcer.tidy(dict.fromkeys(self._asked))
        return wait

    def set_aside(self, message: Message, why: str) -> None:
        """Let the service inside keep a message that must not be handled."""
        self._inner.set_aside(message, why)

    def put_on_disk(self) -> None:
        """Put on disk what the service inside has in hand."""
        self._inner.put_on_disk()

    def close(self) -> None:
        """Close the service inside."""
        self._inner.close()

    def waiting(self) -> int | None:
        """As the service inside says."""
        return self._inner.waiting()

    def _takes(self, message: Message) -> bool:
        """Look at a message; True if it is for nobody else."""
        if message.topic == HOME_ASSISTANT:
            self._announcer.birth(message.topic, message.payload, self._monotonic())
            return True
        try:
            topic = self._topics.parse(message.topic)
        except BadTopicError:
            return False
        if topic.verb is Verb.AVAILABILITY:
            self._availability(topic.name, message.payload)
        if topic.verb is Verb.ABOUT:
            self._about(topic.name, message.payload)
        return False

    def _availability(self, device: str, payload: bytes) -> None:
        if payload and device not in self._available:
            self._available.add(device)
            self._announce(device)

    def _about(self, device: str, payload: bytes) -> None:
        if not payload:
            empty(self._bus, self._topics, device)
        # Every device of ours passes here: only who asks is read.
        about = _wish(payload) if b'"discovery"' in payload else None
        if about is not None:
            self._asked[device] = about
            self._announce(device)
        elif self._asked.pop(device, None) is not None:
            self._announcer.forget(device)

    def _announce(self, device: str) -> None:
        if device in self._asked:
            self._announcer.about(device, self._asked[device], availability=device in self._available)


def _wish(payload: bytes) -> about_message.About | None:
    """The description of a device that asks to be announced."""
    try:
        about = about_message.decode(payload)
    except ValueError:
        # The statistician says what is wrong with it.
        return None
    return about if about.discovery else None
