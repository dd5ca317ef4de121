"""Every topic of the contract, built and parsed; no other file spells one."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial

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
# The service that asks, and is asked nothing.
FORWARDER = "forwarder"
# In place of a device: the house itself, whose discovery topic is that of the base.
HOUSE = ""


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
    PAGE = "page"
    ALARM = "alarm"


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
    Verb.PAGE: (0, 0),
    Verb.ALARM: (1, 1),
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
    """A parsed topic: `name` is the device, service or stream (empty: there is none), `part` what follows."""

    verb: Verb
    name: str
    part: str | None = None


def check_id(value: str, what: str) -> str:
    """Return `value` if it is an id, else raise BadTopicError naming `what`."""
    if not ID.match(value):
        raise BadTopicError(f"{what} {value[:80]!r} is not an id: allowed are {_ALLOWED}")
    return value


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
        if not _pattern(verb, place).match(level):
            raise BadTopicError(f"topic {shown!r}: {level[:80]!r} is not an id: allowed are {_ALLOWED}")
    return Topic(verb, levels[0] if levels else "", levels[1] if len(levels) > 1 else None)


def _pattern(verb: Verb, place: int) -> re.Pattern[str]:
    return _STREAM if _STREAM_AT.get(verb) == place else ID


# A topic is checked once, not at each publish: a process has far fewer topics than this.
@lru_cache(maxsize=4096)
def _join(base: str, verb: Verb, *levels: str) -> str:
    for place, level in enumerate(levels):
        if not _pattern(verb, place).match(level):
            allowed = _ALLOWED if _pattern(verb, place) is ID else "a-z, 0-9, _ and -, at most 64 of them"
            raise BadTopicError(f"{verb} topic level {level[:80]!r} is not an id: allowed are {allowed}")
    return "/".join((base, verb, *levels))


_OfOne = Callable[[str], str]
_OfTwo = Callable[[str, str], str]


class Topics:
    """Builds and parses the topics below one base topic. Raises BadTopicError on a bad base or id."""

    def __init__(self, base: str = "camper") -> None:
        if not BASE.match(base):
            raise BadTopicError(f"base topic {base!r}: allowed are levels of A-Z a-z 0-9 _ - joined by /")
        self.base = base
        # Split a received topic; raises BadTopicError on a foreign, misspelt or wildcard topic.
        self.parse: Callable[[str], Topic] = partial(_parse, base)
        of = partial(partial, _join, base)
        # Of a device, retained: its description, its newest reading, `online` or `offline`.
        self.about: _OfOne = of(Verb.ABOUT)
        self.state: _OfOne = of(Verb.STATE)
        self.availability: _OfOne = of(Verb.AVAILABILITY)
        # Of a device and an entity: its plain value, retained; where commands go, and their answers.
        self.scalar: _OfTwo = of(Verb.STATE)
        self.set: _OfTwo = of(Verb.SET)
        self.result: _OfTwo = of(Verb.RESULT)
        # Of a device and a period, `5minute` or `hour`: its newest aggregates, retained.
        self.statistics: _OfTwo = of(Verb.STATISTICS)
        # Of a stream: the highest seq that is on disk, retained.
        self.watermark: _OfOne = of(Verb.WATERMARK)
        # Of a service and a stream: what it sends again, for the statistician has not confirmed it.
        self.backlog: _OfTwo = of(Verb.BACKLOG)
        # Of a service and a verb: where it is asked, and where it answers if the request names no topic.
        self.request: _OfTwo = of(Verb.REQUEST)
        self.response: _OfTwo = of(Verb.RESPONSE)
        # Of a service, retained: its birth and last will, and its health.
        self.service: _OfOne = of(Verb.SERVICE)
        self.health: _OfOne = of(Verb.HEALTH)
        # Retained: how the page arranges its cards in all browsers.
        self.page = _join(base, Verb.PAGE)
        # Of an alarm, retained: how it stands.
        self.alarm: _OfOne = of(Verb.ALARM)

    def is_response(self, topic: str) -> bool:
        """Whether a requester's Response Topic lies where answers may go."""
        head = f"{self.base}/{Verb.RESPONSE}/"
        return topic.startswith(head) and len(topic) <= _LONGEST and not set(topic) & {"+", "#", "\0"}

    def backlogs(self, service: str) -> str:
        """Make the filter for all that a service sends again."""
        return _join(self.base, Verb.BACKLOG, service) + "/+"

    def responses(self, service: str) -> str:
        """Make the filter for the answers that a service waits for."""
        return _join(self.base, Verb.RESPONSE, service) + "/+"

    def discovery(self, device: str) -> str:
        """Home Assistant's discovery topic of a device or HOUSE; slashes of the base become underscores."""
        base = self.base.replace("/", "_")
        name = base if device == HOUSE else f"{base}_{check_id(device, 'device')}"
        return f"{DISCOVERY_PREFIX}/device/{name}/config"

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
        """Return the levels behind the verb, whatever they are; an empty one for each of two missing ones."""
        levels = topic[len(self.base) + 1 :].split("/")[1:]
        return levels + [""] * (2 - len(levels))
