"""Any Victron device with Instant Readout: its records say what it is."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from collector.devices import (
    victron_ac_charger,
    victron_battery_monitor,
    victron_battery_sense,
    victron_dc_dc_converter,
    victron_dc_energy_meter,
    victron_inverter,
    victron_lynx_bms,
    victron_multi_rs,
    victron_orion_xs,
    victron_smart_battery_protect,
    victron_smart_lithium,
    victron_solar_charger,
    victron_ve_bus,
)
from collector.devices.description import BleKind, Decoded, Tested, WrongKindError
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import BATTERY_SENSE, MANUFACTURER, record_type, type_name

BY_RECORD_TYPE: Mapping[int, BleKind] = MappingProxyType(
    {
        0x01: victron_solar_charger.KIND,
        0x02: victron_battery_monitor.KIND,
        0x03: victron_inverter.KIND,
        0x04: victron_dc_dc_converter.KIND,
        0x05: victron_smart_lithium.KIND,
        0x08: victron_ac_charger.KIND,
        0x09: victron_smart_battery_protect.KIND,
        0x0A: victron_lynx_bms.KIND,
        0x0B: victron_multi_rs.KIND,
        0x0C: victron_ve_bus.KIND,
        0x0D: victron_dc_energy_meter.KIND,
        0x0F: victron_orion_xs.KIND,
        BATTERY_SENSE: victron_battery_sense.KIND,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """What the kind of this record says, and its rows. Raises DecodeError, for others WrongKindError."""
    found = record_type(raw)
    kind = BY_RECORD_TYPE.get(found)
    if kind is None:
        known = ", ".join(sorted(type_name(number) for number in BY_RECORD_TYPE))
        raise WrongKindError(f"records of a {type_name(found)} cannot be read; those of these can: {known}")
    return replace(kind.decode(raw, key), rows=kind.rows)


KIND = BleKind(
    name="victron",
    title="Any Victron device with Instant Readout over Bluetooth",
    manufacturer=MANUFACTURER,
    # The rest is known once it has been heard.
    rows=BLE_ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    discovers=True,
    decode=decode,
)
