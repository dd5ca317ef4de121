"""scripts/run as a person meets it: real processes, a real broker, and nothing left behind."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.topics import Topics
from scripts import broker, places
from tests.broker import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
TOPICS = Topics()


def eventually(true: Callable[[], bool]) -> bool:
    return broker.wait_until(true, lambda: False, PATIENCE)


class Started:
    """A running scripts/supervise.py with temporary files of its own and a mark on all its processes."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.screen = folder / "screen"
        self._mark = f"MARK={secrets.token_hex(8)}"
        name, value = self._mark.split("=")
        kept = {key: word for key, word in os.environ.items() if not key.startswith("BOONDOCK_")}
        with self.screen.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.supervise", *options],
                cwd=ROOT,
                env=kept | {"TMPDIR": str(self.temporary), name: value},
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    def shows(self, text: str) -> bool:
        """Wait until this is printed; False if the run ends without."""
        eventually(lambda: text in self.text() or self.process.poll() is not None)
        return text in self.text()

    def text(self) -> str:
        """What was printed so far."""
        return self.screen.read_text()

    def processes(self) -> list[str]:
        """The command lines of everything that runs on behalf of this run."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and self._mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it ended while we looked, or is not ours to read
        return found

    def ends(self, number: signal.Signals) -> float:
        """Send a signal to the run alone; return how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - began


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    runs: list[Started] = []

    def one(*options: str) -> Started:
        runs.append(Started(tmp_path / str(len(runs)), *options))
        return runs[-1]

    yield one
    for run in runs:
        if run.process.poll() is None:
            run.ends(signal.SIGTERM)


def online(port: int, service: str) -> bool:
    heard = subprocess.run(
        ["mosquitto_sub", "-p", str(port), "-t", TOPICS.service(service), "-C", "1", "-W", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    return heard.stdout.strip() == "online"


def in_memory() -> set[str]:
    return {path.name for path in places.MEMORY.glob(places.PREFIX + "*")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_leaves_nothing(
    start: Callable[..., Started], number: signal.Signals
) -> None:
    port = free_port()
    before = in_memory()
    run = start("--port", str(port))
    assert run.shows("Ctrl-C ends everything."), run.text()
    for service in ("statistician", "controller", "collector_ble"):
        assert eventually(lambda name=service: online(port, name)), run.text()  # type: ignore[misc] # lambda default
    assert run.ends(number) < 5
    assert run.process.returncode == 0
    assert run.processes() == []
    assert list(run.temporary.iterdir()) == []
    assert in_memory() <= before
    assert broker.is_free(port)


def test_the_screen_says_what_to_look_at(start: Callable[..., Started]) -> None:
    port = free_port()
    run = start("--port", str(port))
    assert run.shows("Ctrl-C ends everything."), run.text()
    assert f"mosquitto_pub -p {port} -t {TOPICS.set('relay', 'pump')} -m ON" in run.text()
    assert f"mosquitto_sub -p {port} -v -t '{TOPICS.base}/#'" in run.text()
    assert len(run.text().splitlines()) <= 12


def test_a_run_of_some_seconds_ends_by_itself_and_another_starts_right_after(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    port = str(free_port())
    for _ in range(2):
        run = start("--port", port, "--seconds", "3", "--data", str(tmp_path / "kept"))
        assert run.process.wait(PATIENCE) == 0, run.text()
        assert run.processes() == []
    assert (tmp_path / "kept" / "statistics.db").exists()


def test_two_runs_at_once_do_not_meet(start: Callable[..., Started]) -> None:
    first, second = start("--port", str(free_port())), start("--port", str(free_port()))
    assert first.shows("Ctrl-C ends")
    assert second.shows("Ctrl-C ends")
    assert first.ends(signal.SIGINT) < 5
    assert second.process.poll() is None
    assert len(second.processes()) >= 7, second.processes()


def test_a_killed_run_takes_its_processes_along_and_the_next_removes_its_files(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    run = start("--port", str(free_port()))
    assert run.shows("Ctrl-C ends"), run.text()
    run.ends(signal.SIGKILL)
    assert eventually(lambda: run.processes() == []), run.processes()
    left = {path.name for path in run.temporary.iterdir()}
    assert left
    before = in_memory()
    places.sweep(run.temporary)
    places.sweep(places.MEMORY)
    assert list(run.temporary.iterdir()) == []
    assert in_memory() < before
    assert not list(tmp_path.glob("*/tmp/*"))


def test_a_taken_port_is_a_usage_error(start: Callable[..., Started]) -> None:
    with socket.create_server((broker.HOST, 0)) as server:
        port = server.getsockname()[1]
        run = start("--port", str(port))
        assert run.process.wait(PATIENCE) == 2
    assert run.text() == (
        f"run: port {port} is taken or not allowed; choose another with --port, or leave it out\n"
    )


@pytest.mark.parametrize("wrong", [["--prot", "1883"], ["--port", "0"], ["--seconds", "soon"], ["extra"]])
def test_a_wrong_option_is_a_usage_error(start: Callable[..., Started], wrong: list[str]) -> None:
    run = start(*wrong)
    assert run.process.wait(PATIENCE) == 2
    assert run.text().startswith("usage: scripts/run")


def test_a_missing_configuration_is_named(start: Callable[..., Started], tmp_path: Path) -> None:
    run = start("--config", str(tmp_path / "none.toml"))
    assert run.process.wait(PATIENCE) == 1
    assert "none.toml" in run.text()


def test_a_wrong_configuration_ends_with_78_and_its_mistakes(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[broker]\nprot = 1883\n")
    run = start("--config", str(wrong), "--port", str(free_port()), "--data", str(tmp_path / "kept"))
    assert run.process.wait(PATIENCE) == 78, run.text()
    assert "did you mean port?" in run.text()
    assert run.processes() == []


def test_the_wrapper_runs_from_anywhere(tmp_path: Path) -> None:
    shown = subprocess.run(
        [ROOT / "scripts" / "run", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--data DIR" in shown.stdout
