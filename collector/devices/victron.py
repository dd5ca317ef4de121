"""The guard around victron-ble: a record is opened only when prefix, length, kind and key fit."""

from collections.abc import Iterable
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

# Victron "Extra Manufacturer Data" (extra-manufacturer-data-2022-12-14.pdf), table of record types.
READOUT_NAMES = {
    0x01: "solar charger",
    0x02: "battery monitor",
    0x03: "inverter",
    0x04: "DC/DC converter",
    0x05: "SmartLithium",
    0x06: "inverter RS",
    0x08: "AC charger",
    0x09: "Smart Battery Protect",
    0x0A: "Lynx Smart BMS",
    0x0B: "Multi RS",
    0x0C: "VE.Bus",
    0x0D: "DC energy meter",
    0x0F: "Orion XS",
}
# A Smart Battery Sense calls itself a battery monitor but fills two fields only
# (github.com/keshavdv/victron-ble, devices/__init__.py).
_BATTERY_SENSE = (0xA3A4, 0xA3A5)
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

    def with_bytes(self, offset: int, replacement: bytes) -> bytes:
        """The plaintext with `replacement` at `offset`, to hide from a parser what it cannot read."""
        return self.plain[:offset] + replacement + self.plain[offset + len(replacement) :]


def open_record(parser: Device, raw: bytes, *, readout_type: int, plain_length: int) -> Record:
    """Decrypt manufacturer data of company 0x02E1. Raises BadRecordError, WrongKindError or WrongKeyError."""
    # Header: extra-manufacturer-data-2022-12-14.pdf; check byte: keshavdv/victron-ble, devices/base.py.
    if raw[:1] != bytes([_PREFIX]):
        raise BadRecordError("not an Instant Readout record: is Instant Readout on in VictronConnect?")
    if len(raw) < _HEADER:
        raise BadRecordError(f"a record's header has {_HEADER} bytes, this frame {len(raw)}")
    model_id = int.from_bytes(raw[2:4], "little")
    _check_kind(readout_type, found=raw[4], model_id=model_id)
    _check_key(bytes.fromhex(parser.advertisement_key), check_byte=raw[7])
    if len(raw) < _HEADER + plain_length:
        whole = _HEADER + plain_length
        raise BadRecordError(
            f"a {READOUT_NAMES[readout_type]} record has {whole} bytes, this frame {len(raw)}"
        )
    # victron-ble pads to a whole block before it decrypts: what lies beyond the layout is noise.
    return Record(model_id, parser.decrypt(raw)[:plain_length])


def _check_kind(wanted: int, *, found: int, model_id: int) -> None:
    name = READOUT_NAMES.get(found, f"device of unknown record type {found:#04x}")
    if model_id in _BATTERY_SENSE:
        name = "Smart Battery Sense"
    elif found == wanted:
        return
    raise WrongKindError(f"configured as {READOUT_NAMES[wanted]}, but it is a {name}")


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


def words(names: Iterable[str]) -> tuple[str, ...]:
    """An enumeration's names as lower-case words, the one misspelt in victron-ble 0.9.3 put right."""
    return tuple(name.lower().replace("ouput", "output") for name in names)
