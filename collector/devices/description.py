"""The form every device file fills in: what it may ask of its line, its errors, its rows, its kind.

Errors are grouped by what the caller does next. A line carries bytes and numbers, no meaning; each of its
methods raises LineError when the line is gone and NoAnswerError when only the device keeps silent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from bus.about import Entity
from bus.commands import Wanted
from config.model import Device, Pull

if TYPE_CHECKING:
    from collector.devices.victron.hex_protocol import HexFrame


class Line(Protocol):
    """A port, bus or board: opened, used and closed by one thread."""

    def open(self) -> None:
        """Make it usable. Raises LineError, whose text says what the owner can do."""

    def close(self) -> None:
        """Let go of it; closing what is not open is fine."""


class ModbusLine(Line, Protocol):
    """A Modbus bus or connection with its units: 1 to 247, by TCP also 0 and 255."""

    def rest(self, seconds: float) -> None:
        """Leave at least so many seconds between an answer and the next question."""

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """`count` registers of 0 to 65535 in one request; function 3 (holding) or 4 (input).

        Raises RefusedError with the exception code, BadRecordError for garbage.
        """

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """`count` bits in one request; function 1 (coils) or 2 (discrete inputs)."""

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set one coil (function 5); the answer must repeat it.

        Sent once: NoAnswerError and BadRecordError leave open whether the unit did it.
        """

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Write one register by function 6, or 1 to 123 by function 16; raises as `write_coil` does."""


@runtime_checkable
class Hurries(Protocol):
    """A line on which a scan can ask many that are not there."""

    def hurry(self, seconds: float | None) -> None:
        """Wait so long for an answer, and ask once; None: as always."""


@runtime_checkable
class Belated(Protocol):
    """A line whose answers say what they answer, also when they come too late."""

    def late(self) -> frozenset[int]:
        """Return the units whose answers came after their time since the last call."""


class VeDirectLine(Line, Protocol):
    """A VE.Direct port that one device talks on by itself, in text, and answers on, in HEX."""

    def blocks(self, *, wait: bool = True) -> Sequence[Mapping[str, str]]:
        """Return the whole blocks that came since the last call, at least one, oldest first: texts by label.

        Raises BadRecordError when bytes come but no whole block. Without `wait` only what is here already.
        """

    def told(self) -> Mapping[int, bytes]:
        """Return what the device said unasked of its registers since the last call: bytes by number."""

    def ask(self, question: "HexFrame") -> "HexFrame":
        """Return the answer to a HEX frame, whatever its flags say."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter sent, from the `/` to the `!` of a text, or the messages of an SML file.

    `checked`: its checksum was right; a meter of the older kind sends none.
    """

    data: bytes
    checked: bool


class MeterLine(Line, Protocol):
    """A meter's port: P1 or optical."""

    def telegrams(self) -> Sequence[Telegram]:
        """Return the whole telegrams that came since the last call, at least one, oldest first.

        A meter that must be asked is asked. Raises BadRecordError when bytes come but no whole telegram.
        """


@dataclass(frozen=True, slots=True)
class MeterWay:
    """How a meter talks: bit/s (the first ones where it is asked), as text or SML, within `patience` s."""

    baudrate: int
    patience: float
    sml: bool = False
    asked: bool = False

    def __str__(self) -> str:
        return f"{'SML' if self.sml else 'text'}{', asked' * self.asked} at {self.baudrate} baud"


@dataclass(frozen=True, slots=True)
class MeterPlace:
    """Where a meter is on the air; who knows it need not scan. The address is IPv6, written whole."""

    channel: int
    pan_id: bytes
    address: str

    def __str__(self) -> str:
        return (
            f"channel {self.channel} ({self.channel:#04x}), PAN {self.pan_id.hex().upper()}, {self.address}"
        )


class RouteBLine(Line, Protocol):
    """A Wi-SUN stick joined to a smart meter; a meter that falls silent is a lost line, to be joined anew."""

    def properties(self, codes: tuple[int, ...]) -> Mapping[int, bytes | None]:
        """Return the data of these ECHONET Lite properties (EPC) as the meter sent them, None for no data."""

    def choose_day(self, days_ago: int) -> None:
        """Set the day (0: today, to 99) whose half hours E2 and E4 give. Raises RefusedError."""

    def signal(self) -> float | None:
        """Strength of the newest frame from the meter, dBm; None if the stick does not tell."""


class I2cLine(Line, Protocol):
    """An I2C bus; `address` is a chip's 7-bit address."""

    def read(self, address: int, register: int, count: int) -> bytes:
        """`count` (at most 32) bytes from a register on. A chip that is not there is a NoAnswerError.

        Raises RefusedError if a driver of the kernel has the chip.
        """

    def write(self, address: int, register: int, data: bytes) -> None:
        """Write bytes (at most 32) from a register on; raises as `read` does."""

    def receive(self, address: int, count: int) -> bytes:
        """`count` bytes of a chip without registers; raises as `read` does."""

    def pause(self, seconds: float) -> None:
        """Wait, while a chip converts."""


class GpioLine(Line, Protocol):
    """The board's pins, numbered as BCM."""

    def read(self, pin: int, pull: Pull) -> bool:
        """Return whether a pin is high; at its first use it becomes an input with this pull.

        Raises RefusedError for a pin that is an output, or that another program holds.
        """


@dataclass(frozen=True, slots=True)
class Pulses:
    """`count` edges came to a pin, the newest at monotonic second `newest` of the kernel's clock.

    `rate` is how many a second came between the first and the last; `polled`: only levels were looked at, so
    that what came and went between two calls was not seen.
    """

    count: int = 0
    newest: float | None = None
    rate: float | None = None
    polled: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """What a pin has counted: pulses, of which `per_unit` make a unit, and the units of the time before."""

    pulses: int = 0
    per_unit: float = 1.0
    before: float = 0.0

    @property
    def units(self) -> float:
        """All of it, in units."""
        return self.before + self.pulses / self.per_unit

    def at(self, per_unit: float) -> "Count":
        """Go on with so many pulses a unit; what was counted stays what it was."""
        return self if per_unit == self.per_unit else Count(0, per_unit, self.units)


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a count would survive a power cut, and why it cannot be kept."""

    count: Count
    problem: str | None = None


class CounterLine(GpioLine, Protocol):
    """The board's pins where their edges are counted."""

    def pulses(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> Pulses:
        """Return the edges that came to a pin since the last call; raises as `read` does.

        At its first use it becomes an input with this pull whose edges are counted. A level that does not
        last for `debounce` seconds is none.
        """

    def recall(self, name: str) -> Count | None:
        """Return a count as it was kept last; None if it was not."""

    def keep(self, name: str, count: Count) -> Kept:
        """Keep a count over the end of this process."""


# Takes a whole frame out of the bytes that came, or returns None until there is one; drops noise before it.
Framing = Callable[[bytearray], bytes | None]


@dataclass(frozen=True, slots=True)
class Channel:
    """The characteristics a device talks by over a Bluetooth connection, as 16-bit UUIDs.

    It tells by `notify` and is asked by `write`, if it is asked at all. What its Bluetooth module says by
    itself at the beginning of a notification is `noise`.
    """

    notify: int
    write: int | None
    noise: bytes = b""


class GattLine(Line, Protocol):
    """A Bluetooth connection to one device. It is kept while it works."""

    def connected(self) -> int:
        """Connect again if the connection was lost; return the number of this connection, from 1 on."""

    def ask(self, request: bytes, framing: Framing, patience: float = 3.0) -> bytes:
        """Send a request, none if it is empty, and return the first frame of the bytes that come after it.

        Raises NoAnswerError after `patience` s, and what `framing` raises.
        """


class HostText(Enum):
    """What the kernel says in text."""

    MODEL = auto()
    TEMPERATURE = auto()
    THROTTLED = auto()
    UNDER_VOLTAGE = auto()
    MEMORY = auto()
    LOAD = auto()
    UPTIME = auto()
    CARD = auto()
    SERIAL_NUMBER = auto()
    SYSTEM = auto()


@dataclass(frozen=True, slots=True)
class Space:
    """A file system: bytes in use, and bytes that a user other than root may still write."""

    used: int
    free: int


class HostLine(Line, Protocol):
    """The computer we run on; what it does not have is None, never an error."""

    def text(self, what: HostText) -> str | None:
        """Return what the kernel says, as it stands in its file."""

    def space(self) -> tuple[Space, Space | None]:
        """Return the file system that our data is on, and that of the system if it is another one."""

    def since_boot(self, bits: int) -> int:
        """Return all bits that were ever given here since the machine's start, these included."""

    def clock_synchronised(self) -> bool:
        """Return whether the clock was set by a time server."""

    def broker_up(self) -> bool | None:
        """Return whether the broker serves us; None if nobody knows."""


class KernelLine(Line, Protocol):
    """Files of the kernel's drivers; paths are relative to the root."""

    def find(self, pattern: str) -> list[str]:
        """List the paths that fit a pattern, in order."""

    def behind(self, path: str) -> list[str]:
        """List the folders that a path leads through, links followed."""

    def read(self, path: str) -> str:
        """Read a file. Raises NoAnswerError when it is gone, or when the driver has no value."""


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
