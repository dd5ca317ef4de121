"""Announces to Home Assistant the devices that nobody else does: strangers that ask, and our own energies.

Of a device that is gone it also takes back what the statistician retains, all of an energy that the settings
no longer have.
"""

from collections.abc import Callable, Collection

from bus import about as about_message
from bus.announcer import Announcer
from bus.events import Connected, Message, Publishes, Subscription
from bus.health import Journal
from bus.process import KeepsMessages
from bus.topics import HOME_ASSISTANT, ID, BadTopicError, Topics, Verb
from statistician.api.registry import SERVICE
from statistician.publish import empty

# By then the broker has sent all that it retains, and strangers that start with the machine have spoken.
_RETAINED_S = 60.0
# Strangers that are announced, and their entities together: Home Assistant keeps every one for ever.
MOST_DEVICES = 300
MOST_ENTITIES = 3_000
# Devices of which it is remembered that they say whether they are there.
_MOST_AVAILABLE = 10_000
_TOO_MANY = (
    f"not all strangers that ask are announced to Home Assistant, only {MOST_DEVICES} devices with "
    f"{MOST_ENTITIES} entities together: empty the about topic of those that are gone, and let the others "
    "say their about again"
)


def subscriptions(topics: Topics) -> list[Subscription]:
    """What it listens to besides `about`; QoS 0, for nothing of it is data."""
    filters = (HOME_ASSISTANT, topics.every(Verb.AVAILABILITY))
    return [Subscription(filter=one, qos=0) for one in filters]


class Announcing:
    """A bus.process.Service around another, which sees all messages but those of Home Assistant.

    `ours` are the devices of the house that it announces: strangers take no room from them.
    """

    def __init__(
        self,
        inner: KeepsMessages,
        announcer: Announcer,
        bus: Publishes,
        topics: Topics,
        *,
        monotonic: Callable[[], float],
        journal: Journal,
        wall: Callable[[], int],
        ours: Collection[str] = (),
    ) -> None:
        self._inner = inner
        self._bus = bus
        self._monotonic = monotonic
        self._announcer = announcer
        self._topics = topics
        self._journal = journal
        self._wall = wall
        self._ours = frozenset(ours)
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
        self._announcer.file.settle(now)
        problem = self._announcer.file.problem
        if problem is None:
            self._journal.solved("announced")
        else:
            self._journal.problem("announced", problem, self._wall())
        return wait

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Let the service inside keep a message that must not be handled."""
        self._inner.set_aside(message, error)

    def put_on_disk(self) -> None:
        """Put on disk what the service inside has in hand."""
        self._inner.put_on_disk()

    def close(self) -> None:
        """Put on disk what was announced, and close the service inside."""
        self._announcer.file.close()
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
            if len(self._available) < _MOST_AVAILABLE or device in self._asked:
                self._available.add(device)
            self._announce(device)

    def _about(self, device: str, payload: bytes) -> None:
        if not payload:
            empty(self._bus, self._topics, device)
        # Every device of ours passes here: only who asks is read.
        about = _wish(payload) if b'"discovery"' in payload else None
        if about is not None and about.service == SERVICE and device not in self._ours:
            self._take_back(device, about)
        elif about is not None and self._fits(device, about):
            self._asked[device] = about
            self._announce(device)
        else:
            # Or an earlier run announced it.
            self._announcer.forget(device)
            if self._asked.pop(device, None) is not None:
                self._journal.solved("discovery")

    def _take_back(self, device: str, about: about_message.About) -> None:
        """Clear what an earlier run has retained of an energy of its own."""
        # First there: Home Assistant takes an emptied state for an error.
        self._asked.pop(device, None)
        self._announcer.forget(device)
        topics = self._topics
        mine = [topics.scalar(device, entity) for entity in about.entities if ID.match(entity)]
        for topic in (topics.about(device), *mine, topics.state(device), topics.availability(device)):
            self._bus.publish(topic, b"", retain=True)

    def _fits(self, device: str, about: about_message.About) -> bool:
        others = [a for d, a in self._asked.items() if d != device and d not in self._ours]
        entities = len(about.entities) + sum(len(other.entities) for other in others)
        fits = device in self._ours or (len(others) < MOST_DEVICES and entities <= MOST_ENTITIES)
        if not fits:
            self._journal.count("announcements_refused")
            self._journal.problem("discovery", _TOO_MANY, self._wall())
        return fits

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
