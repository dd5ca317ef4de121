"""Modbus TCP, one question at a time. Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b."""

import errno
import socket
import struct
import time
from contextlib import suppress

from collector.devices.description import BadRecordError, LineError, NoAnswerError, RefusedError

_TIMEOUT_S = 5.0
# 3.1.3: transaction, protocol (0), length of what follows, unit.
_HEADER = struct.Struct(">HHHB")
_LENGTHS = range(3, 255)
_EXCEPTION = 0x80
# Modbus Application Protocol V1.1b3, 7.
_REFUSALS = {
    1: "it does not know this function (exception 1)",
    2: "it has no such address (exception 2)",
    3: "it does not take this count or value (exception 3)",
    4: "it failed at it (exception 4)",
    7: "it cannot do it (exception 7)",
    8: "its memory is damaged (exception 8)",
}
_ABSENCES = {
    5: "it needs more time (exception 5)",
    6: "it is busy (exception 6)",
    10: "the gateway has no way to it (exception 10): is the unit right?",
    11: "the gateway gets no answer from it (exception 11): is the unit right, is it switched on?",
}
_ON, _OFF = 0xFF00, 0x0000


class ModbusTcp:
    """A ModbusLine to a host; silence and garbage end the connection, the next question opens it again."""

    def __init__(self, host: str, port: int, *, timeout: float = _TIMEOUT_S) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._socket: socket.socket | None = None
        self._transaction = 0
        # Whether this connection has ever brought an answer, and whether half a message came last.
        self._proven = self._halfway = False

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"

    def open(self) -> None:
        """Connect. Raises LineError."""
        self.close()
        try:
            self._socket = socket.create_connection((self._host, self._port), self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.close()
            raise LineError(self._advice(error)) from error
        self._proven = False

    def close(self) -> None:
        """Disconnect."""
        opened, self._socket = self._socket, None
        if opened is not None:
            with suppress(OSError):
                opened.close()

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """`count` registers; function 3 or 4."""
        body = self._ask(unit, struct.pack(">BHH", function, address, count))
        self._require(unit, len(body) == 1 + 2 * count and body[0] == 2 * count, "registers")
        return struct.unpack(f">{count}H", body[1:])

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """`count` bits; function 1 or 2."""
        body = self._ask(unit, struct.pack(">BHH", function, address, count))
        length = (count + 7) // 8
        self._require(unit, len(body) == 1 + length and body[0] == length, "bits")
        return tuple(bool(body[1 + place // 8] >> place % 8 & 1) for place in range(count))

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set one coil (function 5)."""
        echo = struct.pack(">HH", address, _ON if on else _OFF)
        self._require(unit, self._ask(unit, b"\x05" + echo) == echo, "a coil")

    def _ask(self, unit: int, request: bytes) -> bytes:
        """Return the data behind the function code; try twice where the first may fail for no reason."""
        proven = self._socket is not None and self._proven
        for last in (False, True):
            try:
                return self._exchange(unit, request)
            except _ClosedError as error:
                # Many close a connection that was idle, which is found out only now.
                self.close()
                if last or not proven:
                    raise LineError(str(error)) from error
            except _SilentError as error:
                # Some dongles lose what comes right after connecting: try again on the same connection.
                # After half a message nobody knows where the next one begins.
                if last or proven or self._halfway:
                    self.close()
                    raise NoAnswerError(str(error)) from error
        raise AssertionError("the last try returns or raises")

    def _exchange(self, unit: int, request: bytes) -> bytes:
        if self._socket is None:
            self.open()
        assert self._socket is not None  # noqa: S101 — just opened
        self._transaction = (self._transaction + 1) % 0x10000
        header = _HEADER.pack(self._transaction, 0, len(request) + 1, unit)
        deadline = time.monotonic() + self._timeout
        self._halfway = False
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(header + request)
            answer = self._answer(self._socket, unit, deadline)
        except TimeoutError as error:
            raise _SilentError(self._silence(unit)) from error
        except OSError as error:
            raise _ClosedError(self._advice(error)) from error
        self._proven = True
        return self._judged(unit, request[0], answer)

    def _answer(self, opened: socket.socket, unit: int, deadline: float) -> bytes:
        """Return function code and data of the answer to the last question, not to earlier ones."""
        while True:
            head = self._receive(opened, _HEADER.size, deadline)
            transaction, protocol, length, who = _HEADER.unpack(head)
            if protocol != 0 or length not in _LENGTHS:
                raise self._garbage("what it sends is not Modbus TCP: is the port right?")
            body = self._receive(opened, length - 1, deadline)
            if transaction != self._transaction:
                self._halfway = False
                continue
            if who != unit:
                raise self._garbage(f"unit {who} answered for unit {unit}")
            return body

    def _receive(self, opened: socket.socket, count: int, deadline: float) -> bytes:
        found = b""
        while len(found) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            opened.settimeout(left)
            part = opened.recv(count - len(found))
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, "closed")
            self._halfway = True
            found += part
        return found

    def _judged(self, unit: int, function: int, answer: bytes) -> bytes:
        if answer[0] == function:
            return answer[1:]
        if answer[0] != function | _EXCEPTION or len(answer) != 2:
            raise self._garbage(f"unit {unit} answered another question")
        code = answer[1]
        if code in _ABSENCES:
            raise NoAnswerError(f"unit {unit} on {self._where}: {_ABSENCES[code]}")
        raise RefusedError(f"unit {unit} on {self._where}: {_REFUSALS.get(code, f'exception {code}')}")

    def _require(self, unit: int, right: bool, what: str) -> None:  # noqa: FBT001 — the condition is the point
        if not right:
            raise self._garbage(f"unit {unit} answered a question for {what} wrongly")

    def _garbage(self, text: str) -> BadRecordError:
        self.close()
        return BadRecordError(f"{self._where}: {text}")

    def _silence(self, unit: int) -> str:
        if self._halfway:
            return f"unit {unit} on {self._where} sends, but no whole answer in {self._timeout:g} s"
        return f"unit {unit} on {self._where} does not answer: is the unit right, is Modbus TCP switched on?"

    def _advice(self, error: OSError) -> str:
        where = self._where
        if isinstance(error, socket.gaierror):
            return f"there is no host {self._host}: is the name right, is the network up?"
        if isinstance(error, ConnectionRefusedError):
            return f"{where} refuses connections: is Modbus TCP switched on, is the port right?"
        if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            return f"{where} closed the connection: is another program connected? Many take only one"
        if isinstance(error, TimeoutError) or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return f"{where} cannot be reached: is it switched on and in this network?"
        return f"{where} cannot be used: {error.strerror or error}"


class _ClosedError(Exception):
    """The connection ended; the text says what the owner can do."""


class _SilentError(Exception):
    """No answer in time."""
