"""Fixtures that several rooms share, and which tests run in which order."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import rounds
from tests.broker import Mosquitto
from tests.clock import FakeTime

# Their files take longest: begun last, one of them would hold up the end of the run.
_FIRST = ("homeassistant", "journeys", "deploy", "bench", "collector", "bus")


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
    parser.addoption("--all", action="store_true", help="run what takes minutes too, and repeat more often")


def pytest_configure(config: pytest.Config) -> None:
    """Say how often is repeated, before a test file is read."""
    rounds.whole = config.getoption("--all")
    # On a busy machine even small examples take long to make.
    slow = [hypothesis.HealthCheck.too_slow]
    for name, examples in (("quick", 40), ("whole", 200)):
        hypothesis.settings.register_profile(name, max_examples=examples, suppress_health_check=slow)
    hypothesis.settings.load_profile("whole" if rounds.whole else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first, and leave out what takes minutes unless all is asked for."""
    items.sort(key=_rank)
    for item in items:
        # The first of those installs what it needs.
        if {"long", "homeassistant", "nodered", "gcloud"} & set(item.keywords):
            item.add_marker(pytest.mark.timeout(3600))
        if "long" in item.keywords and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --all runs it"))


def _rank(item: pytest.Item) -> int:
    folders = item.path.parts
    return next((rank for rank, folder in enumerate(_FIRST) if folder in folders), len(_FIRST))


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
