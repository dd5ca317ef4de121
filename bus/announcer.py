"""Announces devices to Home Assistant, and takes back what is there no more: the life cycle of discovery."""

import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from bus.about import About
from bus.events import Publishes, Sent
from bus.health import VERSION
from bus.home_assistant import (
    DAILY_DIAGNOSTICS,
    DIAGNOSTICS,
    discovery_payload,
    payload_of_gone,
    platform,
    without_details,
)
from bus.state_files import KeptFile
from bus.topics import HOME_ASSISTANT, Topics, is_discovery

log = logging.getLogger(__name__)

# Home Assistant asks to spread what follows its birth over some seconds.
_LONGEST_DELAY_S = 5.0
_BIRTH = b"online"
# What is gone is described once more, and removed so long after that: it must be set up by then, seconds.
PAUSE_S = 5.0
_AGAIN_S = 1.0
# How long it is said at each birth what is gone, ms, and of how many entities at most.
REMEMBERED_MS = 30 * 86_400_000
MOST_GONE = 2_000

# By platform and entity, such as `sensor.power`: None while it is there, else when it went, ms; 0 where the
# clock did not know.
_Rows = dict[str, int | None]


class _Said(NamedTuple):
    """A device as it was announced last."""

    device: str
    about: About
    availability: bool


class Announcer:
    """Keeps the discovery topics of a process's devices; `service` is the process, None for strangers.

    What was announced stands in the file `path`, so that it can be taken back by a later run: with
    `enabled` False everything is, once. What is gone is removed again at each start of Home Assistant for
    30 days: it may have been away. `wall` is the time in ms, 0 while that is not known; without
    `details` only what says something daily is announced; `page` is the URL of the house's page.
    """

    def __init__(
        self,
        bus: Publishes,
        topics: Topics,
        *,
        service: str | None = None,
        path: Path | None = None,
        enabled: bool = True,
        wall: Callable[[], int] = lambda: 0,
        chance: Callable[[], float] = random.random,
        details: bool = True,
        page: str | None = None,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._service = service
        self._enabled = enabled
        self._wall = wall
        self._chance = chance
        self._details = details
        self._page = page
        self.file = KeptFile(path, lambda: msgspec.json.encode(self._rows))
        # Unreadable, nothing but old entities may stay behind: it is written anew.
        kept = self.file.read(dict[str, dict[str, int | str | None]]) or {}
        self._rows = {topic: _rows(found) for topic, found in kept.items() if is_discovery(topic)}
        self._unpruned = MOST_GONE
        self._diagnostics = _diagnostics(service, DIAGNOSTICS if details else DAILY_DIAGNOSTICS)
        # Entities of an earlier run that this one has not said yet, such as those that wait for a first
        # value: Home Assistant would forget all that their owner set of them. Strangers are known whole.
        self._earlier = {} if service is None else {t: _there(rows) for t, rows in self._rows.items()}
        self._abouts: dict[str, _Said] = {}
        # What says that entities are gone, until the broker has it.
        self._reduced: dict[str, bytes] = {}
        # What stands below another base topic is no device of this run.
        ours = topics.discovery("x").removesuffix("x/config")
        self._clearing = {topic for topic in self._announced() if not (enabled and topic.startswith(ours))}
        self._due: float | None = None
        # Topics of what is gone and was described once more: next it is removed.
        self._removing: list[str] = []

    def _announced(self) -> set[str]:
        """Return the topics where a configuration stands."""
        return {topic for topic, rows in self._rows.items() if _stands(rows)}

    def about(self, device: str, about: About, *, availability: bool = True) -> None:
        """Announce a device as it is now; without `availability` it counts as there while it speaks."""
        if not self._enabled:
            return
        topic = self._topics.discovery(device)
        known = about.entities.keys()
        about = about if self._details else without_details(about)
        there = {f"{platform(entity)}.{key}" for key, entity in about.entities.items()}
        there |= self._diagnostics
        rows = self._rows.get(topic, {})
        earlier = self._earlier.get(topic, set())
        earlier -= {row for row in earlier if _key(row) in known} | _diagnostics(self._service, DIAGNOSTICS)
        gone = _there(rows) - there - earlier
        self._clearing.discard(topic)
        before, said = self._abouts.get(topic), _Said(device, about, availability)
        self._abouts[topic] = said
        if gone:
            # First without them, then as it is: Home Assistant forgets only what it sees reduced.
            self._reduced[topic] = self._payload(said, gone)
            self._reduce()
        if gone or said != before:
            self._say(topic)
        after = {**rows, **dict.fromkeys(gone, self._wall()), **dict.fromkeys(there)}
        if after != self._rows.get(topic):
            self._rows[topic] = after
            self._note(len(gone))

    def without(self, device: str, entities: Iterable[str]) -> None:
        """Take back entities that an earlier run announced and this one will not."""
        topic = self._topics.discovery(device)
        earlier = self._earlier.get(topic, set())
        named = set(entities)
        gone = {row for row in earlier if _key(row) in named}
        earlier -= gone
        if gone and topic in self._abouts:
            said = self._abouts[topic]
            self.about(device, said.about, availability=said.availability)

    def _say(self, topic: str) -> Sent:
        """Publish a device as it is now."""
        return self._bus.publish(topic, self._payload(self._abouts[topic], ()), retain=True)

    def _payload(self, said: _Said, gone: Iterable[str], *, once_more: bool = False) -> bytes:
        removed = _platforms(gone)
        kept = {key: entity for key, entity in said.about.entities.items() if key not in removed}
        return discovery_payload(
            self._topics,
            said.device,
            msgspec.structs.replace(said.about, entities=kept),
            service=self._service,
            version=VERSION,
            gone=removed,
            once_more=once_more,
            availability=said.availability,
            diagnostics=[_key(row) for row in self._diagnostics],
            page=self._page,
        )

    def forget(self, device: str) -> None:
        """Delete a device from Home Assistant."""
        topic = self._topics.discovery(device)
        for known in (self._reduced, self._earlier, self._abouts):
            known.pop(topic, None)
        if topic in self._rows and _stands(self._rows[topic]):
            self._clearing.add(topic)
            self._clear()

    def tidy(self, known: Mapping[str, Collection[str] | None]) -> None:
        """Take back what an earlier run announced and this one does not have, also below another base.

        `known` holds the devices with all they may ever report; None: only they themselves know that.
        """
        for device, entities in known.items():
            if entities is not None:
                earlier = self._earlier.get(self._topics.discovery(device), set())
                self.without(device, {_key(row) for row in earlier} - set(entities))
        topics = {self._topics.discovery(device) for device in known}
        self._clearing |= self._announced() - topics
        self._clear()

    def connected(self) -> None:
        """Publish again what the broker may not have heard yet of what is gone."""
        self._clear()
        for topic in self._reduce():
            self._say(topic)

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
                self._depart(topic)

    def _depart(self, topic: str) -> None:
        """Note that a device is gone, with all that it had."""
        rows = self._rows.pop(topic, {})
        gone = _there(rows) | self._diagnostics
        if after := {**rows, **dict.fromkeys(gone, self._wall())}:
            self._rows[topic] = after
        self._note(len(gone))

    def _note(self, gone: int) -> None:
        self.file.changed()
        self._unpruned += gone
        if self._unpruned >= MOST_GONE:
            self._prune()

    def _prune(self) -> None:
        """Forget what went long ago, and the oldest if there is too much."""
        now = self._wall()
        went: list[tuple[int, str, str]] = []
        for topic, rows in self._rows.items():
            for row, since in rows.items():
                if since is None:
                    continue
                if now and not 0 < since <= now:
                    # What went while the clock was not right went now, as far as anybody knows.
                    rows[row] = now
                    self.file.changed()
                went.append((rows[row] or 0, topic, row))
        went.sort()
        surplus = len(went) - MOST_GONE * 9 // 10 if len(went) > MOST_GONE else 0
        self._unpruned = len(went) - surplus
        for at, (since, topic, row) in enumerate(went):
            if at < surplus or (now and now - since > REMEMBERED_MS):
                del self._rows[topic][row]
                if not self._rows[topic]:
                    del self._rows[topic]
                self.file.changed()

    def birth(self, topic: str, payload: bytes, now: float) -> bool:
        """Note that Home Assistant has started: it gets everything again, a little later.

        False if the message is not Home Assistant's.
        """
        if topic != HOME_ASSISTANT:
            return False
        if payload == _BIRTH and (self._abouts or self._rows):
            self._removing = []
            self._due = now + self._chance() * _LONGEST_DELAY_S
        return True

    def again(self, now: float) -> bool:
        """Say what Home Assistant has to know after its start, when it is time for the next step.

        First all that is there, and once more what is gone; after a pause that is removed. True asks for
        availability and states behind the configurations.
        """
        if self._due is None or now < self._due:
            return False
        if self._removing:
            self._removing = [topic for topic in self._removing if not self._remove(topic)]
            self._due = now + _AGAIN_S if self._removing else None
            return False
        for topic in self._abouts:
            self._say(topic)
        self._prune()
        described = {topic: self._describe_gone(topic, rows) for topic, rows in self._rows.items()}
        if any(Sent.LATER in sent for sent in described.values()):
            # What is removed without having been described stays for ever.
            self._due = now + _AGAIN_S
            return False
        self._removing = [topic for topic, sent in described.items() if sent]
        self._due = now + PAUSE_S if self._removing else None
        return True

    def _describe_gone(self, topic: str, rows: _Rows) -> list[Sent]:
        """Say what is gone of a device once more, not retained: it is for Home Assistant alone."""
        said = self._abouts.get(topic)
        return [
            self._bus.publish(
                topic,
                payload_of_gone(topic, _platforms(gone), version=VERSION)
                if said is None
                else self._payload(said, gone, once_more=True),
            )
            for gone in _layers(rows)
        ]

    def _remove(self, topic: str) -> bool:
        """Remove what was described once more; False if the broker does not take it now."""
        layers = _layers(self._rows.get(topic, {}))
        said = self._abouts.get(topic)
        if said is None:
            return not layers or self._bus.publish(topic, b"", retain=True) is not Sent.LATER
        sent = [self._bus.publish(topic, self._payload(said, gone)) for gone in layers]
        return Sent.LATER not in sent and (not layers or self._say(topic) is not Sent.LATER)


def _diagnostics(service: str | None, keys: Iterable[str]) -> frozenset[str]:
    """Make the rows of what a device of ours has besides its entities."""
    return frozenset() if service is None else frozenset(f"sensor.{key}" for key in keys)


def _rows(kept: Mapping[str, int | str | None]) -> _Rows:
    """Rows of the file; in one of the first version each entity has the name of its platform."""
    return {
        f"{row}.{key}" if isinstance(row, str) else key: None if isinstance(row, str) else row
        for key, row in kept.items()
    }


def _stands(rows: _Rows) -> bool:
    # A device without entities has a configuration, too.
    return not rows or None in rows.values()


def _there(rows: _Rows) -> set[str]:
    return {row for row, since in rows.items() if since is None}


def _key(row: str) -> str:
    return row.partition(".")[2]


def _platforms(rows: Iterable[str]) -> dict[str, str]:
    """Split rows into entity and platform."""
    return {key: platform for platform, _, key in (row.partition(".") for row in sorted(rows))}


def _layers(rows: _Rows) -> list[set[str]]:
    """Sort what is gone into messages: each names an entity once, which may have had several platforms."""
    layers: list[dict[str, str]] = []
    for row, since in rows.items():
        if since is not None:
            key = _key(row)
            layer = next((one for one in layers if key not in one), None)
            if layer is None:
                layers.append(layer := {})
            layer[key] = row
    return [set(layer.values()) for layer in layers]
