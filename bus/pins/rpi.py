"""The pins of a Raspberry Pi by RPi.GPIO or its drop-in rpi-lgpio; the only file with RPi."""

from collections.abc import Collection
from types import ModuleType

from bus.pins import Edges, NoPinsError, PinError, in_words
from config.model import Pull

# Asked for its function only, to see whether the chip can be reached; any pin would do.
_ANY_PIN = 4
_ACCESS = (
    "is the user in the group gpio (sudo usermod -aG gpio <user>, then log in again)? RPi.GPIO needs "
    "/dev/gpiomem, rpi-lgpio /dev/gpiochip0"
)
_OUTPUT = (
    "is an output: does something else use it? What was once an output stays one until the machine starts "
    "anew"
)


class RpiLines:
    """Outputs and inputs by RPi.GPIO. Opening it raises NoPinsError."""

    def __init__(self) -> None:
        self._gpio = _import()
        self.failures = _failures(self._gpio)
        # A stand-in for the library says that it is none.
        self.backend = str(getattr(self._gpio, "BACKEND", "rpi"))
        self.told = f"{self.backend}: RPi.GPIO {getattr(self._gpio, 'VERSION', '')}".rstrip()
        self._ours: set[int] = set()
        try:
            self._gpio.setwarnings(False)  # noqa: FBT003 — the library's signature
            self._gpio.setmode(self._gpio.BCM)
            # RPi.GPIO opens the chip at its first use, rpi-lgpio in setmode.
            self._gpio.gpio_function(_ANY_PIN)
        except self.failures as error:
            raise NoPinsError(f"the pins cannot be reached ({_reason(error)}): {_ACCESS}") from error

    def output(self, pin: int, *, high: bool) -> None:
        """Level before direction: RPi.GPIO sets `initial` first (source/py_gpio.c, setup_one)."""
        self._gpio.setup(pin, self._gpio.OUT, initial=self._level(high=high))
        self._ours.add(pin)

    def input(self, pin: int, pull: Pull) -> None:
        """Pull by the chip's own resistor. Raises PinError for an output of another program."""
        gpio = self._gpio
        pulls = {"up": gpio.PUD_UP, "down": gpio.PUD_DOWN, "off": gpio.PUD_OFF}
        # RPi.GPIO would make an input of another program's output, and its relay would drop.
        if pin not in self._ours and gpio.gpio_function(pin) == gpio.OUT:
            raise PinError(f"pin {pin} {_OUTPUT}")
        gpio.setup(pin, gpio.IN, pull_up_down=pulls[pull])
        self._ours.add(pin)

    def counter(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> bool:  # noqa: ARG002 — as others
        """Be an input alone: its own edge detection does not work on the kernels of today."""
        self.input(pin, pull)
        return False

    def edges(self, pin: int) -> Edges | None:  # noqa: ARG002 — as others
        """There are none."""
        return None

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""
        self._gpio.output(pin, self._level(high=high))

    def read(self, pin: int) -> bool:
        """Return the level of the pin; an output reads back what it drives."""
        return bool(self._gpio.input(pin))

    def release(self, pins: Collection[int]) -> None:
        """Make them inputs without a pull."""
        self._ours.difference_update(pins)
        self._gpio.cleanup(list(pins))

    def why(self, pin: int, error: Exception) -> str:  # noqa: ARG002 — the library names no holder
        """Return what is wrong most often."""
        return f"{_reason(error)}: {_ACCESS}; or does another program use the pin?"

    def _level(self, *, high: bool) -> int:
        return int(self._gpio.HIGH if high else self._gpio.LOW)


def _reason(error: Exception) -> str:
    """Say what RPi.GPIO and lgpio mean."""
    said = str(error).casefold()
    if "busy" in said:
        return "another program holds it"
    return "this user may not use it" if "access" in said or "permission" in said else in_words(error)


def _import() -> ModuleType:
    try:
        from RPi import GPIO  # noqa: PLC0415 — it refuses to be imported on anything but a Pi
    except (ImportError, RuntimeError, OSError) as error:
        raise NoPinsError(
            f'no RPi.GPIO here ({error}): set controller.pins to "auto", which needs none; docs/relays.md '
            "tells how to install it"
        ) from error
    return GPIO  # type: ignore[no-any-return]  # the library has no types


def _failures(gpio: ModuleType) -> tuple[type[Exception], ...]:
    """Return what the library raises. rpi-lgpio lets lgpio's own error through, a plain Exception."""
    error = getattr(getattr(gpio, "lgpio", None), "error", None)
    known = (RuntimeError, ValueError, OSError)
    return (*known, error) if isinstance(error, type) and issubclass(error, Exception) else known
