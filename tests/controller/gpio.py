"""Stands where RPi.GPIO would, as an electrician with a probe on every pin would see it."""

import sys
from types import ModuleType

import pytest


class Gpio(ModuleType):
    """A board's header: `wire` holds every level that appeared on a pin, in order, from when it drives.

    `contacts` are the levels that others drive onto inputs; what floats follows its pull.

    `stuck` pins keep a level whatever is written; `broken` pins raise as the library does; without a
    numbering mode nothing works; a pin that is set up twice with warnings on is told of in `warned`.
    """

    BCM = 11
    OUT = 0
    IN = 1
    PUD_OFF = 20
    PUD_DOWN = 21
    PUD_UP = 22
    HIGH = 1
    LOW = 0

    def __init__(self) -> None:
        super().__init__("RPi.GPIO")
        self.wire: list[tuple[int, bool]] = []
        self.stuck: dict[int, bool] = {}
        self.broken: set[int] = set()
        self.warned: list[int] = []
        self.contacts: dict[int, bool] = {}
        self._pulls: dict[int, int] = {}
        self._latch: dict[int, bool] = {}
        self._driven: set[int] = set()
        self._mode: int | None = None
        self._warnings = True

    def level(self, pin: int) -> bool | None:
        """What a voltmeter shows; None while the pin floats."""
        return self.stuck.get(pin, self._latch[pin]) if pin in self._driven else None

    def edges(self, pin: int) -> list[bool]:
        """The levels one pin has driven, in order."""
        return [level for number, level in self.wire if number == pin]

    def reboot(self) -> None:
        """Power cut: pins float again, the process's library is gone."""
        self.__init__()  # type: ignore[misc]  # a twin that was just made is what a cut leaves

    def setwarnings(self, on: bool) -> None:  # noqa: FBT001 — the library's signature
        """Whether to complain of a pin in use."""
        self._warnings = on

    def setmode(self, mode: int) -> None:
        """How pins are numbered."""
        self._mode = mode

    def setup(
        self, pin: int, direction: int, initial: int | None = None, pull_up_down: int = PUD_OFF
    ) -> None:
        """Make a pin an output, or an input."""
        if self._mode != self.BCM:
            raise RuntimeError("Please set pin numbering mode using GPIO.setmode(GPIO.BCM)")
        if pin in self.broken:
            raise RuntimeError("No access to /dev/mem.  Try running as root!")
        if pin in self._driven and self._warnings:
            self.warned.append(pin)
        if direction == self.IN:
            if initial is not None:
                raise ValueError("initial parameter is not valid for inputs")
            self._driven.discard(pin)
            self._pulls[pin] = pull_up_down
            return
        if pull_up_down != self.PUD_OFF:
            raise ValueError("pull_up_down parameter is not valid for outputs")
        assert direction == self.OUT
        # As setup_one in source/py_gpio.c: the level first if one is given, then the direction. Without one
        # the pin drives low until somebody says otherwise.
        self._latch.setdefault(pin, False)
        if initial is not None:
            self._latch[pin] = bool(initial)
        self._driven.add(pin)
        self.wire.append((pin, self._latch[pin]))

    def gpio_function(self, pin: int) -> int:
        """What the pin is now, whoever made it so."""
        return self.OUT if pin in self._driven else self.IN

    def output(self, pin: int, level: int) -> None:
        """Set a level."""
        if pin not in self._driven:
            raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
        if pin in self.broken:
            raise RuntimeError("No access to /dev/mem.  Try running as root!")
        if self._latch[pin] is not bool(level):
            self._latch[pin] = bool(level)
            self.wire.append((pin, bool(level)))

    def cleanup(self, pins: int | list[int]) -> None:
        """The pins are inputs that nobody has set up, as after the start."""
        for pin in [pins] if isinstance(pins, int) else pins:
            self._driven.discard(pin)
            self._pulls.pop(pin, None)

    def input(self, pin: int) -> int:
        """What the pin really shows."""
        if pin in self._pulls:
            if pin in self.broken:
                raise RuntimeError("No access to /dev/mem.  Try running as root!")
            return int(self.contacts.get(pin, self._pulls[pin] == self.PUD_UP))
        if pin not in self._driven:
            raise RuntimeError("You must setup() the GPIO channel first")
        return int(self.stuck.get(pin, self._latch[pin]))


def plug_in(patch: pytest.MonkeyPatch) -> Gpio:
    """Make `from RPi import GPIO` give a fresh twin."""
    gpio = Gpio()
    package = ModuleType("RPi")
    package.GPIO = gpio  # type: ignore[attr-defined]  # a module takes what it is given
    patch.setitem(sys.modules, "RPi", package)
    patch.setitem(sys.modules, "RPi.GPIO", gpio)
    return gpio
