"""Remembers over a restart which relays were on, and whether the battery guard had tripped."""

from pathlib import Path

import msgspec

from bus import keeping


class Memory:
    """A small file of positions by relay, or by any other word with a dot; written only when one changed.

    `problem` says why what an earlier run kept cannot be read, until something is kept again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        positions, _, self.problem = keeping.load(path, dict[str, bool])
        self._positions = positions or {}

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
        self._positions, self.problem = positions, None
