"""The one way to declare an entity: what a row says of itself follows from its unit, and names are shared.

Power into the battery and imported from the grid is positive, PV is never negative.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from bus.about import MEASUREMENT, TOTAL_INCREASING, Entity
from collector.devices.description import Row, Value

_NUMBERED = re.compile(r"(.+?)_(l?)(\d+)$")


@dataclass(frozen=True, slots=True)
class Measure:
    """What a unit implies: Home Assistant's classes, the decimals worth showing, the step worth a reading."""

    device_class: str | None
    state_class: str | None
    precision: int | None
    step: float


MEASURES: Mapping[str, Measure] = {
    "V": Measure("voltage", MEASUREMENT, 1, 0.1),
    "A": Measure("current", MEASUREMENT, 2, 0.05),
    "W": Measure("power", MEASUREMENT, 0, 1),
    "Wh": Measure("energy", TOTAL_INCREASING, 0, 0),
    "VA": Measure("apparent_power", MEASUREMENT, 0, 1),
    "var": Measure("reactive_power", MEASUREMENT, 0, 1),
    "Hz": Measure("frequency", MEASUREMENT, 2, 0.02),
    "°C": Measure("temperature", MEASUREMENT, 1, 0.1),
    "s": Measure("duration", MEASUREMENT, 0, 60),
    "%": Measure(None, MEASUREMENT, 1, 0.1),
    "Ah": Measure(None, MEASUREMENT, 1, 0.1),
    "L": Measure("volume_storage", MEASUREMENT, 0, 1),
    "mm": Measure("distance", MEASUREMENT, 0, 2),
    "hPa": Measure("pressure", MEASUREMENT, 1, 0.2),
    "lx": Measure("illuminance", MEASUREMENT, 0, 5),
    "ppm": Measure("carbon_dioxide", MEASUREMENT, 0, 10),
    "kg": Measure("weight", MEASUREMENT, 2, 0.05),
    "m/s": Measure("speed", MEASUREMENT, 1, 0.1),
    "m³/h": Measure("volume_flow_rate", MEASUREMENT, 3, 0.01),
    "°": Measure(None, MEASUREMENT, 0, 1),
    # Written as Home Assistant does, with the Greek letter.
    "\u00b5g/m³": Measure(None, MEASUREMENT, 1, 1),
    "W/m²": Measure("irradiance", MEASUREMENT, 0, 5),
}

# Name, unit, role. A trailing number counts strings, trackers, packs (pv_voltage_1) or phases (voltage_l1):
# parts, which have no role. What flows out of the battery or to the grid has none either.
_NAMES: Mapping[str, tuple[str, str, str | None]] = {
    "pv_power": ("PV power", "W", "solar"),
    "pv_voltage": ("PV voltage", "V", "solar"),
    "pv_current": ("PV current", "A", "solar"),
    "pv_energy_today": ("PV energy today", "Wh", "solar"),
    "pv_energy_total": ("PV energy", "Wh", "solar"),
    "energy_today": ("Energy today", "Wh", None),
    "energy_total": ("Energy", "Wh", None),
    "power": ("Power", "W", None),
    "apparent_power": ("Apparent power", "VA", None),
    "reactive_power": ("Reactive power", "var", None),
    "load_power": ("Load power", "W", "load"),
    "grid_power": ("Grid power", "W", "grid"),
    "grid_voltage": ("Grid voltage", "V", "grid"),
    "grid_current": ("Grid current", "A", "grid"),
    "grid_import_energy": ("Energy imported from the grid", "Wh", "grid"),
    "grid_export_energy": ("Energy exported to the grid", "Wh", None),
    "grid_import_energy_today": ("Energy imported from the grid today", "Wh", "grid"),
    "grid_export_energy_today": ("Energy exported to the grid today", "Wh", None),
    "battery_power": ("Battery power", "W", "battery"),
    "battery_voltage": ("Battery voltage", "V", "battery"),
    "battery_current": ("Battery current", "A", "battery"),
    "battery_soc": ("Battery state of charge", "%", "battery"),
    "battery_soh": ("Battery state of health", "%", None),
    "battery_temperature": ("Battery temperature", "°C", "battery"),
    "battery_charge_energy": ("Energy into the battery", "Wh", "battery"),
    "battery_discharge_energy": ("Energy out of the battery", "Wh", None),
    "battery_charge_energy_today": ("Energy into the battery today", "Wh", "battery"),
    "battery_discharge_energy_today": ("Energy out of the battery today", "Wh", None),
    "voltage": ("Voltage", "V", None),
    "current": ("Current", "A", None),
    "frequency": ("Frequency", "Hz", None),
    "temperature": ("Temperature", "°C", None),
}
_DIAGNOSTIC = frozenset({"battery_soh", "temperature"})
SERIAL_NUMBER, FIRMWARE = "serial_number", "firmware"


_PLAIN = Measure(None, MEASUREMENT, 0, 0)


def measured(
    name: str,
    unit: str | None,
    *,
    device_class: str | None = None,
    state_class: str | None = None,
    precision: int | None = None,
    step: float | None = None,
    diagnostic: bool = False,
    daily: bool = False,
    role: str | None = None,
    optional: bool = False,
) -> Row:
    """Declare a number; what is not given follows from its unit. A constant's `state_class` is "", none."""
    measure = MEASURES.get(unit or "", _PLAIN)
    entity = Entity(
        name=name,
        unit=unit,
        device_class=device_class or measure.device_class,
        state_class=measure.state_class if state_class is None else state_class or None,
        precision=measure.precision if precision is None else precision,
        diagnostic=diagnostic,
        daily=daily,
        role=role,
    )
    return Row(entity=entity, step=measure.step if step is None else step, optional=optional)


def common(
    entity: str, *, precision: int | None = None, step: float | None = None, optional: bool = False
) -> Row | None:
    """Declare a common entity, None if the id is none: `battery_power`, `pv_voltage_2`, `power_l1`."""
    numbered = _NUMBERED.fullmatch(entity)
    base, number = (numbered[1], f" {numbered[2].upper()}{numbered[3]}") if numbered else (entity, "")
    if base not in _NAMES:
        return None
    name, unit, role = _NAMES[base]
    return measured(
        name + number,
        unit,
        device_class="battery" if base == "battery_soc" else None,
        precision=precision,
        step=step,
        diagnostic=base in _DIAGNOSTIC,
        daily=base.endswith("energy_today"),
        role=None if numbered else role,
        optional=optional,
    )


def text(name: str, *, diagnostic: bool = False, optional: bool = False) -> Row:
    """Declare a text."""
    return Row(entity=Entity(name=name, diagnostic=diagnostic), optional=optional)


def status(name: str, words: Iterable[str], *, diagnostic: bool = False, optional: bool = False) -> Row:
    """Declare an enumeration; several codes may share a word."""
    options = tuple(dict.fromkeys(words))
    entity = Entity(name=name, device_class="enum", options=options, diagnostic=diagnostic)
    return Row(entity=entity, optional=optional)


def flag(
    name: str, device_class: str | None = None, *, diagnostic: bool = False, optional: bool = False
) -> Row:
    """Declare a boolean, ON or OFF; without a class neither of them is a problem."""
    entity = Entity(name=name, device_class=device_class, boolean=True, diagnostic=diagnostic)
    return Row(entity=entity, optional=optional)


def problem(name: str, *, diagnostic: bool = True) -> Row:
    """Declare a boolean that is ON when something is wrong."""
    return flag(name, "problem", diagnostic=diagnostic)


# Units of what flows or is stored.
_FLOWS = ("V", "A", "W", "VA", "Wh", "Ah", "L", "%")


def with_role(entities: Mapping[str, Entity], role: str | None) -> dict[str, Entity]:
    """Give a device's values the role that its owner says, in place of their own; "none" takes it away.

    A device without roles gets it for all that it measures or switches of the van. The starter battery that
    is measured beside another one stays that.
    """
    if role is None:
        return dict(entities)
    roles = {key: one.role for key, one in entities.items() if one.role != "starter"}
    its = {key for key, own in roles.items() if own is not None} or {
        key
        for key in roles
        if not entities[key].diagnostic and (entities[key].boolean or entities[key].unit in _FLOWS)
    }
    new = None if role == "none" else role
    return {key: changed(one, role=new) if key in its else one for key, one in entities.items()}


def writable(rows: Mapping[str, Row], *, allowed: bool) -> Mapping[str, Row]:
    """Return the rows as they are if the owner allows writing, else their settings as values to read."""
    if allowed or not any(row.write for row in rows.values()):
        return rows
    return {key: row if row.write is None else _read_only(row) for key, row in rows.items()}


def _read_only(row: Row) -> Row:
    return replace(row, entity=changed(row.entity, command=False, range=None, step=None))


def as_optional(row: Row) -> Row:
    """Copy a row so that it appears once the device has reported it."""
    return replace(row, optional=True)


def serial_number() -> Row:
    """Declare a device's serial number."""
    return text("Serial number", diagnostic=True, optional=True)


# Entities that tell what the device itself is: the keys of about that they fill in.
IDENTITY: Mapping[str, str] = {SERIAL_NUMBER: "serial_number", FIRMWARE: "sw_version"}


def on_off(on: bool | None) -> Value:  # noqa: FBT001 — the value itself
    """Return the value of a boolean entity; None stays unknown."""
    return None if on is None else "ON" if on else "OFF"


RSSI = "rssi"
# The transport adds it to every kind that advertises, and fills in its value. A signal wanders while nothing
# moves: it rides along and is never worth a reading of its own.
BLE_ROWS: Mapping[str, Row] = {
    RSSI: measured("Signal strength", "dBm", device_class="signal_strength", step=math.inf, diagnostic=True)
}
