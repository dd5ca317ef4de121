"""Fixtures of the language on the broker."""

from pathlib import Path

import pytest

from tests.clock import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
