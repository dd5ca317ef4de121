"""The topics that a process wants retained: said again on every connect, and cleared when they are gone."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bus.state_files import KeptFile


class RetainedTopics:
    """{topic: payload} as it is wanted at the broker, which is a bus, not a store: it may forget everything.

    An empty payload is a wish, too: the broker may start again from an older file. The devices that were
    described, with their entities, stand in the file `path`, for a later run to clear what it has no more.
    Changed by the owner's thread alone; the network's reads `said`.
    """

    def __init__(self, path: Path | None = None) -> None:
        # For all to read; `want` and `release` write it, and at which QoS it is said.
        self.wanted: dict[str, bytes] = {}
        self._qos: dict[str, int] = {}
        self.file = KeptFile(path, self._content)
        # Unreadable, nothing but old topics may stay behind: it is written anew.
        self._devices = self.file.read(dict[str, set[str]]) or {}

    def _content(self) -> bytes:
        return msgspec.json.encode({device: sorted(found) for device, found in sorted(self._devices.items())})

    def want(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Want a payload from now on."""
        self._qos[topic] = qos
        self.wanted[topic] = payload

    def release(self, topic: str) -> None:
        """Want nothing of a topic any more: another says what stands there."""
        self.wanted.pop(topic, None)
        self._qos.pop(topic, None)

    def said(self) -> list[tuple[str, bytes, int]]:
        """Return topic, payload and QoS of all but what is cleared, in the order of their first mention."""
        # Copied in one step, for another thread may ask.
        return [
            (topic, payload, self._qos.get(topic, 1))
            for topic, payload in list(self.wanted.items())
            if payload
        ]

    def cleared(self) -> list[str]:
        """Return the topics where nothing must be retained."""
        return [topic for topic, payload in self.wanted.items() if not payload]

    @property
    def devices(self) -> list[str]:
        """The devices that this run or an earlier one has described."""
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
