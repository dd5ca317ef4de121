"""Every topic of the contract, built and parsed; no other file spells one."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

# Bounded, for everything heard of is remembered by its id.
ID = re.compile(r"[a-z0-9_]{1,64}\Z")
BASE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")
DISCOVERY_PREFIX = "homeassistant"
# Where Home Assistant says that it is there.
HOME_ASSISTANT = f"{DISCOVERY_PREFIX}/status"
# All that the broker tells of itself.
SYSTEM = "$SYS/#"
# The service that confirms readings.
STATISTICIAN = "statistician"


class BadTopicError(ValueError):
    """A topic, id or base that the contract does not allow; the text names it and what is allowed."""


class Verb(StrEnum):
    """The second level of a topic: what a message is."""

    ABOUT = "about"
    STATE = "state"
    BACKLOG = "backlog"
    AVAILABILITY = "availability"
    SET = "set"
    RESULT = "result"
    STATISTICS = "statistics"
    WATERMARK = "watermark"
    REQUEST = "request"
    RESPONSE = "response"
    SERVICE = "service"
    HEALTH = "health"


# How many levels may follow the verb: (least, most).
_LEVELS = {
    Verb.ABOUT: (1, 1),
    Verb.STATE: (1, 2),
    Verb.BACKLOG: (2, 2),
    Verb.AVAILABILITY: (1, 1),
    Verb.SET: (2, 2),
    Verb.RESULT: (2, 2),
    Verb.STATISTICS: (2, 2),
    Verb.WATERMARK: (1, 1),
    Verb.REQUEST: (2, 2),
    Verb.RESPONSE: (2, 2),
    Verb.SERVICE: (1, 1),
    Verb.HEALTH: (1, 1),
}
_LONGEST = 256
_SHOWN = 120
_ALLOWED = "a-z, 0-9 and _, at most 64 of them"
# Streams are written by collectors as <process>-<random>; every other level is an id.
_STREAM = re.compile(r"[a-z0-9_-]{1,64}\Z")
_STREAM_AT = {Verb.WATERMARK: 0, Verb.BACKLOG: 1}
_DISCOVERY = re.compile(rf"{DISCOVERY_PREFIX}/device/[A-Za-z0-9_-]+/config\Z")


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic: `name` is the device, service or stream, `part` what follows it."""

    verb: Verb
    name: str
    part: str | None = None


def check_id(value: str, what: str) -> str:
    """Return `value` if it is an id, else raise BadTopicError naming `what`."""
    if not ID.match(value):
        raise BadTopicError(f"{what} {value[:80]!r} is not an id: allowed are {_ALLOWED}")
    return value


def _check_stream(stream: str) -> str:
    if not _STREAM.match(stream):
        raise BadTopicError(f"stream {stream[:80]!r}: allowed are a-z, 0-9, _ and -, at most 64 of them")
    return stream


def is_discovery(topic: str) -> bool:
    """Whether it is a device's discovery topic, below whatever base."""
    return _DISCOVERY.match(topic) is not None


@lru_cache(maxsize=4096)
def _parse(base: str, topic: str) -> Topic:
    head = base + "/"
    # The text goes to the log and the dead letters.
    shown = topic[:_SHOWN]
    if not topic.startswith(head):
        raise BadTopicError(f"topic {shown!r} is not below {head}")
    word, *levels = topic[len(head) :].split("/")
    if word not in Verb.__members__.values():
        raise BadTopicError(f"topic {shown!r}: {word[:80]!r} is none of {', '.join(Verb)}")
    verb = Verb(word)
    least, most = _LEVELS[verb]
    if not least <= len(levels) <= most:
        raise BadTopicError(f"topic {shown!r} has {len(levels)} levels after {verb}, not {least} to {most}")
    for place, level in enumerate(levels):
        pattern = _STREAM if _STREAM_AT.get(verb) == place else ID
        if not pattern.match(level):
            raise BadTopicError(f"topic {shown!r}: {level[:80]!r} is not an id: allowed are {_ALLOWED}")
    return Topic(verb, levels[0], levels[1] if len(levels) > 1 else None)


# A topic is checked once, not at each publish: a process has far fewer topics than this.
@lru_cache(maxsize=4096)
def _join(base: str, verb: Verb, *ids: str) -> str:
    return "/".join((base, verb, *(check_id(i, f"{verb} topic level") for i in ids)))


@lru_cache(maxsize=4096)
def _watermark(base: str, stream: str) -> str:
    return f"{base}/{Verb.WATERMARK}/{_check_stream(stream)}"


@lru_cache(maxsize=4096)
def _backlog(base: str, service: str, stream: str) -> str:
    return f"{_join(base, Verb.BACKLOG, service)}/{_check_stream(stream)}"


class Topics:
    """Builds and parses the topics below one base topic. Raises BadTopicError on a bad base or id."""

    def __init__(self, base: str = "camper") -> None:
        if not BASE.match(base):
            raise BadTopicError(f"base topic {base!r}: allowed are levels of A-Z a-z 0-9 _ - joined by /")
        self.base = base

    def about(self, device: str) -> str:
        """Retained description of a device."""
        return _join(self.base, Verb.ABOUT, device)

    def state(self, device: str) -> str:
        """Retained newest reading of a device."""
        return _join(self.base, Verb.STATE, device)

    def scalar(self, device: str, entity: str) -> str:
        """Retained plain value of one entity."""
        return _join(self.base, Verb.STATE, device, entity)

    def availability(self, device: str) -> str:
        """Retained `online` or `offline` of a device."""
        return _join(self.base, Verb.AVAILABILITY, device)

    def set(self, device: str, entity: str) -> str:
        """Where clients send commands to an entity."""
        return _join(self.base, Verb.SET, device, entity)

    def result(self, device: str, entity: str) -> str:
        """Where the answer to a command appears."""
        return _join(self.base, Verb.RESULT, device, entity)

    def statistics(self, device: str, period: str) -> str:
        """Retained newest aggregates of a device; period is `5minute` or `hour`."""
        return _join(self.base, Verb.STATISTICS, device, period)

    def backlogs(self, service: str) -> str:
        """Filter for all that a service sends again."""
        return _join(self.base, Verb.BACKLOG, service) + "/+"

    def watermark(self, stream: str) -> str:
        """Retained highest seq of a stream that is on disk."""
        return _watermark(self.base, stream)

    def backlog(self, service: str, stream: str) -> str:
        """Where a service sends again what the statistician has not confirmed."""
        return _backlog(self.base, service, stream)

    def request(self, service: str, verb: str) -> str:
        """Where clients ask a service."""
        return _join(self.base, Verb.REQUEST, service, verb)

    def response(self, service: str, verb: str) -> str:
        """Where a service answers when the request names no other topic."""
        return _join(self.base, Verb.RESPONSE, service, verb)

    def is_response(self, topic: str) -> bool:
        """Whether a requester's Response Topic lies where answers may go."""
        head = f"{self.base}/{Verb.RESPONSE}/"
        return topic.startswith(head) and len(topic) <= _LONGEST and not set(topic) & {"+", "#", "\0"}

    def service(self, service: str) -> str:
        """Retained birth and last will of a process."""
        return _join(self.base, Verb.SERVICE, service)

    def health(self, service: str) -> str:
        """Retained health of a process."""
        return _join(self.base, Verb.HEALTH, service)

    def discovery(self, device: str) -> str:
        """Home Assistant's device discovery topic; slashes of the base become underscores."""
        base = self.base.replace("/", "_")
        return f"{DISCOVERY_PREFIX}/device/{base}_{check_id(device, 'device')}/config"

    def every(self, verb: Verb, *, levels: int | None = None) -> str:
        """Subscription filter for all topics of a verb with `levels` levels behind it (default: its most)."""
        return "/".join((self.base, verb, *["+"] * (levels or _LEVELS[verb][1])))

    def below(self, verb: Verb | None = None) -> str:
        """Filter for everything below a verb, or below the base topic."""
        return f"{self.base}/#" if verb is None else f"{self.base}/{verb}/#"

    def requests(self, service: str | None = None, verb: str | None = None) -> str:
        """Filter for the requests to a service, or to all; of a verb, or of all."""
        levels = ("+" if one is None else check_id(one, "request") for one in (service, verb))
        return "/".join((self.base, Verb.REQUEST, *levels))

    def of_device(self, verb: Verb, device: str) -> str:
        """Filter for what is said of a device's entities, one by one."""
        return _join(self.base, verb, device) + "/+"

    def home_assistant_status(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{DISCOVERY_PREFIX}/status"

    def discoveries(self) -> str:
        """Filter for the discovery topics of all devices: a wildcard cannot be part of a level."""
        return f"{DISCOVERY_PREFIX}/device/+/config"

    def is_below(self, verb: Verb, topic: str) -> bool:
        """Whether a topic is that of a verb or below it, however many levels it has."""
        return f"{topic}/".startswith(f"{self.base}/{verb}/")

    def levels_of(self, topic: str) -> list[str]:
        """The levels behind the verb, whatever they are; an empty one for each of two that is missing."""
        levels = topic[len(self.base) + 1 :].split("/")[1:]
        return levels + [""] * (2 - len(levels))

    def parse(self, topic: str) -> Topic:
        """Split a received topic; raises BadTopicError on a foreign, misspelt or wildcard topic."""
        return _parse(self.base, topic)
