"""The one way to declare an entity: what a row says of itself follows from its unit, and names are shared.

Power into the battery and imported from the grid is positive, PV is never negative.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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
}

# Name and unit. A trailing number counts strings, trackers, packs (pv_voltage_1) or phases (voltage_l1).
_NAMES: Mapping[str, tuple[str, str]] = {
    "pv_power": ("PV power", "W"),
    "pv_voltage": ("PV voltage", "V"),
    "pv_current": ("PV current", "A"),
    "pv_energy_today": ("PV energy today", "Wh"),
    "pv_energy_total": ("PV energy", "Wh"),
    "energy_today": ("Energy today", "Wh"),
    "energy_total": ("Energy", "Wh"),
    "power": ("Power", "W"),
    "apparent_power": ("Apparent power", "VA"),
    "reactive_power": ("Reactive power", "var"),
    "load_power": ("Load power", "W"),
    "grid_power": ("Grid power", "W"),
    "grid_voltage": ("Grid voltage", "V"),
    "grid_current": ("Grid current", "A"),
    "grid_import_energy": ("Energy imported from the grid", "Wh"),
    "grid_export_energy": ("Energy exported to the grid", "Wh"),
    "grid_import_energy_today": ("Energy imported from the grid today", "Wh"),
    "grid_export_energy_today": ("Energy exported to the grid today", "Wh"),
    "battery_power": ("Battery power", "W"),
    "battery_voltage": ("Battery voltage", "V"),
    "battery_current": ("Battery current", "A"),
    "battery_soc": ("Battery state of charge", "%"),
    "battery_soh": ("Battery state of health", "%"),
    "battery_temperature": ("Battery temperature", "°C"),
    "battery_charge_energy": ("Energy into the battery", "Wh"),
    "battery_discharge_energy": ("Energy out of the battery", "Wh"),
    "battery_charge_energy_today": ("Energy into the battery today", "Wh"),
    "battery_discharge_energy_today": ("Energy out of the battery today", "Wh"),
    "voltage": ("Voltage", "V"),
    "current": ("Current", "A"),
    "frequency": ("Frequency", "Hz"),
    "temperature": ("Temperature", "°C"),
}
_DIAGNOSTIC = frozenset({"battery_soh", "temperature"})
SERIAL_NUMBER = "serial_number"


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
    optional: bool = False,
) -> Row:
    """Declare a number; what is not given follows from its unit in MEASURES."""
    measure = MEASURES.get(unit or "", _PLAIN)
    entity = Entity(
        name=name,
        unit=unit,
        device_class=device_class or measure.device_class,
        state_class=state_class or measure.state_class,
        precision=measure.precision if precision is None else precision,
        diagnostic=diagnostic,
        daily=daily,
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
    name, unit = _NAMES[base]
    return measured(
        name + number,
        unit,
        device_class="battery" if base == "battery_soc" else None,
        precision=precision,
        step=step,
        diagnostic=base in _DIAGNOSTIC,
        daily=base.endswith("energy_today"),
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


def as_optional(row: Row) -> Row:
    """Copy a row so that it appears once the device has reported it."""
    return replace(row, optional=True)


def serial_number() -> Row:
    """Declare a device's serial number."""
    return text("Serial number", diagnostic=True, optional=True)


def on_off(on: bool | None) -> Value:  # noqa: FBT001 — the value itself
    """Return the value of a boolean entity; None stays unknown."""
    return None if on is None else "ON" if on else "OFF"


RSSI = "rssi"
# The transport adds it to every kind that advertises, and fills in its value. A signal wanders while nothing
# moves: it rides along and is never worth a reading of its own.
BLE_ROWS: Mapping[str, Row] = {
    RSSI: measured("Signal strength", "dBm", device_class="signal_strength", step=math.inf, diagnostic=True)
}
