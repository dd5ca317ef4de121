"""Victron Orion-Tr Smart: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.dcdc_converter import DcDcConverter, DcDcConverterData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, require_within
from collector.devices.victron_codes import (
    CHARGE_STATE,
    CHARGER_CODES,
    CHARGER_ERROR,
    OFF_REASON_ROWS,
    read_codes,
    read_off_reasons,
    require_credible,
)
from collector.devices.victron_rows import volts

# extra-manufacturer-data-2022-12-14.pdf, table "DC/DC Converter (0x04)".
_READOUT_TYPE = 0x04
_PLAIN_LENGTH = 10
_OFF_REASON_BYTES = 6

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "charge_state": CHARGE_STATE,
        "charger_error": CHARGER_ERROR,
        "input_voltage": volts("Input voltage"),
        "output_voltage": volts("Output voltage"),
        **OFF_REASON_ROWS,
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS. Raises DecodeError."""
    parser = DcDcConverter(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, CHARGER_CODES)
    off, unknown_off = read_off_reasons(record.bits(48, 32))
    # victron-ble would refuse the whole record for an unknown code or two reasons at once.
    plain = record.with_bytes(0, bytes(2))[:_OFF_REASON_BYTES] + bytes(4)
    data = DcDcConverterData(record.model_id, parser.parse_decrypted(plain))
    values: Values = {
        **codes,
        "input_voltage": data.get_input_voltage(),
        "output_voltage": data.get_output_voltage(),
        **off,
    }
    require_within("input_voltage", values["input_voltage"], 0, 100)
    require_within("output_voltage", values["output_voltage"], 0, 100)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, (*unknown, *unknown_off))


KIND = BleKind(
    name="victron_dc_dc_converter",
    title="Victron Orion-Tr Smart over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3; velib, ve_regs.h",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
