"""Twins of sensors that drivers of the kernel read: the files below /sys, in a folder given to the line.

From Linux, Documentation/w1/slaves/w1_therm.rst, hwmon/sysfs-interface.rst and ABI/testing/sysfs-bus-iio; the
scratchpad from Maxim, DS18B20 data sheet 19-7487, figure 9 and table 1. Nothing here knows our decoders.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

# The kinds that are read from them.
TWINS = ("ds18b20", "kernel_sensor")


def crc(data: bytes) -> int:
    """Maxim's shift register of application note 27, bit by bit: x^8 + x^5 + x^4 + 1, lowest bit first."""
    register = [0] * 8
    for byte in data:
        for bit in range(8):
            feedback = register[0] ^ (byte >> bit & 1)
            register = [*register[1:], feedback]
            register[2] ^= feedback
            register[3] ^= feedback
    return sum(value << at for at, value in enumerate(register))


def scratchpad(celsius: float) -> bytes:
    """A DS18B20's nine bytes at 12 bits."""
    raw = round(celsius * 16) & 0xFFFF
    data = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, 0x10 - (raw & 0x0F) or 0x10, 0x10])
    return data + bytes([crc(data)])


def w1_slave(data: bytes, *, millidegrees: int, retained: bytes | None = None) -> str:
    """The text that the driver makes of a scratchpad; of a wrong one it shows what it retained."""
    good = crc(data[:8]) == data[8]
    said = " ".join(f"{byte:02x}" for byte in data)
    kept = said if good else " ".join(f"{byte:02x}" for byte in retained or bytes(9))
    verdict = "YES" if good else "NO"
    return f"{said} : crc={crc(data[:8]):02x} {verdict}\n{kept} t={millidegrees}\n"


@dataclass(frozen=True)
class Sysfs:
    """A machine's /sys below `root`."""

    root: Path

    def write(self, path: str, text: str) -> Path:
        """One file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def one_wire(self) -> None:
        """A 1-Wire bus on a pin."""
        (self.root / "sys/devices/w1_bus_master1").mkdir(parents=True, exist_ok=True)
        self._link("sys/bus/w1/devices/w1_bus_master1", "sys/devices/w1_bus_master1")

    def thermometer(self, name: str, celsius: float) -> None:
        """A sensor that measures."""
        self.thermometer_says(
            name, w1_slave(scratchpad(celsius), millidegrees=round(celsius * 16) * 125 // 2)
        )

    def thermometer_says(self, name: str, text: str, file: str = "w1_slave") -> None:
        """A sensor whose file holds this text."""
        self.write(f"sys/devices/w1_bus_master1/{name}/{file}", text)
        self._link(f"sys/bus/w1/devices/{name}", f"sys/devices/w1_bus_master1/{name}")

    def hwmon(self, number: int, name: str, place: str, **files: str) -> str:
        """A chip of hwmon at a place of the bus, with its files; returns its real folder."""
        folder = f"sys/devices/platform/soc/{place}/hwmon/hwmon{number}"
        return self._chip(folder, f"sys/class/hwmon/hwmon{number}", name, files)

    def iio(self, number: int, name: str, place: str, **files: str) -> str:
        """A chip of iio."""
        folder = f"sys/devices/platform/soc/{place}/iio:device{number}"
        return self._chip(folder, f"sys/bus/iio/devices/iio:device{number}", name, files)

    def _chip(self, folder: str, link: str, name: str, files: dict[str, str]) -> str:
        for file, text in {"name": f"{name}\n", **files}.items():
            self.write(f"{folder}/{file}", text)
        self._link(link, folder)
        return folder

    def fail(self, path: str) -> None:
        """A file that is there and cannot be read, as one whose driver says EIO."""
        (self.root / path).unlink()
        (self.root / path).mkdir()

    def remove(self, path: str) -> None:
        """What was unplugged."""
        found = self.root / path
        if found.is_symlink():
            shutil.rmtree(found.resolve())
            found.unlink()
        else:
            found.unlink()

    def _link(self, link: str, target: str) -> None:
        path = self.root / link
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(self.root / target)
