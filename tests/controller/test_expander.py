"""Relays and inputs on an expander: pins of another chip of the kernel, beside those of the board."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bus.health import Journal
from bus.pins import NoPinsError, PinError, Pins, make_inputs, make_pins
from collector.checking import conflicts, taken_by_relays
from collector.lines import Surroundings, line_of
from config.load import load
from config.mistakes import ConfigError
from config.model import Controller, Device, Relay
from controller.files import Memory
from controller.policy import Position
from controller.relays import RelayOutputs
from tests.clock import FakeTime
from tests.collector import board as boards
from tests.collector.rig import Rig
from tests.emulators.gpio_board import Board


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    yield boards.plug_in(monkeypatch, tmp_path)
    boards.unload()


@pytest.fixture
def expander(board: Board) -> Board:
    return Board(board.folder / "expander", label="mcp23017")


def _pins(board: Board, backend: str = "gpiod") -> Pins:
    return make_pins(Controller(pins=backend, chip=str(board.chip)), "boondock test")  # type: ignore[arg-type]  # a word


def _outputs(board: Board, expander: Board, folder: Path, time: FakeTime) -> RelayOutputs:
    relays = {
        "pump": Relay(pin=3),
        "heater": Relay(pin=3, chip=str(expander.chip), active_low=True),
    }
    outputs = RelayOutputs(
        relays, _pins(board), Memory(folder / "memory.json"), clock=time.clock, journal=Journal()
    )
    outputs.start(0.0)
    return outputs


def test_the_same_number_on_two_chips_is_two_pins(
    tmp_path: Path, time: FakeTime, board: Board, expander: Board
) -> None:
    outputs = _outputs(board, expander, tmp_path, time)
    # Off is high where a relay is active low, from the first moment on.
    assert (board.edges(3), expander.edges(3)) == (["low"], ["high"])
    outputs.take("heater", Position(on=True))
    assert (board.level(3), expander.level(3)) == ("low", "low")
    outputs.take("pump", Position(on=True))
    assert (board.level(3), expander.level(3)) == ("high", "low")
    assert (outputs.actual("pump"), outputs.actual("heater")) == ("ON", "ON")
    told = outputs.journal.facts["pins"]
    assert "pinctrl-bcm2835" in str(told)
    assert "mcp23017" in str(told)
    outputs.pins.close()
    assert not board.held(3)
    assert not expander.held(3)


def test_an_expander_that_is_lost_is_told_and_the_board_goes_on(
    tmp_path: Path, time: FakeTime, board: Board, expander: Board
) -> None:
    outputs = _outputs(board, expander, tmp_path, time)
    expander.forbid()
    with pytest.raises(PinError, match="pin 3 cannot be set"):
        outputs.take("heater", Position(on=True))
    assert outputs.actual("heater") is None
    outputs.take("pump", Position(on=True))
    assert outputs.actual("pump") == "ON"
    expander.permit()
    outputs.take("heater", Position(on=True))
    assert outputs.actual("heater") == "ON"
    outputs.pins.close()


def test_an_expander_that_is_not_there_never_becomes_a_pin_of_the_board(
    tmp_path: Path, time: FakeTime, board: Board
) -> None:
    relays = {"heater": Relay(pin=3, chip="/dev/gpiochip77")}
    # auto takes RPi.GPIO where there is no chip, which has the header's pins alone.
    pins = make_pins(Controller(pins="auto"), "boondock test")
    outputs = RelayOutputs(relays, pins, Memory(tmp_path / "m.json"), clock=time.clock, journal=Journal())
    outputs.start(0.0)
    assert "dtoverlay=mcp23017,addr=0x20" in outputs.journal.problems["relay.heater"]
    assert board.pins() == {}
    with pytest.raises(NoPinsError, match=r'RPi\.GPIO reaches no chip .*controller\.pins to "auto"'):
        _pins(board, "rpi").on("mcp23017").reach()


def test_simulated_relays_simulate_those_of_an_expander_but_no_inputs(board: Board, expander: Board) -> None:
    relays = _pins(board, "simulated").on(str(expander.chip))
    relays.open(3, high=True)
    assert expander.pins() == {}
    inputs = make_inputs(Controller(pins="simulated"), "boondock test").on(str(expander.chip))
    inputs.open_input(3, "up")
    expander.wire(3, "low")
    assert inputs.read(3) is False


def test_contacts_and_switches_of_an_expander_reach_the_state_topic(
    tmp_path: Path, time: FakeTime, board: Board, expander: Board
) -> None:
    chip = str(expander.chip)
    devices = {
        "door": Device(kind="gpio_input", pin=8, chip=chip, timeout=10),
        "shore": Device(kind="gpio_input", pin=8, timeout=10),
        "waste": Device(kind="tank_switches", levels={"50": 0, "100": 1}, chip=chip, timeout=20),
    }
    around = Surroundings(controller=boards.settings(board, "gpiod"))
    rig = Rig(tmp_path, time, devices, "gpio", partial(line_of, around=around))
    expander.wire(8, "low")
    expander.wire(0, "low")
    rig.run(10)
    assert (rig.said("door")[-1]["input"], rig.said("shore")[-1]["input"]) == ("ON", "OFF")
    assert rig.said("waste")[-1]["level"] == 50
    # Each chip is a line of its own: one that is lost takes nothing from the other.
    expander.forbid()
    rig.run(30)
    assert (rig.online("door"), rig.online("waste"), rig.online("shore")) == (False, False, True)
    expander.permit()
    rig.run(70)
    assert rig.said("door")[-1]["input"] == "ON"
    rig.close()


def test_a_pin_is_taken_only_on_its_own_chip(tmp_path: Path) -> None:
    file = tmp_path / "boondock.toml"
    relay = '[relay.a]\npin = 3\nchip = "mcp23017"\n'
    file.write_text(relay + "[relay.b]\npin = 3\n")
    assert load(file).relay["a"].chip == "mcp23017"
    file.write_text(relay + '[relay.b]\npin = 3\nchip = "mcp23017"\n')
    with pytest.raises(ConfigError, match="uses pin 3 of mcp23017 already"):
        load(file)
    file.write_text(relay + '[device.c]\nkind = "gpio_input"\npin = 3\nchip = "mcp23017"\n')
    with pytest.raises(ConfigError, match="uses pin 3 of mcp23017 already"):
        load(file)


@pytest.mark.parametrize(("chip", "found"), [("mcp23017", ["pin"]), (None, []), ("other", [])])
def test_a_device_that_is_added_conflicts_only_on_its_own_chip(chip: str | None, found: list[str]) -> None:
    new = Device(kind="gpio_input", pin=3, chip=chip)
    relays = {"heater": Relay(pin=3, chip="mcp23017")}
    others = {"door": Device(kind="gpio_input", pin=3, chip="mcp23017")}
    assert [wrong[0] for wrong in taken_by_relays(new, relays)] == found
    assert [wrong[0] for wrong in conflicts("new", new, others)] == found


def test_a_bus_takes_its_pins_on_the_board_alone() -> None:
    # I2C bus 1 is on pins 2 and 3 of the board.
    chip = Device(kind="ina219")
    assert [wrong[0] for wrong in taken_by_relays(chip, {"heater": Relay(pin=3)})] == ["bus"]
    assert list(taken_by_relays(chip, {"heater": Relay(pin=3, chip="mcp23017")})) == []
