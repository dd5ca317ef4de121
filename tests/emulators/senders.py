"""Sensors that advertise, as their makers describe what they send; none of it is written after our decoders.

BTHome: bthome.io/format and bthome.io/encryption. Ruuvi: docs.ruuvi.com, data formats. Mopeka and Gobius:
github.com/victronenergy/dbus-ble-sensors, src/mopeka.c and src/gobius.c.
"""

import math
import struct

from Crypto.Cipher import AES

# The kinds that are read from it.
TWINS = ("bthome", "gobius", "mopeka", "ruuvi")

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
RUUVI, MOPEKA, GOBIUS = 0x0499, 0x0059, 0x0F53


def tail(address: str) -> bytes:
    """The three bytes of an address that some repeat in their data."""
    return bytes.fromhex(address.replace(":", ""))[3:]


class BtHomeDevice:
    """A device of BTHome; with a key it encrypts. Each frame has the next packet number and counter."""

    def __init__(self, address: str, key: bytes | None = None, *, counter: int = 1) -> None:
        self._address = bytes.fromhex(address.replace(":", ""))
        self._key = key
        self.counter = counter
        self.packet = 0

    def says(self, *objects: bytes, packet: bool = True) -> bytes:
        """Service data with these objects, lowest number first."""
        number = bytes([0, self.packet & 0xFF]) if packet else b""
        self.packet += 1
        plain = number + b"".join(sorted(objects))
        return self.sealed(plain)

    def sealed(self, plain: bytes) -> bytes:
        """These objects as they are, encrypted if it has a key."""
        if self._key is None:
            return b"\x40" + plain
        counter = self.counter.to_bytes(4, "little")
        self.counter += 1
        nonce = self._address + bytes.fromhex("d2fc41") + counter
        cipher = AES.new(self._key, AES.MODE_CCM, nonce=nonce, mac_len=4)
        sealed, check = cipher.encrypt_and_digest(plain)
        return b"\x41" + sealed + counter + check


def temperature(celsius: float) -> bytes:
    """Object 0x02."""
    return b"\x02" + struct.pack("<h", round(celsius * 100))


def humidity(percent: float) -> bytes:
    """Object 0x03."""
    return b"\x03" + struct.pack("<H", round(percent * 100))


def battery(percent: int) -> bytes:
    """Object 0x01."""
    return bytes([1, percent])


def button(event: int) -> bytes:
    """Object 0x3A."""
    return bytes([0x3A, event])


# Of a Mopeka for gas: mm for each microsecond of the echo, by degrees above -40 °C.
_GAS = (0.573045, -0.002822, -0.00000535)


def mopeka(
    address: str,
    millimetres: float,
    *,
    celsius: int = 20,
    quality: int = 3,
    volts: float = 2.9,
    hardware: int = 0x08,
    pressed: bool = False,
) -> bytes:
    """Manufacturer data of a Mopeka below so many mm of propane."""
    warmth = celsius + 40
    echo = round(millimetres / (_GAS[0] + _GAS[1] * warmth + _GAS[2] * warmth * warmth))
    extended = echo > 0x3FFF
    raw = (echo - 16384) // 4 if extended else echo
    head = bytes([hardware | extended << 7, round(volts * 32), warmth | pressed << 7])
    return head + struct.pack("<H", raw | quality << 14) + tail(address) + b"\xf0\xd8"


def gobius(address: str, millimetres: int | None, *, celsius: int = 18, starting: bool = False) -> bytes:
    """Manufacturer data of a Gobius C that looks down so far; None: it failed."""
    distance = 0xFFFE if starting else 0xFFFF if millimetres is None else millimetres
    return bytes([1, celsius + 40]) + struct.pack("<H", distance) + tail(address) + b"\x01\x02\x03" + bytes(4)


def ruuvi_5(address: str, celsius: float, percent: float, pascal: int, *, sequence: int = 1) -> bytes:
    """Data format 5."""
    power = (2977 - 1600) << 5 | 22
    head = struct.pack(">BhHH", 5, round(celsius * 200), round(percent * 400), pascal - 50_000)
    rest = struct.pack(">hhhHBH", 4, -4, 1036, power, 66, sequence)
    return head + rest + bytes.fromhex(address.replace(":", ""))


def ruuvi_6(address: str, celsius: float, *, lux: float = 100.0) -> bytes:
    """Data format 6."""
    code = round(math.log(lux + 1) / (math.log(65536) / 254))
    head = struct.pack(">BhHHHH", 6, round(celsius * 200), 22120, 51102, 112, 201)
    return head + bytes([5, 1, code, 255, 205, 0]) + tail(address)


def ruuvi_e1(address: str, celsius: float, *, lux: float = 100.0) -> bytes:
    """Data format E1."""
    head = struct.pack(">BhHHHHHHH", 0xE1, round(celsius * 200), 22120, 51102, 101, 112, 1213, 4554, 201)
    light = round(lux * 100).to_bytes(3, "big")
    rest = bytes([5, 1]) + light + b"\xff" * 3 + b"\x00\x00\x07" + b"\x00" + b"\xff" * 5
    return head + rest + bytes.fromhex(address.replace(":", ""))
