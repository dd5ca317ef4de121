"""Meters of the grid: P1 telegrams, SML files, and an optical meter on a pseudo terminal that is asked.

From DSMR P1 Companion Standard 5.0.2 (6.2: CRC16, polynomial x16+x15+x2+1, lowest bit first, from the slash
to the exclamation mark), IEC 62056-21 (4 and 6: sign-on, speeds, block check character) and BSI TR-03109-1
Annex IV (SML: escape sequences, fill bytes, CRC of ISO/IEC 13239). The checksums are divisions of polynomials
from the highest bit on, so that they share nothing with what is tested.
"""

import os
import select
import termios
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.emulators.vedirect import Cable

# The kinds that are read from it.
TWINS = ("iec62056_meter", "p1_meter", "sml_meter")

STX, ETX = b"\x02", b"\x03"
ESCAPE = b"\x1b" * 4
_SPEEDS = {
    termios.B300: 300,
    termios.B600: 600,
    termios.B1200: 1200,
    termios.B2400: 2400,
    termios.B4800: 4800,
    termios.B9600: 9600,
    termios.B19200: 19200,
}
_OF_CODE = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}


def _mirrored(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


def _remainder(data: bytes, polynomial: int, start: int) -> int:
    """The CRC-16 by long division; the first bit of a byte on the wire is its lowest."""
    number = int.from_bytes(bytes(_mirrored(byte, 8) for byte in data), "big") << 16
    number ^= start << (len(data) * 8)
    for place in range(len(data) * 8 - 1, -1, -1):
        if number >> (place + 16) & 1:
            number ^= (0x10000 | polynomial) << place
    return _mirrored(number, 16)


def p1(lines: Sequence[str], *, crc: bool = True) -> bytes:
    """A telegram of these lines, the name first."""
    body = "".join(f"{line}\r\n" for line in lines).encode() + b"!"
    return body + (f"{_remainder(body, 0x8005, 0):04X}" if crc else "").encode() + b"\r\n"


def even(text: bytes) -> bytes:
    """Characters of seven bits and an even parity, as a port with 8N1 hears them."""
    return bytes(byte | (byte.bit_count() & 1) << 7 for byte in text)


def octets(value: bytes) -> bytes:
    if len(value) < 15:
        return bytes([len(value) + 1]) + value
    length = len(value) + 2
    return bytes([0x80 | length >> 4, length & 0x0F]) + value


def listed(*elements: bytes) -> bytes:
    head = [0x70 | len(elements)] if len(elements) < 16 else [0xF0 | len(elements) >> 4, len(elements) & 15]
    return bytes(head) + b"".join(elements)


def signed(value: int, width: int = 8) -> bytes:
    return bytes([0x50 | width + 1]) + value.to_bytes(width, "big", signed=True)


def unsigned(value: int, width: int = 1) -> bytes:
    return bytes([0x60 | width + 1]) + value.to_bytes(width, "big")


def entry(code: str, value: bytes, unit: bytes = b"\x01", scaler: bytes = b"\x01") -> bytes:
    """One value of SML_GetList.Res; the code is written as 1-0:1.8.0*255."""
    groups = bytes(
        int(part) for part in code.replace("-", ".").replace(":", ".").replace("*", ".").split(".")
    )
    return listed(octets(groups), b"\x01", b"\x01", unit, scaler, value, b"\x01")


def _message(number: int, body: bytes) -> bytes:
    head = octets(bytes([0, number])) + unsigned(0) + unsigned(0)
    start = bytes([0x76]) + head + listed(*_choice(body))
    crc = _remainder(start, 0x1021, 0xFFFF) ^ 0xFFFF
    return start + b"\x63" + crc.to_bytes(2, "little") + b"\x00"


def _choice(body: bytes) -> tuple[bytes, bytes]:
    return body[:3], body[3:]


def sml(entries: Sequence[bytes], server: bytes = bytes.fromhex("0a01454d480000b8ef79")) -> bytes:
    """A file with an opening, a list of values and a closing."""
    opening = unsigned(0x0101, 2) + listed(
        b"\x01", b"\x01", octets(b"\1\2"), octets(server), b"\x01", b"\x01"
    )
    values = unsigned(0x0701, 2) + listed(
        b"\x01", octets(server), b"\x01", b"\x01", listed(*entries), b"\x01", b"\x01"
    )
    closing = unsigned(0x0201, 2) + listed(b"\x01")
    return framed(b"".join(_message(n, body) for n, body in enumerate((opening, values, closing), 1)))


def framed(messages: bytes) -> bytes:
    """SML messages between the escape sequences."""
    fill = -len(messages) % 4
    inner = messages.replace(ESCAPE, ESCAPE * 2) + b"\0" * fill
    whole = ESCAPE + b"\1" * 4 + inner + ESCAPE + bytes([0x1A, fill])
    return whole + (_remainder(whole, 0x1021, 0xFFFF) ^ 0xFFFF).to_bytes(2, "little")


class OpticalMeter(Cable):
    """A meter that is asked: it names itself at 300 bit/s, then sends its data at the agreed speed.

    At another speed of the port nothing can be understood, in both directions. `heard` is what it
    understood; `echo`: the reading head hears what it sends.
    """

    def __init__(self, name: str, data: bytes, *, echo: bool = False, damage: bytes | None = None) -> None:
        super().__init__()
        self.name = name
        self.data = data
        self.echo = echo
        self.damage = damage
        self.heard: list[bytes] = []
        self.sent_at: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self.pull()

    def set_port(self, speed: int) -> None:
        """Give the port a speed from outside, as a server that offers it to the network does."""
        said = termios.tcgetattr(self._theirs)
        said[4] = said[5] = speed
        termios.tcsetattr(self._theirs, termios.TCSANOW, said)

    def _speed(self) -> int:
        return _SPEEDS.get(termios.tcgetattr(self._theirs)[5], 0)

    def _line(self, seconds: float) -> bytes:
        raw = b""
        while not self._end.is_set():
            ready, _, _ = select.select([self._ours], [], [], 0.02)
            if ready:
                with suppress(OSError):
                    raw += os.read(self._ours, 64)
            if raw and (raw[-1] & 0x7F) == 0x0A:
                break
            seconds -= 0 if ready else 0.02
            if seconds <= 0:
                return b""
        if self.echo:
            self.write(raw)
        good = self._speed() == 300 and even(bytes(byte & 0x7F for byte in raw)) == raw
        return bytes(byte & 0x7F for byte in raw) if good else b"?"

    def _send(self, text: bytes, speed: int) -> None:
        self.sent_at.append(speed)
        raw = even(text)
        self.write(raw if self._speed() == speed else bytes(byte ^ 0x55 for byte in raw))

    def _serve(self) -> None:
        while not self._end.is_set():
            asked = self._line(0.2)
            if asked:
                self.heard.append(asked)
            if asked == b"/?!\r\n":
                self._send(f"{self.name}\r\n".encode(), 300)
                self._answer(self.name[4])

    def _answer(self, code: str) -> None:
        speed = 300
        if code.isdigit():
            agreed = self._line(1.5)
            self.heard.append(agreed)
            if agreed[:2] != b"\x060" or agreed[3:] != b"0\r\n":
                return
            speed = _OF_CODE[chr(agreed[2])]
        elif code in "ABCDEF":
            speed = _OF_CODE[str("ABCDEF".index(code) + 1)]
        self._end.wait(0.25)
        block = self.data + ETX
        check = 0
        for byte in block:
            check ^= byte
        text = STX + block + bytes([check])
        self._send(text if self.damage is None else self.damage, speed)
