"""Victron Orion XS: what it reports and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.orion_xs import OrionXS

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, open_record, power, require_within
from collector.devices.victron_codes import (
    CHARGE_STATE,
    CHARGER_CODES,
    CHARGER_ERROR,
    OFF_REASON_ROWS,
    read_codes,
    read_off_reasons,
    require_credible,
)
from collector.devices.victron_rows import amperes, volts, watts

# Victron has not published this record: keshavdv/victron-ble 0.9.3, devices/orion_xs.py, after
# github.com/Fabian-Schmidt/esphome-victron_ble, pull request 54.
_READOUT_TYPE = 0x0F
_PLAIN_LENGTH = 14
# victron-ble knows the first; VE_REG_DC_CHANNEL1_VOLTAGE and _CURRENT of all other records use the second.
_NOT_AVAILABLE = (0xFFFF, 0x7FFF)

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "charge_state": CHARGE_STATE,
        "charger_error": CHARGER_ERROR,
        "output_voltage": volts("Output voltage"),
        "output_current": amperes("Output current"),
        "power": watts("Output power"),
        "input_voltage": volts("Input voltage"),
        "input_current": amperes("Input current"),
        **OFF_REASON_ROWS,
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, power out positive. Raises DecodeError."""
    record = open_record(OrionXS(key.hex()), raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, CHARGER_CODES)
    off, unknown_off = read_off_reasons(record.bits(80, 32))
    output_voltage, output_current = _scaled(record, 16, 100), _scaled(record, 32, 10)
    values: Values = {
        **codes,
        "output_voltage": output_voltage,
        "output_current": output_current,
        "power": power(output_voltage, output_current),
        "input_voltage": _scaled(record, 48, 100),
        "input_current": _scaled(record, 64, 10),
        **off,
    }
    for name in ("output", "input"):
        require_within(f"{name}_voltage", values[f"{name}_voltage"], 0, 100)
        require_within(f"{name}_current", values[f"{name}_current"], -150, 150)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, (*unknown, *unknown_off))


def _scaled(record: Record, start: int, per_unit: int) -> float | None:
    """Signed, where victron-ble reads -0.2 A as 6553.4 A: no Orion XS comes near the sign bit."""
    if record.bits(start, 16) in _NOT_AVAILABLE:
        return None
    return record.signed(start, 16) / per_unit


KIND = BleKind(
    name="victron_orion_xs",
    title="Victron Orion XS over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="keshavdv/victron-ble 0.9.3; Fabian-Schmidt/esphome-victron_ble, pull request 54; velib",
    needs=("address", "key"),
    tested=(Tested.TWIN,),
    decode=decode,
)
