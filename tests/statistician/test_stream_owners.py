"""A stream is its owner's: what others say in it is stored, told, and moves nothing; so is what cannot be."""

import json
from pathlib import Path

import pytest

from bus import about as about_message
from bus.about import About
from bus.health import Journal
from bus.messages import Reading, encode_reading
from bus.outbox import REFUSED
from statistician import streams
from statistician.arithmetic import HOUR
from statistician.streams import FURTHEST, Spot, envelope
from tests.statistician.rig import SECOND, START, TOPICS, Rig

STREAM = "ble-7f3a"
DAY_S = 86_400


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.own("van", "ble")
    return rig


def say(
    rig: Rig,
    seq: int,
    *,
    device: str = "van",
    stream: str = STREAM,
    after: int | None = None,
    ts: int | None = None,
) -> None:
    """A reading a second later, whose value no other has."""
    rig.now += SECOND
    rig.reading(device, {"v": float(rig.now)}, ts=ts, stream=stream, seq=seq, after=after)


def stored(rig: Rig, device: str = "van") -> int:
    """How many states there are of a device."""
    found = [e.id for e in rig.store.entities() if e.device == device]
    return sum(state.entity in found for state in rig.store.states.between(0, None))


def problem(rig: Rig, device: str) -> str:
    return rig.journal.problems.get(f"stream.{device}", "")


@pytest.mark.parametrize(
    "about",
    [None, About(name="x"), About(name="x", service="box")],
    ids=["no about", "no service", "another service"],
)
def test_a_strangers_number_moves_nothing_of_the_owner(rig: Rig, about: About | None) -> None:
    if about is not None:
        rig.message(TOPICS.about("copy"), about_message.encode(about))
    say(rig, 1)
    for seq, after in [(2, None), (2, None), (900, 899), (1, None)]:
        say(rig, seq, after=after, device="copy")
    say(rig, 2)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [2]
    assert (stored(rig), stored(rig, "copy")) == (2, 4)
    assert rig.journal.counters["repeated_readings"] == rig.journal.counters["stream_gaps"] == 0
    assert rig.journal.counters["refused_streams"] == 4
    assert all(word in problem(rig, "copy") for word in ("copy", STREAM, '"service": "ble"', "Leave out"))
    assert problem(rig, "van") == ""


def test_two_strangers_with_one_stream_name_lose_nothing(rig: Rig) -> None:
    for seq in range(1, 6):
        say(rig, seq, device="fridge", stream="node-1")
        say(rig, seq, device="heater", stream="node-1")
    rig.commit()
    assert (stored(rig, "fridge"), stored(rig, "heater")) == (5, 5)
    assert rig.notes.watermarks("node-1") == []
    assert rig.store.streams() == []


def test_a_reading_before_its_about_is_stored_and_counts_when_it_is_sent_again(rig: Rig) -> None:
    say(rig, 1, device="late")
    rig.commit()
    assert rig.notes.watermarks(STREAM) == []
    assert "late" in problem(rig, "late")
    rig.own("late", "ble")
    assert problem(rig, "late") == ""
    say(rig, 2, device="late")
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [0, 0], "the second asks for what is missing"
    rig.reading("late", {"v": float(START + SECOND)}, ts=START + SECOND, stream=STREAM, seq=1, after=0)
    say(rig, 2, device="late")
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 2


@pytest.mark.parametrize("restart", [False, True])
def test_a_device_that_was_removed_or_moved_still_ends_its_stream(rig: Rig, *, restart: bool) -> None:
    rig.own("moved", "ble")
    say(rig, 1, device="moved")
    rig.own("moved", "serial")
    rig.message(TOPICS.about("van"), b"")
    rig.commit()
    if restart:
        rig.restart()
    say(rig, 2, device="moved")
    say(rig, 3)
    say(rig, 1, device="moved", stream="serial-1")
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 3
    assert rig.notes.watermarks("serial-1") == [1]
    assert rig.journal.counters["refused_streams"] == 0


def test_an_import_speaks_for_any_device(rig: Rig) -> None:
    say(rig, 1, device="somebody", stream="import-0a1b2c3d")
    rig.commit()
    assert rig.notes.watermarks("import-0a1b2c3d") == [1]


WILD = ["1e308", "99999999999999999999", "9" * 400, "-1", "1.5", '"7"', "true", "[1]", "9007199254740992"]


@pytest.mark.parametrize("wild", WILD)
@pytest.mark.parametrize("key", ["seq", "after"])
def test_a_number_that_is_none_is_named_and_moves_nothing(rig: Rig, key: str, wild: str) -> None:
    say(rig, 1)
    other = {"seq": '"seq": 2, ', "after": ""}["seq" if key == "after" else "after"]
    rig.message(TOPICS.state("van"), f'{{"v": 1, "stream": "{STREAM}", {other}"{key}": {wild}}}'.encode())
    rig.commit()
    (letter,) = rig.dead_letters()
    assert key in letter.error
    assert "messages" in rig.journal.problems
    place = 2 if key == "after" else 1
    assert rig.notes.watermarks(STREAM) == [place], "with a seq that can be read its place is filled"
    say(rig, place + 1)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == place + 1


def test_what_cannot_be_read_moves_no_stream_of_another(rig: Rig) -> None:
    say(rig, 1)
    letter = json.dumps({"stream": STREAM, "seq": 2, "after": 1, "v": [1]}).encode()
    for topic in (TOPICS.state("copy"), TOPICS.about("van"), "camper/nonsense/van"):
        rig.message(topic, letter)
    rig.commit()
    assert len(rig.dead_letters()) == 3
    assert rig.notes.watermarks(STREAM) == [1]


@pytest.mark.parametrize(("seq", "after"), [(2**53 - 1, None), (FURTHEST + 1100, 3), (4, 4), (3, 2**53 - 1)])
def test_a_jump_that_cannot_be_is_stored_and_told_but_moves_nothing(
    rig: Rig, seq: int, after: int | None
) -> None:
    for one in (1, 2):
        say(rig, one)
    say(rig, seq, after=after)
    rig.commit()
    moved = {3: 3}.get(seq, 3 if after == 3 else 2)
    assert rig.notes.watermarks(STREAM)[-1] == moved
    assert stored(rig) == 3
    assert rig.journal.counters["refused_jumps"] == 1
    assert all(word in problem(rig, "van") for word in ("van", str(seq), STREAM, "new stream"))
    rig.commit()
    say(rig, moved + 1)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == moved + 1
    rig.now += HOUR
    say(rig, moved + 2)
    rig.commit()
    assert problem(rig, "van") == ""


def test_an_after_that_cannot_be_refuses_the_stream(rig: Rig) -> None:
    say(rig, 1)
    say(rig, 2**53 - 1, after=2**53 - 2)
    rig.commit()
    said = [payload for kind, topic, payload in rig.notes.log if topic == TOPICS.watermark(STREAM)]
    assert said == [REFUSED]
    assert [record.seq for record in rig.store.streams()] == [1]
    say(rig, 2)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 2


@pytest.mark.parametrize(("silence_s", "after"), [(1, 500_000), (90 * DAY_S, 90 * DAY_S * 10)])
def test_an_outbox_that_dropped_its_oldest_rows_goes_on(rig: Rig, silence_s: int, after: int) -> None:
    say(rig, 1)
    rig.commit()
    rig.now += silence_s * SECOND
    say(rig, after + 1, after=after)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == after + 1
    assert rig.journal.counters["lost_readings"] == after - 1
    assert rig.journal.counters["refused_jumps"] == 0


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("clock_back", [0, 2 * HOUR])
@pytest.mark.parametrize("after", [None, 0])
def test_a_counter_that_begins_again_is_taken(
    rig: Rig, clock_back: int, after: int | None, *, restart: bool
) -> None:
    for seq in range(1, 6):
        say(rig, seq)
    rig.commit()
    if restart:
        rig.restart()
    for seq in (1, 2, 3):
        say(rig, seq, after=after if seq == 1 else None, ts=rig.now - clock_back)
    rig.commit()
    assert stored(rig) == 8
    assert rig.notes.watermarks(STREAM)[-1] == 3
    assert rig.journal.counters["restarted_streams"] == 1
    assert rig.journal.counters["repeated_readings"] == 0


def test_a_counter_that_begins_again_asks_for_its_first_reading(rig: Rig) -> None:
    for seq in range(1, 6):
        say(rig, seq)
    rig.commit()
    say(rig, 2)
    first = rig.now - 500
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 0
    say(rig, 1, after=0, ts=first)
    say(rig, 2, ts=first + 500)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 2
    assert stored(rig) == 7


def test_without_a_time_a_one_that_is_not_sent_again_begins_anew(rig: Rig) -> None:
    def arrive(seq: int, **after: int) -> None:
        rig.now += SECOND
        body = {"v": rig.now, "stream": STREAM, "seq": seq} | after
        rig.message(TOPICS.state("van"), json.dumps(body).encode())

    for seq in (1, 2, 3):
        arrive(seq)
    arrive(1, after=0)
    arrive(2)
    rig.commit()
    assert rig.journal.counters["repeated_readings"] == 2
    assert rig.notes.watermarks(STREAM) == [3]
    arrive(1)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [3, 1]
    assert stored(rig) == 4


@pytest.mark.parametrize("restart", [False, True])
def test_old_rows_that_are_sent_again_stay_duplicates(rig: Rig, *, restart: bool) -> None:
    began = rig.now
    for seq in range(1, 40):
        say(rig, seq)
    rig.commit()
    if restart:
        rig.restart()
    for seq in range(1, 40):
        say(rig, seq, after=0 if seq == 1 else None, ts=began + seq * SECOND)
    rig.commit()
    assert rig.journal.counters["repeated_readings"] == 39
    assert stored(rig) == 39
    assert [record.seq for record in rig.store.streams()] == [39]


def test_a_mark_far_above_all_that_comes_holds_nothing_up(rig: Rig) -> None:
    say(rig, 2**52, after=2**52 - 1)
    rig.commit()
    rig.now -= HOUR
    for seq in (5, 6):
        say(rig, seq, after=4 if seq == 5 else None)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [2**52, 6]
    assert stored(rig) == 3


def test_a_seq_of_zero_is_stored_and_moves_nothing(rig: Rig) -> None:
    for seq in (0, 1, 2):
        say(rig, seq)
    rig.commit()
    assert stored(rig) == 3
    assert rig.notes.watermarks(STREAM) == [2]


def test_a_crowd_of_strangers_fills_neither_health_nor_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_OWNERS", 20)
    for number in range(60):
        say(rig, 1, device=f"d{number}", stream="ble-1")
        rig.message(TOPICS.about(f"d{number}"), about_message.encode(About(name="x", service=f"s{number}")))
    for number in range(60):
        say(rig, 2, device=f"d{number}", stream="ble-1")
    rig.commit()
    assert len([one for one in rig.journal.problems if one.startswith("stream.")]) == 50
    assert len(rig.store.owners()) == 20
    assert "more than 20" in rig.dead_letters()[-1].error
    assert rig.journal.counters["refused_streams"] == 120


def test_a_crowd_of_strangers_takes_no_stream_from_a_device_of_the_house(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_OWNERS", 20)
    for number in range(60):
        rig.message(TOPICS.about(f"d{number}"), about_message.encode(About(name="x", service=f"s{number}")))
    rig.own("late", "collector_ble")
    say(rig, 1, device="late", stream="collector_ble-1")
    rig.commit()
    assert rig.notes.watermarks("collector_ble-1") == [1]


def test_a_service_that_is_no_id_is_named(rig: Rig) -> None:
    rig.message(TOPICS.about("x"), b'{"name": "x", "service": "My Box"}')
    rig.commit()
    (letter,) = rig.dead_letters()
    assert "service 'My Box'" in letter.error


def test_health_says_it_once_and_not_with_each_reading(rig: Rig) -> None:
    say(rig, 1)
    for seq in range(10**9, 10**9 + 5):
        say(rig, seq)
        rig.commit()
        journal: Journal = rig.journal
        assert journal.changed is (seq == 10**9)
        journal.changed = False


def test_what_was_dated_anew_before_it_is_sent_again_stays_a_duplicate(rig: Rig) -> None:
    for shift in (0, HOUR):
        for seq in (1, 2):
            ts = START + seq * SECOND + shift
            reading = Reading(
                ts=ts, values={"v": float(seq)}, clock="estimated", stream=STREAM, seq=seq, after=seq - 1
            )
            rig.message(TOPICS.state("van"), encode_reading(reading))
    rig.commit()
    assert rig.journal.counters["repeated_readings"] == 2
    assert stored(rig) == 2


@pytest.mark.parametrize("wild", WILD)
def test_a_place_that_cannot_be_read_is_none(wild: str) -> None:
    assert envelope(f'{{"stream": "ble-1", "seq": {wild}}}'.encode()) is None
    assert envelope(f'{{"stream": "ble-1", "seq": 7, "after": {wild}}}'.encode()) in (None, Spot("ble-1", 7))
