"""A Solarman data logger with its inverter on loopback, with faults asked for by name, one per request.

Written from jmccrohan/pysolarmanv5, docs/solarmanv5_protocol.rst, and from the frames of real loggers in its
issues 6, 14, 19, 62 and 87: what it sends of its own accord and in place of an answer.
"""

import socket
import socketserver
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.emulators.demo_tcp import taken
from tests.emulators.modbus_rtu import Tables, sealed

HOST = "127.0.0.1"
FAULTS = (
    *("silent", "late", "heartbeat", "handshake", "report", "text", "foreign", "twice", "split", "echo"),
    *("checksum", "end", "crc", "short", "unit", "no_inverter", "busy", "illegal", "closed", "half", "tcp"),
    *("http", "endless", "noise", "moody"),
)
_BY_ITSELF = {"handshake": 0x4110, "heartbeat": 0x4710, "report": 0x4810}
# Seconds since it was made, since it was switched on, and at which second of 1970 it was made.
_TIMES = struct.pack("<III", 1_026_742, 10_011, 1_660_384_595)


def frame(control: int, sequence: bytes, logger: int, payload: bytes) -> bytes:
    """The start, the length, all that is given, the sum of it, the end."""
    inner = struct.pack("<HH", len(payload), control) + sequence + struct.pack("<I", logger) + payload
    return b"\xa5" + inner + bytes((sum(inner) % 256, 0x15))


class _Connection(socketserver.BaseRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        self.server.logger.connected(self.request)
        while head := taken(self.request, 11):
            (length,) = struct.unpack("<H", head[1:3])
            rest = taken(self.request, length + 2)
            if not rest or not self.server.logger.take(self.request, head + rest):
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    logger: "Logger"


class Logger:
    """A logger of this serial number; its inverter has `units`. `replies` answer what it said of itself."""

    def __init__(self, serial: int, units: Mapping[int, Tables], port: int = 0) -> None:
        self.serial, self.units = serial, dict(units)
        self.faults: list[str] = []
        self.always = ""
        # Loggers that keep silent if they are asked by another number.
        self.strict = False
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []
        self.connections = 0
        self._own = 0
        self._held = b""
        self._sockets: list[socket.socket] = []
        self._server = _Server((HOST, port), _Connection)
        self._server.logger = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def connected(self, connection: socket.socket) -> None:
        """Note a new client."""
        self.connections += 1
        self._sockets.append(connection)

    def hang_up(self) -> None:
        """End all connections, as loggers do when nothing was asked for a while."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def take(self, connection: socket.socket, asked: bytes) -> bool:
        """Answer a frame; False ends the connection."""
        (control,) = struct.unpack("<H", asked[3:5])
        if asked[0] != 0xA5 or asked[-1] != 0x15 or asked[-2] != sum(asked[1:-2]) % 256:
            return False
        if control != 0x4510:
            self.replies.append(asked)
            return True
        self.requests.append(asked)
        fault = self.faults.pop(0) if self.faults else self.always
        (number,) = struct.unpack("<I", asked[7:11])
        if number != self.serial and self.strict:
            return True
        if fault in ("closed", "half"):
            whole = self._response(asked, self._rtu(asked[26:-2]))
            connection.sendall(whole[:20] if fault == "half" else b"")
            return False
        for piece in self._said(fault, asked, wrong=number != self.serial):
            connection.sendall(piece)
        return True

    def _said(self, fault: str, asked: bytes, *, wrong: bool) -> list[bytes]:
        """What it sends for a request, in pieces."""
        self.serial += fault == "moody"
        rtu = b"\x06\x00" if wrong or fault == "moody" else self._rtu(asked[26:-2])
        answer = self._held + self._response(asked, rtu)
        self._held = answer if fault == "late" else b""
        foreign = asked[:5] + bytes((asked[5] ^ 0x80,)) + asked[6:]
        before = {
            **{name: self._own_frame(code, asked) for name, code in _BY_ITSELF.items()},
            "text": b"AT+YZCMPVER=MW3_16U_5406_2.32-D1\r\n\r\n",
            "foreign": self._response(foreign, sealed(b"\x01\x03\x02\x12\x34")),
            "echo": asked,
        }
        in_place = {
            "silent": b"",
            # It comes together with the next answer.
            "late": b"",
            # As Modbus TCP would answer what it takes for one of its own.
            "tcp": asked[:5] + b"\x03\x00\xde\x02",
            "http": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 60,
            "endless": b"\xa5\xff\xff\x10\x15" + bytes(6),
        }
        if fault == "split":
            return [answer[n : n + 1] for n in range(len(answer))]
        if fault in before:
            return [before[fault], answer]
        return [in_place[fault] if fault in in_place else _spoilt(fault, answer, self, asked, rtu)]

    def _own_frame(self, code: int, asked: bytes) -> bytes:
        size = 1 if code == _BY_ITSELF["heartbeat"] else 80
        return frame(code, asked[5:6] + self._next(), self.serial, bytes(size))

    def _rtu(self, question: bytes) -> bytes:
        unit = self.units.get(question[0])
        if unit is None or sealed(question[:-2]) != question:
            # It waited for the inverter in vain.
            return b"\x05\x00"
        return sealed(question[:1] + unit.answer(question[1], question[2:-2]))

    def _next(self) -> bytes:
        self._own = (self._own + 1) % 256
        return bytes((self._own,))

    def _response(self, asked: bytes, rtu: bytes) -> bytes:
        return frame(0x1510, asked[5:6] + self._next(), self.serial, b"\x02\x01" + _TIMES + rtu)

    def respond(self, asked: bytes, rtu: bytes) -> bytes:
        """A whole frame around these bytes."""
        return self._response(asked, rtu)


def _spoilt(fault: str, answer: bytes, logger: Logger, asked: bytes, rtu: bytes) -> bytes:
    unit = sealed(bytes((rtu[0] % 247 + 1,)) + rtu[1:-2])
    wrong = {
        "twice": rtu + b"\0\0",
        "crc": rtu[:-1] + bytes((rtu[-1] ^ 0x55,)),
        "short": sealed(rtu[:-4]),
        "unit": unit,
        "no_inverter": b"\x05\x00",
        "busy": sealed(bytes((asked[26], asked[27] | 0x80, 6))),
        "illegal": b"\x02",
        "noise": b"\x00\x00\x00",
    }
    if fault in wrong:
        return logger.respond(asked, wrong[fault])
    if fault == "checksum":
        return answer[:-2] + bytes((answer[-2] ^ 0x0F, answer[-1]))
    return answer[:-1] + b"\x16" if fault == "end" else answer
