"""The controller's service: commands in, pins switched, answers and states out."""

import logging
from dataclasses import dataclass
from typing import Protocol

from bus import about as about_message
from bus.about import About, Entity
from bus.access_log import AccessLog
from bus.command_server import Answers, CommandServer, Order, note_obeyed, readable
from bus.commands import Code, Command, Refused, Switch, Wanted
from bus.events import Connected, Disconnected, Message, Sent, Unpublished
from bus.health import VERSION, why_aside
from bus.messages import OFFLINE, BadMessageError, Value, decode_reading, decode_result
from bus.pins import PinError
from bus.publisher import Publisher
from bus.request_server import RequestServer
from bus.topics import BadTopicError, Topic, Topics, Verb
from config.model import GUARD, RELAY_DEVICE, Settings
from controller import policy
from controller.files import BrokerRestart
from controller.others import (
    MOST_DEVICES,
    MOST_OUTPUTS,
    BrokerWatch,
    PendingCommands,
    Services,
    StallDetector,
    States,
)
from controller.policy import Position
from controller.relays import RelayOutputs
from controller.supervisor import Feedbacks, Guarding, Supervisor

log = logging.getLogger(__name__)

_TICK_S = 0.1
# While a command waits for its feedback.
_SHORT_TICK_S = 0.01
_SETTLE_S = 1.0
# So long health tells of a command to a topic that is none.
_MALFORMED_S = 600.0
# Requests may keep relays waiting no longer than this, seconds.
_SLICE_S = 0.01
_GONE = "it does not run or it hangs, so its devices are offline: look at its log and restart it"
_TOO_MANY = (
    f"there are more than {MOST_DEVICES}, or more than {MOST_OUTPUTS} outputs: what is more is not known"
    " here; empty the about topic of each device that is gone"
)


class Link(Protocol):
    """What the controller asks of its connection besides publishing."""

    @property
    def heard(self) -> int:
        """How often the broker has said something."""

    def ping(self) -> None:
        """Ask the broker for a sign of life."""

    def say_once(self, topic: str, payload: bytes) -> Sent:
        """Publish, retained, on a topic of another owner."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command that was obeyed and waits until the load follows."""

    order: Order
    on: bool
    until: float


class Controller:
    """Obeys commands for the relays of one device; an answer to bus.process.Service.

    Commands for devices of others it answers where nobody else does. It is a bus.command_server.Outputs.
    """

    def __init__(
        self,
        settings: Settings,
        outputs: RelayOutputs,
        *,
        answers: Answers,
        publisher: Publisher,
        link: Link,
        access: AccessLog,
        requests: RequestServer,
        restart: BrokerRestart,
        topics: Topics,
    ) -> None:
        self._settings = settings
        self._outputs = outputs
        self._publisher = publisher
        self._link = link
        self._access = access
        self._requests = requests
        self._restart = restart
        self._topics = topics
        self._clock, self._journal = outputs.clock, outputs.journal
        self._answers = answers
        self._commands = CommandServer(answers, self, clock=self._clock, journal=self._journal, access=access)
        self._entities = {
            name: Entity(name=relay.name or name.replace("_", " ").capitalize(), command=True, boolean=True)
            for name, relay in settings.relay.items()
        }
        self._told: dict[str, Value] | None = None
        self._told_at = float("-inf")
        self._settled = float("-inf")
        self._malformed_at = float("-inf")
        self._waiting: dict[str, _Waiting] = {}
        now = self._clock.monotonic()
        self._stall = StallDetector(now)
        self._services = Services(frozenset({RELAY_DEVICE}))
        self._pending: PendingCommands[Order] = PendingCommands(self._services)
        lossy = [r.broker_loss_after for r in settings.relay.values() if r.broker_loss == "off"]
        self._broker = BrokerWatch(now, shortest=min(lossy, default=None))
        self._states = States(policy.devices(settings))
        guarding = None
        if settings.battery_guard is not None:
            guarding = Guarding(
                settings.battery_guard,
                outputs,
                self._states,
                heartbeat=settings.publish.heartbeat,
            )
        self._feedbacks = Feedbacks(settings.relay, outputs, self._states)
        self._supervisor = Supervisor(settings.relay, outputs, self._states, guarding, self._broker)
        self._start(now)

    def _start(self, now: float) -> None:
        about = self._about()
        if self._settings.relay:
            self._publisher.about(RELAY_DEVICE, about)
        self._publisher.tidy({RELAY_DEVICE: about.entities} if self._settings.relay else {})
        self._outputs.start(now, self._supervisor.withheld)
        self._feedbacks.look(now)
        self.say_state()

    def handle(self, event: object) -> None:
        """Take an event from the broker."""
        match event:
            case Message():
                self._message(event)
            case Connected():
                self._broker.connected(self._clock.monotonic())
                self._restart.solved()
                self._publisher.connected(self._clock.monotonic())
            case Unpublished():
                self._publisher.unpublished(event)
            case Disconnected():
                self._services.forget()
                self._pending.forget()
                self._journal.solved("devices")
                self._broker.disconnected(self._clock.monotonic())

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a command or a request that failed; of all else nothing is lost."""
        if message in self._requests:
            self._requests.give_up(message, why_aside(error))
        elif self._topics.is_below(Verb.SET, message.topic):
            device, entity = self._topics.levels_of(message.topic)[:2]
            if device == RELAY_DEVICE:
                self._commands.give_up(device, entity, message, error)
            else:
                self._overhear(Order(device, entity, Command(""), message))

    def tick(self, now: float) -> float:
        """Turn off what has been on long enough; tell what changed."""
        self._stall.look(now)
        if self._broker.look(now, self._link.heard):
            self._link.ping()
        for relay in self._outputs.elapse(now):
            log.info("%s: its time is up, off", relay)
        self._supervisor.enforce(now)
        if self._requests.busy:
            self._requests.work(_SLICE_S)
        self._feedbacks.look(now)
        for relay in list(self._waiting):
            self._look_after(relay, now)
        self.say_state()
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._outputs.retry(now)
            self._publisher.settle(now)
            self._tell_offline(now)
            self._look_around(now)
        return _SHORT_TICK_S if self._waiting else _TICK_S

    def close(self) -> None:
        """Leave every relay as its exit policy says."""
        for relay in list(self._waiting):
            self._give_up(relay, Code.INTERNAL, "the controller ends before the feedback came")
        self._outputs.stop()
        self.say_state()
        self._access.close()
        self._publisher.close()

    def waiting(self) -> int:
        """Count the readings that wait for the statistician."""
        return self._publisher.waiting

    def _look_around(self, now: float) -> None:
        """Do once a second what need not be done at once."""
        for order, refusal in self._pending.due(now):
            self._commands.refuse(order, refusal)
        if (silent := self._broker.hangs(now)) is not None:
            self._restart.ask(silent)
        if now - self._malformed_at > _MALFORMED_S:
            self._journal.solved("commands")
        self._access.tick(now)

    def _message(self, message: Message) -> None:
        if message in self._requests:
            self._requests.take(message)
            return
        try:
            topic = self._topics.parse(message.topic)
        except BadTopicError as error:
            if self._topics.is_below(Verb.SET, message.topic):
                self._malformed(message, error)
                return
            # Home Assistant's, or nobody's.
            self._publisher.take(message.topic, message.payload, self._clock.monotonic())
            return
        if topic.part is not None:
            self._entity_message(topic, topic.part, message)
            return
        if topic.verb in (Verb.WATERMARK, Verb.SERVICE):
            now = self._clock.monotonic()
            self._publisher.take(message.topic, message.payload, now, kept=message.retain)
        if topic.verb is Verb.STATE and topic.name in self._states.devices:
            self._hear(topic.name, message)
        elif topic.verb is Verb.ABOUT:
            self._describe(topic.name, message.payload)
        elif topic.verb is Verb.SERVICE:
            self._hear_service(topic.name, message.payload)
        elif topic.verb is Verb.AVAILABILITY:
            self._services.available(topic.name, online=message.payload != OFFLINE)

    def _entity_message(self, topic: Topic, entity: str, message: Message) -> None:
        ours = topic.name == RELAY_DEVICE
        if topic.verb is Verb.SET and ours:
            self._commands.take(RELAY_DEVICE, entity, message)
        elif topic.verb is Verb.SET:
            self._overhear(Order(topic.name, entity, readable(message), message))
        elif topic.verb is Verb.RESULT and not ours:
            self._overhear_result(topic.name, entity, message.payload)

    def _malformed(self, message: Message, error: BadTopicError) -> None:
        """Answer a command whose topic names no entity, where an answer can go; count and tell it."""
        if not message.payload and message.retain:
            return
        self._journal.count("refused_malformed_commands")
        self._malformed_at = self._clock.monotonic()
        text = f"{error}; a command goes to {self._topics.base}/{Verb.SET}/<device>/<entity>"
        self._journal.problem("commands", text, self._clock.wall())
        command = readable(message)
        device, entity = self._topics.levels_of(message.topic)[:2]
        self._commands.refuse(Order(device, entity, command, message), Refused(Code.INVALID, text))

    def _overhear(self, order: Order) -> None:
        """Note a command for a device of another owner, until that answers."""
        if not order.message.payload and order.message.retain:
            return
        now = self._clock.monotonic()
        try:
            self._pending.take(order.device, order.entity, order.command.id, order, now)
        except Refused as refusal:
            self._commands.refuse(order, refusal)

    def _overhear_result(self, device: str, entity: str, payload: bytes) -> None:
        """Take the answer of another owner; what it did goes into the access log."""
        try:
            result = decode_result(payload)
        except BadMessageError as error:
            log.warning("%s.%s: its answer cannot be read: %s", device, entity, error)
            self._journal.count("refused_messages")
            result = None
        order = self._pending.answered(device, entity, None if result is None else result.id)
        if order is not None and result is not None and result.status == "ok":
            note_obeyed(self._access, order, result.actual)

    def _hear(self, device: str, message: Message) -> None:
        if not message.payload:
            return
        try:
            reading = decode_reading(message.payload)
        except BadMessageError as error:
            log.warning("%s: %s", message.topic, error)
            self._journal.count("refused_messages")
            return
        now = self._clock.monotonic()
        wall_ms = self._clock.wall() if self._clock.quality() == "ok" else None
        self._states.take(device, reading, kept=message.retain, now=now, wall_ms=wall_ms)
        self._supervisor.hear(now)

    def _describe(self, device: str, payload: bytes) -> None:
        """Note which service owns a device, and what of it takes commands."""
        if not payload:
            self._services.remove(device)
            return
        try:
            about = about_message.decode(payload)
        except (ValueError, RecursionError):
            # The statistician says what is wrong with it.
            self._journal.count("refused_messages")
            return
        outputs = [name for name, entity in about.entities.items() if entity.command]
        if not self._services.describe(device, about.service, outputs):
            self._journal.problem("devices", _TOO_MANY, self._clock.wall())

    def _hear_service(self, service: str, payload: bytes) -> None:
        if payload != OFFLINE:
            self._journal.solved(f"service.{service}")
        # A topic that was emptied says nothing against it.
        self._services.hear(service, self._clock.monotonic(), online=payload != OFFLINE)

    def _tell_offline(self, now: float) -> None:
        """Say of the devices of services that are gone that they are offline."""
        for device, service in self._services.due(now).items():
            if self._link.say_once(self._topics.availability(device), OFFLINE) is Sent.YES:
                self._services.told(device)
                if self._journal.problem(f"service.{service}", _GONE, self._clock.wall()):
                    log.warning("%s is offline, and so are its devices", service)

    def entity(self, device: str, entity: str) -> Entity:  # noqa: ARG002 — there is one device only
        """Return what about says of a relay. Raises Refused."""
        self._outputs.position(entity)
        return self._entities[entity]

    def actual(self, device: str, entity: str) -> Value:
        """Return what the state just said of a relay, read back from its pin; None of what is not ours."""
        ours = device == RELAY_DEVICE and entity in self._settings.relay
        return (self._told or {}).get(entity) if ours else None

    def off_at(self, device: str, entity: str) -> float | None:
        """Return when a relay turns itself off, monotonic seconds."""
        return self._outputs.off_at(entity) if device == RELAY_DEVICE else None

    def obey(self, order: Order, wanted: Wanted) -> None:
        """Switch a relay; the answer follows once its load has. Raises Refused."""
        relay = order.entity
        now = self._clock.monotonic()
        assert isinstance(wanted, Switch)  # noqa: S101 — a relay is boolean
        position = self._outputs.position(relay)
        goal = policy.obey(self._settings.relay[relay], position, wanted, order.command.for_s, now)
        if goal.on:
            if self._stall.look(now):
                raise Refused(Code.EXPIRED, "it may have waited while the controller stood still: send again")
            self._supervisor.check(relay, now)
        self._give_up(relay, Code.BUSY, "a newer command came before the feedback")
        # Before the pin: whoever is killed in between must not switch twice.
        self._commands.begin(order)
        try:
            self._outputs.take(relay, goal)
        except PinError as error:
            raise Refused(Code.HARDWARE, str(error)) from error
        self._supervisor.commanded(relay, on=goal.on)
        within = 0.0
        if relay in self._feedbacks:
            within = self._feedbacks.within(relay)
            # The time to follow begins here; it has moved, whatever its load does.
            self._feedbacks.look(now)
            self.say_state()
        self._waiting[relay] = _Waiting(order, goal.on, now + within)
        self._look_after(relay, now)

    def _look_after(self, relay: str, now: float) -> None:
        """Answer a command once its load has followed, or has had its time."""
        waiting = self._waiting[relay]
        if self._outputs.is_on(relay) is not waiting.on:
            self._give_up(relay, Code.INTERLOCK, "it was turned off again before the feedback came")
        elif relay not in self._feedbacks or self._feedbacks.said(relay, now) is waiting.on:
            del self._waiting[relay]
            self._commands.done(waiting.order)
        elif now >= waiting.until:
            why = self._feedbacks.missing(relay, on=waiting.on, now=now)
            if waiting.on:
                self._outputs.try_to_take(relay, Position(on=False))
                self._feedbacks.failed(relay, now)
            self._give_up(relay, Code.HARDWARE, why)

    def _give_up(self, relay: str, code: Code, text: str) -> None:
        """Answer the command that waits, if any, that it failed."""
        waiting = self._waiting.pop(relay, None)
        if waiting is not None:
            self._commands.refuse(waiting.order, Refused(code, text))

    def say_state(self) -> None:
        """Publish the state of the relays if it changed, or was said long ago."""
        now = self._clock.monotonic()
        relays: dict[str, Value] = {relay: self._outputs.actual(relay) for relay in self._settings.relay}
        values = relays | self._supervisor.values() | self._feedbacks.values(now)
        if values == self._told and now - self._told_at < self._settings.publish.heartbeat:
            return
        if not values:
            return
        self._told, self._told_at = values, now
        self._publisher.reading(RELAY_DEVICE, values, ts=self._clock.wall())
        self._publisher.availability(RELAY_DEVICE, online=set(relays.values()) != {None})

    def _about(self) -> About:
        entities = dict(self._entities)
        if self._settings.battery_guard is not None:
            entities[GUARD] = Entity(name="Battery guard", device_class="problem", boolean=True)
        return About(
            name=self._settings.controller.name,
            manufacturer="Boondock",
            model="Relays",
            sw_version=VERSION,
            backend=self._outputs.pins.backend,
            entities=entities | self._feedbacks.entities(),
        )
