"""The demo's I2C bus: an INA219 at the fridge, an ADS1115 at the starter battery and the water's sender.

The bus is i2c_bed.py in the system's Python. Where Debian's packages for it are missing, there is none.
"""

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.emulators.van import FRESH_CAPACITY, Moment

PYTHON = Path("/usr/bin/python3")
PRELOAD = "libumockdev-preload.so.0"
PACKAGES = "umockdev python3-gi gir1.2-umockdev-1.0"
_BED = Path(__file__).with_name("i2c_bed.py")
_HAS_GI = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import GLib, UMockdev"
_LOOKS_WITHIN = 10.0

_FRIDGE, _ADC = "ina219 0x40", "ads1115 0x48"
_SHUNT = 0.05  # ohm; demo.toml knows it too, as it knows the rest
_DIVIDER = 5.7
_PULL_UP, _SUPPLY = 220.0, 3.3  # ohm, V
# A European sender: ohms by %.
_SENDER = ((0.0, 240.0), (50.0, 103.0), (100.0, 33.0))


def missing() -> str | None:
    """What this machine lacks for an emulated bus, None if nothing."""
    if not PYTHON.exists():
        return f"{PYTHON}"
    try:
        found = subprocess.run(
            [PYTHON, "-c", _HAS_GI], capture_output=True, check=False, timeout=_LOOKS_WITHIN
        )
    except subprocess.TimeoutExpired:
        return f"a {PYTHON} that answers"
    return f"Debian's packages {PACKAGES}" if found.returncode else None


def fridge_line(moment: Moment) -> str:
    """The INA219 at this moment, in the words of i2c_bed.py."""
    volts, amps = moment.battery.voltage, moment.household.fridge
    return f"{_FRIDGE} volts={volts:.4f} amps={amps:.4f} shunt={_SHUNT}"


def adc_line(moment: Moment) -> str:
    """The ADS1115 at this moment: the starter battery on input 0, the sender on input 1."""
    starter = moment.battery.starter_voltage / _DIVIDER
    ohms = sender_ohms(moment.household.fresh / FRESH_CAPACITY * 100.0)
    return f"{_ADC} 0={starter:.5f} 1={_SUPPLY * ohms / (ohms + _PULL_UP):.5f}"


def sender_ohms(level: float) -> float:
    """What the sender shows at a level in %."""
    for (low, first), (high, second) in itertools.pairwise(_SENDER):
        if level <= high:
            return first + (second - first) * (level - low) / (high - low)
    return _SENDER[-1][1]


class Bus:
    """The bed as a process of its own; `link` leads to its folder, for whoever shall see the bus."""

    def __init__(self, link: Path, moment: Moment) -> None:
        self._link = link
        self._first = (fridge_line(moment), adc_line(moment))
        self._bed: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        argv: list[str | Path] = [PYTHON, _BED]
        for line in self._first:
            argv += ["--chip", line]
        setpriv = shutil.which("setpriv")
        if setpriv:
            argv = [setpriv, "--pdeathsig", "TERM", "--", *argv]
        # A path in memory is short: the bed's sockets lie below it, and a socket's path may have 107 bytes.
        environment = os.environ | {"TMPDIR": str(self._link.parent)}
        self._bed = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert self._bed.stdout is not None
        said = self._bed.stdout.readline().decode()
        if not said.startswith("UMOCKDEV_DIR="):
            self.__exit__(None, None, None)
            raise OSError(f"the emulated I2C bus does not start: {said!r}")
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(said.split()[0].removeprefix("UMOCKDEV_DIR="))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._bed is not None
        self._bed.terminate()
        self._bed.communicate()
        self._link.unlink(missing_ok=True)

    def show(self, moment: Moment) -> None:
        """Measure this from now on. Raises OSError once the bed is gone."""
        assert self._bed is not None
        assert self._bed.stdin is not None
        assert self._bed.stdout is not None
        for line in (fridge_line(moment), adc_line(moment)):
            self._bed.stdin.write(line.encode() + b"\n")
            self._bed.stdin.flush()
            if not self._bed.stdout.readline():
                raise OSError("the emulated I2C bus has ended")
