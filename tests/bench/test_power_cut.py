"""What a power cut leaves: the model by hand, then the real files in a short form, controls included."""

import random
import sys
from pathlib import Path

import pytest

from bench import disk, kept, power_cut
from bench.disk import Disk, Event, Link, Mark, Name, Resize, Sync, Write
from tests.house import ROOT
from tests.rounds import some

PATH = "/kept/a"
HERE = "/kept"
NEW: list[Event] = [Name(PATH, PATH), Write(PATH, 0, b"a" * 8192)]
CUTS = 200


def left(tmp_path: Path, events: list[Event], cuts: int = CUTS) -> set[bytes | None]:
    """All that is found of PATH after many cuts behind these events; None: no such file."""
    dice = random.Random(3)  # noqa: S311 — the same cuts in every run
    drive = Disk()
    for event in events:
        drive.take(event)
    found: set[bytes | None] = set()
    for cut in range(cuts):
        folder = tmp_path / str(cut)
        folder.mkdir()
        drive.cut(dice, HERE, folder)
        found.add((folder / "a").read_bytes() if (folder / "a").exists() else None)
    return found


def test_what_was_synced_with_its_name_is_there(tmp_path: Path) -> None:
    assert left(tmp_path, [*NEW, Sync(PATH), Sync(HERE)]) == {b"a" * 8192}


def test_without_the_folders_sync_the_name_may_be_missing(tmp_path: Path) -> None:
    assert left(tmp_path, [*NEW, Sync(PATH)]) == {b"a" * 8192, None}


def test_what_was_not_synced_is_there_missing_or_torn(tmp_path: Path) -> None:
    found = {content for content in left(tmp_path, [*NEW, Sync(HERE)]) if content is not None}
    assert {b"", b"a" * 8192} < found
    sectors = {content[:4096] for content in found if content}
    assert bytes(4096) in sectors, "a later sector is there, an earlier one is not"
    assert any(content[:1024] == bytes(512) + b"a" * 512 for content in found), "sectors of 512"


def test_writes_are_independent_of_each_other(tmp_path: Path) -> None:
    events: list[Event] = [
        *NEW,
        Sync(PATH),
        Sync(HERE),
        Write(PATH, 0, b"b" * 512),
        Write(PATH, 512, b"c" * 512),
    ]
    starts = {(content or b"")[0:1] + (content or b"")[512:513] for content in left(tmp_path, events)}
    assert starts == {b"aa", b"ba", b"ac", b"bc"}


def test_a_rename_is_whole_or_not_there(tmp_path: Path) -> None:
    old: list[Event] = [*NEW, Sync(PATH), Sync(HERE)]
    fresh: list[Event] = [
        Name("/kept/b", "/kept/b"),
        Write("/kept/b", 0, b"new"),
        Sync("/kept/b"),
        Name("/kept/b", PATH),
    ]
    assert left(tmp_path, [*old, *fresh]) == {b"a" * 8192, b"new"}


def test_a_rename_is_certain_once_its_folder_is_synced(tmp_path: Path) -> None:
    fresh: list[Event] = [
        Name("/kept/b", "/kept/b"),
        Write("/kept/b", 0, b"new"),
        Sync("/kept/b"),
        Name("/kept/b", PATH),
    ]
    assert left(tmp_path, [*NEW, Sync(HERE), *fresh, Sync(HERE)]) == {b"new"}


def test_a_second_name_is_of_the_same_file(tmp_path: Path) -> None:
    second: list[Event] = [Name("/kept/b", "/kept/b"), Write("/kept/b", 0, b"b"), Link("/kept/b", PATH)]
    events = [*second, Name("/kept/b", None), Sync(HERE), Sync(PATH)]
    assert left(tmp_path, events) == {b"b"}


def test_a_truncation_that_is_missing_takes_later_writes_above_it_along(tmp_path: Path) -> None:
    events: list[Event] = [*NEW, Sync(PATH), Sync(HERE), Resize(PATH, 0), Write(PATH, 0, b"b" * 600)]
    found = left(tmp_path, events)
    assert {b"a" * 8192, b"", b"b" * 600} <= found
    assert all(content in (None, b"a" * 8192) or len(content) <= 600 for content in found)


def test_a_promise_counts_from_where_it_was_made() -> None:
    drive = Disk()
    drive.take(Mark({"watermark": 3, "rows": 1}))
    drive.take(Mark({"watermark": 9}))
    assert drive.said == {"watermark": 9, "rows": 1}


def recorded(tmp_path: Path, script: str) -> list[Event]:
    folder = tmp_path / "kept"
    folder.mkdir()
    try:
        return disk.record(
            [sys.executable, "-c", script, str(folder)], folder, tmp_path / "marks", tmp_path / "log"
        )
    except disk.UnavailableError as error:
        pytest.skip(str(error))


def test_system_calls_are_read_as_they_were_made(tmp_path: Path) -> None:
    """Of two threads too, whose lines are mixed."""
    script = """
import os, sys, threading
folder = sys.argv[1]
marks = os.open(folder + "/../marks", os.O_CREAT | os.O_WRONLY)
one = os.open(folder + "/one\\n", os.O_CREAT | os.O_RDWR)
os.write(one, b"ab"); os.write(one, b'"\\\\\\n'); os.pwrite(one, b"X", 1)
os.lseek(one, 100, 0); os.write(one, b"Z")
os.writev(one, [b"v", b"w"])
os.ftruncate(one, 4); os.posix_fallocate(one, 0, 10)
os.fsync(one); os.write(marks, b'{"n": 1}')
os.rename(folder + "/one\\n", folder + "/two"); os.fdatasync(one)
os.link(folder + "/two", folder + "/three")
os.fsync(os.open(folder, os.O_RDONLY))
try: os.unlink(folder + "/never")
except FileNotFoundError: pass
os.unlink(folder + "/two")
def work(name):
    file = os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY)
    for _ in range(200): os.write(file, name.encode()); os.fsync(file)
threads = [threading.Thread(target=work, args=(name,)) for name in "xy"]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    events = recorded(tmp_path, script)
    one, two = f"{tmp_path}/kept/one\n", f"{tmp_path}/kept/two"
    assert [event for event in events if getattr(event, "path", "")[-1:] not in ("x", "y")] == [
        Name(one, one),
        Write(one, 0, b"ab"),
        Write(one, 2, b'"\\\n'),
        Write(one, 1, b"X"),
        Write(one, 100, b"Z"),
        Write(one, 101, b"vw"),
        Resize(one, 4),
        Resize(one, 10, grow=True),
        Sync(one),
        Mark({"n": 1}),
        Name(one, two),
        Sync(two),
        Link(two, f"{tmp_path}/kept/three"),
        Sync(f"{tmp_path}/kept"),
        Name(two, None),
    ]
    for name in "xy":
        path = f"{tmp_path}/kept/{name}"
        assert [event.at for event in events if isinstance(event, Write) and event.path == path] == list(
            range(200)
        )
        assert events.count(Sync(path)) == 200


# Each of these is written by code of its own; the others as `registry` is.
QUICK = {"database", "outbox", "backups", "copy in place of a damaged database", "broker's files", "registry"}


@pytest.mark.parametrize(
    "one",
    some(kept.KEPT, [one for one in kept.KEPT if one.name in QUICK or one.faulty]),
    ids=lambda one: one.name,
)
def test_no_cut_damages_or_loses_what_was_promised(one: kept.Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    try:
        calls, wrong = power_cut.faults(one, 20, seed=4)
    except disk.UnavailableError as error:
        pytest.skip(str(error))
    assert calls > 100
    assert bool(wrong) == one.faulty, wrong


def test_a_command_that_fails_is_no_reason_to_skip(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        recorded(tmp_path, "raise SystemExit('no such thing')")


def test_without_strace_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert power_cut.measure(quick=True) == "Not compared: no strace: apt install strace"
