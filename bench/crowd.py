"""A crowd of clients on bare sockets: `python -m bench.crowd <port> <first> <clients> <messages/s>`.

Each is a collector: readings with stream and seq at QoS 1, kept until the statistician's watermark passes
them, sent again after a reconnect, when asked, or when nothing moves. It tells each second on standard output
how it does; at the order `stop` it produces no more, and ends when all is on the statistician's disk.
"""

import asyncio
import json
import struct
import sys
import time
from collections import OrderedDict

from bench.publisher import length
from bench.traffic import TOPICS
from bus.about import About, encode
from bus.messages import Reading, Values, encode_reading

_TICK_S = 0.01
_RETRY_S = 0.1
_AGAIN_S = 2.0
# Longer than the statistician's commit interval.
_STALL_S = 8.0
_PUBLISH, _PUBLISH_QOS_1, _SUBACK, _PUBACK = 3, 0x32, 9, b"\x40\x02"
_PUBLISH_RETAINED = 0x31
_LARGEST_ID = 65_535


def stream_of(number: int) -> str:
    """Name the stream of a client."""
    return f"crowd_{number}-1"


def device_of(number: int) -> str:
    """Name the device that a client reports; its entity `v` counts as seq does."""
    return f"crowd_{number}"


def _field(data: str) -> bytes:
    return struct.pack("!H", len(data)) + data.encode()


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + length(len(body)) + body


class Member(asyncio.Protocol):
    """One client, over all its connections."""

    def __init__(self, number: int) -> None:
        self._topic = _field(TOPICS.state(device_of(number)))
        self._watermark = _field(TOPICS.watermark(stream_of(number)))
        self._connect = _packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c" + _field(device_of(number)))
        self._stream = stream_of(number)
        about = encode(About(name=device_of(number), service=device_of(number)))
        self._about = _packet(_PUBLISH_RETAINED, _field(TOPICS.about(device_of(number))) + about)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._kept: OrderedDict[int, int] = OrderedDict()
        self._seq = self._mark = 0
        self._asked_at = self._moved_at = 0.0
        self._listens = False
        self.gone = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Readings that no watermark has passed."""
        return len(self._kept)

    @property
    def listens(self) -> bool:
        """Whether it is connected and subscribed."""
        return self._listens

    @property
    def seq(self) -> int:
        """How many readings it has made."""
        return self._seq

    def produce(self) -> None:
        """One more reading."""
        self._seq += 1
        self._kept[self._seq] = time.time_ns() // 1_000_000
        if self._listens and self._transport is not None:
            self._transport.write(self._reading(self._seq, None))

    def look(self) -> None:
        """Send again when nobody has said for long that it is on disk."""
        if self._kept and time.monotonic() - max(self._moved_at, self._asked_at) > _STALL_S:
            self._send_again()

    def _reading(self, seq: int, after: int | None) -> bytes:
        values: Values = {"v": float(seq)}
        reading = Reading(ts=self._kept[seq], values=values, stream=self._stream, seq=seq, after=after)
        mid = struct.pack("!H", seq % _LARGEST_ID + 1)
        return _packet(_PUBLISH_QOS_1, self._topic + mid + encode_reading(reading))

    def _send_again(self) -> None:
        if self._transport is None:
            return
        self._asked_at = time.monotonic()
        first = next(iter(self._kept), 0)
        for seq in self._kept:
            self._transport.write(self._reading(seq, seq - 1 if seq == first else None))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce itself."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — a TCP connection's
        self._transport, self._buffer = transport, b""
        self.gone.clear()
        transport.write(self._connect + _packet(0x82, b"\x00\x01" + self._watermark + b"\x01"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio's own signature
        """End: the broker is gone."""
        self._transport, self._listens = None, False
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        """Take what the broker sends apart."""
        self._buffer += data
        while (size := self._whole()) is not None:
            packet, self._buffer = self._buffer[:size], self._buffer[size:]
            if packet[0] >> 4 == _SUBACK:
                self._listens = True
                if self._transport is not None:
                    self._transport.write(self._about)
                self._send_again()
            elif packet[0] >> 4 == _PUBLISH:
                self._heard(packet)

    def _whole(self) -> int | None:
        """Return the size of the packet in front if it is all there; ours have at most 127 bytes."""
        if len(self._buffer) < 2 or len(self._buffer) < 2 + self._buffer[1]:
            return None
        return 2 + self._buffer[1]

    def _heard(self, packet: bytes) -> None:
        start = 2 + len(self._watermark)
        if packet[0] & 0x06:
            if self._transport is not None:
                self._transport.write(_PUBACK + packet[start : start + 2])
            start += 2
        mark = int(packet[start:] or b"0")
        if mark == self._mark and time.monotonic() - self._asked_at > _AGAIN_S:
            self._send_again()
        if mark > self._mark:
            self._mark, self._moved_at = mark, time.monotonic()
        while self._kept and next(iter(self._kept)) <= mark:
            self._kept.popitem(last=False)


async def _keep_connected(member: Member, port: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.create_connection(lambda: member, "127.0.0.1", port)
        except OSError:
            await asyncio.sleep(_RETRY_S)
            continue
        await member.gone.wait()


async def _produce(members: list[Member], rate: float) -> None:
    began, made = time.monotonic(), 0
    while True:
        await asyncio.sleep(_TICK_S)
        while made < (time.monotonic() - began) * rate:
            members[made % len(members)].produce()
            made += 1


def _tell(members: list[Member]) -> None:
    for member in members:
        member.look()
    found = {
        "made": sum(m.seq for m in members),
        "waiting": sum(m.waiting for m in members),
        "connected": sum(m.listens for m in members),
    }
    print(json.dumps(found), flush=True)


async def main(port: int, first: int, clients: int, rate: int) -> None:
    """Produce until told to stop, then until all is on disk."""
    members = [Member(number) for number in range(first, first + clients)]
    connections = [asyncio.ensure_future(_keep_connected(member, port)) for member in members]
    while not all(member.listens for member in members):  # noqa: ASYNC110 — two hundred events in one
        await asyncio.sleep(_TICK_S)
    producer = asyncio.ensure_future(_produce(members, rate))
    order = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    while not order.done():
        _tell(members)
        await asyncio.wait([order, producer], timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
    producer.cancel()
    while any(member.waiting for member in members):
        _tell(members)
        await asyncio.sleep(0.2)
    _tell(members)
    print(json.dumps([member.seq for member in members]), flush=True)
    for connection in connections:
        connection.cancel()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
