"""Battery management systems (BMS) that are asked over a Bluetooth connection: what all of them report.

A family is one file: it asks in its own words and returns a Pack. Nothing is ever written to a BMS: to switch
its MOSFETs can leave a van without power.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from bus.about import TOTAL_INCREASING
from collector.devices.description import (
    BadRecordError,
    Decoded,
    GattKind,
    ImplausibleError,
    Row,
    Rows,
    Tested,
    Value,
    Values,
)
from collector.devices.lines import Channel, GattLine
from collector.devices.rows import as_optional, common, flag, measured, on_off, problem, text
from collector.devices.victron.fields import power, require_within

# What a BMS protects against, or warns of: the ends of the entities, and names.
REASONS: Mapping[str, str] = {
    "high_cell_voltage": "High cell voltage",
    "low_cell_voltage": "Low cell voltage",
    "high_voltage": "High voltage",
    "low_voltage": "Low voltage",
    "high_charge_current": "High charge current",
    "high_discharge_current": "High discharge current",
    "short_circuit": "Short circuit",
    "high_charge_temperature": "High charge temperature",
    "low_charge_temperature": "Low charge temperature",
    "high_discharge_temperature": "High discharge temperature",
    "low_discharge_temperature": "Low discharge temperature",
    "high_mosfet_temperature": "High MOSFET temperature",
    "high_temperature": "High temperature",
    "low_temperature": "Low temperature",
    "high_soc": "High charge",
    "low_soc": "Low charge",
    "cell_imbalance": "Cell imbalance",
    "temperature_difference": "Temperature difference",
    "mosfet": "MOSFET failure",
    "mosfet_locked": "MOSFET lock",
    "wiring": "Cell wire resistance",
    "cell_count": "Cell count",
    "hardware": "Hardware failure",
    "communication": "Communication failure",
}
_MOST_CELLS, _MOST_TEMPERATURES = 32, 8
# Beyond these a pack is no battery of a van, and the bytes were read by a wrong layout.
_WITHIN = {
    "battery_voltage": (0, 200),
    "battery_current": (-2000, 2000),
    "battery_soc": (0, 110),
    "battery_soh": (0, 110),
    "capacity": (0, 10_000),
    "remaining_capacity": (0, 10_000),
    "mosfet_temperature": (-60, 200),
}
_CELL_WITHIN, _DEGREES_WITHIN = (0, 6), (-60, 150)
_REASONS_TOLD = 8


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a frame, in the form that `struct` writes, from its byte `at` on: raw * times + plus."""

    entity: str
    form: str
    at: int
    times: float = 1
    plus: float = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """A bit of a frame; with the whole byte as `mask`, ON unless it is 0."""

    entity: str
    at: int
    mask: int = 0xFF


def integer(frame: bytes, form: str, at: int) -> int:
    """Read one raw number. Raises BadRecordError if the frame is too short."""
    try:
        (raw,) = struct.unpack_from(form, frame, at)
    except struct.error as error:
        raise BadRecordError(f"a frame of {len(frame)} bytes is too short") from error
    return int(raw)


def read(frame: bytes, fields: Iterable[Number | Switch], shift: int = 0) -> Values:
    """Read fields that stand `shift` bytes later. Raises BadRecordError."""
    return {one.entity: _read(frame, one, one.at + shift) for one in fields}


def _read(frame: bytes, one: Number | Switch, at: int) -> float | str | None:
    if isinstance(one, Switch):
        return on_off(bool(integer(frame, "B", at) & one.mask))
    return round(integer(frame, one.form, at) * one.times + one.plus, 6)


def series(frame: bytes, form: str, places: range, times: float, plus: float = 0) -> list[float]:
    """Read numbers of one form that begin at these bytes. Raises BadRecordError."""
    return [round(integer(frame, form, at) * times + plus, 6) for at in places]


def numbered(cells: Iterable[float]) -> dict[int, float]:
    """Return the voltages of the cells that are there, by their number from 1 on."""
    return {n: volts for n, volts in enumerate(cells, 1) if volts}


def reasons(bits: int, words: Mapping[int, str]) -> list[str]:
    """Return the words of the bits that are set; one that has none is told by its number."""
    return [words.get(bit, f"bit {bit}") for bit in range(bits.bit_length()) if bits >> bit & 1]


def ascii_text(data: bytes) -> str | None:
    """Return a text that ends with a zero or with the data; None if there is none."""
    said = data.split(b"\0")[0].decode("ascii", "replace").strip()
    return said if said and said.isprintable() and "\ufffd" not in said else None


@dataclass(slots=True, kw_only=True)
class Pack:
    """What a BMS says: values by entity, V of the cells by their number, °C, protections and warnings.

    `warnings` is None if it has none of its own.
    """

    values: Values
    cells: Mapping[int, float] = field(default_factory=dict)
    temperatures: Sequence[float | None] = ()
    alarms: Sequence[str] = ()
    warnings: Sequence[str] | None = None
    model: str | None = None
    manufacturer: str | None = None
    serial_number: str | None = None
    sw_version: str | None = None


class Dialect(Protocol):
    """How the BMS of a family are asked: one for each connection."""

    def read(self, line: GattLine) -> Pack:
        """Ask for everything. Raises DecodeError or LineError."""


def _named(entity: str) -> Row:
    row = common(entity)
    assert row is not None  # noqa: S101 — a common one
    return row


_VOLTS = common("battery_voltage", precision=2, step=0.05)
assert _VOLTS is not None  # noqa: S101 — the same
_BASE: Mapping[str, Row] = {
    "battery_voltage": _VOLTS,
    "battery_current": _named("battery_current"),
    "battery_power": _named("battery_power"),
    "battery_soc": _named("battery_soc"),
    "alarm": problem("Alarm", diagnostic=False),
    "alarm_reason": text("Alarm reason", diagnostic=True),
}
_MORE: Mapping[str, Row] = {
    "battery_soh": _named("battery_soh"),
    "remaining_capacity": measured("Remaining capacity", "Ah"),
    "capacity": measured("Capacity", "Ah", diagnostic=True),
    "charge_cycles": measured("Charge cycles", None, state_class=TOTAL_INCREASING, diagnostic=True),
    "cell_voltage_difference": measured("Cell voltage difference", "V", precision=3, step=0.005),
    "mosfet_temperature": measured("MOSFET temperature", "°C", diagnostic=True),
    "charge_mosfet": flag("Charge MOSFET"),
    "discharge_mosfet": flag("Discharge MOSFET"),
    "balancing": flag("Balancing", diagnostic=True),
    "heater": flag("Heater"),
    "warning": problem("Warning", diagnostic=False),
    "warning_reason": text("Warning reason", diagnostic=True),
}


def _cell_row(n: int) -> Row:
    return measured(f"Cell voltage {n}", "V", precision=3, step=0.005)


@lru_cache(maxsize=32)
def _rows(words: tuple[str, ...], cells: tuple[int, ...], temperatures: int) -> Rows:
    return {
        **_BASE,
        **{entity: as_optional(row) for entity, row in _MORE.items()},
        **{f"cell_voltage_{n}": as_optional(_cell_row(n)) for n in cells},
        **{
            f"battery_temperature_{n}": as_optional(_named(f"battery_temperature_{n}"))
            for n in range(1, temperatures + 1)
        },
        **{f"alarm_{word}": problem(f"{REASONS[word]} alarm") for word in words},
    }


@dataclass(slots=True)
class Bms:
    """One BMS. It says how many cells and sensors it has once it has answered.

    `dialect` makes the way to ask it from its Modbus `unit`, which most have no use for.
    """

    dialect: Callable[[int], Dialect]
    unit: int
    words: tuple[str, ...]
    # The number of the connection it was asked on.
    _asked: tuple[int, Dialect] | None = field(default=None, compare=False)

    @property
    def rows(self) -> Rows:
        """What any of its family reports."""
        return _rows(self.words, (1,), 1)

    def poll(self, line: GattLine, now: float) -> Decoded:
        """Ask it. Raises DecodeError or LineError."""
        del now
        number = line.connected()
        if self._asked is None or self._asked[0] != number:
            self._asked = number, self.dialect(self.unit)
        return decoded(self._asked[1].read(line), self.words)


def decoded(pack: Pack, words: tuple[str, ...]) -> Decoded:
    """Return what a pack says as the values of its entities. Raises ImplausibleError."""
    _require_plausible(pack)
    values = dict(pack.values)
    values["battery_power"] = power(values.get("battery_voltage"), values.get("battery_current"))
    if pack.cells:
        values["cell_voltage_difference"] = round(max(pack.cells.values()) - min(pack.cells.values()), 3)
    values |= {f"cell_voltage_{n}": volts for n, volts in pack.cells.items()}
    values |= {f"battery_temperature_{n}": degrees for n, degrees in enumerate(pack.temperatures, 1)}
    values |= {f"alarm_{word}": on_off(word in pack.alarms) for word in words}
    values |= dict(_told("alarm", pack.alarms))
    if pack.warnings is not None:
        values |= dict(_told("warning", pack.warnings))
    return Decoded(
        values,
        pack.model,
        rows=_rows(words, tuple(pack.cells), len(pack.temperatures)),
        manufacturer=pack.manufacturer,
        serial_number=pack.serial_number,
        sw_version=pack.sw_version,
    )


def _told(of: str, found: Sequence[str]) -> Iterator[tuple[str, Value]]:
    yield of, on_off(bool(found))
    yield f"{of}_reason", ", ".join(dict.fromkeys(found[:_REASONS_TOLD])) or "none"


def _require_plausible(pack: Pack) -> None:
    if len(pack.cells) > _MOST_CELLS or len(pack.temperatures) > _MOST_TEMPERATURES:
        raise ImplausibleError(
            f"implausible: {len(pack.cells)} cells, {len(pack.temperatures)} temperature sensors"
        )
    for entity, within in _WITHIN.items():
        require_within(entity, pack.values.get(entity), *within)
    for n, volts in pack.cells.items():
        require_within(f"cell_voltage_{n}", volts, *_CELL_WITHIN)
    for n, degrees in enumerate(pack.temperatures, 1):
        require_within(f"battery_temperature_{n}", degrees, *_DEGREES_WITHIN)


def bms_kind(
    name: str,
    *,
    title: str,
    manufacturer: str,
    channels: tuple[Channel, ...],
    source: str,
    words: Iterable[str],
    dialect: Callable[[int], Dialect],
    unit: int | None = None,
    tested: tuple[Tested, ...] = (Tested.CAPTURE, Tested.TWIN),
) -> GattKind:
    """Declare a family; `words` are what its BMS protect against, `unit` is the first of several."""
    its = tuple(word for word in REASONS if word in set(words))
    first = unit or 0
    return GattKind(
        name=name,
        title=title,
        manufacturer=manufacturer,
        rows=_rows(its, (1,), 1),
        source=source,
        needs=("address",),
        takes=() if unit is None else ("unit",),
        tested=tested,
        discovers=True,
        defaults={} if unit is None else {"unit": unit},
        every=10.0,
        make=lambda settings: Bms(dialect, first if settings.unit is None else settings.unit, its),
        channels=channels,
    )
