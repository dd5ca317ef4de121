"""Small files over a power cut and a full disk; one process of a name, and who it is."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus import state_files
from bus.state_files import AT_MOST_S, EXIT_RUNNING, QUIET_S, KeptFile, identify
from tests.house import ROOT


class Counted:
    """A kept list, and how often it was written with how many bytes."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[int] = []
        self.writes: list[int] = []
        self.file = KeptFile(path, lambda: json.dumps(self.found).encode())
        really = state_files.write

        def write(where: Path, content: bytes) -> None:
            self.writes.append(len(content))
            really(where, content)

        monkeypatch.setattr(state_files, "write", write)

    def add(self) -> None:
        """One more."""
        self.found.append(len(self.found))
        self.file.changed()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "x.json"


@pytest.fixture
def counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(path, monkeypatch)


def test_it_is_written_once_it_is_quiet(counted: Counted, path: Path) -> None:
    counted.add()
    counted.file.settle(100.0)
    counted.add()
    counted.file.settle(101.0)
    counted.file.settle(100.9 + QUIET_S)
    assert not path.exists()
    counted.file.settle(101.0 + QUIET_S)
    assert json.loads(path.read_bytes()) == [0, 1]
    for second in range(200):
        counted.file.settle(110.0 + second)
    assert len(counted.writes) == 1


def test_changes_that_never_end_are_written_now_and_then(counted: Counted) -> None:
    for second in range(600):
        for _ in range(20):
            counted.add()
        counted.file.settle(100.0 + second)
    counted.file.close()
    assert len(counted.found) == 12_000
    assert len(counted.writes) <= 600 / AT_MOST_S + 1
    assert sum(counted.writes) < 1_000_000
    # And not forgotten in between.
    assert len(counted.writes) >= 600 / AT_MOST_S - 1


def test_the_last_changes_are_written_at_the_end(counted: Counted, path: Path) -> None:
    counted.add()
    counted.file.close()
    assert json.loads(path.read_bytes()) == [0]
    counted.file.close()
    assert len(counted.writes) == 1


def test_what_is_as_it_was_is_not_written_again(counted: Counted, path: Path) -> None:
    counted.add()
    counted.file.close()
    again = KeptFile(path, lambda: b"[0]")
    assert again.read(list[int]) == [0]
    again.changed()
    again.close()
    assert len(counted.writes) == 1


def test_a_disk_that_refuses_is_told_and_asked_again(
    counted: Counted, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted.add()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        for second in range(20):
            counted.file.settle(100.0 + second)
    assert 2 <= len(counted.writes) <= 5
    assert "No space left" in str(counted.file.problem)
    counted.file.settle(200.0)
    assert counted.file.problem is None
    assert json.loads(path.read_bytes()) == [0]


def _full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1",
        b"\x00" * 4096,
        b"[" * 100_000,
        b'{"a": 1}',
        b"\xff\xfe",
        b" " * (16 * 1024 * 1024) + b"[1]",
    ],
    ids=["empty", "half", "zeros", "deep", "other", "no_text", "endless"],
)
def test_a_damaged_file_is_told_and_begun_anew(counted: Counted, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert counted.file.read(list[int]) is None
    assert str(path) in str(counted.file.problem)
    counted.add()
    counted.file.close()
    assert json.loads(path.read_bytes()) == [0]


def test_a_file_that_would_exhaust_the_process_is_told(counted: Counted, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"[" * 100_000)
    assert counted.file.read(list[object]) is None
    assert str(path) in str(counted.file.problem)
    path.write_bytes(b" " * (16 * 1024 * 1024) + b"[1]")
    assert counted.file.read(list[int]) is None
    assert "longer than" in str(counted.file.problem)


def test_a_folder_in_its_place_is_told_at_start_and_at_each_write(counted: Counted, path: Path) -> None:
    path.mkdir(parents=True)
    assert counted.file.read(list[int]) is None
    counted.add()
    counted.file.close()
    assert "cannot be written" in str(counted.file.problem)


def test_what_was_left_half_written_beside_it_is_no_matter(counted: Counted, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"[7]")
    path.with_name(f".{path.name}.new").write_bytes(b"[7, 8")
    assert counted.file.read(list[int]) == [7]
    assert counted.file.problem is None


CODE = (
    "import sys, logging; from pathlib import Path; from bus.state_files import identify;"
    "logging.basicConfig();"
    "print(identify(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).part, flush=True); sys.stdin.read()"
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start processes that hold the lock of a name until they are killed."""
    running: list[subprocess.Popen[str]] = []

    def run(name: str = "teller", now_ms: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CODE, str(tmp_path), name, str(now_ms)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.communicate()


def part(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_one_of_a_name_ends_and_says_why(start: Start, tmp_path: Path) -> None:
    first = part(start())
    second = start()
    _, said = second.communicate(timeout=20)
    assert second.returncode == EXIT_RUNNING
    assert f"another teller is running; it holds {tmp_path / 'teller.id'}" in said
    assert len(part(start("other"))) == len(first) == 32


def test_a_killed_one_stops_no_successor_and_leaves_it_its_id(start: Start) -> None:
    first = start()
    known = part(first)
    first.kill()
    first.communicate()
    assert part(start()) == known


@pytest.mark.parametrize("torn", [b"", b"\0" * 32, b"abc", b"A" * 32, b"0" * 33])
def test_a_torn_id_is_made_anew(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "teller.id").write_bytes(torn)
    found = identify(tmp_path, "teller", 0)
    assert (tmp_path / "teller.id").read_bytes() == found.part.encode()
    assert found.part not in ("0" * 32, "A" * 32)
    assert (found.problem, len(found.part)) == (None, 32)


def test_its_owner_alone_reads_the_id_and_two_have_two(tmp_path: Path) -> None:
    one, two = identify(tmp_path, "teller", 0), identify(tmp_path / "elsewhere", "teller", 0)
    assert (tmp_path / "teller.id").stat().st_mode & 0o777 == 0o600
    assert one.part != two.part
    assert one.part not in one.instance


def test_a_disk_that_refuses_is_told_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = identify(tmp_path / "file", "teller", 0)
    assert "a second teller would not be noticed" in (found.problem or "")
    assert len(found.part) == 32


def test_instances_sort_by_their_start(tmp_path: Path) -> None:
    times = (0, 5, 999, 1_764_288_000_000)
    instances = [identify(tmp_path / str(ms), "teller", ms).instance for ms in times]
    assert instances == sorted(instances)
