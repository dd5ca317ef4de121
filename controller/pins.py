"""Pins by BCM number: the board's own or simulated ones. The only file of this process with RPi.GPIO."""

from types import ModuleType
from typing import Literal, Protocol

Pull = Literal["up", "down", "off"]


class PinError(Exception):
    """The pins cannot be used now; the text says what to do."""


class Pins(Protocol):
    """Outputs of a board and a few inputs; levels are True for high. All methods raise PinError."""

    @property
    def backend(self) -> str:
        """`rpi` or `simulated`, as about and health show it."""

    def open(self, pin: int, *, high: bool) -> None:
        """Make a pin an output that starts at this level, without a glitch."""

    def open_input(self, pin: int, pull: Pull) -> None:
        """Make a pin an input, pulled up, down or not."""

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""

    def read(self, pin: int) -> bool:
        """The level the pin really has."""


class SimulatedPins:
    """Pins of a machine that has none: they keep what they are told and switch nothing."""

    backend = "simulated"

    def __init__(self) -> None:
        self._levels: dict[int, bool] = {}

    def open(self, pin: int, *, high: bool) -> None:
        """Start at this level."""
        self._levels[pin] = high

    def open_input(self, pin: int, pull: Pull) -> None:
        """Nothing is wired: the pull decides."""
        self._levels[pin] = pull == "up"

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""
        if pin not in self._levels:
            raise PinError(f"pin {pin} is not open")
        self._levels[pin] = high

    def read(self, pin: int) -> bool:
        """The level set last."""
        if pin not in self._levels:
            raise PinError(f"pin {pin} is not open")
        return self._levels[pin]


class RpiPins:
    """The pins of a Raspberry Pi, by RPi.GPIO or its drop-in rpi-lgpio."""

    def __init__(self) -> None:
        self._gpio: ModuleType | None = None

    @property
    def backend(self) -> str:
        """`rpi`, unless the library says that it only stands in for RPi.GPIO."""
        try:
            return str(getattr(self._library(), "BACKEND", "rpi"))
        except PinError:
            # Each relay will tell what is wrong.
            return "rpi"

    def open(self, pin: int, *, high: bool) -> None:
        """Level before direction: RPi.GPIO sets `initial` first (source/py_gpio.c, setup_one)."""
        gpio = self._library()
        try:
            gpio.setup(pin, gpio.OUT, initial=gpio.HIGH if high else gpio.LOW)
        except (RuntimeError, ValueError, OSError) as error:
            raise PinError(f"pin {pin} cannot be an output: {error}") from error

    def open_input(self, pin: int, pull: Pull) -> None:
        """The pull is the chip's own resistor."""
        gpio = self._library()
        pulls = {"up": gpio.PUD_UP, "down": gpio.PUD_DOWN, "off": gpio.PUD_OFF}
        try:
            gpio.setup(pin, gpio.IN, pull_up_down=pulls[pull])
        except (RuntimeError, ValueError, OSError) as error:
            raise PinError(f"pin {pin} cannot be an input: {error}") from error

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""
        gpio = self._library()
        try:
            gpio.output(pin, gpio.HIGH if high else gpio.LOW)
        except (RuntimeError, ValueError, OSError) as error:
            raise PinError(f"pin {pin} cannot be set: {error}") from error

    def read(self, pin: int) -> bool:
        """The level of the pin; an output reads back what it drives."""
        gpio = self._library()
        try:
            return bool(gpio.input(pin))
        except (RuntimeError, ValueError, OSError) as error:
            raise PinError(f"pin {pin} cannot be read: {error}") from error

    def _library(self) -> ModuleType:
        if self._gpio is None:
            self._gpio = _import()
        return self._gpio


def _import() -> ModuleType:
    try:
        from RPi import GPIO  # noqa: PLC0415 — it refuses to be imported on anything but a Pi
    except (ImportError, RuntimeError, OSError) as error:
        advice = (
            "install the extra gpio (kernel before 6.6) or gpio-lgpio, or set controller.pins to simulated"
        )
        raise PinError(f"no GPIO here ({error}): {advice}") from error
    GPIO.setwarnings(False)  # noqa: FBT003 — the library's signature
    GPIO.setmode(GPIO.BCM)
    return GPIO  # type: ignore[no-any-return]  # the library has no types


def make_pins(backend: str) -> Pins:
    """The pins of a backend named in the configuration."""
    return SimulatedPins() if backend == "simulated" else RpiPins()
