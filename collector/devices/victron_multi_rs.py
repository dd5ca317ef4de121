"""Victron Multi RS Solar: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.multirs import MultiRS, MultiRSData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, power, require_within
from collector.devices.victron_codes import (
    AC_INPUT,
    AC_INPUTS,
    CHARGER_ERROR,
    CHARGER_ERRORS,
    DEVICE_STATE,
    INVERTER_STATES,
    Code,
    read_codes,
    require_credible,
)
from collector.devices.victron_rows import amperes, volts, watts, yield_today

# extra-manufacturer-data-2022-12-14.pdf, table "Multi RS (0x0B)".
_READOUT_TYPE = 0x0B
_PLAIN_LENGTH = 14
_VOLTAGE_NOT_AVAILABLE = 0x3FFF
_YIELD_NOT_AVAILABLE = 0xFFFF
_WH_PER_UNIT = 10
_CODES = {
    "device_state": Code(0, 8, INVERTER_STATES),
    "charger_error": Code(8, 8, CHARGER_ERRORS),
    "ac_input": Code(46, 2, AC_INPUTS, absent=(3,)),
}

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "device_state": DEVICE_STATE,
        "charger_error": CHARGER_ERROR,
        "voltage": volts("Battery voltage"),
        "current": amperes("Battery current"),
        "power": watts("Battery power"),
        "ac_input": AC_INPUT,
        "ac_in_power": watts("AC input power"),
        "ac_out_power": watts("AC output power"),
        "pv_power": watts("Solar power"),
        "yield_today": yield_today(),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, into the battery and from the grid positive.

    Raises DecodeError.
    """
    parser = MultiRS(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _CODES)
    # victron-ble reads both bytes signed, so "not available" and every state from 0x80 on are unknown to it.
    data = MultiRSData(record.model_id, parser.parse_decrypted(record.with_bytes(0, bytes(2))))
    # It takes these two for numbers even when they are not available, and the yield in kWh.
    known = record.bits(32, 14) != _VOLTAGE_NOT_AVAILABLE
    voltage = data.get_battery_voltage() if known else None
    energy = record.bits(96, 16)
    values: Values = {
        **codes,
        "voltage": voltage,
        "current": data.get_battery_current(),
        "power": power(voltage, data.get_battery_current()),
        "ac_in_power": data.get_active_ac_in_power(),
        "ac_out_power": data.get_active_ac_out_power(),
        "pv_power": data.get_pv_power(),
        "yield_today": None if energy == _YIELD_NOT_AVAILABLE else energy * _WH_PER_UNIT,
    }
    _require_plausible(values)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, unknown)


def _require_plausible(values: Values) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    # 6 kVA from a 48 V battery, for a moment twice as much.
    require_within("current", values["current"], -400, 400)
    # 50 A at 230 V pass through it.
    require_within("ac_in_power", values["ac_in_power"], -15_000, 15_000)
    require_within("ac_out_power", values["ac_out_power"], -15_000, 15_000)
    require_within("pv_power", values["pv_power"], 0, 20_000)
    require_within("yield_today", values["yield_today"], 0, 200_000)


KIND = BleKind(
    name="victron_multi_rs",
    title="Victron Multi RS Solar over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
