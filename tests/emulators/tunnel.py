"""A serial port elsewhere, as ser2net and socat offer it: raw bytes over TCP, one client at a time."""

import os
import selectors
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Tunnel:
    """Carries the bytes of a serial `port`; `url` is what pyserial opens. `cut` drops the client."""

    def __init__(self, port: str) -> None:
        self._serial = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._listener.getsockname()[1]
        self.url = f"socket://127.0.0.1:{self.number}"
        self.clients = 0
        # Set: what the device says is lost on the way, and so is what it is told.
        self.dead = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="tunnel", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Drop the client; it may come again."""
        os.write(self._wake_write, b"c")

    def close(self) -> None:
        """End it."""
        os.write(self._wake_write, b"x")
        self._thread.join(5)
        self._listener.close()
        for end in (self._serial, self._wake_read, self._wake_write):
            os.close(end)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._listener, self._wake_read):
                selector.register(one, selectors.EVENT_READ)
            while any(key.fileobj is self._listener for key, _ in selector.select()):
                client, _ = self._listener.accept()
                self.clients += 1
                with client:
                    if not self._carry(client):
                        return

    def _carry(self, client: socket.socket) -> bool:
        """Serve a client until it leaves or is dropped; False when all must end."""
        with selectors.DefaultSelector() as selector, suppress(ConnectionError):
            for one in (client, self._serial, self._wake_read):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wake_read in ready:
                    return os.read(self._wake_read, 1) == b"c"
                if client in ready:
                    data = client.recv(512)
                    if not data:
                        return True
                    if not self.dead:
                        os.write(self._serial, data)
                if self._serial in ready:
                    data = os.read(self._serial, 512)
                    if not self.dead:
                        client.sendall(data)
        return True
