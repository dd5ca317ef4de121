"""Victron MultiPlus and Quattro with a VE.Bus Smart dongle: what they report, a record becomes values."""

from collections.abc import Mapping
from types import MappingProxyType

from victron_ble.devices.vebus import VEBus, VEBusData

from bus.about import Entity
from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, boolean, open_record, power, require_within
from collector.devices.victron_codes import (
    AC_INPUT,
    AC_INPUTS,
    DEVICE_STATE,
    INVERTER_STATES,
    Code,
    read_codes,
)
from collector.devices.victron_rows import amperes, celsius, problem, state_of_charge, volts, watts

# extra-manufacturer-data-2022-12-14.pdf, table "VE.Bus (0x0C)".
_READOUT_TYPE = 0x0C
_PLAIN_LENGTH = 13
_CODES = {
    "device_state": Code(0, 8, INVERTER_STATES),
    "ac_input": Code(46, 2, AC_INPUTS, absent=(3,)),
}
_WARNING, _ALARM, _ALARM_NOT_AVAILABLE = 1, 2, 3

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "device_state": DEVICE_STATE,
        # A number: VictronConnect and the page "VE.Bus error codes" of Victron's website explain it.
        "ve_bus_error": Row(entity=Entity(name="VE.Bus error", diagnostic=True)),
        "voltage": volts("Battery voltage"),
        "current": amperes("Battery current"),
        "power": watts("Battery power"),
        "ac_input": AC_INPUT,
        "ac_in_power": watts("AC input power"),
        "ac_out_power": watts("AC output power"),
        "temperature": celsius("Battery temperature", step=1, precision=0),
        "soc": state_of_charge(step=1, precision=0),
        "alarm": problem("Alarm", diagnostic=False),
        "warning": problem("Warning", diagnostic=False),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, into the battery and from the grid positive.

    Raises DecodeError.
    """
    parser = VEBus(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _CODES)
    # victron-ble does not know the states of an inverter/charger, such as pass-through, and would refuse.
    data = VEBusData(record.model_id, parser.parse_decrypted(record.with_bytes(0, bytes(1))))
    values: Values = {
        **codes,
        "ve_bus_error": data.get_error(),
        "voltage": data.get_battery_voltage(),
        "current": data.get_battery_current(),
        "power": power(data.get_battery_voltage(), data.get_battery_current()),
        "ac_in_power": data.get_ac_in_power(),
        "ac_out_power": data.get_ac_out_power(),
        "temperature": data.get_battery_temperature(),
        "soc": data.get_soc(),
        **_alarms(record),
    }
    _require_plausible(values, unknown)
    return Decoded(values, record.model, unknown)


def _alarms(record: Record) -> Values:
    notification = record.bits(86, 2)
    if notification == _ALARM_NOT_AVAILABLE:
        return {"alarm": None, "warning": None}
    return {
        "alarm": boolean(on=notification == _ALARM),
        "warning": boolean(on=notification == _WARNING),
    }


def _require_plausible(values: Values, unknown: tuple[str, ...]) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    require_within("current", values["current"], -2000, 2000)
    # Three phases of several Quattros.
    require_within("ac_in_power", values["ac_in_power"], -100_000, 100_000)
    require_within("ac_out_power", values["ac_out_power"], -100_000, 100_000)
    require_within("soc", values["soc"], 0, 100)
    # Victron's list ends at 26.
    require_within("ve_bus_error", values["ve_bus_error"], 0, 63)
    if unknown and values["ve_bus_error"] not in (None, 0):
        raise ImplausibleError("implausible: the device state is unknown while there is an error")


KIND = BleKind(
    name="victron_ve_bus",
    title="Victron MultiPlus and Quattro over Bluetooth (VE.Bus Smart dongle)",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
