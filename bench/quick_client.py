"""A client on a bare, blocking socket that adds little to what it measures: QoS 1, one command at a time."""

import socket
import struct
import time
from collections.abc import Callable

from bench.publisher import length

_CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05quick"
_PUBLISH, _SUBACK = 3, 9
_PATIENCE_S = 10.0


def _field(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


class QuickClient:
    """MQTT 3.1.1, no keep-alive."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._mid = 0
        self._socket.sendall(_CONNECT)
        self._packet()

    def subscribe(self, topic: str) -> None:
        """At QoS 1; what is retained comes at once and is the first to be heard."""
        body = b"\x00\x01" + _field(topic) + b"\x01"
        self._socket.sendall(b"\x82" + length(len(body)) + body)
        while self._packet()[0] >> 4 != _SUBACK:
            pass  # What was retained may come before.

    def time(self, topic: str, payload: bytes, seen: Callable[[bytes], bool]) -> float:
        """Publish; the seconds until a message came whose payload is `seen`. Raises TimeoutError."""
        self._mid = self._mid % 65_535 + 1
        body = _field(topic) + struct.pack("!H", self._mid) + payload
        packet = b"\x32" + length(len(body)) + body
        began = time.perf_counter()
        self._socket.sendall(packet)
        while True:
            head, body = self._packet()
            if head >> 4 == _PUBLISH and seen(self._payload(head, body)):
                return time.perf_counter() - began

    def _payload(self, head: int, body: bytes) -> bytes:
        start = 2 + struct.unpack_from("!H", body)[0]
        if head & 0x06:
            self._socket.sendall(b"\x40\x02" + body[start : start + 2])
            start += 2
        return body[start:]

    def _packet(self) -> tuple[int, bytes]:
        while True:
            size, used = self._size()
            if used and len(self._buffer) >= 1 + used + size:
                packet = self._buffer[0], self._buffer[1 + used : 1 + used + size]
                self._buffer = self._buffer[1 + used + size :]
                return packet
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the broker closed the connection")
            self._buffer += data

    def _size(self) -> tuple[int, int]:
        """Decode the remaining length and how many bytes say it; 0 of them while they are not all there."""
        size = 0
        for used, byte in enumerate(self._buffer[1:5], start=1):
            size |= (byte & 127) << 7 * (used - 1)
            if byte < 128:
                return size, used
        return 0, 0

    def close(self) -> None:
        """Leave."""
        self._socket.close()
