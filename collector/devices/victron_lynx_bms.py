"""Victron Lynx Smart BMS: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.lynx_smart_bms import LynxSmartBMS, LynxSmartBMSData

from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, boolean, open_record, power, require_within
from collector.devices.victron_codes import Code, read_codes
from collector.devices.victron_rows import (
    amperes,
    celsius,
    consumed_charge,
    enumeration,
    flag,
    problem,
    state_of_charge,
    time_remaining,
    volts,
    watts,
)

# extra-manufacturer-data-2022-12-14.pdf, table "(Lynx Smart) BMS (0x0A)".
_READOUT_TYPE = 0x0A
_PLAIN_LENGTH = 16
_SOC_NOT_AVAILABLE = 0x3FF
# VE_REG_BMS_ERROR: github.com/victronenergy/gui-v2, velib, regs_payload.h, without the reserved numbers.
_ERRORS = {
    0: "no_error",
    1: "battery_init",
    2: "no_battery_found",
    3: "unknown_product",
    4: "battery_type",
    5: "number_of_batteries",
    6: "no_shunt_found",
    7: "measure",
    8: "calculate",
    9: "batteries_in_series",
    10: "batteries",
    11: "hardware_failure",
    12: "watchdog",
    13: "over_voltage",
    14: "under_voltage",
    15: "over_temperature",
    16: "under_temperature",
    17: "io_expander",
    18: "under_charge_standby",
    20: "contactor_startup",
    22: "adc_failure",
    23: "slave_failure",
    25: "pre_charge",
    26: "contactor",
    28: "slave_update",
    29: "slave_update_unavailable",
    30: "calibration_lost",
    31: "settings_lost",
    32: "bms_cable",
    33: "reference_voltage",
    34: "wrong_system_voltage",
    35: "pre_charge_timeout",
    36: "atc_atd_failure",
    116: "calibration_lost",
    119: "settings_lost",
}
_CODES = {"error": Code(0, 8, _ERRORS)}
# VE_REG_BMS_IO and VE_REG_BMS_WARNINGS_ALARMS are pairs of bits: github.com/victronenergy/dbus-ble-sensors,
# src/victron-lsbms.c. The first bit of each pair:
_IO = {
    58: ("allow_to_charge", "Allowed to charge"),
    60: ("allow_to_discharge", "Allowed to discharge"),
    62: ("external_relay", "External relay"),
}
_ALARMS = {
    72: ("alarm_low_cell_voltage", "Low cell voltage alarm"),
    74: ("alarm_high_current", "High current alarm"),
    76: ("alarm_high_internal_temperature", "High internal temperature alarm"),
    78: ("alarm_contactor", "Contactor alarm"),
    80: ("alarm_bms_cable", "BMS cable alarm"),
    82: ("alarm_load_disconnect", "Load disconnect alarm"),
    84: ("alarm_low_soc", "Low charge alarm"),
    88: ("alarm_high_temperature", "High temperature alarm"),
}
_ALL_ALARMS = range(72, 90, 2)
_ON, _NORMAL = 1, 1

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "voltage": volts("Voltage"),
        "current": amperes("Current"),
        "power": watts("Power", precision=1),
        "soc": state_of_charge(),
        "consumed_charge": consumed_charge(),
        "time_remaining": time_remaining(),
        "temperature": celsius("Temperature", step=1, precision=0),
        "error": enumeration("Error", _ERRORS.values(), diagnostic=True),
        **{entity: flag(name) for entity, name in _IO.values()},
        "alarm": problem("Alarm", diagnostic=False),
        **{entity: problem(name) for entity, name in _ALARMS.values()},
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError.

    An alarm is ON from its warning on.
    """
    parser = LynxSmartBMS(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _CODES)
    data = LynxSmartBMSData(record.model_id, parser.parse_decrypted(record.plain))
    minutes, consumed = data.get_remaining_mins(), data.get_consumed_ah()
    values: Values = {
        "voltage": data.get_voltage(),
        "current": data.get_current(),
        "power": power(data.get_voltage(), data.get_current()),
        # victron-ble looks for 14 set bits in this field of 10.
        "soc": None if record.bits(90, 10) == _SOC_NOT_AVAILABLE else data.get_soc(),
        # What is missing, not what is in.
        "consumed_charge": None if consumed is None else 0 - consumed,
        "time_remaining": None if minutes is None else minutes * 60,
        "temperature": data.get_battery_temperature(),
        **codes,
        **{entity: _output(record.bits(start, 2)) for start, (entity, _) in _IO.items()},
        **_alarms(record),
    }
    _require_plausible(values, unknown)
    return Decoded(values, record.model, unknown)


def _output(pair: int) -> str | None:
    return boolean(on=pair == _ON) if pair else None


def _alarms(record: Record) -> Values:
    """0 is not available, 1 normal; of 2 and 3 nobody says which is the warning, both are worth a look."""
    pairs = {start: record.bits(start, 2) for start in _ALL_ALARMS}
    each: Values = {
        entity: boolean(on=pairs[start] > _NORMAL) if pairs[start] else None
        for start, (entity, _) in _ALARMS.items()
    }
    most = max(pairs.values())
    return {"alarm": boolean(on=most > _NORMAL) if most else None, **each}


def _require_plausible(values: Values, unknown: tuple[str, ...]) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 70)
    # The largest carries 1000 A.
    require_within("current", values["current"], -1200, 1200)
    require_within("soc", values["soc"], 0, 100)
    require_within("consumed_charge", values["consumed_charge"], -10_000, 0)
    if unknown and values["alarm"] == "ON":
        raise ImplausibleError("implausible: the error is unknown while there are alarms")


KIND = BleKind(
    name="victron_lynx_bms",
    title="Victron Lynx Smart BMS over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); victron-ble 0.9.3; dbus-ble-sensors; velib",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
