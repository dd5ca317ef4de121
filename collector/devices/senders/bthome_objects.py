"""The table of BTHome's objects: what each measures, in our units, and how long it is."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from msgspec import Struct
from msgspec.structs import replace as changed

from bus.about import TOTAL_INCREASING
from bus.messages import to_iso
from collector.devices.description import Row, Value
from collector.devices.rows import as_optional, flag, measured, on_off, status, text

_PERCENT, _DUST, _VOLUME = "%", "\u00b5g/m³", "m³"


class Object(Struct, frozen=True):
    """A number of `length` bytes: the entity, its row, times `times` / `per`."""

    entity: str
    row: Row
    length: int = 1
    per: int = 1
    times: float = 1
    signed: bool = False

    def read(self, raw: bytes) -> Value:
        """Return the value in the row's unit."""
        number = int.from_bytes(raw, "little", signed=self.signed)
        if self.row.entity.boolean:
            return on_off(number != 0)
        value = number / self.per if self.per != 1 else number
        return value if self.times == 1 else round(value * self.times, 6)


def _number(
    entity: str,
    name: str,
    unit: str | None,
    length: int,
    per: int = 1,
    *,
    times: float = 1,
    signed: bool = False,
    device_class: str | None = None,
    total: bool = False,
    diagnostic: bool = False,
    precision: int | None = None,
) -> Object:
    row = measured(
        name,
        unit,
        device_class=device_class,
        state_class=TOTAL_INCREASING if total else None,
        precision=precision,
        diagnostic=diagnostic,
    )
    return Object(entity, row, length, per, times, signed)


def _temperature(length: int, per: int, *, times: float = 1) -> Object:
    return _number("temperature", "Temperature", "°C", length, per, times=times, signed=True)


def _moisture(length: int, per: int) -> Object:
    return _number("moisture", "Moisture", _PERCENT, length, per, device_class="moisture")


def _humidity(length: int, per: int) -> Object:
    return _number("humidity", "Humidity", _PERCENT, length, per, device_class="humidity")


def _count(length: int, *, signed: bool = False) -> Object:
    return _number("count", "Count", None, length, signed=signed)


def _total(entity: str, name: str, unit: str, length: int, per: int, *, device_class: str) -> Object:
    return _number(entity, name, unit, length, per, device_class=device_class, total=True, precision=1)


def _kilowatt_hours(length: int) -> Object:
    # Thousandths of a kWh are our Wh.
    return _number("energy", "Energy", "Wh", length)


# In the order of their numbers from 0x0F on: entity, name, class of Home Assistant.
_FLAGS = (
    ("generic", "State", None),
    ("power_on", "Power", "power"),
    ("opening", "Opening", "opening"),
)
_MORE_FLAGS = (
    ("battery_low", "Battery low", "battery"),
    ("battery_charging", "Battery charging", "battery_charging"),
    ("carbon_monoxide", "Carbon monoxide", "carbon_monoxide"),
    ("cold", "Cold", "cold"),
    ("connectivity", "Connection", "connectivity"),
    ("door", "Door", "door"),
    ("garage_door", "Garage door", "garage_door"),
    ("gas", "Gas", "gas"),
    ("heat", "Heat", "heat"),
    ("light", "Light", "light"),
    ("lock", "Lock", "lock"),
    ("wet", "Wet", "moisture"),
    ("motion", "Motion", "motion"),
    ("moving", "Moving", "moving"),
    ("occupancy", "Occupancy", "occupancy"),
    ("plug", "Plug", "plug"),
    ("presence", "Presence", "presence"),
    ("problem", "Problem", "problem"),
    ("running", "Running", "running"),
    ("safety", "Safety", "safety"),
    ("smoke", "Smoke", "smoke"),
    ("sound", "Sound", "sound"),
    ("tamper", "Tamper", "tamper"),
    ("vibration", "Vibration", "vibration"),
    ("window", "Window", "window"),
)


def _flags(first: int, table: tuple[tuple[str, str, str | None], ...]) -> dict[int, Object]:
    return {
        first + n: Object(entity, flag(name, device_class))
        for n, (entity, name, device_class) in enumerate(table)
    }


OBJECTS: Mapping[int, Object] = {
    0x01: _number(
        "battery", "Battery of the sensor", _PERCENT, 1, device_class="battery", diagnostic=True, precision=0
    ),
    0x02: _temperature(2, 100),
    0x03: _humidity(2, 100),
    0x04: _number("pressure", "Air pressure", "hPa", 3, 100),
    0x05: _number("illuminance", "Light", "lx", 3, 100),
    0x06: _number("mass", "Weight", "kg", 2, 100),
    # Pounds.
    0x07: _number("mass", "Weight", "kg", 2, 100, times=0.45359237),
    0x08: _number("dew_point", "Dew point", "°C", 2, 100, signed=True),
    0x09: _count(1),
    0x0A: _kilowatt_hours(3),
    0x0B: _number("power", "Power", "W", 3, 100),
    0x0C: _number("voltage", "Voltage", "V", 2, 1000, precision=2),
    0x0D: _number("pm25", "Fine dust PM2.5", _DUST, 2, device_class="pm25"),
    0x0E: _number("pm10", "Fine dust PM10", _DUST, 2, device_class="pm10"),
    **_flags(0x0F, _FLAGS),
    0x12: _number("carbon_dioxide", "Carbon dioxide", "ppm", 2),
    0x13: _number(
        "volatile_organic_compounds",
        "Volatile organic compounds",
        _DUST,
        2,
        device_class="volatile_organic_compounds",
    ),
    0x14: _moisture(2, 100),
    **_flags(0x15, _MORE_FLAGS),
    0x2E: _humidity(1, 1),
    0x2F: _moisture(1, 1),
    0x3D: _count(2),
    0x3E: _count(4),
    0x3F: _number("rotation", "Rotation", "°", 2, 10, signed=True),
    0x40: _number("distance", "Distance", "mm", 2),
    # Tenths of a metre.
    0x41: _number("distance", "Distance", "mm", 2, times=100),
    0x42: _number("duration", "Duration", "s", 3, 1000, precision=1),
    0x43: _number("current", "Current", "A", 2, 1000),
    0x44: _number("speed", "Speed", "m/s", 2, 100),
    0x45: _temperature(2, 10),
    0x46: _number("uv_index", "UV index", None, 1, 10, precision=1),
    0x47: _total("volume", "Volume", "L", 2, 10, device_class="volume"),
    # Millilitres.
    0x48: _total("volume", "Volume", "L", 2, 1000, device_class="volume"),
    0x49: _number("flow_rate", "Flow", "m³/h", 2, 1000),
    0x4A: _number("voltage", "Voltage", "V", 2, 10),
    0x4B: _total("gas_volume", "Gas", _VOLUME, 3, 1000, device_class="gas"),
    0x4C: _total("gas_volume", "Gas", _VOLUME, 4, 1000, device_class="gas"),
    0x4D: _kilowatt_hours(4),
    0x4E: _total("volume", "Volume", "L", 4, 1000, device_class="volume"),
    0x4F: _total("water", "Water", "L", 4, 1000, device_class="water"),
    0x51: _number("acceleration", "Acceleration", "m/s²", 2, 1000, precision=2),
    0x52: _number("gyroscope", "Turning", "°/s", 2, 1000, precision=1),
    0x55: _number("stored_volume", "Stored volume", "L", 4, 1000, precision=1),
    0x56: _number("conductivity", "Conductivity", "\u00b5S/cm", 2),
    0x57: _temperature(1, 1),
    0x58: _temperature(1, 1, times=0.35),
    0x59: _count(1, signed=True),
    0x5A: _count(2, signed=True),
    0x5B: _count(4, signed=True),
    0x5C: _number("power", "Power", "W", 4, 100, signed=True),
    0x5D: _number("current", "Current", "A", 2, 1000, signed=True),
    0x5E: _number("direction", "Direction", "°", 2, 100),
    0x5F: _number("precipitation", "Rain", "mm", 2, 10, device_class="precipitation", precision=1),
    0x60: _number("channel", "Channel", None, 1, diagnostic=True),
    0x61: _number("rotational_speed", "Turns", "rpm", 2),
    0x62: _number("speed", "Speed", "m/s", 4, 1_000_000, signed=True),
    0x63: _number("acceleration", "Acceleration", "m/s²", 4, 1_000_000, signed=True, precision=2),
    0x64: _number("light_level", "Light level", None, 1),
    0x65: _number("settings_revision", "Revision of its settings", None, 1, diagnostic=True),
}


class Event(Struct, frozen=True):
    """Something that happened: its words, how many bytes it takes; `counted`: a byte says how many more."""

    entity: str
    words: Mapping[int, str]
    rows: Mapping[str, Row]
    length: int = 1
    counted: bool = False


def _event(
    entity: str, name: str, words: Mapping[int, str], length: int = 1, *, counted: bool = False
) -> Event:
    # What happened last, and how often something has: two presses in a row differ by the second only.
    rows = {
        "": status(f"Last {name}", words.values()),
        "_events": measured(f"{name.capitalize()} events", None, state_class=TOTAL_INCREASING, step=0),
    }
    if length == 2:
        rows["_steps"] = measured(f"Steps of the last {name}", None)
    return Event(entity, words, rows, length, counted)


EVENTS: Mapping[int, Event] = {
    0x3A: _event(
        "button",
        "press",
        {
            0x01: "press",
            0x02: "double_press",
            0x03: "triple_press",
            0x04: "long_press",
            0x05: "long_double_press",
            0x06: "long_triple_press",
            0x80: "hold_press",
            0x81: "hold_release",
        },
    ),
    0x3B: _event(
        "command",
        "command",
        {0x00: "off", 0x01: "on", 0x02: "toggle", 0x03: "step_up", 0x04: "step_down"},
        counted=True,
    ),
    0x3C: _event("dimmer", "turn", {0x01: "rotate_left", 0x02: "rotate_right"}, length=2),
}


def _text(raw: bytes) -> Value:
    # What cannot be read is unknown; a control character is no text of a sensor.
    found = raw.decode("utf-8", "replace")
    return found if found.isprintable() and "\ufffd" not in found else None


# A byte says how long they are.
VARIABLE: Mapping[int, tuple[str, Row, Callable[[bytes], Value]]] = {
    0x53: ("text", text("Text"), _text),
    0x54: ("raw", text("Raw data", diagnostic=True), bytes.hex),
}


def _time(raw: bytes) -> str:
    return to_iso(int.from_bytes(raw, "little") * 1000)


def _version(raw: bytes) -> str:
    return ".".join(str(part) for part in reversed(raw))


def _model_id(raw: bytes) -> str:
    return f"0x{int.from_bytes(raw, 'little'):04X}"


# What they tell of the device itself: the key of about, the bytes, how they read. Its clock is not used.
DEVICE: Mapping[int, tuple[str, int, Callable[[bytes], str]]] = {
    0x50: ("time", 4, _time),
    0xF0: ("model_id", 2, _model_id),
    0xF1: ("sw_version", 4, _version),
    0xF2: ("sw_version", 3, _version),
}


def numbered(row: Row, n: int) -> Row:
    """Return the row of the n-th object of its sort in a frame, shown once it was heard."""
    found = as_optional(row)
    return found if n == 1 else replace(found, entity=changed(row.entity, name=f"{row.entity.name} {n}"))
