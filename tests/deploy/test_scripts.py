"""scripts/run as a person meets it: real processes, a real broker, and nothing left behind."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.topics import Topics
from scripts import broker, places
from tests.deploy.started import ENDS_WITHIN, PATIENCE, ROOT, Started, eventually
from tests.ports import free_port
from tests.rounds import some

TOPICS = Topics()


def online(port: int, service: str) -> bool:
    heard = subprocess.run(
        ["mosquitto_sub", "-p", str(port), "-t", TOPICS.service(service), "-C", "1", "-W", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    return heard.stdout.strip() == "online"


# Other tests end their runs by the other signals.
@pytest.mark.parametrize("number", some((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), (signal.SIGINT,)))
def test_a_signal_ends_everything_and_leaves_nothing(
    start: Callable[..., Started], number: signal.Signals
) -> None:
    port = free_port()
    run = start("--port", str(port))
    assert run.shows("Ctrl-C ends everything."), run.text()
    for service in ("statistician", "controller", "collector_ble"):
        assert eventually(lambda name=service: online(port, name)), run.text()  # type: ignore[misc] # lambda default
    in_memory = run.folders(places.MEMORY)
    assert in_memory
    assert run.ends(number) < ENDS_WITHIN
    assert run.process.returncode == 0
    assert run.processes() == []
    assert list(run.temporary.iterdir()) == []
    assert [folder for folder in in_memory if folder.exists()] == []
    assert broker.is_free(port)


def test_the_screen_says_what_to_look_at(start: Callable[..., Started]) -> None:
    port = free_port()
    run = start("--port", str(port))
    assert run.shows("Ctrl-C ends everything."), run.text()
    assert f"mosquitto_pub -p {port} -t {TOPICS.set('relay', 'pump')} -m ON" in run.text()
    assert f"mosquitto_sub -p {port} -v -t '{TOPICS.base}/#'" in run.text()
    assert len(run.text().splitlines()) <= 20


def test_a_run_of_some_seconds_ends_by_itself_and_another_starts_right_after(
    start: Callable[..., Started],
) -> None:
    port = str(free_port())
    for _ in range(2):
        run = start("--port", port, "--seconds", "3")
        assert run.process.wait(PATIENCE) == 0, run.text()
        assert run.processes() == []


def test_two_runs_at_once_do_not_meet(start: Callable[..., Started]) -> None:
    first, second = start("--port", str(free_port())), start("--port", str(free_port()))
    assert first.shows("Ctrl-C ends")
    assert second.shows("Ctrl-C ends")
    assert first.ends(signal.SIGHUP) < ENDS_WITHIN
    assert first.process.returncode == 0
    assert second.process.poll() is None
    assert len(second.processes()) >= 7, second.processes()


def test_a_killed_run_takes_its_processes_along_and_the_next_removes_its_files(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    run = start("--port", str(free_port()))
    assert run.shows("Ctrl-C ends"), run.text()
    in_memory = run.folders(places.MEMORY)
    run.ends(signal.SIGKILL)
    assert eventually(lambda: run.processes() == []), run.processes()
    left = {path.name for path in run.temporary.iterdir()}
    assert left
    # Any other run that starts now removes them, too.
    assert in_memory
    places.sweep(run.temporary)
    places.sweep(places.MEMORY)
    assert list(run.temporary.iterdir()) == []
    assert [folder for folder in in_memory if folder.exists()] == []
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
