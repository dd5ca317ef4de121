"""Opens the records that Victron devices advertise, and reads them by the table: a kind per record.

A record is opened only when prefix, length, kind and key fit. victron-ble decrypts, and names models, codes;
its parsers are not used: they refuse a whole record for one code, or two bits at once, that they do not list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
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
    Origin,
    Recognised,
    Stateless,
    Tested,
    WrongKeyError,
    WrongKindError,
)
from collector.devices.rows import BLE_ROWS
from collector.devices.senders import key_of
from collector.devices.victron.fields import Layout, Record
from collector.devices.victron.records import BATTERY_SENSE, OPEN, RECORDS
from config.model import Device

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
_COMPANY = 0x02E1
# Named in Victron's table of record types; what stands in them nobody has published.
_UNREAD = {0x00: "test record", 0x07: "GX device", 0xFF00: "open test record"}
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
    number = raw[_TYPE]
    if number == OPEN >> 8:
        # Not encrypted: the byte of the key says which it is. github.com/victronenergy/dbus-ble-sensors.
        number = OPEN | (raw[_CHECK] if len(raw) > _CHECK else 0)
    return BATTERY_SENSE if model_id in _BATTERY_SENSE_MODELS else number, model_id


def type_name(number: int) -> str:
    """Return what Victron calls the devices of this record type."""
    name = _BY_NUMBER.get(number)
    if name is not None:
        return RECORDS[name].what
    return _UNREAD.get(number, f"device of unknown record type {number:#04x}")


def decode(layout: Layout, raw: bytes, key: bytes) -> Decoded:
    """Read a record in the units of its rows, into the battery positive. Raises DecodeError."""
    found, model_id = _header(raw)
    if found != layout.number:
        wrong = f"configured as {type_name(layout.number)}, but it is a {type_name(found)}"
        raise WrongKindError(wrong, _record(found))
    if found & OPEN != OPEN:
        _check_key(raw, key)
    whole = _HEADER + layout.length
    if len(raw) < whole:
        raise BadRecordError(f"a {type_name(found)} record has {whole} bytes, this frame {len(raw)}")
    # What lies beyond the layout is noise.
    plain = raw[_HEADER:] if found & OPEN == OPEN else decrypt(raw, key)
    record = Record(int.from_bytes(plain[: layout.length], "little"))
    layout.read(record)
    unknown = (*record.unknown, *record.unknown_reasons)
    return Decoded(record.values, MODELS.get(model_id), unknown, model_id=f"0x{model_id:04X}")


def _check_key(raw: bytes, key: bytes) -> None:
    if len(key) != _KEY_LENGTH:
        raise WrongKeyError(f"an encryption key has {_KEY_LENGTH} bytes, this one {len(key)}")
    if key[0] != raw[_CHECK]:
        raise WrongKeyError(
            "the key is not this device's: copy it from VictronConnect, Product info, Instant readout details"
        )


def _record(number: int) -> str:
    return f"records of type {number:#04x}"


def kind_of(name: str, layout: Layout) -> BleKind:
    """Describe the kind that reads one type of record."""

    def make(device: Device) -> Stateless:
        return Stateless(layout.rows, partial(decode, layout, key=key_of(device)))

    is_open = layout.number & OPEN == OPEN
    return BleKind(
        name=name,
        title=layout.title,
        manufacturer=MANUFACTURER,
        rows=layout.rows,
        source=layout.source,
        needs=("address",) if is_open else ("address", "key"),
        tested=layout.tested,
        notes=layout.notes,
        silence=layout.silence,
        origin=_COMPANY,
        make=make,
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
        wrong = f"records of a {type_name(found)} cannot be read; those of these can: {known}"
        raise WrongKindError(wrong, _record(found))
    return replace(decode(RECORDS[kind.name], raw, key), rows=kind.rows)


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
    origin=_COMPANY,
    make=lambda device: Stateless(BLE_ROWS, partial(decode_any, key=key_of(device))),
)
KINDS: Mapping[str, BleKind] = {kind.name: kind for kind in (_ANY, *BY_RECORD_TYPE.values())}


def recognise(origin: Origin, data: bytes, address: str) -> Recognised:  # noqa: ARG001 — as every kind's
    """Guess what a Victron device is, without its key."""
    if len(data) <= _TYPE or data[:1] != _PREFIX:
        return Recognised("Victron device without Instant Readout: turn it on in VictronConnect")
    number, model_id = _type(data)
    kind = BY_RECORD_TYPE.get(number)
    if kind is not None:
        return Recognised(RECORDS[kind.name].what, MODELS.get(model_id), kind.name)
    what = _UNREAD.get(number)
    known = f"record type {number:#04x}, which nobody has described" if what is None else f"{what}: not read"
    return Recognised(known, MODELS.get(model_id))
