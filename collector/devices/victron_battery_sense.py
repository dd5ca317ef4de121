"""Victron Smart Battery Sense: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.battery_monitor import AuxMode
from victron_ble.devices.battery_sense import BatterySense, BatterySenseData

from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import BATTERY_SENSE, MANUFACTURER, Record, open_record, require_within
from collector.devices.victron_battery_monitor import AUX_NOT_AVAILABLE, CURRENT_NOT_AVAILABLE
from collector.devices.victron_codes import read_reasons
from collector.devices.victron_rows import celsius, volts

# extra-manufacturer-data-2022-12-14.pdf, table "Battery Monitor (0x02)", of which it fills the voltage and
# the auxiliary input: keshavdv/victron-ble, tests/test_battery_sense.py.
_PLAIN_LENGTH = 15
_ALARM_BYTES = 4

ROWS: Mapping[str, Row] = MappingProxyType(
    {"voltage": volts("Voltage"), "temperature": celsius("Temperature"), **BLE_ROWS}
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS. Raises DecodeError."""
    parser = BatterySense(key.hex())
    record = open_record(parser, raw, readout_type=BATTERY_SENSE, plain_length=_PLAIN_LENGTH)
    _require_sense(record)
    # victron-ble would refuse the whole record for two alarms at once.
    parsed = parser.parse_decrypted(record.with_bytes(_ALARM_BYTES, bytes(2)))
    data = BatterySenseData(record.model_id, parsed)
    known = record.bits(48, 16) not in AUX_NOT_AVAILABLE[AuxMode.TEMPERATURE]
    values: Values = {
        "voltage": data.get_voltage(),
        "temperature": data.get_temperature() if known else None,
    }
    require_within("voltage", values["voltage"], 0, 100)
    require_within("temperature", values["temperature"], -60, 125)
    return Decoded(values, record.model)


def _require_sense(record: Record) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; it says more than these."""
    if record.bits(64, 2) != AuxMode.TEMPERATURE.value or record.bits(66, 22) not in CURRENT_NOT_AVAILABLE:
        raise ImplausibleError("implausible: a Smart Battery Sense measures a temperature and no current")
    read_reasons(record.bits(32, 16), range(8))


KIND = BleKind(
    name="victron_battery_sense",
    title="Victron Smart Battery Sense over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
