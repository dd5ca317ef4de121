"""Announces devices to Home Assistant, and takes back what is there no more: the life cycle of discovery."""

import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from bus import discovery, keeping
from bus.about import About
from bus.events import Publishes, Sent
from bus.health import VERSION
from bus.topics import HOME_ASSISTANT, Topics

log = logging.getLogger(__name__)

# Home Assistant asks to spread what follows its birth over some seconds.
_LONGEST_DELAY_S = 5.0
_BIRTH = b"online"


class Announcer:
    """Keeps the discovery topics of a process's devices; `service` is the process, None for strangers.

    What was announced stands in the file `path`, so that it can be taken back by a later run: with
    `enabled` False everything is, once.
    """

    def __init__(
        self,
        bus: Publishes,
        topics: Topics,
        *,
        service: str | None = None,
        path: Path | None = None,
        enabled: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._service = service
        self._path = path
        self._enabled = enabled
        self._chance = chance
        # Unreadable, nothing but old entities may stay behind: it is written anew.
        self._announced = keeping.read(path, dict[str, dict[str, str]]) or {}
        self._saved = dict(self._announced)
        # Entities of an earlier run that this one has not said yet, such as those that wait for a first
        # value: Home Assistant would forget all that their owner set of them. Strangers are known whole.
        self._earlier = {} if service is None else {t: dict(found) for t, found in self._announced.items()}
        self._abouts: dict[str, tuple[About, bool]] = {}
        self._payloads: dict[str, bytes] = {}
        # What says that entities are gone, until the broker has it.
        self._reduced: dict[str, bytes] = {}
        # What stands below another base topic is no device of this run.
        ours = topics.discovery("x").removesuffix("x/config")
        self._clearing = {topic for topic in self._announced if not (enabled and topic.startswith(ours))}
        self._due: float | None = None

    def about(self, device: str, about: About, *, availability: bool = True) -> None:
        """Announce a device as it is now; without `availability` it counts as there while it speaks."""
        if not self._enabled:
            return
        topic = self._topics.discovery(device)
        platforms = {key: discovery.platform(entity) for key, entity in about.entities.items()}
        before = self._announced.get(topic, {})
        earlier = self._earlier.get(topic, {})
        for key in platforms:
            earlier.pop(key, None)
        gone = {k: name for k, name in before.items() if platforms.get(k) != name and k not in earlier}
        self._clearing.discard(topic)
        self._abouts[topic] = (about, availability)
        if gone:
            # First without them, then as it is: Home Assistant forgets only what it sees reduced.
            kept = {key: entity for key, entity in about.entities.items() if key not in gone}
            reduced = msgspec.structs.replace(about, entities=kept)
            self._reduced[topic] = self._payload(device, reduced, gone, availability=availability)
            self._reduce()
        payload = self._payload(device, about, {}, availability=availability)
        if gone or payload != self._payloads.get(topic):
            self._payloads[topic] = payload
            self._bus.publish(topic, payload, retain=True)
        self._announced[topic] = earlier | platforms
        self._save()

    def without(self, device: str, entities: Iterable[str]) -> None:
        """Take back entities that an earlier run announced and this one will not."""
        topic = self._topics.discovery(device)
        earlier = self._earlier.get(topic, {})
        gone = earlier.keys() & set(entities)
        for key in gone:
            del earlier[key]
        if gone and topic in self._abouts:
            about, availability = self._abouts[topic]
            self.about(device, about, availability=availability)

    def _payload(self, device: str, about: About, gone: dict[str, str], *, availability: bool) -> bytes:
        return discovery.payload(
            self._topics,
            device,
            about,
            service=self._service,
            version=VERSION,
            gone=gone,
            availability=availability,
        )

    def forget(self, device: str) -> None:
        """Take a device back."""
        topic = self._topics.discovery(device)
        for known in (self._payloads, self._reduced, self._earlier, self._abouts):
            known.pop(topic, None)
        if topic in self._announced:
            self._clearing.add(topic)
            self._clear()

    def tidy(self, known: Mapping[str, Collection[str] | None]) -> None:
        """Take back what an earlier run announced and this one does not have, also below another base.

        `known` holds the devices with all they may ever report; None: only they themselves know that.
        """
        for device, entities in known.items():
            if entities is not None:
                earlier = self._earlier.get(self._topics.discovery(device), {})
                self.without(device, earlier.keys() - set(entities))
        topics = {self._topics.discovery(device) for device in known}
        self._clearing |= self._announced.keys() - topics
        self._clear()

    def connected(self) -> None:
        """The broker may not have heard yet what is to be taken back."""
        self._clear()
        for topic in self._reduce():
            self._bus.publish(topic, self._payloads[topic], retain=True)

    def _reduce(self) -> list[str]:
        sent = [
            topic
            for topic, payload in self._reduced.items()
            if self._bus.publish(topic, payload, retain=True) is Sent.YES
        ]
        for topic in sent:
            del self._reduced[topic]
        return sent

    def _clear(self) -> None:
        for topic in sorted(self._clearing):
            if self._bus.publish(topic, b"", retain=True) is Sent.YES:
                self._clearing.discard(topic)
                self._announced.pop(topic, None)
        self._save()

    def birth(self, topic: str, payload: bytes, now: float) -> bool:
        """Home Assistant said how it is; once online it wants everything again, a little later.

        False if the message is not Home Assistant's.
        """
        if topic != HOME_ASSISTANT:
            return False
        if payload == _BIRTH and self._enabled and self._payloads:
            self._due = now + self._chance() * _LONGEST_DELAY_S
        return True

    def again(self, now: float) -> bool:
        """Say the configurations again when it is time; True asks for availability and states behind them."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        for topic, payload in self._payloads.items():
            self._bus.publish(topic, payload, retain=True)
        return True

    def _save(self) -> None:
        if self._path is None or self._announced == self._saved:
            return
        try:
            keeping.write(self._path, msgspec.json.encode(self._announced))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)
            return
        self._saved = {topic: dict(platforms) for topic, platforms in self._announced.items()}
