"""VE.Direct HEX: questions and answers as frames.

A frame is ":", one hexadecimal digit of command, bytes as two digits each, a check byte that makes the sum of
command and bytes 0x55 modulo 256, and LF; numbers are little-endian. (Victron Energy, "VE.Direct Protocol -
BlueSolar and SmartSolar MPPT chargers", "VE.Direct commands"; flags of an answer: the same, "Get and Set".)
"""

from dataclasses import dataclass
from enum import IntEnum

_SUM = 0x55


class Command(IntEnum):
    """What a frame asks, and what it answers."""

    DONE = 1
    PING = 1
    UNKNOWN = 3
    APP_VERSION = 3
    PRODUCT_ID = 4
    PONG = 5
    GET = 7
    SET = 8
    ASYNC = 0xA


_ANSWERS = {
    Command.PING: Command.PONG,
    Command.APP_VERSION: Command.DONE,
    Command.PRODUCT_ID: Command.DONE,
    Command.GET: Command.GET,
    Command.SET: Command.SET,
}
_OF_REGISTERS = (Command.GET, Command.SET, Command.ASYNC)
# Bits of an answer's flags, and what each says of a request.
FLAGS = {
    1: "the device has no such register",
    2: "the device does not take this now, or only tells it",
    4: "the value is not allowed",
}


@dataclass(frozen=True, slots=True)
class HexFrame:
    """One frame; of a register `data` begins with its number, two bytes, and flags, one byte."""

    command: int
    data: bytes = b""

    @property
    def register(self) -> int | None:
        """The register that it is about; None if it is about none."""
        of_one = self.command in _OF_REGISTERS and len(self.data) > 2
        return int.from_bytes(self.data[:2], "little") if of_one else None

    @property
    def flags(self) -> int:
        """What went wrong, by FLAGS; 0 if nothing."""
        return self.data[2] if self.register is not None else 0

    @property
    def value(self) -> bytes:
        """The register's bytes."""
        return self.data[3:]

    def answers(self, question: "HexFrame") -> bool:
        """Whether it is the answer to a question: a value of another register is not."""
        if self.command != _ANSWERS[Command(question.command)]:
            return False
        return question.register is None or self.register == question.register


def of_register(command: Command, register: int, value: bytes = b"") -> HexFrame:
    """Ask for a register, or set it."""
    return HexFrame(command, register.to_bytes(2, "little") + b"\0" + value)


def encode(frame: HexFrame) -> bytes:
    """Return the frame as it goes over the wire."""
    check = (_SUM - frame.command - sum(frame.data)) & 0xFF
    return f":{frame.command:X}{(frame.data + bytes([check])).hex().upper()}\n".encode("ascii")


def parse(digits: bytes) -> HexFrame | None:
    """Read the hexadecimal digits between ":" and LF; None if they are no whole frame."""
    if len(digits) < 3 or len(digits) % 2 == 0:
        return None
    command, data = int(digits[:1], 16), bytes.fromhex(digits[1:].decode("ascii"))
    return HexFrame(command, data[:-1]) if (command + sum(data)) & 0xFF == _SUM else None
