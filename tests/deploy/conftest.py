"""What the tests of scripts/run share."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.started import Started


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
