"""The pins of a board, and which library reaches them here."""

from functools import partial

from bus.pins.engine import Lines, NoPinsError, Pins, SimulatedLines
from bus.pins.gpiod_lines import GpiodLines
from bus.pins.rpi import RpiLines
from config.model import Controller


def make_pins(settings: Controller, consumer: str) -> Pins:
    """Return the pins that [controller] asks for; `consumer` is the process's name for the kernel."""
    return Pins(settings.pins, partial(_choose, settings, consumer))


def make_inputs(settings: Controller, consumer: str) -> Pins:
    """Return the pins of a process that only reads: simulated relays do not simulate the inputs."""
    pins = make_pins(settings, consumer)
    return Pins("auto", partial(_auto, settings.chip, consumer)) if settings.pins == "simulated" else pins


def _choose(settings: Controller, consumer: str) -> Lines:
    match settings.pins:
        case "simulated":
            return SimulatedLines()
        case "rpi":
            return RpiLines()
        case "gpiod":
            return GpiodLines(settings.chip, consumer)
        case "auto":
            return _auto(settings.chip, consumer)


def _auto(chip: str | None, consumer: str) -> Lines:
    """Return the kernel's own interface, else RPi.GPIO if it is installed. Raises NoPinsError."""
    try:
        return GpiodLines(chip, consumer)
    except NoPinsError as error:
        why = error
    try:
        return RpiLines()
    except NoPinsError:
        # The advice is about the one that serves every board.
        raise why from None
