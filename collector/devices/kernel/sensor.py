"""A chip that a driver of the kernel reads and shows by hwmon or iio, such as SHT3x, BME280 or LM75.

Linux, Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-bus-iio.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from msgspec.structs import replace as changed

from collector.devices.description import (
    Decoded,
    DecodeError,
    NoAnswerError,
    PolledKind,
    RefusedError,
    Row,
    Rows,
    SettingError,
    Values,
    Wire,
)
from collector.devices.i2c import chip_address
from collector.devices.lines import KernelLine
from collector.devices.rows import measured
from config.model import Device

_CHIPS = ("sys/class/hwmon/hwmon*", "sys/bus/iio/devices/iio:device*")
# Such as sht3x, or dht11@4.
_WORD = re.compile(r"[A-Za-z0-9_.@-]{1,40}")
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,12})?(?:e[+-]?\d{1,2})?\s*")
_ADDRESSES = range(0x03, 0x78)
_LONGEST = 40
# A chip on I2C by bus and address, or on SPI.
_PLACE = re.compile(r"\d{1,3}-[0-9a-f]{4}|spi\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a channel measures: our entity, its row, the factors of both interfaces, what is possible."""

    entity: str
    row: Row
    within: tuple[float, float]
    hwmon: float | None = None
    iio: float | None = None


def _measured(name: str, unit: str, device_class: str | None = None, *, precision: int, step: float) -> Row:
    return measured(name, unit, device_class=device_class, precision=precision, step=step, optional=True)


# By the word of hwmon and that of iio, which count in their own units.
_HWMON, _IIO = "hwmon", "iio"
_QUANTITIES: Mapping[tuple[str, str], Quantity] = {
    ("temp", "temp"): Quantity(
        "temperature", _measured("Temperature", "°C", precision=1, step=0.1), (-273.15, 2000), 1e-3, 1e-3
    ),
    ("humidity", "humidityrelative"): Quantity(
        "humidity", _measured("Humidity", "%", "humidity", precision=1, step=0.5), (0, 100), 1e-3, 1e-3
    ),
    ("", "pressure"): Quantity(
        "pressure",
        _measured("Air pressure", "hPa", "atmospheric_pressure", precision=1, step=0.2),
        (1, 2000),
        None,
        10.0,
    ),
    ("", "illuminance"): Quantity(
        "illuminance", _measured("Illuminance", "lx", "illuminance", precision=0, step=5), (0, 1e6), None, 1.0
    ),
    ("", "concentration_co2"): Quantity(
        "carbon_dioxide",
        _measured("Carbon dioxide", "ppm", "carbon_dioxide", precision=0, step=20),
        (0, 1e6),
        None,
        1e4,
    ),
    ("in", "voltage"): Quantity(
        "voltage", _measured("Voltage", "V", precision=3, step=0.02), (-1e4, 1e4), 1e-3, 1e-3
    ),
    ("curr", "current"): Quantity(
        "current", _measured("Current", "A", precision=3, step=0.01), (-1e4, 1e4), 1e-3, 1e-3
    ),
    ("power", "power"): Quantity(
        "power", _measured("Power", "W", precision=1, step=0.1), (-1e6, 1e6), 1e-6, 1e-3
    ),
    ("energy", "energy"): Quantity(
        "energy", _measured("Energy", "Wh", precision=1, step=0.1), (0, 1e12), 1e-6 / 3600, 1 / 3600
    ),
    ("fan", ""): Quantity("fan", _measured("Fan", "rpm", precision=0, step=50), (0, 1e6), 1.0),
}
_OF_HWMON = {hwmon: one for (hwmon, _), one in _QUANTITIES.items() if hwmon}
_OF_IIO = {iio: one for (_, iio), one in _QUANTITIES.items() if iio}
_FILE = {
    _HWMON: re.compile(rf"({'|'.join(_OF_HWMON)})(\d{{1,3}})()_(input)"),
    _IIO: re.compile(rf"in_({'|'.join(_OF_IIO)})(\d{{0,3}})((?:_[a-z][a-z0-9]*)?)_(input|raw)"),
}


@dataclass(frozen=True, slots=True)
class Channel:
    """One file of a chip: `stem` is what its other files begin with, such as temp1 or in_temp."""

    interface: str
    quantity: Quantity
    folder: str
    stem: str
    number: str
    modifier: str
    raw: bool

    @property
    def key(self) -> str:
        """Its entity if it is the only one of its quantity."""
        return f"{self.quantity.entity}{self.modifier}"

    def value(self, line: KernelLine) -> float:
        """Read it in the unit of its row. Raises DecodeError."""
        if self.interface == _HWMON and self._text(line, "fault").strip() == "1":
            raise RefusedError("the chip says that its sensor is broken or not connected")
        number = _parsed(line.read(f"{self.folder}/{self.stem}_{'raw' if self.raw else 'input'}"))
        if self.raw:
            number = (number + _parsed(self._text(line, "offset") or "0")) * _parsed(
                self._text(line, "scale")
            )
        factor = self.quantity.hwmon if self.interface == _HWMON else self.quantity.iio
        value, (low, high) = number * (factor or 1.0), self.quantity.within
        if not low <= value <= high:
            raise RefusedError(
                f"its driver says {value:.6g} {self.quantity.row.entity.unit}: out of the possible"
            )
        return round(value, 4)

    def label(self, line: KernelLine) -> str:
        """Return what the driver calls it, empty if it has no name."""
        return "".join(filter(str.isprintable, self._text(line, "label")))[:_LONGEST].strip()

    def _text(self, line: KernelLine, word: str) -> str:
        # Scale and offset may be those of one channel or of all of a sort.
        kind = self.stem.removesuffix(self.modifier).rstrip("0123456789")
        for stem in dict.fromkeys((self.stem, f"{kind}{self.modifier}", kind)):
            if files := line.find(f"{self.folder}/{stem}_{word}"):
                return line.read(files[0])
        return ""


def _parsed(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise NoAnswerError(f"its driver says {text[:_LONGEST]!r}, which is no number")
    return float(text)


def channels(line: KernelLine, folder: str) -> Iterator[Channel]:
    """Find what a chip's folder offers; of a channel with both, `input` counts, which is in a unit."""
    interface = _HWMON if "/hwmon/" in folder else _IIO
    quantities = _OF_HWMON if interface == _HWMON else _OF_IIO
    seen: set[str] = set()
    # "_input" stands before "_raw".
    for path in line.find(f"{folder}/*_*"):
        name = path.rpartition("/")[2]
        found = _FILE[interface].fullmatch(name)
        if found is None or (stem := name.rpartition("_")[0]) in seen:
            continue
        seen.add(stem)
        word, number, modifier, form = found.groups()
        yield Channel(interface, quantities[word], folder, stem, number, modifier, form == "raw")


def named(found: list[Channel]) -> dict[str, Channel]:
    """Give each channel its entity: a number only where there are several."""
    keys = [one.key for one in found]
    return {
        f"{one.key}_{one.number}" if keys.count(one.key) > 1 and one.number else one.key: one for one in found
    }


@dataclass(frozen=True, slots=True)
class KernelSensor:
    """A chip by its driver's name for it; `place` is its place on a bus, such as 1-0044, if it is known."""

    rows: ClassVar[Rows] = {}
    chip: str
    place: str | None

    def poll(self, line: KernelLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Read all its channels. Raises DecodeError or LineError."""
        found = named(list(channels(line, self._folder(line))))
        values: Values = {}
        reasons: dict[str, str] = {}
        for entity, channel in found.items():
            try:
                values[entity] = channel.value(line)
            except DecodeError as error:
                values[entity], reasons[entity] = None, str(error)
        if len(reasons) == len(found):
            raise NoAnswerError("; ".join(dict.fromkeys(reasons.values())) or f"{self.chip} measures nothing")
        rows = {entity: _row(entity, channel, line) for entity, channel in found.items()}
        return Decoded(values, self.chip, rows=rows, reasons=reasons)

    def _folder(self, line: KernelLine) -> str:
        chips = dict(present(line))
        ours = [folder for folder, name in chips.items() if name == self.chip]
        if self.place is not None:
            ours = [folder for folder in ours if self.place in line.behind(folder)]
        # A chip may be shown by both interfaces: hwmon has units for all.
        sorts = {folder.rpartition("/")[0] for folder in ours}
        if len(ours) > len(sorts):
            where = ", ".join(place for name, place in places(line) if name == self.chip)
            raise RefusedError(f"there are several chips {self.chip} ({where}): set bus and address")
        if not ours:
            there = ", ".join(sorted(set(chips.values()))) or "none"
            at = f" at {self.place}" if self.place else ""
            raise NoAnswerError(
                f"no driver of the kernel shows a chip {self.chip}{at}; there are: {there}. A line such as "
                f"dtoverlay=i2c-sensor,{self.chip} in /boot/firmware/config.txt loads one at the next start"
            )
        return ours[0]


def _row(entity: str, channel: Channel, line: KernelLine) -> Row:
    row = channel.quantity.row
    rest = entity.removeprefix(channel.quantity.entity).replace("_", " ").strip()
    name = channel.label(line) or f"{row.entity.name} {rest}".strip()
    return replace(row, entity=changed(row.entity, name=name))


def places(line: KernelLine) -> Iterator[tuple[str, str]]:
    """Find the chips that are no part of the computer: their names, and places such as 1-0044 or spi0.0.

    One that is on no bus, such as a DHT11 on a pin, has the name that iio gives it. Raises LineError.
    """
    for folder, name in present(line):
        place = next((part for part in reversed(line.behind(folder)) if _PLACE.fullmatch(part)), None)
        if place is None and _IIO in folder:
            place = folder.rpartition("/")[2]
        if place is not None:
            yield name, place


def present(line: KernelLine) -> Iterator[tuple[str, str]]:
    """Find the chips that drivers show: the folder and the name of each. Raises LineError."""
    for pattern in _CHIPS:
        for folder in line.find(pattern):
            try:
                name = line.read(f"{folder}/name").strip()
            except NoAnswerError:
                # It was unplugged this moment, or it has no name.
                continue
            yield folder, name


def make(device: Device) -> KernelSensor:
    """Set up the chip that the settings describe. Raises SettingError."""
    chip = device.chip or ""
    if not _WORD.fullmatch(chip):
        raise SettingError(
            "chip", f"{chip!r} is no name of a chip", "its driver's word, such as sht3x or bme280"
        )
    if device.address is None:
        return KernelSensor(chip, None)
    bus = 1 if device.bus is None else device.bus
    return KernelSensor(chip, f"{bus}-{chip_address(device, _ADDRESSES):04x}")


KIND = PolledKind(
    wire=Wire.KERNEL,
    name="kernel_sensor",
    title="A chip that a driver of the kernel reads (hwmon, iio): SHT3x, BME280, LM75 and many more",
    manufacturer="Generic",
    rows={one.entity: one.row for one in _QUANTITIES.values()},
    source="Linux, Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-bus-iio",
    needs=("chip",),
    takes=("bus", "address"),
    every=10.0,
    make=make,
    discovers=True,
    allowed={"chip": _WORD, "address": re.compile("0x[0-9a-f]{2}")},
)
