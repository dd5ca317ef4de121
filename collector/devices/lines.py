"""What a device may ask of the line it hangs on; the transports answer. Bytes and numbers, no meaning.

Every method raises LineError when the line is gone and NoAnswerError when only the device keeps silent.
"""

from collections.abc import Mapping
from typing import Protocol


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

    def block(self) -> Mapping[str, str]:
        """The next whole block with a right checksum: texts by label."""


class RouteBLine(Line, Protocol):
    """A Wi-SUN stick joined to a smart meter."""


class I2cLine(Line, Protocol):
    """An I2C bus; `address` is a chip's 7-bit address."""

    def read(self, address: int, register: int, count: int) -> bytes:
        """`count` bytes from a register on. A chip that is not there is a NoAnswerError."""

    def write(self, address: int, register: int, data: bytes) -> None:
        """Write bytes from a register on."""

    def pause(self, seconds: float) -> None:
        """Wait, while a chip converts."""


class GpioLine(Line, Protocol):
    """The board's pins, numbered as BCM."""


class HostLine(Line, Protocol):
    """The computer we run on."""
