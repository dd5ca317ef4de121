"""Packets cut from what came, wherever it was split; publications as the standard says, and nonsense."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.client import (
    PUBLISH,
    Cutter,
    MalformedError,
    Properties,
    Publication,
    acknowledgements,
    publication,
)
from tests.emulators.mqtt_wire import number, packet, publish, text

# 1.5.5: where a length takes one byte more.
SIZES = st.sampled_from([0, 1, 126, 127, 128, 129, 16_383, 16_384, 70_000])


@given(
    st.lists(st.tuples(st.integers(0, 255), SIZES), max_size=8),
    st.lists(st.integers(0, 200_000), max_size=20),
)
def test_packets_come_whole_wherever_they_were_split(heads: list[tuple[int, int]], splits: list[int]) -> None:
    wanted = [(head, bytes([at % 251]) * size) for at, (head, size) in enumerate(heads)]
    stream = b"".join(packet(head, body) for head, body in wanted)
    cuts = [0, *sorted(min(one, len(stream)) for one in splits), len(stream)]
    cutter = Cutter()
    found = [one for start, end in pairwise(cuts) for one in cutter.cut(stream[start:end])]
    assert found == wanted


def test_packets_come_whole_byte_by_byte() -> None:
    wanted = [(0x30, bytes(200)), (0xD0, b""), (0x40, b"\0\7")]
    cutter = Cutter()
    stream = b"".join(packet(*one) for one in wanted)
    assert [one for byte in stream for one in cutter.cut(bytes([byte]))] == wanted


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01"])
def test_a_length_that_cannot_be_ends_it(length: bytes) -> None:
    with pytest.raises(MalformedError, match="four bytes"):
        list(Cutter().cut(b"\x30" + length))


@pytest.mark.parametrize("length", [b"", b"\x80", b"\xff\xff", b"\xff\xff\xff"])
def test_a_length_that_is_not_whole_waits(length: bytes) -> None:
    assert list(Cutter().cut(b"\x30" + length)) == []


def read(wire: bytes) -> Publication:
    ((first, body),) = Cutter().cut(wire)
    assert first & 0xF0 == PUBLISH
    return publication(first, body)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("payload", [b"", b"x", b"\0" * 300, "ü".encode()])
def test_a_publication_is_read(qos: int, payload: bytes, *, retain: bool) -> None:
    found = read(publish("camper/state/ü", payload, qos=qos, retain=retain, mid=513))
    wanted = Publication("camper/state/ü".encode(), payload, qos, retain, 513 if qos else 0, Properties())
    assert found == wanted


# 3.3.2.3: all that a PUBLISH may carry, each with a value whose bytes could be another's.
PROPERTIES = {
    "payload format": b"\x01\x01",
    "expiry": b"\x02" + struct.pack("!I", 0x08000026),
    "alias": b"\x23\x08\x09",
    "response": b"\x08" + text("camper/response/me"),
    "correlation": b"\x09" + text(b"\0\x26\xff"),
    "user": b"\x26" + text("instance") + text("1-2"),
    "user again": b"\x26" + text("") + text(""),
    "subscription": b"\x0b" + number(268_435_455),
    "content type": b"\x03" + text("json"),
}


@given(st.permutations(list(PROPERTIES)), st.integers(0, len(PROPERTIES)), st.sampled_from([0, 1]))
def test_properties_are_read_in_any_order(names: list[str], count: int, qos: int) -> None:
    there = names[:count]
    raw = b"".join(PROPERTIES[name] for name in there)
    middle = b"\0\7" if qos else b""
    found = read(packet(0x30 | qos << 1, text("t") + middle + number(len(raw)) + raw + b"payload"))
    assert (found.topic, found.payload, found.mid) == (b"t", b"payload", 7 if qos else 0)
    user = {"user": (b"instance", b"1-2"), "user again": (b"", b"")}
    assert found.properties == Properties(
        response_topic=b"camper/response/me" if "response" in there else None,
        correlation=b"\0\x26\xff" if "correlation" in there else None,
        user=[user[name] for name in there if name in user],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\5abc",
        text("t"),
        text("t") + b"\x05",
        text("t") + b"\x80",
        text("t") + b"\x02\x08\x00\x00",
        text("t") + b"\x03\x08\x00\x05abc",
        text("t") + b"\x01\x0b\x01",
        text("t") + b"\x02\x0b\x80",
        text("t") + b"\x02\x7f\x00",
        text("t") + b"\xff\xff\xff\xff\x7f",
    ],
)
def test_what_is_no_publication_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        publication(0x30, body)


def test_no_publication_has_qos_3() -> None:
    with pytest.raises(MalformedError, match="QoS 3"):
        publication(0x36, text("t") + b"\0\1\0")


@given(st.integers(0x30, 0x3F), st.binary(max_size=60))
def test_nonsense_is_read_or_refused_and_nothing_else(first: int, body: bytes) -> None:
    try:
        found = publication(first, body)
    except MalformedError:
        return
    assert len(found.topic) + len(found.payload) < len(body)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_a_stream_of_nonsense_is_cut_or_refused(chunks: list[bytes]) -> None:
    cutter, size = Cutter(), 0
    try:
        size = sum(len(body) for chunk in chunks for _, body in cutter.cut(chunk))
    except MalformedError:
        return
    assert size <= sum(map(len, chunks))


def test_acknowledgements_are_one_packet_each() -> None:
    assert acknowledgements([1, 0xFFFF]) == packet(0x40, b"\0\1") + packet(0x40, b"\xff\xff")
