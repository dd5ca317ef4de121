"""Daly smart BMS: Modbus frames of unit 0xD2 over Bluetooth."""

from contextlib import suppress

from collector.devices.bms import Pack, ascii_text, bms_kind, numbered, reasons
from collector.devices.description import BadRecordError, DecodeError, Values
from collector.devices.frames import read_data, read_registers
from collector.devices.lines import Channel, GattLine
from collector.devices.rows import on_off

_CHANNEL = Channel(notify=0xFFF1, write=0xFFF2)
_UNIT, _READ = 0xD2, 3
_COUNT, _MOST_CELLS, _MOST_SENSORS = 62, 32, 8
_TEMPERATURES = 0x20
_VERSION, _VERSION_COUNT = 0xA9, 32
# By register: the words of its bits, which are pairs of a warning (level 1) and an alarm (level 2).
_LEVELS = {
    0x3A: (
        "high_cell_voltage",
        "low_cell_voltage",
        "high_voltage",
        "low_voltage",
        "high_charge_temperature",
        "low_charge_temperature",
        "high_discharge_temperature",
        "low_discharge_temperature",
    ),
    0x3B: (
        "high_charge_current",
        "high_discharge_current",
        "high_soc",
        "low_soc",
        "cell_imbalance",
        "temperature_difference",
    ),
}
_FAILURES, _MORE_FAILURES = 0x3C, 0x3D
_HOT_MOSFETS = 0b11
_WORDS = {
    **dict.fromkeys((2, 3, 8, 10, 11, 12, 13), "hardware"),
    **dict.fromkeys((4, 5, 6, 7), "mosfet"),
    **dict.fromkeys((9, 14, 15), "communication"),
}
_RARE = ("high_soc", "low_soc")


class _Daly:
    def __init__(self) -> None:
        self._version: tuple[str | None, str | None] | None = None

    def read(self, line: GattLine) -> Pack:
        registers = read_registers(line, _UNIT, 0, _COUNT)
        if self._version is None:
            self._version = _version(line)
        cells, sensors = registers[0x31], registers[0x32]
        if cells > _MOST_CELLS or sensors > _MOST_SENSORS:
            raise BadRecordError(f"the BMS tells of {cells} cells and {sensors} temperature sensors")
        alarms, warnings = _protections(registers)
        software, hardware = self._version
        return Pack(
            values=_values(registers),
            cells=numbered(raw / 1000 for raw in registers[:cells]),
            temperatures=[float(raw - 40) for raw in registers[_TEMPERATURES : _TEMPERATURES + sensors]],
            alarms=alarms,
            warnings=warnings,
            model=hardware,
            sw_version=software,
        )


def _values(registers: tuple[int, ...]) -> Values:
    return {
        "battery_voltage": registers[0x28] / 10,
        "battery_current": (registers[0x29] - 30_000) / 10,
        "battery_soc": registers[0x2A] / 10,
        "remaining_capacity": registers[0x30] / 10,
        "charge_cycles": registers[0x33],
        "balancing": on_off(bool(registers[0x34])),
        "charge_mosfet": on_off(bool(registers[0x35])),
        "discharge_mosfet": on_off(bool(registers[0x36])),
    }


def _protections(registers: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Return what it protects against, and what it warns of."""
    alarms, warnings = [], []
    for address, words in _LEVELS.items():
        for n, word in enumerate(words):
            level = registers[address] >> 2 * n & 3
            warnings += [word] if level else []
            # A charge that is low or high is worth a warning; nothing is switched off for it.
            alarms += [word] if level & 2 and word not in _RARE else []
    failures = registers[_FAILURES]
    warnings += ["high_mosfet_temperature"] if failures & _HOT_MOSFETS else []
    alarms += reasons(failures & ~_HOT_MOSFETS, _WORDS)
    alarms += [f"register {_MORE_FAILURES:#x} {word}" for word in reasons(registers[_MORE_FAILURES], {})]
    return alarms, warnings


def _version(line: GattLine) -> tuple[str | None, str | None]:
    """Ask for the versions of software and hardware, which not every BMS tells."""
    with suppress(DecodeError):
        data = read_data(line, _UNIT, _READ, _VERSION, _VERSION_COUNT, 2 * _VERSION_COUNT)
        # That of the hardware has two places.
        return ascii_text(data[:16]), ascii_text(data[16:32]) or ascii_text(data[32:])
    return None, None


KIND = bms_kind(
    "bms_daly",
    title="Daly smart BMS",
    manufacturer="Daly",
    channels=(_CHANNEL,),
    source="protocol-register-map.md and captures of github.com/syssi/esphome-daly-bms; aiobmsble",
    words=[*(word for words in _LEVELS.values() for word in words if word not in _RARE), *_WORDS.values()],
    dialect=lambda _unit: _Daly(),
)
