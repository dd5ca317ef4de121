"""A board with both libraries' twins, imported afresh by each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector import board as boards
from tests.emulators.gpio_board import Board


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    yield boards.plug_in(monkeypatch, tmp_path)
    boards.unload()
