"""The outbox keeps readings until the watermark passes them, whatever dies in between."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bus.outbox import (
    LONGEST_STALL_S,
    REWIND_EVERY_S,
    SPILL_AFTER_S,
    SPILL_EVERY_S,
    WINDOW,
    Limits,
    Outbox,
)
from bus.outbox.file import OutboxFile

TOPIC = "camper/state/mppt"


def make(
    folder: Path, *, limits: Limits | None = None, online: bool | None = True, commit_s: float = 5.0
) -> Outbox:
    """An outbox; the statistician is `online`, away, or nobody has said."""
    outbox = Outbox(folder / "run", folder / "disk", "collector_ble", limits=limits, commit_s=commit_s)
    if online is not None:
        outbox.statistician(online=online, kept=True, now=0.0)
    return outbox


def fill(outbox: Outbox, count: int, now: float = 0.0) -> None:
    for number in range(count):
        outbox.append(TOPIC, json.dumps({"v": number}).encode(), now)


def live(outbox: Outbox, count: int, now: float = 0.0) -> list[dict[str, object]]:
    """Readings that go out live; returns them as sent."""
    rows = [outbox.append(TOPIC, json.dumps({"v": number}).encode(), now) for number in range(count)]
    for row in rows:
        outbox.sent_live(row)
    return [json.loads(row.payload) for row in rows]


def send_all(outbox: Outbox, now: float = 0.0) -> list[dict[str, object]]:
    sent = []
    while rows := outbox.next(50, now):
        for row in rows:
            sent.append(json.loads(row.payload))
            outbox.sent(row)
    return sent


def seqs(sent: list[dict[str, object]]) -> list[object]:
    return [reading["seq"] for reading in sent]


def test_rows_go_out_in_order_with_stream_and_gap_free_seq(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    assert send_all(outbox) == [
        {"v": 0, "stream": outbox.stream, "seq": 1, "after": 0},
        {"v": 1, "stream": outbox.stream, "seq": 2},
        {"v": 2, "stream": outbox.stream, "seq": 3},
    ]


def test_an_empty_reading_is_valid_json(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    outbox.append(TOPIC, b"{}", 0.0)
    assert send_all(outbox) == [{"stream": outbox.stream, "seq": 1, "after": 0}]


def test_only_the_watermark_removes(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 5)
    send_all(outbox)
    assert outbox.waiting == 5
    outbox.watermark(outbox.stream, 3, 1.0)
    assert outbox.waiting == 2
    outbox.watermark("someone-else", 5, 1.0)
    assert outbox.waiting == 2


def test_a_new_process_goes_on_where_the_dead_one_was(tmp_path: Path) -> None:
    dead = make(tmp_path)
    fill(dead, 4)
    send_all(dead)
    dead.watermark(dead.stream, 2, 0.0)
    # No close: the process was killed.
    reborn = make(tmp_path)
    assert reborn.stream == dead.stream
    assert reborn.append(TOPIC, b"{}", 0.0).seq == 5
    sent = send_all(reborn)
    assert seqs(sent) == [3, 4, 5]
    assert sent[0]["after"] == 2


def test_a_connect_sends_everything_again_and_says_what_will_not_come(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    send_all(outbox)
    outbox.watermark(outbox.stream, 1, 0.0)
    outbox.rewind(1.0)
    again = send_all(outbox, 1.0)
    assert seqs(again) == [2, 3]
    assert again[0]["after"] == 1
    assert "after" not in again[1]


def test_the_window_bounds_what_is_in_flight(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, WINDOW + 100)
    assert len(send_all(outbox)) == WINDOW
    outbox.watermark(outbox.stream, 60, 0.0)
    assert len(send_all(outbox)) == 60


def test_a_stall_sends_again_and_each_time_later(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 2)
    send_all(outbox, 0.0)
    assert send_all(outbox, outbox.stall_s - 1) == []
    now, waits = 0.0, []
    for _ in range(6):
        before = now
        while not (again := send_all(outbox, now)):
            now += 1.0
        assert seqs(again) == [1, 2]
        waits.append(now - before)
    assert waits == [min(outbox.stall_s * 2**n, LONGEST_STALL_S) for n in range(6)]


def test_the_same_watermark_again_asks_for_what_follows(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 5)
    send_all(outbox)
    outbox.watermark(outbox.stream, 2, 1.0)
    assert send_all(outbox, 10.0) == []
    outbox.watermark(outbox.stream, 2, 10.0)
    assert seqs(send_all(outbox, 10.0)) == [3, 4, 5]
    outbox.watermark(outbox.stream, 2, 10.0 + REWIND_EVERY_S - 0.1)
    assert send_all(outbox, 10.0 + REWIND_EVERY_S - 0.1) == [], "not more often than every few seconds"
    outbox.watermark(outbox.stream, 2, 10.0 + REWIND_EVERY_S)
    assert seqs(send_all(outbox, 10.0 + REWIND_EVERY_S)) == [3, 4, 5]


@pytest.mark.parametrize("commit_s", [5, 30])
def test_the_healthy_path_never_touches_the_disk(tmp_path: Path, commit_s: int) -> None:
    outbox = make(tmp_path, commit_s=commit_s)
    for second in range(200):
        row = outbox.append(TOPIC, b"{}", float(second))
        outbox.sent_live(row)
        assert send_all(outbox, float(second)) == [], "nothing is sent twice"
        outbox.settle(float(second))
        if second % commit_s == commit_s - 1:
            outbox.watermark(outbox.stream, row.seq, float(second))
    assert not (tmp_path / "disk").exists()


def test_a_watermark_that_stands_still_moves_the_rows_to_disk(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 10, now=0.0)
    outbox.settle(SPILL_AFTER_S - 1)
    assert outbox.on_disk == 0
    outbox.settle(SPILL_AFTER_S)
    assert outbox.on_disk == outbox.waiting == 10


def test_a_reading_after_a_long_silence_has_its_time_like_any_other(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 1)
    outbox.watermark(outbox.stream, 1, 1.0)
    fill(outbox, 1, now=1000.0)
    outbox.settle(1001.0)
    assert (outbox.unconfirmed_s(1001.0), outbox.on_disk) == (1.0, 0)


def test_on_disk_a_reading_a_second_costs_one_commit_in_four(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 1, now=0.0)
    commits, before = 0, 0
    for second in range(30, 130):
        outbox.append(TOPIC, b"{}", float(second))
        outbox.settle(float(second))
        commits += outbox.on_disk != before
        before = outbox.on_disk
    assert commits == 25


def test_a_statistician_that_is_away_moves_the_rows_to_disk_at_once(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    live(outbox, 3, now=100.0)
    outbox.statistician(online=False, kept=False, now=100.5)
    assert outbox.on_disk == 3
    second = 101
    for second in range(101, 140):
        live(outbox, 1, now=float(second))
        outbox.settle(float(second) + 0.9)
        assert outbox.waiting - outbox.on_disk < 5, "later ones within five seconds"
    outbox.statistician(online=True, kept=False, now=140.0)
    outbox.watermark(outbox.stream, 42, 141.0)
    live(outbox, 1, now=142.0)
    outbox.settle(142.0 + SPILL_EVERY_S)
    assert outbox.on_disk == 0, "back in memory once all is confirmed"


def test_on_disk_a_commit_is_synchronous(tmp_path: Path) -> None:
    kept = OutboxFile(tmp_path / "disk" / "x", durable=True)
    assert kept._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert kept._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    kept.close()


def test_what_went_out_live_is_not_sent_again_until_the_statistician_comes(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    assert live(outbox, 2)[0] == {"v": 0, "stream": outbox.stream, "seq": 1, "after": 0}
    assert send_all(outbox) == []
    outbox.statistician(online=True, kept=True, now=1.0)
    assert send_all(outbox, 1.0) == [], "it has been there all the time"
    outbox.statistician(online=True, kept=False, now=2.0)
    assert seqs(send_all(outbox, 2.0)) == [1, 2]
    outbox.statistician(online=True, kept=False, now=2.1)
    assert send_all(outbox, 2.1) == [], "it comes once"
    outbox.statistician(online=False, kept=False, now=2.2)
    outbox.statistician(online=True, kept=False, now=2.3)
    assert seqs(send_all(outbox, 2.3)) == [1, 2], "it may come again at once"


@pytest.mark.parametrize("online", [None, False])
def test_no_backlog_is_sent_to_nobody(tmp_path: Path, *, online: bool | None) -> None:
    outbox = make(tmp_path, online=online)
    live(outbox, WINDOW + 50)
    fill(outbox, 3)
    assert send_all(outbox, 1000.0) == []
    outbox.statistician(online=True, kept=False, now=1001.0)
    assert seqs(send_all(outbox, 1001.0)) == list(range(1, WINDOW + 1)), "all of it, a window at a time"


def test_live_readings_ahead_of_the_backlog_come_again_in_their_order(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 2)
    assert "after" not in live(outbox, 1)[0]
    assert seqs(send_all(outbox)) == [1, 2, 3]
    live(outbox, 2)
    assert send_all(outbox) == [], "from here on nothing is twice"


def test_a_repeated_watermark_while_the_backlog_is_on_its_way_changes_nothing(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, WINDOW + 10)
    send_all(outbox)
    for now in (10.0, 20.0):
        outbox.watermark(outbox.stream, 0, now)
    assert send_all(outbox, 10.0) == []


def test_what_is_on_disk_survives_the_machine(tmp_path: Path) -> None:
    before = make(tmp_path)
    fill(before, 10, now=0.0)
    before.settle(SPILL_AFTER_S)
    fill(before, 2, now=SPILL_AFTER_S)
    for file in (tmp_path / "run").iterdir():
        file.unlink()  # a power cut empties /run: the last two are lost, the ten are not
    after = make(tmp_path)
    assert after.stream != before.stream
    after.append(TOPIC, b'{"v":"new"}', 0.0)
    sent = send_all(after)
    assert [(r["stream"], r["seq"]) for r in sent] == [
        *((before.stream, seq) for seq in range(1, 11)),
        (after.stream, 11),
    ]
    assert sent[-1]["after"] == 10, "a new stream says where it starts"


def test_when_all_have_arrived_the_file_on_disk_is_gone(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3, now=0.0)
    outbox.settle(SPILL_AFTER_S)
    send_all(outbox, SPILL_AFTER_S)
    outbox.watermark(outbox.stream, 3, SPILL_AFTER_S)
    assert outbox.waiting == 0
    assert list((tmp_path / "disk").iterdir()) == []
    outbox.append(TOPIC, b"{}", SPILL_AFTER_S + 1)
    assert seqs(send_all(outbox, SPILL_AFTER_S + 1)) == [4]


def test_a_stop_in_peace_takes_what_waits_to_disk(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    outbox.close()
    for file in (tmp_path / "run").iterdir():
        file.unlink()
    assert make(tmp_path).waiting == 3


def test_bounds_drop_the_oldest_and_count_them(tmp_path: Path) -> None:
    outbox = make(tmp_path, limits=Limits(rows=100))
    fill(outbox, 250)
    assert outbox.waiting == 100
    assert outbox.dropped == 150
    sent = send_all(outbox)
    assert seqs(sent)[0] == 151
    assert sent[0]["after"] == 150
    assert make(tmp_path).dropped == 150, "the count survives a restart"


def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    outbox = make(tmp_path, limits=Limits(bytes=10_000))
    for _ in range(50):
        outbox.append(TOPIC, b'{"v":"' + b"x" * 1000 + b'"}', 0.0)
    assert 0 < outbox.waiting < 10
    assert outbox.dropped == 50 - outbox.waiting


def test_dropping_reaches_the_disk_first(tmp_path: Path) -> None:
    outbox = make(tmp_path, limits=Limits(rows=100))
    fill(outbox, 80, now=0.0)
    outbox.settle(SPILL_AFTER_S)
    fill(outbox, 40, now=SPILL_AFTER_S)
    assert outbox.waiting == 100
    assert seqs(send_all(outbox, SPILL_AFTER_S))[0] == 21


def test_a_refused_row_keeps_its_place(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 2)
    first = outbox.next(1, 0.0)[0]
    outbox.refuse(first, "too large")
    assert send_all(outbox)[0] == {"stream": outbox.stream, "seq": 1, "after": 0}
    assert outbox.dead() == [(first.topic, first.payload, "too large")]


def test_dead_letters_are_bounded_and_outlive_the_process(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    for number in range(150):
        outbox.bury("camper/state/a", str(number).encode(), "too large")
    outbox.close()
    assert [payload for _, payload, _ in make(tmp_path).dead()] == [str(n).encode() for n in range(50, 150)]


def test_a_crash_between_the_two_files_sends_nothing_twice(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, 5, now=0.0)
    for file in (tmp_path / "run").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    outbox.settle(SPILL_AFTER_S)
    for file in (tmp_path / "run").iterdir():
        file.write_bytes((tmp_path / file.name).read_bytes())  # the move's second half never happened
    assert seqs(send_all(make(tmp_path))) == [1, 2, 3, 4, 5]


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "collector_ble.outbox").write_bytes(b"no database at all" * 100)
    outbox = make(tmp_path)
    fill(outbox, 1)
    assert outbox.waiting == 1
    assert (tmp_path / "disk" / "collector_ble.damaged").exists()
    assert "set aside as collector_ble.damaged" in caplog.text


def test_a_full_disk_keeps_the_rows_in_memory_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make(tmp_path)
    fill(outbox, 5, now=0.0)
    connect = sqlite3.connect

    def tiny(*arguments: object, **keywords: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **keywords)  # type: ignore[call-overload]  # passed on
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", tiny)
    outbox.settle(SPILL_AFTER_S)
    assert outbox.problem is not None
    assert outbox.waiting == 5
    monkeypatch.undo()
    outbox.settle(SPILL_AFTER_S + 10)
    assert outbox.problem is None
    assert outbox.on_disk == 5


@pytest.mark.parametrize("seq", [-1, 4, 2**53, 2**63, 10**400])
def test_a_watermark_of_what_was_never_sent_is_not_believed(tmp_path: Path, seq: int) -> None:
    outbox = make(tmp_path)
    fill(outbox, 3)
    with pytest.raises(ValueError, match="never had"):
        outbox.checked_seq(outbox.stream, seq)
    assert outbox.checked_seq(outbox.stream, 3) == 3


@pytest.mark.parametrize("seq", [-1, 2**53 + 1, 10**400])
def test_of_another_stream_only_what_no_seq_can_be_is_not_believed(tmp_path: Path, seq: int) -> None:
    outbox = make(tmp_path)
    with pytest.raises(ValueError, match="never had"):
        outbox.checked_seq("collector_ble-000000", seq)
    assert outbox.checked_seq("collector_ble-000000", 4711) == 4711


def test_a_file_that_cannot_be_opened_now_is_not_set_aside(tmp_path: Path) -> None:
    one = make(tmp_path)
    fill(one, 3)
    one.close()
    file = tmp_path / "disk" / "collector_ble.outbox"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO meta VALUES ('who', 'another program')")
    other.execute("COMMIT")
    with pytest.raises(sqlite3.OperationalError):
        OutboxFile(file, durable=True)
    other.close()
    assert OutboxFile(file, durable=True).count == 3


_FAILING_COMMIT = """
import resource, sqlite3, sys
from pathlib import Path
from bus.outbox.file import Row, OutboxFile

kept = OutboxFile(Path(sys.argv[1]), durable=True)
rows = [Row(seq, "s", "t", b"x" * 2000) for seq in range(1, 60)]
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        kept.add(rows)
    except sqlite3.OperationalError as error:
        print(error)
print(kept.count)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
kept.add(rows)
print(kept.count, len(kept.after(0, 100)))
"""


def test_what_the_disk_did_not_take_is_not_counted_as_there(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _FAILING_COMMIT, str(tmp_path / "disk" / "one.outbox")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == ["disk I/O error"] * 3 + ["0", "59 59"]
