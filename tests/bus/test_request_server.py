"""The desk: who is answered where, what is refused, pages, the queue, one at a time."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.commands import Code, Refused
from bus.events import Message, Sent
from bus.health import Journal
from bus.request_server import MOST, PAGE, QUEUE, RequestServer, subscription
from bus.requests import LARGEST, Action, Listing, Part, Place, Progress, Wait, action
from bus.topics import Topics
from tests.fake_bus import FakeBus, Published

TOPICS = Topics()
# An answer as a client has it: plain JSON.
Json = Any
DEFAULT = "camper/response/teller/count"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A part of the parameters."""

    word: Literal["a", "b"] = "a"


class Count(msgspec.Struct, forbid_unknown_fields=True):
    """Count to `to`, with a text of `width` characters each."""

    to: int = 3
    width: int = 0
    inner: Inner | None = None


class BrokenError(Exception):
    """A failure of what the service stands on."""


def count(params: Count, place: Place) -> Listing:
    """Numbers from the cursor on, with a pause after each."""
    if params.to < 0:
        raise Refused(Code.LIMIT, "to: at least 0")
    first = 0 if place.after is None else int(place.after[0]) + 1

    def parts() -> Iterator[Part | None]:
        for number in range(first, params.to):
            if number == 13:
                raise BrokenError("thirteen")
            if params.width < 0:
                raise KeyError("planted")
            yield Part((number,), [number, place.now, "x" * params.width])
            yield None

    return Listing(parts(), lambda found: [part.value for part in found])


class Teller:
    """A desk with one verb, and what it sent."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.journal = Journal()
        self.now = 1000
        self.desk = RequestServer(
            "teller",
            {"count": action(Count, count, key=tuple[int]), "single": action(Count, count)},
            bus=self.bus,
            topics=TOPICS,
            journal=self.journal,
            wall=lambda: self.now,
            failures=(BrokenError,),
        )

    def send(self, payload: bytes, verb: str = "count", **more: Json) -> None:
        """Deliver a request."""
        message = Message(f"camper/request/teller/{verb}", payload, qos=1, retain=False, mid=1, generation=1)
        self.desk.take(msgspec.structs.replace(message, **more))

    def answer(self, payload: bytes, verb: str = "count", **more: Json) -> Published:
        """The one answer to a request."""
        before = len(self.bus.published)
        self.send(payload, verb, **more)
        while self.desk.busy:
            self.desk.work(1.0)
        (found,) = self.bus.published[before:]
        assert (found.qos, found.retain) == (1, False)
        return found

    def ask(self, verb: str = "count", **params: Json) -> Json:
        """The answer, decoded."""
        return msgspec.json.decode(self.answer(msgspec.json.encode(params), verb).payload)


@pytest.fixture
def teller() -> Teller:
    return Teller()


def numbers(data: Json) -> list[int]:
    return [row[0] for row in data]


def test_an_empty_request_takes_the_defaults_and_goes_to_the_default_topic(teller: Teller) -> None:
    answer = teller.answer(b"")
    assert (answer.topic, answer.correlation) == (DEFAULT, None)
    assert msgspec.json.decode(answer.payload) == {
        "id": None,
        "status": "ok",
        "data": [[0, 1000, ""], [1, 1000, ""], [2, 1000, ""]],
    }


@pytest.mark.parametrize(
    ("payload", "asked", "expected"),
    [
        (b"{}", "camper/response/me", "camper/response/me"),
        (b'{"reply_to":"camper/response/other"}', "camper/response/me", "camper/response/me"),
        (b'{"reply_to":"camper/response/other"}', None, "camper/response/other"),
        (b'{"reply_to":"camper/response/other"}', "camper/set/relay/pump", "camper/response/other"),
        (b'{"reply_to":"camper/set/relay/pump"}', None, DEFAULT),
        (b'{"reply_to":"camper/response/+"}', None, DEFAULT),
        (b"{}", "camper/set/relay/pump", DEFAULT),
        (b"{}", "camper/response/a/#", DEFAULT),
        (b"garbage", "camper/response/me", "camper/response/me"),
    ],
)
def test_where_the_answer_goes(teller: Teller, payload: bytes, asked: str | None, expected: str) -> None:
    answer = teller.answer(payload, response_topic=asked, correlation=b"c" if asked else None)
    assert answer.topic == expected
    assert answer.correlation == (b"c" if expected == asked else None)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"id":"x"}', "x"),
        (b'{"id":7}', 7),
        (b'{"transaction":"t"}', "t"),
        (b'{"id":"x","transaction":"t"}', "x"),
        (b'{"id":"x","nonsense":1}', "x"),
        (b'{"id":"x","to":"y"}', "x"),
        (b'{"id":[1]}', None),
        (b'{"id":"' + b"x" * 65 + b'"}', None),
    ],
)
def test_the_id_comes_back(teller: Teller, payload: bytes, expected: str | int | None) -> None:
    assert msgspec.json.decode(teller.answer(payload).payload)["id"] == expected


BAD = [
    (b"garbage", "count", Code.INVALID, "JSON"),
    (b"\xff\xfe", "count", Code.INVALID, "JSON"),
    (b"[1]", "count", Code.INVALID, "object"),
    (b"null", "count", Code.INVALID, "object"),
    (b"[" * 4000, "count", Code.INVALID, "JSON"),
    (b'{"to":"many"}', "count", Code.INVALID, "to: Expected int, got str"),
    (b'{"two":1}', "count", Code.INVALID, "two: there is no such field; allowed are to, width, inner, id"),
    (
        b'{"inner":{"word":"c"}}',
        "count",
        Code.INVALID,
        "inner.word: Invalid enum value 'c'; allowed are a, b",
    ),
    (b'{"inner":{"x":1}}', "count", Code.INVALID, "inner.x: there is no such field; allowed are word"),
    (b'{"id":{}}', "count", Code.INVALID, "id: "),
    (b'{"reply_to":1}', "count", Code.INVALID, "reply_to: "),
    (b'{"cursor":1}', "count", Code.INVALID, "cursor: "),
    (b'{"cursor":"!"}', "count", Code.INVALID, "cursor: "),
    (b'{"cursor":"e30="}', "count", Code.INVALID, "cursor: "),
    (b'{"cursor":"WyJjb3VudCIsMSxbInoiXV0="}', "count", Code.INVALID, "cursor: "),
    (b'{"cursor":"WyJvdGhlciIsMSxbMV1d"}', "count", Code.INVALID, "cursor: this one is of the verb 'other'"),
    (b'{"cursor":"WyJjb3VudCIsMSxbMV1d"}', "single", Code.INVALID, "cursor: single has no pages"),
    (b'{"to":-1}', "count", Code.LIMIT, "to: at least 0"),
    (b'{"to":14}', "count", Code.INTERNAL, "thirteen"),
    (b"{}", "cuont", Code.NOT_FOUND, "there are count, single"),
    (b'{"x":"' + b"x" * LARGEST + b'"}', "count", Code.LIMIT, str(LARGEST)),
]


@pytest.mark.parametrize(("payload", "verb", "code", "text"), BAD)
def test_what_is_wrong_is_said(teller: Teller, payload: bytes, verb: str, code: Code, text: str) -> None:
    answer = teller.answer(payload, verb)
    body = msgspec.json.decode(answer.payload)
    assert (body["status"], body["data"], body["error"]["code"]) == ("error", {}, code)
    assert text in body["error"]["message"]
    assert teller.ask()["status"] == "ok", "the desk goes on"


def test_a_verb_that_is_no_id_is_only_answered_where_it_can_be(teller: Teller) -> None:
    teller.send(b"{}", "A+B")
    assert teller.bus.published == []
    assert teller.journal.counters["dropped_answers"] == 1
    assert teller.answer(b"{}", "A", response_topic="camper/response/me").topic == "camper/response/me"


def test_a_retained_request_is_ignored_and_counted(teller: Teller) -> None:
    teller.send(b"{}", retain=True)
    assert not teller.desk.busy
    assert teller.bus.published == []
    assert teller.journal.counters["ignored_requests"] == 1


def test_too_many_requests_are_told_to_come_again(teller: Teller) -> None:
    for number in range(QUEUE + 2):
        teller.send(msgspec.json.encode({"id": number}))
    refused = [msgspec.json.decode(p.payload) for p in teller.bus.published]
    assert [(r["id"], r["error"]["code"]) for r in refused] == [(QUEUE, "busy"), (QUEUE + 1, "busy")]
    while teller.desk.busy:
        teller.desk.work(1.0)
    done = [msgspec.json.decode(p.payload)["id"] for p in teller.bus.published[2:]]
    assert done == list(range(QUEUE))


def test_who_asks_without_pause_waits_for_himself_alone(teller: Teller) -> None:
    for number in range(100):
        teller.send(msgspec.json.encode({"id": number}), response_topic="camper/response/flood")
    teller.send(b'{"id":"mine"}', response_topic="camper/response/me")
    teller.send(b'{"id":"also","reply_to":"camper/response/also"}')
    before = len(teller.bus.published)
    assert before == 100 - QUEUE
    while teller.desk.busy:
        teller.desk.work(1.0)
    done = [msgspec.json.decode(p.payload)["id"] for p in teller.bus.published[before:]]
    assert done == [0, "mine", "also", *range(1, QUEUE)]


def test_many_who_ask_fill_no_more_than_their_room(teller: Teller) -> None:
    for number in range(10 * MOST):
        teller.send(b"{}", response_topic=f"camper/response/{number}")
    codes = [msgspec.json.decode(p.payload)["error"]["code"] for p in teller.bus.published]
    assert codes == ["busy"] * (9 * MOST)


def test_work_stops_when_its_time_is_over_and_goes_on_where_it_was(teller: Teller) -> None:
    teller.send(b'{"to":10}')
    ticks = iter(range(100))
    pieces = 0
    while teller.desk.busy:
        teller.desk.work(2.0, timer=lambda: float(next(ticks)))
        pieces += 1
        assert bool(teller.bus.published) != teller.desk.busy
    assert pieces > 3
    assert numbers(msgspec.json.decode(teller.bus.published[0].payload)["data"]) == list(range(10))


@pytest.mark.parametrize("width", [0, 100, 5_000, 30_000, 60_000])
def test_pages_are_complete_without_duplicates_and_small(teller: Teller, width: int) -> None:
    teller.bus.takes = 1_000_000
    found: list[int] = []
    more: dict[str, Json] = {}
    pages = 0
    while True:
        pages += 1
        assert pages < 100
        teller.now += 5
        answer = teller.answer(msgspec.json.encode({"to": 12, "width": width, **more}))
        body = msgspec.json.decode(answer.payload)
        assert len(answer.payload) <= max(PAGE, width + 1000)
        assert {row[1] for row in body["data"]} == {1005}, "every page speaks of the first one's time"
        found += numbers(body["data"])
        if "next" not in body:
            break
        more = {"cursor": body["next"]}
    assert found == list(range(12))
    assert (pages > 1) == (width > 4000)


def test_an_answer_the_broker_does_not_take_is_refused_in_words(teller: Teller) -> None:
    teller.bus.takes = 500
    body = teller.ask(width=1000)
    assert body["error"]["code"] == "limit"


def test_an_answer_without_a_broker_is_lost_and_counted(teller: Teller) -> None:
    teller.bus.answer = Sent.LATER
    teller.send(b"{}")
    teller.desk.work(1.0)
    assert not teller.desk.busy
    assert teller.journal.counters["dropped_answers"] == 1


def test_only_requests_to_this_service_are_ours(teller: Teller) -> None:
    def make(topic: str) -> Message:
        return Message(topic, b"", qos=1, retain=False, mid=1, generation=1)

    assert make("camper/request/teller/count") in teller.desk
    assert make("camper/request/teller2/count") not in teller.desk
    assert make("camper/state/teller") not in teller.desk
    wanted = subscription(TOPICS, "teller")
    assert (wanted.filter, wanted.retained) == ("camper/request/teller/+", False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
fields = st.sampled_from(["id", "transaction", "reply_to", "cursor", "to", "width", "inner", "word"])
bodies = st.dictionaries(fields, json_values).map(msgspec.json.encode)


@given(
    payload=st.binary() | bodies, asked=st.none() | st.text(), verb=st.sampled_from(["count", "single", "x"])
)
def test_whatever_comes_is_answered_once(payload: bytes, asked: str | None, verb: str) -> None:
    teller = Teller()
    answer = teller.answer(payload, verb, response_topic=asked)
    assert TOPICS.is_response(answer.topic)
    assert msgspec.json.decode(answer.payload)["status"] in ("ok", "error")


def test_progress_is_told_at_once_and_the_answer_follows(teller: Teller) -> None:
    ready: list[bool] = []

    def slow(_params: Count, _place: Place) -> Listing:
        def parts() -> Iterator[Part | Progress | Wait]:
            yield Progress({"done": 1})
            while not ready:
                yield Wait.WAIT
            yield Progress({"done": 2})
            yield Part((), "finished")

        return Listing.whole(parts())

    desk = RequestServer(
        "teller",
        {"slow": action(Count, slow)},
        bus=teller.bus,
        topics=TOPICS,
        journal=teller.journal,
        wall=lambda: 0,
    )
    teller.desk = desk
    teller.send(b'{"id": "x"}', "slow", response_topic="camper/response/me", correlation=b"c")
    desk.work(1.0)
    assert desk.busy
    ready.append(True)
    desk.work(1.0)
    assert not desk.busy
    assert {(p.topic, p.correlation, p.retain) for p in teller.bus.published} == {
        ("camper/response/me", b"c", False)
    }
    assert [msgspec.json.decode(p.payload) for p in teller.bus.published] == [
        {"id": "x", "status": "progress", "data": {"done": 1}},
        {"id": "x", "status": "progress", "data": {"done": 2}},
        {"id": "x", "status": "ok", "data": "finished"},
    ]


def test_an_error_that_nobody_expected_is_answered_and_the_next_request_is_too(teller: Teller) -> None:
    refused = teller.ask(width=-1, id="x")
    assert (refused["id"], refused["error"]["code"]) == ("x", Code.INTERNAL)
    assert "an error of this software" in refused["error"]["message"]
    assert teller.journal.counters["faults"] == 1
    assert teller.ask(to=2)["status"] == "ok"


def test_an_answer_that_nobody_would_hear_is_given_up(teller: Teller) -> None:
    closed: list[str] = []

    def endless(name: str) -> Iterator[Part | Progress | Wait]:
        try:
            while True:
                yield Progress(name)
                yield Wait.WAIT
        finally:
            closed.append(name)

    # Held on to, so that they do not end by themselves.
    kept: list[Iterator[Part | Progress | Wait]] = []

    def start(name: str) -> Listing:
        kept.append(endless(name))
        return Listing.whole(kept[-1])

    def made(name: str) -> Action:
        return action(Count, lambda *_: start(name), changes=name == "changing")

    verbs = {name: made(name) for name in ("looking", "changing")}
    teller.desk = RequestServer(
        "teller", verbs, bus=teller.bus, topics=TOPICS, journal=teller.journal, wall=lambda: 1000
    )
    for verb, topic in (("looking", "one"), ("changing", "one"), ("looking", "two")):
        teller.send(b"{}", verb, response_topic=f"camper/response/{topic}")
    for _ in range(6):
        teller.desk.work(1.0)
    teller.desk.unheard("camper/response/nobody")
    assert closed == []
    teller.desk.unheard("camper/response/one")
    assert closed == ["looking"]
    assert teller.journal.counters["abandoned_requests"] == 1
    teller.desk.unheard("camper/response/two")
    assert closed == ["looking", "looking"]
    assert teller.desk.busy, "what changes something goes on"


def test_a_request_that_has_not_begun_is_kept_although_its_asker_was_away(teller: Teller) -> None:
    teller.send(b"{}", response_topic="camper/response/me")
    teller.desk.unheard("camper/response/me")
    teller.desk.work(1.0)
    assert [one.topic for one in teller.bus.published] == ["camper/response/me"]
