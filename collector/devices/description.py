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
        """Set one coil (function 5)."""


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

    def pause(self, seconds: float) -> None:
        """Wait, while a chip converts."""


class GpioLine(Line, Protocol):
    """The board's pins, numbered as BCM."""

    def read(self, pin: int, pull: Pull) -> bool:
        """Return whether a pin is high; at its first use it becomes an input with this pull.

        Raises RefusedError for a pin that is an output, or that another program holds.
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
    """The device is of another kind than the configuration says: the owner must correct it."""


class NoAnswerError(DecodeError):
    """The device did not answer in time: ask again later."""


class RefusedError(DecodeError):
    """The device answered that it does not have this, or does not do it now; the text says what."""


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
    VECTORS = "the library's published vectors"


class Wire(Enum):
    """What a device hangs on: its name for people, and the collectors that read such devices."""

    BLE = ("Bluetooth", "ble")
    VE_DIRECT = ("VE.Direct", "serial")
    MODBUS = ("Modbus RTU or TCP", "serial", "tcp")
    ROUTE_B = ("Wi-SUN stick", "serial")
    I2C = ("I2C", "i2c")
    GPIO = ("pins", "gpio")
    HOST = ("the machine", "host")
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
    # What an owner should know besides.
    notes: tuple[str, ...] = ()
    defaults: Mapping[str, float | str] = field(default_factory=dict)
    allowed: Mapping[str, Sequence[float | str] | re.Pattern[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BleKind(Kind):
    """A device that advertises; `decode(frame, key)` raises DecodeError."""

    wire: Wire = Wire.BLE
    decode: Callable[[bytes, bytes], Decoded]


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
    """It is a chip on an I2C bus, or hangs on one; `addresses` are those that the chip can have."""

    wire: Wire = Wire.I2C
    addresses: range
