"""The controller's service: commands in, pins switched, answers and states out."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bus import about as about_message
from bus.about import About, Entity
from bus.access_log import AccessLog
from bus.command_server import Answers, CommandServer, Order, readable
from bus.commands import Code, Command, Refused, Switch, Wanted
from bus.events import Connected, Disconnected, Message, Publishes, Sent, Unpublished
from bus.health import VERSION, decode_problems, why_aside
from bus.messages import OFFLINE, BadMessageError, Value, decode_reading
from bus.pins import PinError
from bus.publisher import Publisher
from bus.request_server import RequestServer
from bus.topics import BadTopicError, Topic, Topics, Verb
from config.model import ALARM_DEVICE, GUARD, RELAY_DEVICE, RESERVED, RULE_DEVICE, Settings
from controller import automation, policy
from controller.automation import Automation
from controller.conditions import Look
from controller.files import BrokerRestart
from controller.foreign import ForeignCommands
from controller.others import (
    MOST_DEVICES,
    MOST_OUTPUTS,
    BrokerWatch,
    Services,
    StallDetector,
    States,
)
from controller.policy import Position
from controller.relays import RelayOutputs
from controller.supervisor import Feedbacks, Guarding, Supervisor

log = logging.getLogger(__name__)

# While a pin tells of a load, or a request is worked on.
_TICK_S = 0.1
# While a command waits for its feedback.
_SHORT_TICK_S = 0.01
_SETTLE_S = 1.0
# Requests may keep relays waiting no longer than this, seconds.
_SLICE_S = 0.01
_GONE = "it does not run or it hangs, so its devices are offline: look at its log and restart it"
_TOO_MANY = (
    f"there are more than {MOST_DEVICES}, or more than {MOST_OUTPUTS} outputs: what is more is not known"
    " here; empty the about topic of each device that is gone"
)


class Link(Publishes, Protocol):
    """What the controller asks of its connection."""

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
        kept: Path | None = None,
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
        # By device: what was said last, and when.
        self._told: dict[str, tuple[dict[str, Value], float]] = {}
        self._settled = float("-inf")
        self._waiting: dict[str, _Waiting] = {}
        now = self._clock.monotonic()
        self._stall = StallDetector(now)
        self._services = Services(frozenset(RESERVED))
        self._foreign = ForeignCommands(self._services, self._commands, access, self._journal, topics)
        lossy = [r.broker_loss_after for r in settings.relay.values() if r.broker_loss == "off"]
        self._broker = BrokerWatch(now, shortest=min(lossy, default=None))
        self._states = States(policy.devices(settings) | automation.devices(settings))
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
        self._look = Look(self._states, automation.conditions_of(settings), now)
        self._automation = Automation(
            settings, outputs, self._supervisor, self._look, path=kept, tell=self._tell_alarm, say=self._say
        )
        self._start(now)

    def _start(self, now: float) -> None:
        abouts = dict(self._automation.abouts)
        if self._settings.relay:
            abouts[RELAY_DEVICE] = self._about()
        for device, about in abouts.items():
            self._publisher.about(device, about)
            if device != RELAY_DEVICE:
                self._publisher.availability(device, online=True)
        self._publisher.tidy({device: about.entities for device, about in abouts.items()})
        self._outputs.start(now, self._supervisor.withheld)
        self._feedbacks.look(now)
        self.say_state()
        self._automation.start()

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
                self._foreign.forget()
                self._journal.solved("devices")
                self._broker.disconnected(self._clock.monotonic())

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a command or a request that failed; of all else nothing is lost."""
        if message in self._requests:
            self._requests.give_up(message, why_aside(error))
        elif self._topics.is_below(Verb.SET, message.topic):
            device, entity = self._topics.levels_of(message.topic)[:2]
            if device in RESERVED:
                self._commands.give_up(device, entity, message, error)
            else:
                self._foreign.take(Order(device, entity, Command(""), message), self._clock.monotonic())

    def tick(self, now: float) -> float:
        """Turn off what has been on long enough; tell what changed."""
        self._stall.look(now)
        if self._broker.look(now, self._link.heard):
            self._link.ping()
        for relay in self._outputs.elapse(now):
            log.info("%s: its time is up, off", relay)
            self._automation.elapsed(relay)
        self._supervisor.enforce(now)
        self._automation.tick(now)
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
        return self._until_next(now)

    def _until_next(self, now: float) -> float:
        """Return the seconds until something is due, if nothing comes before."""
        if self._waiting:
            return _SHORT_TICK_S
        if self._requests.busy or self._feedbacks.on_pins:
            return _TICK_S
        return min(self._settled + _SETTLE_S - now, self._outputs.due() - now, self._broker.every)

    def close(self) -> None:
        """Leave every relay as its exit policy says."""
        for relay in list(self._waiting):
            self._give_up(relay, Code.INTERNAL, "the controller ends before the feedback came")
        self._outputs.stop()
        self.say_state()
        self._automation.file.close()
        self._access.close()
        self._publisher.close()

    def waiting(self) -> int:
        """Count the readings that wait for the statistician."""
        return self._publisher.waiting

    def _look_around(self, now: float) -> None:
        """Do once a second what need not be done at once."""
        self._foreign.look(now)
        if (silent := self._broker.hangs(now)) is not None:
            self._restart.ask(silent)
        self._access.tick(now)

    def _message(self, message: Message) -> None:
        if message in self._requests:
            self._requests.take(message)
            return
        try:
            topic = self._topics.parse(message.topic)
        except BadTopicError as error:
            if self._topics.is_below(Verb.SET, message.topic):
                self._foreign.malformed(message, error, self._clock.monotonic(), self._clock.wall())
                return
            # Home Assistant's, or nobody's.
            self._publisher.take(message.topic, message.payload, self._clock.monotonic())
            return
        if topic.part is not None:
            self._entity_message(topic, topic.part, message)
            return
        self._word_of(topic, message)

    def _word_of(self, topic: Topic, message: Message) -> None:
        """Take what others say of a device or of a service."""
        if topic.verb in (Verb.WATERMARK, Verb.SERVICE):
            now = self._clock.monotonic()
            self._publisher.take(message.topic, message.payload, now, kept=message.retain)
        if topic.verb is Verb.STATE and topic.name in self._states.devices:
            self._hear(topic.name, message)
        elif topic.verb is Verb.ABOUT:
            self._describe(topic.name, message.payload)
        elif topic.verb is Verb.SERVICE:
            self._hear_service(topic.name, message.payload)
        elif topic.verb is Verb.HEALTH:
            self._hear_health(topic.name, message.payload)
        elif topic.verb is Verb.AVAILABILITY:
            self._services.available(topic.name, online=message.payload != OFFLINE)

    def _entity_message(self, topic: Topic, entity: str, message: Message) -> None:
        ours = topic.name in RESERVED
        if topic.verb is Verb.SET and ours:
            self._commands.take(topic.name, entity, message)
        elif topic.verb is Verb.SET:
            order = Order(topic.name, entity, readable(message), message)
            self._foreign.take(order, self._clock.monotonic())
        elif topic.verb is Verb.RESULT and not ours:
            self._foreign.answered(topic.name, entity, message.payload)

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
        if self._states.take(device, reading, kept=message.retain, now=now, wall_ms=wall_ms):
            self._look.hear(device)
        self._supervisor.hear(now)

    def _hear_health(self, service: str, payload: bytes) -> None:
        """Note the problems of a service that a condition names."""
        try:
            self._look.health(service, decode_problems(payload) if payload else ())
        except BadMessageError as error:
            log.warning("health of %s: %s", service, error)
            self._journal.count("refused_messages")

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

    def entity(self, device: str, entity: str) -> Entity:
        """Return what about says of a relay, an alarm or a rule. Raises Refused."""
        if device != RELAY_DEVICE:
            return self._automation.entity(device, entity)
        self._outputs.position(entity)
        return self._entities[entity]

    def actual(self, device: str, entity: str) -> Value:
        """Return what the state just said of a relay, read back from its pin; None of what is not ours."""
        if device in (ALARM_DEVICE, RULE_DEVICE):
            return self._automation.actual(device, entity)
        if device != RELAY_DEVICE or entity not in self._settings.relay or device not in self._told:
            return None
        return self._told[device][0].get(entity)

    def off_at(self, device: str, entity: str) -> float | None:
        """Return when a relay turns itself off, monotonic seconds."""
        return self._outputs.off_at(entity) if device == RELAY_DEVICE else None

    def obey(self, order: Order, wanted: Wanted) -> None:
        """Switch a relay; the answer follows once its load has. Raises Refused."""
        if order.device != RELAY_DEVICE:
            assert isinstance(wanted, str)  # noqa: S101 — both have options
            self._commands.begin(order)
            self._automation.obey(order.device, order.entity, wanted)
            self._commands.done(order)
            return
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
        self._automation.commanded(relay, on=goal.on)
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
        """Publish the states of relays, alarms and rules that changed, or were said long ago."""
        now = self._clock.monotonic()
        relays: dict[str, Value] = {relay: self._outputs.actual(relay) for relay in self._settings.relay}
        values = relays | self._supervisor.values() | self._feedbacks.values(now)
        if values and self._say(RELAY_DEVICE, values):
            self._publisher.availability(RELAY_DEVICE, online=set(relays.values()) != {None})
        self._automation.say_state()

    def _say(self, device: str, values: dict[str, Value]) -> bool:
        """Publish a reading if it changed, or was said long ago; False if not."""
        now = self._clock.monotonic()
        told, at = self._told.get(device, (None, 0.0))
        if values == told and now - at < self._settings.publish.heartbeat:
            return False
        self._told[device] = values, now
        self._publisher.reading(device, values, ts=self._clock.wall())
        return True

    def _tell_alarm(self, alarm: str, payload: bytes) -> None:
        self._link.publish(self._topics.alarm(alarm), payload, retain=True)

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
