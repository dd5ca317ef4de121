"""A statistician that is asked: requests go in as messages, answers are kept as the broker would get them."""

from typing import Any

import msgspec

from bus.clock import Clock
from bus.commands import Code
from bus.events import Message
from bus.health import Journal
from statistician.service import Statistician
from statistician.store import Store
from tests.fake_bus import FakeBus, Published
from tests.statistician.rig import TOPICS, Notes, Rig

# An answer as a client has it: plain JSON.
Json = Any


class AskingRig(Rig):
    """A Rig with a bus for answers."""

    def start(self) -> None:
        """Begin a process on the same file."""
        self.notes = Notes()
        self.answers = FakeBus()
        self.journal = Journal()
        self.store = Store(self.path)
        clock = Clock(lambda: self.now, lambda: self.now / 1000, lambda: self.quality)
        self.service = Statistician(
            self.notes,
            TOPICS,
            self.store,
            self.settings,
            clock=clock,
            journal=self.journal,
            answers=self.answers,
        )
        self.settle()

    def send(
        self,
        verb: str,
        payload: bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Deliver a request; nothing is worked on yet."""
        self._mid += 1
        self.service.handle(
            Message(
                TOPICS.request("statistician", "x")[:-1] + verb,
                payload,
                qos=1,
                retain=retain,
                mid=self._mid,
                generation=1,
                response_topic=response_topic,
                correlation=correlation,
            )
        )

    def raw(self, verb: str, payload: bytes) -> Published:
        """The one answer to a request."""
        before = len(self.answers.published)
        self.send(verb, payload)
        self.settle()
        (answer,) = self.answers.published[before:]
        return answer

    def ask(self, verb: str, **params: Json) -> Json:
        """The answer to a request, whole."""
        return msgspec.json.decode(self.raw(verb, msgspec.json.encode(params)).payload)

    def data(self, verb: str, **params: Json) -> Json:
        """The data of an answer that must be the only page."""
        answer = self.ask(verb, **params)
        assert answer["status"] == "ok", answer
        assert "next" not in answer
        return answer["data"]

    def pages(self, verb: str, **params: Json) -> list[Json]:
        """The data of every page."""
        found = [self.ask(verb, **params)]
        while "next" in found[-1]:
            found.append(self.ask(verb, **{**params, "cursor": found[-1]["next"]}))
            assert len(found) < 1000
        assert {page["status"] for page in found} == {"ok"}, found[-1]
        return [page["data"] for page in found]

    def refusal(self, verb: str, **params: Json) -> tuple[Code, str]:
        """Code and text of an error answer."""
        answer = self.ask(verb, **params)
        assert (answer["status"], answer["data"]) == ("error", {}), answer
        return Code(answer["error"]["code"]), answer["error"]["message"]

    def dump(self) -> list[str]:
        """Everything in the database."""
        connection = self.store.engine.database.connection()  # type: ignore[no-untyped-call]  # peewee's stubs
        return list(connection.iterdump())
