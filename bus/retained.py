"""Retained topics of devices: said, emptied, and emptied again until the broker has heard it."""

from collections.abc import Iterable

from bus.events import Publishes, Sent
from bus.manifest import Manifest


class Retained:
    """Publishes and empties retained topics; a device is dropped from the manifest once all is empty."""

    def __init__(self, bus: Publishes, manifest: Manifest) -> None:
        self._bus = bus
        self._manifest = manifest
        # Topics that were emptied, by device: said again on every connect, for an emptying may be lost too.
        self._emptied: dict[str, dict[str, Sent]] = {}

    def keep(self, device: str, topic: str, payload: bytes, qos: int = 1) -> Sent:
        """Say something that stays."""
        self.fill(device, topic)
        return self._bus.publish(topic, payload, qos=qos, retain=True)

    def fill(self, device: str, topic: str) -> None:
        """Something stands there again."""
        self._emptied.get(device, {}).pop(topic, None)

    def empty(self, device: str, topics: Iterable[str], *, gone: bool) -> None:
        """Take back topics; `gone`: all of the device's."""
        emptied = self._emptied.setdefault(device, {})
        for topic in topics:
            emptied[topic] = self._bus.publish(topic, b"", retain=True)
        if gone and all(sent is Sent.YES for sent in emptied.values()):
            self._manifest.drop(device)

    def connected(self, devices: Iterable[str]) -> None:
        """Empty again what must be empty; `devices` are those that are not gone."""
        there = set(devices)
        for device, emptied in self._emptied.items():
            self.empty(device, list(emptied), gone=device not in there)
