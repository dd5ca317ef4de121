"""The output to a file: whole records, columns that never shift, rotation, full and missing disks."""

import csv
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIG_IGN, SIGXFSZ, signal

import msgspec
import pytest

from config.model import Output
from forwarder.outputs import Place, RefusedError, SendError
from forwarder.outputs.file import FileSink
from forwarder.outputs.rotated import rotated
from forwarder.records import Removed, Sample
from tests.clock import NOON_MS
from tests.forwarder.feeds import reading


def settings(path: Path, **more: object) -> Output:
    return msgspec.convert({"kind": "file", "path": str(path), **more}, Output)


def sink(settings: Output, folder: Path) -> FileSink:
    return FileSink(Place("log", settings, folder / "state"))


def sample(second: int, **values: float | None) -> Sample:
    return Sample(NOON_MS + second * 1000, dict(values))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_file_has_one_header_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "log.csv"
    for second in range(3):
        one = sink(settings(path), tmp_path)
        one.send([reading(second)])
        one.close()
    assert [row["value"] for row in rows(path)] == ["1", "1", "1"]
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("name", "torn"),
    [
        ("log.csv", b"2026-11-21T12:00:09.000Z,smarts"),
        ("log.jsonl", b'{"entity": "smartshunt.soc", "ts'),
        ("log.json", b'{"entity"'),
        ("log.yaml", b"---\nentity: smartshunt.soc\nts: '2026"),
        ("log.yaml", b"---\nentity: smartshunt.soc\n"),
        ("log.csv", b"\0" * 5000),
        ("log.csv", b"x" * 200_000),
    ],
)
def test_a_record_that_was_torn_is_cut_off(tmp_path: Path, name: str, torn: bytes) -> None:
    path = tmp_path / name
    one = sink(settings(path), tmp_path)
    one.send([reading(0), reading(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    sink(settings(path), tmp_path).send([reading(2)])
    sink(settings(tmp_path / f"good-{name}"), tmp_path).send([reading(n) for n in range(3)])
    assert path.read_bytes() == (tmp_path / f"good-{name}").read_bytes()


def test_a_file_of_which_nothing_is_whole_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"timestamp,ent")
    sink(settings(path), tmp_path).send([reading(0)])
    assert [row["entity"] for row in rows(path)] == ["smartshunt.soc"]


SAMPLES: dict[str, object] = {"records": ("samples",), "interval": 60.0}


def test_a_new_entity_begins_a_new_file_and_shifts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    one = sink(settings(path, **SAMPLES), tmp_path)
    one.send([sample(0, b=1.0), sample(1, b=2.0)])
    one.send([sample(2, b=3.0, a=9.0)])
    one.send([sample(3, a=8.0)])
    (old,) = rotated(path)
    assert [row["b"] for row in rows(old)] == ["1", "2"]
    assert rows(path) == [
        {"timestamp": "2026-11-21T12:00:02.000Z", "b": "3", "a": "9"},
        {"timestamp": "2026-11-21T12:00:03.000Z", "b": "", "a": "8"},
    ]


def test_columns_are_kept_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    sink(settings(path, **SAMPLES), tmp_path).send([sample(0, b=1.0, c=2.0)])
    sink(settings(path, **SAMPLES), tmp_path).send([sample(1, c=3.0)])
    assert rows(path)[1] == {"timestamp": "2026-11-21T12:00:01.000Z", "b": "", "c": "3"}
    assert rotated(path) == []


def test_other_columns_in_the_settings_begin_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    sink(settings(path, **SAMPLES, columns={"x": "v.a"}), tmp_path).send([sample(0, x=1.0)])
    sink(settings(path, **SAMPLES, columns={"y": "v.b", "x": "v.a"}), tmp_path).send([sample(1, x=2.0)])
    assert [list(row) for row in rows(path)] == [["timestamp", "y", "x"]]
    assert len(rotated(path)) == 1


def test_a_file_that_somebody_moved_away_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    one = sink(settings(path), tmp_path)
    one.send([reading(0)])
    path.rename(tmp_path / "mine.csv")
    one.send([reading(1)])
    assert len(rows(path)) == len(rows(tmp_path / "mine.csv")) == 1


def test_it_rotates_by_size_and_keeps_so_many(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    other = tmp_path / "log-mine.jsonl"
    other.write_text("mine")
    one = sink(settings(path, rotate_mb=0.001, keep=3), tmp_path)
    for second in range(100):
        one.send([reading(second)])
    files = [*rotated(path), path]
    assert len(files) == 4
    assert all(file.stat().st_size < 1200 for file in files)
    said = [json.loads(line)["ts"] for file in files for line in file.read_text().splitlines()]
    assert said == sorted(said)
    assert said[-1] == "2026-11-21T12:01:39.000Z"
    assert other.read_text() == "mine"


def test_it_rotates_each_local_day(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    one = sink(settings(path, rotate_daily=True), tmp_path)
    one.send([reading(0)])
    one.send([reading(1)])
    assert rotated(path) == []
    os.utime(path, (time.time() - 86_400,) * 2)
    sink(settings(path, rotate_daily=True), tmp_path).send([reading(2)])
    (old,) = rotated(path)
    assert len(old.read_text().splitlines()) == 2


def test_rotated_files_are_packed_also_those_of_an_earlier_process(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    left = tmp_path / "log-20261120-100000.jsonl"
    left.write_text("left\n")
    (tmp_path / "log-20261120-100000.jsonl.gz.part").write_bytes(b"half")
    one = sink(settings(path, rotate_mb=0.00005, gzip=True), tmp_path)
    one.send([reading(0)])
    one.send([reading(1)])
    deadline = time.monotonic() + 10
    while any(file.suffix != ".gz" for file in rotated(path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    one.close()
    assert gzip.decompress(left.with_name(f"{left.name}.gz").read_bytes()) == b"left\n"
    packed = rotated(path)[-1]
    assert json.loads(gzip.decompress(packed.read_bytes()))["ts"] == "2026-11-21T12:00:00.000Z"
    assert not list(tmp_path.glob("*.part"))


@contextmanager
def most_bytes(most: int) -> Iterator[None]:
    """Let the kernel refuse what makes a file longer, as a full disk does: with a part that is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal(SIGXFSZ, SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal(SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["log.csv", "log.yaml"])
def test_a_batch_that_does_not_fit_leaves_no_part_of_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    one = sink(settings(path), tmp_path)
    one.send([reading(0)])
    before = path.read_bytes()
    with most_bytes(len(before) + 30), pytest.raises(SendError):
        one.send([reading(1)])
    assert path.read_bytes() == before
    one.send([reading(1)])
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("folder", ["/media", "/mnt", "/run/media/pi"])
def test_nothing_is_written_where_a_disk_should_be_mounted_and_is_not(tmp_path: Path, folder: str) -> None:
    path = Path(folder) / "boondock-tests-no-such-disk" / "van" / "log.csv"
    with pytest.raises(SendError, match="no disk is mounted"):
        sink(settings(path), tmp_path).send([reading(0)])
    with pytest.raises(SendError, match="no disk is mounted"):
        sink(settings(tmp_path / "log.csv", latest=str(path)), tmp_path).send([reading(0)])
    made = Path(folder) / "boondock-tests-no-such-disk"
    there = made.exists()
    # Else every later run would fail, too.
    shutil.rmtree(made, ignore_errors=True)
    assert not there


_ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from forwarder.outputs import SendError
from tests.forwarder.test_file import reading, settings, sink
path = Path("/mnt/van/log.csv")
one = sink(settings(path), Path("/nowhere"))
for batch in range(1000):
    try:
        one.send([reading(100 * batch + n) for n in range(100)])
    except SendError as error:
        print(error)
        break
print(len(path.read_text().splitlines()) % 100, path.read_bytes()[-1:])
"""


def test_a_full_disk_is_told_and_keeps_whole_batches(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=64k none /mnt"
    if subprocess.run([*alone, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk in a namespace of its own")
    script = tmp_path / "script.py"
    script.write_text(_ON_A_SMALL_DISK)
    done = subprocess.run(
        [*alone, f"{mount} && exec {sys.executable} {script}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    full = "/mnt/van/log.csv: the disk is full: make room on /mnt; nothing is lost meanwhile"
    # The header, and hundreds of records.
    assert done.stdout.splitlines() == [full, "1 b'\\n'"], done.stderr


@pytest.mark.parametrize("path", ["{0}/file/log.csv", "{0}"])
def test_a_place_that_is_no_place_for_a_file_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="name another path"):
        sink(settings(Path(path.format(tmp_path))), tmp_path).send([reading(0)])


def test_the_newest_values_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    latest = tmp_path / "latest.json"
    one = sink(settings(tmp_path / "log.csv", latest=str(latest)), tmp_path)
    one.send([reading(5, 2.0), reading(1, 9.0), reading(3, "on", "relay.pump")])
    one.send([reading(6, 3.0), Removed("smartshunt.soc", "reading", NOON_MS, NOON_MS + 1)])
    assert json.loads(latest.read_text())["smartshunt.soc"]["value"] == 2.0
    one.idle()
    assert json.loads(latest.read_text()) == {
        "smartshunt.soc": {"value": 3.0, "ts": "2026-11-21T12:00:06.000Z", "unit": "%"},
        "relay.pump": {"value": "on", "ts": "2026-11-21T12:00:03.000Z", "unit": "%"},
    }


def test_the_newest_values_outlive_a_restart(tmp_path: Path) -> None:
    latest = tmp_path / "latest.json"
    one = settings(tmp_path / "log.csv", latest=str(latest))
    sink(one, tmp_path).send([reading(5, 2.0), reading(3, "on", "relay.pump")])
    sink(one, tmp_path).send([reading(6, 3.0)])
    assert {name: said["value"] for name, said in json.loads(latest.read_text()).items()} == {
        "smartshunt.soc": 3.0,
        "relay.pump": "on",
    }
