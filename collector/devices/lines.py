"""What a device may ask of its line: a port, a bus, a board, a connection.

A line carries bytes and numbers, no meaning. Each of its methods raises LineError when the line is gone and
NoAnswerError when only the device keeps silent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from config.model import Pull

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
