"""Victron SmartShunt and BMV: what they report and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.battery_monitor import AuxMode, BatteryMonitor, BatteryMonitorData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, open_record, power, require_within
from collector.devices.victron_codes import read_reasons, reason_rows
from collector.devices.victron_rows import (
    amperes,
    celsius,
    consumed_charge,
    state_of_charge,
    time_remaining,
    volts,
    watts,
)

# extra-manufacturer-data-2022-12-14.pdf, table "Battery Monitor (0x02)".
_READOUT_TYPE = 0x02
_PLAIN_LENGTH = 15
_ALARM_BYTES = 4
CURRENT_NOT_AVAILABLE = (0x3FFFFF, 0x1FFFFF)
"""The first stands in the document; devices send the second: captures of the Smart Battery Sense, and
github.com/victronenergy/dbus-ble-sensors, src/victron-battery_monitor.c."""
AUX_NOT_AVAILABLE = {
    AuxMode.STARTER_VOLTAGE: (0x7FFF,),
    AuxMode.MIDPOINT_VOLTAGE: (0xFFFF,),
    # A sensor at 0 K is a sensor that is not there.
    AuxMode.TEMPERATURE: (0xFFFF, 0),
}
_ALARMS = range(8)

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "voltage": volts("Voltage"),
        "current": amperes("Current", step=0.05, precision=2),
        "power": watts("Power", precision=1),
        "soc": state_of_charge(),
        "consumed_charge": consumed_charge(),
        "time_remaining": time_remaining(),
        "starter_voltage": volts("Starter voltage", optional=True),
        "midpoint_voltage": volts("Midpoint voltage", optional=True),
        "temperature": celsius("Temperature", optional=True),
        **reason_rows(_ALARMS),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError."""
    parser = BatteryMonitor(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    # AlarmReason knows one bit at a time and raises on two: the alarms are read below, from the bits.
    parsed = parser.parse_decrypted(record.with_bytes(_ALARM_BYTES, bytes(2)))
    values = _measured(record, BatteryMonitorData(record.model_id, parsed))
    _require_plausible(values)
    return Decoded({**values, **read_reasons(record.bits(32, 16), _ALARMS)}, record.model)


def _measured(record: Record, data: BatteryMonitorData) -> Values:
    voltage = data.get_voltage()
    # The 22 bits are sign-extended before victron-ble compares them, so "not available" would read -0.001 A.
    current = None if record.bits(66, 22) in CURRENT_NOT_AVAILABLE else data.get_current()
    minutes = data.get_remaining_mins()
    values: Values = {
        "voltage": voltage,
        "current": current,
        "power": power(voltage, current),
        "soc": data.get_soc(),
        "consumed_charge": data.get_consumed_ah(),
        "time_remaining": None if minutes is None else minutes * 60,
    }
    mode = data.get_aux_mode()
    known = record.bits(48, 16) not in AUX_NOT_AVAILABLE.get(mode, ())
    if mode is AuxMode.STARTER_VOLTAGE:
        values["starter_voltage"] = data.get_starter_voltage() if known else None
    elif mode is AuxMode.MIDPOINT_VOLTAGE:
        values["midpoint_voltage"] = data.get_midpoint_voltage() if known else None
    elif mode is AuxMode.TEMPERATURE:
        values["temperature"] = data.get_temperature() if known else None
    return values


def _require_plausible(values: Values) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    # The largest shunt Victron sells is for 2000 A.
    require_within("current", values["current"], -2000, 2000)
    require_within("soc", values["soc"], 0, 100)
    require_within("consumed_charge", values["consumed_charge"], -10_000, 0)


KIND = BleKind(
    name="victron_battery_monitor",
    title="Victron SmartShunt and BMV over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
