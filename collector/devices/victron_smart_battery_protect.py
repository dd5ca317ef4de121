"""Victron Smart BatteryProtect: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.smart_battery_protect import SmartBatteryProtect, SmartBatteryProtectData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, require_within
from collector.devices.victron_codes import (
    CHARGE_STATES,
    CHARGER_ERROR,
    CHARGER_ERRORS,
    OFF_REASON_ROWS,
    Code,
    read_codes,
    read_off_reasons,
    read_reasons,
    reason_rows,
    require_credible,
)
from collector.devices.victron_rows import enumeration, volts

# extra-manufacturer-data-2022-12-14.pdf, table "Smart Battery Protect (0x09)".
_READOUT_TYPE = 0x09
_PLAIN_LENGTH = 15
_ALARMS = (0, 1, 5, 6, 8, 12, 13)
# github.com/victronenergy/gui-v2, velib, VE_REG_DC_OUTPUT_STATUS; 4: keshavdv/victron-ble, pull request 74.
_OUTPUT_STATES = {0: "off", 1: "on", 2: "connecting", 3: "activating", 4: "off"}
_CODES = {
    "device_state": Code(0, 8, CHARGE_STATES),
    "output_state": Code(8, 8, _OUTPUT_STATES),
    "charger_error": Code(16, 8, CHARGER_ERRORS),
}

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "device_state": enumeration("Device state", CHARGE_STATES.values()),
        "output_state": enumeration("Output state", _OUTPUT_STATES.values()),
        "charger_error": CHARGER_ERROR,
        "input_voltage": volts("Input voltage"),
        "output_voltage": volts("Output voltage"),
        **reason_rows(_ALARMS),
        **reason_rows(_ALARMS, "warning"),
        **OFF_REASON_ROWS,
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS. Raises DecodeError."""
    parser = SmartBatteryProtect(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _CODES)
    off, unknown_off = read_off_reasons(record.bits(88, 32))
    # victron-ble would refuse the whole record for an unknown code, two alarms or two reasons at once.
    plain = bytes(7) + record.plain[7:11] + bytes(4)
    data = SmartBatteryProtectData(record.model_id, parser.parse_decrypted(plain))
    values: Values = {
        **codes,
        "input_voltage": data.get_input_voltage(),
        "output_voltage": data.get_output_voltage(),
        **read_reasons(record.bits(24, 16), _ALARMS),
        **read_reasons(record.bits(40, 16), _ALARMS, "warning"),
        **off,
    }
    require_within("input_voltage", values["input_voltage"], 0, 100)
    require_within("output_voltage", values["output_voltage"], 0, 100)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, (*unknown, *unknown_off))


KIND = BleKind(
    name="victron_smart_battery_protect",
    title="Victron Smart BatteryProtect over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3; velib, ve_regs.h",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
