"""Opens the records that Victron devices advertise, and reads them by the table: a kind per record.

A record is opened only when prefix, length, kind and key fit. victron-ble decrypts, and names models, codes;
its parsers are not used: they refuse a whole record for one code, or two bits at once, that they do not list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from victron_ble.devices.base import MODEL_ID_MAPPING, ACInState, ChargerError, OperationMode
from victron_ble.devices.dc_energy_meter import MeterType
from victron_ble.devices.multirs import MultiRSOperationMode
from victron_ble.devices.smart_lithium import BalancerStatus
from victron_ble.devices.solar_charger import SolarCharger

from collector.devices.description import (
    BadRecordError,
    BleKind,
    Decoded,
    Tested,
    WrongKeyError,
    WrongKindError,
)
from collector.devices.rows import BLE_ROWS
from collector.devices.victron.fields import Layout, Record
from collector.devices.victron.records import BATTERY_SENSE, RECORDS

MODELS: Mapping[int, str] = MODEL_ID_MAPPING


def _words(codes: Iterable[Enum]) -> dict[int, str]:
    """Spell an enum in lower case, without "not available", its misspelt word put right."""
    named = {int(code.value): code.name.lower().replace("ouput", "output") for code in codes}
    return {number: word for number, word in named.items() if word not in ("not_available", "unknown")}


_CHARGE_STATES = _words(OperationMode)
WORDS: Mapping[str, Mapping[int, str]] = {
    "charge_state": _CHARGE_STATES,
    # Inverter/chargers say more than chargers; a word that both know is the chargers'.
    "inverter_state": _words(MultiRSOperationMode) | {247: _CHARGE_STATES[247]},
    "charger_error": _words(ChargerError),
    "ac_input": _words(ACInState),
    # 0 is missing in victron-ble: github.com/victronenergy/gui-v2, velib, VE_REG_BMV_MONITOR_MODE.
    "meter_type": {0: "battery_monitor"} | _words(MeterType),
    "balancer": _words(BalancerStatus),
}


def decrypt(raw: bytes, key: bytes) -> bytes:
    """Decrypt manufacturer data of company 0x02E1 whose key fits; what lies beyond its layout is noise."""
    # All of the library's devices decrypt alike.
    plain: bytes = SolarCharger(key.hex()).decrypt(raw)
    return plain


MANUFACTURER = "Victron Energy"
# What nobody reads yet: extra-manufacturer-data-2022-12-14.pdf, table of record types; 0x0E:
# github.com/victronenergy/dbus-ble-sensors, src/victron.c.
_UNREAD = {0x06: "inverter RS", 0x07: "GX device", 0x0E: "Smart BMS"}
_BY_NUMBER = {layout.number: name for name, layout in RECORDS.items()}
# github.com/keshavdv/victron-ble, devices/__init__.py.
_BATTERY_SENSE_MODELS = (0xA3A4, 0xA3A5)
# Header: extra-manufacturer-data-2022-12-14.pdf; check byte: keshavdv/victron-ble, devices/base.py.
_PREFIX = b"\x10"
_TYPE = 4
_CHECK = 7
_HEADER = 8
_KEY_LENGTH = 16


def _header(raw: bytes) -> tuple[int, int]:
    """Return the number of the record's type and the model id. Raises BadRecordError."""
    if raw[:1] != _PREFIX:
        raise BadRecordError("not an Instant Readout record: is Instant Readout on in VictronConnect?")
    if len(raw) < _HEADER:
        raise BadRecordError(f"a record's header has {_HEADER} bytes, this frame {len(raw)}")
    return _type(raw)


def _type(raw: bytes) -> tuple[int, int]:
    model_id = int.from_bytes(raw[2:4], "little")
    return BATTERY_SENSE if model_id in _BATTERY_SENSE_MODELS else raw[_TYPE], model_id


def _named(number: int) -> str | None:
    name = _BY_NUMBER.get(number)
    return _UNREAD.get(number) if name is None else RECORDS[name].what


def type_name(number: int) -> str:
    """Return what Victron calls the devices of this record type."""
    return _named(number) or f"device of unknown record type {number:#04x}"


def decode(layout: Layout, raw: bytes, key: bytes) -> Decoded:
    """Read a record in the units of its rows, into the battery positive. Raises DecodeError."""
    found, model_id = _header(raw)
    if found != layout.number:
        raise WrongKindError(f"configured as {type_name(layout.number)}, but it is a {type_name(found)}")
    if len(key) != _KEY_LENGTH:
        raise WrongKeyError(f"an encryption key has {_KEY_LENGTH} bytes, this one {len(key)}")
    if key[0] != raw[_CHECK]:
        raise WrongKeyError(
            "the key is not this device's: copy it from VictronConnect, Product info, Instant readout details"
        )
    whole = _HEADER + layout.length
    if len(raw) < whole:
        raise BadRecordError(f"a {type_name(found)} record has {whole} bytes, this frame {len(raw)}")
    # What lies beyond the layout is noise.
    record = Record(int.from_bytes(decrypt(raw, key)[: layout.length], "little"))
    layout.read(record)
    unknown = (*record.unknown, *record.unknown_reasons)
    return Decoded(record.values, MODELS.get(model_id), unknown, model_id=f"0x{model_id:04X}")


def kind_of(name: str, layout: Layout) -> BleKind:
    """Describe the kind that reads one type of record."""
    return BleKind(
        name=name,
        title=layout.title,
        manufacturer=MANUFACTURER,
        rows=layout.rows,
        source=layout.source,
        needs=("address", "key"),
        tested=layout.tested,
        decode=partial(decode, layout),
    )


BY_RECORD_TYPE: Mapping[int, BleKind] = {
    layout.number: kind_of(name, layout) for name, layout in RECORDS.items()
}


def decode_any(raw: bytes, key: bytes) -> Decoded:
    """Read a record as the kind it says it is, with its rows. Raises DecodeError."""
    found, _ = _header(raw)
    kind = BY_RECORD_TYPE.get(found)
    if kind is None:
        known = ", ".join(sorted(type_name(number) for number in BY_RECORD_TYPE))
        raise WrongKindError(f"records of a {type_name(found)} cannot be read; those of these can: {known}")
    return replace(kind.decode(raw, key), rows=kind.rows)


_ANY = BleKind(
    name="victron",
    title="Any Victron device with Instant Readout over Bluetooth",
    manufacturer=MANUFACTURER,
    # The rest is known once it has been heard.
    rows=BLE_ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    discovers=True,
    decode=decode_any,
)
KINDS: Mapping[str, BleKind] = {kind.name: kind for kind in (_ANY, *BY_RECORD_TYPE.values())}


@dataclass(frozen=True, slots=True)
class Recognised:
    """What it is in Victron's words, its model, and the guessed kind; None where that is not known."""

    what: str
    model: str | None
    kind: str | None


def recognise(data: bytes, kinds: Iterable[str]) -> Recognised:
    """Guess from manufacturer data of company 0x02E1, without its key; `kinds` are those there are."""
    if len(data) <= _TYPE or data[:1] != _PREFIX:
        return Recognised("Victron device without Instant Readout: turn it on in VictronConnect", None, None)
    number, model_id = _type(data)
    model, what = MODELS.get(model_id), _named(number)
    if what is None:
        return Recognised(f"record type {number:#04x}, which nobody has described", model, None)
    own = _BY_NUMBER.get(number, _ANY.name)
    return Recognised(what, model, next((kind for kind in (own, _ANY.name) if kind in kinds), None))
