"""The board's inputs by RPi.GPIO or its drop-in rpi-lgpio, imported when the line opens.

Pins are polled: RPi.GPIO's edge detection fails on kernels from 6.6 on.
"""

import logging
from types import ModuleType

from collector.devices.description import LineError, RefusedError
from collector.devices.lines import Pull

log = logging.getLogger(__name__)

# Asked for its function only, to see whether the chip can be reached; any pin would do.
_ANY_PIN = 4
_ACCESS = "is the user in the group gpio? RPi.GPIO needs /dev/gpiomem, rpi-lgpio /dev/gpiochip0"
_LIBRARY = "install the extra gpio (kernel before 6.6) or gpio-lgpio"


class Gpio:
    """Inputs of a Raspberry Pi. The controller's outputs are never touched."""

    def __init__(self) -> None:
        self._gpio: ModuleType | None = None
        self._failures: tuple[type[Exception], ...] = ()
        self._inputs: set[int] = set()

    def open(self) -> None:
        """Load the library and reach the chip. Raises LineError."""
        gpio = _import()
        self._failures = _failures(gpio)
        try:
            gpio.setwarnings(False)  # noqa: FBT003 — the library's signature
            gpio.setmode(gpio.BCM)
            # RPi.GPIO opens the chip at its first use, rpi-lgpio in setmode.
            gpio.gpio_function(_ANY_PIN)
        except self._failures as error:
            raise LineError(f"the pins cannot be reached ({error}): {_ACCESS}") from error
        self._gpio = gpio

    def close(self) -> None:
        """Let go of the pins that we opened, and of no others."""
        gpio, inputs = self._gpio, sorted(self._inputs)
        self._gpio = None
        self._inputs.clear()
        if gpio is None or not inputs:
            return
        try:
            gpio.cleanup(inputs)
        except self._failures as error:
            log.debug("pins %s were not let go: %s", inputs, error)

    def read(self, pin: int, pull: Pull) -> bool:
        """Whether a pin is high, set up at its first use. Raises RefusedError or LineError."""
        gpio = self._gpio
        if gpio is None:
            raise LineError("the pins are not open")
        if pin not in self._inputs:
            self._set_up(gpio, pin, pull)
        try:
            return bool(gpio.input(pin))
        except self._failures as error:
            raise LineError(f"pin {pin} cannot be read ({error}): {_ACCESS}") from error

    def _set_up(self, gpio: ModuleType, pin: int, pull: Pull) -> None:
        pulls = {"up": gpio.PUD_UP, "down": gpio.PUD_DOWN, "off": gpio.PUD_OFF}
        try:
            # RPi.GPIO would make an input of a relay's output, and the relay would drop.
            if gpio.gpio_function(pin) == gpio.OUT:
                raise RefusedError(
                    f"pin {pin} is an output: does something else use it? What was once an output stays "
                    "one until the machine starts anew"
                )
            gpio.setup(pin, gpio.IN, pull_up_down=pulls[pull])
        except self._failures as error:
            raise RefusedError(
                f"pin {pin} cannot be an input ({error}): does another program use it?"
            ) from error
        self._inputs.add(pin)


def _import() -> ModuleType:
    try:
        from RPi import GPIO  # noqa: PLC0415 — it refuses to be imported on anything but a Pi
    except (ImportError, RuntimeError, OSError) as error:
        raise LineError(f"no GPIO here ({error}): {_LIBRARY}") from error
    return GPIO  # type: ignore[no-any-return]  # the library has no types


def _failures(gpio: ModuleType) -> tuple[type[Exception], ...]:
    """What the library raises. rpi-lgpio lets lgpio's own error through, a plain Exception."""
    error = getattr(getattr(gpio, "lgpio", None), "error", None)
    known = (RuntimeError, ValueError, OSError)
    return (*known, error) if isinstance(error, type) and issubclass(error, Exception) else known
