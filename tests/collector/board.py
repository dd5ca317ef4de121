"""The GPIO twins inside the test's own process, freshly imported by each test."""

import sys
from pathlib import Path

import pytest

from bus.pins import Pins, make_inputs
from config.model import Controller
from tests.emulators import gpio_board
from tests.emulators.gpio_board import Board

MODULES = ("RPi", "RPi.GPIO", "gpiod", "gpiod.line")


def plug_in(patch: pytest.MonkeyPatch, folder: Path) -> Board:
    """Make `from RPi import GPIO` and `import gpiod` give twins on a fresh board."""
    board = Board(folder / "board")
    unload()
    patch.setenv(gpio_board.FOLDER, str(board.folder))
    patch.syspath_prepend(gpio_board.PYTHONPATH)
    return board


def unload() -> None:
    """Forget the libraries, as a process that ends."""
    for name in MODULES:
        sys.modules.pop(name, None)


def pins(board: Board, backend: str) -> Pins:
    """The pins that a collector has of the board, by a library."""
    return make_inputs(settings(board, backend), "boondock test")


def settings(board: Board, backend: str) -> Controller:
    """[controller] for a twin of a library."""
    assert backend in ("rpi", "gpiod")
    return Controller(pins="rpi" if backend == "rpi" else "gpiod", chip=str(board.chip))
