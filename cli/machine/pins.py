"""The board's pins: their chip, a library for them, and what else uses them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.machine.finding import Finding
from cli.machine.place import Place
from config.model import Controller

# What a setting of controller.pins can work with; one that can be imported is enough.
_LIBRARIES = {"rpi": ("RPi.GPIO",), "gpiod": ("gpiod",), "auto": ("gpiod", "RPi.GPIO")}
_IMPORT_S = 20.0
_ASK_LABEL = "import gpiod, sys; print(gpiod.Chip(sys.argv[1]).get_info().label)"
_LIBRARY = "sudo apt install python3-rpi-lgpio on Raspberry Pi OS; docs/relays.md tells of others"
# Pins that a switch of the board's takes, the file that shows it is on, and how it is switched off.
_TAKEN = (
    ((2, 3), "/dev/i2c-1", "I2C", "sudo raspi-config nonint do_i2c 1"),
    ((7, 8, 9, 10, 11), "/dev/spidev0.0", "SPI", "sudo raspi-config nonint do_spi 1"),
    ((14, 15), "/dev/serial0", "the serial port", "sudo raspi-config nonint do_serial_hw 1"),
    ((4,), "/sys/bus/w1/devices/w1_bus_master1", "1-Wire", "sudo raspi-config nonint do_onewire 1"),
)


def pins(place: Place, controller: Controller, uses: Mapping[str, int]) -> Iterator[Finding]:
    """The pins by the settings that name them, and the chip that they are on."""
    backend = controller.pins
    if not uses or backend == "simulated":
        return
    chips = place.there("/dev/gpiochip*")
    if controller.chip is not None:
        yield _chip(place, controller.chip, backend, chips)
    elif chips:
        yield place.may_use("pins", chips[0], "gpio")
    else:
        mend = 'write pins = "simulated" below [controller], if this is no Raspberry Pi'
        yield Finding("pins", "there is no /dev/gpiochip0: this machine shows no pins", mend)
    yield library(backend)
    for numbers, path, what, mend in _TAKEN:
        for key, pin in uses.items():
            if pin in numbers and place.at(path).exists():
                text = f"pin {pin} is taken by {what}, which is switched on"
                yield Finding(key, text, f"write another pin, or, if nothing needs {what}: {mend}")


def _chip(place: Place, wanted: str, backend: str, chips: list[str]) -> Finding:
    """Whether the chip of controller.chip is there: by path, name or label."""
    subject = "controller.chip"
    if backend == "rpi":
        return Finding(
            subject, "RPi.GPIO takes no chip", 'write pins = "gpiod" below [controller], or no chip'
        )
    named = wanted if "/" in wanted else f"/dev/{wanted}"
    if place.at(named).exists():
        return place.may_use(subject, named, "gpio")
    labels = {path: "" if "/" in wanted else _label(place.at(path)) for path in chips}
    fits = [path for path, label in labels.items() if label == wanted]
    if fits:
        return place.may_use(subject, fits[0], "gpio")
    there = ", ".join(f"{path} ({label})" if label else path for path, label in labels.items())
    text = f"there is no chip {wanted!r}; there is {there or 'none'}"
    if "/" not in wanted and "" in labels.values():
        text = f"no label of {there} could be read to find {wanted!r}"
    return Finding(
        subject, text, f'write chip = "{chips[0] if chips else "/dev/gpiochip0"}"; gpiodetect lists them'
    )


def _label(path: Path) -> str:
    """The label of a chip as the kernel tells it; empty if it may not be asked."""
    done = subprocess.run(  # noqa: S603 — our own interpreter
        [sys.executable, "-c", _ASK_LABEL, str(path)],
        capture_output=True,
        text=True,
        timeout=_IMPORT_S,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def library(backend: str) -> Finding:
    """Whether a library for the pins can be imported, tried in a process of its own."""
    reasons = []
    for name in _LIBRARIES.get(backend, _LIBRARIES["auto"]):
        done = subprocess.run(  # noqa: S603 — our own interpreter
            [sys.executable, "-c", f"import {name}"],
            capture_output=True,
            text=True,
            timeout=_IMPORT_S,
            check=False,
        )
        if done.returncode == 0:
            return Finding("pins", f"{name} can be imported", ok=True)
        reasons.append(f"{name}: {(done.stderr.strip().splitlines() or ['it ended'])[-1]}")
    return Finding("pins", f"no library for the pins works ({'; '.join(reasons)})", _LIBRARY)
