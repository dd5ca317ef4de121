"""Modbus TCP, one question at a time. Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b."""

import errno
import logging
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from collector.devices.description import (
    AbsentError,
    BadRecordError,
    LineError,
    NoAnswerError,
    RefusedError,
)

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
# A gateway that loses what comes right after its answer is given this pause at least, and at most, seconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0
# Numbers of questions begin here: gateways that do not repeat them send small ones.
_FIRST_TRANSACTION = 0x100
# 3.1.3: transaction, protocol (0), length of what follows, unit.
_HEADER = struct.Struct(">HHHB")
_LENGTHS = range(3, 255)
_EXCEPTION = 0x80
# Modbus Application Protocol V1.1b3, 7.
REFUSALS = {
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
_ABSENT = (b"\x0a", b"\x0b")
_WRITE_COIL, _WRITE_SEVERAL = 5, 16
_ON, _OFF = 0xFF00, 0x0000
# Units by which a device that needs no gateway is asked: one may answer as the other (Guide, 4.4.1.4).
_OWN_GATEWAY = {0, 0xFF}


class ModbusTcp:
    """A ModbusLine to a host; silence and garbage end the connection, the next question opens it again.

    A gateway that loses questions which follow an answer too soon is left a pause. One that answers with
    other transaction ids than it was asked with is believed once it did so twice in the same way.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = _TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._host, self._port = host, port
        self._usual = self._timeout = timeout
        # In haste: units by the number of the question whose answer has not come, and those it came of late.
        self._hasty = False
        self._awaited: dict[int, int] = {}
        self._late: set[int] = set()
        self._sleep = sleep
        self._socket: socket.socket | None = None
        self._transaction = _FIRST_TRANSACTION
        # Whether this connection has ever brought an answer, and whether half a message came last.
        self._proven = self._halfway = False
        self._pause = 0.0
        self._answered_at = float("-inf")
        self._ids = _OtherIds()

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"

    def open(self) -> None:
        """Connect. Raises LineError."""
        self.close()
        try:
            self._socket = socket.create_connection((self._host, self._port), self._usual)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.close()
            raise LineError(self._advice(error)) from error
        self._proven = False
        self._ids.opened(self._transaction)

    def close(self) -> None:
        """Disconnect."""
        opened, self._socket = self._socket, None
        self._awaited.clear()
        if opened is not None:
            with suppress(OSError):
                opened.close()

    def rest(self, seconds: float) -> None:
        """Leave at least so many seconds between an answer and the next question."""
        self._pause = max(self._pause, seconds)

    def hurry(self, seconds: float | None) -> None:
        """As Hurries says; a connection on which a unit was silent stays open."""
        self._hasty = seconds is not None
        self._timeout = self._usual if seconds is None else seconds

    def late(self) -> frozenset[int]:
        """As Belated says."""
        found, self._late = frozenset(self._late), set()
        return found

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
        self._write(unit, struct.pack(">BHH", _WRITE_COIL, address, _ON if on else _OFF))

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Write one register (function 6) or several (function 16)."""
        several = function == _WRITE_SEVERAL
        head = struct.pack(">BHH", function, address, len(words) if several else words[0])
        self._write(unit, head, struct.pack(f">B{len(words)}H", 2 * len(words), *words) if several else b"")

    def _write(self, unit: int, head: bytes, data: bytes = b"") -> None:
        """Send a request that must not be repeated blindly; its `head` is its answer."""
        try:
            answer = self._exchange(unit, head + data)
        except (_ClosedError, _SilentError) as error:
            # An answer that comes later must be no answer to the next question.
            self.close()
            raise NoAnswerError(str(error)) from error
        self._require(unit, answer == head[1:], f"function {head[0]}, to write,")

    def _ask(self, unit: int, request: bytes) -> bytes:
        """Return the data behind the function code; try twice where the first may fail for no reason."""
        proven = self._socket is not None and self._proven
        for last in (False, True):
            try:
                answer = self._exchange(unit, request)
            except _ClosedError as error:
                # Many close a connection that was idle, which is found out only now.
                self.close()
                if last or not proven:
                    # A scan has more units to ask: there are gateways that hang up for one they do not have.
                    raise (NoAnswerError if self._hasty else LineError)(str(error)) from error
            except _SilentError as error:
                if self._hasty and not (self._halfway or self._ids.sure):
                    self._awaited[self._transaction] = unit
                    raise NoAnswerError(str(error)) from error
                # Some lose what comes right after connecting, some what comes right after an answer: try
                # again on the same connection, unless nobody would know what the next answer is to.
                if last or self._hasty or self._halfway or self._ids.sure:
                    self.close()
                    raise NoAnswerError(str(error)) from error
            else:
                if last and proven:
                    self._be_slower()
                return answer
        raise AssertionError("the last try returns or raises")

    def _be_slower(self) -> None:
        """Note that a question was lost that followed an answer, and its repetition was not."""
        slower = min(max(2 * self._pause, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        if slower > self._pause:
            self._pause = slower
            log.info("%s loses questions; from now on it has a pause of %g s", self._where, slower)

    def _exchange(self, unit: int, request: bytes) -> bytes:
        if self._socket is None:
            self.open()
        assert self._socket is not None  # noqa: S101 — just opened
        if (left := self._answered_at + self._pause - time.monotonic()) > 0:
            self._sleep(left)
        deadline = time.monotonic() + self._timeout
        self._halfway = False
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(self._framed(unit, request))
            answer = self._answer(self._socket, unit, deadline, request[0])
        except TimeoutError as error:
            found = self._ids.settle(self._transaction)
            if found is None:
                raise _SilentError(self._silence(unit)) from error
            log.warning(
                "%s answers with other transaction ids than asked with: they are believed", self._where
            )
            answer = found
        except OSError as error:
            raise _ClosedError(self._advice(error)) from error
        self._proven, self._answered_at = True, time.monotonic()
        return self._judged(unit, request[0], answer)

    def _framed(self, unit: int, request: bytes) -> bytes:
        """Put a new question into the frame that the other side wants."""
        self._transaction = (self._transaction + 1) % 0x10000
        return _HEADER.pack(self._transaction, 0, len(request) + 1, unit) + request

    def _answer(self, opened: socket.socket, unit: int, deadline: float, function: int) -> bytes:
        """Return function code and data of the answer to the last question, not to earlier ones."""
        self._ids.asked()
        while True:
            head = self._receive(opened, _HEADER.size, deadline)
            transaction, protocol, length, who = _HEADER.unpack(head)
            if protocol != 0 or length not in _LENGTHS:
                raise self._garbage("what it sends is not Modbus TCP: is the port right?")
            body = self._receive(opened, length - 1, deadline)
            if transaction != self._transaction:
                self._halfway = False
                if (asked := self._awaited.pop(transaction, None)) is not None:
                    if not _says_absent(body):
                        self._late.add(asked)
                    continue
                fits = who == unit and body[0] & ~_EXCEPTION == function
                if fits and self._ids.believed(transaction, self._transaction, body):
                    return body
                continue
            if who != unit and not {who, unit} <= _OWN_GATEWAY:
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
            absent = AbsentError if _says_absent(answer) else NoAnswerError
            raise absent(f"unit {unit} on {self._where}: {_ABSENCES[code]}")
        raise RefusedError(f"unit {unit} on {self._where}: {REFUSALS.get(code, f'exception {code}')}")

    def _require(self, unit: int, right: bool, what: str) -> None:  # noqa: FBT001 — the condition is the point
        if not right:
            raise self._garbage(f"unit {unit} answered a question for {what} wrongly")

    def _garbage(self, text: str) -> BadRecordError:
        self.close()
        return BadRecordError(f"{self._where}: {text}")

    def _silence(self, unit: int) -> str:
        if self._halfway:
            return f"unit {unit} on {self._where} sends, but no whole answer in {self._timeout:g} s"
        if self._ids.other is not None:
            return (
                f"unit {unit} on {self._where} answers with transaction id {self._ids.other}, not with the"
                f" question's {self._transaction}: does another program use the gateway, too?"
            )
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


def _says_absent(body: bytes) -> bool:
    """Say whether it is a gateway's answer for a unit that did not answer."""
    return bool(body[0] & _EXCEPTION) and body[1:2] in _ABSENT


class _OtherIds:
    """Answers with other transaction ids than those of the questions, and the rule that they follow."""

    def __init__(self) -> None:
        self._first = 0
        # The only one that came since the question: its id, and its content.
        self._seen: list[tuple[int, bytes]] = []
        # How the last id lay to its question, and whether that was seen twice.
        self._rules: set[tuple[str, int]] = set()
        self.sure = False

    @property
    def other(self) -> int | None:
        """The id that came in place of the right one."""
        return self._seen[0][0] if self._seen else None

    def opened(self, transaction: int) -> None:
        """Note a new connection: nothing before `transaction` was asked on it."""
        self._first = transaction

    def asked(self) -> None:
        """Note a new question."""
        self._seen = []

    def believed(self, transaction: int, wanted: int, body: bytes) -> bool:
        """Say whether an answer is believed at once; else keep it, unless an earlier question has its id."""
        if self._first < transaction < wanted:
            return False
        self._seen.append((transaction, body))
        return self.sure and bool(_rules(transaction, wanted) & self._rules)

    def settle(self, wanted: int) -> bytes | None:
        """Return the only answer that came to a question, if its id follows the rule of the one before."""
        if len(self._seen) != 1:
            return None
        (transaction, body) = self._seen[0]
        same = _rules(transaction, wanted) & self._rules
        self.sure = bool(same)
        self._rules = same or _rules(transaction, wanted)
        return body if same else None


def _rules(transaction: int, wanted: int) -> set[tuple[str, int]]:
    return {("always", transaction), ("further by", (transaction - wanted) % 0x10000)}


class _ClosedError(Exception):
    """The connection ended; the text says what the owner can do."""


class _SilentError(Exception):
    """No answer in time."""
