"""Pins by RPi.GPIO as the wire sees them, by the library's own rules; simulated ones by the same."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from bus.pins import PinError, Pins, make_pins
from bus.pins.rpi import RpiLines
from config.model import Controller
from tests.controller.gpio import Gpio, plug_in


@pytest.fixture
def gpio(monkeypatch: pytest.MonkeyPatch) -> Gpio:
    return plug_in(monkeypatch)


def rpi() -> Pins:
    return Pins("rpi", RpiLines)


def test_the_level_stands_before_the_pin_drives(gpio: Gpio) -> None:
    rpi().open(17, high=True)
    assert gpio.wire == [(17, True)], "an active-low relay would click at every start"


def test_a_pin_opened_low_starts_low(gpio: Gpio) -> None:
    rpi().open(17, high=False)
    assert gpio.wire == [(17, False)]


def test_a_pin_follows_and_reads_back(gpio: Gpio) -> None:
    pins = rpi()
    pins.open(17, high=False)
    pins.write(17, high=True)
    assert pins.read(17) is True
    gpio.stuck[17] = False
    assert pins.read(17) is False


def test_opening_again_a_pin_that_still_drives_moves_nothing_and_complains_of_nothing(gpio: Gpio) -> None:
    rpi().open(17, high=True)
    rpi().open(17, high=True)
    assert gpio.edges(17) == [True, True]
    assert gpio.warned == []


def test_pins_are_independent(gpio: Gpio) -> None:
    pins = rpi()
    pins.open(17, high=True)
    pins.open(27, high=False)
    pins.write(27, high=True)
    assert (gpio.level(17), gpio.level(27), gpio.level(22)) == (True, True, None)


@pytest.mark.parametrize("pins", [rpi(), make_pins(Controller(pins="simulated"), "test")])
def test_a_pin_that_was_not_opened_is_an_error(gpio: Gpio, pins: Pins) -> None:
    with pytest.raises(PinError, match="17"):
        pins.write(17, high=True)
    with pytest.raises(PinError, match="17"):
        pins.read(17)
    assert gpio.wire == []


def test_a_pin_the_library_refuses_is_named_with_its_reason(gpio: Gpio) -> None:
    gpio.broken.add(17)
    with pytest.raises(PinError, match=r"pin 17 cannot be an output: this user may not use it"):
        rpi().open(17, high=True)


def _absent(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "RPi", None)


def _on_a_laptop(patch: pytest.MonkeyPatch) -> None:
    class Refusing(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("This module can only be run on a Raspberry Pi!")

    patch.setitem(sys.modules, "RPi", Refusing("RPi"))


@pytest.mark.parametrize("missing", [_absent, _on_a_laptop])
def test_a_machine_without_pins_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, missing: Callable[[pytest.MonkeyPatch], None]
) -> None:
    missing(monkeypatch)
    with pytest.raises(PinError, match=r"no RPi.GPIO here .* set controller.pins to \"auto\""):
        rpi().open(17, high=True)


def test_simulated_pins_keep_what_they_are_told_and_say_what_they_are(gpio: Gpio) -> None:
    pins = make_pins(Controller(pins="simulated"), "test")
    pins.open(17, high=True)
    assert pins.read(17) is True
    pins.write(17, high=False)
    assert pins.read(17) is False
    assert gpio.wire == []
    assert (pins.backend, rpi().backend) == ("simulated", "rpi")
    assert pins.told == "simulated: no pin is switched"


def test_an_output_of_another_program_is_never_made_an_input(gpio: Gpio) -> None:
    rpi().open(17, high=True)
    with pytest.raises(PinError, match="pin 17 is an output"):
        rpi().open_input(17, "up")
    assert gpio.level(17) is True


def test_the_error_of_lgpio_is_understood_by_outputs_too(gpio: Gpio) -> None:
    lgpio = ModuleType("lgpio")

    class error(Exception):  # noqa: N801, N818 — lgpio's own name
        pass

    def fail(*_args: object, **_kwargs: object) -> None:
        raise error("'GPIO busy'")

    lgpio.error = error  # type: ignore[attr-defined]  # a module takes what it is given
    gpio.lgpio = lgpio  # type: ignore[attr-defined]  # rpi-lgpio imports it at its top
    gpio.setup = fail  # type: ignore[method-assign]  # the library refuses
    with pytest.raises(PinError, match="pin 17 cannot be an output: another program holds it"):
        rpi().open(17, high=True)
