"""What a stream's numbers may be: at the limits, one below and one above."""

import pytest

from statistician.records import StreamRecord
from statistician.streams import FURTHEST, Spot, StreamPlace, Streams

A_DAY = 86_400_000


def known(seq: int, seen: int = 0) -> Streams:
    """A stream `s` that stands at seq, heard last at `seen`."""
    return Streams([StreamRecord(stream="s", seq=seq, seen=seen, first=None, newest=None)])


@pytest.mark.parametrize("seq", [0, 1])
def test_a_reading_without_a_place_is_stored_and_moves_no_mark(seq: int) -> None:
    streams = known(seq)
    assert streams.place(Spot("s", 0), now=1000) is StreamPlace.NEXT
    assert (streams.mark("s"), streams.jumps, streams.restarts) == (seq, 0, 0)


@pytest.mark.parametrize("seconds", [0, 1, 3600])
@pytest.mark.parametrize("back", [False, True])
def test_a_stream_may_leap_by_what_it_can_have_grown_meanwhile(seconds: int, *, back: bool) -> None:
    now = A_DAY
    heard = now + seconds * 1000 * (1 if back else -1)
    most = FURTHEST + 1000 * seconds
    streams = known(10, heard)
    assert streams.place(Spot("s", 12 + most, after=10 + most), now) is StreamPlace.GAP
    assert (streams.mark("s"), streams.lost, streams.jumps) == (10 + most, most, 0)
    streams = known(10, heard)
    assert streams.place(Spot("s", 12 + most, after=11 + most), now) is StreamPlace.GAP
    assert (streams.mark("s"), streams.lost, streams.jumps) == (10, 0, 1)


def test_what_it_may_leap_is_measured_from_the_last_reading() -> None:
    streams = known(10)
    assert streams.place(Spot("s", 11), now=A_DAY) is StreamPlace.NEXT
    assert streams.place(Spot("s", FURTHEST + 13, after=FURTHEST + 12), now=A_DAY) is StreamPlace.GAP
    assert (streams.mark("s"), streams.jumps) == (11, 1)


@pytest.mark.parametrize(("above", "jumps"), [(0, 0), (1, 1)])
def test_a_seq_that_is_too_far_ahead_is_counted_once_and_stored(above: int, jumps: int) -> None:
    streams = known(10)
    assert streams.place(Spot("s", 10 + FURTHEST + above, ts=5), now=0) is StreamPlace.GAP
    assert (streams.mark("s"), streams.jumps) == (10, jumps)


@pytest.mark.parametrize(
    ("below", "place"), [(FURTHEST, StreamPlace.DUPLICATE), (FURTHEST + 1, StreamPlace.NEXT)]
)
def test_a_seq_far_below_began_again(below: int, place: StreamPlace) -> None:
    seq = 2
    streams = known(seq + below)
    assert streams.place(Spot("s", seq, after=1), now=0) is place
    assert streams.restarts == (place is StreamPlace.NEXT)
