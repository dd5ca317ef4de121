# ruff: noqa: N999 — the library's name
"""Stands where RPi.GPIO 0.7.1 would: the same names, checks and errors.

Written from source/py_gpio.c, common.c and constants.c. The board is the folder that TWIN_GPIO_BOARD
names; without one this machine is no Raspberry Pi. See tests/emulators/gpio_board/__init__.py for the folder.
"""

import json
import os
import warnings
from pathlib import Path

_FOLDER = os.environ.get("TWIN_GPIO_BOARD")
if _FOLDER is None:
    raise RuntimeError("This module can only be run on a Raspberry Pi!")
_BOARD = Path(_FOLDER)

VERSION = "0.7.1"
# The real one has no such name; whoever switches these pins must not say that they are real.
BACKEND = "simulated"
BOARD = 10
BCM = 11
UNKNOWN = -1
OUT = 0
IN = 1
LOW = 0
HIGH = 1
PUD_OFF = 20
PUD_DOWN = 21
PUD_UP = 22
_PULLS = {PUD_OFF: "off", PUD_DOWN: "down", PUD_UP: "up"}
# Pads of the chip, of which the header shows 0 to 27.
_PINS = 54
# These have resistors of their own to 3.3 V on the board.
_PULLED_UP = (2, 3)

_state: dict[str, int | bool] = {"mode": UNKNOWN, "warnings": True}
_ours: set[int] = set()


def setmode(mode: int) -> None:
    if _state["mode"] not in (UNKNOWN, mode):
        raise ValueError("A different mode has already been set!")
    if mode not in (BOARD, BCM):
        raise ValueError("An invalid mode was passed to setmode()")
    _state["mode"] = mode


def setwarnings(on: bool) -> None:  # noqa: FBT001 — the library's signature
    _state["warnings"] = bool(on)


def gpio_function(channel: int) -> int:
    pin = _pin(channel)
    _reach()
    return OUT if _pins().get(str(pin), {}).get("function") == "out" else IN


def setup(channel: int, direction: int, pull_up_down: int = PUD_OFF, initial: int | None = None) -> None:
    _reach()
    if direction == OUT:
        _set_up_output(_pin(channel), pull_up_down, initial)
        return
    if direction != IN:
        raise ValueError("An invalid direction was passed to setup()")
    if initial is not None:
        raise ValueError("initial parameter is not valid for inputs")
    if pull_up_down not in _PULLS:
        raise ValueError("Invalid value for pull_up_down - should be either PUD_OFF, PUD_UP or PUD_DOWN")
    pin = _pin(channel)
    if pin not in _ours and gpio_function(channel) == OUT:
        _warn(
            "This channel is already in use, continuing anyway.  "
            "Use GPIO.setwarnings(False) to disable warnings."
        )
    if pin in _PULLED_UP and pull_up_down != PUD_OFF:
        _warn("A physical pull up resistor is fitted on this channel!")
    _set(pin, _PULLS[pull_up_down])
    _ours.add(pin)


def _set_up_output(pin: int, pull_up_down: int, initial: int | None) -> None:
    if pull_up_down != PUD_OFF:
        raise ValueError("pull_up_down parameter is not valid for outputs")
    _ours.add(pin)
    # As setup_one in py_gpio.c: the level first if one is given, then the direction; the latch outlives
    # the process.
    latch = _pins().get(str(pin), {}).get("latch", "low")
    _drive(pin, latch if initial is None else _word(initial))


def output(channel: int, level: int) -> None:
    pin = _pin(channel)
    if pin not in _ours or gpio_function(channel) != OUT:
        raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
    _reach()
    _drive(pin, _word(level))


def _word(level: int) -> str:
    return "high" if level else "low"


def _drive(pin: int, level: str) -> None:
    """Drive a level, and note it if a voltmeter would see anything new."""
    pins = _pins()
    if pins.get(str(pin), {}) == {"function": "out", "pull": "off", "latch": level}:
        return
    pins[str(pin)] = {"function": "out", "pull": "off", "latch": level}
    _keep(pins)
    with (_BOARD / "edges").open("a", encoding="ascii") as edges:
        edges.write(f"{pin} {level}\n")


def input(channel: int) -> int:  # noqa: A001 — the library's name
    pin = _pin(channel)
    if pin not in _ours:
        raise RuntimeError("You must setup() the GPIO channel first")
    _reach()
    if gpio_function(channel) == OUT:
        return HIGH if _pins()[str(pin)].get("latch") == "high" else LOW
    try:
        wired = (_BOARD / str(pin)).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        # What floats reads low here; on a real board it reads anything.
        wired = "high" if pin in _PULLED_UP or _pins()[str(pin)]["pull"] == "up" else "low"
    return HIGH if wired == "high" else LOW


def cleanup(channel: int | list[int] | tuple[int, ...] | None = None) -> None:
    channels = sorted(_ours) if channel is None else [channel] if isinstance(channel, int) else list(channel)
    mine = [pin for pin in channels if pin in _ours]
    for pin in mine:
        _set(pin, "off")
        _ours.discard(pin)
    if channel is None:
        _state["mode"] = UNKNOWN
    if not mine:
        _warn(
            "No channels have been set up yet - nothing to clean up!  "
            "Try cleaning up at the end of your program instead!"
        )


def _pin(channel: int) -> int:
    if _state["mode"] == UNKNOWN:
        raise RuntimeError(
            "Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or GPIO.setmode(GPIO.BCM)"
        )
    if _state["mode"] == BOARD:
        raise NotImplementedError("this board numbers its pins as BCM")
    if not 0 <= channel < _PINS:
        raise ValueError("The channel sent is invalid on a Raspberry Pi")
    return channel


def _reach() -> None:
    if (_BOARD / "forbidden").exists():
        raise RuntimeError("No access to /dev/mem.  Try running as root!")


def _warn(text: str) -> None:
    if _state["warnings"]:
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def _pins() -> dict[str, dict[str, str]]:
    path = _BOARD / "pins.json"
    found: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _set(pin: int, pull: str) -> None:
    pins = _pins()
    pins[str(pin)] = {"function": "in", "pull": pull}
    _keep(pins)


def _keep(pins: dict[str, dict[str, str]]) -> None:
    fresh = _BOARD / "pins.json.new"
    fresh.write_text(json.dumps(pins), encoding="ascii")
    fresh.replace(_BOARD / "pins.json")
