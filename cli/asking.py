"""A client of the broker that asks services and waits for their answers."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import Self, TypeVar

import msgspec

from bus.connection import Connection
from bus.events import Connected, Disconnected, Link, Message, MqttEvent, Sent, Subscription, Unpublished
from bus.messages import ONLINE
from bus.topics import STATISTICIAN, Topics, Verb
from cli.terminal import CommandError
from config.model import Broker

# Seconds until a broker on the same machine or in the same van should have answered.
PATIENCE_S = 10.0
ANSWER_S = 60.0
_QUIET_S = 0.3
# Reasons of a broker that knows its users.
_UNWELCOME = ("Not authorized", "Bad user name or password")

# What the connection notes for a service's log is told here as an error, or is none.
logging.getLogger("bus").addHandler(logging.NullHandler())

S = TypeVar("S")
T = TypeVar("T")
Params = Mapping[str, object]


class _Error(msgspec.Struct):
    code: str
    message: str


class _Answer(msgspec.Struct):
    id: str | int | None
    status: str
    data: msgspec.Raw
    error: _Error | None = None
    next: str | None = None


_Events = SimpleQueue[MqttEvent]


class Asker:
    """Asks and publishes; use it in a with block. Every method raises CommandError.

    Without a service it only learns what is retained; a user who may not answer itself gives
    `awaits_own` False, and it only connects.
    """

    def __init__(
        self,
        broker: Broker,
        *watched: str,
        service: str | None = STATISTICIAN,
        advice: str = "is it running?",
        awaits_own: bool = True,
    ) -> None:
        self.topics = Topics(broker.base)
        name = f"cli_{secrets.token_hex(6)}"
        self._place = f"{broker.host}:{broker.port}"
        self._user = broker.username
        self._awaits_own = awaits_own
        self._service = service
        self._absent = f"no {service} is online at {self._place}: {advice}"
        self._reply_to = self.topics.response("cli", name)
        self._events = _Events()
        self._seen: dict[str, bytes] = {}
        told = self.topics.every(Verb.SERVICE) if service is None else self.topics.service(service)
        filters = (self._reply_to, told, *watched)
        self._connection = Connection(
            # Not its name, which the topic of the answers shows to all who may read them.
            Link.of(broker, "cli", secrets.token_hex(16)),
            birth_topic=None,
            subscriptions=[Subscription(filter=f) for f in filters],
            emit=self._events.put,
        )

    def __enter__(self) -> Self:
        self._connection.start()
        try:
            self._meet()
        except CommandError:
            self._connection.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()

    def _meet(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not isinstance(event := self._next(deadline, f"no broker at {self._place}"), Connected):
            if isinstance(event, Disconnected):
                raise CommandError(self._unmet(event.reason))
        if self._service is None:
            if self._awaits_own:
                self._catch_up(deadline)
            return
        while not self.is_online(self._service):
            self._take(self._next(deadline, self._absent))

    def _unmet(self, reason: str) -> str:
        said = next((word for word in _UNWELCOME if word in reason), None)
        if said is None:
            return f"{reason}; next: is it the right one? --host and --port name another"
        who = f"user {self._user}" if self._user else "who names no user"
        return (
            f"the broker at {self._place} refuses {who} ({said}); next: run this with sudo, or give --user"
            " and --password-file (sudo boondock broker --show operator tells a password)"
        )

    def _catch_up(self, deadline: float) -> None:
        """Wait until all that the broker retained has come: our own message comes behind it."""
        self.publish(self._reply_to, b"{}")
        while self._seen.pop(self._reply_to, None) is None:
            event = self._next(deadline, f"the broker at {self._place} does not answer")
            if isinstance(event, Unpublished) and event.topic == self._reply_to:
                # A user who may only look cannot write there: what is retained has come once it is quiet.
                while self.heard(_QUIET_S) is not None:
                    pass
                return
            self._take(event)

    def is_online(self, service: str) -> bool:
        """Whether a service said that it is online."""
        return self._seen.get(self.topics.service(service)) == ONLINE

    def _next(self, deadline: float, otherwise: str) -> MqttEvent:
        try:
            return self._events.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty as error:
            raise CommandError(otherwise) from error

    def _take(self, event: MqttEvent) -> None:
        if isinstance(event, Disconnected):
            raise CommandError(f"the broker at {self._place} is gone: {event.reason}")
        if isinstance(event, Unpublished):
            raise CommandError(
                f"the broker refused {event.topic}: {event.reason}; is this user allowed to ask?"
                " next: sudo, or --user admin"
            )
        if isinstance(event, Message):
            self._seen[event.topic] = event.payload
            self._connection.acknowledge(event)
            asked = None if self._service is None else self.topics.service(self._service)
            if event.topic == asked and event.payload != ONLINE:
                raise CommandError(self._absent)

    def last(self, topic: str) -> bytes | None:
        """Return the newest payload seen on a watched topic."""
        return self._seen.get(topic)

    def heard(self, seconds: float) -> Message | None:
        """Wait for the next message on any topic; None if none comes within `seconds`."""
        try:
            event = self._events.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        self._take(event)
        return event if isinstance(event, Message) else None

    def seen(self) -> dict[str, bytes]:
        """Copy the newest payload of every topic that was heard."""
        return dict(self._seen)

    def wait(self, otherwise: str, *, patience: float = ANSWER_S) -> None:
        """Wait for the next event; `otherwise` says what did not come."""
        self._take(self._next(time.monotonic() + patience, otherwise))

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1, waiting while the connection's queue is full."""
        deadline = time.monotonic() + ANSWER_S
        while (sent := self._connection.publish(topic, payload)) is Sent.LATER:
            if time.monotonic() >= deadline:
                raise CommandError(f"the broker at {self._place} takes no more")
            time.sleep(0.05)
        if sent is Sent.NEVER:
            raise CommandError(f"{topic}: {len(payload)} bytes are more than the broker takes")

    def _ask(self, verb: str, params: Params, told: Callable[[msgspec.Raw], None] | None = None) -> _Answer:
        number = secrets.token_hex(8)
        self._seen.pop(self._reply_to, None)
        body = msgspec.json.encode({**params, "id": number, "reply_to": self._reply_to})
        self.publish(self.topics.request(self._service or STATISTICIAN, verb), body)
        deadline = time.monotonic() + ANSWER_S
        while True:
            self._take(self._next(deadline, f"no answer to {verb} within {ANSWER_S:g} s"))
            payload = self._seen.pop(self._reply_to, None)
            if payload is None:
                continue
            answer = msgspec.json.decode(payload, type=_Answer)
            if answer.id == number and answer.status != "progress":
                break
            if answer.id == number and told is not None:
                told(answer.data)
                deadline = time.monotonic() + ANSWER_S
        if answer.error is not None:
            raise CommandError(f"{answer.error.message} ({answer.error.code})")
        return answer

    def watch(self, verb: str, params: Params, kind: type[T], step: type[S], told: Callable[[S], None]) -> T:
        """Ask, and decode the one page of the answer; `told` gets what the service tells on the way."""

        def pass_on(data: msgspec.Raw) -> None:
            told(msgspec.json.decode(data, type=step))

        return msgspec.json.decode(self._ask(verb, params, pass_on).data, type=kind)

    def pages(self, verb: str, params: Params, kind: type[T]) -> Iterator[T]:
        """Ask, and decode the data of every page of the answer; pages are asked for as they are needed."""
        answer = self._ask(verb, params)
        yield msgspec.json.decode(answer.data, type=kind)
        while answer.next is not None:
            answer = self._ask(verb, {**params, "cursor": answer.next})
            yield msgspec.json.decode(answer.data, type=kind)
