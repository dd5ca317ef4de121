"""Blocks are found in any stream of bytes, and nothing else is taken for one."""

import random
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.transports.vedirect import Frames
from tests.emulators.vedirect import HEX_FRAMES, Mppt, Phoenix, SmartShunt, block, with_hex
from tests.rounds import rounds

# Ends a block whose beginning nobody saw: the stream is joined.
JOIN = b"\r\nChecksum\t\x55"
MPPT, PHOENIX = Mppt().main(), Phoenix().main()
MAIN, HISTORY = SmartShunt().main(), SmartShunt().history()
CLASHING = ("\r", "\n", "\t", ":", "\0", "\xff", "C")

_labels = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_#0123456789", min_size=1, max_size=9)
_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=":"), max_size=33)
_fields = st.dictionaries(_labels, _values, min_size=1, max_size=22)


def found(*pieces: bytes) -> list[Mapping[str, str]]:
    frames = Frames()
    return [block for piece in pieces for block in frames.feed(piece)]


def ending_in(byte: int) -> dict[str, str]:
    """Fields whose checksum is this byte."""
    bare = {"V": "12800", "FILL": "@@@@@"}
    # Raising five characters by 62 at most reaches every sum.
    rest = (block(bare)[-1] - byte) % 256
    raised = [min(62, max(0, rest - 62 * place)) for place in range(5)]
    fields = {**bare, "FILL": "".join(chr(ord("@") + part) for part in raised)}
    assert block(fields)[-1] == byte
    return fields


@given(st.lists(_fields, max_size=4), st.data())
def test_any_split_of_the_stream_gives_the_same_blocks(
    sent: list[dict[str, str]], data: st.DataObject
) -> None:
    stream = JOIN + b"".join(block(fields) for fields in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert found(*pieces) == sent


@pytest.mark.parametrize("byte", range(256))
def test_the_checksum_may_be_any_byte(byte: int) -> None:
    fields = ending_in(byte)
    assert found(JOIN + block(fields) + block(MPPT)) == [fields, MPPT]


@pytest.mark.parametrize("frame", HEX_FRAMES)
def test_a_hex_frame_may_stand_anywhere(frame: bytes) -> None:
    whole = block(MPPT)
    for at in range(len(whole) - 1):
        assert found(JOIN + with_hex(whole, frame, at) + frame + block(PHOENIX)) == [MPPT, PHOENIX], at


def test_two_hex_frames_may_follow_each_other_inside_a_field() -> None:
    whole = block(MPPT)
    assert found(JOIN + with_hex(with_hex(whole, HEX_FRAMES[0], 20), HEX_FRAMES[1], 20)) == [MPPT]


@pytest.mark.parametrize("frame", [b":XYZ\n", b":A0 02\n", b":\r\n", b":" + b"0" * 300 + b"\n"])
def test_what_only_begins_like_a_hex_frame_damages_the_block(frame: bytes) -> None:
    frames = Frames()
    assert frames.feed(JOIN + with_hex(block(MPPT), frame, 20) + block(PHOENIX)) == [PHOENIX]
    assert frames.bad == 1


def test_the_stream_may_be_joined_anywhere_and_no_half_block_is_taken() -> None:
    stream = block(MPPT) + block(PHOENIX)
    # Whoever misses the beginning of its last field does not see that the first block ends.
    last = len(block(MPPT)) - len(JOIN)
    for start in range(len(stream) - len(JOIN)):
        blocks = found(stream[start:] + block(MPPT))
        assert blocks == ([PHOENIX, MPPT] if start <= last else [MPPT]), start


@pytest.mark.parametrize("special", CLASHING)
def test_a_stream_joined_at_a_checksum_byte_loses_one_block_at_most(special: str) -> None:
    fields = ending_in(ord(special.encode("latin-1")))
    assert found(block(fields)[-1:] + block(MPPT) + block(PHOENIX))[-1] == PHOENIX


@pytest.mark.parametrize("lost", [1, 2, 3, 20])
def test_bytes_lost_anywhere_cost_two_blocks_at_most(lost: int) -> None:
    sent = block(MPPT) * 4
    for at in range(len(block(MPPT)), 2 * len(block(MPPT))):
        frames = Frames()
        blocks = frames.feed(JOIN + sent[:at] + sent[at + lost :])
        assert 2 <= len(blocks) <= 3
        assert all(fields == MPPT for fields in blocks), at
        assert frames.bad >= 1


def test_a_byte_replaced_by_any_other_is_noticed() -> None:
    whole = block(PHOENIX)
    for at in range(len(whole)):
        for byte in {*b"\0\t\n\r :0A~\x7f\xff", whole[at] ^ 1, whole[at] ^ 0x80}:
            damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
            blocks = found(JOIN + damaged + block(PHOENIX) * 2)
            assert all(fields == PHOENIX for fields in blocks), (at, byte)
            assert blocks[-1:] == [PHOENIX]


@pytest.mark.parametrize(
    "noise", [b"\0", b"\xff\xfe\x00", b":", b"::\n:\r", b"\r\n", b"\tChecksum\t", b"x" * 999]
)
def test_noise_between_blocks_costs_two_blocks_at_most(noise: bytes) -> None:
    assert found(JOIN + block(MPPT) + noise + block(PHOENIX) * 3)[-2:] == [PHOENIX] * 2


def _damaged(chance: random.Random) -> Iterator[tuple[bytes, list[Mapping[str, str]]]]:
    for _ in range(rounds(2000, 6000)):
        sent = [MAIN, HISTORY, MAIN]
        stream = bytearray(b"".join(block(fields) for fields in sent))
        for _ in range(chance.randrange(2, 6)):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        if chance.random() < 0.5:
            at = chance.randrange(len(stream))
            del stream[at : at + chance.randrange(1, 40)]
        yield bytes(stream), [*sent]


def test_wrong_blocks_pass_by_the_luck_of_eight_bits_only() -> None:
    wrong = damaged = 0
    for stream, sent in _damaged(random.Random(7)):  # noqa: S311 — a test that repeats
        frames = Frames()
        blocks = frames.feed(JOIN + stream)
        wrong += sum(fields not in sent for fields in blocks)
        damaged += frames.bad + sum(fields not in sent for fields in blocks)
    assert damaged > rounds(1600, 5000)
    assert wrong <= damaged / 256 * 1.2


@given(st.binary(max_size=2000))
def test_noise_is_no_block(noise: bytes) -> None:
    frames = Frames()
    assert frames.feed(noise) == [] or frames.bad == 0
    assert frames.feed(b"\r\n" + JOIN + block(MPPT))[-1:] == [MPPT]


@pytest.mark.parametrize(
    "endless", [b"A", b"\r\nV\t1", b":", b":0", b"\r\n", b"\r\nLABEL\t", b"\xff", b"0123456789\r"]
)
def test_memory_is_bounded_whatever_comes(endless: bytes) -> None:
    frames = Frames()
    frames.feed(JOIN)
    for _ in range(rounds(50, 200)):
        assert frames.feed(endless * 500) == []
    assert len(frames._text) <= 33
    assert len(frames._fields) <= 64
    frames.feed(b"\r\n" + JOIN)
    assert frames.feed(block(MPPT)) == [MPPT]


def test_a_block_of_distinct_fields_without_end_is_given_up() -> None:
    frames = Frames()
    frames.feed(JOIN)
    frames.feed(b"".join(b"\r\nL%d\t1" % number for number in range(10_000)))
    assert frames._fields == {}
    frames.feed(JOIN)
    assert frames.bad == 1
    assert frames.feed(block(MPPT)) == [MPPT]


@pytest.mark.parametrize(
    "fields",
    [{"TENLETTERS": "1"}, {"V": "1" * 34}, {"V": "\x7f"}, {"": "1"}, {"A B": "1"}],
    ids=["long label", "long value", "no text", "no label", "space in label"],
)
def test_what_no_device_says_is_a_damaged_block(fields: dict[str, str]) -> None:
    frames = Frames()
    assert frames.feed(JOIN + block(MPPT) + block(fields) + block(PHOENIX)) == [MPPT, PHOENIX]
    assert frames.bad == 1


def test_an_empty_block_and_a_repeated_label_are_damaged() -> None:
    twice = block({"V": "1", "W": "2"}).replace(b"W", b"V")
    twice = twice[:-1] + bytes([-sum(twice[:-1]) % 256])
    frames = Frames()
    assert frames.feed(JOIN + block({}) + twice + block(MPPT)) == [MPPT]
    assert frames.bad == 2


def test_after_a_reset_the_rest_of_a_block_is_no_block() -> None:
    frames = Frames()
    frames.feed(JOIN + block(MPPT)[:50])
    frames.reset()
    assert frames.feed(block(MPPT)[50:] + block(PHOENIX)) == [PHOENIX]
