"""Outputs and inputs of a board by number (BCM on a Raspberry Pi), whichever library reaches them.

The controller and the collector of pins both stand on it. Levels are True for high.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, Protocol

from config.model import Controller, Pull

log = logging.getLogger(__name__)


class PinError(Exception):
    """A pin cannot be used now; the text says what to do."""


class NoPinsError(PinError):
    """No pin of the board can be reached; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges that the kernel counted since it was asked last: how many, the newest in its monotonic seconds.

    `rate` is how many a second came between the first and the last of them, None for fewer than two.
    """

    count: int
    newest: float
    rate: float | None = None


def in_words(error: Exception) -> str:
    """Return what the system says of an error; what a library says is for the log of level debug alone."""
    log.debug("%s: %s", type(error).__name__, error)
    return (error.strerror if isinstance(error, OSError) else None) or "it does not work"


class Lines(Protocol):
    """The pins as one library has them. A pin that cannot be used raises one of `failures`, or PinError."""

    backend: str
    """`gpiod`, `rpi` or `simulated`, as about shows it."""

    told: str
    """What health says of them."""

    failures: tuple[type[Exception], ...]

    def output(self, pin: int, *, high: bool) -> None:
        """Make a pin an output that starts at this level, without a glitch."""

    def input(self, pin: int, pull: Pull) -> None:
        """Make a pin an input, pulled up, down or not."""

    def counter(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> bool:
        """Make a pin an input whose edges are counted from now on; False: this library counts none.

        A level that does not last for `debounce` seconds is none.
        """

    def edges(self, pin: int) -> Edges | None:
        """Return what came since the last call, None if nothing did."""

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level of an output."""

    def read(self, pin: int) -> bool:
        """Return the level that the pin really has."""

    def release(self, pins: Collection[int]) -> None:
        """Let go of pins; they end as inputs without a pull, or as the chip decides."""

    def why(self, pin: int, error: Exception) -> str:
        """Return what a failure means and what to do."""


class Pins:
    """The pins of this process. The library is chosen at the first use, and again until one is found.

    `setting` is what the configuration asks for, `choose` finds the lines for it and raises NoPinsError;
    `elsewhere` finds those of another chip that a pin names, such as an expander on I2C.
    """

    def __init__(
        self, setting: str, choose: Callable[[], Lines], elsewhere: Callable[[str], Lines] | None = None
    ) -> None:
        self._setting = setting
        self._choose = choose
        self._elsewhere = elsewhere
        self._others: dict[str, Pins] = {}
        self._lines: Lines | None = None
        self._opened: dict[int, Lines] = {}

    def on(self, chip: str | None) -> "Pins":
        """Return the pins of another chip by its path, name or label; None: these."""
        if chip is None:
            return self
        if chip not in self._others:
            assert self._elsewhere is not None  # noqa: S101 — all but those of another chip have it
            self._others[chip] = Pins(self._setting, partial(self._elsewhere, chip))
        return self._others[chip]

    @property
    def backend(self) -> str:
        """The library in use; while there is none, what the configuration asks for."""
        try:
            return self.reach().backend
        except NoPinsError:
            # Each pin will tell what is wrong.
            return self._setting

    @property
    def told(self) -> str:
        """What health says of the pins: library, chip, what becomes of outputs; else what is wrong."""
        try:
            return self.reach().told
        except NoPinsError as error:
            return str(error)

    def reach(self) -> Lines:
        """Return the lines, found now if they were not before. Raises NoPinsError."""
        if self._lines is None:
            self._lines = self._choose()
        return self._lines

    def open(self, pin: int, *, high: bool) -> None:
        """Make a pin an output that starts at this level, without a glitch. Raises PinError."""
        lines = self.reach()
        try:
            lines.output(pin, high=high)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be an output: {lines.why(pin, error)}") from error
        self._opened[pin] = lines

    def open_input(self, pin: int, pull: Pull) -> None:
        """Make a pin an input, pulled up, down or not. Raises PinError."""
        lines = self.reach()
        try:
            lines.input(pin, pull)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be an input: {lines.why(pin, error)}") from error
        self._opened[pin] = lines

    def open_counter(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> bool:
        """Make a pin an input whose edges are counted; False: the library counts none. Raises PinError."""
        lines = self.reach()
        try:
            counts = lines.counter(pin, pull, rising=rising, debounce=debounce)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be a counter: {lines.why(pin, error)}") from error
        self._opened[pin] = lines
        return counts

    def edges(self, pin: int) -> Edges | None:
        """Return the edges of a counter since the last call, None if there are none. Raises PinError."""
        lines = self._opened.get(pin) or _not_open(pin)
        try:
            return lines.edges(pin)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be read: {lines.why(pin, error)}") from error

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level of an output. Raises PinError."""
        lines = self._opened.get(pin) or _not_open(pin)
        try:
            lines.write(pin, high=high)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be set: {lines.why(pin, error)}") from error

    def read(self, pin: int) -> bool:
        """Return the level that the pin really has. Raises PinError."""
        lines = self._opened.get(pin) or _not_open(pin)
        try:
            return lines.read(pin)
        except lines.failures as error:
            raise PinError(f"pin {pin} cannot be read: {lines.why(pin, error)}") from error

    def close(self) -> None:
        """Let go of the pins that were opened, and of no others. Raises PinError."""
        for other in self._others.values():
            other.close()
        lines, opened = self._lines, sorted(self._opened)
        self._lines = None
        self._opened.clear()
        if lines is None or not opened:
            return
        try:
            lines.release(opened)
        except lines.failures as error:
            raise PinError(f"pins {opened} were not let go: {in_words(error)}") from error


def _not_open(pin: int) -> NoReturn:
    raise PinError(f"pin {pin} is not open")


class SimulatedLines:
    """Pins of a machine that has none: they keep what they are told and switch nothing."""

    backend = "simulated"
    told = "simulated: no pin is switched"
    failures: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self._levels: dict[int, bool] = {}

    def output(self, pin: int, *, high: bool) -> None:
        """Start at this level."""
        self._levels[pin] = high

    def input(self, pin: int, pull: Pull) -> None:
        """Nothing is wired: the pull decides."""
        self._levels[pin] = pull == "up"

    def counter(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> bool:  # noqa: ARG002 — as others
        """Be an input alone."""
        self.input(pin, pull)
        return False

    def edges(self, pin: int) -> Edges | None:  # noqa: ARG002 — as others
        """There are none."""
        return None

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""
        self._levels[pin] = high

    def read(self, pin: int) -> bool:
        """Return the level set last."""
        return self._levels[pin]

    def release(self, pins: Collection[int]) -> None:
        """Forget their levels."""
        for pin in pins:
            self._levels.pop(pin, None)

    def why(self, pin: int, error: Exception) -> str:  # noqa: ARG002 — nothing fails here
        """Return what the error says."""
        return str(error)


def make_pins(settings: Controller, consumer: str) -> Pins:
    """Make the pins that [controller] asks for; `consumer` is the process's name for the kernel."""
    return Pins(
        settings.pins,
        partial(_choose, settings.pins, settings.chip, consumer),
        partial(_elsewhere, settings.pins, consumer),
    )


def _elsewhere(setting: str, consumer: str, chip: str) -> Lines:
    """Return the lines of a chip that a pin names: they must be its own, never those of the header."""
    from bus.pins.gpiod_lines import GpiodLines  # noqa: PLC0415 — it stands on this file

    if setting == "simulated":
        return SimulatedLines()
    if setting == "rpi":
        raise NoPinsError(f'RPi.GPIO reaches no chip {chip!r}: set controller.pins to "auto"')
    return GpiodLines(chip, consumer)


def make_inputs(settings: Controller, consumer: str) -> Pins:
    """Make the pins of a process that only reads: simulated relays do not simulate the inputs."""
    return make_pins(replace(settings, pins="auto") if settings.pins == "simulated" else settings, consumer)


def _choose(setting: str, chip: str | None, consumer: str) -> Lines:
    """Return the lines; `auto` is the kernel's own interface, else RPi.GPIO. Raises NoPinsError."""
    from bus.pins.gpiod_lines import GpiodLines  # noqa: PLC0415 — it stands on this file
    from bus.pins.rpi import RpiLines  # noqa: PLC0415 — the same

    if setting in ("simulated", "rpi"):
        return SimulatedLines() if setting == "simulated" else RpiLines()
    try:
        return GpiodLines(chip, consumer)
    except NoPinsError:
        if setting == "auto":
            with suppress(NoPinsError):
                return RpiLines()
        # The advice is about the one that serves every board.
        raise
