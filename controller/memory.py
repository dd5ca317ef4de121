"""Remembers over a restart which relays were on, and whether the battery guard had tripped."""

import logging
from pathlib import Path

import msgspec

from bus import keeping

log = logging.getLogger(__name__)


class Memory:
    """A small file of positions by relay, or by any other word with a dot; written only when one changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions = self._read()

    def was_on(self, relay: str) -> bool:
        """Whether the relay was last commanded on, or what the word stands for was so."""
        return self._positions.get(relay, False)

    def remember(self, relay: str, *, on: bool) -> None:
        """Keep a position. Raises OSError when the disk refuses."""
        if self._positions.get(relay) is on:
            return
        positions = {**self._positions, relay: on}
        keeping.write(self._path, msgspec.json.encode(positions))
        # Only now: what the disk refused must be tried again.
        self._positions = positions

    def _read(self) -> dict[str, bool]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, bool])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, every relay counts as off: %s", self._path, error)
            return {}
