"""JBD (Jiabaida): the BMS of Overkill Solar, Xiaoxiang, Liontron and many LiFePO4 batteries."""

from collector.devices.bms import (
    Number,
    Pack,
    Switch,
    ascii_text,
    bms_kind,
    integer,
    numbered,
    read,
    reasons,
    series,
)
from collector.devices.description import NoAnswerError, RefusedError
from collector.devices.frames import framing
from collector.devices.lines import Channel, Framing, GattLine
from collector.devices.rows import on_off

_HEAD, _READ, _END = b"\xdd", 0xA5, 0x77
_BASIC, _CELLS, _NAME = 3, 4, 5
# Head, register, status, length; check, end.
_BEFORE, _AFTER = 4, 3
_CHANNEL = Channel(notify=0xFF01, write=0xFF02)
_FIELDS = (
    Number("battery_voltage", ">H", 0, 0.01),
    Number("battery_current", ">h", 2, 0.01),
    Number("remaining_capacity", ">H", 4, 0.01),
    Number("capacity", ">H", 6, 0.01),
    Number("charge_cycles", ">H", 8),
    Number("battery_soc", ">B", 19),
    Switch("charge_mosfet", 20, 1),
    Switch("discharge_mosfet", 20, 2),
)
_BALANCING_AT, _ERRORS_AT, _SENSORS_AT = 12, 16, 22
_WORDS = dict(
    enumerate(
        (
            "high_cell_voltage",
            "low_cell_voltage",
            "high_voltage",
            "low_voltage",
            "high_charge_temperature",
            "low_charge_temperature",
            "high_discharge_temperature",
            "low_discharge_temperature",
            "high_charge_current",
            "high_discharge_current",
            "short_circuit",
            "hardware",
            "mosfet_locked",
        )
    )
)


def _check(data: bytes) -> bytes:
    return (-sum(data) & 0xFFFF).to_bytes(2, "big")


def _request(register: int) -> bytes:
    asked = bytes((register, 0))
    return _HEAD + bytes((_READ,)) + asked + _check(asked) + bytes((_END,))


def _framing(register: int) -> Framing:
    def size(rest: bytes) -> int | None:
        return None if len(rest) < _BEFORE else _BEFORE + rest[3] + _AFTER

    def good(frame: bytes) -> bool:
        return frame[1] == register and frame[-1] == _END and frame[-3:-1] == _check(frame[2:-3])

    return framing(_HEAD, size, good)


class _Jbd:
    """It may sleep: then the first question only wakes it."""

    def __init__(self) -> None:
        self._model: str | None = None

    def read(self, line: GattLine) -> Pack:
        basic = self._register(line, _BASIC)
        cells = self._register(line, _CELLS)
        if self._model is None:
            self._model = ascii_text(self._register(line, _NAME).lstrip(bytes(range(32)))) or ""
        values = read(basic, _FIELDS)
        values["balancing"] = on_off(bool(integer(basic, ">I", _BALANCING_AT)))
        first = _SENSORS_AT + 1
        sensors = range(first, first + 2 * integer(basic, "B", _SENSORS_AT), 2)
        return Pack(
            values=values,
            cells=numbered(series(cells, ">H", range(0, len(cells) & ~1, 2), 0.001)),
            temperatures=series(basic, ">H", sensors, 0.1, -273.1),
            alarms=reasons(integer(basic, ">H", _ERRORS_AT), _WORDS),
            model=self._model or None,
        )

    @staticmethod
    def _register(line: GattLine, register: int) -> bytes:
        try:
            frame = line.ask(_request(register), _framing(register), 2.0)
        except NoAnswerError:
            frame = line.ask(_request(register), _framing(register), 2.0)
        if frame[2]:
            raise RefusedError(f"the BMS refuses register {register} (status {frame[2]:#04x})")
        return frame[_BEFORE:-_AFTER]


KIND = bms_kind(
    "bms_jbd",
    title="JBD, Overkill Solar or Xiaoxiang BMS",
    manufacturer="JBD",
    channels=(_CHANNEL,),
    source="JBD_REGISTER_MAP.md of github.com/FurTrader/OverkillSolarBMS; captures of "
    "github.com/syssi/esphome-jbd-bms",
    words=_WORDS.values(),
    dialect=lambda _unit: _Jbd(),
)
