"""Victron devices on a VE.Direct cable: the table of labels, by family of device.

What a family also says over Bluetooth has the same entity there, so that a cable may replace the radio.
Labels, units, codes and formats: Victron Energy, VE.Direct Protocol, table "Fields" and what follows it. The
units of DC_IN_V, DC_IN_I and DC_IN_P: a capture of an Orion XS, github.com/KinDR007/VictronMPPT-ESPHOME, pull
request 222.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bus.about import TOTAL_INCREASING, Entity
from collector.devices.description import Row, Rows, Value
from collector.devices.rows import (
    FIRMWARE,
    SERIAL_NUMBER,
    as_optional,
    flag,
    measured,
    serial_number,
    status,
    text,
    with_role,
)
from collector.devices.victron import OFF_REASON_ROWS, reason_rows
from collector.devices.victron.ble import KINDS, WORDS
from collector.devices.victron.fields import amperes, volts
from collector.devices.victron.products import Family
from collector.devices.victron.registers import INVERTER_MODES, hex_rows

_MONITOR_ROWS = KINDS["victron_battery_monitor"].rows
_INVERTER_ROWS = KINDS["victron_inverter"].rows
_SOLAR_ROWS = KINDS["victron_solar_charger"].rows
_AC_CHARGER_ROWS = KINDS["victron_ac_charger"].rows
_ORION_ROWS = KINDS["victron_orion_xs"].rows
_RS_ROWS = KINDS["victron_multi_rs"].rows

TRACKER_STATES = {0: "off", 1: "limited", 2: "active"}
MODES = {1: "charger", 2: "inverter", 3: "on", 4: "off", 5: "eco", 253: "hibernate"}
# What a SmartShunt is set to measure.
METER_TYPES = dict(sorted(WORDS["meter_type"].items()))
CHARGER_ERRORS = {**WORDS["charger_error"], 19: "current_reversed"}
Bounds = tuple[float, float]
# A meter of nothing may say a few mV below 0.
_BATTERY_V = (-1, 100)
# The largest shunt Victron sells is for 2000 A.
_BATTERY_A = (-2000, 2000)
# The protocol's numbers have 32 bits; what is much longer is none.
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}|0[xX][0-9A-Fa-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Label:
    """A label's entity, its row, and `read`: the value of the text; ValueError if it is none.

    No such device says a number outside `within`.
    """

    entity: str
    row: Row
    read: Callable[[str], Value]
    within: Bounds | None = None


def number(said: str) -> int:
    """Read a decimal number, or a hexadecimal one with 0x. Raises ValueError."""
    if not _NUMBER.fullmatch(said):
        raise ValueError(f"{said!r} is no number")
    return int(said, 16) if said[:2] in ("0x", "0X") else int(said)


def _scaled(factor: float, digits: int) -> Callable[[str], float]:
    return lambda said: round(number(said) * factor, digits)


_milli = _scaled(0.001, 3)
_hundredth = _scaled(0.01, 2)
_tenth = _scaled(0.1, 1)
_one = _scaled(1, 0)
# From hundredths of kWh.
_energy = _scaled(10, 0)


def _minutes(said: str) -> float | None:
    """TTG: minutes as seconds, None if there is no end."""
    return None if number(said) < 0 else number(said) * 60


def _switch(said: str) -> str:
    if said.upper() not in ("ON", "OFF"):
        raise ValueError(f"{said!r} is neither ON nor OFF")
    return said.upper()


def _drawn(said: str) -> float:
    """H6: mAh that count down from 0, as Ah that count up."""
    return abs(round(number(said) * 0.001, 3))


def _firmware(said: str) -> str:
    """FW: 0419 is 4.19, C208 the release candidate C of 2.08."""
    candidate, digits = (said[0], said[1:]) if said[:1].isalpha() else ("", said)
    version = f"{int(digits[:-2])}.{int(digits[-2:]):02}"
    return f"{version}-rc-{candidate}" if candidate else version


def _long_firmware(said: str) -> str:
    """FWE: 0419FF is 4.19, 041902 its second beta."""
    version = _firmware(said[:-2])
    return version if said[-2:].upper() == "FF" else f"{version}-beta-{int(said[-2:], 16):02}"


def _word(words: Mapping[int, str]) -> Callable[[str], str]:
    def read(said: str) -> str:
        code = number(said)
        if code not in words:
            raise ValueError(f"{code} is no code that anybody described")
        return words[code]

    return read


def _code(
    entity: str, name: str, words: Mapping[int, str], *, diagnostic: bool = False, optional: bool = False
) -> Label:
    return Label(entity, status(name, words.values(), diagnostic=diagnostic, optional=optional), _word(words))


def _as_bluetooth(
    entity: str,
    rows: Rows,
    read: Callable[[str], Value],
    *,
    within: Bounds | None = None,
    optional: bool = False,
) -> Label:
    return Label(entity, as_optional(rows[entity]) if optional else rows[entity], read, within)


def _said(entity: str, name: str, read: Callable[[str], Value]) -> Label:
    return Label(entity, text(name, diagnostic=True, optional=True), read)


def _aside(entity: str, name: str, unit: str, read: Callable[[str], Value]) -> Label:
    return Label(entity, measured(name, unit, diagnostic=True, optional=True), read)


def _count(entity: str, name: str) -> Label:
    row = measured(name, None, state_class=TOTAL_INCREASING, diagnostic=True, optional=True)
    return Label(entity, row, _one)


def _counter(entity: str, name: str, role: str | None = None) -> Label:
    return Label(entity, measured(name, "Wh", role=role, optional=True), _energy)


def _extreme(entity: str, name: str) -> Label:
    return Label(entity, volts(name, diagnostic=True, optional=True), _milli)


_DEVICE: dict[str, Label] = {
    "Relay": Label("relay", flag("Relay", diagnostic=True, optional=True), _switch),
    "FW": _said(FIRMWARE, "Firmware", _firmware),
    "FWE": _said(FIRMWARE, "Firmware", _long_firmware),
    "SER#": Label(SERIAL_NUMBER, serial_number(), str),
}
_MONITOR: dict[str, Label] = {
    "V": _as_bluetooth("voltage", _MONITOR_ROWS, _milli, within=_BATTERY_V),
    "I": _as_bluetooth("current", _MONITOR_ROWS, _milli, within=_BATTERY_A),
    # Finer than what the device says it is, V times I replaces it.
    "P": _as_bluetooth("power", _MONITOR_ROWS, _one),
    # Those set to measure a consumer or a source have no battery to tell about.
    "SOC": _as_bluetooth("soc", _MONITOR_ROWS, _tenth, within=(0, 100), optional=True),
    "CE": _as_bluetooth("consumed_charge", _MONITOR_ROWS, _milli, optional=True),
    "TTG": _as_bluetooth("time_remaining", _MONITOR_ROWS, _minutes, optional=True),
    "VS": _as_bluetooth("starter_voltage", _MONITOR_ROWS, _milli),
    "VM": _as_bluetooth("midpoint_voltage", _MONITOR_ROWS, _milli),
    "DM": Label("midpoint_deviation", measured("Midpoint deviation", "%", optional=True), _tenth),
    "T": _as_bluetooth("temperature", _MONITOR_ROWS, _one),
    "MON": _code("meter_type", "Meter type", METER_TYPES, diagnostic=True, optional=True),
    "H1": _aside("deepest_discharge", "Deepest discharge", "Ah", _milli),
    "H2": _aside("last_discharge", "Last discharge", "Ah", _milli),
    "H3": _aside("average_discharge", "Average discharge", "Ah", _milli),
    "H4": _count("charge_cycles", "Charge cycles"),
    "H5": _count("full_discharges", "Full discharges"),
    "H6": Label(
        "charge_drawn",
        measured("Charge drawn", "Ah", state_class=TOTAL_INCREASING, diagnostic=True, optional=True),
        _drawn,
    ),
    "H7": _extreme("lowest_voltage", "Lowest voltage"),
    "H8": _extreme("highest_voltage", "Highest voltage"),
    "H9": _aside("time_since_full", "Time since full charge", "s", _one),
    "H10": _count("synchronisations", "Synchronisations"),
    "H11": _count("low_voltage_alarms", "Low voltage alarms"),
    "H12": _count("high_voltage_alarms", "High voltage alarms"),
    "H13": _count("low_starter_voltage_alarms", "Low starter voltage alarms"),
    "H14": _count("high_starter_voltage_alarms", "High starter voltage alarms"),
    "H15": _extreme("lowest_starter_voltage", "Lowest starter voltage"),
    "H16": _extreme("highest_starter_voltage", "Highest starter voltage"),
    "H17": _counter("energy_discharged", "Energy discharged"),
    "H18": _counter("energy_charged", "Energy charged", "battery"),
}
_CHARGER: dict[str, Label] = {
    "V": _as_bluetooth("voltage", _SOLAR_ROWS, _milli, within=_BATTERY_V),
    "I": _as_bluetooth("current", _SOLAR_ROWS, _milli, within=_BATTERY_A),
    "CS": _as_bluetooth("charge_state", _SOLAR_ROWS, _word(WORDS["charge_state"])),
    "ERR": _code("charger_error", "Charger error", CHARGER_ERRORS, diagnostic=True),
    "LOAD": Label("load", flag("Load output", optional=True), _switch),
    "IL": _as_bluetooth("load_current", _SOLAR_ROWS, _milli),
}
_SUN: dict[str, Label] = {
    "PPV": _as_bluetooth("power", _SOLAR_ROWS, _one, within=(0, 20_000)),
    "VPV": Label("solar_voltage", volts("Solar voltage", role="solar"), _milli, within=(-1, 600)),
    "MPPT": _code("tracker_state", "Tracker", TRACKER_STATES, optional=True),
    "H19": _counter("yield_total", "Yield", "solar"),
    "H20": _as_bluetooth("yield_today", _SOLAR_ROWS, _energy, within=(0, 200_000)),
    "H21": _aside("highest_power_today", "Highest power today", "W", _one),
    # A day's result, not a counter: it goes up and down.
    "H22": Label(
        "yield_yesterday",
        Row(
            entity=Entity(
                name="Yield yesterday", unit="Wh", device_class="energy", precision=0, diagnostic=True
            ),
            optional=True,
        ),
        _energy,
    ),
    "H23": _aside("highest_power_yesterday", "Highest power yesterday", "W", _one),
    "HSDS": _said("day_number", "Day number", _one),
}
_INVERTER: dict[str, Label] = {
    "V": _as_bluetooth("voltage", _INVERTER_ROWS, _milli, within=_BATTERY_V),
    "CS": _as_bluetooth("device_state", _INVERTER_ROWS, _word(WORDS["inverter_state"])),
    "MODE": _code("mode", "Mode", INVERTER_MODES),
    "AC_OUT_V": _as_bluetooth("ac_voltage", _INVERTER_ROWS, _hundredth, within=(0, 300)),
    "AC_OUT_I": _as_bluetooth("ac_current", _INVERTER_ROWS, _tenth),
    # Old firmware does not have it.
    "AC_OUT_S": _as_bluetooth("ac_apparent_power", _INVERTER_ROWS, _one, optional=True),
}
_OUTPUTS: dict[str, Label] = {
    "V2": Label("voltage_2", volts("Battery 2 voltage"), _milli),
    "V3": Label("voltage_3", volts("Battery 3 voltage"), _milli),
    "I2": Label("current_2", amperes("Battery 2 current"), _milli),
    "I3": Label("current_3", amperes("Battery 3 current"), _milli),
}
# From shore power; of several outputs, the first.
_AC_CHARGER: dict[str, Label] = _CHARGER | {
    "V": _as_bluetooth("voltage", _AC_CHARGER_ROWS, _milli, within=_BATTERY_V),
    "I": _as_bluetooth("current", _AC_CHARGER_ROWS, _milli, within=_BATTERY_A),
    "T": _as_bluetooth("temperature", _AC_CHARGER_ROWS, _one, within=(-60, 125), optional=True),
    **{label: replace(one, row=as_optional(one.row)) for label, one in _OUTPUTS.items()},
}
_DC_DC: dict[str, Label] = _CHARGER | {
    "V": _as_bluetooth("voltage", {"voltage": _ORION_ROWS["output_voltage"]}, _milli, within=_BATTERY_V),
    "I": _as_bluetooth("current", {"current": _ORION_ROWS["output_current"]}, _milli, within=_BATTERY_A),
    "P": _as_bluetooth("power", _ORION_ROWS, _one),
    "DC_IN_V": _as_bluetooth("input_voltage", _ORION_ROWS, _hundredth, within=_BATTERY_V),
    "DC_IN_I": _as_bluetooth("input_current", _ORION_ROWS, _tenth, within=_BATTERY_A),
    "DC_IN_P": Label("input_power", measured("Input power", "W"), _one),
}
# No capture of its text is known: the labels are the protocol's, the entities those it has over Bluetooth.
_RS: dict[str, Label] = {
    "V": _as_bluetooth("voltage", _RS_ROWS, _milli, within=_BATTERY_V),
    "I": _as_bluetooth("current", _RS_ROWS, _milli, within=_BATTERY_A),
    "CS": _as_bluetooth("device_state", _RS_ROWS, _word(WORDS["inverter_state"])),
    "ERR": _code("charger_error", "Charger error", CHARGER_ERRORS, diagnostic=True),
    "MODE": _code("mode", "Mode", MODES),
    "VPV": Label("pv_voltage", volts("Solar voltage", role="solar"), _milli),
    "PPV": _as_bluetooth("pv_power", _RS_ROWS, _one),
    "H20": _as_bluetooth("yield_today", _RS_ROWS, _energy, within=(0, 200_000)),
    **{label: _SUN[label] for label in ("MPPT", "H19", "H21", "H22", "H23", "HSDS")},
    **{label: _INVERTER[label] for label in ("AC_OUT_V", "AC_OUT_I", "AC_OUT_S")},
    "SOC": _as_bluetooth("soc", _MONITOR_ROWS, _tenth, within=(0, 100)),
    "T": _as_bluetooth("temperature", _MONITOR_ROWS, _one),
}

FIELDS: Mapping[Family, Mapping[str, Label]] = {
    Family.MONITOR: _MONITOR | _DEVICE,
    Family.SOLAR: _CHARGER | _SUN | _DEVICE,
    Family.INVERTER: _INVERTER | _DEVICE,
    Family.CHARGER: _AC_CHARGER | _DEVICE,
    Family.DC_DC: _DC_DC | _DEVICE,
    Family.RS: _RS | _DEVICE,
    Family.OTHER: _DC_DC
    | _MONITOR
    | _INVERTER
    | _SUN
    | _OUTPUTS
    | _CHARGER
    | _DEVICE
    # Of what nobody knows, an input is not the starter battery.
    | {"MODE": _RS["MODE"], "DC_IN_V": replace(_DC_DC["DC_IN_V"], row=volts("Input voltage"))},
}
# The bits of VE_REG_ALARM_REASON that a family can set.
REASON_BITS: Mapping[Family, tuple[int, ...]] = {
    Family.MONITOR: tuple(range(8)),
    Family.SOLAR: (),
    Family.INVERTER: (0, 1, 5, 6, 8, 9, 10, 11, 12),
    Family.CHARGER: (),
    Family.DC_DC: (),
    Family.RS: tuple(range(14)),
    Family.OTHER: tuple(range(14)),
}

# Voltage times current, where no label says it.
_PRODUCTS: Mapping[Family, Rows] = {
    Family.CHARGER: {"power": _AC_CHARGER_ROWS["power"]},
    Family.RS: {"power": _RS_ROWS["power"]},
}


def _all_optional(rows: Rows) -> dict[str, Row]:
    return {entity: as_optional(row) for entity, row in rows.items()}


def _rows(family: Family) -> Rows:
    rows = {field.entity: field.row for field in FIELDS[family].values()}
    bits = REASON_BITS[family]
    if bits:
        rows |= reason_rows(bits)
    if family in (Family.INVERTER, Family.RS, Family.OTHER):
        rows |= _all_optional(reason_rows(bits, "warning"))
    if family is not Family.MONITOR:
        rows |= _all_optional(OFF_REASON_ROWS)
    rows |= _PRODUCTS.get(family, {})
    rows |= hex_rows(family, rows)
    return _all_optional(_without_role(rows)) if family is Family.OTHER else rows


def _without_role(rows: Rows) -> Rows:
    plain = with_role({entity: row.entity for entity, row in rows.items()}, "none")
    return {entity: replace(row, entity=plain[entity]) for entity, row in rows.items()}


ROWS: Mapping[Family, Rows] = {family: _rows(family) for family in Family}
# Of a monitor that is set to measure a consumer or a source: which, its owner says with `role`.
METER_ROWS = _without_role(ROWS[Family.MONITOR])
# What any of them says.
ALL_ROWS: Rows = {entity: row for rows in ROWS.values() for entity, row in _all_optional(rows).items()}
