"""Answers a service's requests: where the answer goes, pages, one at a time, in turns of those who ask."""

import base64
import binascii
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from bus.access_log import AccessLog
from bus.commands import Code, Refused
from bus.events import Message, Publishes, Sent, Subscription
from bus.health import Journal, fault_in
from bus.requests import LARGEST, Action, Key, Listing, Ms, Part, Place, Progress, Wait
from bus.topics import ID, Topics

log = logging.getLogger(__name__)

# Bytes of an answer.
PAGE = 48 * 1024
# Requests that wait, of one asker and of all: whoever asks without pause fills only the own queue. The broker
# tells of an asker no more than where the answer shall go.
QUEUE = 8
MOST = 64
# How long nobody asks, and how long a request that waits is left alone, seconds.
IDLE_S = 1.0
_WAIT_S = 0.2
# Parameters that the access log shows: which things were changed.
_SHOWN = ("device", "entity", "entities", "to", "fix")
_MARGIN = 512  # what stands around the parts of a page, the cursor included
Id = Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=-(2**53), le=2**53)] | None
_NULL = Raw(b"null")
_IDS: msgspec.json.Decoder[str | int | None] = msgspec.json.Decoder(Id)
_NAMES: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(Annotated[str, Meta(max_length=64)] | None)
_TEXTS: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)
T = TypeVar("T")


class Answer(Struct, kw_only=True):
    """What goes to whoever asked; `next` is the cursor of the next page."""

    id: str | int | None
    status: Literal["ok", "error", "progress"]
    data: object
    error: dict[str, str] | UnsetType = UNSET
    next: str | UnsetType = UNSET


class _Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    verb: str
    now: Ms
    key: Raw


@dataclass(slots=True)
class _Request:
    """A request on its way; `topic` is where the answer goes."""

    verb: str
    topic: str | None
    correlation: bytes | None = None
    # The requester's Response Topic, which a reply_to does not change.
    asked: bool = False
    id: str | int | None = None
    sender: str | None = None
    cursor: str | None = None
    params: bytes = b"{}"
    place: Place | None = None
    listing: Listing | None = None
    parts: list[Part] = field(default_factory=list)
    size: int = _MARGIN
    # It waits for something outside.
    waits: bool = False


def subscription(topics: Topics, service: str) -> Subscription:
    """All requests to a service; the broker is asked not to send what it retains."""
    # QoS 0: what was asked while the service was away must not be done an hour later.
    topic = topics.request(service, "x").removesuffix("x") + "+"
    return Subscription(filter=topic, qos=0, retained=False)


class RequestServer:
    """Takes a service's requests and answers them; `failures` are the errors that become code `internal`.

    With `access` what was changed is noted there, and the verb `log` shows it.
    """

    def __init__(
        self,
        service: str,
        actions: Mapping[str, Action],
        *,
        bus: Publishes,
        topics: Topics,
        journal: Journal,
        wall: Callable[[], int],
        failures: tuple[type[Exception], ...] = (),
        access: AccessLog | None = None,
    ) -> None:
        self._actions = actions if access is None else {**actions, "log": access.verb()}
        self._access = access
        self._bus = bus
        self._topics = topics
        self._journal = journal
        self._wall = wall
        self._failures = failures
        self._head = topics.request(service, "x").removesuffix("x")
        # By where the answer goes; the first in turn is in front.
        self._waiting: dict[str | None, deque[_Request]] = {}

    def __contains__(self, message: Message) -> bool:
        return message.topic.startswith(self._head)

    @property
    def busy(self) -> bool:
        """Whether a request waits for `work`."""
        return bool(self._waiting)

    def take(self, message: Message) -> None:
        """Queue a request, or answer at once what is wrong with it; a retained one is ignored."""
        if message.retain:
            self._journal.count("ignored_requests")
            return
        self._journal.count("requests")
        request = self._open(message)
        try:
            self._read(request, message.payload)
            self._queue(request)
        except Refused as refusal:
            self._refuse(request, refusal)

    def turn_away(self, message: Message, refusal: Refused) -> None:
        """Refuse a request that is for no service that is there."""
        if message.retain:
            self._journal.count("ignored_requests")
            return
        self._journal.count("requests")
        request = self._open(message)
        # Its id and where the answer goes; what else is wrong with it is nobody's business.
        with suppress(Refused):
            self._read(request, message.payload)
        self._refuse(request, refusal)

    def give_up(self, message: Message, why: str) -> None:
        """Answer a request that must not be read: without its id, where its topic or properties say."""
        if not message.retain:
            self._refuse(self._open(message), Refused(Code.INTERNAL, why[:300]))

    def unheard(self, topic: str) -> None:
        """Give up the answers in the making that nobody would hear; what changes something goes on."""
        mine = self._waiting.get(topic, deque())
        for request in [one for one in mine if one.listing and not self._actions[one.verb].changes]:
            mine.remove(request)
            self._journal.count("abandoned_requests")
            if isinstance(parts := request.listing and request.listing.parts, Generator):
                parts.close()
        if topic in self._waiting and not mine:
            del self._waiting[topic]

    def _queue(self, request: _Request) -> None:
        mine = self._waiting.get(request.topic, ())
        if len(mine) >= QUEUE or sum(map(len, self._waiting.values())) >= MOST:
            raise Refused(Code.BUSY, "too many requests wait already: ask again in a moment")
        self._waiting.setdefault(request.topic, deque()).append(request)

    def _open(self, message: Message) -> _Request:
        service, verb = self._topics.levels_of(message.topic)[:2]
        if message.response_topic is not None and self._topics.is_response(message.response_topic):
            return _Request(verb, message.response_topic, message.correlation, asked=True)
        named = ID.match(service) and ID.match(verb)
        return _Request(verb, self._topics.response(service, verb) if named else None)

    def _read(self, request: _Request, payload: bytes) -> None:
        found = self._actions.get(request.verb)
        largest = LARGEST if found is None else found.largest
        if len(payload) > largest:
            raise Refused(Code.LIMIT, f"the request has {len(payload)} bytes; allowed are {largest}")
        try:
            body = msgspec.json.decode(payload or b"{}", type=dict[str, Raw])
        except (ValueError, RecursionError) as error:
            raise Refused(Code.INVALID, f"the request is not a JSON object: {error}") from error
        # The id before all else: whoever named the request wants to know which one was refused.
        for field_name in ("transaction", "id"):
            if field_name in body:
                request.id = _pick(body.pop(field_name), field_name, _IDS)
        reply_to = _pick(body.pop("reply_to", _NULL), "reply_to", _TEXTS)
        if reply_to is not None and not request.asked and self._topics.is_response(reply_to):
            request.topic = reply_to
        request.sender = _pick(body.pop("from", _NULL), "from", _NAMES)
        request.cursor = _pick(body.pop("cursor", _NULL), "cursor", _TEXTS)
        request.params = msgspec.json.encode(body)
        if found is None:
            raise Refused(
                Code.NOT_FOUND, f"no verb {request.verb[:64]!r}: there are {', '.join(sorted(self._actions))}"
            )
        request.place = self._place(request, found)

    def _place(self, request: _Request, found: Action) -> Place:
        if request.cursor is None:
            return Place(self._wall())
        if found.key is None:
            raise Refused(Code.INVALID, f"cursor: {request.verb} has no pages")
        try:
            cursor = msgspec.json.decode(base64.urlsafe_b64decode(request.cursor), type=_Cursor)
            key: Key = msgspec.json.decode(cursor.key, type=found.key)
        except (ValueError, binascii.Error, RecursionError) as error:
            raise Refused(Code.INVALID, "cursor: allowed is the `next` of the answer before") from error
        if cursor.verb != request.verb:
            raise Refused(Code.INVALID, f"cursor: this one is of the verb {cursor.verb[:64]!r}")
        return Place(cursor.now, key)

    def work(self, budget_s: float, *, timer: Callable[[], float] = time.perf_counter) -> float:
        """Go on with the request in front until it is answered, waits, or the budget is spent.

        Returns the seconds until there is more to do.
        """
        if not self._waiting:
            return IDLE_S
        asker, mine = next(iter(self._waiting.items()))
        request = mine[0]
        finished = self._advance(request, timer() + budget_s, timer)
        if finished:
            mine.popleft()
        elif request.waits:
            mine.rotate(-1)
        if finished or request.waits:
            # The next turn is another's.
            del self._waiting[asker]
            if mine:
                self._waiting[asker] = mine
        if all(one.waits for all_of_one in self._waiting.values() for one in all_of_one):
            return _WAIT_S if self._waiting else IDLE_S
        return 0.0

    def _advance(self, request: _Request, until: float, timer: Callable[[], float]) -> bool:
        """Go on with a request; True if it is over. Whatever is wrong with it is its answer."""
        finished = True

        def work() -> None:
            nonlocal finished
            finished = self._go_on(request, until, timer)

        try:
            fault = fault_in(work, Refused, *self._failures)
        except Refused as refusal:
            self._refuse(request, refusal)
        except self._failures as error:
            self._refuse(request, Refused(Code.INTERNAL, str(error)))
        else:
            if fault is not None:
                self._journal.count("faults")
                log.error("the request %s failed", request.verb[:64], exc_info=fault)
                text = f"an error of this software, please report it: {fault!r}"
                self._refuse(request, Refused(Code.INTERNAL, text[:300]))
        return finished

    def _go_on(self, request: _Request, until: float, timer: Callable[[], float]) -> bool:
        place = request.place or Place(self._wall())
        if request.listing is None:
            request.listing = self._actions[request.verb].start(request.params, place)
        request.waits = False
        for part in request.listing.parts:
            if isinstance(part, Wait):
                request.waits = True
                return False
            if isinstance(part, Progress):
                self._send(request, Answer(id=request.id, status="progress", data=part.value))
                continue
            if part is None:
                if timer() >= until:
                    return False
                continue
            size = len(msgspec.json.encode(part.value)) + 1
            if request.parts and request.size + size > PAGE:
                self._answer(request, request.listing, place, more=True)
                return True
            request.size += size
            request.parts.append(part)
        self._answer(request, request.listing, place, more=False)
        return True

    def _answer(self, request: _Request, listing: Listing, place: Place, *, more: bool) -> None:
        answer = Answer(id=request.id, status="ok", data=listing.assemble(request.parts))
        if more:
            key = Raw(msgspec.json.encode(request.parts[-1].key))
            cursor = msgspec.json.encode(_Cursor(request.verb, place.now, key))
            answer.next = base64.urlsafe_b64encode(cursor).decode()
        if not more and self._actions[request.verb].changes:
            self._note(request)
        if self._send(request, answer) is Sent.NEVER:
            self._refuse(request, Refused(Code.LIMIT, "the answer is larger than the broker takes"))

    def _note(self, request: _Request) -> None:
        """Write on one line, and into the access log, what was changed and by whom; no secret is shown."""
        params = msgspec.json.decode(request.params, type=dict[str, Raw])
        if bytes(params.get("dry_run", _NULL)) == b"true":
            return
        value = " ".join(f"{key} {bytes(params[key]).decode()}" for key in _SHOWN if key in params)
        log.info("%s %s by %s", request.verb, value, ", ".join(filter(None, (request.sender, request.topic))))
        if self._access is not None:
            self._access.note(request.verb, value or None, sender=request.sender, reply_to=request.topic)

    def _refuse(self, request: _Request, refusal: Refused) -> None:
        self._journal.count("refused_requests")
        error = {"code": str(refusal.code), "message": str(refusal)}
        self._send(request, Answer(id=request.id, status="error", data={}, error=error))

    def _send(self, request: _Request, answer: Answer) -> Sent:
        sent = Sent.NEVER
        if request.topic is not None:
            payload = msgspec.json.encode(answer)
            sent = self._bus.publish(request.topic, payload, qos=1, correlation=request.correlation)
        if sent is not Sent.YES:
            self._journal.count("dropped_answers")
        return sent


def _pick(raw: Raw, name: str, decoder: msgspec.json.Decoder[T]) -> T:
    """Read a field of the envelope. Raises Refused(invalid)."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, f"{name}: {str(error).replace('`', '')}") from error
