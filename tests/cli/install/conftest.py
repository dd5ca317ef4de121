"""Machines in folders."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from cli.install import steps
from tests.cli.install.machine import Machine


@pytest.fixture
def new_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Machine]:
    """Make machines; the one that was made last is who is asked for users."""
    numbers = count()

    def make() -> Machine:
        made = Machine(tmp_path / f"machine{next(numbers)}")
        monkeypatch.setattr(steps, "known_user", made.users.__contains__)
        monkeypatch.setattr(steps, "known_group", made.users.__contains__)
        return made

    monkeypatch.setattr("os.sync", lambda: None)
    monkeypatch.setattr("os.fsync", lambda _: None)
    return make


@pytest.fixture
def machine(new_machine: Callable[[], Machine]) -> Machine:
    """One of them."""
    return new_machine()
