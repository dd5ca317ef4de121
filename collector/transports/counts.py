"""What pins have counted, kept over the end of the process: in /run always, on the card once a minute."""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bus import state_files
from collector.devices.lines import Count, Kept

log = logging.getLogger(__name__)

# A write wears the card. What is on it is what clients are told, so that a count never falls.
_PAUSE_S = 60.0
_Finite = Annotated[float, Meta(ge=0, le=1e15)]


class _Stored(Struct, frozen=True):
    pulses: Annotated[int, Meta(ge=0, lt=1 << 53)]
    per_unit: Annotated[float, Meta(gt=0, le=1e9)]
    before: _Finite


_File = dict[str, _Stored]


class CountFiles:
    """The counts of one chip's pins, None: the board's; nobody else may have its files open.

    Folder `runtime` is in memory and forgets at the machine's start, `state` is on the card.
    """

    def __init__(
        self,
        runtime: Path,
        state: Path,
        chip: str | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        name = "-".join(("collector_gpio-pulses", *re.findall(r"\w+", chip or ""))) + ".json"
        self._runtime, self._state = runtime / name, state / name
        self._monotonic = monotonic
        self._counts: dict[str, Count] = {}
        self._on_card: dict[str, Count] = {}
        # What an earlier run had kept and cannot be read, and why the card takes nothing now.
        self._lost: str | None = None
        self._refused: str | None = None
        self._written = float("-inf")
        self._read()

    def _read(self) -> None:
        for path in (self._state, self._runtime):
            stored, _, problem = state_files.load(path, _File)
            if problem is not None:
                self._lost = f"what was counted before is lost: {problem}"
                self._set_aside(path, problem)
            elif stored is not None:
                self._lost = None
            for name, one in (stored or {}).items():
                count = Count(one.pulses, one.per_unit, one.before)
                # The card may be older than the memory, and after a restored backup also newer.
                if name not in self._counts or count.units > self._counts[name].units:
                    self._counts[name] = count
                if path == self._state:
                    self._on_card[name] = count

    def _set_aside(self, path: Path, problem: str) -> None:
        try:
            log.error("%s; it is now %s", problem, state_files.set_aside(path))
        except OSError as error:
            log.warning("%s, and it cannot be set aside: %s", problem, error)

    def recall(self, name: str) -> Count | None:
        """Return a count as it was kept last."""
        return self._counts.get(name)

    def keep(self, name: str, count: Count) -> Kept:
        """Take note of a count; return what of it is on the card."""
        if count != self._counts.get(name):
            self._counts[name] = count
            self._write(self._runtime)
        now = self._monotonic()
        if now - self._written >= _PAUSE_S and self._counts != self._on_card:
            self.save()
            self._written = now
        if self._refused is not None:
            return Kept(count, self._refused)
        return Kept(self._on_card.get(name, Count()), self._lost)

    def save(self) -> None:
        """Write to the card what it does not have yet."""
        if self._counts == self._on_card:
            return
        if (problem := self._write(self._state)) is None:
            self._on_card, self._refused = dict(self._counts), None
        else:
            self._refused = f"the count cannot be kept, and would fall after a power cut: {problem}"

    def _write(self, path: Path) -> str | None:
        stored = {name: _Stored(one.pulses, one.per_unit, one.before) for name, one in self._counts.items()}
        try:
            state_files.write(path, msgspec.json.encode(stored))
        except OSError as error:
            log.warning("%s: %s", path, error)
            return f"{path}: {error.strerror or error}"
        return None
