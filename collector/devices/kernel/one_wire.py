"""DS18B20 and its kin on 1-Wire, by the files of the kernel's driver w1_therm.

Linux, Documentation/w1/slaves/w1_therm.rst; scratchpad and CRC from Maxim, DS18B20 data sheet 19-7487.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from collector.devices.description import (
    BadRecordError,
    Decoded,
    ImplausibleError,
    LineError,
    NoAnswerError,
    PolledKind,
    RefusedError,
    Rows,
    SettingError,
    Wire,
)
from collector.devices.lines import KernelLine
from collector.devices.rows import measured
from config.addresses import ONE_WIRE_PATTERN
from config.model import Device

# By the first two digits of the id.
FAMILIES = {"10": "DS18S20", "22": "DS1822", "28": "DS18B20", "3b": "DS1825", "42": "DS28EA00"}
_DEVICES = "sys/bus/w1/devices"
_ID = re.compile(ONE_WIRE_PATTERN)
_SCRATCHPAD = re.compile(
    r"((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\n(?:[0-9a-f]{2} ){9}t=(-?\d{1,6})\s*"
)
_MILLIDEGREES = re.compile(r"-?\d{1,6}\s*")
_POWER_ON = 85_000
_LOWEST, _HIGHEST = -55_000, 125_000
_SWITCH_ON = (
    "1-Wire is off: write the line dtoverlay=w1-gpio (pin 4; or dtoverlay=w1-gpio,gpiopin=17) into "
    "/boot/firmware/config.txt and start the machine anew"
)
_PULL_UP = "is there a resistor of 4.7 kΩ between its data wire and 3.3 V?"

ROWS: Rows = {"temperature": measured("Temperature", "°C", precision=1)}


def sensors(line: KernelLine) -> list[str]:
    """List the ids of the sensors that the kernel sees. Raises LineError if 1-Wire is off."""
    if not line.find(f"{_DEVICES}/w1_bus_master*"):
        raise LineError(_SWITCH_ON)
    names = [path.rpartition("/")[2] for path in line.find(f"{_DEVICES}/*-*")]
    return [name for name in names if _ID.fullmatch(name)]


def decode(text: str) -> float:
    """Read °C from `w1_slave` (two lines) or `temperature` (a number). Raises BadRecordError."""
    found = _SCRATCHPAD.fullmatch(text)
    if found is None and not _MILLIDEGREES.fullmatch(text):
        raise BadRecordError(f"the kernel's file holds {text[:80]!r}: no temperature")
    if found is not None:
        # The driver passes a wire that is shorted to ground: of nothing but zeros the checksum is right.
        data = bytes.fromhex(found[1])
        if found[2] != "YES" or crc8(data) or not any(data):
            raise BadRecordError(f"its checksum is wrong: {_PULL_UP} A long wire needs less")
    millidegrees = int(text if found is None else found[3])
    if millidegrees == _POWER_ON:
        raise BadRecordError(
            "it says 85 °C, as after losing its supply before it measured: give it 3.3 V by a wire of its "
            f"own; {_PULL_UP}"
        )
    if not _LOWEST <= millidegrees <= _HIGHEST:
        raise ImplausibleError(f"it says {millidegrees / 1000:g} °C, which it cannot measure")
    return millidegrees / 1000


def crc8(data: bytes) -> int:
    """Compute Maxim's checksum (x^8 + x^5 + x^4 + 1); 0 for data that ends with its own."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


@dataclass(frozen=True, slots=True)
class OneWire:
    """One sensor, by its id."""

    rows: ClassVar[Rows] = ROWS
    address: str

    def poll(self, line: KernelLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Let it measure. Raises DecodeError or LineError."""
        files = line.find(f"{_DEVICES}/{self.address}/w1_slave") or line.find(
            f"{_DEVICES}/{self.address}/temperature"
        )
        if not files:
            raise self._missing(line)
        return Decoded({"temperature": round(decode(line.read(files[0])), 3)}, FAMILIES[self.address[:2]])

    def _missing(self, line: KernelLine) -> NoAnswerError | RefusedError:
        there = sensors(line)
        if self.address in there:
            return RefusedError(
                "the kernel sees it, but its driver w1_therm is not loaded: modprobe w1_therm"
            )
        listed = f"there is {', '.join(there)}" if there else f"there is no sensor at all: {_PULL_UP}"
        return NoAnswerError(f"no answer from {self.address} on 1-Wire: {listed}")


def make(device: Device) -> OneWire:
    """Set up the sensor that the settings describe. Raises SettingError."""
    address = str(device.address).lower()
    if not _ID.fullmatch(address):
        raise SettingError(
            "address", f"{device.address!r} is no id of such a sensor", 'an id such as "28-0123456789ab"'
        )
    return OneWire(address)


KIND = PolledKind(
    wire=Wire.KERNEL,
    name="ds18b20",
    title="DS18B20, DS18S20, DS1822, DS1825 or DS28EA00: temperature on 1-Wire",
    manufacturer="Maxim",
    model="DS18B20",
    rows=ROWS,
    source="Linux, Documentation/w1/slaves/w1_therm.rst; Maxim, DS18B20 data sheet 19-7487",
    needs=("address",),
    every=10.0,
    make=make,
    allowed={"address": _ID},
)
