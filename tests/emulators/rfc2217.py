"""A serial port elsewhere, by RFC 2217: telnet with its negotiation, its escapes and the speed of the port.

The protocol's server side is pyserial's own, serial.rfc2217.PortManager.
"""

import os
import selectors
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import serial
import serial.rfc2217

from tests.ports import free_port

HOST = "127.0.0.1"
_PATIENCE = 5.0
_PURGE = serial.rfc2217.COM_PORT_OPTION + serial.rfc2217.PURGE_DATA


class _Port(serial.Serial):  # type: ignore[misc]  # pyserial ships no types
    """A pty as a port with the modem lines that a pty does not have."""

    cts = dsr = cd = property(lambda _: True)
    ri = property(lambda _: False)

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class _Client:
    """What PortManager writes to."""

    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall


class _Manager(serial.rfc2217.PortManager):  # type: ignore[misc]  # pyserial ships no types
    """pyserial's, which may be told to answer a purge not at all, or with another value than asked for."""

    purge = ""

    def _telnet_process_subnegotiation(self, suboption: bytes) -> None:
        if not self.purge or not suboption.startswith(_PURGE):
            super()._telnet_process_subnegotiation(suboption)
        elif self.purge == "refused":
            self.rfc2217_send_subnegotiation(serial.rfc2217.SERVER_PURGE_DATA, b"\0")


class Rfc2217Server:
    """Offers the serial `port` at `url`, to one client at a time; stop and start are its power switch.

    `mute`: it takes connections and says nothing. `dead`: the port's bytes are lost both ways, telnet lives.
    `hang_up_after` so many more bytes from the port it drops the client. `purge`: "ignored" or "refused".
    """

    def __init__(self, port: str) -> None:
        self._port = port
        self.number = free_port()
        self.mute = self.dead = False
        self.purge = ""
        self.hang_up_after: int | None = None
        self.clients = 0
        # Bytes that the port said and a client was sent.
        self.said = 0
        # Bytes 0xFF that the port said, each of which telnet doubles.
        self.escaped = 0
        # Speeds that clients set.
        self.baudrates: list[int] = []
        self._thread: threading.Thread | None = None
        self.start()

    @property
    def url(self) -> str:
        """What pyserial opens."""
        return f"rfc2217://{HOST}:{self.number}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server((HOST, self.number))
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="rfc2217 server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drop the client and refuse others."""
        if self._thread is None:
            return
        os.write(self._wake_write, b"x")
        self._thread.join(_PATIENCE)
        self._thread = None
        self._listener.close()
        for end in (self._wake_read, self._wake_write):
            os.close(end)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._listener, self._wake_read):
                selector.register(one, selectors.EVENT_READ)
            while all(key.fileobj is self._listener for key, _ in selector.select()):
                client, _ = self._listener.accept()
                self.clients += 1
                with client, _Port(self._port) as port, suppress(ConnectionError):
                    if not self._carry(client, port):
                        return

    def _carry(self, client: socket.socket, port: _Port) -> bool:
        """Serve a client until it leaves or is dropped; False when all must end."""
        manager = None if self.mute else _Manager(port, _Client(client))
        with selectors.DefaultSelector() as selector:
            for one in (client, port.fileno(), self._wake_read):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wake_read in ready:
                    return False
                if client in ready and not self._hear(client, port, manager):
                    return True
                if port.fileno() in ready and not self._tell(client, port, manager):
                    return True

    def _hear(self, client: socket.socket, port: _Port, manager: _Manager | None) -> bool:
        data = client.recv(512)
        if manager is not None:
            manager.purge = self.purge
            plain = b"".join(manager.filter(data))
            if plain and not self.dead:
                port.write(plain)
            if port.baudrate not in self.baudrates[-1:]:
                self.baudrates.append(port.baudrate)
        return bool(data)

    def _tell(self, client: socket.socket, port: _Port, manager: _Manager | None) -> bool:
        data = os.read(port.fileno(), 512)
        if manager is None or self.dead:
            return True
        if self.hang_up_after is not None:
            data = data[: self.hang_up_after]
            self.hang_up_after -= len(data)
        self.escaped += data.count(b"\xff")
        client.sendall(b"".join(manager.escape(data)))
        self.said += len(data)
        if self.hang_up_after == 0:
            self.hang_up_after = None
            return False
        return True
