"""The controller's service: commands in, pins switched, answers and states out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from bus import about as about_message
from bus import commands
from bus.about import About, Entity
from bus.answers import Answers
from bus.clock import Clock
from bus.commands import Code, Command, Refused
from bus.events import Connected, Disconnected, Message, Sent, Unpublished
from bus.health import Journal
from bus.messages import OFF, OFFLINE, ON, BadMessageError, Result, Value, decode_reading, to_iso
from bus.publisher import Publisher
from bus.topics import BadTopicError, Topics, Verb
from config.model import RELAY_DEVICE, Relay, Settings
from config.relay_rules import GUARD
from controller import interlocks, policy
from controller.bank import Bank
from controller.feedbacks import Feedbacks
from controller.guarding import Guarding
from controller.pins import PinError
from controller.policy import Position
from controller.services import MOST_DEVICES, Services
from controller.standstill import Standstill
from controller.states import States
from controller.supervisor import Supervisor

log = logging.getLogger(__name__)

_TICK_S = 0.1
# While a command waits for its feedback.
_SHORT_TICK_S = 0.01
_SETTLE_S = 1.0
_GONE = "it does not run or it hangs, so its devices are offline: look at its log and restart it"
_TOO_MANY = f"there are more than {MOST_DEVICES}: empty the about topic of each that is gone"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command that was obeyed and waits until the load follows."""

    message: Message
    command: Command
    on: bool
    until: float


class Controller:
    """Obeys commands for the relays of one device; an answer to bus.process.Service."""

    def __init__(
        self,
        settings: Settings,
        bank: Bank,
        *,
        answers: Answers,
        publisher: Publisher,
        say_once: Callable[[str, bytes], Sent],
        topics: Topics,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._bank = bank
        self._publisher = publisher
        self._say_once = say_once
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._answers = answers
        self._told: dict[str, Value] | None = None
        self._told_at = float("-inf")
        self._settled = float("-inf")
        self._waiting: dict[str, _Waiting] = {}
        self._standstill = Standstill(clock.monotonic())
        self._services = Services(frozenset({RELAY_DEVICE}))
        self._states = States(interlocks.devices(settings))
        guarding = None
        if settings.battery_guard is not None:
            guarding = Guarding(settings.battery_guard, bank, self._states, clock=clock, journal=journal)
        self._feedbacks = Feedbacks(settings.relay, bank, self._states, clock=clock, journal=journal)
        self._supervisor = Supervisor(
            settings.relay, bank, self._states, guarding, clock=clock, journal=journal
        )
        self._start(clock.monotonic())

    def _start(self, now: float) -> None:
        about = self._about()
        if self._settings.relay:
            self._publisher.about(RELAY_DEVICE, about)
        self._publisher.tidy({RELAY_DEVICE: about.entities} if self._settings.relay else {})
        self._journal.fact("pins", self._bank.backend)
        self._bank.start(now, self._supervisor.withheld)
        self._feedbacks.look(now)
        self._tell_state(now)

    def handle(self, event: object) -> None:
        """Take an event from the broker."""
        match event:
            case Message():
                self._message(event)
            case Connected():
                self._supervisor.connected()
                self._publisher.connected(self._clock.monotonic())
            case Unpublished():
                self._publisher.unpublished(event)
            case Disconnected():
                self._services.forget()
                self._journal.solved("devices")
                self._supervisor.disconnected(self._clock.monotonic())

    def tick(self, now: float) -> float:
        """Turn off what has been on long enough; tell what changed."""
        self._standstill.look(now)
        for relay in self._bank.elapse(now):
            log.info("%s: its time is up, off", relay)
        self._supervisor.enforce(now)
        self._feedbacks.look(now)
        for relay in list(self._waiting):
            self._look_after(relay, now)
        self._tell_state(now)
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._bank.retry(now)
            self._publisher.settle(now)
            self._tell_offline(now)
        return _SHORT_TICK_S if self._waiting else _TICK_S

    def close(self) -> None:
        """Leave every relay as its exit policy says."""
        for relay in list(self._waiting):
            self._give_up(relay, Code.INTERNAL, "the controller ends before the feedback came")
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
            # Home Assistant's, or nobody's.
            self._publisher.take(message.topic, message.payload, self._clock.monotonic())
            return
        if topic.verb is Verb.WATERMARK:
            self._publisher.take(message.topic, message.payload, self._clock.monotonic())
        elif topic.verb is Verb.STATE and topic.part is None and topic.name in self._states.devices:
            self._hear(topic.name, message)
        elif topic.verb is Verb.ABOUT:
            self._describe(topic.name, message.payload)
        elif topic.verb is Verb.SERVICE:
            self._hear_service(topic.name, message.payload)
        elif topic.verb is Verb.SET and topic.name == RELAY_DEVICE and topic.part and message.payload:
            self._command(topic.part, message)

    def _hear(self, device: str, message: Message) -> None:
        if not message.payload:
            return
        try:
            reading = decode_reading(message.payload)
        except BadMessageError as error:
            log.warning("%s: %s", message.topic, error)
            self._journal.count("messages_refused")
            return
        now = self._clock.monotonic()
        wall_ms = self._clock.wall() if self._clock.quality() == "ok" else None
        self._states.take(device, reading, generation=message.generation, now=now, wall_ms=wall_ms)
        self._supervisor.hear(now)

    def _describe(self, device: str, payload: bytes) -> None:
        """Note which service owns a device."""
        try:
            service = about_message.decode(payload).service if payload else None
        except (ValueError, RecursionError):
            # The statistician says what is wrong with it.
            self._journal.count("messages_refused")
            return
        if not self._services.describe(device, service):
            self._journal.problem("devices", _TOO_MANY, self._clock.wall())

    def _hear_service(self, service: str, payload: bytes) -> None:
        if payload != OFFLINE:
            self._journal.solved(f"service.{service}")
        # A topic that was emptied says nothing against it.
        self._services.hear(service, self._clock.monotonic(), online=payload != OFFLINE)

    def _tell_offline(self, now: float) -> None:
        """Say of the devices of services that are gone that they are offline."""
        for device, service in self._services.due(now).items():
            if self._say_once(self._topics.availability(device), OFFLINE) is Sent.YES:
                self._services.told(device)
                if self._journal.problem(f"service.{service}", _GONE, self._clock.wall()):
                    log.warning("%s is offline, and so are its devices", service)

    def _command(self, relay: str, message: Message) -> None:
        self._journal.count("commands")
        command: Command | None = None
        try:
            command = commands.parse(message.payload)
            if self._answers.repeat(RELAY_DEVICE, relay, command.id, message):
                return
            waiting = self._obey(relay, command, message)
        except Refused as refusal:
            known = command.id if command else refusal.id
            value = command.value if command else None
            self._refuse(relay, message, known, value, refusal)
            return
        self._waiting[relay] = waiting
        now = self._clock.monotonic()
        # The time to follow begins here.
        self._feedbacks.look(now)
        # It has moved, whatever its load does.
        self._tell_state(now)
        # Whoever waits for the state need not wait for the log.
        log.info("%s: %s", relay, ON if waiting.on else OFF)
        self._look_after(relay, now)

    def _refuse(
        self, relay: str, message: Message, known: str | None, value: Value, refusal: Refused
    ) -> None:
        log.warning("%s: %s", relay, refusal)
        self._answer(relay, message, self._result(relay, known, value, code=refusal.code, text=str(refusal)))

    def _answer(self, relay: str, message: Message, result: Result) -> None:
        # The state first: whoever sees the answer may read it.
        self._tell_state(self._clock.monotonic())
        self._answers.send(RELAY_DEVICE, relay, message, result)

    def _obey(self, relay: str, command: Command, message: Message) -> _Waiting:
        commands.check_fresh(command, retained=message.retain, now_ms=self._clock.wall())
        position = self._bank.position(relay)
        wanted = commands.as_switch(command.value)
        now = self._clock.monotonic()
        goal = policy.obey(self._settings.relay[relay], position, wanted, command.for_s, now)
        if goal.on:
            if self._standstill.look(now):
                raise Refused(Code.EXPIRED, "it may have waited while the controller stood still: send again")
            self._supervisor.check(relay, now)
        self._give_up(relay, Code.BUSY, "a newer command came before the feedback")
        # Before the pin: whoever is killed in between must not switch twice.
        self._answers.expect(RELAY_DEVICE, relay, command.id)
        try:
            self._bank.take(relay, goal)
        except PinError as error:
            raise Refused(Code.HARDWARE, str(error)) from error
        self._supervisor.commanded(relay, on=goal.on)
        within = self._feedbacks.within(relay) if relay in self._feedbacks else 0.0
        return _Waiting(message, command, goal.on, now + within)

    def _look_after(self, relay: str, now: float) -> None:
        """Answer a command once its load has followed, or has had its time."""
        waiting = self._waiting[relay]
        if self._bank.is_on(relay) is not waiting.on:
            self._give_up(relay, Code.INTERLOCK, "it was turned off again before the feedback came")
        elif relay not in self._feedbacks or self._feedbacks.said(relay, now) is waiting.on:
            del self._waiting[relay]
            command = waiting.command
            result = self._result(relay, command.id, command.value, code=None, text="done")
            self._answer(relay, waiting.message, result)
        elif now >= waiting.until:
            why = self._feedbacks.missing(relay, on=waiting.on, now=now)
            if waiting.on:
                self._bank.try_to_take(relay, Position(on=False))
                self._feedbacks.failed(relay, now)
            self._give_up(relay, Code.HARDWARE, why)

    def _give_up(self, relay: str, code: Code, text: str) -> None:
        """Answer the command that waits, if any, that it failed."""
        waiting = self._waiting.pop(relay, None)
        if waiting is not None:
            command = waiting.command
            self._refuse(relay, waiting.message, command.id, command.value, Refused(code, text))

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
        relays: dict[str, Value] = {relay: self._bank.actual(relay) for relay in self._settings.relay}
        values = relays | self._supervisor.values() | self._feedbacks.values(now)
        if values == self._told and now - self._told_at < self._settings.publish.heartbeat:
            return
        if not values:
            return
        self._told, self._told_at = values, now
        self._publisher.reading(RELAY_DEVICE, values, ts=self._clock.wall())
        self._publisher.availability(RELAY_DEVICE, online=any(v is not None for v in relays.values()))

    def _about(self) -> About:
        entities = {name: _entity(name, relay) for name, relay in self._settings.relay.items()}
        if self._settings.battery_guard is not None:
            entities[GUARD] = Entity(name="Battery guard", device_class="problem", boolean=True)
        return About(
            name=self._settings.controller.name,
            manufacturer="Boondock",
            backend=self._bank.backend,
            entities=entities | self._feedbacks.entities(),
        )


def _entity(name: str, relay: Relay) -> Entity:
    return Entity(name=relay.name or name.replace("_", " ").capitalize(), command=True, boolean=True)
