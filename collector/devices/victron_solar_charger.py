"""Victron SmartSolar and BlueSolar MPPT: what they report and how a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.solar_charger import SolarCharger, SolarChargerData

from collector.devices.description import BleKind, Decoded, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, open_record, require_within
from collector.devices.victron_codes import (
    CHARGE_STATE,
    CHARGER_CODES,
    CHARGER_ERROR,
    read_codes,
    require_credible,
)
from collector.devices.victron_rows import amperes, volts, watts, yield_today

# extra-manufacturer-data-2022-12-14.pdf, table "Solar Charger (0x01)".
_READOUT_TYPE = 0x01
_PLAIN_LENGTH = 12

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "charge_state": CHARGE_STATE,
        "charger_error": CHARGER_ERROR,
        "voltage": volts("Battery voltage"),
        "current": amperes("Battery current"),
        "power": watts("Solar power"),
        "yield_today": yield_today(),
        "load_current": amperes("Load current", optional=True),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError."""
    parser = SolarCharger(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, CHARGER_CODES)
    # victron-ble would refuse the whole record for an unknown code.
    data = SolarChargerData(record.model_id, parser.parse_decrypted(record.with_bytes(0, bytes(2))))
    values: Values = {
        **codes,
        "voltage": data.get_battery_voltage(),
        "current": data.get_battery_charging_current(),
        "power": data.get_solar_power(),
        "yield_today": data.get_yield_today(),
    }
    load = data.get_external_device_load()
    # Chargers without a load output say "not available" for ever: no entity for them.
    if load is not None:
        values["load_current"] = load
    _require_plausible(values)
    require_credible(values, unknown, error="charger_error")
    return Decoded(values, record.model, unknown)


def _require_plausible(values: Values) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    # Negative when a load output draws more than the sun gives; its field ends at 51 A.
    require_within("current", values["current"], -60, 250)
    require_within("power", values["power"], 0, 20_000)
    require_within("yield_today", values["yield_today"], 0, 200_000)


KIND = BleKind(
    name="victron_solar_charger",
    title="Victron SmartSolar and BlueSolar MPPT over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
