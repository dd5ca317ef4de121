"""The board's pins: their chip, a library for them, and what else uses them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

from cli.machine.finding import Finding
from cli.machine.place import Place

# What a setting of controller.pins can work with; one that can be imported is enough.
_LIBRARIES = {"rpi": ("RPi.GPIO",), "gpiod": ("gpiod",), "auto": ("gpiod", "RPi.GPIO")}
_IMPORT_S = 20.0
_LIBRARY = "sudo apt install python3-rpi-lgpio on Raspberry Pi OS; docs/relays.md tells of others"
# Pins that a switch of the board's takes, the file that shows it is on, and how it is switched off.
_TAKEN = (
    ((2, 3), "/dev/i2c-1", "I2C", "sudo raspi-config nonint do_i2c 1"),
    ((7, 8, 9, 10, 11), "/dev/spidev0.0", "SPI", "sudo raspi-config nonint do_spi 1"),
    ((14, 15), "/dev/serial0", "the serial port", "sudo raspi-config nonint do_serial_hw 1"),
    ((4,), "/sys/bus/w1/devices/w1_bus_master1", "1-Wire", "sudo raspi-config nonint do_onewire 1"),
)


def pins(place: Place, backend: str, uses: Mapping[str, int]) -> Iterator[Finding]:
    """The pins by the settings that name them; `backend` is controller.pins."""
    if not uses or backend == "simulated":
        return
    chips = place.there("/dev/gpiochip*")
    if chips:
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
