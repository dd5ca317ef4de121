"""What a connection tells its process, and what it is asked; no socket."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from bus.reach import BROKER, Named
from bus.retained import RetainedTopics
from config.model import Broker


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted us; `generation` counts connections from 1.

    `resumed`: it has kept our session, and what came meanwhile.
    """

    generation: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, or could not be made; paho tries again with back-off up to 30 s.

    `refused`: the broker does not want us, or what we say, until a person does something.
    """

    reason: str
    refused: bool = False


# A struct, because one is made for every message: a dataclass takes sixteen times as long.
class Message(msgspec.Struct, frozen=True):
    """A received publication; hand it to `acknowledge` once its effect is on disk."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    generation: int
    response_topic: str | None = None
    correlation: bytes | None = None
    # Which process of a name says that it is there; none other says it.
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The broker refused a publication; `forever`: it is the message itself, not us or the moment."""

    topic: str
    payload: bytes
    reason: str
    forever: bool


@dataclass(frozen=True, slots=True)
class Unheard:
    """Nobody listens on a topic on which something was published that is not retained."""

    topic: str


MqttEvent = Connected | Disconnected | Message | Unpublished | Unheard


class Sent(Enum):
    """What became of a publication, by what the caller does next."""

    YES = "handed to the broker's socket"
    LATER = "not connected or queue full: try again"
    NEVER = "too large for the broker: set it aside"


class Publishes(Protocol):
    """The part of a connection that answers need."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Publish now or say why not."""


class Acknowledges(Publishes, Protocol):
    """The part of a connection that a service needs which acknowledges by itself."""

    def acknowledge(self, *messages: Message) -> None:
        """Tell the broker that messages are done with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A topic filter; `retained` False asks the broker not to send what it retains (commands, requests).

    A message's `retain` is what its publisher asked for (`as_published`), else that the broker had kept it.
    """

    filter: str
    qos: int = 1
    retained: bool = True
    as_published: bool = True


class Wire(Publishes, Protocol):
    """The part of a connection that an owner of devices needs."""

    @property
    def retained(self) -> RetainedTopics:
        """What was published retained, and is said again on every connect."""

    @property
    def largest(self) -> int:
        """The largest packet the broker takes, bytes."""

    def say_once(self, topic: str, payload: bytes) -> Sent:
        """Publish retained; it is not said again on a later connect."""

    def listen(self, subscription: Subscription) -> None:
        """Subscribe to something more, now and on every connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How to reach the broker and as whom; `session_s` keeps our queue that long while we are away.

    Whoever knows a `client_id` can throw its owner out; `instance` is told with each birth instead.
    `authorities` of this machine are trusted, where there is no file of one.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls_ca: str | None = None
    instance: str = ""
    session_s: int = 0
    receive_maximum: int = 500
    authorities: bool = False
    named: Named = BROKER

    @property
    def tls(self) -> bool:
        """Whether with TLS."""
        return self.authorities or self.tls_ca is not None

    @classmethod
    def of(cls, broker: Broker, service: str, part: str, *, instance: str = "", session_s: int = 0) -> "Link":
        """Make the link of one service to the broker of the settings; `part` of its id is its secret."""
        return cls(
            host=broker.host,
            port=broker.port,
            client_id=f"{broker.base.replace('/', '-')}-{service}-{part}",
            username=broker.username,
            password=broker.password,
            tls_ca=broker.tls_ca,
            instance=instance,
            session_s=session_s,
        )
