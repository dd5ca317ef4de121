"""Victron Phoenix Inverter Smart: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.inverter import Inverter, InverterData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, require_within
from collector.devices.victron_codes import (
    DEVICE_STATE,
    INVERTER_STATES,
    Code,
    read_codes,
    read_reasons,
    reason_rows,
)
from collector.devices.victron_rows import amperes, volt_amperes, volts

# extra-manufacturer-data-2022-12-14.pdf, table "Inverter (0x03)"; its alarms: VE.Direct-Protocol-3.32.pdf,
# field AR.
_READOUT_TYPE = 0x03
_PLAIN_LENGTH = 11
_ALARMS = (0, 1, 5, 6, 8, 9, 10, 11, 12)
_CODES = {"device_state": Code(0, 8, INVERTER_STATES)}

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "device_state": DEVICE_STATE,
        "voltage": volts("Battery voltage"),
        "ac_apparent_power": volt_amperes("AC output apparent power"),
        "ac_voltage": volts("AC output voltage"),
        "ac_current": amperes("AC output current"),
        **reason_rows(_ALARMS),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS. Raises DecodeError."""
    parser = Inverter(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _CODES)
    # victron-ble would refuse the whole record for an unknown code, and two alarms when asked for them.
    data = InverterData(record.model_id, parser.parse_decrypted(record.with_bytes(0, bytes(3))))
    values: Values = {
        **codes,
        "voltage": data.get_battery_voltage(),
        "ac_apparent_power": data.get_ac_apparent_power(),
        "ac_voltage": data.get_ac_voltage(),
        "ac_current": data.get_ac_current(),
        **read_reasons(record.bits(8, 16), _ALARMS),
    }
    require_within("voltage", values["voltage"], 0, 100)
    # The largest gives 5 kVA, for a moment twice as much.
    require_within("ac_apparent_power", values["ac_apparent_power"], 0, 12_000)
    require_within("ac_voltage", values["ac_voltage"], 0, 300)
    require_within("ac_current", values["ac_current"], 0, 100)
    return Decoded(values, record.model, unknown)


KIND = BleKind(
    name="victron_inverter",
    title="Victron Phoenix Inverter Smart over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14), VE.Direct 3.32; keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.TWIN,),
    decode=decode,
)
