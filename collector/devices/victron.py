"""The guard around victron-ble: a record is opened only when prefix, length, kind and key fit."""

from dataclasses import dataclass

from victron_ble.devices.base import MODEL_ID_MAPPING, Device

from collector.devices.description import (
    BadRecordError,
    ImplausibleError,
    Value,
    WrongKeyError,
    WrongKindError,
)

MANUFACTURER = "Victron Energy"
COMPANY = 0x02E1
"""Victron's Bluetooth SIG company identifier, under which every record is advertised."""

BATTERY_SENSE = 0x0102
"""Our number for a Smart Battery Sense, which calls itself a battery monitor but fills two fields only."""

# Victron "Extra Manufacturer Data" (extra-manufacturer-data-2022-12-14.pdf), table of record types; 0x0E and
# 0x0F: github.com/victronenergy/dbus-ble-sensors, src/victron.c.
READOUT_NAMES = {
    0x01: "solar charger",
    0x02: "battery monitor",
    0x03: "inverter",
    0x04: "DC/DC converter",
    0x05: "SmartLithium",
    0x06: "inverter RS",
    0x07: "GX device",
    0x08: "AC charger",
    0x09: "Smart Battery Protect",
    0x0A: "Lynx Smart BMS",
    0x0B: "Multi RS",
    0x0C: "VE.Bus",
    0x0D: "DC energy meter",
    0x0E: "Smart BMS",
    0x0F: "Orion XS",
    BATTERY_SENSE: "Smart Battery Sense",
}
# github.com/keshavdv/victron-ble, devices/__init__.py.
BATTERY_SENSE_MODELS = (0xA3A4, 0xA3A5)
_PREFIX = 0x10
_HEADER = 8
_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Record:
    """An opened record: the model and the plaintext, exactly as long as its layout."""

    model_id: int
    plain: bytes

    @property
    def model(self) -> str | None:
        """Victron's name of the model, None if victron-ble does not list it."""
        return MODEL_ID_MAPPING.get(self.model_id)

    def bits(self, start: int, count: int) -> int:
        """The unsigned field of `count` bits from bit `start`, least significant first."""
        return int.from_bytes(self.plain, "little") >> start & (1 << count) - 1

    def signed(self, start: int, count: int) -> int:
        """The field of `count` bits from bit `start`, in two's complement."""
        value = self.bits(start, count)
        return value - (1 << count) if value >> count - 1 else value

    def with_bytes(self, offset: int, replacement: bytes) -> bytes:
        """The plaintext with `replacement` at `offset`, to hide from a parser what it cannot read."""
        return self.plain[:offset] + replacement + self.plain[offset + len(replacement) :]


def record_type(raw: bytes) -> int:
    """The number in READOUT_NAMES of manufacturer data of company 0x02E1. Raises BadRecordError."""
    # Header: extra-manufacturer-data-2022-12-14.pdf; check byte: keshavdv/victron-ble, devices/base.py.
    if raw[:1] != bytes([_PREFIX]):
        raise BadRecordError("not an Instant Readout record: is Instant Readout on in VictronConnect?")
    if len(raw) < _HEADER:
        raise BadRecordError(f"a record's header has {_HEADER} bytes, this frame {len(raw)}")
    return BATTERY_SENSE if _model_id(raw) in BATTERY_SENSE_MODELS else raw[4]


def type_name(readout_type: int) -> str:
    """What Victron calls the devices of this record type."""
    return READOUT_NAMES.get(readout_type, f"device of unknown record type {readout_type:#04x}")


def open_record(parser: Device, raw: bytes, *, readout_type: int, plain_length: int) -> Record:
    """Decrypt manufacturer data of company 0x02E1. Raises BadRecordError, WrongKindError or WrongKeyError."""
    found = record_type(raw)
    if found != readout_type:
        raise WrongKindError(f"configured as {type_name(readout_type)}, but it is a {type_name(found)}")
    _check_key(bytes.fromhex(parser.advertisement_key), check_byte=raw[7])
    whole = _HEADER + plain_length
    if len(raw) < whole:
        raise BadRecordError(f"a {type_name(found)} record has {whole} bytes, this frame {len(raw)}")
    # victron-ble pads to a whole block before it decrypts: what lies beyond the layout is noise.
    return Record(_model_id(raw), parser.decrypt(raw)[:plain_length])


def _model_id(raw: bytes) -> int:
    return int.from_bytes(raw[2:4], "little")


def _check_key(key: bytes, *, check_byte: int) -> None:
    if len(key) != _KEY_LENGTH:
        raise WrongKeyError(f"an encryption key has {_KEY_LENGTH} bytes, this one {len(key)}")
    if key[0] != check_byte:
        raise WrongKeyError(
            "the key is not this device's: copy it from VictronConnect, Product info, Instant readout details"
        )


def boolean(*, on: bool) -> str:
    """ON or OFF, as the wire spells booleans."""
    return "ON" if on else "OFF"


def require_within(name: str, value: Value, least: float, most: float) -> None:
    """Raise ImplausibleError when a known number lies outside what such a device can measure."""
    if isinstance(value, int | float) and not least <= value <= most:
        raise ImplausibleError(f"implausible: {name} {value:g} is outside {least:g} to {most:g}")


def power(voltage: Value, current: Value) -> float | None:
    """W of V and A; None if one of them is unknown."""
    if not isinstance(voltage, int | float) or not isinstance(current, int | float):
        return None
    return round(voltage * current, 2)
