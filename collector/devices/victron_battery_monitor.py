"""Victron SmartShunt and BMV: what they report and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.battery_monitor import AuxMode, BatteryMonitor, BatteryMonitorData

from bus.about import MEASUREMENT, Entity
from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, boolean, open_record, require_within

# extra-manufacturer-data-2022-12-14.pdf, table "Battery Monitor (0x02)".
_READOUT_TYPE = 0x02
_PLAIN_LENGTH = 15
_ALARM_BYTES = 4
_CURRENT_NOT_AVAILABLE = 0x3FFFFF
_AUX_NOT_AVAILABLE = {
    AuxMode.STARTER_VOLTAGE: (0x7FFF,),
    AuxMode.MIDPOINT_VOLTAGE: (0xFFFF,),
    # A sensor at 0 K is a sensor that is not there.
    AuxMode.TEMPERATURE: (0xFFFF, 0),
}
_ALARM_BITS = (
    ("alarm_low_voltage", "Low voltage alarm"),
    ("alarm_high_voltage", "High voltage alarm"),
    ("alarm_low_soc", "Low charge alarm"),
    ("alarm_low_starter_voltage", "Low starter voltage alarm"),
    ("alarm_high_starter_voltage", "High starter voltage alarm"),
    ("alarm_low_temperature", "Low temperature alarm"),
    ("alarm_high_temperature", "High temperature alarm"),
    ("alarm_mid_voltage", "Midpoint voltage alarm"),
)


def _volts(name: str, *, optional: bool = False) -> Row:
    entity = Entity(name=name, unit="V", device_class="voltage", state_class=MEASUREMENT, precision=2)
    return Row(entity=entity, step=0.01, optional=optional)


def _alarm(name: str, *, diagnostic: bool = True) -> Row:
    return Row(entity=Entity(name=name, device_class="problem", boolean=True, diagnostic=diagnostic))


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "voltage": _volts("Voltage"),
        "current": Row(
            entity=Entity(
                name="Current", unit="A", device_class="current", state_class=MEASUREMENT, precision=2
            ),
            step=0.05,
        ),
        "power": Row(
            entity=Entity(name="Power", unit="W", device_class="power", state_class=MEASUREMENT, precision=1),
            step=1,
        ),
        "soc": Row(
            entity=Entity(
                name="State of charge", unit="%", device_class="battery", state_class=MEASUREMENT, precision=1
            ),
            step=0.1,
        ),
        "consumed_charge": Row(
            entity=Entity(name="Consumed charge", unit="Ah", state_class=MEASUREMENT, precision=1), step=0.1
        ),
        "time_remaining": Row(
            entity=Entity(
                name="Time remaining",
                unit="s",
                device_class="duration",
                state_class=MEASUREMENT,
                precision=0,
            ),
            step=60,
        ),
        "starter_voltage": _volts("Starter voltage", optional=True),
        "midpoint_voltage": _volts("Midpoint voltage", optional=True),
        "temperature": Row(
            entity=Entity(
                name="Temperature",
                unit="°C",
                device_class="temperature",
                state_class=MEASUREMENT,
                precision=1,
            ),
            step=0.1,
            optional=True,
        ),
        "alarm": _alarm("Alarm", diagnostic=False),
        **{key: _alarm(name) for key, name in _ALARM_BITS},
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
    _require_plausible(record, values)
    return Decoded({**values, **_alarms(record)}, record.model)


def _measured(record: Record, data: BatteryMonitorData) -> Values:
    voltage = data.get_voltage()
    # The 22 bits are sign-extended before victron-ble compares them, so "not available" would read -0.001 A.
    current = None if record.bits(66, 22) == _CURRENT_NOT_AVAILABLE else data.get_current()
    minutes = data.get_remaining_mins()
    values: Values = {
        "voltage": voltage,
        "current": current,
        "power": None if voltage is None or current is None else round(voltage * current, 2),
        "soc": data.get_soc(),
        "consumed_charge": data.get_consumed_ah(),
        "time_remaining": None if minutes is None else minutes * 60,
    }
    mode = data.get_aux_mode()
    known = record.bits(48, 16) not in _AUX_NOT_AVAILABLE.get(mode, ())
    if mode is AuxMode.STARTER_VOLTAGE:
        values["starter_voltage"] = data.get_starter_voltage() if known else None
    elif mode is AuxMode.MIDPOINT_VOLTAGE:
        values["midpoint_voltage"] = data.get_midpoint_voltage() if known else None
    elif mode is AuxMode.TEMPERATURE:
        values["temperature"] = data.get_temperature() if known else None
    return values


def _alarms(record: Record) -> Values:
    alarms = record.bits(32, 16)
    bits: Values = {key: boolean(on=bool(alarms >> bit & 1)) for bit, (key, _) in enumerate(_ALARM_BITS)}
    return {"alarm": boolean(on=alarms != 0), **bits}


def _require_plausible(record: Record, values: Values) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    # The largest shunt Victron sells is for 2000 A.
    require_within("current", values["current"], -2000, 2000)
    require_within("soc", values["soc"], 0, 100)
    require_within("consumed_charge", values["consumed_charge"], -10_000, 0)
    # One alarm of another kind of device may be new firmware; several, or the two undefined bits, are noise.
    foreign = record.bits(40, 8)
    if foreign.bit_count() > 1 or foreign >= 0x40:
        raise ImplausibleError(f"implausible: alarm bits {record.bits(32, 16):#06x}")


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
