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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --all."""
    parser.addoption("--all", action="store_true", help="run what takes minutes too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless all is asked for."""
    for item in items:
        # The first of those installs what it needs.
        if {"long", "homeassistant", "nodered"} & set(item.keywords):
            item.add_marker(pytest.mark.timeout(3600))
        if "long" in item.keywords and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --all runs it"))


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
