"""Answers requests to services that are not there, or to topics that name none: nobody else would."""

from bus.access_log import AccessLog
from bus.commands import Code, Refused
from bus.events import Connected, Message, Subscription
from bus.health import why_aside
from bus.messages import ONLINE
from bus.process import KeepsMessages
from bus.request_server import RequestServer
from bus.topics import ID, Topics, Verb

# Whoever may publish there must not fill the memory.
_MOST = 256
_NAMED = 20


def subscriptions(topics: Topics) -> list[Subscription]:
    """All requests, also malformed ones, and which services are there."""
    return [
        Subscription(filter=topics.below(Verb.REQUEST), qos=0, retained=False),
        Subscription(filter=topics.every(Verb.SERVICE), qos=0),
    ]


class AbsentServices:
    """A bus.process.KeepsMessages around another, which sees requests to `mine` and all that is none."""

    def __init__(
        self, inner: KeepsMessages, desk: RequestServer, topics: Topics, mine: str, access: AccessLog
    ) -> None:
        self._inner = inner
        self._desk = desk
        self._topics = topics
        self._mine = mine
        self._access = access
        self._online: dict[str, bool] = {}

    def handle(self, event: object) -> None:
        """Take one event; what is not for us goes on."""
        if isinstance(event, Connected):
            # The broker says all of it again.
            self._online.clear()
        elif isinstance(event, Message) and self._takes(event):
            return
        self._inner.handle(event)

    def tick(self, now: float) -> float:
        """Write the access log, and go on with the service inside."""
        self._access.tick(now)
        return self._inner.tick(now)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a request that must not be read; let the service inside keep all else."""
        if self._topics.is_below(Verb.REQUEST, message.topic):
            self._desk.give_up(message, why_aside(error))
            return
        self._inner.set_aside(message, error)

    def put_on_disk(self) -> None:
        """Put on disk what the service inside has in hand."""
        self._inner.put_on_disk()

    def close(self) -> None:
        """Write the access log, and close the service inside."""
        self._access.close()
        self._inner.close()

    def waiting(self) -> int | None:
        """As the service inside says."""
        return self._inner.waiting()

    def _takes(self, message: Message) -> bool:
        """Look at a message; True if it is for nobody else."""
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
        elif not self._online[service]:
            text = f"{service} does not run: start it{_advice(service)}"
            self._desk.turn_away(message, Refused(Code.OFFLINE, text))
        return True


def _advice(service: str) -> str:
    """Say why a collector may not run, and how it would."""
    _, found, transport = service.partition("collector_")
    return f'; without a device it runs only with [collector] run = ["{transport}"]' if found else ""
