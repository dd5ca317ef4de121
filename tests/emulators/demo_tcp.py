"""The demo's Modbus TCP device: an Eastron SDM630 behind a gateway, on loopback, with nothing to install.

Framing by the MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; registers by Eastron's
SDM630-Modbus protocol V1.8: input registers, two a float, the high word first.
"""

import socket
import socketserver
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.emulators.modbus_rtu import Tables
from tests.emulators.van import Moment

HOST = "127.0.0.1"
UNIT = 1
_SERIAL_NUMBER = 0xFC00
_VOLTS, _AMPERES, _WATTS, _ALL_WATTS, _HERTZ, _IMPORTED = 0, 6, 12, 52, 70, 72
_REGISTERS = 76
_HEADER = struct.Struct(">HHHB")
_GATEWAY_TARGET_FAILED = 0x0B


class ShoreMeter(Tables):
    """The meter on the first phase of the shore power, fed by the gateway: it answers unplugged too."""

    def __init__(self) -> None:
        super().__init__(input=dict.fromkeys(range(_REGISTERS), 0))
        self.holding = {_SERIAL_NUMBER: 0x0012, _SERIAL_NUMBER + 1: 0xD687}

    def show(self, moment: Moment) -> None:
        """Measure this from now on."""
        shore = moment.shore
        self._float(_VOLTS, shore.voltage)
        self._float(_AMPERES, shore.power / shore.voltage if shore.plugged else 0.0)
        self._float(_WATTS, shore.power)
        self._float(_ALL_WATTS, shore.power)
        self._float(_HERTZ, 50.0 if shore.plugged else 0.0)
        self._float(_IMPORTED, shore.energy / 1000.0)

    def _float(self, address: int, value: float) -> None:
        self.input[address], self.input[address + 1] = struct.unpack(">HH", struct.pack(">f", value))


class _Connection(socketserver.BaseRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        while header := taken(self.request, _HEADER.size):
            transaction, protocol, length, unit = _HEADER.unpack(header)
            # The length counts the unit, the function and two words at least: nothing shorter is asked of it.
            body = taken(self.request, length - 1) if protocol == 0 and 6 <= length <= 254 else b""
            if not body:
                return
            answer = bytes([body[0] | 0x80, _GATEWAY_TARGET_FAILED])
            if unit == UNIT:
                answer = self.server.meter.answer(body[0], body[1:])
            self.request.sendall(_HEADER.pack(transaction, 0, len(answer) + 1, unit) + answer)


def taken(connection: socket.socket, count: int) -> bytes:
    """So many bytes, none at the end of the connection."""
    came = b""
    while len(came) < count:
        try:
            more = connection.recv(count - len(came))
        except OSError:
            return b""
        if not more:
            return b""
        came += more
    return came


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    meter: ShoreMeter


class Gateway:
    """Serves the meter; the file `port` keeps the number, so that a second start takes the same."""

    def __init__(self, port: Path) -> None:
        self.meter = ShoreMeter()
        self._file = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        known = int(self._file.read_text(encoding="ascii")) if self._file.exists() else 0
        self._server = _Server((HOST, known), _Connection)
        self._server.meter = self.meter
        self._thread = threading.Thread(target=self._server.serve_forever, name="gateway", daemon=True)
        self._thread.start()
        self._file.write_text(str(self._server.server_address[1]), encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
