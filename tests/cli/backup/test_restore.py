"""Restoring: the same house, what was there kept, and nothing changed by what is damaged or does not fit."""

import json
import os
import shutil
import sqlite3
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from bus.state_files import identify
from cli.backup import Part
from cli.backup.archive import Reader
from cli.backup.restore import plan_restore, put_back
from cli.terminal import CommandError, Progress
from tests.cli.backup.rig import (
    DATABASE,
    NOW,
    TOML,
    fill,
    installed,
    made,
    put,
    restored,
    rows,
    spoiled,
    tree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with an installed house that has data."""
    return installed(tmp_path)


@pytest.mark.parametrize("share", [number / 23 for number in range(23)])
def test_a_damaged_one_is_refused_and_changes_nothing(tmp_path: Path, root: Path, share: float) -> None:
    path = made(tmp_path, root)
    spoiled(path, share)
    fresh = tmp_path / "fresh"
    put(fresh, {"etc/boondock/boondock.toml": "mine"})
    refused = ""
    try:
        restored(path, fresh)
    except CommandError as error:
        refused = str(error)
    if refused:
        assert str(path) in refused
        assert tree(fresh) == {"etc/boondock/boondock.toml": b"mine"}
    else:
        # A byte of the zip file that says nothing, such as a time.
        assert rows(fresh / DATABASE) == rows(root / DATABASE)


def test_without_the_whole_one_changes_are_refused(tmp_path: Path, root: Path) -> None:
    first = made(tmp_path, root)
    second = made(tmp_path, root, 1)
    first.unlink()
    with Reader(second) as reader, pytest.raises(CommandError, match=f"there is no .*{first.name}"):
        reader.verify()


def test_what_stood_there_is_kept_and_a_stranger_stays(tmp_path: Path, root: Path) -> None:
    path = made(tmp_path, root)
    before = rows(root / DATABASE)
    fill(root / DATABASE, 9000, 1)
    put(root, {"etc/boondock/boondock.toml": "broken", "etc/boondock/secrets/device__new__key": "stray"})
    restored(path, root)
    assert rows(root / DATABASE) == before
    assert (root / "etc/boondock/boondock.toml").read_text() == TOML
    assert not (root / "etc/boondock/secrets/device__new__key").exists()
    kept_in = root / "etc/boondock/before-20261128T033000"
    assert (kept_in / "boondock.toml").read_text() == "broken"
    assert (kept_in / "secrets/device__new__key").read_text() == "stray"
    assert kept_in.stat().st_mode & 0o777 == 0o700
    aside = root / "var/lib/boondock-statistician/before-20261128T033000/statistics.db"
    assert (9000, "9000" * 50) in rows(aside)
    assert (root / "etc/credstore/nginx.key").read_text() == "not ours"
    again = made(tmp_path, root, 1)
    with Reader(again) as reader:
        assert not [one.path for one in reader.manifest.entries if "before-" in one.path]


def test_a_log_of_the_old_database_is_not_played_into_the_new_one(tmp_path: Path, root: Path) -> None:
    path = made(tmp_path, root)
    before = rows(root / DATABASE)
    fill(root / DATABASE, 0, 3000)
    # As a killed process leaves it.
    copy = tmp_path / "log"
    with closing(sqlite3.connect(root / DATABASE, isolation_level=None)) as opened:
        opened.execute("UPDATE house SET text = 'of the log'")
        shutil.copyfile(f"{root / DATABASE}-wal", copy)
    shutil.copyfile(copy, f"{root / DATABASE}-wal")
    restored(path, root)
    assert rows(root / DATABASE) == before


@pytest.mark.parametrize("only", [Part.SETTINGS, Part.DATABASE])
def test_a_part_alone(tmp_path: Path, root: Path, only: Part) -> None:
    path = made(tmp_path, root)
    before = rows(root / DATABASE)
    fill(root / DATABASE, 9000, 1)
    changed = {"etc/boondock/boondock.toml": "x", "var/lib/boondock-controller/relays.json": "y"}
    changed["var/lib/boondock-collector-ble/collector_ble-devices.json"] = "z"
    put(root, changed)
    restored(path, root, only)
    settings = only is Part.SETTINGS
    assert ((root / "etc/boondock/boondock.toml").read_text() == TOML) is settings
    roster = (root / "var/lib/boondock-collector-ble/collector_ble-devices.json").read_text()
    assert (roster == '{"devices": {}}') is settings
    assert (rows(root / DATABASE) == before) is not settings
    assert (root / "var/lib/boondock-controller/relays.json").read_text() == "y"


def controller(root: Path) -> int:
    """A controller that runs; its process id."""
    process = os.fork()
    if process == 0:
        identify(root / "var/lib/boondock-controller", "controller", 0)
        threading.Event().wait()
    deadline = threading.Event()
    while not (root / "var/lib/boondock-controller/controller.id").exists():
        deadline.wait(0.01)
    return process


def test_a_process_that_is_being_stopped_has_time_to_end(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fresh = made(tmp_path, root), tmp_path / "fresh"
    holder = controller(fresh)
    said: list[tuple[float, str]] = []

    def show(_: Progress, share: float, text: str) -> None:
        if not said:
            os.kill(holder, 9)
            os.waitpid(holder, 0)
        said.append((share, text))

    monkeypatch.setattr(Progress, "show", show)
    with Reader(path) as reader:
        put_back(reader, plan_restore(reader, fresh, NOW), patience=30)
    assert said[0] == (0, "controller runs; waiting 30 s for its end")
    assert rows(fresh / DATABASE) == rows(root / DATABASE)


def test_it_is_refused_while_a_process_runs(tmp_path: Path, root: Path) -> None:
    path = made(tmp_path, root)
    before = tree(root)
    holder = controller(root)
    try:
        with pytest.raises(CommandError, match=r"controller is running.*sudo systemctl stop boondock.target"):
            restored(path, root)
    finally:
        os.kill(holder, 9)
        os.waitpid(holder, 0)
    assert {k: v for k, v in tree(root).items() if not k.endswith(".id")} == before


@pytest.mark.parametrize(("what", "value"), [("schema", 99), ("version", "99.0.0"), ("format", 2)])
def test_a_newer_one_is_refused(tmp_path: Path, root: Path, what: str, value: object) -> None:
    path = made(tmp_path, root)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "newer.zip", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps(json.loads(content) | {what: value}).encode()
            new.writestr(name, content)
    with pytest.raises(CommandError, match=r"[Uu]pdate this one first"):
        restored(tmp_path / "newer.zip", root)


@pytest.mark.parametrize("member", ["house/etc/boondock/boondock.toml", f"house/{DATABASE}"])
def test_what_was_changed_in_a_whole_zip_file_is_refused(tmp_path: Path, root: Path, member: str) -> None:
    path = made(tmp_path, root)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "other.zip", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-1] + b"?" if name == member else content)
    with pytest.raises(CommandError, match="is damaged"):
        restored(tmp_path / "other.zip", root)


def test_readings_that_wait_are_not_replaced(tmp_path: Path, root: Path) -> None:
    outbox = root / "var/lib/boondock-collector-ble/collector_ble.outbox"
    fill(outbox, 0, 5)
    path = made(tmp_path, root)
    fill(outbox, 100, 5)
    restored(path, root)
    assert [number for number, _ in rows(outbox)] == [*range(5), *range(100, 105)]
    outbox.unlink()
    restored(path, root)
    assert [number for number, _ in rows(outbox)] == [*range(5)]


def test_it_is_said_when_there_is_no_room(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, root)
    before = tree(root)
    monkeypatch.setattr("cli.backup.restore.free", lambda _: 1000)
    with pytest.raises(CommandError, match="make room, then try again"):
        restored(path, root)
    assert tree(root) == before


def test_what_is_no_backup_is_said(tmp_path: Path, root: Path) -> None:
    no_file = tmp_path / "no.zip"
    no_file.write_bytes(b"no zip")
    with pytest.raises(CommandError, match="no whole backup of Boondock"):
        restored(no_file, root)
    with pytest.raises(CommandError, match="there is no"):
        restored(no_file.with_name("absent.zip"), root)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_what_a_service_keeps_is_its_own_whatever_number_it_has_here(tmp_path: Path, root: Path) -> None:
    fresh = tmp_path / "fresh"
    kept = fresh / "var/lib/private/boondock-controller"
    kept.mkdir(parents=True)
    os.chown(kept, 4242, 4343)
    (fresh / "var/lib/boondock-controller").symlink_to("private/boondock-controller")
    restored(made(tmp_path, root), fresh)
    there = (kept / "relays.json").stat()
    assert (there.st_uid, there.st_gid) == (4242, 4343)
    assert (fresh / "etc/boondock/boondock.toml").stat().st_uid == 0
