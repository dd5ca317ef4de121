"""MQTT 5 over a WebSocket, as far as a login, by RFC 6455 and section 3.1 of MQTT 5.0."""

import base64
import hashlib
import secrets
import socket
import ssl
import struct
from enum import Enum

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Connack(Enum):
    """What the broker says to a login."""

    ACCEPTED = 0
    REFUSED = 0x87


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


def _login(login: tuple[str, str] | None) -> bytes:
    """A CONNECT of MQTT 5, clean start, no properties."""
    flags = 0x02 | (0xC0 if login else 0)
    body = _text("MQTT") + bytes([5, flags, 0, 60, 0]) + _text("")
    for word in login or ():
        body += _text(word)
    return bytes([0x10, len(body)]) + body


def upgrade(link: socket.socket, host: str, path: str = "/mqtt", more: str = "") -> str:
    """Ask for a WebSocket; the head of the answer. The server must prove that it understood."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n{more}\r\n"
    )
    link.sendall(lines.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = link.recv(1)
        if not part:
            break
        head += part
    proof = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    if head.startswith(b"HTTP/1.1 101"):
        assert f"sec-websocket-accept: {proof}".lower() in head.decode().lower()
    return head.decode()


def connect(
    port: int,
    login: tuple[str, str] | None = None,
    *,
    host: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
    more: str = "",
) -> Connack:
    """Log in over a WebSocket. Raises ConnectionError with the head of an answer that opens none."""
    with socket.create_connection((host, port), timeout=10) as plain:
        link = context.wrap_socket(plain, server_hostname=host) if context else plain
        head = upgrade(link, f"{host}:{port}", more=more)
        if not head.startswith("HTTP/1.1 101"):
            raise ConnectionError(head)
        assert "sec-websocket-protocol: mqtt" in head.lower()
        packet, mask = _login(login), secrets.token_bytes(4)
        masked = bytes(one ^ mask[at % 4] for at, one in enumerate(packet))
        link.sendall(bytes([0x82, 0x80 | len(packet)]) + mask + masked)
        answer = b""
        while len(answer) < 6:
            part = link.recv(6 - len(answer))
            if not part:
                break
            answer += part
        # Frame: 0x82, length; packet: 0x20, length, flags, reason.
        assert answer[0] == 0x82, answer
        assert answer[2] == 0x20, answer
        return Connack(answer[5])
