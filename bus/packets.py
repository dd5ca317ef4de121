"""MQTT 5 packets in a stream of bytes (OASIS MQTT 5.0, 2.1 and 3.3); only PUBLISH is read. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
