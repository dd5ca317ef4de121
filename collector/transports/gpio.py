"""The board's inputs: the shared engine of pins as a line.

Pins are polled: a contact stays as it is for seconds, and RPi.GPIO's edge detection fails on kernels from
6.6 on.
"""

import logging
from collections.abc import Callable

from bus.pins import NoPinsError, PinError, Pins
from collector.devices.description import LineError, RefusedError
from config.model import Pull

log = logging.getLogger(__name__)


class Gpio:
    """Inputs of the board; the controller's outputs are never touched. `tell` hears what the pins are."""

    def __init__(self, pins: Pins, tell: Callable[[str], None]) -> None:
        self._pins = pins
        self._tell = tell
        self._open = False
        self._inputs: dict[int, Pull] = {}

    def open(self) -> None:
        """Find the library and reach the chip. Raises LineError."""
        try:
            self._tell(self._pins.reach().told)
        except NoPinsError as error:
            raise LineError(str(error)) from error
        self._open = True

    def close(self) -> None:
        """Let go of the pins that we opened, and of no others."""
        self._open = False
        self._inputs.clear()
        try:
            self._pins.close()
        except PinError as error:
            log.debug("%s", error)

    def read(self, pin: int, pull: Pull) -> bool:
        """Return whether a pin is high, set up at its first use. Raises RefusedError or LineError."""
        if not self._open:
            raise LineError("the pins are not open")
        if self._inputs.get(pin) != pull:
            self._set_up(pin, pull)
        try:
            return self._pins.read(pin)
        except PinError as error:
            raise LineError(str(error)) from error

    def _set_up(self, pin: int, pull: Pull) -> None:
        try:
            self._pins.open_input(pin, pull)
        except NoPinsError as error:
            raise LineError(str(error)) from error
        except PinError as error:
            raise RefusedError(str(error)) from error
        self._inputs[pin] = pull
