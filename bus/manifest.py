"""What a process has published of its devices, over its restarts: what is gone meanwhile can be cleared."""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bus import keeping

log = logging.getLogger(__name__)


class Manifest:
    """Devices and their entities; without a path it lasts as long as the process."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        # Unreadable, nothing but old topics may stay behind: it is written anew.
        self._devices = keeping.read(path, dict[str, set[str]]) or {}
        self._saved = {device: set(entities) for device, entities in self._devices.items()}
        self.problem: str | None = None

    @property
    def devices(self) -> list[str]:
        """All of them."""
        return list(self._devices)

    def entities(self, device: str) -> set[str]:
        """What was published of a device."""
        return set(self._devices.get(device, ()))

    def add(self, device: str, entities: Iterable[str]) -> None:
        """They are published from now on."""
        self._devices.setdefault(device, set()).update(entities)

    def drop(self, device: str, entities: Iterable[str] | None = None) -> None:
        """They are gone from the broker; without `entities` the whole device."""
        if entities is None:
            self._devices.pop(device, None)
        elif device in self._devices:
            self._devices[device].difference_update(entities)

    def save(self) -> None:
        """Write the file if anything changed; a disk that refuses is told once, and asked again."""
        if self._path is None or self._devices == self._saved:
            return
        content = {device: sorted(entities) for device, entities in sorted(self._devices.items())}
        try:
            keeping.write(self._path, msgspec.json.encode(content))
        except OSError as error:
            if self.problem is None:
                log.warning("%s cannot be written: %s", self._path, error)
            self.problem = f"{self._path}: {error.strerror or error}"
            return
        self.problem = None
        self._saved = {device: set(entities) for device, entities in self._devices.items()}
