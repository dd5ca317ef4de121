"""Modbus TCP gateways to an RTU bus, and dongles that are no gateway, on loopback.

Written from the MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 and 4.4.
"""

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.emulators.modbus_rtu import Tables

HOST = "127.0.0.1"
MODES = ("drops", "says so", "waits and drops", "waits and says so", "hangs up", "answers for all")
_TARGET_FAILED = 11


class Gateway:
    """Units behind one port; `mode` is what it does for a unit that is not there (MODES).

    It works on one question after the other; a unit takes `answer` seconds, and it waits `patience` seconds
    for one that is silent. It answers for all with its only unit, under the number that was asked.
    """

    def __init__(
        self, units: Mapping[int, Tables], mode: str = "drops", *, answer: float = 0.0, patience: float = 1.0
    ) -> None:
        assert mode in MODES
        self.units, self.mode = dict(units), mode
        self.answer, self.patience = answer, patience
        self.connections = 0
        self.asked: list[int] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        heard = b""
        with suppress(OSError), connection:
            while more := connection.recv(260):
                heard += more
                while len(heard) >= 6 and len(heard) >= (size := 6 + struct.unpack(">H", heard[4:6])[0]):
                    question, heard = heard[:size], heard[size:]
                    if not self._work(connection, question):
                        connection.shutdown(socket.SHUT_RDWR)
                        return

    def _work(self, connection: socket.socket, question: bytes) -> bool:
        """Answer one question; False: hang up."""
        unit, function = question[6], question[7]
        self.asked.append(unit)
        tables = self.units.get(unit)
        if tables is None and self.mode == "answers for all":
            tables = next(iter(self.units.values()))
        if tables is not None:
            self._ended.wait(self.answer)
            body = tables.answer(function, question[8:])
        else:
            if self.mode.startswith("waits"):
                self._ended.wait(self.patience)
            if not self.mode.endswith("says so"):
                return self.mode != "hangs up"
            body = bytes([function | 0x80, _TARGET_FAILED])
        connection.sendall(question[:4] + struct.pack(">HB", len(body) + 1, unit) + body)
        return True
