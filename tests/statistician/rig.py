"""A statistician on a real database with its own clock and a broker that takes notes; one that is asked."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bus import about as about_message
from bus.about import About, Entity
from bus.clock import Clock
from bus.commands import Code
from bus.events import Connected, Message, Sent
from bus.health import Journal
from bus.messages import ClockQuality, Reading, Statistics, Value, encode_reading, of_device
from bus.topics import Topics
from config.model import Statistician as Settings
from statistician.arithmetic import COMPILE_DELAY, MINUTES_5, period_of
from statistician.fixes import make
from statistician.fixes.params import FixParams, Summary
from statistician.records import DeadLetter, StoredRow, Table
from statistician.service import Statistician
from statistician.store import Store
from tests.fake_bus import FakeBus, Published

START = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 1000
SECOND = 1000
MINUTE = 60_000
TOPICS = Topics()


class Notes:
    """Stands for the connection; `log` tells in which order things were done."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, bytes]] = []
        self.acknowledged: list[int] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Note a publication."""
        assert qos == 1
        assert retain
        assert correlation is None
        self.log.append(("publish", topic, payload))
        return Sent.YES

    def acknowledge(self, *messages: Message) -> None:
        """Note an acknowledgement."""
        for message in messages:
            self.acknowledged.append(message.mid)
            self.log.append(("acknowledge", message.topic, message.payload))

    def forget(self) -> None:
        """Begin anew."""
        self.log.clear()
        self.acknowledged.clear()

    def watermarks(self, stream: str) -> list[int]:
        """The watermarks published of a stream."""
        return [
            int(p) for kind, t, p in self.log if kind == "publish" and t == TOPICS.watermark(stream) and p
        ]

    def statistics(self, device: str, period: str) -> list[Statistics]:
        """The aggregates published of a device."""
        topic = TOPICS.statistics(device, period)
        return [msgspec.json.decode(p, type=Statistics) for kind, t, p in self.log if t == topic]


class Rig:
    """One process's life: start, messages, time, close; the database file outlives it."""

    def __init__(
        self,
        path: Path,
        *,
        now: int = START,
        settings: Settings | None = None,
        quality: ClockQuality = "ok",
        house: Collection[str] = (),
    ) -> None:
        self.path = path
        self.house = house
        # Devices whose about was asked for.
        self.asked: list[str] = []
        self.now = now
        self.quality: ClockQuality = quality
        # How far the wall clock was set ahead, ms: the monotonic clock knows nothing of that.
        self.stepped = 0
        # Whether a `Connected` says what was missed.
        self.broker_tells = False
        # Where the clock's file would be.
        self.anchor: Path | None = None
        # Which start of the machine it is.
        self.boot = "first"
        self.settings = settings or Settings()
        self._services: dict[str, str] = {}
        self._described: dict[str, dict[str, Entity]] = {}
        self._mid = 0
        self._newest: dict[str, int] = {}
        self.start()

    @property
    def monotonic(self) -> float:
        """Seconds, as no clock that is set moves them."""
        return (self.now - self.stepped) / 1000

    def set_clock(self, wall: int) -> None:
        """The wall clock is set to another time."""
        self.stepped += wall - self.now
        self.now = wall

    def start(self) -> None:
        """Begin a process on the same file."""
        self.notes = Notes()
        self.journal = Journal()
        self.store = Store(self.path)
        clock = Clock(lambda: self.now, lambda: self.monotonic, lambda: self.quality, boot=self.boot)
        self.service = Statistician(
            self.notes,
            TOPICS,
            self.store,
            self.settings,
            clock=clock,
            journal=self.journal,
            broker_tells=self.broker_tells,
            house=self.house,
            ask=self.asked.append,
            anchor=self.anchor,
        )
        self.settle()

    def close(self) -> None:
        """End the process as SIGTERM does."""
        self.service.close()

    def restart(self) -> None:
        """Close and start."""
        self.close()
        self.start()

    def fix(self, asked: FixParams) -> Summary:
        """Make the fix that its parameters name."""
        return make(self.service.context, asked)

    def crash(self) -> None:
        """End without a commit, and start."""
        self.store.close()
        self.start()

    def message(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Deliver a message; returns its mid."""
        self._mid += 1
        event = Message(topic, payload, qos=1, retain=retain, mid=self._mid, generation=1)
        self.service.handle(event)
        return self._mid

    def connect(self) -> None:
        """The broker accepted us."""
        self.service.handle(Connected(1))

    def about(self, device: str, **state_classes: str | None) -> None:
        """Deliver a device's about: entities and their state classes."""
        entities = {key: Entity(name=key, state_class=kind) for key, kind in state_classes.items()}
        self.describe(device, entities)

    def describe(self, device: str, entities: dict[str, Entity]) -> None:
        """Deliver a device's about."""
        self._described[device] = entities
        about = About(name=device, service=self._services.get(device), entities=entities)
        self.message(TOPICS.about(device), about_message.encode(about))

    def own(self, device: str = "van", service: str = "ble") -> None:
        """Let a device's about name the service that owns it: what is numbered in its streams is believed."""
        self._services[device] = service
        self.describe(device, self._described.get(device, {}))

    def reading(
        self,
        device: str,
        values: Mapping[str, Value],
        *,
        ts: int | None = None,
        stream: str | None = None,
        seq: int | None = None,
        after: int | None = None,
        last_reset: dict[str, int] | None = None,
        late: bool | None = None,
        again: bool = False,
    ) -> int:
        """Deliver a reading, taken now unless said otherwise; returns its mid.

        One that is older than the device's newest says that it is late, unless `late` is False. One that
        comes `again` is backlog.
        """
        if late is None:
            late = stream is None and ts is not None and ts < self._newest.get(device, 0)
        if not late:
            self._newest[device] = self.now if ts is None else ts
        reading = Reading(
            ts=self.now if ts is None else ts,
            values=dict(values),
            stream=stream,
            seq=seq,
            after=after,
            last_reset=last_reset or {},
            late=late,
        )
        payload = encode_reading(reading)
        if again:
            assert stream is not None
            topic = TOPICS.backlog(stream.partition("-")[0], stream)
            return self.message(topic, of_device(device, payload))
        return self.message(TOPICS.state(device), payload)

    def settle(self) -> None:
        """Tick until nothing is due at this very moment."""
        for _ in range(20_000):
            if self.service.tick(self.monotonic) > 0:
                return
        raise AssertionError("the service never rests")

    def run_until(self, moment: int) -> None:
        """Let time pass, with a look at every compile moment and shortly after."""
        while self.now < moment:
            boundary = period_of(self.now - COMPILE_DELAY) + MINUTES_5 + COMPILE_DELAY
            after_it = boundary - MINUTES_5 + 7 * SECOND
            self.now = min(moment, after_it if after_it > self.now else boundary)
            self.settle()

    def commit(self) -> None:
        """Let the commit interval and the pause for late readings pass."""
        self.now += 6 * SECOND
        self.settle()

    def dead_letters(self) -> list[DeadLetter]:
        """The messages that could not be used, oldest first."""
        return [letter for _, letter in reversed(self.store.letters(2**53, 10_000))]

    def rows(self, key: str, table: Table = Table.FIVE_MINUTES, device: str = "van") -> list[StoredRow]:
        """An entity's rows as they are on disk."""
        found = [e for e in self.store.entities() if (e.device, e.entity) == (device, key)]
        return self.store.statistics.between(table, found[0].id, 0, 2**60) if found else []


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
        clock = Clock(lambda: self.now, lambda: self.monotonic, lambda: self.quality, boot=self.boot)
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
