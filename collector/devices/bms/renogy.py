"""Renogy smart lithium batteries: Modbus over their own Bluetooth, or through a BT-2."""

from collector.devices.bms import Pack, ascii_text, bms_kind, numbered, reasons
from collector.devices.description import BadRecordError, Values
from collector.devices.frames import read_data, read_registers
from collector.devices.lines import Channel, GattLine
from collector.devices.rows import on_off

CHANNEL = Channel(notify=0xFFF1, write=0xFFD1)
_READ = 3
# The first battery on a BT-2; the next ones are 49, 50 and so on.
_UNIT = 48
_CELLS, _CELLS_COUNT, _MOST = 5000, 34, 16
_STATE, _STATE_COUNT = 5042, 7
_PROTECTIONS, _PROTECTIONS_COUNT = 5100, 8
_NAMES, _NAMES_COUNT = 5110, 22
_CHARGE, _DISCHARGE, _HEATER = 1 << 1, 1 << 2, 1 << 13
# Status 1: bits that are no protection are left out.
_WORDS = {
    0: "short_circuit",
    4: "high_charge_current",
    5: "high_discharge_current",
    6: "high_voltage",
    7: "low_cell_voltage",
    8: "high_cell_voltage",
    9: "high_charge_current",
    10: "high_discharge_current",
    11: "low_discharge_temperature",
    12: "high_discharge_temperature",
    13: "low_charge_temperature",
    14: "high_charge_temperature",
    15: "low_voltage",
}
_NO_ALARM = 0b1110
_WARNINGS = {
    0: "low_cell_voltage",
    1: "high_cell_voltage",
    2: "low_voltage",
    3: "high_voltage",
    4: "low_charge_temperature",
    5: "high_charge_temperature",
    6: "low_discharge_temperature",
    7: "high_discharge_temperature",
}


class _Renogy:
    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._names: bytes | None = None

    def read(self, line: GattLine) -> Pack:
        state = read_registers(line, self._unit, _STATE, _STATE_COUNT)
        cells = read_registers(line, self._unit, _CELLS, _CELLS_COUNT)
        *alarms, status, more = read_registers(line, self._unit, _PROTECTIONS, _PROTECTIONS_COUNT)
        if self._names is None:
            self._names = read_data(line, self._unit, _READ, _NAMES, _NAMES_COUNT, 2 * _NAMES_COUNT)
        count, sensors = cells[0], cells[17]
        if count > _MOST or sensors > _MOST:
            raise BadRecordError(f"the battery tells of {count} cells and {sensors} temperature sensors")
        found = reasons(status & ~_NO_ALARM, _WORDS)
        # Those of single cells and of the other sensors: which of them is in the app.
        found += [] if found or not any(alarms) else ["cell or sensor, see its app"]
        return Pack(
            values=_values(state) | _switches(status, more),
            cells=numbered(raw / 10 for raw in cells[1 : 1 + count]),
            temperatures=[_signed(raw) / 10 for raw in cells[18 : 18 + min(sensors, 8)]],
            alarms=found,
            warnings=reasons(more & 0xFF, _WARNINGS),
            serial_number=ascii_text(self._names[:16]),
            model=ascii_text(self._names[24:40]),
            sw_version=ascii_text(self._names[40:44]),
        )


def _values(state: tuple[int, ...]) -> Values:
    left, full = (state[2] << 16 | state[3]) / 1000, (state[4] << 16 | state[5]) / 1000
    return {
        "battery_voltage": state[1] / 10,
        "battery_current": _signed(state[0]) / 100,
        "battery_soc": round(100 * left / full, 1) if full else None,
        "remaining_capacity": left,
        "capacity": full,
        "charge_cycles": state[6],
    }


def _switches(status: int, more: int) -> Values:
    return {
        "charge_mosfet": on_off(bool(status & _CHARGE)),
        "discharge_mosfet": on_off(bool(status & _DISCHARGE)),
        "heater": on_off(bool(more & _HEATER)),
    }


def _signed(raw: int) -> int:
    return raw - (raw >> 15 << 16)


KIND = bms_kind(
    "bms_renogy",
    title="Renogy smart lithium battery",
    manufacturer="Renogy",
    channels=(CHANNEL,),
    source="registers of github.com/charlieh0tel/renogy-rs (Renogy Modbus 1.7); captures of aiobmsble",
    words=_WORDS.values(),
    unit=_UNIT,
    dialect=_Renogy,
)
