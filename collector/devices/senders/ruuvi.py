"""RuuviTag and Ruuvi Air: temperature, humidity, pressure, air quality; each of their formats as it comes.

Layouts: docs.ruuvi.com, Bluetooth advertisements, data formats 5, C5, 6 and E1. All numbers begin with the
highest byte.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from msgspec import Struct

from collector.devices.description import (
    BadRecordError,
    BleKind,
    Decoded,
    Origin,
    Recognised,
    Row,
    Rows,
    Tested,
    Values,
    WrongKindError,
)
from collector.devices.rows import BLE_ROWS, as_optional, flag, measured, on_off
from collector.devices.senders import SILENCE_S, require_length
from config.model import Device

# m/s² of one g.
_GRAVITY = 9.80665
_DUST = "\u00b5g/m³"


def _acceleration(axis: str) -> Row:
    # It wanders with every breath of wind: it rides along.
    return measured(f"Acceleration {axis}", "m/s²", precision=2, step=math.inf, diagnostic=True)


_ALL: Rows = {
    "temperature": measured("Temperature", "°C", precision=2),
    "humidity": measured("Humidity", "%", device_class="humidity", step=0.5),
    "pressure": measured("Air pressure", "hPa"),
    "carbon_dioxide": measured("Carbon dioxide", "ppm"),
    "pm1": measured("Fine dust PM1", _DUST, device_class="pm1"),
    "pm25": measured("Fine dust PM2.5", _DUST, device_class="pm25"),
    # Home Assistant before 2025 knows no such class, and refuses an entity of it whole.
    "pm4": measured("Fine dust PM4", _DUST),
    "pm10": measured("Fine dust PM10", _DUST, device_class="pm10"),
    "voc_index": measured("VOC index", None, step=5),
    "nox_index": measured("NOx index", None, step=1),
    "illuminance": measured("Light", "lx"),
    "calibrating": flag("Calibrating", diagnostic=True),
    "battery_voltage": measured("Battery voltage", "V", precision=2, step=0.02, diagnostic=True),
    "movements": measured("Movements", None, step=1, diagnostic=True),
    **{f"acceleration_{axis}": _acceleration(axis.upper()) for axis in "xyz"},
}
ROWS: Rows = {key: as_optional(row) for key, row in _ALL.items()} | dict(BLE_ROWS)


class _Field(Struct, frozen=True):
    """A number of `length` bytes from byte `start`, times `times` / `per`, plus `plus`; null as it says.

    Not available is the largest number, of signed ones the smallest; `low_bit` is where the flags hold one
    more bit below the others.
    """

    start: int
    length: int = 2
    per: int = 1
    times: float = 1
    plus: float = 0
    signed: bool = False
    low_bit: int | None = None

    def read(self, frame: bytes, flags: int) -> float | None:
        number = int.from_bytes(frame[self.start : self.start + self.length], "big", signed=self.signed)
        bits = 8 * self.length
        if self.low_bit is not None:
            number, bits = number << 1 | flags >> self.low_bit & 1, bits + 1
        if number == (-1 << bits - 1 if self.signed else (1 << bits) - 1):
            return None
        value = number if self.per == 1 else number / self.per
        exact = self.plus == 0 and self.times == 1
        return value if exact else round(value * self.times + self.plus, 4)


class _Format(Struct, frozen=True):
    """One data format: its length, its fields, the byte of its flags."""

    length: int
    fields: Mapping[str, _Field]
    flags: int | None = None
    model: str = "RuuviTag"

    def read(self, frame: bytes) -> Values:
        flags = 0 if self.flags is None else frame[self.flags]
        values: Values = {key: field.read(frame, flags) for key, field in self.fields.items()}
        if self.flags is not None:
            values["calibrating"] = on_off(bool(flags & 1))
        return values


_CLIMATE = {
    "temperature": _Field(1, per=200, signed=True),
    "humidity": _Field(3, per=400),
    "pressure": _Field(5, per=100, plus=500),
}


def _axes(start: int) -> dict[str, _Field]:
    return {
        f"acceleration_{axis}": _Field(start + 2 * n, per=1000, times=_GRAVITY, signed=True)
        for n, axis in enumerate("xyz")
    }


_OLD_AIR, _E1 = 6, 0xE1
_FORMATS: Mapping[int, _Format] = {
    5: _Format(24, {**_CLIMATE, **_axes(7), "movements": _Field(15, 1)}),
    0xC5: _Format(18, {**_CLIMATE, "movements": _Field(9, 1)}),
    _OLD_AIR: _Format(
        20,
        {
            **_CLIMATE,
            "pm25": _Field(7, per=10),
            "carbon_dioxide": _Field(9),
            "voc_index": _Field(11, 1, low_bit=6),
            "nox_index": _Field(12, 1, low_bit=7),
        },
        flags=16,
        model="Ruuvi Air",
    ),
    _E1: _Format(
        40,
        {
            **_CLIMATE,
            "pm1": _Field(7, per=10),
            "pm25": _Field(9, per=10),
            "pm4": _Field(11, per=10),
            "pm10": _Field(13, per=10),
            "carbon_dioxide": _Field(15),
            "voc_index": _Field(17, 1, low_bit=6),
            "nox_index": _Field(18, 1, low_bit=7),
            "illuminance": _Field(19, 3, per=100),
        },
        flags=28,
        model="Ruuvi Air",
    ),
}
# Of formats 5 and C5: 11 bits of millivolts above 1.6 V, then five of something else.
_POWER_AT = {5: 13, 0xC5: 7}
_NO_VOLTAGE = 0x7FF
# Format 6: the logarithm of 65536, in 254 steps.
_LIGHT_AT, _NO_LIGHT, _LIGHT_STEP = 13, 0xFF, math.log(65536) / 254
# A Ruuvi Air says the same in format 6 for old radios; whoever hears E1 takes that alone.
_E1_KEPT_S = 60.0


def _format(frame: bytes) -> _Format:
    if not frame:
        raise BadRecordError("a frame without a byte")
    found = _FORMATS.get(frame[0])
    if found is None:
        record = f"data format {frame[0]:#04x}"
        raise WrongKindError(f"{record} of Ruuvi is not read: update the sensor with Ruuvi's app", record)
    require_length(frame, found.length, f"data format {frame[0]:X}")
    return found


def _read(frame: bytes) -> Decoded:
    """Read a frame of any format. Raises DecodeError."""
    found = _format(frame)
    values = found.read(frame)
    if (at := _POWER_AT.get(frame[0])) is not None:
        millivolts = int.from_bytes(frame[at : at + 2], "big") >> 5
        values["battery_voltage"] = None if millivolts == _NO_VOLTAGE else round(1.6 + millivolts / 1000, 3)
    elif frame[0] == _OLD_AIR:
        code = frame[_LIGHT_AT]
        values["illuminance"] = None if code == _NO_LIGHT else round(math.exp(code * _LIGHT_STEP) - 1, 2)
    return Decoded(values, found.model)


class Ruuvi:
    """One sensor."""

    rows = ROWS

    def __init__(self) -> None:
        self._e1_at = -math.inf
        self._seen: set[str] = set()

    def decode(self, frame: bytes, now: float) -> Decoded | None:
        """Read a frame; None for format 6 beside E1. Raises DecodeError."""
        decoded = _read(frame)
        if frame[0] == _E1:
            self._e1_at = now
        elif frame[0] == _OLD_AIR and now - self._e1_at < _E1_KEPT_S:
            return None
        # What a model has not it calls "not available" for ever.
        self._seen |= {key for key, value in decoded.values.items() if value is not None}
        return replace(decoded, values={k: v for k, v in decoded.values.items() if k in self._seen})


def recognise(origin: Origin, data: bytes, address: str) -> Recognised:  # noqa: ARG001 — as every kind's
    """Say which sensor of Ruuvi it is."""
    found = _FORMATS.get(data[0]) if data else None
    if found is None:
        return Recognised("Ruuvi, in a data format that is not read")
    return Recognised(f"{found.model}: temperature, humidity, air pressure", found.model, "ruuvi")


def _make(device: Device) -> Ruuvi:  # noqa: ARG001 — it has no settings of its own
    return Ruuvi()


KIND = BleKind(
    name="ruuvi",
    title="RuuviTag and Ruuvi Air",
    manufacturer="Ruuvi Innovations",
    rows=ROWS,
    source="docs.ruuvi.com, data formats 5, C5, 6 and E1",
    needs=("address",),
    tested=(Tested.VECTORS, Tested.TWIN),
    notes=(
        "Formats 5, C5, 6 and E1 are read as they come; of a Ruuvi Air that is heard in both, E1 alone.",
        "Acceleration tells how level the van stands. It makes no reading of its own.",
    ),
    silence=SILENCE_S,
    origin=0x0499,
    make=_make,
)
