"""Fixtures that several rooms share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.clock import FakeTime


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path).start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the recorder's scenarios that were compared, since quiet output shows dots only."""
    for outcome in ("passed", "failed"):
        names = sorted(
            report.nodeid.rpartition("[")[2].rstrip("]")
            for report in terminalreporter.stats.get(outcome, [])
            if "test_scenarios.py" in report.nodeid and "[" in report.nodeid and report.when == "call"
        )
        if names:
            terminalreporter.write_line(f"{len(names)} scenarios {outcome}: {', '.join(names)}")
