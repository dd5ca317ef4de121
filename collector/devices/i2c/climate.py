"""SHT3x, BME280 and BMP280: temperature, humidity and air pressure, where the kernel has no driver bound.

Registers and formulas from Sensirion, SHT3x-DIS data sheet (December 2022), chapter 4, and Bosch, BME280 data
sheet BST-BME280-DS002 (4.2.2 and 8.1) and BMP280 data sheet BST-BMP280-DS001 (3.11.3).
"""

import struct
from dataclasses import dataclass
from typing import ClassVar

from collector.devices.description import (
    BadRecordError,
    Decoded,
    I2cKind,
    ImplausibleError,
    NoAnswerError,
    Rows,
    Values,
    WrongKindError,
)
from collector.devices.i2c import chip_address
from collector.devices.lines import I2cLine
from collector.devices.rows import as_optional, measured

ROWS: Rows = {
    "temperature": measured("Temperature", "°C", precision=1, step=0.1),
    "humidity": measured("Humidity", "%", device_class="humidity", precision=1, step=0.5),
}
_PRESSURE = measured("Air pressure", "hPa", device_class="atmospheric_pressure", precision=1, step=0.2)
BOSCH_ROWS: Rows = {
    "temperature": ROWS["temperature"],
    "pressure": _PRESSURE,
    "humidity": as_optional(ROWS["humidity"]),
}

# By its pin ADDR. One measurement of high repeatability, without clock stretching, takes 15.5 ms at most.
_SHT_ADDRESSES = range(0x44, 0x46)
_MEASURE = (0x24, b"\x00")
_MEASURING_S = 0.0165
_SHT_FULL = 0xFFFF


def sht_checksum(word: bytes) -> int:
    """Compute the CRC-8 of a word: polynomial 0x31, begun with 0xFF."""
    crc = 0xFF
    for byte in word:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x31 if crc & 0x80 else 0)) & 0xFF
    return crc


def decode_sht(data: bytes) -> Values:
    """Read two words, each with its checksum. Raises BadRecordError."""
    if len(data) != 6 or sht_checksum(data[:2]) != data[2] or sht_checksum(data[3:5]) != data[5]:
        raise BadRecordError("the chip's checksum is wrong: is it an SHT3x, are its wires short and firm?")
    temperature, humidity = (int.from_bytes(data[at : at + 2], "big") / _SHT_FULL for at in (0, 3))
    return {"temperature": round(175 * temperature - 45, 2), "humidity": round(100 * humidity, 2)}


@dataclass(frozen=True, slots=True)
class Sht3x:
    """One chip."""

    rows: ClassVar[Rows] = ROWS
    address: int

    def poll(self, line: I2cLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Let it measure. Raises DecodeError or LineError."""
        line.write(self.address, *_MEASURE)
        line.pause(_MEASURING_S)
        return Decoded(decode_sht(line.receive(self.address, 6)), "SHT3x")


# By its pin SDO.
_BOSCH_ADDRESSES = range(0x76, 0x78)
_ID, _CTRL_HUM, _STATUS, _CTRL_MEAS, _DATA = 0xD0, 0xF2, 0xF3, 0xF4, 0xF7
_BME280, _BMP280 = 0x60, 0x58
_TRIMMING, _TRIMMING_HUMIDITY = (0x88, 26), (0xE1, 7)
# Each once (no oversampling), in forced mode: temperature, pressure; humidity has a register of its own.
_ONCE, _FORCED = 0x01, 0b001 << 5 | 0b001 << 2 | 0b01
_BUSY = 0x08
# 1.25 + 2.3 + 2.3 + 0.575 + 2.3 + 0.575 ms at most (appendix B), and several tries more.
_CONVERSION_S, _TRIES = 0.0095, 5
# What the registers hold where nothing was measured.
_SKIPPED, _SKIPPED_HUMIDITY = 0x80000, 0x8000


@dataclass(frozen=True, slots=True)
class Trimming:
    """The numbers that Bosch wrote into a chip: of temperature (3), pressure (9), humidity (6, or none)."""

    t: tuple[int, ...]
    p: tuple[int, ...]
    h: tuple[int, ...] = ()


def trimming(first: bytes, humidity: bytes) -> Trimming:
    """Read table 16 of the data sheet. Raises BadRecordError."""
    numbers = struct.unpack_from("<HhhHhhhhhhhh", first)
    # What an empty bus reads.
    if numbers[0] in (0, 0xFFFF) or numbers[3] in (0, 0xFFFF):
        raise BadRecordError("the chip's trimming values cannot be read: are its wires short and firm?")
    if not humidity:
        return Trimming(numbers[:3], numbers[3:])
    h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", humidity)
    h = (first[25], h2, h3, e4 << 4 | e5 & 0x0F, e6 << 4 | e5 >> 4, h6)
    return Trimming(numbers[:3], numbers[3:], h)


def decode_bosch(data: bytes, trim: Trimming) -> Values:
    """Compute the values as the data sheet does in floating point. Raises BadRecordError."""
    pressure, temperature = (
        data[0] << 12 | data[1] << 4 | data[2] >> 4,
        data[3] << 12 | data[4] << 4 | data[5] >> 4,
    )
    if _SKIPPED in (temperature, pressure):
        raise BadRecordError("the chip has lost its settings while it measured: is its supply steady?")
    fine = _fine(temperature, trim.t)
    celsius = fine / 5120
    hectopascals = _pascals(pressure, fine, trim.p) / 100
    if not (-45 <= celsius <= 90 and 250 <= hectopascals <= 1150):
        raise ImplausibleError(
            f"{celsius:.4g} °C and {hectopascals:.4g} hPa are beyond what the chip measures"
        )
    values: Values = {"temperature": round(celsius, 2), "pressure": round(hectopascals, 2)}
    if trim.h:
        raw = int.from_bytes(data[6:8], "big")
        values["humidity"] = None if raw == _SKIPPED_HUMIDITY else round(_percent(raw, fine, trim.h), 2)
    return values


def _fine(raw: int, t: tuple[int, ...]) -> float:
    return (raw / 16384 - t[0] / 1024) * t[1] + (raw / 131072 - t[0] / 8192) ** 2 * t[2]


def _pascals(raw: int, fine: float, p: tuple[int, ...]) -> float:
    x = fine / 2 - 64000
    y = x * x * p[5] / 32768 + x * p[4] * 2
    y = y / 4 + p[3] * 65536
    x = (p[2] * x * x / 524288 + p[1] * x) / 524288
    x = (1 + x / 32768) * p[0]
    if x == 0:
        return 0.0
    found = (1048576 - raw - y / 4096) * 6250 / x
    return found + (p[8] * found * found / 2147483648 + found * p[7] / 32768 + p[6]) / 16


def _percent(raw: int, fine: float, h: tuple[int, ...]) -> float:
    x = fine - 76800
    x = (raw - (h[3] * 64 + h[4] / 16384 * x)) * (
        h[1] / 65536 * (1 + h[5] / 67108864 * x * (1 + h[2] / 67108864 * x))
    )
    return max(0.0, min(100.0, x * (1 - h[0] * x / 524288)))


@dataclass(frozen=True, slots=True)
class Bosch:
    """One BME280, or a BMP280, which has no humidity."""

    rows: ClassVar[Rows] = BOSCH_ROWS
    address: int

    def poll(self, line: I2cLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Let it measure. Raises DecodeError or LineError."""
        chip = _read(line, self.address, _ID, 1)[0]
        if chip not in (_BME280, _BMP280):
            raise WrongKindError(
                f"the chip at {self.address:#04x} says {chip:#04x}: it is no BME280 or BMP280"
            )
        wet = chip == _BME280
        first = _read(line, self.address, *_TRIMMING)
        trim = trimming(first, _read(line, self.address, *_TRIMMING_HUMIDITY) if wet else b"")
        if wet:
            # It takes effect with the register after it.
            line.write(self.address, _CTRL_HUM, bytes([_ONCE]))
        line.write(self.address, _CTRL_MEAS, bytes([_FORCED]))
        self._wait(line)
        data = _read(line, self.address, _DATA, 8 if wet else 6)
        return Decoded(decode_bosch(data, trim), "BME280" if wet else "BMP280")

    def _wait(self, line: I2cLine) -> None:
        for _ in range(_TRIES):
            line.pause(_CONVERSION_S)
            if not _read(line, self.address, _STATUS, 1)[0] & _BUSY:
                return
        raise NoAnswerError(
            f"the chip at {self.address:#04x} answers but does not measure: switch it off and on"
        )


def _read(line: I2cLine, address: int, register: int, count: int) -> bytes:
    data = line.read(address, register, count)
    if len(data) != count:
        raise BadRecordError(f"{address:#04x} sent {len(data)} bytes instead of {count}")
    return data


def _is_bosch(line: I2cLine, address: int) -> bool:
    return _read(line, address, _ID, 1)[0] in (_BME280, _BMP280)


SHT3X = I2cKind(
    name="sht3x",
    title="SHT30, SHT31, SHT35: temperature and humidity",
    manufacturer="Sensirion",
    rows=ROWS,
    source="Sensirion, SHT3x-DIS data sheet (December 2022)",
    takes=("bus", "address"),
    every=10.0,
    make=lambda device: Sht3x(chip_address(device, _SHT_ADDRESSES)),
    addresses=_SHT_ADDRESSES,
)
BME280 = I2cKind(
    name="bme280",
    title="BME280, BMP280: temperature, air pressure and humidity",
    manufacturer="Bosch Sensortec",
    rows=BOSCH_ROWS,
    source="Bosch, BME280 data sheet BST-BME280-DS002, BMP280 data sheet BST-BMP280-DS001",
    takes=("bus", "address"),
    every=10.0,
    make=lambda device: Bosch(chip_address(device, _BOSCH_ADDRESSES)),
    addresses=_BOSCH_ADDRESSES,
    recognise=_is_bosch,
)
KINDS = {kind.name: kind for kind in (SHT3X, BME280)}
