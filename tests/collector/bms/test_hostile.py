"""Bytes that no battery says: only the errors of the house come of them, and values that can be."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.devices import KINDS
from collector.devices.description import DecodeError, GattKind
from collector.devices.frames import crc16, framing, rtu_framing, sum8
from config.model import Device
from tests.collector.bms.lines import Answers, Spoken
from tests.emulators import bms
from tests.rounds import rounds

FAMILIES = [name for name, _ in bms.every()]
MOST = rounds(60, 2000)


def survives(kind: str, line: Answers | Spoken) -> None:
    """Poll; whatever comes of it is an error of ours, or values that can be."""
    found = KINDS[kind]
    assert isinstance(found, GattKind)
    try:
        decoded = found.make(Device(kind=kind, address="AA:BB:CC:DD:EE:01")).poll(line, 0.0)
    except DecodeError:
        return
    for entity, value in decoded.values.items():
        assert decoded.rows is not None
        assert entity in decoded.rows
        assert value is None or isinstance(value, str) or math.isfinite(value)
    assert len(decoded.values) < 100
    assert len(str(decoded.values["alarm_reason"])) < 250


@pytest.mark.parametrize("kind", FAMILIES)
@given(data=st.binary(max_size=700))
@settings(max_examples=MOST, deadline=None)
def test_noise_is_no_battery(kind: str, data: bytes) -> None:
    survives(kind, Answers([data]))


@pytest.mark.parametrize("kind", FAMILIES)
@given(draw=st.data())
@settings(max_examples=MOST, deadline=None)
def test_frames_that_are_cut_flipped_or_doubled(kind: str, draw: st.DataObject) -> None:
    def spoil(piece: bytes) -> bytes:
        how = draw.draw(st.sampled_from(("whole", "whole", "cut", "flip", "double", "noise")))
        at = draw.draw(st.integers(0, max(0, len(piece) - 1)))
        if how == "flip" and piece:
            return piece[:at] + bytes([piece[at] ^ 1 << draw.draw(st.integers(0, 7))]) + piece[at + 1 :]
        return {"cut": piece[:at], "double": piece + piece, "noise": piece[at:] + piece}.get(how, piece)

    survives(kind, Spoken(dict(bms.every())[kind], spoil))


@pytest.mark.parametrize("kind", FAMILIES)
def test_one_bit_that_flips_is_never_a_value(kind: str) -> None:
    """The checks find it, or the question is asked again."""
    found = KINDS[kind]
    assert isinstance(found, GattKind)
    settings = Device(kind=kind, address="AA:BB:CC:DD:EE:01")
    place, seen = -1, 0

    def spoil(piece: bytes) -> bytes:
        nonlocal seen
        at, seen = place - seen, seen + len(piece)
        if not 0 <= at < len(piece):
            return piece
        return piece[:at] + bytes([piece[at] ^ 1 << place % 8]) + piece[at + 1 :]

    right = found.make(settings).poll(Spoken(dict(bms.every())[kind], spoil), 0.0)
    length, refused = seen, 0
    for place in range(length):
        seen = 0
        try:
            said = found.make(settings).poll(Spoken(dict(bms.every())[kind], spoil), 0.0)
        except DecodeError:
            refused += 1
        else:
            assert said.values == right.values, place
    assert refused or kind == "bms_jbd", "which asks again"


def sealed(kind: str, body: bytes) -> list[bytes]:
    """Frames of a family whose heads and checks are right and whose content is anything."""
    match kind:
        case "bms_jbd":
            payload = b"\0" + bytes([min(255, len(body))]) + body[:255]
            check = (-sum(payload) & 0xFFFF).to_bytes(2, "big")
            return [b"\xdd" + bytes([register]) + payload + check + b"\x77" for register in (3, 4, 5)]
        case "bms_daly" | "bms_renogy":
            unit = 0xD2 if kind == "bms_daly" else 48
            frames = []
            for size in (124, 64, 14, 68, 16, 44):
                frame = bytes((unit, 3, size)) + body[:size].ljust(size, b"\xff")
                frames.append(frame + crc16(frame))
            return frames
        case "bms_jk":
            heads = (b"\x55\xaa\xeb\x90\x03\0", b"\x55\xaa\xeb\x90\x02\0")
            info, cells = ((head + body).ljust(299, b"\x31")[:299] for head in heads)
            return [frame + bytes([sum8(frame)]) for frame in (info, cells)]
        case "bms_litime":
            frame = b"\0\0" + bytes([min(255, len(body) + 4)]) + b"\x01\x93\x55\xaa" + body[:251]
            return [frame + bytes([sum8(frame)])]
    data = body[:54].ljust(54, b"\xff")
    return [b"\x5e" + (data + (sum(data) & 0xFFFF).to_bytes(2, "big")).hex().encode()]


@pytest.mark.parametrize("kind", FAMILIES)
@given(body=st.binary(max_size=300))
@settings(max_examples=MOST, deadline=None)
def test_anything_in_a_sound_frame(kind: str, body: bytes) -> None:
    survives(kind, Answers(sealed(kind, body)))


@given(before=st.binary(max_size=30), behind=st.binary(max_size=30), sizes=st.lists(st.integers(1, 40)))
@settings(max_examples=MOST, deadline=None)
def test_a_frame_is_found_between_rubbish_however_it_comes(
    before: bytes, behind: bytes, sizes: list[int]
) -> None:
    # The head of a long frame that never comes.
    before += b"\xdd\x03\x00\xff"
    twin = dict(bms.every())["bms_jbd"]
    frame = b"".join(piece for _, piece in twin.written(0xFF02, bytes.fromhex("dda50300fffd77")))
    whole = before + frame + behind
    cut = framing(
        b"\xdd",
        lambda rest: None if len(rest) < 4 else rest[3] + 7,
        lambda one: (
            one[1] == 3 and one[-1] == 0x77 and (sum(one[2:-3]) + int.from_bytes(one[-3:-1])) % 65536 == 0
        ),
    )
    stream, found = bytearray(), None
    for size in [*sizes, len(whole)]:
        stream += whole[:size]
        whole = whole[size:]
        found = found or cut(stream)
    assert found == frame
    assert len(stream) <= len(before) + len(frame) + len(behind)


def test_an_answer_to_another_question_is_passed_over() -> None:
    late = bytes((48, 3, 2, 0, 1))
    right = bytes((48, 3, 4, 0, 1, 0, 2))
    stream = bytearray(late + crc16(late) + right + crc16(right))
    assert rtu_framing(48, 3, 7)(stream) == right + crc16(right)
