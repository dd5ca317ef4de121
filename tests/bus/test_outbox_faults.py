"""Files that are full, locked or not there: the process goes on with what it can, and says so."""

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.clock import Clock, Now
from bus.health import Journal
from bus.messages import Reading, decode_reading, encode_reading
from bus.outbox import REOPEN_EVERY_S, SPILL_AFTER_S, WINDOW, Outbox
from bus.outbox.file import OutboxFile, Row
from bus.publisher import Publisher
from bus.topics import Topics
from tests.clock import NOON_MS, FakeTime
from tests.fake_bus import FakeBus

NAME = "collector_ble"
TOPIC = "camper/state/mppt"


def make(folder: Path) -> Outbox:
    outbox = Outbox(folder / "run", folder / "state", NAME)
    outbox.statistician(online=True, kept=True, now=0.0)
    return outbox


def fill(outbox: Outbox, values: range, now: float = 0.0) -> None:
    for value in values:
        outbox.append(TOPIC, json.dumps({"v": value}).encode(), now)


def send_all(outbox: Outbox, now: float = 0.0) -> list[tuple[str, int, int]]:
    """Stream, seq and value of all that can be sent."""
    sent = []
    while rows := outbox.next(50, now):
        for row in rows:
            reading = json.loads(row.payload)
            sent.append((reading["stream"], reading["seq"], reading["v"]))
            outbox.sent(row)
    return sent


def values(sent: list[tuple[str, int, int]]) -> list[int]:
    return [value for *_, value in sent]


def lock(path: Path) -> sqlite3.Connection:
    """Hold a file as another program would."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT OR REPLACE INTO meta VALUES ('who', 'another program')")
    other.execute("COMMIT")
    return other


def no_folder(folder: Path) -> None:
    folder.write_text("a file where the folder should be")


def no_file(folder: Path) -> None:
    (folder / f"{NAME}.outbox").mkdir(parents=True)


@pytest.mark.parametrize("broken", [no_folder, no_file])
@pytest.mark.parametrize("which", ["run", "state"])
def test_a_start_without_one_of_the_files(tmp_path: Path, broken: Callable[[Path], None], which: str) -> None:
    broken(tmp_path / which)
    outbox = make(tmp_path)
    fill(outbox, range(3))
    assert values(send_all(outbox)) == [0, 1, 2]
    outbox.settle(SPILL_AFTER_S)
    assert outbox.problem is not None
    assert str(tmp_path / which) in outbox.problem
    outbox.watermark(outbox.stream, 3, SPILL_AFTER_S)
    assert outbox.waiting == 0


def test_what_is_on_a_locked_disk_is_sent_as_it_was_once_it_is_free(tmp_path: Path) -> None:
    before = make(tmp_path)
    fill(before, range(5))
    before.close()
    other = lock(tmp_path / "state" / f"{NAME}.outbox")
    outbox = make(tmp_path)
    assert outbox.problem is not None
    assert f"{NAME}.outbox: database is locked" in outbox.problem
    assert outbox.stream != before.stream, "its stream may not go on while rows of it are out of reach"
    fill(outbox, range(5, 8))
    assert values(send_all(outbox)) == [5, 6, 7]
    other.close()
    outbox.settle(REOPEN_EVERY_S)
    assert outbox.problem is None
    sent = send_all(outbox, REOPEN_EVERY_S)
    assert sent[:5] == [(before.stream, value + 1, value) for value in range(5)]
    assert values(sent[5:]) == [5, 6, 7]
    assert len({seq for _, seq, _ in sent}) == 8


def test_a_watermark_that_came_while_the_disk_was_locked_is_not_forgotten(tmp_path: Path) -> None:
    before = make(tmp_path)
    fill(before, range(5))
    before.close()
    other = lock(tmp_path / "state" / f"{NAME}.outbox")
    outbox = make(tmp_path)
    assert outbox.hear(before.stream, b"3", 0.0)
    assert not outbox.hear("controller-012345", b"3", 0.0)
    other.close()
    outbox.settle(REOPEN_EVERY_S)
    assert values(send_all(outbox, REOPEN_EVERY_S)) == [3, 4]


def test_a_locked_file_in_run_waits_for_the_next_process(tmp_path: Path) -> None:
    before = make(tmp_path)
    fill(before, range(3))
    before._memory.close()
    other = lock(tmp_path / "run" / f"{NAME}.outbox")
    outbox = make(tmp_path)
    fill(outbox, range(3, 5))
    assert outbox.problem is not None
    assert "do not survive" in outbox.problem
    assert values(send_all(outbox)) == [3, 4]
    other.close()
    outbox.close()
    assert sorted(values(send_all(make(tmp_path)))) == [0, 1, 2, 3, 4]


@pytest.fixture
def small_run(tmp_path: Path) -> Iterator[Path]:
    """A /run of 1 MB; only root may have one."""
    folder = tmp_path / "run"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def take_all_room(folder: Path) -> None:
    with (folder / "log").open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                # Full, to the last byte with the second size.
                continue


def test_run_gets_full_at_work_and_nothing_is_lost(tmp_path: Path, small_run: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, range(50))
    stream = outbox.stream
    take_all_room(small_run)
    count = 3 * WINDOW
    fill(outbox, range(50, count))
    assert outbox.problem is not None
    assert str(small_run) in outbox.problem
    assert outbox.stream != stream
    got = []
    while sent := send_all(outbox):
        got += sent
        for name in {name for name, *_ in sent}:
            outbox.watermark(name, max(seq for s, seq, _ in sent if s == name), 0.0)
    assert values(got) == list(range(count))
    assert len({seq for _, seq, _ in got}) == count
    fill(outbox, range(count, count + 3))
    outbox.close()
    (small_run / "log").unlink()
    assert set(values(send_all(make(tmp_path)))) >= {count, count + 1, count + 2}


def test_a_start_with_run_full(tmp_path: Path, small_run: Path) -> None:
    take_all_room(small_run)
    outbox = make(tmp_path)
    fill(outbox, range(3))
    assert values(send_all(outbox)) == [0, 1, 2]


def test_run_gets_full_while_readings_wait_for_the_clock(tmp_path: Path, small_run: Path) -> None:
    outbox = make(tmp_path)
    wrong = Now(offset=NOON_MS, wall=NOON_MS + 1000, quality="estimated")
    for number in range(200):
        if number == 50:
            take_all_room(small_run)
        reading = Reading(ts=NOON_MS + number, values={"v": number}, clock="estimated")
        outbox.append(TOPIC, encode_reading(reading), 0.0, wrong.stamp)
    assert outbox.put_right(Now(offset=NOON_MS + 5000, wall=NOON_MS + 6000, quality="ok"))
    rows = [decode_reading(row.payload) for row in outbox.next(WINDOW, 0.0)]
    assert [row.ts for row in rows] == [NOON_MS + 5000 + number for number in range(200)]
    assert {row.clock for row in rows} == {"estimated"}


def test_a_disk_that_turns_read_only_comes_back(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, range(5))
    outbox.settle(SPILL_AFTER_S)
    first, disk = outbox.stream, outbox._disk
    assert disk is not None
    disk._db.execute("PRAGMA query_only = 1")
    outbox.watermark(first, 2, SPILL_AFTER_S)
    assert outbox.problem is not None
    fill(outbox, range(5, 7), SPILL_AFTER_S)
    sent = send_all(outbox, SPILL_AFTER_S)
    assert values(sent) == [5, 6]
    assert first not in {name for name, *_ in sent}, "or 3 to 5 would be taken for lost"
    outbox.settle(SPILL_AFTER_S + REOPEN_EVERY_S)
    assert values(send_all(outbox, SPILL_AFTER_S + REOPEN_EVERY_S)) == [2, 3, 4, 5, 6]
    assert outbox.problem is None


def test_run_fails_when_all_has_arrived_and_the_next_reading_goes_out(tmp_path: Path) -> None:
    outbox = make(tmp_path)
    fill(outbox, range(5))
    send_all(outbox)
    outbox.watermark(outbox.stream, 5, 0.0)
    outbox._memory._db.execute("PRAGMA query_only = 1")
    fill(outbox, range(5, 6))
    assert send_all(outbox) == [(outbox.stream, 6, 5)]


def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    one, two = make(tmp_path), make(tmp_path)
    fill(one, range(3))
    fill(two, range(3, 6))
    assert {*values(send_all(one)), *values(send_all(two))} == set(range(6))


def test_health_says_what_is_wrong_and_when_it_is_over(tmp_path: Path, time: FakeTime) -> None:
    before = make(tmp_path)
    fill(before, range(1))
    before.close()
    other = lock(tmp_path / "state" / f"{NAME}.outbox")
    journal = Journal()
    clock: Clock = time.clock
    outbox, bus = make(tmp_path), FakeBus()
    publisher = Publisher(bus, Topics(), outbox, clock, journal)
    publisher.reading("mppt", {"v": 1}, ts=NOON_MS)
    publisher.settle(time.monotonic_s)
    assert "database is locked" in journal.problems["outbox"]
    assert Topics().watermark(outbox.stream) in bus.listened
    other.close()
    publisher.settle(time.pass_(REOPEN_EVERY_S))
    assert "outbox" not in journal.problems
    assert Topics().watermark(before.stream) in bus.listened


@pytest.mark.parametrize(("kept", "left"), [(1, []), (99, [2, 99]), (100, [2, 100]), (350, [4, 350])])
def test_what_is_dropped_is_the_oldest_hundredth(kept: int, left: list[int]) -> None:
    file = OutboxFile(None, durable=False)
    for seq in range(1, kept + 1):
        file.append(Row(seq, "s", TOPIC, b"{}"))
    dropped = file.drop()
    seqs = [row.seq for row in file.after(0, kept)]
    assert [*seqs[:1], *seqs[1:][-1:]] == left
    assert dropped == kept - file.count == max(1, kept // 100)


def test_a_file_is_deleted_whatever_stands_beside_it(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path / "x.outbox", durable=False)
    (tmp_path / "other").touch()
    file.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_count_and_size_are_those_of_the_rows_that_are_there(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path / "x.outbox", durable=False)
    rows = [Row(seq, "s", TOPIC, b"x" * seq) for seq in range(1, 6)]
    file.append(rows[0])
    file.add(rows[1:3])
    # The first of them is there already, as after a move that was broken off.
    file.add(rows[2:])
    file.remove_up_to(1)
    again = OutboxFile(tmp_path / "x.outbox", durable=False)
    assert (file.count, file.size) == (again.count, again.size) == (4, 4 * len(TOPIC) + 2 + 3 + 4 + 5)
