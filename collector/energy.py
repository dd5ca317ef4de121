"""The energy of the powers of a device, on its owner's wish (`energy = true`): more entities of that device.

Each power is added up as a device of kind `integral` does it, in the machine's monotonic time. What is
published is on disk already: after a power cut no counter falls, and at most a minute of energy is missing. A
process that starts again in the same boot goes on from the power that was in force.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace as changed

from bus import state_files
from bus.about import Entity
from bus.integral import MAX_GAP, Integral
from collector.devices.description import Row, Rows, Values
from collector.devices.rows import as_optional, measured

log = logging.getLogger(__name__)

_INTO, _OUT = "_energy", "_energy_out"
_POWER = re.compile(r"\bpower\b", re.IGNORECASE)
_SAVE_S = 60.0
_DECIMALS = 3


def is_power(row: Row) -> bool:
    """Whether a row is a power that flows now; one about the device itself is a record or a limit."""
    entity = row.entity
    return entity.unit == "W" and entity.device_class == "power" and not entity.diagnostic


def with_energies(rows: Rows) -> Rows:
    """Add an energy to each power, and one of the other direction that appears with a negative power."""
    more: dict[str, Row] = {}
    for key, row in rows.items():
        if is_power(row):
            into = measured(_named(row.entity.name), "Wh", precision=1, step=0.1, role=row.entity.role)
            out = measured(f"{_named(row.entity.name)} out", "Wh", precision=1, step=0.1, optional=True)
            more[key + _INTO] = as_optional(into) if row.optional else into
            more[key + _OUT] = out
    return {**rows, **{key: row for key, row in more.items() if key not in rows}}


def outflow_without_role(entities: Mapping[str, Entity]) -> dict[str, Entity]:
    """Take the role from the energies of the other direction, which have none whatever the owner says."""
    return {key: changed(one, role=None) if key.endswith(_OUT) else one for key, one in entities.items()}


def _named(power: str) -> str:
    name = _POWER.sub("energy", power)
    return name[0].upper() + name[1:] if name != power else f"{power} energy"


class _Kept(msgspec.Struct):
    """Energy of a power in both directions, Wh, and the power in force since `at`, ms since the boot."""

    into: float = 0.0
    out: float = 0.0
    at: int | None = None
    watts: float | None = None


class _File(msgspec.Struct):
    boot: str
    powers: dict[str, _Kept] = {}


@dataclass(slots=True)
class _Running:
    into: Integral
    out: Integral
    watts: float | None
    # As it is on disk.
    saved: _Kept
    max_gap: int

    def feed(self, ts: int, watts: float | None) -> None:
        self.into.feed(ts, watts)
        self.out.feed(ts, watts)
        self.watts = watts

    def kept(self) -> _Kept:
        return _Kept(self.into.energy, self.out.energy, self.into.ts, self.watts)


class Energies:
    """Adds up the powers of this process's devices; `boot` names the boot, `now` is monotonic, seconds.

    Without a path they are kept in memory alone.
    """

    def __init__(self, path: Path | None = None, boot: str = "", now: float = 0.0) -> None:
        self._path = path
        self._boot = boot
        kept, _, why = state_files.load(path, _File)
        self._damage = None if why is None else f"{why}: the energies begin again at 0"
        self._refused: str | None = None
        self._kept = {} if kept is None else kept.powers
        for name, one in self._kept.items():
            if kept is None or kept.boot != boot or not boot or (one.at or 0) > now * 1000:
                # Of another boot: nobody knows how long ago that was.
                self._kept[name] = _Kept(one.into, one.out)
        self._running: dict[str, _Running] = {}
        self._saved_at = now
        self._changed = False

    @property
    def problem(self) -> str | None:
        """What is wrong with the file."""
        return self._refused or self._damage

    def feed(self, device: str, rows: Rows, values: Values, at: float, *, timeout: float = 0.0) -> Values:
        """Take the powers among a device's values at monotonic second `at`; return their energies, Wh.

        A device whose `timeout` is long, in seconds, may be silent for so long.
        """
        max_gap = max(MAX_GAP, round(timeout * 1000))
        fed: dict[str, _Running] = {}
        for key, watts in values.items():
            row = rows.get(key)
            if row is not None and is_power(row) and not isinstance(watts, str):
                fed[key] = self._of(f"{device}.{key}", max_gap)
                fed[key].feed(round(at * 1000), None if watts is None else float(watts))
                self._changed = True
        # Before it is told, so that who is asked rarely does not tell what was then.
        self.tick(at)
        found: Values = {key + _INTO: round(one.saved.into, _DECIMALS) for key, one in fed.items()}
        out = {key + _OUT: round(one.saved.out, _DECIMALS) for key, one in fed.items() if one.saved.out}
        return found | out

    def silent(self, device: str, rows: Rows, at: float, *, timeout: float = 0.0) -> None:
        """Note at monotonic second `at` that the powers of a device are not known any more."""
        self.feed(device, rows, dict.fromkeys(rows), at, timeout=timeout)

    def _of(self, name: str, max_gap: int) -> _Running:
        running = self._running.get(name)
        if running is not None and running.max_gap == max_gap:
            return running
        kept = self._kept.get(name, _Kept()) if running is None else running.kept()
        into = Integral(max_gap=max_gap, sign="positive")
        out = Integral(max_gap=max_gap, sign="negative")
        into.resume(kept.into, kept.at or 0, kept.watts)
        out.resume(kept.out, kept.at or 0, kept.watts)
        saved = _Kept(into.energy, out.energy) if running is None else running.saved
        self._running[name] = _Running(into, out, kept.watts, saved, max_gap)
        return self._running[name]

    def tick(self, now: float) -> None:
        """Write them to disk once a minute, if there is something new."""
        if self._changed and now - self._saved_at >= _SAVE_S:
            self._saved_at = now
            self.save()

    def save(self) -> None:
        """Write them to disk; what is there may be published."""
        fresh = {name: running.kept() for name, running in self._running.items()}
        if self._path is not None and self._changed:
            content = msgspec.json.encode(_File(self._boot, {**self._kept, **fresh}))
            try:
                state_files.write(self._path, content)
            except OSError as error:
                self._refused = (
                    f"{self._path} cannot be written: {error.strerror or error}; the energies stand still,"
                    " and go on when it can"
                )
                return
            self._refused = None
        self._changed = False
        for name, running in self._running.items():
            running.saved = fresh[name]
