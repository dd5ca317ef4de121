"""LiTime, Redodo and Power Queen batteries with Bluetooth: one BMS under many names."""

from collector.devices.bms import Number, Pack, Switch, bms_kind, integer, numbered, read, reasons, series
from collector.devices.description import BadRecordError
from collector.devices.frames import NO_FRAME, framing, sum8
from collector.devices.lines import Channel, GattLine
from collector.devices.rows import on_off

_CHANNEL = Channel(notify=0xFFE1, write=0xFFE2)
# Nothing but this question is sent: others of its commands switch the battery off.
_REQUEST = bytes((0, 0, 4, 1, 0x13, 0x55, 0xAA, 0x17))
_HEAD, _STATUS = b"\0\0", 0x93
_MARK = bytes((1, _STATUS, 0x55, 0xAA))
_BEFORE_LENGTH, _SHORTEST = 3, 105
_MOST_CELLS = 16
_FIELDS = (
    Number("battery_voltage", "<I", 12, 0.001),
    Number("battery_current", "<i", 48, 0.001),
    Number("mosfet_temperature", "<h", 54),
    Number("remaining_capacity", "<H", 62, 0.01),
    Number("capacity", "<I", 64, 0.01),
    Number("battery_soc", "<H", 90),
    Number("battery_soh", "<I", 92),
    Number("charge_cycles", "<I", 96),
    Switch("heater", 68),
)
_CELLS_AT, _DEGREES_AT, _ERRORS_AT, _BALANCING_AT = 16, 52, 76, 84
_WORDS = {
    2: "high_voltage",
    5: "low_voltage",
    6: "high_charge_current",
    7: "high_discharge_current",
    8: "high_charge_temperature",
    9: "high_discharge_temperature",
    10: "low_charge_temperature",
    11: "low_discharge_temperature",
    14: "short_circuit",
}


def _size(rest: bytes) -> int | None:
    if len(rest) < _BEFORE_LENGTH + len(_MARK):
        return None
    # Zeros stand everywhere in a frame: the mark tells where one begins.
    return rest[2] + _BEFORE_LENGTH + 1 if rest[3:7] == _MARK else NO_FRAME


_FRAMING = framing(_HEAD, _size, lambda frame: sum8(frame[:-1]) == frame[-1])


class _LiTime:
    def read(self, line: GattLine) -> Pack:
        frame = line.ask(_REQUEST, _FRAMING)
        if len(frame) < _SHORTEST:
            raise BadRecordError(f"the battery answers {len(frame)} bytes instead of {_SHORTEST}")
        values = read(frame, _FIELDS)
        values["balancing"] = on_off(bool(integer(frame, "<I", _BALANCING_AT)))
        return Pack(
            values=values,
            cells=numbered(series(frame, "<H", range(_CELLS_AT, _CELLS_AT + 2 * _MOST_CELLS, 2), 0.001)),
            temperatures=[integer(frame, "<h", _DEGREES_AT)],
            alarms=reasons(integer(frame, "<Q", _ERRORS_AT), _WORDS),
        )


KIND = bms_kind(
    "bms_litime",
    title="LiTime, Redodo or Power Queen battery",
    manufacturer="LiTime",
    channels=(_CHANNEL,),
    source="captures and tests of aiobmsble; public descriptions of the protocol",
    words=_WORDS.values(),
    dialect=lambda _unit: _LiTime(),
)
