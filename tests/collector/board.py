"""The GPIO twin inside the test's own process, freshly imported by each test."""

import sys
from pathlib import Path

import pytest

from tests.emulators import gpio_board
from tests.emulators.gpio_board import Board

MODULES = ("RPi", "RPi.GPIO")


def plug_in(patch: pytest.MonkeyPatch, folder: Path) -> Board:
    """Make `from RPi import GPIO` give a twin on a fresh board."""
    board = Board(folder / "board")
    unload()
    patch.setenv(gpio_board.FOLDER, str(board.folder))
    patch.syspath_prepend(gpio_board.PYTHONPATH)
    return board


def unload() -> None:
    """Forget the library, as a process that ends."""
    for name in MODULES:
        sys.modules.pop(name, None)
