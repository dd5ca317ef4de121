"""Victron SmartShunt and BMV in the mode of a DC energy meter: what they report, a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.battery_monitor import AuxMode
from victron_ble.devices.dc_energy_meter import DcEnergyMeter, DcEnergyMeterData, MeterType

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, open_record, power, require_within
from collector.devices.victron_battery_monitor import AUX_NOT_AVAILABLE, CURRENT_NOT_AVAILABLE
from collector.devices.victron_codes import Code, read_codes, read_reasons, reason_rows, words
from collector.devices.victron_rows import amperes, celsius, enumeration, volts, watts

# extra-manufacturer-data-2022-12-14.pdf, table "DC Energy Meter (0x0D)".
_READOUT_TYPE = 0x0D
_PLAIN_LENGTH = 11
_ALARMS = (0, 1, 3, 4, 5, 6)
# 16 bits in two's complement, none of them "not available": -1 is a generic source. 0 is missing in
# victron-ble: github.com/victronenergy/gui-v2, velib, VE_REG_BMV_MONITOR_MODE.
_METER_TYPES = {0: "battery_monitor"} | {number & 0xFFFF: word for number, word in words(MeterType).items()}
_METER_TYPE = {"meter_type": Code(0, 16, _METER_TYPES, absent=())}
_LARGEST_METER_TYPE = 63
_ANY_METER_TYPE = MeterType.GENERIC_LOAD.value.to_bytes(2, "little")

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "meter_type": enumeration("Meter type", _METER_TYPES.values(), diagnostic=True),
        "voltage": volts("Voltage"),
        "current": amperes("Current", step=0.05, precision=2),
        "power": watts("Power", precision=1),
        "starter_voltage": volts("Starter voltage", optional=True),
        "temperature": celsius("Temperature", optional=True),
        **reason_rows(_ALARMS),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError."""
    parser = DcEnergyMeter(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _METER_TYPE)
    # victron-ble would refuse the whole record for a type of meter that it does not list.
    data = DcEnergyMeterData(record.model_id, parser.parse_decrypted(record.with_bytes(0, _ANY_METER_TYPE)))
    # The 22 bits are sign-extended before victron-ble compares them, so "not available" would be a number.
    current = None if record.bits(66, 22) in CURRENT_NOT_AVAILABLE else data.get_current()
    values: Values = {
        **codes,
        "voltage": data.get_voltage(),
        "current": current,
        "power": power(data.get_voltage(), current),
        **_auxiliary(record, data),
        **read_reasons(record.bits(32, 16), _ALARMS),
    }
    require_within("meter_type", record.signed(0, 16), -_LARGEST_METER_TYPE, _LARGEST_METER_TYPE)
    require_within("voltage", values["voltage"], 0, 100)
    # The largest shunt Victron sells is for 2000 A.
    require_within("current", values["current"], -2000, 2000)
    return Decoded(values, record.model, unknown)


def _auxiliary(record: Record, data: DcEnergyMeterData) -> Values:
    mode = data.get_aux_mode()
    known = record.bits(48, 16) not in AUX_NOT_AVAILABLE.get(mode, ())
    if mode is AuxMode.STARTER_VOLTAGE:
        return {"starter_voltage": data.get_starter_voltage() if known else None}
    if mode is AuxMode.TEMPERATURE:
        return {"temperature": data.get_temperature() if known else None}
    return {}


KIND = BleKind(
    name="victron_dc_energy_meter",
    title="Victron SmartShunt and BMV as DC energy meter over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3; velib",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
