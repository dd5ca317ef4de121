"""Machines in folders."""

import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from cli.install import steps
from tests.cli.install.machine import Machine


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: each cut of power writes and replaces a hundred files."""
    fast = Path("/dev/shm")  # noqa: S108 — a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=fast if os.access(fast, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def new_machine(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Machine]:
    """Make machines; the one that was made last is who is asked for users."""
    numbers = count()

    def make() -> Machine:
        made = Machine(memory / f"machine{next(numbers)}")
        monkeypatch.setattr(steps, "known", lambda _lookup, name: name in made.users)
        return made

    monkeypatch.setattr("os.sync", lambda: None)
    monkeypatch.setattr("os.fsync", lambda _: None)
    return make


@pytest.fixture
def machine(new_machine: Callable[[], Machine]) -> Machine:
    """One of them."""
    return new_machine()
