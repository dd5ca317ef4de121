"""What was said retained: replayed to a broker that forgot it, kept over restarts, emptied when gone."""

import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bus.events import Publishes, Sent
from bus.state_files import KeptFile


class Replay:
    """Topics with payload and QoS; written by the owner's thread, read by the network's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, tuple[bytes, int]] = {}

    def remember(self, topic: str, payload: bytes, qos: int) -> None:
        """Remember the newest payload of a topic; an empty one deletes it."""
        with self._lock:
            if payload:
                self._said[topic] = (payload, qos)
            else:
                self._said.pop(topic, None)

    def get(self, topic: str) -> bytes | None:
        """Return the newest payload of a topic, None if there is none."""
        with self._lock:
            return self._said.get(topic, (None, 0))[0]

    def all(self) -> list[tuple[str, bytes, int]]:
        """Return topic, payload and QoS of all, in the order in which the topics were first published."""
        with self._lock:
            return [(topic, payload, qos) for topic, (payload, qos) in self._said.items()]


class Manifest:
    """Devices and their entities; without a path it lasts as long as the process."""

    def __init__(self, path: Path | None = None) -> None:
        self.file = KeptFile(path, self._content)
        # Unreadable, nothing but old topics may stay behind: it is written anew.
        self._devices = self.file.read(dict[str, set[str]]) or {}

    def _content(self) -> bytes:
        return msgspec.json.encode({device: sorted(found) for device, found in sorted(self._devices.items())})

    @property
    def devices(self) -> list[str]:
        """Return all devices."""
        return list(self._devices)

    def entities(self, device: str) -> set[str]:
        """Return the entities that were published of a device."""
        return set(self._devices.get(device, ()))

    def add(self, device: str, entities: Iterable[str]) -> None:
        """Note that a device and these entities are published."""
        self._devices.setdefault(device, set()).update(entities)
        self.file.changed()

    def drop(self, device: str, entities: Iterable[str] | None = None) -> None:
        """Delete entities that are gone from the broker; without `entities` the whole device."""
        if entities is None:
            self._devices.pop(device, None)
        elif device in self._devices:
            self._devices[device].difference_update(entities)
        self.file.changed()


class Retained:
    """Publishes and empties retained topics; a device is dropped from the manifest once all is empty."""

    def __init__(self, bus: Publishes, manifest: Manifest) -> None:
        self._bus = bus
        self._manifest = manifest
        # Topics that were emptied, by device: said again on every connect, for an emptying may be lost too.
        self._emptied: dict[str, dict[str, Sent]] = {}

    def keep(self, device: str, topic: str, payload: bytes, qos: int = 1) -> Sent:
        """Publish a retained payload of a device."""
        self.fill(device, topic)
        return self._bus.publish(topic, payload, qos=qos, retain=True)

    def fill(self, device: str, topic: str) -> None:
        """Mark the topic as in use, so that `connected` does not clear it."""
        self._emptied.get(device, {}).pop(topic, None)

    def empty(self, device: str, topics: Iterable[str], *, gone: bool) -> None:
        """Clear topics of a device; `gone`: all that it has."""
        emptied = self._emptied.setdefault(device, {})
        for topic in topics:
            emptied[topic] = self._bus.publish(topic, b"", retain=True)
        if gone and all(sent is Sent.YES for sent in emptied.values()):
            self._manifest.drop(device)

    def connected(self, devices: Iterable[str]) -> None:
        """Clear again what must be empty; `devices` are those that are not gone."""
        there = set(devices)
        for device, emptied in self._emptied.items():
            self.empty(device, list(emptied), gone=device not in there)
