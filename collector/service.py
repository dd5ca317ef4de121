"""The collector's service: what a transport hears or asks becomes readings, commands become switches."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from bus.access_log import AccessLog
from bus.clock import Clock
from bus.events import Connected, Message, Unpublished
from bus.health import Journal, why_aside
from bus.publisher import Publisher
from bus.request_server import RequestServer
from bus.topics import HOME_ASSISTANT, BadTopicError, Topics, Verb
from collector.device import Owned
from collector.polling import Switched
from collector.readings import Readings
from collector.switching import Switching

_SETTLE_S = 1.0
# Requests may keep readings waiting no longer than this, seconds.
_SLICE_S = 0.03


class Source(Protocol):
    """Where a transport's values come from."""

    @property
    def silence(self) -> str:
        """What the owner of a silent device should look after."""

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


class Listener(Protocol):
    """Answers a verb by what a transport tells; that goes to it too."""

    def take(self, event: object) -> None:
        """Take an event, its own or not."""


class Collector:
    """The devices of one transport; an answer to bus.process.Service."""

    def __init__(
        self,
        devices: list[Owned],
        source: Source,
        readings: Readings,
        publisher: Publisher,
        *,
        topics: Topics,
        clock: Clock,
        journal: Journal,
        switching: Switching | None = None,
    ) -> None:
        self._source = source
        self._readings = readings
        self._publisher = publisher
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._switching = switching
        self._desk: RequestServer | None = None
        self._listeners: Sequence[Listener] = ()
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
        desk: RequestServer,
        listeners: Sequence[Listener],
        known: Mapping[str, Collection[str] | None],
        access: AccessLog | None = None,
    ) -> None:
        """Answer requests from now on; what an earlier run published and is not `known` is cleared."""
        self._desk, self._listeners, self._access = desk, listeners, access
        self._publisher.tidy(known)

    def handle(self, event: object) -> None:
        """Take an event from the transport or the broker."""
        match event:
            case Message() if self._is_ours(event.topic):
                self._message(event)
            case Connected():
                self._publisher.connected(self._clock.monotonic())
            case Unpublished():
                self._publisher.unpublished(event)
            case Switched() if self._switching is not None:
                self._switching.switched(event)
            case _:
                for listener in self._listeners:
                    listener.take(event)
                self._source.handle(event)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer a command or a request that failed; of all else nothing is lost."""
        if self._desk is not None and message in self._desk:
            self._desk.give_up(message, why_aside(error))
        elif self._switching is not None and self._topics.is_below(Verb.SET, message.topic):
            device, entity = self._topics.levels_of(message.topic)[:2]
            self._switching.give_up(device, entity, message, error)

    def tick(self, now: float) -> float:
        """Publish what is due, ask whose time it is, find who fell silent."""
        wait = self._source.tick(now)
        self._readings.tick(now, silence=self._source.silence)
        if self._switching is not None:
            self._switching.tick(now)
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._publisher.settle(now)
            if self._access is not None:
                self._access.tick(now)
        if self._desk is not None and self._desk.busy:
            wait = min(wait, self._desk.work(_SLICE_S))
        return wait

    def close(self) -> None:
        """What waits goes to disk."""
        if self._access is not None:
            self._access.close()
        self._publisher.close()

    def waiting(self) -> int:
        """Readings that wait for the statistician."""
        return self._publisher.waiting

    def _is_ours(self, topic: str) -> bool:
        # All else was asked for by the source: what others publish.
        return topic == HOME_ASSISTANT or topic.startswith(f"{self._topics.base}/")

    def _message(self, message: Message) -> None:
        if self._desk is not None and message in self._desk:
            self._desk.take(message)
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
        self._publisher.take(message.topic, message.payload, self._clock.monotonic(), kept=message.retain)
