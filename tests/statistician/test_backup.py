"""Copies made beside a running service, and what a damaged database becomes."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from bus import state_files
from bus.messages import of_device
from bus.outbox import Outbox
from bus.state_files import BackupReport
from statistician.arithmetic import DAY, HOUR
from statistician.records import State
from statistician.store import Store
from statistician.store import backup as backups
from statistician.store.engine import DamagedError
from statistician.upkeep import BackUp
from tests.statistician.rig import MINUTE, START, TOPICS, Rig

PATIENCE = 20.0


def back_up(rig: Rig) -> None:
    """Make a copy and take notice of it."""
    rig.service.handle(BackUp())
    finish(rig)


def finish(rig: Rig) -> None:
    """Let the copy that was begun come to its end."""
    rig.settle()
    backup = rig.service._upkeep._backup
    assert backup is not None
    assert backup.wait(PATIENCE)
    rig.settle()


def spoil(path: Path) -> None:
    """What a card does that dies: a piece in the middle is another's."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement", energy="total_increasing")
    rig.reading("van", {"volt": 12.0, "energy": 5.0})
    rig.commit()
    return rig


def test_a_copy_is_whole_and_three_are_kept(rig: Rig) -> None:
    for day in range(5):
        rig.now = START + day * DAY
        rig.reading("van", {"volt": 12.0 + day})
        rig.commit()
        back_up(rig)
    copies = backups.kept(rig.store.backups, rig.path)
    assert len(copies) == 3
    assert backups.taken_at(copies[0]) == rig.now
    assert sorted(p.name for p in rig.store.backups.iterdir()) == sorted(p.name for p in copies)
    with closing(sqlite3.connect(copies[0])) as copy:
        assert copy.execute("SELECT max(value) FROM states WHERE entity = 1").fetchone() == (16.0,)
    assert rig.journal.facts["backup"].startswith(copies[0].name)


def test_a_second_copy_of_a_day_is_made_only_when_asked_for(rig: Rig) -> None:
    back_up(rig)
    rig.now += HOUR
    rig.service.handle(BackUp())
    rig.settle()
    assert rig.journal.counters["backups"] == 1
    told: list[tuple[str | None, str | None]] = []
    assert rig.service._upkeep.ask_backup(lambda path, error: told.append((path, error)), rig.now) is None
    finish(rig)
    assert told == [(str(backups.kept(rig.store.backups, rig.path)[0]), None)]


def test_a_copy_that_fails_is_told_until_one_is_made(rig: Rig) -> None:
    rig.store.backups.write_text("no folder")
    back_up(rig)
    assert str(rig.store.backups) in rig.journal.problems["backup"]
    rig.store.backups.unlink()
    back_up(rig)
    assert "backup" not in rig.journal.problems


def test_a_copy_that_is_not_good_is_not_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "verify", lambda _path: "row missing")
    back_up(rig)
    assert "row missing" in rig.journal.problems["backup"]
    assert list(rig.store.backups.iterdir()) == []


def test_a_full_disk_loses_old_copies_before_there_is_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(3):
        rig.now = START + day * DAY
        back_up(rig)
    monkeypatch.setattr(backups, "free", lambda _folder: 1000)
    rig.now += DAY
    back_up(rig)
    assert "1000 are free" in rig.journal.problems["backup"]
    (copy,) = backups.kept(rig.store.backups, rig.path)
    assert backups.taken_at(copy) == START + 2 * DAY


def test_commits_go_on_while_a_copy_is_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.transaction():
        store.states.put(State(n, 1, n / 7, None) for n in range(300_000))
    backup = store.backup(START)
    slices = threading.Event()
    backup.start()
    longest, commits = 0.0, 0
    until = time.monotonic() + PATIENCE
    while not backup.done:
        assert time.monotonic() < until, "every commit begins it anew"
        began = time.perf_counter()
        with store.transaction():
            store.states.put([State(10**9 + commits, 1, 1.0, None)])
        longest = max(longest, time.perf_counter() - began)
        commits += 1
        slices.wait(0.002)
    assert backup.made is not None, backup.error
    assert commits > 10
    assert longest < 0.2, "measured 0.02; a busy machine may take longer"
    with closing(sqlite3.connect(backup.made)) as copy:
        # As it was when the copy began.
        assert copy.execute("SELECT count(*) FROM states WHERE ts < 1000000000").fetchone() == (300_000,)
    store.close()


def test_a_copy_is_abandoned_at_the_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with store.transaction():
        store.states.put(State(n, 1, n / 7, None) for n in range(200_000))
    backup = store.backup(START)
    backup.start()
    backup.stop()
    assert backup.made is None
    assert backup.error == "stopped before it was whole"
    store.close()


def test_only_an_unclean_stop_is_checked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[object] = []
    monkeypatch.setattr("statistician.store.engine.quick_check", checks.append)
    rig.restart()
    assert checks == []
    rig.store.engine.database.close()
    rig.start()
    assert len(checks) == 1


def test_a_damaged_database_is_replaced_by_the_newest_good_copy(rig: Rig) -> None:
    back_up(rig)
    rig.now += DAY
    rig.reading("van", {"volt": 13.0})
    rig.commit()
    back_up(rig)
    newest, older = backups.kept(rig.store.backups, rig.path)
    rig.store.engine.put_fact("open", "no goodbye")
    rig.store.engine.database.close()
    spoil(rig.path)
    spoil(newest)
    rig.start()
    assert older.name in rig.journal.problems["damage"]
    assert (rig.path.parent / "s.db.damaged").exists()
    # Between the copy and now nobody knows.
    assert [s.value for s in rig.store.states.between(0, None)] == [12.0, 5.0, None, None]


class KilledError(BaseException):
    """The process ends here."""


def test_a_kill_while_the_copy_takes_its_place_leaves_no_empty_database(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(rig)
    rig.store.engine.put_fact("open", "no goodbye")
    rig.store.engine.database.close()
    spoil(rig.path)

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", killed)
        with pytest.raises(KilledError):
            Store(rig.path)
    rig.start()
    assert backups.kept(rig.store.backups, rig.path)[0].name in rig.journal.problems["damage"]
    assert 12.0 in [s.value for s in rig.store.states.between(0, None)]


def test_without_a_good_copy_an_empty_one_takes_its_place(rig: Rig) -> None:
    rig.store.engine.put_fact("open", "no goodbye")
    rig.store.engine.database.close()
    spoil(rig.path)
    rig.start()
    assert "an empty one took its place" in rig.journal.problems["damage"]
    assert (rig.path.parent / "s.db.damaged").stat().st_size > 0


def test_damage_found_at_work_ends_the_process_and_the_next_start_sees_to_it(rig: Rig) -> None:
    back_up(rig)
    rig.reading("van", {f"e{n}": "x" * 400 for n in range(200)})
    rig.commit()
    rig.store.engine.all("PRAGMA wal_checkpoint(TRUNCATE)")
    rig.store.engine.all("PRAGMA shrink_memory")
    spoil(rig.path)
    acknowledged = len(rig.notes.acknowledged)
    rig.reading("van", {"volt": 13.0})
    with pytest.raises(DamagedError):
        rig.commit()
    assert len(rig.notes.acknowledged) == acknowledged
    # Even a goodbye does not hide it.
    rig.store.close()
    rig.start()
    assert "s.db.damaged" in rig.journal.problems["damage"]


def test_outboxes_send_again_what_a_restored_copy_lacks(rig: Rig, tmp_path: Path) -> None:
    rig.own("van", "ble")
    outbox = Outbox(tmp_path / "run", tmp_path / "state", "ble")
    topic = TOPICS.state("van")

    def deliver(count: int) -> None:
        for row in outbox.next(count, rig.now / 1000):
            outbox.sent(row)
            rig.message(TOPICS.backlog("ble", row.stream), of_device("van", row.payload))
        rig.commit()
        for mark in rig.notes.watermarks(outbox.stream)[-1:]:
            outbox.watermark(outbox.stream, mark, rig.now / 1000)

    def measure(*values: int) -> None:
        for value in values:
            rig.now += 1000
            payload = {
                "ts": f"2026-11-23T12:{rig.now // 60_000 % 60:02d}:{rig.now // 1000 % 60:02d}.000Z",
                "volt": value,
            }
            outbox.append(topic, json.dumps(payload).encode(), rig.now / 1000)

    outbox.statistician(online=True, kept=True, now=rig.now / 1000)
    measure(1, 2, 3)
    deliver(10)
    back_up(rig)
    measure(4, 5)
    deliver(10)
    assert outbox.waiting == 0
    rig.store.engine.put_fact("open", "no goodbye")
    rig.store.engine.database.close()
    measure(6, 7)
    spoil(rig.path)
    rig.start()
    rig.connect()
    outbox.statistician(online=True, kept=False, now=rig.now / 1000)
    assert rig.notes.watermarks(outbox.stream) == [3]
    outbox.watermark(outbox.stream, 3, rig.now / 1000)
    for _ in range(4):
        rig.now += MINUTE // 10
        deliver(10)
    assert outbox.waiting == 0
    volts = [s.value for s in rig.store.states.between(0, None) if s.entity == 1]
    # 4 and 5 were on the damaged disk only: gone, and counted.
    assert volts == [12.0, 1.0, 2.0, 3.0, 6.0, 7.0]
    assert rig.journal.counters["lost_readings"] == 2


def test_how_the_backup_of_everything_went_is_told(rig: Rig, tmp_path: Path) -> None:
    rig.close()
    rig.anchor = tmp_path / "house-clock.json"
    rig.start()
    state_files.write_backup_report(tmp_path, BackupReport(START, "no disk is mounted at /media/usb"))
    rig.run_until(rig.now + 2 * MINUTE)
    assert rig.journal.problems["backup_of_everything"] == "no disk is mounted at /media/usb"
    state_files.write_backup_report(tmp_path, BackupReport(START, None, "/media/usb/x.zip", START))
    rig.run_until(rig.now + 2 * MINUTE)
    assert "backup_of_everything" not in rig.journal.problems
    assert rig.journal.facts["backup_of_everything"].startswith("/media/usb/x.zip of 2026")
    rig.run_until(START + 4 * DAY + HOUR)
    assert "4 days old" in rig.journal.problems["backup_of_everything"]
