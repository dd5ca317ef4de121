"""JK (Jikong) BMS with protocol JK02, for 24 cells (software below 11) and for 32."""

import re
from collections.abc import Mapping

from collector.devices.bms import Number, Pack, Switch, ascii_text, bms_kind, integer, read, reasons, series
from collector.devices.description import BadRecordError, NoAnswerError
from collector.devices.frames import NO_FRAME, framing, sum8
from collector.devices.lines import Channel, Framing, GattLine

# Some Bluetooth modules say a command of their own between the notifications.
_CHANNEL = Channel(notify=0xFFE1, write=0xFFE1, noise=b"AT\r\n")
_HEAD, _ASK = b"\x55\xaa\xeb\x90", b"\xaa\x55\x90\xeb"
_LENGTH, _REQUEST_LENGTH = 300, 20
_CELLS, _INFO = 2, 3
_ASK_CELLS, _ASK_INFO = 0x96, 0x97
# It tells of its cells by itself, some times a second, once it was asked.
_STREAM_S = 2.0
# The layout for 24 cells ends 32 bytes earlier; half of that are cells, half their resistances.
_FIRST_OF_32, _FIRST_WITH_FIVE_SENSORS = 11, 14
_SHIFT = -32
_FIELDS = (
    Number("battery_voltage", "<I", 150, 0.001),
    Number("battery_current", "<i", 158, 0.001),
    Switch("balancing", 172),
    Number("battery_soc", "<B", 173),
    Number("remaining_capacity", "<I", 174, 0.001),
    Number("capacity", "<I", 178, 0.001),
    Number("charge_cycles", "<I", 182),
    Number("battery_soh", "<B", 190),
    Switch("charge_mosfet", 198),
    Switch("discharge_mosfet", 199),
)
_CELLS_AT, _ENABLED_AT = 6, 70
# Where the errors, the MOSFETs' temperature and those of the sensors stand, by layout.
_BY_LAYOUT: Mapping[int, tuple[int, int, tuple[int, ...]]] = {
    24: (136, 134, (130, 132)),
    32: (166, 144, (162, 164)),
}
_MORE_SENSORS = (258, 256)
_ABSENT = -2000
# Of bit 4 older software says high cell voltage, newer that the battery is full: a warning is enough.
_FULL = 1 << 4
_WORDS = {
    0: "wiring",
    1: "high_mosfet_temperature",
    2: "cell_count",
    3: "hardware",
    4: "high_cell_voltage",
    5: "high_voltage",
    6: "high_charge_current",
    7: "short_circuit",
    8: "high_charge_temperature",
    9: "low_charge_temperature",
    10: "communication",
    11: "low_cell_voltage",
    12: "low_voltage",
    13: "high_discharge_current",
    14: "short_circuit",
    15: "high_discharge_temperature",
}


def _request(command: int) -> bytes:
    frame = (_ASK + bytes((command,))).ljust(_REQUEST_LENGTH - 1, b"\0")
    return frame + bytes((sum8(frame),))


def _framing(record: int) -> Framing:
    def size(rest: bytes) -> int | None:
        if len(rest) <= len(_HEAD):
            return None
        return _LENGTH if rest[len(_HEAD)] == record else NO_FRAME

    return framing(_HEAD, size, lambda frame: sum8(frame[:-1]) == frame[-1])


class _Jk:
    def __init__(self) -> None:
        self._info: bytes | None = None
        self._version = 0

    def read(self, line: GattLine) -> Pack:
        if self._info is None:
            info = line.ask(_request(_ASK_INFO), _framing(_INFO))
            self._version = _major(ascii_text(info[30:38]))
            frame = line.ask(_request(_ASK_CELLS), _framing(_CELLS))
            self._info = info
        else:
            try:
                frame = line.ask(b"", _framing(_CELLS), _STREAM_S)
            except NoAnswerError:
                frame = line.ask(_request(_ASK_CELLS), _framing(_CELLS))
        pack = self._pack(frame)
        pack.model, pack.sw_version = ascii_text(self._info[6:22]), ascii_text(self._info[30:38])
        pack.serial_number = ascii_text(self._info[86:102])
        return pack

    def _pack(self, frame: bytes) -> Pack:
        layout = 32 if self._version >= _FIRST_OF_32 else 24
        shift = 0 if layout == 32 else _SHIFT
        errors_at, mosfet_at, sensors = _BY_LAYOUT[layout]
        if self._version >= _FIRST_WITH_FIVE_SENSORS:
            sensors += _MORE_SENSORS
        enabled = integer(frame, "<I", _ENABLED_AT + shift // 2)
        cells = series(frame, "<H", range(_CELLS_AT, _CELLS_AT + 2 * layout, 2), 0.001)
        bits = integer(frame, "<H", errors_at)
        mosfet, *degrees = (_degrees(frame, at) for at in (mosfet_at, *sensors))
        return Pack(
            values=read(frame, _FIELDS, shift) | {"mosfet_temperature": mosfet},
            cells={n: volts for n, volts in enumerate(cells, 1) if enabled >> n - 1 & 1},
            temperatures=degrees,
            alarms=reasons(bits & ~_FULL, _WORDS),
            warnings=reasons(bits & _FULL, _WORDS),
        )


def _degrees(frame: bytes, at: int) -> float | None:
    raw = integer(frame, "<h", at)
    return None if raw == _ABSENT else raw / 10


def _major(version: str | None) -> int:
    found = re.match(r"\D*(\d+)", version or "")
    if found is None:
        raise BadRecordError(f"the BMS tells no version of its software, but {version!r}")
    return int(found[1])


KIND = bms_kind(
    "bms_jk",
    title="JK (Jikong) BMS",
    manufacturer="JK",
    channels=(_CHANNEL,),
    source="protocol-design-ble.md and captures of github.com/syssi/esphome-jk-bms; aiobmsble",
    words=[word for bit, word in _WORDS.items() if not _FULL >> bit & 1],
    dialect=lambda _unit: _Jk(),
)
