"""BTHome v2: sensors of many makers that say what they measure object by object, also encrypted.

Format, table of objects and encryption: bthome.io/format and bthome.io/encryption; objects from 0x5E on as
Bluetooth-Devices/bthome-ble 3.25 has them. Numbers begin with the lowest byte.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from Crypto.Cipher import AES

from collector.devices.description import (
    BadRecordError,
    BleKind,
    Decoded,
    Origin,
    Recognised,
    Row,
    Rows,
    Tested,
    Value,
    Values,
    WrongKeyError,
    WrongKindError,
)
from collector.devices.rows import BLE_ROWS
from collector.devices.senders import address_of, key_of, require_length
from collector.devices.senders.bthome_objects import DEVICE, EVENTS, OBJECTS, VARIABLE, Event, numbered
from config.model import Device

_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
_NONCE_UUID = b"\xd2\xfc"
_VERSION = 2
_ENCRYPTED, _WITH_ADDRESS = 0b001, 0b010
_COUNTER, _CHECK = 4, 4
_KEY_LENGTH = 16
# Devices send a frame several times; of one that has no counter the same number again soon is the same frame.
_REPEATED_S = 4.0
# A device that lost its supply counts from the start again, and few recorded frames are below that; one that
# was silent for so long may count as it likes.
_RESTARTED, _FORGOTTEN_S = 100, 3600.0
# Of one device: a frame holds at most 255 bytes, but the next may hold others.
_MOST_ROWS = 64


def _raise_encrypted() -> NoReturn:
    raise WrongKeyError("it is encrypted: write its key, which is in the app that you set it up with")


def _raise_open() -> NoReturn:
    raise WrongKeyError(
        "it sends without encryption, as anybody could in its name: remove `key`, or switch its encryption "
        "on in its app"
    )


def _raise_wrong() -> NoReturn:
    raise WrongKeyError("the key is not this device's: copy it again from the app that you set it up with")


class _Counter:
    """Refuses frames that came before: a recorded frame must not switch or tell anything."""

    def __init__(self) -> None:
        self._last = -1
        self._at = -math.inf

    def is_repeated(self, counter: int) -> bool:
        """Whether it is that of the frame before."""
        return counter == self._last

    def take(self, counter: int, now: float) -> None:
        """Note the counter of a genuine frame. Raises BadRecordError for an old one."""
        rises = counter > self._last or counter < _RESTARTED or now - self._at >= _FORGOTTEN_S
        if not rises:
            raise BadRecordError(
                f"its counter fell from {self._last} to {counter}: a frame that was recorded"
            )
        self._last, self._at = counter, now


class _Frame(NamedTuple):
    """A frame that was heard `at` a monotonic second, and its packet's number if it has one."""

    packet: int | None
    data: bytes
    at: float


class BtHome:
    """One device of these settings; what it has sent so far makes its rows."""

    def __init__(self, device: Device) -> None:
        self._key = key_of(device)
        self._address = address_of(device)
        self._counter = _Counter()
        self._last = _Frame(None, b"", -math.inf)
        self._events: dict[str, int] = {}
        self.rows: Rows = dict(BLE_ROWS)

    def decode(self, frame: bytes, now: float) -> Decoded | None:
        """Read a frame; None if it only repeats the one before. Raises DecodeError."""
        info, body, address = _parts(frame, self._address)
        if info & _ENCRYPTED:
            plain = self._opened(info, body, address, now)
        elif self._key:
            _raise_open()
        else:
            plain = body
        if plain is None:
            return None
        read = _Reader(plain)
        read.all()
        before, self._last = self._last, _Frame(read.packet, frame, now)
        soon = now - before.at <= _REPEATED_S
        if read.packet is not None and read.packet == before.packet and soon:
            return None
        same = read.packet == before.packet if read.packet is not None else frame == before.data and soon
        for entity, event in read.events:
            if not same:
                self._events[entity] = self._events.get(entity, 0) + 1
            read.values |= event | {f"{entity}_events": self._events.get(entity, 0)}
        return self._told(read)

    def _opened(self, info: int, body: bytes, address: bytes, now: float) -> bytes | None:
        """Return what is encrypted; None for a repeated frame. Raises DecodeError."""
        require_length(body, _COUNTER + _CHECK + 1, "an encrypted frame of BTHome")
        if len(self._key) != _KEY_LENGTH:
            _raise_encrypted()
        sealed, counter, check = (
            body[: -_COUNTER - _CHECK],
            body[-_COUNTER - _CHECK : -_CHECK],
            body[-_CHECK:],
        )
        number = int.from_bytes(counter, "little")
        if self._counter.is_repeated(number):
            return None
        nonce = address + _NONCE_UUID + bytes([info]) + counter
        try:
            cipher = AES.new(self._key, AES.MODE_CCM, nonce=nonce, mac_len=_CHECK)
            plain = cipher.decrypt_and_verify(sealed, check)
        except ValueError:
            _raise_wrong()
        self._counter.take(number, now)
        return plain

    def _told(self, read: "_Reader") -> Decoded:
        unread = list(read.unread)
        new = {key: row for key, row in read.rows.items() if key not in self.rows}
        room = _MOST_ROWS - len(self.rows)
        if len(new) > room:
            unread.append(f"more than {_MOST_ROWS} values")
            new = dict(list(new.items())[:room])
        if new:
            self.rows = {**self.rows, **new}
        values = {key: value for key, value in read.values.items() if key in self.rows}
        return Decoded(
            values,
            unread=tuple(unread),
            rows=self.rows,
            model_id=read.about.get("model_id"),
            sw_version=read.about.get("sw_version"),
        )


def _parts(frame: bytes, address: bytes) -> tuple[int, bytes, bytes]:
    """Return the byte of device information, what follows, and the address. Raises DecodeError."""
    require_length(frame, 2, "a frame of BTHome")
    info = frame[0]
    if info >> 5 != _VERSION:
        record = f"BTHome version {info >> 5}"
        raise WrongKindError(f"{record} is not read, only {_VERSION}: update its firmware", record)
    if not info & _WITH_ADDRESS:
        return info, frame[1:], address
    require_length(frame, 8, "a frame of BTHome with its address")
    return info, frame[7:], frame[6:0:-1]


class _Reader:
    """Reads the objects of one frame, one after the other."""

    def __init__(self, plain: bytes) -> None:
        self._plain = plain
        self._at = 0
        self._count: dict[str, int] = {}
        self.packet: int | None = None
        self.values: Values = {}
        self.rows: dict[str, Row] = {}
        self.events: list[tuple[str, Values]] = []
        self.about: dict[str, str] = {}
        self.unread: list[str] = []

    def all(self) -> None:
        """Read them. Raises BadRecordError for one that is cut."""
        while self._at < len(self._plain):
            number = self._take(1)[0]
            if number == 0:
                self.packet = self._take(1)[0]
            elif number in OBJECTS:
                one = OBJECTS[number]
                self._say(one.entity, one.row, one.read(self._take(one.length)))
            elif number in EVENTS:
                self._event(EVENTS[number])
            elif number in VARIABLE:
                entity, row, read = VARIABLE[number]
                self._variable(entity, row, read)
            elif number in DEVICE:
                key, length, read_text = DEVICE[number]
                self.about[key] = read_text(self._take(length))
            else:
                # How long it is nobody knows: what follows cannot be found.
                self.unread.append(f"object {number:#04x}")
                return

    def _take(self, length: int) -> bytes:
        found = self._plain[self._at : self._at + length]
        if len(found) < length:
            raise BadRecordError("an object of BTHome is cut")
        self._at += length
        return found

    def _key(self, entity: str) -> tuple[str, int]:
        n = self._count[entity] = self._count.get(entity, 0) + 1
        return (entity if n == 1 else f"{entity}_{n}"), n

    def _say(self, entity: str, row: Row, value: Value) -> str:
        key, n = self._key(entity)
        self.values[key] = value
        self.rows[key] = numbered(row, n)
        return key

    def _variable(self, entity: str, row: Row, read: Callable[[bytes], Value]) -> None:
        self._say(entity, row, read(self._take(self._take(1)[0])))

    def _event(self, event: Event) -> None:
        length = event.length
        if event.counted:
            # The upper three bits are kept for later.
            length += self._take(1)[0] & 0x1F
        said = self._take(length)
        key, n = self._key(event.entity)
        self.rows |= {f"{key}{tail}": numbered(row, n) for tail, row in event.rows.items()}
        if said[0] == 0 and not event.counted:
            # This button of several was not touched.
            return
        word = event.words.get(said[0])
        if word is None:
            self.unread.append(f"{event.entity} event {said[0]:#04x}")
            return
        steps: Values = {f"{key}_steps": said[1]} if "_steps" in event.rows else {}
        self.events.append((key, {key: word, **steps}))


def recognise(origin: Origin, data: bytes, address: str) -> Recognised:  # noqa: ARG001 — as every kind's
    """Say what a device of BTHome sends, as far as that is not encrypted."""
    if not data or data[0] >> 5 != _VERSION:
        return Recognised("BTHome sensor of a version that is not read")
    how = "encrypted: it needs its key" if data[0] & _ENCRYPTED else "not encrypted"
    return Recognised(f"BTHome sensor, {how}", None, "bthome")


KIND = BleKind(
    name="bthome",
    title="BTHome v2 sensor: thermometers, contacts, buttons of Shelly, Xiaomi with free firmware, ESPHome",
    # Of many makers.
    manufacturer="",
    rows=BLE_ROWS,
    source="bthome.io, format and encryption of version 2; Bluetooth-Devices/bthome-ble 3.25",
    needs=("address",),
    takes=("key",),
    tested=(Tested.VECTORS, Tested.TWIN),
    notes=(
        (
            "Its values appear once it has sent them. Several of one sort are `temperature`, "
            "`temperature_2` and so on."
        ),
        (
            "With `key` only encrypted frames count. A frame that somebody recorded and sends again is "
            "refused; only the first one after a start of the collector is believed in any case."
        ),
        (
            "A button says what happened last (`button`) and how often something has happened "
            "(`button_events`): a rule or Node-RED looks at the second. Dimmers and commands do the "
            "same."
        ),
        "A contact or a button is silent for hours: give it `timeout = 86400`.",
        "Version 1, and objects that the table does not have, are not read.",
    ),
    discovers=True,
    piecewise=True,
    silence=3600.0,
    origin=_UUID,
    make=BtHome,
)
