"""The form every device file fills in: its errors, its rows, its kind. collector.devices.lines has its line.

Errors are grouped by what the caller does next.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Generic, Protocol, TypeVar, runtime_checkable

from bus.about import Entity
from bus.commands import Wanted
from collector.devices.lines import Channel, GattLine, I2cLine
from config.model import Device

Value = float | str | None
Values = dict[str, Value]
Rows = Mapping[str, "Row"]


class DecodeError(Exception):
    """Nothing can be read from this device now."""


class BadRecordError(DecodeError):
    """These bytes are damaged, cut or noise: ignore this frame, count it."""


class ImplausibleError(BadRecordError):
    """The record is whole but says what no such device says: noise, or decrypted with a wrong key."""


class WrongKeyError(DecodeError):
    """The encryption key of this device is wrong: the owner must correct it."""


class WrongKindError(DecodeError):
    """The device is of another kind than the configuration says: the owner must correct it.

    `record` names what it sent, in a few words.
    """

    def __init__(self, text: str, record: str = "") -> None:
        super().__init__(text)
        self.record = record or text


class NoAnswerError(DecodeError):
    """The device did not answer in time: ask again later."""


class AbsentError(NoAnswerError):
    """A gateway answered that it has no such device: asking again at once brings the same."""


class RefusedError(DecodeError):
    """The device answered that it does not have this, or does not do it now; the text says what."""


class UnfitError(RefusedError):
    """A command does not fit what the device is set to: nothing was written; the text says what would fit."""


class NotObeyedError(RefusedError):
    """The device took a command and reads back another value, which is in `values`."""

    def __init__(self, text: str, values: Values) -> None:
        super().__init__(text)
        self.values = values


class LineError(Exception):
    """The line itself cannot be used: close it, open it again later. The text says what the owner can do."""


class SettingError(Exception):
    """A setting that only the kind can judge: its field, what is wrong, what is allowed."""

    def __init__(self, field_name: str, wrong: str, allowed: str) -> None:
        super().__init__(f"{field_name}: {wrong}; allowed: {allowed}")
        self.field = field_name
        self.wrong = wrong
        self.allowed = allowed


class Tested(StrEnum):
    """What a kind's decoding was tested against, as docs/devices.md says it."""

    TWIN = "a twin written from the protocol's description"
    CAPTURE = "a capture of a real device"
    VECTORS = "published vectors"


class Wire(Enum):
    """What a device hangs on: its name for people, and the collectors that read such devices."""

    BLE = ("Bluetooth", "ble")
    BLE_GATT = ("a Bluetooth connection", "ble")
    VE_DIRECT = ("VE.Direct", "serial")
    MODBUS = ("Modbus RTU, TCP or through a Bluetooth adapter", "serial", "tcp", "ble")
    ROUTE_B = ("Wi-SUN stick", "serial")
    METER = ("P1 or optical port of a meter", "serial")
    I2C = ("I2C", "i2c")
    GPIO = ("pins", "gpio")
    HOST = ("the machine", "host")
    KERNEL = ("drivers of the kernel", "host")
    MQTT = ("MQTT, in the device's own format", "mqtt")

    def __init__(self, title: str, *collectors: str) -> None:
        self.title = title
        self.collectors = collectors


@dataclass(frozen=True, slots=True)
class Write:
    """How a setting of a device is written: at least `every` seconds apart, because its memory wears.

    `restart` says what the setting is after the device has lost its supply.
    """

    every: float
    restart: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a device's table.

    `step` is how far the value must move to be worth a reading (0: any change), in the entity's unit.
    `optional` rows appear in `about` once the device has reported them. One with `write` is a setting of the
    device: it takes commands only if the owner says `allow_write`.
    """

    entity: Entity
    step: float = 0.0
    optional: bool = False
    write: Write | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """Values that the device remembered: measured at `ts`, ms since 1970 UTC."""

    ts: int
    values: Values


@dataclass(frozen=True, slots=True)
class Days:
    """A new day of a device without a clock, `number` by its own count that begins again after `of` days.

    `before` are values of the days before by how many days ago, as it counts them; empty if none was missed.
    """

    number: int
    of: int
    before: Mapping[int, Values]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one frame or poll said: values by entity id in the units of the rows; if named, what it is.

    `unknown` lists the entities whose value is null because the device used a code nobody has described;
    `unread` are the labels, records or objects it sent that stand in no table of ours;
    `reasons` says of others why they are null; `rows` replaces the kind's where only the device can tell what
    it reports; `earlier` is what it remembers, oldest first; `last_reset` is when totals were reset, ms.
    """

    values: Values
    model: str | None = None
    unknown: tuple[str, ...] = ()
    rows: Rows | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()
    last_reset: Mapping[str, int] = field(default_factory=dict)
    manufacturer: str | None = None
    model_id: str | None = None
    serial_number: str | None = None
    sw_version: str | None = None
    unread: tuple[str, ...] = ()
    days: Days | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of device as the registry lists it.

    `needs` and `takes` name the settings of [device.<id>] it must have and may have besides the common ones;
    `source` is where its protocol was read; `seen` says whether it ever ran on the real hardware. By setting,
    `defaults` are what counts if it is left out, `allowed` what it must be beyond its type: one of some
    values, or a text of this form.
    """

    wire: Wire
    name: str
    title: str
    manufacturer: str
    rows: Rows
    source: str
    # Of devices that never name theirs.
    model: str = ""
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    tested: tuple[Tested, ...] = (Tested.TWIN,)
    seen: bool = False
    # What it reports is known only once it has answered.
    discovers: bool = False
    # One frame says a part of its values: the others stay what they were.
    piecewise: bool = False
    # What an owner should know besides.
    notes: tuple[str, ...] = ()
    # Seconds of silence that say nothing, unless the device's own settings say otherwise.
    silence: float = 0.0
    defaults: Mapping[str, float | str] = field(default_factory=dict)
    allowed: Mapping[str, Sequence[float | str] | re.Pattern[str]] = field(default_factory=dict)


Origin = int | str
"""Under what a device advertises data: the number of a company, or the UUID of a service."""


class Decoder(Protocol):
    """One configured device that advertises."""

    @property
    def rows(self) -> Rows:
        """What it reports, as far as the settings say it."""

    def decode(self, frame: bytes, now: float) -> Decoded | None:
        """Read data that was heard at monotonic second `now`; None: it only repeats what came before.

        Raises DecodeError.
        """


@dataclass(frozen=True, slots=True)
class Stateless:
    """A device whose every frame says all by itself; `read` raises DecodeError."""

    rows: Rows
    read: Callable[[bytes], Decoded]

    def decode(self, frame: bytes, now: float) -> Decoded:  # noqa: ARG002 — as every decoder
        """Read a frame."""
        return self.read(frame)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What advertises: in its maker's words, its model, and the kind that reads it; None: not known."""

    what: str
    model: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BleKind(Kind):
    """A device that advertises; `make` raises SettingError."""

    wire: Wire = Wire.BLE
    origin: Origin
    make: Callable[[Device], Decoder]


L = TypeVar("L", contravariant=True)  # noqa: PLC0105 — the line that the protocol below is written in


class Poller(Protocol[L]):
    """One configured device that answers when asked; its line is open and nobody else uses it meanwhile."""

    @property
    def rows(self) -> Rows:
        """What it reports, as far as the settings say it."""

    def poll(self, line: L, now: float) -> Decoded:
        """Ask it; `now` in monotonic seconds. Raises DecodeError or LineError."""


@runtime_checkable
class Switcher(Poller[L], Protocol[L]):
    """A device whose entities with `command` obey."""

    def switch(self, line: L, entity: str, wanted: Wanted) -> Values:
        """Obey, and return what was read back. Raises DecodeError or LineError.

        `wanted` is what the row's entity allows: a Switch if it is boolean, one of its options, or a number.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledKind(Kind, Generic[L]):
    """A device that is asked `every` so many seconds; `make` raises SettingError."""

    every: float
    make: Callable[[Device], Poller[L]]


@dataclass(frozen=True, slots=True, kw_only=True)
class I2cKind(PolledKind[I2cLine]):
    """It is a chip on an I2C bus, or hangs on one; `addresses` are those that the chip can have.

    `recognise`, if such a chip says what it is, returns whether the one at an address does; it raises
    DecodeError or LineError.
    """

    wire: Wire = Wire.I2C
    addresses: range
    recognise: Callable[[I2cLine, int], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GattKind(PolledKind[GattLine]):
    """A device that is asked over a Bluetooth connection, by the first of `channels` that it has."""

    wire: Wire = Wire.BLE_GATT
    channels: tuple[Channel, ...]
