"""Faults of the board's inputs: who goes offline, what the owner reads, and how it comes back."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from bus.pins import rpi as rpi_library
from collector.lines import Surroundings, line_of
from config.model import Device
from tests.clock import FakeTime
from tests.collector import board as boards
from tests.collector.rig import Rig
from tests.emulators import gpio_board
from tests.emulators.gpio_board import Board

DEVICES = {
    "shore": Device(kind="gpio_input", pin=22, device_class="plug", timeout=10),
    "pump_feedback": Device(kind="gpio_input", pin=23, pull="down", timeout=10),
    "waste": Device(kind="tank_switches", levels={"25": 5, "50": 6}, capacity=60, timeout=20),
}


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    yield boards.plug_in(monkeypatch, tmp_path)
    boards.unload()


@pytest.fixture
def rig(tmp_path: Path, time: FakeTime, board: Board) -> Iterator[Rig]:
    board.wire(22, "low")
    board.wire(23, "high")
    board.wire(5, "low")
    around = Surroundings(controller=boards.settings(board, "rpi"))
    rig = Rig(tmp_path, time, DEVICES, "gpio", partial(line_of, around=around))
    yield rig
    rig.close()


def test_inputs_are_read(rig: Rig, board: Board) -> None:
    rig.run(10, 0.2)
    newest = {device: rig.said(device)[-1] for device in DEVICES}
    assert newest["shore"]["input"] == "ON"
    assert newest["pump_feedback"]["input"] == "ON"
    assert newest["waste"]["level"] == 25
    assert newest["waste"]["volume"] == 15
    assert all(rig.online(device) for device in DEVICES)
    board.wire(22, None)
    rig.run(2, 0.2)
    assert rig.said("shore")[-1]["input"] == "OFF"
    assert rig.about("shore")["input"]["device_class"] == "plug"


def test_a_dip_shorter_than_the_debounce_is_no_reading(rig: Rig, board: Board) -> None:
    rig.run(3, 0.2)
    before = len(rig.said("shore"))
    board.wire(22, "high")
    rig.run(0.2, 0.2)
    board.wire(22, "low")
    rig.run(5, 0.2)
    assert [said["input"] for said in rig.said("shore")[before:]] == []


def test_switches_that_contradict_each_other_are_told_of(rig: Rig, board: Board) -> None:
    board.wire(5, None)
    board.wire(6, "low")
    rig.run(10, 0.5)
    assert rig.said("waste")[-1]["level"] is None
    assert rig.said("waste")[-1]["switch_50"] == "ON"
    assert "which one is stuck?" in rig.journal.problems["entity.waste.level"]
    assert rig.online("waste")
    board.wire(5, "low")
    rig.run(10, 0.5)
    assert rig.said("waste")[-1]["level"] == 50
    assert "entity.waste.level" not in rig.journal.problems


def _library_gone(_board: Board, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "RPi", None)
    patch.setitem(sys.modules, "RPi.GPIO", None)


def _library_back(_board: Board, _patch: pytest.MonkeyPatch) -> None:
    boards.unload()


def _no_pi(_board: Board, patch: pytest.MonkeyPatch) -> None:
    boards.unload()
    patch.delenv(gpio_board.FOLDER)


def _a_pi(board: Board, patch: pytest.MonkeyPatch) -> None:
    patch.setenv(gpio_board.FOLDER, str(board.folder))


def _forbid(board: Board, _patch: pytest.MonkeyPatch) -> None:
    board.forbid()


def _permit(board: Board, _patch: pytest.MonkeyPatch) -> None:
    board.permit()


Change = Callable[[Board, pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """How it begins and ends, and what the owner reads of it."""

    begin: Change
    end: Change
    reason: str


FAULTS = {
    "the library is missing": Fault(_library_gone, _library_back, 'set controller.pins to "auto"'),
    "this is no Raspberry Pi": Fault(_no_pi, _a_pi, "can only be run on a Raspberry Pi"),
    "permission denied": Fault(_forbid, _permit, "group gpio"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_board_that_cannot_be_reached_at_the_start(
    rig: Rig, board: Board, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    fault.begin(board, monkeypatch)
    rig.run(25, 0.5)
    for device in DEVICES:
        assert rig.online(device) is False
        assert fault.reason in (rig.problem(device) or "")
        assert rig.said(device) == []
    rig.run(600, 5)
    fault.end(board, monkeypatch)
    # The line is tried again after at most a minute.
    rig.run(62, 0.5)
    rig.run(8, 0.5)
    for device in DEVICES:
        assert rig.online(device)
        assert rig.problem(device) is None


def test_a_board_that_is_taken_away_while_running(rig: Rig, board: Board) -> None:
    rig.run(10, 0.5)
    board.forbid()
    rig.run(25, 0.5)
    for device in DEVICES:
        assert rig.online(device) is False
        assert "group gpio" in (rig.problem(device) or "")
    assert rig.said("shore")[-1]["input"] is None
    assert rig.said("waste")[-1]["level"] is None
    board.permit()
    rig.run(70, 0.5)
    assert all(rig.online(device) for device in DEVICES)
    assert rig.said("shore")[-1]["input"] == "ON"


def test_a_pin_that_is_an_output_is_one_devices_problem(rig: Rig, board: Board) -> None:
    board.drive(22)
    rig.run(25, 0.5)
    assert rig.online("shore") is False
    assert "pin 22 is an output" in (rig.problem("shore") or "")
    assert board.pins()["22"]["function"] == "out"
    assert rig.online("pump_feedback")
    assert rig.online("waste")
    assert rig.problem("waste") is None
    board.release(22)
    rig.run(35, 0.5)
    assert rig.online("shore")
    assert rig.said("shore")[-1]["input"] == "ON"
    assert rig.problem("shore") is None


def test_the_board_is_tried_ever_less_often(rig: Rig, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.forbid()
    attempts: list[float] = []
    known = rpi_library._import

    def watched() -> ModuleType:
        attempts.append(rig.time.monotonic_s)
        return known()

    monkeypatch.setattr(rpi_library, "_import", watched)
    rig.run(600, 0.5)
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert pauses[0] <= 1.5
    assert max(pauses) <= 61
    assert len(attempts) < 20
