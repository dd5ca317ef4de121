"""Backups: one file, changes of it, read back before it counts; what goes wrong is a sentence and health."""

import errno
import json
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bus import state_files
from bus.state_files import hold
from cli.backup import make
from cli.backup.archive import Reader, Writer
from cli.backup.make import Destination, back_up, backup, kept
from cli.backup.restore import plan_restore, put_back
from cli.terminal import CommandError, SettingsError
from statistician.store import Store
from statistician.store.backup import Snapshot
from tests.cli.backup.rig import (
    DATABASE,
    NOW,
    STRANGERS,
    fill,
    house_in,
    installed,
    made,
    rows,
    spoiled,
    target,
    tree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with an installed house that has data."""
    return installed(tmp_path)


def test_a_fresh_card_becomes_the_same_house(tmp_path: Path, root: Path) -> None:
    made(tmp_path, root)
    (root / "etc/credstore/boondock-viewer-password").write_text("changed")
    (root / "etc/boondock/mosquitto/ca.crt").chmod(0o644)
    fill(root / DATABASE, 2990, 100)
    path = made(tmp_path, root, 1)
    assert path.name.endswith("-changes.zip")
    assert path.stat().st_mode & 0o777 == 0o600, "it holds secrets"

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with Reader(path) as reader:
        put_back(reader, plan_restore(reader, fresh, NOW))
    assert rows(fresh / DATABASE) == rows(root / DATABASE)
    # As in `root`, but for what others own and what is of no use.
    shutil.rmtree(root / "var/lib/mosquitto")
    for name in (*STRANGERS, "var/lib/boondock-clock/backup.json", f"{DATABASE}.reserve"):
        (root / name).unlink(missing_ok=True)
    restored = tree(fresh)
    restored.pop("var/lib/boondock-clock/backup.json", None)
    assert restored == tree(root)
    assert (fresh / "etc/boondock/mosquitto/ca.crt").stat().st_mode & 0o777 == 0o644
    secret = fresh / "etc/boondock/secrets/device__mppt__key"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_only_what_changed_is_written(tmp_path: Path, root: Path) -> None:
    first = made(tmp_path, root)
    fill(root / DATABASE, 1500, 3)
    second = made(tmp_path, root, 1)
    assert second.stat().st_size < first.stat().st_size / 5
    with Reader(first) as whole, Reader(second) as changes:
        assert whole.manifest.base is None
        assert changes.manifest.base == first.name


@pytest.mark.parametrize("days", [6.5, 7, 30, -2])
def test_there_is_a_whole_one_each_week_and_when_the_clock_went_back(
    tmp_path: Path, root: Path, days: float
) -> None:
    made(tmp_path, root)
    assert made(tmp_path, root, days).name.endswith("-changes.zip" if days == 6.5 else "-full.zip")


def test_the_whole_ones_stay_that_others_need(tmp_path: Path, root: Path) -> None:
    (tmp_path / "usb").mkdir()
    other = tmp_path / "usb" / "boondock-boat-20200101T000000Z-full.zip"
    other.write_text("of another house in the same folder")
    for day in range(10):
        fill(root / DATABASE, day, 1)
        made(tmp_path, root, day, keep=2)
        mine = kept(tmp_path / "usb", "van")
        assert len(mine) <= 4
        for one in mine[:2]:
            with Reader(one.path) as reader:
                reader.verify()
    # The first seven nights rest on the first whole one, the others on the eighth night's.
    assert [one.whole for one in mine] == [False, False, True]
    assert other.exists()


def test_a_writer_that_never_rests_is_caught_at_one_moment(tmp_path: Path, root: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(root / DATABASE, isolation_level=None, timeout=30)) as opened:
            turn = 0
            while not stop.is_set():
                turn += 1
                opened.execute("UPDATE house SET text = ?", (f"turn {turn}",))

    fill(root / DATABASE, 0, 3000)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        paths = [made(tmp_path, root, number / 1000) for number in range(2)]
    finally:
        stop.set()
        writer.join()
    for number, path in enumerate(paths):
        fresh = tmp_path / f"fresh{number}"
        fresh.mkdir()
        with Reader(path) as reader:
            put_back(reader, plan_restore(reader, fresh, NOW))
        assert len({text for _, text in rows(fresh / DATABASE)}) == 1, "of one moment"


def test_the_snapshot_keeps_the_writers_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).close()
    # More than is read at once.
    fill(path, 0, 5000)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO house VALUES (10000, 'before')")
        with Snapshot(path) as snapshot:
            pages = iter(snapshot)
            first = next(pages)
            writer.execute("UPDATE house SET text = 'after'")
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            (tmp_path / "copy.db").write_bytes(first + b"".join(pages))
    assert (10000, "before") in rows(tmp_path / "copy.db")
    assert (0, "after") in rows(path)


def test_a_damaged_whole_one_is_told_and_followed_by_another(tmp_path: Path, root: Path) -> None:
    first = made(tmp_path, root)
    spoiled(first, 0.5)
    told: list[str] = []
    second = back_up(house_in(root), target(tmp_path), "van", NOW + timedelta(days=1), tell=told.append)
    assert second.name.endswith("-full.zip")
    assert "a whole backup is made instead" in told[0]
    with Reader(second) as reader:
        reader.verify()


def test_a_damaged_database_replaces_no_good_backup(tmp_path: Path, root: Path) -> None:
    first = made(tmp_path, root)
    for name in ("-wal", "-shm"):
        Path(f"{root / DATABASE}{name}").unlink(missing_ok=True)
    with (root / DATABASE).open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xa5" * 8 * 4096)
    with pytest.raises(CommandError, match="damaged"):
        made(tmp_path, root, 1)
    assert [one.path for one in kept(tmp_path / "usb")] == [first]
    report = state_files.read_backup_report(root / "var/lib/boondock-clock")
    assert report is not None
    assert "damaged" in str(report.problem)
    assert report.file == str(first)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "only be read"),
        (errno.EIO, "still plugged in"),
        (errno.EACCES, "use sudo"),
        (errno.ENOTCONN, "not connected"),
    ],
)
def test_a_disk_that_refuses_is_a_sentence_and_leaves_the_old_one(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    first = made(tmp_path, root)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "usb"))

    for place in (f"{make.__name__}.create", f"{Writer.__module__}.Writer._put", "os.fsync"):
        with monkeypatch.context() as broken:
            broken.setattr(place, refuse)
            with pytest.raises(CommandError, match="no backup in") as caught:
                made(tmp_path, root, 1)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [one.path for one in kept(tmp_path / "usb")] == [first]
    assert not list((tmp_path / "usb").glob("*.part"))
    assert made(tmp_path, root, 2).exists()


def test_the_card_is_not_filled(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root / DATABASE, 0, 60_000)
    monkeypatch.setattr(make, "_LEAST_FREE", 2**60)
    with pytest.raises(CommandError, match="the disk is full"):
        made(tmp_path, root)
    assert kept(tmp_path / "usb") == []


def test_a_disk_that_is_not_mounted_is_not_replaced_by_the_card(tmp_path: Path, root: Path) -> None:
    house = house_in(root)
    with pytest.raises(CommandError, match="no disk is mounted at /mnt/boondock-nowhere/x"):
        back_up(house, Destination(Path("/mnt/boondock-nowhere/x"), 7), "van", NOW)
    assert not Path("/mnt/boondock-nowhere").exists()
    with pytest.raises(CommandError, match="no disk is mounted"):
        back_up(house, Destination(tmp_path / "usb", 7, mounted=True), "van", NOW)
    report = state_files.read_backup_report(root / "var/lib/boondock-clock")
    assert report is not None
    assert "no disk is mounted" in str(report.problem)


def test_backups_within_the_house_are_not_backed_up(root: Path) -> None:
    where = Destination(root / "etc/boondock/backups-of-mine", 7)
    back_up(house_in(root), where, "van", NOW)
    second = back_up(house_in(root), where, "van", NOW + timedelta(days=1))
    with Reader(second) as reader:
        assert not [entry.path for entry in reader.manifest.entries if "of-mine" in entry.path]


def test_the_command_says_what_it_did_and_lists_it(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tmp_path / "own.toml"
    lines = (f'[storage]\nstate = "{tmp_path}/state"', f'[statistician]\ndatabase = "{root / DATABASE}"')
    toml.write_text("\n".join(lines) + f'\n[backup]\nto = "{tmp_path}/usb"\nat = "04:05"\n')
    monkeypatch.setenv("BOONDOCK_SECRETS", str(tmp_path / "secrets"))
    assert backup(config=toml, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["file"]).stat().st_size == said["bytes"]
    assert backup(config=toml) == 0
    assert "read back and good; it holds keys and passwords" in capsys.readouterr().out
    assert backup(config=toml, shown=True) == 0
    assert len(capsys.readouterr().out.splitlines()) in (1, 2)
    assert backup(verify=Path(said["file"])) == 0
    assert "good" in capsys.readouterr().out
    with pytest.raises(CommandError, match="there is no backup in"):
        backup(config=toml, to=tmp_path / "empty", shown=True)
    toml.write_text('[backup]\nto = "usb"\nat = "25:00"\n')
    with pytest.raises(SettingsError, match=r"backup\.to.*\n.*backup\.at") as wrong:
        backup(config=toml)
    assert wrong.value.exit_code == 78


def test_two_at_a_time_are_refused(tmp_path: Path, root: Path) -> None:
    made(tmp_path, root)
    held = hold(tmp_path / "usb" / ".lock", "the first", 0)
    assert held is not None
    with held, pytest.raises(CommandError, match="another backup is being made"):
        made(tmp_path, root, 1)


def test_what_an_earlier_one_left_half_is_removed(tmp_path: Path, root: Path) -> None:
    (tmp_path / "usb").mkdir()
    half = tmp_path / "usb" / "boondock-van-20261127T033000Z-full.zip.part"
    half.write_bytes(b"half")
    made(tmp_path, root)
    assert not half.exists()
