"""Frames in a stream of bytes; those of Modbus RTU (Modbus over Serial Line V1.02, 2.3 to 2.5)."""

import struct
from collections.abc import Callable

from collector.devices.description import BadRecordError, RefusedError
from collector.devices.lines import Framing, GattLine

NO_FRAME = 0
_EXCEPTION = 0x80


def framing(head: bytes, size: Callable[[bytes], int | None], good: Callable[[bytes], bool]) -> Framing:
    """Make a framing of frames that begin with `head`.

    `size` tells the length of a frame from the bytes that are there: None if it needs more of them, NO_FRAME
    if none begins here. `good` checks a whole one. A damaged beginning does not hide the frame behind it.
    """

    def cut(stream: bytearray) -> bytes | None:
        kept: int | None = None
        at = stream.find(head)
        while at >= 0:
            rest = bytes(stream[at:])
            length = size(rest)
            if length is None or len(rest) < length:
                kept = at if kept is None else kept
            elif length and good(rest[:length]):
                del stream[: at + length]
                return rest[:length]
            at = stream.find(head, at + 1)
        # The stream may end with the first bytes of a head.
        del stream[: max(0, len(stream) - len(head) + 1) if kept is None else kept]
        return None

    return cut


def sum8(data: bytes) -> int:
    """Return the sum of all bytes, its lowest byte."""
    return sum(data) & 0xFF


def reflected_crc(data: bytes, polynomial: int, start: int) -> int:
    """Return a CRC of 16 bits that takes each byte from its lowest bit on."""
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc


def crc16(data: bytes) -> bytes:
    """Return the check of a Modbus RTU frame, as it is sent."""
    return reflected_crc(data, 0xA001, 0xFFFF).to_bytes(2, "little")


def rtu(unit: int, function: int, *words: int) -> bytes:
    """Write a Modbus request of 16-bit words."""
    frame = bytes((unit, function)) + struct.pack(f">{len(words)}H", *words)
    return frame + crc16(frame)


def rtu_framing(unit: int, function: int, length: int) -> Framing:
    """Make a framing of the answers to one question, `length` bytes without the check, and of refusals."""

    def size(rest: bytes) -> int | None:
        if len(rest) < 2:
            return None
        return {function: length + 2, function | _EXCEPTION: 5}.get(rest[1], NO_FRAME)

    return framing(bytes((unit,)), size, lambda frame: crc16(frame[:-2]) == frame[-2:])


def ask_rtu(line: GattLine, request: bytes, length: int) -> bytes:
    """Send a request and return the answer of `length` bytes, without its check. Raises RefusedError."""
    unit, function = request[:2]
    answer = line.ask(request, rtu_framing(unit, function, length))
    if answer[1] != function:
        raise RefusedError(f"unit {unit} refuses (exception {answer[2]})")
    return answer[:-2]


def read_data(line: GattLine, unit: int, function: int, address: int, count: int, size: int) -> bytes:  # noqa: PLR0917 — a question of Modbus, from the left to the right
    """Ask a unit for `count` registers or bits, and return the `size` bytes of its answer."""
    answer = ask_rtu(line, rtu(unit, function, address, count), 3 + size)
    if answer[2] != size:
        raise BadRecordError(f"unit {unit} answers {answer[2]} bytes instead of {size}")
    return answer[3:]


def read_registers(line: GattLine, unit: int, address: int, count: int, function: int = 3) -> tuple[int, ...]:
    """Read `count` registers of 0 to 65535. Raises DecodeError or LineError."""
    return struct.unpack(f">{count}H", read_data(line, unit, function, address, count, 2 * count))
