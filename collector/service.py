"""The collector's service: what a transport hears or asks becomes readings, commands become switches."""

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from bus import state_files
from bus.about import Entity
from bus.access_log import AccessLog
from bus.command_server import Answers, CommandServer, Order
from bus.commands import Code, Refused, Switch, Wanted, no_output
from bus.events import Connected, Message, Unheard, Unpublished
from bus.health import why_aside
from bus.messages import ON, Value
from bus.request_server import RequestServer
from bus.requests import Action
from bus.topics import HOME_ASSISTANT, BadTopicError, Topics, Verb
from collector.device import Owned, Readings
from collector.devices.description import Decoded, NotObeyedError, RefusedError, UnfitError
from collector.polling import Failure, Switched

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Timers:
    """By device and entity, in seconds since the machine started; without a path only in the process."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._off_at = state_files.read(path, dict[str, dict[str, float]]) or {}

    def __iter__(self) -> Iterator[tuple[Key, float]]:
        return iter([((d, e), at) for d, entities in self._off_at.items() for e, at in entities.items()])

    def get(self, key: Key) -> float | None:
        """When this one goes off; None if it has no timer."""
        return self._off_at.get(key[0], {}).get(key[1])

    def of(self, device: str) -> str | None:
        """Return an entity of the device that has still to be turned off."""
        return next(iter(self._off_at.get(device, {})), None)

    def set(self, key: Key, off_at: float) -> None:
        """Note when one goes off."""
        self._off_at.setdefault(key[0], {})[key[1]] = off_at
        self._save()

    def clear(self, key: Key) -> None:
        """Forget a timer."""
        if self.get(key) is not None:
            del self._off_at[key[0]][key[1]]
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            state_files.write(self._path, msgspec.json.encode(self._off_at))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)


_QUEUE = 8
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A command on its way to the device; without an order it is our own timer's."""

    entity: str
    order: Order | None


class Obeys(Protocol):
    """A source whose devices can be switched."""

    def switch(self, device: Owned, entity: str, wanted: Wanted, ticket: object) -> None:
        """Have a device obey; a Switched event tells how it went."""


class Switching:
    """Obeys `set` topics of this process's devices; `for` is kept here, on the monotonic clock."""

    def __init__(
        self, source: Obeys, readings: Readings, answers: Answers, timers: Timers | None = None
    ) -> None:
        self._source = source
        self._readings = readings
        self._commands = CommandServer(answers, self, clock=readings.clock, journal=readings.journal)
        self._waiting = 0
        self._timers = timers or Timers()
        # When a setting was written last, monotonic seconds.
        self._written: dict[tuple[str, str], float] = {}
        # Those whose time is up and whose device is being told.
        self._turning: set[tuple[str, str]] = set()

    def command(self, device_id: str, entity: str, message: Message) -> None:
        """Take a command; its answer follows at once if it is refused, else when the device has obeyed."""
        if self._readings.get(device_id) is not None:
            self._commands.take(device_id, entity, message)

    def owns(self, device_id: str, entity: str) -> bool:
        """Whether a device of ours has an entity that takes commands; for any thread."""
        owned = self._readings.get(device_id)
        row = None if owned is None else owned.rows.get(entity)
        return row is not None and row.entity.command

    def give_up(self, device_id: str, entity: str, message: Message, error: Exception | None) -> None:
        """Answer a command for a device of ours that failed with an error, or (None) must not be read."""
        if self._readings.get(device_id) is not None:
            self._commands.give_up(device_id, entity, message, error)

    def entity(self, device: str, entity: str) -> Entity:
        """Return what about says of an entity that takes commands. Raises Refused."""
        owned = self._owned(device)
        row = owned.rows.get(entity)
        if row is None or not row.entity.command or entity in owned.settings.disabled:
            if row is not None and row.write is not None and not row.entity.command:
                raise Refused(Code.DENIED, f"{entity} is only read: allow_write = true of {device} allows it")
            raise no_output(device, entity, [e for e, r in owned.rows.items() if r.entity.command])
        return row.entity

    def actual(self, device: str, entity: str) -> Value:
        """Return what the device last said of an entity, None if nobody knows."""
        owned = self._readings.get(device)
        return None if owned is None else owned.reporter.known(entity)

    def off_at(self, device: str, entity: str) -> float | None:
        """Return when an output turns itself off, monotonic seconds."""
        return self._timers.get((device, entity))

    def say_state(self) -> None:
        """Do nothing: a device's state is published as soon as it has answered."""

    def obey(self, order: Order, wanted: Wanted) -> None:
        """Put a command on the device's line. Raises Refused."""
        if self._waiting >= _QUEUE:
            raise Refused(Code.BUSY, f"{_QUEUE} commands wait already: try again in a moment")
        device = self._owned(order.device)
        self._check_pace(device, order.entity)
        self._commands.begin(order)
        self._put(device, _Ticket(order.entity, order), wanted)

    def _check_pace(self, device: Owned, entity: str) -> None:
        """Raise Refused(limit) for a setting that was written a moment ago, else note that it is now."""
        write, now = device.rows[entity].write, self._readings.clock.monotonic()
        if write is None:
            return
        ago = now - self._written.get((device.id, entity), -math.inf)
        if ago < write.every:
            text = f"it was written {ago:.0f} s ago; allowed is once in {write.every:g} s: its memory wears"
            raise Refused(Code.LIMIT, text)
        self._written[device.id, entity] = now

    def _owned(self, device: str) -> Owned:
        owned = self._readings.get(device)
        assert owned is not None  # noqa: S101 — `command` has looked
        return owned

    def _put(self, device: Owned, ticket: _Ticket, wanted: Wanted) -> None:
        self._waiting += 1
        self._source.switch(device, ticket.entity, wanted, ticket)

    def switched(self, event: Switched) -> None:
        """Answer the command that a device has obeyed, or not; its state goes out first."""
        self._waiting -= 1
        ticket, device = event.ticket, self._readings.get(event.device)
        assert isinstance(ticket, _Ticket)  # noqa: S101 — it is the one we gave
        key, order = (event.device, ticket.entity), ticket.order
        if order is None:
            self._turning.discard(key)
        values = event.why.values if isinstance(event.why, NotObeyedError) else event.values
        if device is not None and values:
            self._readings.said(device, Decoded(values), self._readings.clock.monotonic(), at_once=True)
        if event.why is not None:
            self._failed(key, order, event.why)
            return
        actual = values.get(ticket.entity)
        if order is not None and order.command.for_s is not None and actual == ON:
            self._timers.set(key, self._readings.clock.monotonic() + order.command.for_s)
        else:
            self._timers.clear(key)
        if order is None:
            log.info("%s.%s: %s, its time is up", *key, actual)
        else:
            self._commands.done(order)

    def _failed(self, key: tuple[str, str], order: Order | None, why: Failure) -> None:
        if isinstance(why, RefusedError) and not isinstance(why, NotObeyedError):
            # Nothing was written.
            self._written.pop(key, None)
        if order is None:
            # Its time is up and it must go off: again until it does.
            log.warning("%s.%s: not turned off: %s", *key, why)
            self._timers.set(key, self._readings.clock.monotonic() + _RETRY_S)
            return
        code = Code.LIMIT if isinstance(why, UnfitError) else Code.HARDWARE
        # It may have obeyed all the same, unless it says what it is now.
        known = isinstance(why, NotObeyedError | UnfitError)
        self._commands.refuse(order, Refused(code, str(why)), known=known)

    def pending(self, device_id: str) -> str | None:
        """Return an entity of the device that is on for a time and has still to be turned off."""
        return self._timers.of(device_id)

    def tick(self, now: float) -> float:
        """Turn off what was on for its time; return the seconds until the next time is up."""
        wait = math.inf
        for key, off_at in self._timers:
            device = self._readings.get(key[0])
            if device is None or key in self._turning:
                continue
            if now < off_at:
                wait = min(wait, off_at - now)
                continue
            self._turning.add(key)
            self._put(device, _Ticket(key[1], None), Switch.OFF)
        return wait


_SETTLE_S = 1.0
# Requests may keep readings waiting no longer than this, seconds.
_SLICE_S = 0.03


class Source(Protocol):
    """Where a transport's values come from."""

    def silence(self, device: Owned) -> str:
        """Say what the owner of a silent device should look after."""

    def add(self, device: Owned) -> None:
        """Hear or ask this device from now on."""

    def change(self, device: Owned) -> None:
        """Hear or ask it as its new settings say."""

    def remove(self, device_id: str) -> None:
        """Let go of a device."""

    def handle(self, event: object) -> None:
        """Take an event of the transport."""

    def tick(self, now: float) -> float:
        """Do what is due; return the seconds until it wants to be asked again."""


class LiveVerb(Protocol):
    """A verb that is answered by what the transport tells."""

    def action(self) -> Action:
        """Return the verb."""

    def take(self, event: object) -> None:
        """Take an event, its own or not."""


class Collector:
    """The devices of one transport; an answer to bus.process.Service."""

    def __init__(
        self,
        devices: list[Owned],
        source: Source,
        readings: Readings,
        *,
        topics: Topics,
        switching: Switching | None = None,
    ) -> None:
        self._source = source
        self._readings = readings
        self._topics = topics
        self._switching = switching
        self._requests: RequestServer | None = None
        self._live_verbs: Sequence[LiveVerb] = ()
        self._access: AccessLog | None = None
        self._settled = float("-inf")
        for device in devices:
            self.add(device)

    def add(self, device: Owned) -> None:
        """Read this device from now on."""
        self._readings.add(device)
        self._source.add(device)

    def change(self, device: Owned) -> None:
        """Read a device as its new settings say."""
        self._source.change(device)
        self._readings.remove(device.id)
        self._readings.add(device)

    def remove(self, device_id: str) -> None:
        """Read it no more."""
        self._source.remove(device_id)
        self._readings.remove(device_id)

    def busy(self, device_id: str) -> str | None:
        """Why a device cannot be let go of now, None if it can."""
        entity = None if self._switching is None else self._switching.pending(device_id)
        return None if entity is None else f"{device_id}: {entity} is on for a time: turn it off first"

    def open(
        self,
        requests: RequestServer,
        live_verbs: Sequence[LiveVerb],
        known: Mapping[str, Collection[str] | None],
        access: AccessLog | None = None,
    ) -> None:
        """Answer requests from now on; what an earlier run published and is not `known` is cleared."""
        self._requests, self._live_verbs, self._access = requests, live_verbs, access
        self._readings.publisher.tidy(known)

    def handle(self, event: object) -> None:
        """Take an event from the transport or the broker."""
        match event:
            case Message() if self._is_ours(event.topic):
                self._message(event)
            case Connected():
                self._readings.publisher.connected(self._readings.clock.monotonic())
            case Unpublished():
                self._readings.publisher.unpublished(event)
            case Unheard():
                if self._requests is not None:
                    self._requests.unheard(event.topic)
            case Switched() if self._switching is not None:
                self._switching.switched(event)
            case _:
                for verb in self._live_verbs:
                    verb.take(event)
                self._source.handle(event)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a command or a request that failed; of all else nothing is lost."""
        if self._requests is not None and message in self._requests:
            self._requests.give_up(message, why_aside(error))
        elif self._switching is not None and self._topics.is_below(Verb.SET, message.topic):
            device, entity = self._topics.levels_of(message.topic)[:2]
            self._switching.give_up(device, entity, message, error)

    def tick(self, now: float) -> float:
        """Publish what is due, ask whose time it is, find who fell silent."""
        wait = self._source.tick(now)
        wait = min(wait, self._readings.tick(now, silence=self._source.silence))
        if self._switching is not None:
            wait = min(wait, self._switching.tick(now))
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._readings.publisher.settle(now)
            if self._access is not None:
                self._access.tick(now)
        if self._requests is not None and self._requests.busy:
            wait = min(wait, self._requests.work(_SLICE_S))
        return min(wait, self._settled + _SETTLE_S - now)

    def close(self) -> None:
        """Write to disk what waits."""
        if self._access is not None:
            self._access.close()
        self._readings.close()

    def waiting(self) -> int:
        """Count the readings that wait for the statistician."""
        return self._readings.publisher.waiting

    def _is_ours(self, topic: str) -> bool:
        # All else was asked for by the source: what others publish.
        return topic == HOME_ASSISTANT or topic.startswith(f"{self._topics.base}/")

    def _message(self, message: Message) -> None:
        if self._requests is not None and message in self._requests:
            self._requests.take(message)
            return
        try:
            topic = self._topics.parse(message.topic)
        except BadTopicError:
            # Home Assistant's, or nobody's.
            topic = None
        if topic is not None and topic.verb is Verb.SET:
            if topic.part and self._switching is not None:
                self._switching.command(topic.name, topic.part, message)
            return
        self._readings.publisher.take(
            message.topic, message.payload, self._readings.clock.monotonic(), kept=message.retain
        )
