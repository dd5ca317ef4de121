"""A collector that has no device ends at once; one that may have some does not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.device import TRANSPORTS
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
ROSTER = '{"version": 1, "devices": {"mine": {"kind": "raspberry_pi"}}}'

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a collector whose settings have this text, without a broker."""
    started: list[subprocess.Popen[str]] = []

    def one(transport: str, text: str = "") -> subprocess.Popen[str]:
        file = tmp_path / "boondock.toml"
        storage = f"[storage]\nruntime = '{tmp_path}'\nstate = '{tmp_path}'\n"
        file.write_text(f"[broker]\nport = {free_port()}\n{storage}{text}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BOONDOCK_")}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "collector", transport],
                cwd=tmp_path,
                env=kept | {"BOONDOCK_CONFIG": str(file), "PYTHONPATH": str(ROOT)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.communicate()


def runs(process: subprocess.Popen[str]) -> str:
    """What it says until it looks for its broker; it must get that far."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "no broker at" in line:
            return said
    raise AssertionError(f"it ended: {said}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_collector_without_a_device_ends_at_once_and_says_how_it_would_run(
    start: Start, transport: str
) -> None:
    process = start(transport)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f'to scan or to add some over MQTT: [collector] run = ["{transport}"]' in said
    assert "WARNING" not in said


def test_a_collector_runs_without_a_device_where_it_is_asked_for(start: Start) -> None:
    runs(start("i2c", '[collector]\nrun = ["i2c"]\n'))


@pytest.mark.parametrize(
    ("roster", "told"),
    [
        (ROSTER, ""),
        ('{"version": 1, "devices": {"a": 7}}', "the entry a cannot be read"),
        ("{", "was damaged"),
    ],
)
def test_a_collector_whose_devices_were_added_over_mqtt_runs(
    start: Start, tmp_path: Path, roster: str, told: str
) -> None:
    (tmp_path / "collector_host-devices.json").write_text(roster)
    assert told in runs(start("host"))


def test_a_collector_that_left_something_at_the_broker_comes_to_take_it_back(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "collector_host-published.json").write_text('{"pi": ["load"]}')
    runs(start("host"))
