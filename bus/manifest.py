"""What a process has published of its devices, over its restarts: what is gone meanwhile can be cleared."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bus.keeping import KeptFile


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
        """All of them."""
        return list(self._devices)

    def entities(self, device: str) -> set[str]:
        """What was published of a device."""
        return set(self._devices.get(device, ()))

    def add(self, device: str, entities: Iterable[str]) -> None:
        """They are published from now on."""
        self._devices.setdefault(device, set()).update(entities)
        self.file.changed()

    def drop(self, device: str, entities: Iterable[str] | None = None) -> None:
        """They are gone from the broker; without `entities` the whole device."""
        if entities is None:
            self._devices.pop(device, None)
        elif device in self._devices:
            self._devices[device].difference_update(entities)
        self.file.changed()
