"""Modbus RTU slaves on one bus, a real pty, with faults asked for by name, one per request.

Written from "Modbus over Serial Line" V1.02 and "Modbus Application Protocol" V1.1b3.
"""

import os
import selectors
import struct
import tempfile
import termios
import threading
import tty
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# The kinds that are read from it.
TWINS = ("modbus",)

READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, BUSY = 1, 2, 3, 4, 6
EXCEPTIONS = {
    "illegal_function": ILLEGAL_FUNCTION,
    "illegal": ILLEGAL_ADDRESS,
    "illegal_value": ILLEGAL_VALUE,
    "failure": DEVICE_FAILURE,
    "busy": BUSY,
}
FAULTS = (
    *(
        "silent",
        "deaf",
        "crc",
        "truncate",
        "late",
        "echo",
        "noise",
        "garbage",
        "wrong_unit",
        "wrong_function",
    ),
    *("short", "stale", "split", "slow", "hangup", "wrong_address", "wrong_value", "only_echo", *EXCEPTIONS),
)
# A "slow" answer comes in pieces of so many bytes, as fast as 9600 baud are.
_PIECE = 16


def crc(frame: bytes) -> bytes:
    """The two check bytes of a frame, low byte first: Modbus over Serial Line, 6.2.2."""
    register = 0xFFFF
    for byte in frame:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return struct.pack("<H", register)


def sealed(frame: bytes) -> bytes:
    """The frame with its check bytes."""
    return frame + crc(frame)


@dataclass(slots=True)
class Tables:
    """One unit's four tables by address; what is not in them is refused with exception 2.

    A device that is more than tables overrides `prepare` (called before each request), `write_coil` and
    `write_registers`.
    """

    input: dict[int, int] = field(default_factory=dict)
    holding: dict[int, int] = field(default_factory=dict)
    coils: dict[int, int] = field(default_factory=dict)
    discrete: dict[int, int] = field(default_factory=dict)

    def prepare(self) -> None:
        """Bring the tables up to date."""

    def write_coil(self, address: int, on: int) -> None:
        """A client sets a coil."""
        self.coils[address] = on

    def write_registers(self, _function: int, values: Mapping[int, int]) -> int:
        """A client sets registers; an exception code, or 0."""
        self.holding |= values
        return 0

    def answer(self, function: int, data: bytes) -> bytes:
        """Function and data of the response to a request's."""
        self.prepare()
        address, number = struct.unpack(">HH", data[:4])
        match function:
            case 1 | 2:
                bits = self.coils if function == READ_COILS else self.discrete
                return _read_bits(function, bits, address, number)
            case 3 | 4:
                registers = self.holding if function == READ_HOLDING else self.input
                return _read_registers(function, registers, address, number)
        refused = self._write(function, address, number, data)
        return _refusal(function, refused) if refused else bytes([function]) + data[:4]

    def _write(self, function: int, address: int, number: int, data: bytes) -> int:
        """Obey, or return the exception code."""
        if function == WRITE_COIL and number in (0, 0xFF00):
            if address not in self.coils:
                return ILLEGAL_ADDRESS
            self.write_coil(address, int(number != 0))
            return 0
        if function not in (WRITE_REGISTER, WRITE_REGISTERS):
            return ILLEGAL_VALUE if function == WRITE_COIL else ILLEGAL_FUNCTION
        values = {address: number}
        if function == WRITE_REGISTERS:
            values = dict(enumerate(struct.unpack(f">{number}H", data[5:]), address))
            if not 1 <= number <= 123 or data[4] != 2 * number:
                return ILLEGAL_VALUE
        if any(one not in self.holding for one in values):
            return ILLEGAL_ADDRESS
        return self.write_registers(function, values)


def _refusal(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


def _read_registers(function: int, table: Mapping[int, int], address: int, count: int) -> bytes:
    if not 1 <= count <= 125:
        return _refusal(function, ILLEGAL_VALUE)
    if any(one not in table for one in range(address, address + count)):
        return _refusal(function, ILLEGAL_ADDRESS)
    words = [table[one] & 0xFFFF for one in range(address, address + count)]
    return struct.pack(f">BB{count}H", function, 2 * count, *words)


def _read_bits(function: int, table: Mapping[int, int], address: int, count: int) -> bytes:
    if not 1 <= count <= 2000:
        return _refusal(function, ILLEGAL_VALUE)
    if any(one not in table for one in range(address, address + count)):
        return _refusal(function, ILLEGAL_ADDRESS)
    packed = sum(bool(table[address + bit]) << bit for bit in range(count))
    size = (count + 7) // 8
    return bytes([function, size]) + packed.to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked; `count` is the value in a write."""

    unit: int
    function: int
    address: int
    count: int


class Slave:
    """All units of a bus behind `port`; each request uses up one of `faults` (names in FAULTS, "" for none).

    `always` is the fault when there is none left. Units in `dead` never answer. A "late" answer comes `late`
    seconds after the request. After "hangup" the port is gone until `replug`. With `baudrate` a client that
    talks at another speed is not understood.
    """

    def __init__(
        self, units: Mapping[int, Tables] | None = None, *, late: float = 0.3, baudrate: int | None = None
    ) -> None:
        self.units = dict(units or {1: Tables()})
        self.faults: list[str] = []
        self.always = ""
        self.dead: set[int] = set()
        self.requests: list[Request] = []
        self.late = late
        # What "stale" sends instead of the answer.
        self.stale = b""
        self.baudrate = baudrate
        self._folder = tempfile.TemporaryDirectory(prefix="bus")
        self.port = str(Path(self._folder.name) / "port")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.replug()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def replug(self) -> None:
        """Plug the adapter in (again): a new device behind the same name."""
        self.unplug()
        self._master, self._slave = os.openpty()
        self._wake_read, self._wake_write = os.pipe()
        tty.setraw(self._slave)
        Path(self.port).symlink_to(os.ttyname(self._slave))
        self._thread = threading.Thread(target=self._serve, args=(self._master,), name="bus", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the bus and remove its port."""
        self._stop.set()
        self.unplug()
        self._folder.cleanup()

    def say(self, frame: bytes) -> None:
        """Put bytes on the bus that nobody asked for."""
        os.write(self._master, frame)

    def unplug(self) -> None:
        """Pull the adapter out."""
        if self._thread is None:
            return
        os.write(self._wake_write, b".")
        self._thread.join(5)
        self._thread = None
        # Unless a fault has done it.
        if Path(self.port).is_symlink():
            self._drop()
        for end in (self._wake_read, self._wake_write):
            os.close(end)

    def _drop(self) -> None:
        Path(self.port).unlink()
        os.close(self._master)
        os.close(self._slave)

    def _serve(self, master: int) -> None:
        heard = b""
        with selectors.DefaultSelector() as selector:
            selector.register(master, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while Path(self.port).is_symlink():
                if any(key.fileobj == self._wake_read for key, _ in selector.select()):
                    return
                heard = self._hear(heard + os.read(master, 512))

    def _hear(self, heard: bytes) -> bytes:
        """Answer the whole requests in what was heard; returns the rest."""
        if not self._understood():
            return b""
        while len(heard) >= 8:
            size = 9 + heard[6] if heard[1] in (WRITE_COILS, WRITE_REGISTERS) else 8
            frame, rest = heard[:size], heard[size:]
            if len(frame) < size:
                break
            # A frame with a bad check is for nobody: a slave waits for silence and starts anew.
            if frame != sealed(frame[:-2]):
                return b""
            self._take(frame)
            heard = rest
        return heard

    def _understood(self) -> bool:
        speed = termios.tcgetattr(self._master)[5]
        return self.baudrate is None or speed == getattr(termios, f"B{self.baudrate}")

    def _take(self, frame: bytes) -> None:
        unit, function = frame[0], frame[1]
        if unit not in self.units:
            return
        address, count = struct.unpack(">HH", frame[2:6])
        self.requests.append(Request(unit, function, address, count))
        if unit in self.dead:
            return
        fault = self.faults.pop(0) if self.faults else self.always
        if fault == "deaf":
            return
        if fault in EXCEPTIONS:
            answer = _refusal(function, EXCEPTIONS[fault])
        else:
            answer = self.units[unit].answer(function, frame[2:-2])
        self._send(fault, frame, sealed(bytes([unit]) + answer))

    def _send(self, fault: str, request: bytes, answer: bytes) -> None:
        match fault:
            case "silent":
                return
            case "hangup":
                self._drop()
                return
            case "stale":
                answer = sealed(self.stale)
            case "late":
                self._stop.wait(self.late)
            case "split":
                os.write(self._master, answer[:3])
                self._stop.wait(0.02)
                answer = answer[3:]
            case "slow":
                for place in range(0, len(answer) - _PIECE, _PIECE):
                    os.write(self._master, answer[place : place + _PIECE])
                    self._stop.wait(_PIECE * 11 / 9600)
                answer = answer[-((len(answer) - 1) % _PIECE + 1) :]
            case _:
                answer = _spoilt(fault, request, answer)
        os.write(self._master, answer)


def _other(answer: bytes, place: int) -> bytes:
    """The answer with another byte there, in a frame that is whole."""
    return sealed(
        answer[:place] + bytes(byte ^ 1 for byte in answer[place : place + 1]) + answer[place + 1 : -2]
    )


def _spoilt(fault: str, request: bytes, answer: bytes) -> bytes:
    spoilt = {
        "crc": answer[:-1] + bytes([answer[-1] ^ 0x55]),
        "truncate": answer[:-3],
        "echo": request + answer,
        "noise": b"\x00\xff" + answer,
        "garbage": bytes(255 - byte for byte in answer),
        "only_echo": request,
        # Of the answer to a write.
        "wrong_address": _other(answer, 3),
        "wrong_value": _other(answer, 5),
        "wrong_unit": sealed(bytes([answer[0] % 247 + 1]) + answer[1:-2]),
        "wrong_function": sealed(bytes([answer[0], answer[1] ^ 0x07]) + answer[2:-2]),
        # One register less than asked for, in a frame that is whole.
        "short": sealed(bytes([answer[0], answer[1], max(0, answer[2] - 2)]) + answer[3:-4]),
    }
    return spoilt.get(fault, answer)
