"""Requests that changed something stand in the access log, with who asked; others, and secrets, do not."""

import dataclasses
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from bus.access_log import AccessLog, Entry
from bus.commands import Code, Refused
from bus.events import Message
from bus.health import Journal
from bus.request_server import RequestServer
from bus.requests import Listing, Part, Parts, Place, action
from bus.topics import Topics
from tests.clock import FakeTime
from tests.fake_bus import FakeBus

DEFAULT = "camper/response/teller/"


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What is changed."""

    device: str = "shunt"
    key: str = ""
    dry_run: bool = False
    fails: Annotated[bool, "whether it is refused"] = False


def change(asked: Change, _place: Place) -> Listing:
    """Change nothing, but answer so."""

    def parts() -> Parts:
        if asked.fails:
            raise Refused(Code.DENIED, "not now")
        yield Part((), {})

    return Listing.whole(parts())


class Teller:
    """A desk with a verb that changes something and one that does not."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.bus, self.journal, clock = FakeBus(), Journal(), time.clock
        self.access = AccessLog(folder / "access.log", clock=clock, journal=self.journal)
        look = action(Change, change)
        self.desk = RequestServer(
            "teller",
            {"look": look, "change": dataclasses.replace(look, changes=True)},
            bus=self.bus,
            topics=Topics(),
            journal=self.journal,
            wall=clock.wall,
            access=self.access,
        )

    def ask(self, verb: str, payload: str, response: str | None = None) -> dict[str, object]:
        """The answer."""
        topic = Topics().request("teller", verb)
        self.desk.take(Message(topic, payload.encode(), 0, False, 0, 1, response))  # noqa: FBT003 — the field's place
        while self.desk.busy:
            self.desk.work(1.0)
        found: dict[str, object] = msgspec.json.decode(self.bus.published[-1].payload)
        return found

    def noted(self) -> list[Entry]:
        """The lines."""
        return list(self.access.entries())


@pytest.fixture
def teller(tmp_path: Path, time: FakeTime) -> Teller:
    return Teller(tmp_path, time)


def test_a_change_is_noted_with_who_asked_and_no_secret(teller: Teller) -> None:
    body = '{"device": "mppt", "key": "0123456789abcdef", "from": "anna"}'
    assert teller.ask("change", body, "camper/response/x")["status"] == "ok"
    (line,) = teller.noted()
    assert (line.what, line.value, line.sender) == ("change", 'device "mppt"', "anna")
    assert line.reply_to == "camper/response/x"
    assert "0123" not in str(line)


@pytest.mark.parametrize(
    ("verb", "payload"),
    [
        ("look", "{}"),
        ("change", '{"dry_run": true}'),
        ("change", '{"fails": true}'),
        ("change", '{"nonsense": 1}'),
        ("nothing", "{}"),
        ("log", "{}"),
    ],
)
def test_what_changes_nothing_is_not_noted(teller: Teller, verb: str, payload: str) -> None:
    teller.ask(verb, payload)
    assert teller.noted() == []


def test_a_request_that_says_nothing_of_itself_has_its_topic(teller: Teller) -> None:
    teller.ask("change", '{"reply_to": "camper/response/y"}')
    teller.ask("change", "{}")
    assert [(line.sender, line.reply_to) for line in teller.noted()] == [
        (None, f"{DEFAULT}change"),
        (None, "camper/response/y"),
    ]


@pytest.mark.parametrize("name", ["5", '"' + "x" * 65 + '"', "{}"])
def test_a_name_that_is_none_is_refused(teller: Teller, name: str) -> None:
    answer = teller.ask("change", f'{{"id": "a", "from": {name}}}')
    assert (answer["status"], answer["id"]) == ("error", "a")
    assert "from: " in str(answer["error"])


def test_the_log_is_a_verb_of_its_own(teller: Teller) -> None:
    teller.ask("change", '{"from": "anna"}')
    line = {"ts": "2026-11-21T12:00:00.000Z", "what": "change", "from": "anna"}
    assert teller.ask("log", "{}")["data"] == [line | {"reply_to": f"{DEFAULT}change"}]


def test_what_would_harm_a_terminal_is_not_kept(teller: Teller) -> None:
    teller.ask("change", '{"from": "a\\u001b[2Jb\\n"}')
    assert teller.noted()[0].sender == "a?[2Jb?"
