"""One process of a name on a machine, and a client id that outlives it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.state_files import EXIT_RUNNING, identify
from tests.house import ROOT

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
