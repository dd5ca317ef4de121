"""Twins of the SHT3x and of the BME280 and BMP280: bytes behind a pointer, and commands of two bytes.

From Sensirion's SHT3x-DIS data sheet, chapter 4, and Bosch's BST-BME280-DS002; what the converter of a Bosch
chip reads is found by the data sheet's other formulas, those in whole numbers (4.2.3). Nothing here knows our
decoders; the Python of the system runs it too.
"""

import errno
import struct
from collections.abc import Callable

# Of a real BMP280 (its data sheet, 3.12), with humidity values of a usual BME280.
_T = (27504, 26435, -1000)
_P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
_H = (75, 363, 0, 313, 50, 30)


class Sht3x:
    """The chip at `celsius` and `percent`; it measures once for each command."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.celsius, self.percent = 20.0, 50.0
        self.stuck = False
        self.brown_out()

    def brown_out(self) -> None:
        self._ready: float | None = None

    def command(self, data: bytes) -> None:
        if data in (b"\x24\x00", b"\x24\x0b", b"\x24\x16") and not self.stuck:
            self._ready = self._now() + 0.0155

    def receive(self, count: int) -> bytes:
        if self._ready is None or self._now() < self._ready:
            # It does not acknowledge its address while it measures.
            raise OSError(errno.EREMOTEIO, "not ready")
        self._ready = None
        words = (round((self.celsius + 45) / 175 * 65535), round(self.percent / 100 * 65535))
        return b"".join(self._word(word) for word in words)[:count]

    @staticmethod
    def _word(word: int) -> bytes:
        # Long division by x^8 + x^5 + x^4 + 1; the start value turns the first byte over.
        rest = (word << 8) ^ 0xFF0000
        for at in range(23, 7, -1):
            if rest >> at & 1:
                rest ^= 0x131 << (at - 8)
        return struct.pack(">HB", word, rest)

    def get(self, _register: int) -> int:
        return 0

    def put(self, register: int, value: int) -> None:
        """It has no registers."""


class Bosch:
    """The chip at `celsius`, `hectopascals` and `percent`; `chip` is its id."""

    CHIP = 0x60

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.celsius, self.hectopascals, self.percent = 20.0, 1000.0, 50.0
        self.stuck = False
        self.brown_out()

    def brown_out(self) -> None:
        self._ctrl_hum = self._active_hum = self._ctrl_meas = 0
        self._until: float | None = None
        self._latched: tuple[int, int, int] = (0x80000, 0x80000, 0x8000)

    def size(self, _register: int) -> int:
        return 1

    def command(self, data: bytes) -> None:
        # A write goes on with pairs of register and value, not with the next register.
        for register, value in zip(data[::2], data[1::2], strict=False):
            self._set(register, value)

    def receive(self, _count: int) -> bytes:
        raise OSError(errno.EREMOTEIO, "a register first")

    def _set(self, register: int, value: int) -> None:
        if register == 0xE0 and value == 0xB6:
            self.brown_out()
        elif register == 0xF2:
            self._ctrl_hum = value & 7
        elif register == 0xF4:
            self._ctrl_meas = value
            self._active_hum = self._ctrl_hum
            if value & 3 in (1, 2) and not self.stuck:
                self._until = self._now() + 0.0093

    def block(self, register: int, count: int) -> bytes:
        """`count` bytes from a register on."""
        return bytes(self.get(register + at) for at in range(count))

    def get(self, register: int) -> int:
        self._measure()
        return self._map().get(register, 0)

    def put(self, register: int, value: int) -> None:
        """Writes come as bytes."""

    def _measure(self) -> None:
        if self._until is None or self._now() < self._until:
            return
        self._until = None
        self._ctrl_meas &= ~3
        temperature = _search(lambda raw: _celsius(raw) >= self.celsius, 20)
        pressure = _search(lambda raw: _pascals(raw, temperature) <= self.hectopascals * 100, 20)
        humidity = _search(lambda raw: _percent(raw, temperature) >= self.percent, 16)
        self._latched = (pressure, temperature, humidity if self._active_hum else 0x8000)

    def _map(self) -> dict[int, int]:
        found = {0xD0: self.CHIP, 0xF2: self._ctrl_hum, 0xF4: self._ctrl_meas}
        found[0xF3] = 8 if self._until is not None or self.stuck else 0
        for at, byte in enumerate(struct.pack("<HhhHhhhhhhhhBB", *_T, *_P, 0, _H[0])):
            found[0x88 + at] = byte
        pressure, temperature, humidity = self._latched
        for at, raw in ((0xF7, pressure), (0xFA, temperature)):
            found |= {at: raw >> 12, at + 1: raw >> 4 & 0xFF, at + 2: raw << 4 & 0xF0}
        if self.CHIP == Bosch.CHIP:
            split = (_H[3] & 0xF) | (_H[4] & 0xF) << 4
            packed = struct.pack("<hBbBbb", _H[1], _H[2], _H[3] >> 4, split, _H[4] >> 4, _H[5])
            found |= {0xE1 + at: byte for at, byte in enumerate(packed)}
            found |= {0xFD: humidity >> 8, 0xFE: humidity & 0xFF}
        return found


class Bmp280(Bosch):
    """It has no humidity."""

    CHIP = 0x58


def _search(reached: Callable[[int], bool], bits: int) -> int:
    """The smallest number that reaches what is wanted."""
    low, high = 0, (1 << bits) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low


def _fine(raw: int) -> int:
    first = ((raw >> 3) - (_T[0] << 1)) * _T[1] >> 11
    second = (((raw >> 4) - _T[0]) * ((raw >> 4) - _T[0]) >> 12) * _T[2] >> 14
    return first + second


def _celsius(raw: int) -> float:
    return (_fine(raw) * 5 + 128 >> 8) / 100


def _pascals(raw: int, temperature: int) -> float:
    first = _fine(temperature) - 128000
    second = first * first * _P[5] + (first * _P[4] << 17) + (_P[3] << 35)
    first = (first * first * _P[2] >> 8) + (first * _P[1] << 12)
    first = ((1 << 47) + first) * _P[0] >> 33
    found = (((1048576 - raw) << 31) - second) * 3125 // first
    found = (found + (_P[8] * (found >> 13) * (found >> 13) >> 25) + (_P[7] * found >> 19) >> 8) + (
        _P[6] << 4
    )
    return found / 256


def _percent(raw: int, temperature: int) -> float:
    x = _fine(temperature) - 76800
    y = (raw << 14) - (_H[3] << 20) - _H[4] * x + 16384 >> 15
    z = (((x * _H[5] >> 10) * ((x * _H[2] >> 11) + 32768) >> 10) + 2097152) * _H[1] + 8192 >> 14
    x = y * z
    x -= ((x >> 15) * (x >> 15) >> 7) * _H[0] >> 4
    return (min(max(x, 0), 419430400) >> 12) / 1024
