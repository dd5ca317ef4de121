"""Devices that answer by VE.Direct HEX on a pseudo terminal, beside the text that they say or without any.

Victron Energy, VE.Direct Protocol, "BlueSolar and SmartSolar MPPT chargers": a frame is ":", a digit of
command, bytes as two digits, a check byte (together 0x55 modulo 256), LF. Ping 1 is answered by 5 with the
version; 3 (version), 4 (product) by 1; 7 (get), 8 (set) by the same with register, flags, value; what is
unknown by 3. Flags: 1 unknown register, 2 not supported, 4 parameter error. A comes unasked.
"""

import re
import threading
import time
from types import TracebackType
from typing import Self

from tests.emulators.vedirect import Cable, Product, Talker

UNKNOWN, READ_ONLY, NOT_ALLOWED = 1, 2, 4
_FRAME = re.compile(rb":([0-9A-F])((?:[0-9A-F]{2})+)\n")


def hex_frame(command: int, data: bytes) -> bytes:
    """One frame."""
    check = (0x55 - command - sum(data)) % 256
    return f":{command:X}{data.hex().upper()}{check:02X}\n".encode("ascii")


def told(register: int, value: bytes, command: int = 0xA, flags: int = 0) -> bytes:
    """A frame about a register; unasked unless another command is given."""
    return hex_frame(command, register.to_bytes(2, "little") + bytes([flags]) + value)


def un16(value: float, scale: float = 1) -> bytes:
    """A number of two bytes."""
    return round(value / scale).to_bytes(2, "little")


# A SmartSolar 75/15 on 12 V.
MPPT_REGISTERS: dict[int, bytes] = {
    0x0200: b"\x01",
    0x0201: b"\x03",
    0x0207: bytes(4),
    0xEDEC: un16(293.15, 0.01),
    0xEDDB: un16(31.5, 0.01),
    0xEDBD: un16(1.6, 0.1),
    0xEDEF: b"\x0c",
    0xEDDF: un16(15, 0.1),
    0xEDF0: un16(15, 0.1),
    0xEDF7: un16(14.4, 0.01),
    0xEDF6: un16(13.8, 0.01),
    0xEDF4: un16(16.2, 0.01),
    0xEDF1: b"\x03",
    0xEDAB: b"\x01",
}
INVERTER_REGISTERS: dict[int, bytes] = {
    0x0200: b"\x02",
    0x0230: un16(230, 0.01),
    0x0231: un16(210, 0.01),
    0x0232: un16(245, 0.01),
    0x2211: un16(9.2, 0.01),
    0x2212: un16(17.3, 0.01),
    0x2210: un16(9.3, 0.01),
    0x0320: un16(10.9, 0.01),
    0x0321: un16(12.5, 0.01),
}
MONITOR_REGISTERS: dict[int, bytes] = {
    0x1000: un16(200),
    0x1001: un16(13.2, 0.1),
    0x1002: un16(4.0, 0.1),
    0x1003: un16(3),
    0x1004: un16(99),
    0x1005: un16(1.25, 0.01),
    0x1006: un16(0.1, 0.01),
    0x1008: un16(20, 0.1),
    0xEEFB: un16(500),
}
# A Phoenix Smart IP43, which says no text.
CHARGER_REGISTERS: dict[int, bytes] = {
    0x010A: b"HQ9999CHARGE\0\0",
    0x0200: b"\x01",
    0x0201: b"\x04",
    0x0207: bytes(4),
    0xED8D: un16(14.38, 0.01),
    0xED8F: un16(21.3, 0.1),
    0xEDDA: b"\x00",
    0xEDDB: un16(41.25, 0.01),
    0xEDEF: b"\x0c",
    0xEDDF: un16(50, 0.1),
    0xEDF0: un16(30, 0.1),
    0xEDF7: un16(14.4, 0.01),
    0xEDF6: un16(13.8, 0.01),
    0xEDF5: un16(13.2, 0.01),
}
CHARGER = 0xA340
_READ_ONLY = frozenset({0x010A, 0x0201, 0x0207, 0xED8D, 0xED8F, 0xEDDA, 0xEDDB, 0xEDEC, 0xEDDF, 0xEDBD})


class HexDevice:
    """A device at the far end of a cable; its attributes may be changed while it works.

    `asked` are the questions as they came, `mute` lets it say nothing, `damaged` so many answers have a wrong
    check byte, `before` comes before each answer, `keeps` are registers that a set does not change, `refuses`
    the flags of a set by register. `pause` is how many seconds it says no text after a question.
    """

    def __init__(
        self,
        registers: dict[int, bytes],
        says: Product | bytes | None = None,
        *,
        product: int = CHARGER,
        period: float = 0.05,
    ) -> None:
        self.registers = dict(registers)
        self.product, self.version = product, 0x4163
        self.cable = Cable()
        self.path = self.cable.path
        self.talker = Talker(self._say, says, period=period)
        self.asked: list[bytes] = []
        self.mute = False
        self.damaged = 0
        self.before = b""
        self.keeps: set[int] = set()
        self.refuses: dict[int, int] = {}
        self.pause = 0.0
        self._text_from = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.talker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self.talker.__exit__(kind, error, trace)
        self.cable.pull()

    def write(self, data: bytes) -> None:
        """Send bytes now."""
        self.cable.write(data)

    def questions(self, command: int) -> list[bytes]:
        """All frames of that command that came."""
        return [frame for frame in self.asked if frame[1:2] == f"{command:X}".encode("ascii")]

    def _say(self, data: bytes) -> None:
        if time.monotonic() >= self._text_from:
            self.cable.write(data)

    def _listen(self) -> None:
        waiting = b""
        while not self._end.is_set():
            waiting += self.cable.read(0.02)
            while found := _FRAME.search(waiting):
                waiting = waiting[found.end() :]
                self._take(found[0], int(found[1], 16), bytes.fromhex(found[2].decode("ascii")))

    def _take(self, frame: bytes, command: int, data: bytes) -> None:
        assert (command + sum(data)) % 256 == 0x55, frame
        self.asked.append(frame)
        self._text_from = time.monotonic() + self.pause
        if self.mute:
            return
        answer = self.before + self._answer(command, data[:-1])
        if self.damaged:
            self.damaged -= 1
            answer = answer[:-3] + b"00\n" if answer[-3:] != b"00\n" else answer[:-3] + b"01\n"
        self.cable.write(answer)

    def _answer(self, command: int, data: bytes) -> bytes:
        match command:
            case 1:
                return hex_frame(5, self.version.to_bytes(2, "little"))
            case 3:
                return hex_frame(1, self.version.to_bytes(2, "little"))
            case 4:
                return hex_frame(1, self.product.to_bytes(2, "little"))
            case 7:
                return self._get(int.from_bytes(data[:2], "little"))
            case 8:
                return self._set(int.from_bytes(data[:2], "little"), data[3:])
        return hex_frame(3, bytes([command]))

    def _get(self, register: int) -> bytes:
        if register not in self.registers:
            return told(register, b"", 7, UNKNOWN)
        return told(register, self.registers[register], 7)

    def _set(self, register: int, value: bytes) -> bytes:
        flags = self.refuses.get(register, READ_ONLY if register in _READ_ONLY else 0)
        if register not in self.registers:
            flags = UNKNOWN
        elif len(value) != len(self.registers[register]):
            flags = NOT_ALLOWED
        if not flags and register not in self.keeps:
            self.registers[register] = value
        return told(register, value, 8, flags)
