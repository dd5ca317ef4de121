"""The GPIO line on the twins of both libraries: levels, pulls, and pins that are not ours."""

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from collector.devices.description import LineError, RefusedError
from collector.transports.board import Gpio
from config.model import Pull
from tests.collector import board as boards
from tests.emulators.gpio_board import Board


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    yield boards.plug_in(monkeypatch, tmp_path)
    boards.unload()


def made(board: Board, backend: str) -> Gpio:
    return Gpio(boards.pins(board, backend), lambda _told: None)


@pytest.fixture(params=["rpi", "gpiod"])
def line(board: Board, request: pytest.FixtureRequest) -> Iterator[Gpio]:
    gpio = made(board, request.param)
    gpio.open()
    yield gpio
    gpio.close()


@pytest.fixture
def rpi(board: Board) -> Gpio:
    gpio = made(board, "rpi")
    gpio.open()
    return gpio


@pytest.mark.parametrize(
    ("wired", "pull", "high"),
    [
        ("low", "up", False),
        ("high", "up", True),
        (None, "up", True),
        ("low", "down", False),
        ("high", "down", True),
        (None, "down", False),
        ("low", "off", False),
        ("high", "off", True),
    ],
)
def test_a_level_is_what_is_wired_else_what_pulls(
    board: Board,
    line: Gpio,
    wired: str | None,
    pull: Pull,
    high: bool,  # noqa: FBT001 — a table
) -> None:
    board.wire(17, wired)
    assert line.read(17, pull) is high
    assert board.pins()["17"] == {"function": "in", "pull": pull}


def test_a_level_that_moves_is_seen(board: Board, line: Gpio) -> None:
    seen = []
    for wired in ("low", "high", None, "low"):
        board.wire(22, wired)
        seen.append(line.read(22, "up"))
    assert seen == [False, True, True, False]


def test_an_output_of_another_program_is_never_touched(board: Board, rpi: Gpio) -> None:
    board.drive(27)
    with pytest.raises(RefusedError, match="pin 27 is an output"):
        rpi.read(27, "up")
    assert board.pins()["27"]["function"] == "out"
    # Others on the same board work on.
    assert rpi.read(22, "up") is True


def test_a_line_that_another_program_holds_is_refused_and_its_holder_named(board: Board) -> None:
    line = made(board, "gpiod")
    line.open()
    hold = board.hold(27, "fan control")
    with pytest.raises(RefusedError, match="pin 27 cannot be an input: 'fan control' holds it"):
        line.read(27, "up")
    assert line.read(22, "up") is True
    os.close(hold)
    assert line.read(27, "up") is True
    line.close()


def test_a_chip_that_may_no_longer_be_opened_is_the_lines_matter(board: Board) -> None:
    line = made(board, "gpiod")
    line.open()
    board.forbid()
    with pytest.raises(LineError, match="group gpio"):
        line.read(22, "up")


def test_a_pull_that_changes_takes_effect_at_once(board: Board, line: Gpio) -> None:
    assert line.read(22, "up") is True
    assert line.read(22, "down") is False
    assert board.pins()["22"] == {"function": "in", "pull": "down"}


def test_it_tells_which_pins_it_reads(board: Board) -> None:
    told: list[str] = []
    for backend in ("rpi", "gpiod"):
        line = Gpio(boards.pins(board, backend), told.append)
        line.open()
        line.close()
    assert told[0].startswith("simulated: RPi.GPIO 0.7.1")
    assert told[1].startswith(f"simulated: pinctrl-bcm2835, {board.chip}; ")


def test_closing_lets_go_of_our_pins_and_of_no_others(board: Board, line: Gpio) -> None:
    line.read(22, "up")
    board.drive(27)
    line.close()
    assert board.pins() == {
        "22": {"function": "in", "pull": "off"},
        "27": {"function": "out", "pull": "off"},
    }
    with pytest.raises(LineError):
        line.read(22, "up")


def test_a_line_that_was_closed_can_be_opened_again(board: Board, line: Gpio) -> None:
    line.read(22, "up")
    line.close()
    line.close()
    line.open()
    board.wire(22, "low")
    assert line.read(22, "up") is False
    assert board.pins()["22"]["pull"] == "up"


def test_the_library_has_nothing_to_warn_of(board: Board) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gpio = made(board, "rpi")
        gpio.open()
        assert gpio.read(2, "up") is True
        gpio.close()
    assert board.pins()["2"]["function"] == "in"


def test_a_pin_that_no_pi_has_is_refused(line: Gpio) -> None:
    with pytest.raises(RefusedError, match="pin 99"):
        line.read(99, "up")


@pytest.mark.parametrize("where", ["gpio_function", "setup", "input"])
def test_the_error_of_lgpio_is_understood(rpi: Gpio, where: str) -> None:
    line = rpi
    line.read(5, "up")
    line.close()
    library = sys.modules["RPi.GPIO"]
    lgpio = ModuleType("lgpio")

    class error(Exception):  # noqa: N801, N818 — lgpio's own name
        pass

    def fail(*_args: object, **_kwargs: object) -> int:
        raise error("'GPIO busy'")

    lgpio.error = error  # type: ignore[attr-defined]  # a module takes what it is given
    library.lgpio = lgpio  # type: ignore[attr-defined]  # rpi-lgpio imports it at its top
    setattr(library, where, fail)

    def use() -> None:
        line.open()
        line.read(5, "up")

    with pytest.raises(RefusedError if where == "setup" else LineError, match="another program holds it"):
        use()
