"""Victron Blue Smart and Phoenix Smart chargers: what they report and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.ac_charger import AcCharger, AcChargerData

from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, require_within
from collector.devices.victron_codes import (
    CHARGE_STATE,
    CHARGER_CODES,
    CHARGER_ERROR,
    read_codes,
    require_credible,
)
from collector.devices.victron_rows import amperes, celsius, volts

# extra-manufacturer-data-2022-12-14.pdf, table "AC Charger (0x08)".
_READOUT_TYPE = 0x08
_PLAIN_LENGTH = 13
# The largest charger with Bluetooth gives 100 A, all outputs together.
_MOST_AMPERES = 130.0
_OUTPUTS = (("voltage", "current"), ("voltage_2", "current_2"), ("voltage_3", "current_3"))

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "charge_state": CHARGE_STATE,
        "charger_error": CHARGER_ERROR,
        "voltage": volts("Battery voltage"),
        "current": amperes("Battery current"),
        "voltage_2": volts("Battery 2 voltage", optional=True),
        "current_2": amperes("Battery 2 current", optional=True),
        "voltage_3": volts("Battery 3 voltage", optional=True),
        "current_3": amperes("Battery 3 current", optional=True),
        "temperature": celsius("Temperature", step=1, precision=0),
        "ac_current": amperes("AC current", optional=True),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError."""
    parser = AcCharger(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, CHARGER_CODES)
    # victron-ble would refuse the whole record for an unknown code.
    data = AcChargerData(record.model_id, parser.parse_decrypted(record.with_bytes(0, bytes(2))))
    values: Values = {
        **codes,
        "voltage": data.get_output_voltage1(),
        "current": data.get_output_current1(),
        "temperature": data.get_temperature(),
    }
    optional = {
        "voltage_2": data.get_output_voltage2(),
        "current_2": data.get_output_current2(),
        "voltage_3": data.get_output_voltage3(),
        "current_3": data.get_output_current3(),
        "ac_current": data.get_ac_current(),
    }
    # What a model does not have it calls "not available" for ever: no entity for it.
    values |= {entity: value for entity, value in optional.items() if value is not None}
    _require_plausible(values)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, unknown)


def _require_plausible(values: Values) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    together = 0.0
    for voltage, current in _OUTPUTS:
        require_within(voltage, values.get(voltage), 0, 66)
        amperes_of = values.get(current)
        together += amperes_of if isinstance(amperes_of, float) else 0.0
    if together > _MOST_AMPERES:
        raise ImplausibleError(f"implausible: {together:g} A of all outputs")
    require_within("ac_current", values.get("ac_current"), 0, 40)


KIND = BleKind(
    name="victron_ac_charger",
    title="Victron Blue Smart and Phoenix Smart chargers over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
