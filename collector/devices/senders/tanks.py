"""Tank sensors that advertise a distance: Mopeka, and Gobius C.

Layouts and coefficients: github.com/victronenergy/dbus-ble-sensors, src/mopeka.c and src/gobius.c;
Bluetooth-Devices/mopeka-iot-ble 1.0. Numbers begin with the lowest byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.devices.description import (
    BadRecordError,
    BleKind,
    Decoded,
    Origin,
    Recognised,
    Rows,
    SettingError,
    Tested,
    Value,
    Values,
    WrongKindError,
)
from collector.devices.levels import LEVEL_ROWS, LevelTable, table
from collector.devices.rows import BLE_ROWS, flag, measured, on_off
from collector.devices.senders import SILENCE_S, address_of, require_own
from config.model import Device

_MOPEKA, _GOBIUS = 0x0059, 0x0F53
_TANK: Rows = {**LEVEL_ROWS, "distance": measured("Distance to the surface", "mm")}
_TEMPERATURE: Rows = {
    "temperature": measured("Temperature of the sensor", "°C", precision=0, step=1, diagnostic=True)
}


@dataclass(frozen=True, slots=True)
class _Tank:
    """What the owner knows of a tank: which mm are which %, and its litres."""

    levels: LevelTable | None
    capacity: float | None

    def rows(self, all_of_them: Rows) -> Rows:
        """Return those of the rows that can be known."""
        hidden = set() if self.levels is not None else {"level"}
        if self.levels is None or self.capacity is None:
            hidden.add("volume")
        return {key: row for key, row in all_of_them.items() if key not in hidden}

    def read(self, millimetres: float | None) -> Values:
        """Return what the distance says; all null if it is unknown."""
        if millimetres is None:
            return dict.fromkeys(self.rows(_TANK))
        level: Values = {} if self.levels is None else self.levels.read(millimetres, self.capacity)
        return {"distance": round(millimetres), **level}


def _tank_of(device: Device) -> _Tank:
    if device.capacity is not None and not device.calibration:
        raise SettingError("capacity", "litres need a level", "write `calibration`, too: [[mm, %], …]")
    levels = table(device.calibration, "mm") if device.calibration else None
    return _Tank(levels, device.capacity)


# mm for each µs of the echo: by degrees above -40 °C, its powers 0, 1 and 2.
_Speed = tuple[float, float, float]
_PROPANE: _Speed = (0.573045, -0.002822, -0.00000535)
_WATER: _Speed = (0.600592, 0.003124, -0.00001368)
_FUEL: _Speed = (0.7373417462, -0.001978229885, 0.00000202162)
_AIR: _Speed = (0.153096, 0.000327, -0.000000294)
MEDIA: Mapping[str, _Speed] = {
    "propane": _PROPANE,
    "butane": (_PROPANE[0] + 0.03615, _PROPANE[1] + 0.000815, _PROPANE[2]),
    "water": _WATER,
    "fuel": _FUEL,
    "air": _AIR,
}


@dataclass(frozen=True, slots=True)
class _Model:
    """A Mopeka's name, and what its echo passes through unless the owner says otherwise."""

    name: str
    medium: str = "propane"


# By the hardware's number.
_MODELS: Mapping[int, _Model] = {
    0x03: _Model("Pro Check"),
    0x04: _Model("Pro-200", "air"),
    0x05: _Model("Pro Check H2O", "water"),
    0x06: _Model("Lippert BottleCheck"),
    0x08: _Model("Pro Plus"),
    0x09: _Model("Pro Plus with cellular"),
    0x0A: _Model("TD40/TD200", "air"),
    0x0B: _Model("TD40/TD200 with cellular", "air"),
    0x0C: _Model("Pro Check Universal"),
    0x12: _Model("Pro-200B", "air"),
}
_MOPEKA_LENGTH = 10
# Longer echoes, by newer hardware, begin here and are told in steps of four.
_EXTENDED, _EXTENDED_STEP = 16384, 4
# A CR2032 is empty at 2.2 V and full 0.65 V above.
_EMPTY_V, _SPAN_V = 2.2, 0.65
MOPEKA_ROWS: Rows = {
    **_TANK,
    "quality": measured("Quality of the echo, 0 to 3", None, step=1, diagnostic=True),
    **_TEMPERATURE,
    "battery": measured("Battery of the sensor", "%", device_class="battery", step=5, diagnostic=True),
    "battery_voltage": measured(
        "Battery voltage of the sensor", "V", precision=2, step=0.05, diagnostic=True
    ),
    "button": flag("Button pressed", diagnostic=True),
    **BLE_ROWS,
}


class Mopeka:
    """One sensor of these settings."""

    def __init__(self, device: Device) -> None:
        self._address = address_of(device)
        self._tank = _tank_of(device)
        self._medium = device.medium
        if self._medium is not None and self._medium not in MEDIA:
            raise SettingError("medium", f"{self._medium!r} is none", ", ".join(MEDIA))
        self.rows: Rows = self._tank.rows(MOPEKA_ROWS)
        self._without_echo = 0

    def decode(self, frame: bytes, now: float) -> Decoded:  # noqa: ARG002 — as every decoder
        """Read a frame. Raises DecodeError."""
        model = _mopeka(frame, self._address)
        warmth = frame[2] & 0x7F
        echo, quality = int.from_bytes(frame[3:5], "little") & 0x3FFF, frame[4] >> 6
        if frame[0] & 0x80:
            echo = _EXTENDED + _EXTENDED_STEP * echo
        first, second, third = MEDIA[self._medium or model.medium]
        millimetres = echo * (first + second * warmth + third * warmth**2) if quality else None
        volts = (frame[1] & 0x7F) / 32
        share: Value = round(min(100.0, max(0.0, (volts - _EMPTY_V) / _SPAN_V * 100)), 1)
        self._without_echo = 0 if quality else self._without_echo + 1
        # One echo is lost soon, while the van moves: nobody must be told.
        lost = self._without_echo >= _WITHOUT_ECHO
        reasons = dict.fromkeys(self._tank.read(None), _NO_ECHO) if lost else {}
        values: Values = {
            **self._tank.read(millimetres),
            "quality": quality,
            "temperature": warmth - 40,
            "battery": share,
            "battery_voltage": volts,
            "button": on_off(bool(frame[2] & 0x80)),
        }
        return Decoded(values, model.name, reasons=reasons, model_id=f"0x{frame[0] & 0x7F:02X}")


_WITHOUT_ECHO = 10
_NO_ECHO = "no echo: is the sensor in the middle of the bottom, with paste, and is something in the tank?"


def _mopeka(frame: bytes, address: bytes) -> _Model:
    """Say which model a frame is of. Raises DecodeError."""
    if len(frame) != _MOPEKA_LENGTH:
        raise BadRecordError(f"a frame of Mopeka has {_MOPEKA_LENGTH} bytes, this one {len(frame)}")
    require_own(frame[5:8], address)
    model = _MODELS.get(frame[0] & 0x7F)
    if model is None:
        record = f"hardware {frame[0] & 0x7F:#04x}"
        raise WrongKindError(f"{record} of Mopeka is not known: which sensor is it?", record)
    return model


_GOBIUS_LENGTH = 14
# Its sensor failed; it has just been switched on.
_FAILED, _STARTING = 0xFFFF, 0xFFFE
GOBIUS_ROWS: Rows = {**_TANK, **_TEMPERATURE, **BLE_ROWS}


class Gobius:
    """One sensor of these settings, which looks down from the tank's top."""

    def __init__(self, device: Device) -> None:
        self._address = address_of(device)
        self._tank = _tank_of(device)
        self.rows: Rows = self._tank.rows(GOBIUS_ROWS)

    def decode(self, frame: bytes, now: float) -> Decoded:  # noqa: ARG002 — as every decoder
        """Read a frame. Raises BadRecordError."""
        _gobius(frame, self._address)
        raw = int.from_bytes(frame[2:4], "little")
        distance = None if raw in (_FAILED, _STARTING) else raw
        reason = (
            "the sensor says that it failed: switch it off and on" if raw == _FAILED else "it is starting"
        )
        unknown = {} if distance is not None else dict.fromkeys(self._tank.read(None), reason)
        values: Values = {**self._tank.read(distance), "temperature": (frame[1] & 0x7F) - 40}
        return Decoded(
            values,
            "Gobius C",
            reasons=unknown,
            model_id=f"0x{frame[0] & 0x7F:02X}",
            sw_version=".".join(str(part) for part in frame[7:10]),
        )


def _gobius(frame: bytes, address: bytes) -> None:
    if len(frame) != _GOBIUS_LENGTH:
        raise BadRecordError(f"a frame of Gobius has {_GOBIUS_LENGTH} bytes, this one {len(frame)}")
    require_own(frame[4:7], address)


def recognise(origin: Origin, data: bytes, address: str) -> Recognised | None:
    """Say which tank sensor it is; None: somebody else who sends as Nordic Semiconductor."""
    own = bytes.fromhex(address.replace(":", ""))
    try:
        if origin == _GOBIUS:
            _gobius(data, own)
            return Recognised("tank sensor Gobius C", "Gobius C", "gobius")
        model = _mopeka(data, own)
    except WrongKindError as error:
        return Recognised(f"tank sensor of Mopeka, {error.record}: not read")
    except BadRecordError:
        return None
    return Recognised("tank sensor of Mopeka", model.name, "mopeka")


_NEEDS, _TAKES = ("address",), ("calibration", "capacity")
KINDS: Mapping[str, BleKind] = {
    "mopeka": BleKind(
        name="mopeka",
        title="Mopeka Pro tank sensor for gas bottles, water and fuel",
        manufacturer="Mopeka",
        rows=MOPEKA_ROWS,
        source="victronenergy/dbus-ble-sensors, mopeka.c; Bluetooth-Devices/mopeka-iot-ble 1.0",
        needs=_NEEDS,
        takes=(*_TAKES, "medium"),
        tested=(Tested.VECTORS, Tested.TWIN),
        notes=(
            (
                "`calibration` makes a level of the height in mm: [[25, 0], [254, 100]] is full when the gas "
                "stands 254 mm high. A sensor on top of a tank has a falling table, such as [[400, 0], "
                "[30, 100]]. Without it there is a distance only."
            ),
            (
                "The sound is faster or slower in another `medium`: propane, butane, water, fuel or "
                "air; the temperature is reckoned with. European gas bottles hold both gases: in "
                "winter mostly propane."
            ),
            (
                "`quality` is the number of stars, 0 to 3. With 0 there was no echo: distance and "
                "level are unknown."
            ),
            "The older Mopeka Standard Check is not read.",
        ),
        silence=SILENCE_S,
        allowed={"medium": tuple(MEDIA)},
        origin=_MOPEKA,
        make=Mopeka,
    ),
    "gobius": BleKind(
        name="gobius",
        title="Gobius C tank sensor",
        manufacturer="Gobius",
        rows=GOBIUS_ROWS,
        source="victronenergy/dbus-ble-sensors, gobius.c",
        needs=_NEEDS,
        takes=_TAKES,
        notes=(
            (
                "It measures from the top: `calibration = [[400, 0], [30, 100]]` is empty at 400 mm "
                "and full at 30 mm."
            ),
            "Gobius Pro, which tells full, half or empty from outside a tank, has no published format.",
        ),
        silence=SILENCE_S,
        origin=_GOBIUS,
        make=Gobius,
    ),
}
