"""MQTT 5 byte by byte, for what no client library would send; sections are those of the standard."""

import contextlib
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
FOR_EVER = 0xFFFFFFFF
DISCONNECT = b"\xe0\x00"
# 3.14.2.1: with it the last will is said all the same.
DISCONNECT_WITH_WILL = b"\xe0\x02\x04\x00"
PING, PINGRESP = b"\xc0\x00", b"\xd0\x00"
Login = tuple[str, str]


def text(value: str | bytes) -> bytes:
    """1.5.4, 1.5.6: two bytes of length, and the bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def number(value: int) -> bytes:
    """1.5.5: a variable byte integer."""
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(head: int, body: bytes) -> bytes:
    """2.1: a fixed header and what follows."""
    return bytes([head]) + number(len(body)) + body


@dataclass(frozen=True, slots=True)
class Will:
    """3.1.3.2, 3.1.3.3: what the broker says for a client that is gone, `delay` seconds later."""

    topic: str
    payload: bytes
    retain: bool = True
    qos: int = 1
    delay: int = 0


def connect(
    client_id: str,
    login: Login | None = None,
    *,
    clean: bool = True,
    expiry: int = 0,
    will: Will | None = None,
    receive_maximum: int | None = None,
) -> bytes:
    """3.1: CONNECT."""
    properties = b"\x11" + struct.pack("!I", expiry)
    if receive_maximum is not None:
        properties += b"\x21" + struct.pack("!H", receive_maximum)
    flags = 0x02 if clean else 0
    payload = text(client_id)
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        delay = b"\x18" + struct.pack("!I", will.delay)
        payload += number(len(delay)) + delay + text(will.topic) + text(will.payload)
    if login is not None:
        flags |= 0xC0
        payload += text(login[0]) + text(login[1])
    head = text("MQTT") + bytes([5, flags]) + struct.pack("!H", 60)
    return packet(0x10, head + number(len(properties)) + properties + payload)


def publish(
    topic: str,
    payload: bytes,
    *,
    qos: int = 0,
    retain: bool = False,
    mid: int = 1,
    response: str | bytes | None = None,
    alias: int | None = None,
) -> bytes:
    """3.3: PUBLISH."""
    properties = b""
    if response is not None:
        properties += b"\x08" + text(response)
    if alias is not None:
        properties += b"\x23" + struct.pack("!H", alias)
    middle = struct.pack("!H", mid) if qos else b""
    head = 0x30 | qos << 1 | (1 if retain else 0)
    return packet(head, text(topic) + middle + number(len(properties)) + properties + payload)


def subscribe(*filters: str, qos: int = 1, mid: int = 1) -> bytes:
    """3.8: SUBSCRIBE."""
    return packet(0x82, struct.pack("!HB", mid, 0) + b"".join(text(f) + bytes([qos]) for f in filters))


def unsubscribe(*filters: str, mid: int = 1) -> bytes:
    """3.10: UNSUBSCRIBE."""
    return packet(0xA2, struct.pack("!HB", mid, 0) + b"".join(map(text, filters)))


class Wire:
    """One connection; what comes is read when there is need, or never. Use it in a with block."""

    def __init__(self, port: int, first: bytes, *, deaf: bool = False, patience: float = 20) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        if deaf:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(first)
        # 3.2.2.2: the reason; None where it was closed without a word.
        answer = self.read()
        self.reason = answer[3] if len(answer) > 3 and answer[0] >> 4 == CONNACK else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def read(self) -> bytes:
        """What comes next; empty once it is closed, or when nothing came in time."""
        try:
            return self._socket.recv(65536)
        except (ConnectionError, TimeoutError):
            return b""

    def send(self, packets: Iterable[bytes]) -> bool:
        """Send, and take what has come meanwhile; whether the broker still holds the connection."""
        try:
            self._socket.sendall(b"".join(packets))
            self._drain()
        except OSError:
            return False
        return True

    def _drain(self) -> None:
        self._socket.settimeout(0)
        try:
            with contextlib.suppress(BlockingIOError):
                while self._socket.recv(1 << 20):
                    continue
        finally:
            self._socket.settimeout(20)

    def settle(self) -> bool:
        """Wait until the broker has read all that was sent: it answers a ping, or closes."""
        try:
            self._socket.sendall(PING)
        except OSError:
            return False
        end = b""
        while PINGRESP not in (end := end[-1:] + (more := self.read())):
            if not more:
                return False
        return True
