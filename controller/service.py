"""The controller's service: commands in, pins switched, answers and states out."""

import logging

from bus import commands
from bus.about import About, Entity
from bus.answers import Answers
from bus.clock import Clock
from bus.commands import Code, Command, Refused
from bus.events import Connected, Message
from bus.health import Journal
from bus.messages import OFF, ON, Result, Value, to_iso
from bus.publisher import Bus, Publisher
from bus.topics import BadTopicError, Topics, Verb
from config.model import Relay, Settings
from config.rules import RELAY_DEVICE
from controller import policy
from controller.bank import Bank
from controller.pins import PinError

log = logging.getLogger(__name__)

_TICK_S = 0.1
_SETTLE_S = 1.0


class Controller:
    """Obeys commands for the relays of one device; an answer to bus.process.Service."""

    def __init__(
        self,
        settings: Settings,
        bank: Bank,
        *,
        bus: Bus,
        publisher: Publisher,
        topics: Topics,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._bank = bank
        self._publisher = publisher
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._answers = Answers(bus, topics, journal)
        self._told: dict[str, Value] | None = None
        self._told_at = float("-inf")
        self._settled = float("-inf")
        if settings.relay:
            publisher.about(RELAY_DEVICE, self._about())
        journal.fact("pins", bank.backend)
        bank.start(clock.monotonic())
        self._tell_state(clock.monotonic())

    def handle(self, event: object) -> None:
        """Take an event from the broker."""
        match event:
            case Message():
                self._message(event)
            case Connected():
                self._publisher.connected(self._clock.monotonic())

    def tick(self, now: float) -> float:
        """Turn off what has been on long enough; tell what changed."""
        for relay in self._bank.elapse(now):
            log.info("%s: its time is up, off", relay)
        self._tell_state(now)
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._bank.retry(now)
            self._publisher.settle(now)
        return _TICK_S

    def close(self) -> None:
        """Leave every relay as its exit policy says."""
        self._bank.stop()
        self._tell_state(self._clock.monotonic())
        self._publisher.close()

    def waiting(self) -> int:
        """Readings that wait for the statistician."""
        return self._publisher.waiting

    def _message(self, message: Message) -> None:
        try:
            topic = self._topics.parse(message.topic)
        except BadTopicError:
            self._journal.count("messages_refused")
            return
        if topic.verb is Verb.WATERMARK:
            self._publisher.watermark(message.topic, message.payload, self._clock.monotonic())
        elif topic.verb is Verb.SET and topic.name == RELAY_DEVICE and topic.part and message.payload:
            self._command(topic.part, message)

    def _command(self, relay: str, message: Message) -> None:
        self._journal.count("commands")
        command: Command | None = None
        try:
            command = commands.parse(message.payload)
            if self._answers.repeat(RELAY_DEVICE, relay, command.id, message):
                return
            result = self._obey(relay, command, retained=message.retain)
        except Refused as refusal:
            log.warning("%s: %s", relay, refusal)
            known = command.id if command else refusal.id
            value = command.value if command else None
            result = self._result(relay, known, value, code=refusal.code, text=str(refusal))
        # The state first: whoever sees the answer may read it.
        self._tell_state(self._clock.monotonic())
        self._answers.send(RELAY_DEVICE, relay, message, result)

    def _obey(self, relay: str, command: Command, *, retained: bool) -> Result:
        commands.check_fresh(command, retained=retained, now_ms=self._clock.wall())
        position = self._bank.position(relay)
        wanted = commands.as_switch(command.value)
        now = self._clock.monotonic()
        goal = policy.obey(self._settings.relay[relay], position, wanted, command.for_s, now)
        try:
            self._bank.take(relay, goal)
        except PinError as error:
            raise Refused(Code.HARDWARE, str(error)) from error
        log.info("%s: %s", relay, ON if goal.on else OFF)
        return self._result(relay, command.id, command.value, code=None, text="done")

    def _result(
        self, relay: str, command_id: str | None, value: Value, *, code: Code | None, text: str
    ) -> Result:
        now_ms = self._clock.wall()
        off_at = self._bank.off_at(relay)
        until = None if off_at is None else now_ms + int((off_at - self._clock.monotonic()) * 1000)
        return Result(
            id=command_id,
            status="ok" if code is None else "error",
            code=code,
            message=text,
            value=None if value is None else str(value),
            actual=self._bank.actual(relay),
            until=None if until is None else to_iso(until),
            ts=to_iso(now_ms),
        )

    def _tell_state(self, now: float) -> None:
        values: dict[str, Value] = {relay: self._bank.actual(relay) for relay in self._settings.relay}
        if values == self._told and now - self._told_at < self._settings.publish.heartbeat:
            return
        if not values:
            return
        self._told, self._told_at = values, now
        self._publisher.reading(RELAY_DEVICE, values, ts=self._clock.wall())
        self._publisher.availability(RELAY_DEVICE, online=any(value is not None for value in values.values()))

    def _about(self) -> About:
        return About(
            name=self._settings.controller.name,
            manufacturer="Boondock",
            backend=self._bank.backend,
            entities={name: _entity(name, relay) for name, relay in self._settings.relay.items()},
        )


def _entity(name: str, relay: Relay) -> Entity:
    return Entity(name=relay.name or name.replace("_", " ").capitalize(), command=True, boolean=True)
