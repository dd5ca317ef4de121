"""When outputs that are on for a time must go off: kept in /run, over the death of the process."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bus import state_files

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
        """An entity of the device that has still to be turned off."""
        return next(iter(self._off_at.get(device, {})), None)

    def set(self, key: Key, off_at: float) -> None:
        """It goes off then."""
        self._off_at.setdefault(key[0], {})[key[1]] = off_at
        self._save()

    def clear(self, key: Key) -> None:
        """It has no timer any more."""
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
