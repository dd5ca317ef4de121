"""VE.Direct's labels by family of device: which entity each is, its row, and how its text becomes a value.

What a family also says over Bluetooth has the same entity there, so that a cable may replace the radio.
Labels and units: Victron Energy, VE.Direct Protocol, table "Fields" and the field descriptions after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import MappingProxyType

import msgspec

from bus.about import MEASUREMENT, TOTAL_INCREASING, Entity
from collector.devices import vedirect_texts as texts
from collector.devices import victron_rows as shared
from collector.devices.description import Row, Rows, Value
from collector.devices.victron_battery_monitor import ROWS as MONITOR_ROWS
from collector.devices.victron_codes import (
    CHARGE_STATES,
    INVERTER_STATES,
    OFF_REASON_ROWS,
    reason_rows,
)
from collector.devices.victron_inverter import ROWS as INVERTER_ROWS
from collector.devices.victron_solar_charger import ROWS as SOLAR_ROWS


class Family(Enum):
    """Products that say the same things; OTHER are chargers, converters and what nobody knows yet."""

    MONITOR = auto()
    SOLAR = auto()
    INVERTER = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A label's entity, its row, and `read`: the value of the text; ValueError if it is none."""

    entity: str
    row: Row
    read: Callable[[str], Value]


def _diagnostic(row: Row) -> Row:
    return replace(row, entity=msgspec.structs.replace(row.entity, diagnostic=True))


def _maybe(row: Row) -> Row:
    return replace(row, optional=True)


def _said(name: str) -> Row:
    return Row(entity=Entity(name=name, diagnostic=True), optional=True)


def _charge(name: str) -> Row:
    entity = Entity(name=name, unit="Ah", state_class=MEASUREMENT, precision=1, diagnostic=True)
    return Row(entity=entity, step=0.1, optional=True)


def _count(name: str) -> Row:
    entity = Entity(name=name, state_class=TOTAL_INCREASING, precision=0, diagnostic=True)
    return Row(entity=entity, optional=True)


def _counted_energy(name: str) -> Row:
    entity = Entity(name=name, unit="Wh", device_class="energy", state_class=TOTAL_INCREASING, precision=0)
    return Row(entity=entity, optional=True)


def _extreme(row: Row) -> Row:
    return _maybe(_diagnostic(row))


_DEVICE: dict[str, Field] = {
    "Relay": Field("relay", _maybe(shared.flag("Relay", diagnostic=True)), texts.switch),
    "FW": Field("firmware", _said("Firmware"), texts.firmware),
    "FWE": Field("firmware", _said("Firmware"), texts.long_firmware),
    "SER#": Field("serial_number", _said("Serial number"), str),
}
_MONITOR: dict[str, Field] = {
    "V": Field("voltage", MONITOR_ROWS["voltage"], texts.milli),
    "I": Field("current", MONITOR_ROWS["current"], texts.milli),
    # Finer than what the device says it is, V times I replaces it.
    "P": Field("power", MONITOR_ROWS["power"], texts.one),
    # Those set to measure a consumer or a source have no battery to tell about.
    "SOC": Field("soc", _maybe(MONITOR_ROWS["soc"]), texts.scaled(0.1, 1)),
    "CE": Field("consumed_charge", _maybe(MONITOR_ROWS["consumed_charge"]), texts.milli),
    "TTG": Field("time_remaining", _maybe(MONITOR_ROWS["time_remaining"]), texts.minutes),
    "VS": Field("starter_voltage", MONITOR_ROWS["starter_voltage"], texts.milli),
    "VM": Field("midpoint_voltage", MONITOR_ROWS["midpoint_voltage"], texts.milli),
    "DM": Field(
        "midpoint_deviation",
        Row(
            entity=Entity(name="Midpoint deviation", unit="%", state_class=MEASUREMENT, precision=1),
            step=0.1,
            optional=True,
        ),
        texts.scaled(0.1, 1),
    ),
    "T": Field("temperature", MONITOR_ROWS["temperature"], texts.one),
    "MON": Field(
        "meter_type",
        _maybe(shared.enumeration("Meter type", texts.METER_TYPES.values(), diagnostic=True)),
        texts.word(texts.METER_TYPES),
    ),
    "H1": Field("deepest_discharge", _charge("Deepest discharge"), texts.milli),
    "H2": Field("last_discharge", _charge("Last discharge"), texts.milli),
    "H3": Field("average_discharge", _charge("Average discharge"), texts.milli),
    "H4": Field("charge_cycles", _count("Charge cycles"), texts.one),
    "H5": Field("full_discharges", _count("Full discharges"), texts.one),
    "H6": Field(
        "charge_drawn",
        Row(
            entity=Entity(
                name="Charge drawn", unit="Ah", state_class=TOTAL_INCREASING, precision=1, diagnostic=True
            ),
            step=0.1,
            optional=True,
        ),
        texts.drawn,
    ),
    "H7": Field("lowest_voltage", _extreme(shared.volts("Lowest voltage")), texts.milli),
    "H8": Field("highest_voltage", _extreme(shared.volts("Highest voltage")), texts.milli),
    "H9": Field(
        "time_since_full",
        Row(
            entity=Entity(
                name="Time since full charge",
                unit="s",
                device_class="duration",
                state_class=MEASUREMENT,
                precision=0,
                diagnostic=True,
            ),
            step=60,
            optional=True,
        ),
        texts.one,
    ),
    "H10": Field("synchronisations", _count("Synchronisations"), texts.one),
    "H11": Field("low_voltage_alarms", _count("Low voltage alarms"), texts.one),
    "H12": Field("high_voltage_alarms", _count("High voltage alarms"), texts.one),
    "H13": Field("low_starter_voltage_alarms", _count("Low starter voltage alarms"), texts.one),
    "H14": Field("high_starter_voltage_alarms", _count("High starter voltage alarms"), texts.one),
    "H15": Field("lowest_starter_voltage", _extreme(shared.volts("Lowest starter voltage")), texts.milli),
    "H16": Field("highest_starter_voltage", _extreme(shared.volts("Highest starter voltage")), texts.milli),
    "H17": Field("energy_discharged", _counted_energy("Energy discharged"), texts.energy),
    "H18": Field("energy_charged", _counted_energy("Energy charged"), texts.energy),
}
_CHARGER: dict[str, Field] = {
    "V": Field("voltage", SOLAR_ROWS["voltage"], texts.milli),
    "I": Field("current", SOLAR_ROWS["current"], texts.milli),
    "CS": Field("charge_state", SOLAR_ROWS["charge_state"], texts.word(CHARGE_STATES)),
    "ERR": Field(
        "charger_error",
        shared.enumeration("Charger error", texts.CHARGER_ERRORS.values(), diagnostic=True),
        texts.word(texts.CHARGER_ERRORS),
    ),
    "LOAD": Field("load", _maybe(shared.flag("Load output")), texts.switch),
    "IL": Field("load_current", SOLAR_ROWS["load_current"], texts.milli),
}
_SUN: dict[str, Field] = {
    "PPV": Field("power", SOLAR_ROWS["power"], texts.one),
    "VPV": Field("solar_voltage", shared.volts("Solar voltage"), texts.milli),
    "MPPT": Field(
        "tracker_state",
        _maybe(shared.enumeration("Tracker", texts.TRACKER_STATES.values())),
        texts.word(texts.TRACKER_STATES),
    ),
    "H19": Field("yield_total", _counted_energy("Yield"), texts.energy),
    "H20": Field("yield_today", SOLAR_ROWS["yield_today"], texts.energy),
    "H21": Field("highest_power_today", _extreme(shared.watts("Highest power today")), texts.one),
    # A day's result, not a counter: it goes up and down.
    "H22": Field(
        "yield_yesterday",
        Row(
            entity=Entity(
                name="Yield yesterday", unit="Wh", device_class="energy", precision=0, diagnostic=True
            ),
            optional=True,
        ),
        texts.energy,
    ),
    "H23": Field("highest_power_yesterday", _extreme(shared.watts("Highest power yesterday")), texts.one),
    "HSDS": Field("day_number", _said("Day number"), texts.one),
}
_INVERTER: dict[str, Field] = {
    "V": Field("voltage", INVERTER_ROWS["voltage"], texts.milli),
    "CS": Field("device_state", INVERTER_ROWS["device_state"], texts.word(INVERTER_STATES)),
    "MODE": Field("mode", shared.enumeration("Mode", texts.MODES.values()), texts.word(texts.MODES)),
    "AC_OUT_V": Field("ac_voltage", INVERTER_ROWS["ac_voltage"], texts.scaled(0.01, 2)),
    "AC_OUT_I": Field("ac_current", INVERTER_ROWS["ac_current"], texts.scaled(0.1, 1)),
    # Old firmware does not have it.
    "AC_OUT_S": Field("ac_apparent_power", _maybe(INVERTER_ROWS["ac_apparent_power"]), texts.one),
}
_OUTPUTS: dict[str, Field] = {
    "V2": Field("voltage_2", shared.volts("Battery 2 voltage"), texts.milli),
    "V3": Field("voltage_3", shared.volts("Battery 3 voltage"), texts.milli),
    "I2": Field("current_2", shared.amperes("Battery 2 current"), texts.milli),
    "I3": Field("current_3", shared.amperes("Battery 3 current"), texts.milli),
}

FIELDS: Mapping[Family, Mapping[str, Field]] = MappingProxyType(
    {
        Family.MONITOR: _MONITOR | _DEVICE,
        Family.SOLAR: _CHARGER | _SUN | _DEVICE,
        Family.INVERTER: _INVERTER | _DEVICE,
        Family.OTHER: _MONITOR | _INVERTER | _SUN | _OUTPUTS | _CHARGER | _DEVICE,
    }
)
# The bits of VE_REG_ALARM_REASON that a family can set.
REASON_BITS: Mapping[Family, tuple[int, ...]] = MappingProxyType(
    {
        Family.MONITOR: tuple(range(8)),
        Family.SOLAR: (),
        Family.INVERTER: (0, 1, 5, 6, 8, 9, 10, 11, 12),
        Family.OTHER: tuple(range(14)),
    }
)


def _rows(family: Family) -> Rows:
    rows = {field.entity: field.row for field in FIELDS[family].values()}
    bits = REASON_BITS[family]
    if bits:
        rows |= reason_rows(bits)
    if family in (Family.INVERTER, Family.OTHER):
        rows |= {entity: _maybe(row) for entity, row in reason_rows(bits, "warning").items()}
    if family is not Family.MONITOR:
        rows |= {entity: _maybe(row) for entity, row in OFF_REASON_ROWS.items()}
    if family is Family.OTHER:
        rows = {entity: _maybe(row) for entity, row in rows.items()}
    return MappingProxyType(rows)


ROWS: Mapping[Family, Rows] = MappingProxyType({family: _rows(family) for family in Family})
# What any of them says.
ALL_ROWS: Rows = MappingProxyType(
    {entity: _maybe(row) for rows in ROWS.values() for entity, row in rows.items()}
)
