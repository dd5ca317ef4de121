"""Pins by the kernel's character device, on a twin of libgpiod's package that is like the real one."""

import importlib.metadata
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.pins import NoPinsError, PinError, Pins, gpiod_lines, make_inputs, make_pins
from config.model import Controller
from tests.collector import board as boards
from tests.emulators import gpio_board
from tests.emulators.gpio_board import Board
from tests.house import ROOT


@pytest.fixture(params=["rpi", "gpiod"])
def pins(board: Board, request: pytest.FixtureRequest) -> Iterator[Pins]:
    pins = make_pins(boards.settings(board, request.param), "boondock test")
    yield pins
    pins.close()


@pytest.fixture
def gpiod(board: Board) -> Iterator[Pins]:
    pins = make_pins(boards.settings(board, "gpiod"), "boondock test")
    yield pins
    pins.close()


@pytest.mark.parametrize("high", [True, False])
def test_an_output_starts_at_its_level_and_follows(board: Board, pins: Pins, high: bool) -> None:  # noqa: FBT001 — a table
    pins.open(17, high=high)
    word, other = ("high", "low") if high else ("low", "high")
    assert board.edges(17) == [word]
    assert pins.read(17) is high
    pins.write(17, high=not high)
    assert board.edges(17) == [word, other]
    assert pins.read(17) is not high


def test_opening_again_moves_nothing_and_no_pin_moves_another(board: Board, pins: Pins) -> None:
    pins.open(17, high=True)
    pins.open(27, high=False)
    pins.open(17, high=True)
    assert (board.edges(17), board.edges(27), board.level(22)) == (["high"], ["low"], None)


def test_opening_again_does_not_let_go_in_between(board: Board, gpiod: Pins) -> None:
    (board.folder / "persist").unlink()
    gpiod.open(17, high=True)
    gpiod.open(17, high=True)
    assert board.edges(17) == ["high"]


def test_an_input_is_no_output(pins: Pins) -> None:
    pins.open_input(17, "up")
    with pytest.raises(PinError, match="pin 17 cannot be set"):
        pins.write(17, high=False)


def test_a_line_that_is_held_names_its_holder_and_comes_once_it_is_let_go(board: Board, gpiod: Pins) -> None:
    hold = board.hold(17, "spi0 CS0")
    with pytest.raises(PinError, match=r"pin 17 cannot be an output: 'spi0 CS0' holds it: end that program"):
        gpiod.open(17, high=True)
    assert board.edges(17) == []
    os.close(hold)
    gpiod.open(17, high=True)
    assert board.edges(17) == ["high"]


def test_two_processes_cannot_have_one_line(board: Board, gpiod: Pins) -> None:
    gpiod.open(17, high=True)
    other = make_pins(boards.settings(board, "gpiod"), "another")
    with pytest.raises(PinError, match="'boondock test' holds it"):
        other.open(17, high=False)
    assert board.level(17) == "high"


def test_a_user_outside_the_group_is_told_the_command(board: Board, gpiod: Pins) -> None:
    board.forbid()
    with pytest.raises(NoPinsError, match=r"gpiochip0 cannot be opened .*sudo usermod -aG gpio"):
        gpiod.open(17, high=True)
    board.permit()
    gpiod.open(17, high=True)
    assert board.level(17) == "high"


def test_a_group_that_is_lost_while_running_moves_no_pin(board: Board, gpiod: Pins) -> None:
    gpiod.open(17, high=True)
    board.forbid()
    with pytest.raises(PinError, match="group gpio"):
        gpiod.open(27, high=True)
    assert board.held(17)
    board.permit()
    gpiod.open(27, high=True)
    assert (board.edges(17), board.edges(27)) == (["high"], ["high"])


_HELPER = """
import os, sys
from config.model import Controller
from bus.pins import make_pins
pins = make_pins(Controller(pins="gpiod", chip=os.environ["BOONDOCK_CONTROLLER__CHIP"]), "boondock child")
pins.open(17, high=True)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("persist", [True, False])
def test_what_a_killed_process_leaves_is_the_chips(tmp_path: Path, persist: bool) -> None:  # noqa: FBT001 — a table
    board = Board(tmp_path / "board", "gpiod", persist=persist)
    path = os.pathsep.join((board.environment["PYTHONPATH"], str(ROOT)))
    child = subprocess.Popen(
        [sys.executable, "-c", _HELPER],
        env=os.environ | board.environment | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    assert board.held(17)
    assert board.level(17) == "high"
    child.kill()
    child.communicate()
    assert not board.held(17)
    assert board.level(17) == ("high" if persist else None)


@pytest.fixture
def machine(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of chips, in `dev`, `model` and `module`; the board's own chip is taken off."""
    board.chip.unlink()
    for name in ("dev", "module"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(gpiod_lines, "_DEV", tmp_path / "dev")
    monkeypatch.setattr(gpiod_lines, "_MODULES", tmp_path / "module")
    monkeypatch.setattr(gpiod_lines, "_MODEL", tmp_path / "model")
    return tmp_path


def furnish(machine: Path, model: str, *labels: str) -> None:
    (machine / "model").write_text(model + "\0", encoding="ascii")
    for number, label in enumerate(labels):
        (machine / "dev" / f"gpiochip{number}").write_text(label, encoding="ascii")


PI = "Raspberry Pi 5 Model B Rev 1.0"


@pytest.mark.parametrize(
    ("model", "labels", "setting", "chosen"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", ["pinctrl-bcm2835"], None, 0),
        ("Raspberry Pi 4 Model B Rev 1.4", ["pinctrl-bcm2711", "raspberrypi-exp-gpio"], None, 0),
        (PI, ["pinctrl-rp1", "gpio-brcmstb@107d508500"], None, 0),
        # As kernels before 6.6.45 number them.
        (PI, [*["gpio-brcmstb@107d508500"] * 4, "pinctrl-rp1"], None, 4),
        (PI, ["gpio-brcmstb@107d508500", "ft232h", "pinctrl-rp1"], "ft232h", 1),
        (PI, ["ft232h", "pinctrl-rp1"], "gpiochip0", 0),
        ("Radxa ROCK 3C", [*[f"gpio{n}" for n in range(12)]], None, 0),
        ("Radxa ROCK 3C", [*[f"gpio{n}" for n in range(12)]], "gpio11", 11),
        ("Radxa ROCK 3C", [*[f"gpio{n}" for n in range(12)]], "gpiochip10", 10),
    ],
)
def test_the_chip_is_the_headers_else_the_first_else_the_one_named(
    machine: Path, model: str, labels: list[str], setting: str | None, chosen: int
) -> None:
    furnish(machine, model, *labels)
    for asked in ("auto", "gpiod"):
        pins = make_pins(Controller(pins=asked, chip=setting), "test")
        assert f"{labels[chosen]}, {machine}/dev/gpiochip{chosen};" in pins.told


def test_a_pi_5_with_a_link_has_its_chip_by_both_names(machine: Path) -> None:
    furnish(machine, PI, "pinctrl-rp1")
    (machine / "dev" / "gpiochip4").symlink_to("gpiochip0")
    assert f"{machine}/dev/gpiochip0;" in make_pins(Controller(), "test").told
    assert f"{machine}/dev/gpiochip4;" in make_pins(Controller(chip="gpiochip4"), "test").told


def test_chip_2_comes_before_chip_10(machine: Path) -> None:
    furnish(machine, "Radxa ROCK 3C", *[f"gpio{n}" for n in range(12)])
    for number in (0, 1):
        (machine / "dev" / f"gpiochip{number}").unlink()
    assert f"{machine}/dev/gpiochip2;" in make_pins(Controller(), "test").told


@pytest.mark.parametrize(
    ("model", "labels", "setting", "reason"),
    [
        (PI, ["gpio-brcmstb@107d508500"], None, "no GPIO chip of a header on Raspberry Pi 5"),
        # The pins of a PC switch its own parts.
        ("", ["INT34C5:00"], None, "INT34C5:00 at .*set controller.chip to the one that is"),
        ("", [], None, 'no .*/gpiochip.*controller.pins to "simulated"'),
        (PI, ["pinctrl-rp1"], "gpiochip7", "there is no chip 'gpiochip7'; there is: pinctrl-rp1 at"),
        (PI, [], "/dev/gpiochip77", "there is no chip '/dev/gpiochip77'"),
    ],
)
def test_a_machine_without_the_chip_is_told_what_there_is(
    machine: Path, model: str, labels: list[str], setting: str | None, reason: str
) -> None:
    furnish(machine, model, *labels)
    pins = make_pins(Controller(pins="gpiod", chip=setting), "test")
    with pytest.raises(NoPinsError, match=reason):
        pins.open(17, high=True)
    assert pins.backend == "gpiod", "what was asked for"


def test_chips_that_may_not_be_opened_are_a_matter_of_the_group(machine: Path, board: Board) -> None:
    furnish(machine, PI, "pinctrl-rp1")
    board.forbid()
    with pytest.raises(NoPinsError, match=r"gpiochip0 cannot be opened \(permission denied\).* group gpio"):
        make_pins(Controller(pins="gpiod"), "test").reach()


def test_auto_takes_rpi_gpio_where_the_kernel_has_no_chip(machine: Path) -> None:
    furnish(machine, "Raspberry Pi 3 Model B")
    assert "RPi.GPIO 0.7.1" in make_pins(Controller(), "test").told
    furnish(machine, "Raspberry Pi 3 Model B", "pinctrl-bcm2835")
    assert "pinctrl-bcm2835" in make_pins(Controller(), "test").told


def test_auto_without_any_library_tells_of_the_one_that_serves_all(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(machine, PI, "pinctrl-rp1")
    for name in ("RPi", "gpiod"):
        monkeypatch.setitem(sys.modules, name, None)
    pins = make_pins(Controller(), "test")
    with pytest.raises(NoPinsError, match=r"no gpiod here .*run \./scripts/setup again"):
        pins.open(17, high=True)
    assert (pins.backend, pins.told[:13]) == ("auto", "no gpiod here")
    monkeypatch.delitem(sys.modules, "gpiod")
    pins.open(17, high=True)
    assert pins.read(17) is True, "it was found once it was there"


def test_simulated_relays_do_not_simulate_inputs(machine: Path, board: Board) -> None:
    furnish(machine, PI, "pinctrl-rp1")
    inputs = make_inputs(Controller(pins="simulated"), "test")
    inputs.open_input(22, "up")
    board.wire(22, "low")
    assert inputs.read(22) is False


@pytest.mark.parametrize(
    ("label", "module", "says", "told"),
    [
        ("pinctrl-bcm2711", "pinctrl_bcm2835", "Y\n", "outputs stay as they are when this process ends"),
        ("pinctrl-bcm2835", "pinctrl_bcm2835", "N\n", "outputs become inputs when this process ends"),
        ("pinctrl-rp1", "pinctrl_rp1", "Y\n", "outputs stay as they are when this process ends"),
        ("pinctrl-rp1", "pinctrl_bcm2835", "Y\n", "is up to the chip's driver"),
        ("gpio0", "pinctrl_rp1", "Y\n", "is up to the chip's driver"),
    ],
)
def test_health_tells_what_becomes_of_outputs(
    machine: Path, label: str, module: str, says: str, told: str
) -> None:
    furnish(machine, PI, label)
    parameters = machine / "module" / module / "parameters"
    parameters.mkdir(parents=True)
    (parameters / "persist_gpio_outputs").write_text(says, encoding="ascii")
    assert make_pins(Controller(chip="gpiochip0"), "test").told.endswith(told)


def _load(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(
        "stood_in", path, submodule_search_locations=[str(path.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stood_in"] = module
    spec.loader.exec_module(module)
    return module


def _shape(of: object) -> list[tuple[str, object]]:
    """Names and defaults; an enum's member by its name."""
    parameters = inspect.signature(of).parameters.values()  # type: ignore[arg-type]  # functions and classes
    return [(one.name, getattr(one.default, "name", one.default)) for one in parameters]


@pytest.mark.skipif(
    not importlib.metadata.packages_distributions().get("gpiod"), reason="gpiod is not installed"
)
def test_the_twin_has_the_shapes_of_the_real_package(board: Board) -> None:  # noqa: ARG001 — it names the folder
    twin = _load(gpio_board.PYTHONPATH / "gpiod" / "__init__.py")
    code = "import gpiod, gpiod.line; print(gpiod.__file__)"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True
    )
    sys.path.insert(0, str(Path(found.stdout.strip()).parent.parent))
    try:
        boards.unload()
        import gpiod as real  # noqa: PLC0415 — the real one now
        import gpiod.line as real_line  # noqa: PLC0415 — the same
    finally:
        sys.path.pop(0)
    assert hasattr(real, "api_version"), "the real one"
    for name in (
        *("request_lines", "Chip.__init__", "Chip.close", "Chip.get_info", "Chip.get_line_info"),
        *("LineRequest.release", "LineRequest.get_value", "LineRequest.set_value"),
        "LineRequest.reconfigure_lines",
    ):
        ours, theirs = twin, real
        for part in name.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part)
        assert _shape(ours) == _shape(theirs), name
    assert set(_shape(twin.LineSettings)) <= set(_shape(real.LineSettings))  # type: ignore[attr-defined]  # a module
    for info in ("ChipInfo", "LineInfo"):
        assert set(inspect.signature(getattr(twin, info)).parameters) <= set(
            getattr(real, info).__dataclass_fields__
        )
    for word in ("Value", "Direction", "Bias"):
        ours = {member.name for member in getattr(twin.line, word)}  # type: ignore[attr-defined]  # a module
        assert ours == {member.name for member in getattr(real_line, word)}
    assert issubclass(real.RequestReleasedError, Exception)
    assert not issubclass(real.RequestReleasedError, OSError)
