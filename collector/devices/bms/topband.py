"""Topband: the BMS of Ective, Starcraft and KiloVault batteries, which speak by themselves."""

import re

from collector.devices.bms import Number, Pack, bms_kind, integer, numbered, read, reasons, series
from collector.devices.lines import Channel, GattLine

_CHANNEL = Channel(notify=0xFFE4, write=None)
# One byte that differs by brand, then 56 bytes in hexadecimal digits: 54 and their sum.
_FRAME = re.compile(rb"[\x5e\x83\xb0\xe8]([0-9A-Fa-f]{112})")
_LENGTH = 113
_PATIENCE_S = 10.0
_MOST_CELLS = 16
_FIELDS = (
    Number("battery_voltage", "<I", 0, 0.001),
    Number("battery_current", "<i", 4, 0.001),
    Number("remaining_capacity", "<I", 8, 0.001),
    Number("charge_cycles", "<H", 12),
    Number("battery_soc", "<H", 14),
)
_DEGREES_AT, _ERRORS_AT, _CELLS_AT = 16, 18, 22


def _framing(stream: bytearray) -> bytes | None:
    found = _FRAME.search(stream)
    while found is not None:
        data = bytes.fromhex(found[1].decode())
        if sum(data[:-2]) & 0xFFFF == int.from_bytes(data[-2:], "big"):
            del stream[: found.end()]
            return data
        found = _FRAME.search(stream, found.start() + 1)
    del stream[: max(0, len(stream) - _LENGTH + 1)]
    return None


class _Topband:
    def read(self, line: GattLine) -> Pack:
        frame = line.ask(b"", _framing, _PATIENCE_S)
        return Pack(
            values=read(frame, _FIELDS),
            cells=numbered(series(frame, "<H", range(_CELLS_AT, _CELLS_AT + 2 * _MOST_CELLS, 2), 0.001)),
            temperatures=[round(integer(frame, "<H", _DEGREES_AT) / 10 - 273.15, 2)],
            # Nobody has published what its bits mean.
            alarms=reasons(frame[_ERRORS_AT], {}),
        )


KIND = bms_kind(
    "bms_topband",
    title="Ective, Starcraft or KiloVault battery (Topband BMS)",
    manufacturer="Topband",
    channels=(_CHANNEL,),
    source="captures and tests of aiobmsble",
    words=(),
    dialect=lambda _unit: _Topband(),
)
