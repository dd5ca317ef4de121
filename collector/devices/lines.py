"""What a device may ask of the line it hangs on; the transports answer. Bytes and numbers, no meaning.

Every method raises LineError when the line is gone and NoAnswerError when only the device keeps silent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from config.model import Pull


class Line(Protocol):
    """A port, bus or board: opened, used and closed by one thread."""

    def open(self) -> None:
        """Make it usable. Raises LineError, whose text says what the owner can do."""

    def close(self) -> None:
        """Let go of it; closing what is not open is fine."""


class ModbusLine(Line, Protocol):
    """A Modbus bus or connection with its units (1 to 247)."""

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """`count` registers of 0 to 65535 in one request; function 3 (holding) or 4 (input).

        Raises RefusedError with the exception code, BadRecordError for garbage.
        """

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """`count` bits in one request; function 1 (coils) or 2 (discrete inputs)."""

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set one coil (function 5)."""


class VeDirectLine(Line, Protocol):
    """A VE.Direct port that one device talks on by itself."""

    def blocks(self) -> Sequence[Mapping[str, str]]:
        """Return the whole blocks that came since the last call, at least one, oldest first: texts by label.

        Raises BadRecordError when bytes come but no whole block.
        """


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
