"""Layers around the service: each takes the events that are its own and hands on all others."""

import logging
from collections.abc import Callable, Collection

from bus import about as about_message
from bus.access_log import AccessLog
from bus.announcer import Announcer
from bus.clock import Clock
from bus.commands import Code, Refused
from bus.events import Connected, Message, Publishes, Subscription
from bus.health import VERSION, Journal, why_aside
from bus.home_assistant import house
from bus.messages import ONLINE
from bus.process import EXIT_RESTART, KeepsMessages, Stop
from bus.request_server import RequestServer
from bus.state_files import LockedError
from bus.topics import FORWARDER, HOME_ASSISTANT, HOUSE, ID, STATISTICIAN, BadTopicError, Topics, Verb
from statistician.publish import empty
from statistician.records import StoreError
from statistician.store.engine import NewerError

log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 2.0, 30.0
# More the broker never sends without an acknowledgement.
_MOST_HELD = 1000


class Middleware:
    """A bus.process.KeepsMessages around another, to which it hands all that it does not take itself."""

    def __init__(self, inner: KeepsMessages | None) -> None:
        self._inner = inner

    def handle(self, event: object) -> None:
        """Take one event; what is not for this one alone goes on."""
        if isinstance(event, Connected):
            self._connected()
        elif isinstance(event, Message) and self._takes(event):
            return
        if self._inner is not None:
            self._inner.handle(event)

    def _connected(self) -> None:
        """Take notice of a new connection."""

    def _takes(self, message: Message) -> bool:
        """Look at a message; True if it is for nobody else."""
        del message
        return False

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""
        return 1.0 if self._inner is None else self._inner.tick(now)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Let the service inside keep a message that must not be handled; without it the broker has it."""
        if self._inner is not None:
            self._inner.set_aside(message, error)

    def put_on_disk(self) -> None:
        """Let the service inside put on disk what came so far."""
        if self._inner is not None:
            self._inner.put_on_disk()

    def close(self) -> None:
        """Close the service inside."""
        if self._inner is not None:
            self._inner.close()

    def waiting(self) -> int | None:
        """Count the readings that wait to be sent; None: the service inside sends none."""
        return None if self._inner is None else self._inner.waiting()


class DatabaseOpener(Middleware):
    """Waits for a database that cannot be opened yet, as on a read-only disk, and says so in health.

    `build` makes the service inside once it can.
    """

    def __init__(
        self,
        build: Callable[[], KeepsMessages],
        *,
        clock: Clock,
        journal: Journal,
        stop: Callable[[object], None],
    ) -> None:
        super().__init__(None)
        self._build = build
        self._clock = clock
        self._journal = journal
        self._stop = stop
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


def of_announcing(topics: Topics) -> list[Subscription]:
    """Return what it listens to besides `about`; QoS 0, for nothing of it is data."""
    filters = (HOME_ASSISTANT, topics.every(Verb.AVAILABILITY))
    return [Subscription(filter=one, qos=0) for one in filters]


class Announcing(Middleware):
    """Announces to Home Assistant what nobody else does: strangers that ask, and our own energies.

    Of a device that is gone it also takes back what the statistician retains, all of an energy that the
    settings no longer have.

    `ours` are the devices of the house that it announces: strangers take no room from them.
    """

    def __init__(
        self,
        inner: KeepsMessages,
        announcer: Announcer,
        bus: Publishes,
        topics: Topics,
        *,
        clock: Clock,
        journal: Journal,
        ours: Collection[str] = (),
    ) -> None:
        super().__init__(inner)
        self._bus = bus
        self._clock = clock
        self._announcer = announcer
        self._topics = topics
        self._journal = journal
        self._ours = frozenset(ours)
        self._asked: dict[str, about_message.About] = {}
        # Whoever asked an earlier run, and does not stand among the retained abouts, is gone.
        self._met = False
        self._tidy_at: float | None = None
        # Those that say whether they are there; of the others Home Assistant must not wait for it.
        self._available: set[str] = set()

    def _connected(self) -> None:
        self._announcer.about(HOUSE, house(VERSION), availability=False)
        self._announcer.connected()
        if not self._met:
            self._met = True
            self._tidy_at = self._clock.monotonic() + _RETAINED_S

    def tick(self, now: float) -> float:
        """Say everything again when Home Assistant has started; take back who asks no more."""
        # First, for it is what must go on.
        wait = super().tick(now)
        self._announcer.again(now)
        if self._tidy_at is not None and now >= self._tidy_at:
            self._tidy_at = None
            self._announcer.tidy(dict.fromkeys((HOUSE, *self._asked)))
        self._announcer.file.settle(now)
        problem = self._announcer.file.problem
        if problem is None:
            self._journal.solved("announced")
        else:
            self._journal.problem("announced", problem, self._clock.wall())
        return wait

    def close(self) -> None:
        """Put on disk what was announced, and close the service inside."""
        self._announcer.file.close()
        super().close()

    def _takes(self, message: Message) -> bool:
        if message.topic == HOME_ASSISTANT:
            self._announcer.birth(message.topic, message.payload, self._clock.monotonic())
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
        if about is not None and about.service == STATISTICIAN and device not in self._ours:
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
            self._journal.count("refused_announcements")
            self._journal.problem("discovery", _TOO_MANY, self._clock.wall())
        return fits

    def _announce(self, device: str) -> None:
        if device in self._asked:
            self._announcer.about(device, self._asked[device], availability=device in self._available)


def _wish(payload: bytes) -> about_message.About | None:
    """Return the description of a device that asks to be announced."""
    try:
        about = about_message.decode(payload)
    except ValueError:
        # The statistician says what is wrong with it.
        return None
    return about if about.discovery else None


# Whoever may publish there must not fill the memory.
_MOST = 256
_NAMED = 20


def of_absent_services(topics: Topics) -> list[Subscription]:
    """All requests, also malformed ones, and which services are there."""
    return [
        Subscription(filter=topics.below(Verb.REQUEST), qos=0, retained=False),
        Subscription(filter=topics.every(Verb.SERVICE), qos=0),
    ]


class AbsentServices(Middleware):
    """Answers requests to services that are not there, or to topics that name none: nobody else would.

    The service inside sees requests to `mine` and all that is none.
    """

    def __init__(
        self, inner: KeepsMessages, desk: RequestServer, topics: Topics, mine: str, access: AccessLog
    ) -> None:
        super().__init__(inner)
        self._desk = desk
        self._topics = topics
        self._mine = mine
        self._access = access
        self._online: dict[str, bool] = {}

    def _connected(self) -> None:
        # The broker says all of it again.
        self._online.clear()

    def tick(self, now: float) -> float:
        """Write the access log, and go on with the service inside."""
        self._access.tick(now)
        return super().tick(now)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a request that must not be read; let the service inside keep all else."""
        if self._topics.is_below(Verb.REQUEST, message.topic):
            self._desk.give_up(message, why_aside(error))
            return
        super().set_aside(message, error)

    def close(self) -> None:
        """Write the access log, and close the service inside."""
        self._access.close()
        super().close()

    def _takes(self, message: Message) -> bool:
        if self._topics.is_below(Verb.SERVICE, message.topic):
            name = self._topics.levels_of(message.topic)[0]
            if name in self._online or len(self._online) < _MOST:
                self._online[name] = message.payload == ONLINE
            return True
        if not self._topics.is_below(Verb.REQUEST, message.topic):
            return False
        service, verb, *more = self._topics.levels_of(message.topic)
        if more or not ID.match(service) or not ID.match(verb):
            form = self._topics.requests("service", "verb")
            self._desk.turn_away(message, Refused(Code.INVALID, f"a request goes to a topic such as {form}"))
        elif service == self._mine:
            return False
        elif service not in self._online:
            names = ", ".join(sorted({self._mine, *self._online})[:_NAMED])
            text = f"no service {service}: there are {names}{_advice(service)}"
            self._desk.turn_away(message, Refused(Code.NOT_FOUND, text))
        elif service == FORWARDER:
            text = f"{service} answers no requests; what it does stands in its health"
            self._desk.turn_away(message, Refused(Code.NOT_FOUND, text))
        elif not self._online[service]:
            text = f"{service} does not run: start it{_advice(service)}"
            self._desk.turn_away(message, Refused(Code.OFFLINE, text))
        return True


def _advice(service: str) -> str:
    """Say why a collector may not run, and how it would."""
    _, found, transport = service.partition("collector_")
    return f'; without a device it runs only with [collector] run = ["{transport}"]' if found else ""
