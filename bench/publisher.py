"""A publisher that is no bottleneck: `python -m bench.publisher <port> <messages> <values>` on a bare socket.

Everything is encoded before it says `ready`; on a line of standard input it sends, QoS 1, in a window.
"""

import json
import socket
import struct
import sys
import time

from bench.traffic import DEVICES, STREAM, topic
from bus.messages import Reading, encode_reading

_WINDOW = 2000
_CHUNK = 100
_CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03pub"
_PUBLISH_QOS_1 = 0x32
_ACK_BYTES = 4
_LARGEST_ID = 65_535


def length(size: int) -> bytes:
    """Encode the remaining length of an MQTT packet."""
    out = bytearray()
    while size >= 128:
        out.append(size % 128 | 128)
        size //= 128
    out.append(size)
    return bytes(out)


def packet(number: int, values: int, now_ms: int) -> bytes:
    """Encode the PUBLISH of a reading of about 100 bytes, as a collector sends it."""
    names = ("voltage", "soc")[:values]
    reading = Reading(
        ts=now_ms + number,
        values={name: round(12 + (number % 4000) / 1000, 3) for name in names},
        stream=STREAM,
        seq=number,
    )
    payload = encode_reading(reading)
    name = topic(number % DEVICES).encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", (number - 1) % _LARGEST_ID + 1) + payload
    return bytes([_PUBLISH_QOS_1]) + length(len(body)) + body


def main(port: int, messages: int, values: int) -> None:
    """Publish when told."""
    now = time.time_ns() // 1_000_000 - messages
    packets = [packet(number, values, now) for number in range(1, messages + 1)]
    chunks = [b"".join(packets[first : first + _CHUNK]) for first in range(0, messages, _CHUNK)]
    size = sum(map(len, packets)) // messages
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(_CONNECT)
        sock.recv(4)
        print(json.dumps({"packet": size}), flush=True)
        sys.stdin.readline()
        sent = acknowledged = 0
        for chunk in chunks:
            sock.sendall(chunk)
            sent += _CHUNK
            while sent - acknowledged / _ACK_BYTES > _WINDOW:
                acknowledged += len(sock.recv(65536))
        while acknowledged < messages * _ACK_BYTES:
            acknowledged += len(sock.recv(65536))
        sys.stdin.readline()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
