"""Modbus TCP servers on loopback: pymodbus's own, and one that breaks the protocol on request.

The second is written from the MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 and 4.3.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.ports import free_port

HOST = "127.0.0.1"
_PATIENCE = 10.0
_WRITE_REGISTER, _WRITE_REGISTERS = 6, 16


@dataclass(slots=True)
class Unit:
    """The registers of one unit by address; what is not in them is refused."""

    holding: Mapping[int, int] = field(default_factory=dict)
    input: Mapping[int, int] = field(default_factory=dict)
    coils: Mapping[int, bool] = field(default_factory=dict)


def _blocks(table: Mapping[int, int], kind: DataType) -> list[SimData]:
    """Neighbours in one block; pymodbus wants at least one."""
    found: list[SimData] = []
    run: list[int] = []
    for address in sorted(table):
        if run and address != run[-1] + 1:
            found.append(_block(run, table, kind))
            run = []
        run.append(address)
    return [*found, _block(run, table, kind)] if run else [SimData(0xFFFF, values=[0], datatype=kind)]


def _block(run: list[int], table: Mapping[int, int], kind: DataType) -> SimData:
    values = [bool(table[a]) if kind is DataType.BITS else table[a] for a in run]
    return SimData(run[0], values=values, datatype=kind)


class ModbusServer:
    """pymodbus's server with some units; silent for all others."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        bits, words = DataType.BITS, DataType.REGISTERS
        self._devices = [
            SimDevice(
                id=number,
                simdata=(
                    _blocks(unit.coils, bits),
                    _blocks({}, bits),
                    _blocks(unit.holding, words),
                    _blocks(unit.input, words),
                ),
            )
            for number, unit in units.items()
        ]
        self._units = set(units)
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = ModbusTcpServer(
            self._devices, address=(HOST, 0), ignore_missing_devices=True, trace_packet=self._silenced
        )
        await self._server.serve_forever(background=True)
        listener = self._server.transport
        assert isinstance(listener, asyncio.Server)
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._server.serving

    def _silenced(self, sent: bool, packet: bytes) -> bytes:  # noqa: FBT001 — as pymodbus calls it
        """Leave out what pymodbus would say for units that are not there: it refuses."""
        return b"" if sent and packet[6] not in self._units else packet

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise TimeoutError("the server does not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop = self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus left it out
        asyncio.run_coroutine_threadsafe(stop, self._loop).result(_PATIENCE)
        self._thread.join(_PATIENCE)


def _slowly(connection: socket.socket, data: bytes, size: int) -> None:
    pause = threading.Event()
    for place in range(0, len(data), size):
        connection.sendall(data[place : place + size])
        pause.wait(0.003)


class HostileServer:
    """One unit that answers as `faults` say, one per request, then as `always` says.

    silent, late (with the next answer), wrong_transaction (7 more), same_transaction (always 1),
    other_transaction (of another client), wrong_unit, wrong_function, wrong_count, closed,
    half (and closed), busy, gateway, garbage, split (byte by byte), deaf (nothing is done), deaf to the first
    (of a connection: it is not answered),
    dribble (a long answer, a byte every few ms), babble (some hundred whole answers to nobody, and closed).
    """

    def __init__(self, unit: int, holding: Mapping[int, int]) -> None:
        self.unit, self.holding = unit, dict(holding)
        self.faults: list[str] = []
        # It keeps silent about these addresses.
        self.mute: set[int] = set()
        self.always: str | None = None
        self.requests: list[bytes] = []
        self.connections = 0
        self._other = 4711
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server((HOST, self.port))
        self._run(self._accept, self._listener)

    def stop(self) -> None:
        """Refuse connections and end those there are."""
        assert self._listener is not None
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(_PATIENCE)
        self._threads.clear()

    def hang_up(self) -> None:
        """End every connection."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]  # ours
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        late, first = b"", True
        with suppress(OSError), connection:
            while request := connection.recv(260):
                self.requests.append(request)
                fault = self.faults.pop(0) if self.faults else self.always
                answer = self._answer(request, fault)
                if fault == "silent" or (fault == "deaf to the first" and first):
                    answer = b""
                first = False
                if fault == "late":
                    late, answer = answer, b""
                elif late:
                    late, answer = b"", late + answer
                self._send(connection, answer, fault)
                if fault in ("closed", "half", "babble"):
                    return

    def _send(self, connection: socket.socket, answer: bytes, fault: str | None) -> None:
        if fault == "half":
            connection.sendall(answer[: len(answer) // 2])
        elif fault == "split":
            for place in range(len(answer)):
                connection.sendall(answer[place : place + 1])
        elif fault == "dribble":
            # As long as the header says at most.
            _slowly(connection, answer[:4] + struct.pack(">H", 254) + answer[6:].ljust(254, b"\0"), 1)
        elif fault == "babble":
            _slowly(connection, (b"\x77\x77" + answer[2:]) * 300, len(answer))
        elif fault != "closed" and answer:
            connection.sendall(answer)

    def _answer(self, request: bytes, fault: str | None) -> bytes:
        transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", request[:12])
        if fault == "garbage":
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"
        codes = {"busy": 6, "gateway": 11}
        if fault in codes:
            body = bytes((function | 0x80, codes[fault]))
        elif unit != self.unit or address in self.mute or fault == "deaf":
            return b""
        elif function in (_WRITE_REGISTER, _WRITE_REGISTERS):
            words = [count] if function == _WRITE_REGISTER else struct.unpack(f">{count}H", request[13:])
            self.holding |= dict(enumerate(words, address))
            body = struct.pack(
                ">BHH", function + (fault == "wrong_function"), address, count ^ (fault == "wrong_count")
            )
        elif any(a not in self.holding for a in range(address, address + count)):
            body = bytes((function | 0x80, 2))
        else:
            count -= fault == "wrong_count"
            words = [self.holding[a] for a in range(address, address + count)]
            body = struct.pack(f">BB{count}H", function + (fault == "wrong_function"), 2 * count, *words)
        if fault == "other_transaction":
            # Another client's, which has nothing to do with ours.
            self._other = (self._other * 31 + 7) % 0x10000
        others = {
            "wrong_transaction": (transaction + 7) % 0x10000,
            "same_transaction": 1,
            "other_transaction": self._other,
        }
        transaction = others.get(fault or "", transaction)
        unit += fault == "wrong_unit"
        return struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body
