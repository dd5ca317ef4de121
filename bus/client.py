"""paho's client, made quicker, the packets that it reads, and why the broker refused something, in words.

Only bus/connection.py uses it. Packets are those of OASIS MQTT 5.0, 2.1 and 3.3; only PUBLISH is read.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from bus.events import Link
from bus.reach import BROKER, Named, trust

log = logging.getLogger(__name__)

PUBLISH = 0x30
PUBACK = 0x40
# A remaining length has four bytes at most, each with 7 bits of it.
_LONGEST_LENGTH = 4
_RETAIN, _QOS = 0x01, 0x06
_MOST_QOS = 2
# Properties of a PUBLISH (2.2.2.2): how long each is, in bytes, and the kinds whose length is said.
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION, _SUBSCRIPTION, _USER = 0x03, 0x08, 0x09, 0x0B, 0x26


class MalformedError(ValueError):
    """What came is no MQTT 5: the connection is of no more use."""


@dataclass(slots=True)
class Properties:
    """Of a PUBLISH what a service asks for; `user` holds pairs of name and value."""

    response_topic: bytes | None = None
    correlation: bytes | None = None
    user: list[tuple[bytes, bytes]] = field(default_factory=list)


_NO_PROPERTIES = Properties()


class Cutter:
    """Cuts whole packets from what came; the rest waits for more."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the first byte and the body of each packet that is whole. Raises MalformedError."""
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        # For whoever ends before the last packet is cut.
        self._rest = b""
        while end - at > 1:
            length = data[at + 1]
            body = at + 2
            if length & 0x80:
                found = _length(data, at + 1)
                if found is None:
                    break
                length, body = found
            if body + length > end:
                break
            yield data[at], data[body : body + length]
            at = body + length
        self._rest = data[at:]


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """Read a variable byte integer (1.5.5): it and where it ends, None if it is not whole yet."""
    value = 0
    for number, byte in enumerate(data[at : at + _LONGEST_LENGTH]):
        value |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return value, at + number + 1
    if len(data) - at >= _LONGEST_LENGTH:
        raise MalformedError("a length has more than four bytes")
    return None


@dataclass(frozen=True, slots=True)
class Publication:
    """A PUBLISH; `mid` is 0 at QoS 0, `topic` as the broker wrote it."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    mid: int
    properties: Properties


def publication(first: int, body: bytes) -> Publication:
    """Read a PUBLISH. Raises MalformedError."""
    qos = (first & _QOS) >> 1
    if qos > _MOST_QOS:
        raise MalformedError("a publication has QoS 3")
    topic, at = _bytes(body, 0)
    mid = 0
    if qos:
        mid, at = int.from_bytes(body[at : at + 2]), at + 2
    # Most have none.
    if body[at : at + 1] == b"\0":
        properties, at = _NO_PROPERTIES, at + 1
    else:
        properties, at = _properties(body, at)
    return Publication(topic, body[at:], qos, bool(first & _RETAIN), mid, properties)


def _bytes(body: bytes, at: int) -> tuple[bytes, int]:
    """Read binary data (1.5.6): two bytes of length before it; and where it ends."""
    start = at + 2
    end = start + int.from_bytes(body[at:start])
    if end > len(body):
        raise MalformedError("a packet is shorter than it says")
    return body[start:end], end


def _properties(body: bytes, at: int) -> tuple[Properties, int]:
    found = _length(body, at)
    if found is None or sum(found) > len(body):
        raise MalformedError("the properties are longer than their packet")
    length, at = found
    end = at + length
    properties = Properties()
    while at < end:
        kind, at = body[at], at + 1
        if kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _SUBSCRIPTION:
            number = _length(body, at)
            at = end + 1 if number is None else number[1]
        elif kind == _CONTENT_TYPE:
            _, at = _bytes(body, at)
        elif kind == _USER:
            name, at = _bytes(body, at)
            value, at = _bytes(body, at)
            properties.user.append((name, value))
        elif kind == _RESPONSE_TOPIC:
            properties.response_topic, at = _bytes(body, at)
        elif kind == _CORRELATION:
            properties.correlation, at = _bytes(body, at)
        else:
            raise MalformedError(f"a publication has no property {kind}")
    if at != end:
        raise MalformedError("the properties do not end where they say")
    return properties, end


def acknowledgements(mids: list[int]) -> bytes:
    """Return a PUBACK for each packet id, one behind the other."""
    return b"".join(b"\x40\x02" + mid.to_bytes(2) for mid in mids)


_TAKEN = "another client has our client id: was this card, or the state folder, copied to another machine?"
# What ends sooner than that, in seconds, and so often in a row, is not the network's doing.
_PERHAPS = f"perhaps {_TAKEN} From now on ours is a new one"
_SOON_S = 20.0
_OFTEN = 3
# MQTT 5, 2.4, by code: what its name leaves open, and what to do.
_WORDS: Mapping[int, str] = {
    0x04: "that client asked for it",
    0x80: "the broker gives no reason; its log may",
    0x81: "the broker could not read what we sent; its log says more",
    0x82: "the broker could not accept what we sent; its log says more",
    0x83: "the broker's own limit; its log says more",
    0x84: "it must speak MQTT 5, as Mosquitto does from 1.6 on",
    0x85: "the broker does not accept our client id; its log says more",
    0x86: "{named.login}",
    0x87: "{named.login}, and the broker's ACL",
    0x88: "the broker is not ready yet",
    0x89: "it has too much to do, or too many clients",
    0x8A: "the broker's owner has banned this client",
    0x8B: "the broker is being stopped or restarted",
    0x8C: "the broker wants another way to log in than user name and password",
    0x8D: "nothing came from us in time: this machine, or the network, was too slow",
    0x8E: _TAKEN,
    0x93: "we sent more at once than the broker takes",
    0x95: "see max_packet_size of the broker",
    0x96: "the broker limits messages per time",
    0x97: "the broker's limit for this user or for its memory is reached",
    0x98: "the broker's owner has ended it, or the password was changed",
    0x9C: "set {named.host} to that one",
    0x9D: "set {named.host} to its new place",
    0x9A: "retained messages are needed: allow them in the broker",
    0x9B: "QoS 1 is needed: allow it in the broker",
    0x9F: "the broker limits connections per time",
    0xA0: "the broker limits how long a connection lasts",
    0xA2: "wildcards are needed: allow them in the broker",
}
# The same, where it is about one topic of a client that is in.
_TOPIC: Mapping[int, str] = {0x87: "the broker's ACL gives this user no right to it"}


def words(code: int, name: str, *, topic: bool = False, named: Named = BROKER) -> str:
    """Say a reason code by its name in the standard, what it means and what to do; `topic`: of one topic."""
    more = (_TOPIC.get(code) if topic else None) or _WORDS.get(code)
    return f"{name} ({more.format(named=named)})" if more else name


@dataclass(slots=True)
class Cuts:
    """Connections that were cut without a word soon after they began, one after the other."""

    often: bool = False
    _count: int = 0

    def words(self, lived_s: float) -> str:
        """Say that a connection was cut after so many seconds, and what it means if that goes on.

        Mosquitto 2.0 gives no reason to a client that another of the same id throws out.
        """
        self._count = self._count + 1 if lived_s < _SOON_S else 0
        self.often = self._count >= _OFTEN
        return f"was cut again and again: {_PERHAPS}" if self.often else "was cut"


# Bytes that are read at once, and the bits of a packet's first byte that say what it is.
_READ = 65536
_KIND = 0xF0


class Client(mqtt.Client):
    """paho's client, which reads all that has come at once, and hands publications on by itself.

    paho reads a packet byte by byte, with a system call each. All packets but PUBLISH are for its handlers.
    """

    def __init__(self, link: Link, take: Callable[[Publication], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=link.client_id, protocol=mqtt.MQTTv5, manual_ack=True
        )
        self._take = take
        self._cutter = Cutter()
        self._cut: object = None
        self._link = link
        self.failure: Exception = OSError("never tried")

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and remember in `failure` why it failed. Raises OSError, after which paho tries again."""
        try:
            if self._link.tls:
                # Each time: the file may have come late, or be renewed.
                self._ssl, self._ssl_context = True, trust(self._link.tls_ca)
            return super().reconnect()
        except (OSError, ValueError) as error:
            self.failure = error
            # Of another error paho's thread would die.
            raise OSError(str(error)) from error

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take what has come; of TLS one record, of which paho's loop asks for the next."""
        del max_packets
        if self._sock is not self._cut:
            self._cutter, self._cut = Cutter(), self._sock
        try:
            data = self._sock_recv(_READ)
        except BlockingIOError:
            return mqtt.MQTT_ERR_SUCCESS
        except OSError as error:
            log.debug("nothing can be read: %s", error)
            data = b""
        if not data:
            return self._loop_rc_handle(mqtt.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        try:
            for first, body in self._cutter.cut(data):
                reason = self._packet(first, body)
                if reason != mqtt.MQTT_ERR_SUCCESS:
                    return self._loop_rc_handle(reason)
        except (MalformedError, MalformedPacket) as error:
            log.warning("the broker sends what is no MQTT 5: %s", error)
            return self._loop_rc_handle(mqtt.MQTT_ERR_PROTOCOL)
        return mqtt.MQTT_ERR_SUCCESS

    def _packet(self, first: int, body: bytes) -> MQTTErrorCode:
        if first & _KIND == PUBLISH:
            self._take(publication(first, body))
            return mqtt.MQTT_ERR_SUCCESS
        self._in_packet |= {"command": first, "remaining_length": len(body), "packet": bytearray(body)}
        self._in_packet["pos"] = 0
        return self._packet_handle()

    def rename(self, client_id: str) -> None:
        """Be this client from the next connection on."""
        self._client_id = client_id.encode()

    def acknowledge(self, mids: list[int]) -> None:
        """Send a PUBACK for each packet id in one write; from any thread."""
        self._packet_queue(PUBACK, acknowledgements(mids), 0, 0)
