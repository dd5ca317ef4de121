"""A stream that the statistician refuses: all that is kept is sent in a new one."""

from pathlib import Path

from bus.outbox import NEW_STREAM_EVERY_S, REFUSED, SPILL_AFTER_S
from tests.bus.test_outbox import fill, make, send_all


def test_a_refused_stream_is_sent_again_in_a_new_one(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    outbox.settle(SPILL_AFTER_S)
    fill(outbox, 2, now=SPILL_AFTER_S)
    refused = outbox.stream
    send_all(outbox, SPILL_AFTER_S)
    assert outbox.hear(refused, REFUSED, SPILL_AFTER_S)
    assert outbox.stream != refused
    assert {refused, outbox.stream} <= outbox.streams
    sent = send_all(outbox, SPILL_AFTER_S)
    assert [(r["v"], r["stream"], r["seq"]) for r in sent] == [
        (value, outbox.stream, 6 + number) for number, value in enumerate([0, 1, 2, 0, 1])
    ]
    assert sent[0]["after"] == 5
    outbox.watermark(outbox.stream, 10, SPILL_AFTER_S)
    assert outbox.waiting == 0


def test_a_refusal_of_another_stream_or_soon_after_the_last_changes_nothing(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 1)
    stream = outbox.stream
    assert outbox.hear("collector_ble-000000", REFUSED, 0.0)
    assert not outbox.hear("controller-000000", REFUSED, 0.0)
    assert outbox.stream == stream
    outbox.hear(stream, REFUSED, 0.0)
    renewed = outbox.stream
    outbox.hear(renewed, REFUSED, NEW_STREAM_EVERY_S - 1)
    assert outbox.stream == renewed
    outbox.hear(renewed, REFUSED, NEW_STREAM_EVERY_S)
    assert outbox.stream != renewed


def test_a_kill_while_rows_move_to_a_new_stream_loses_none(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    outbox.settle(SPILL_AFTER_S)
    fill(outbox, 2, now=SPILL_AFTER_S)
    for file in (tmp_path / "disk").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    outbox.hear(outbox.stream, REFUSED, SPILL_AFTER_S)
    for file in (tmp_path / "disk").iterdir():
        file.write_bytes((tmp_path / file.name).read_bytes())  # the second half never happened
    sent = send_all(make(tmp_path))
    assert [r["v"] for r in sent] == [0, 1, 2, 0, 1]
    assert len({r["seq"] for r in sent}) == 5


def test_no_stream_ends_elsewhere_than_its_file_says(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 2)
    outbox.settle(SPILL_AFTER_S)
    first = outbox.stream
    outbox._memory._db.execute("PRAGMA query_only = 1")
    outbox.hear(first, REFUSED, SPILL_AFTER_S)
    # The statistician has the first of the two; the next process goes on at the third.
    assert [(r["stream"], r["seq"]) for r in send_all(outbox, SPILL_AFTER_S)] == [(first, 1), (first, 2)]
    outbox.watermark(first, 2, SPILL_AFTER_S)
    again = make(tmp_path)
    assert again.append("t", b"{}", 0.0).seq == 3
    assert again.stream == first
