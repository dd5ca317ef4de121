"""All of the demo's devices but the radio's, and the folder in which the house finds them.

`vedirect` and `epever` are serial ports, `modbus` holds the number of the meter's TCP port, `i2c` leads to
umockdev's folder, `inputs` and `relays` are boards (gpio_board). All keep their names at another start.
"""

import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.emulators.demo_i2c import Bus, missing
from tests.emulators.demo_serial import Ports
from tests.emulators.demo_tcp import HOST, Gateway
from tests.emulators.epever import Tracer
from tests.emulators.gpio_board import Board
from tests.emulators.van import WASTE_CAPACITY, Moment, Switches

MODBUS, I2C, INPUTS, RELAYS = "modbus", "i2c", "inputs", "relays"
# As demo.toml wires them, by BCM number.
HOUSEHOLD_PIN, PUMP_PIN, SHORE_PIN = 17, 27, 22
WASTE_PINS = {25: 5, 50: 6, 75: 13, 100: 19}
THERMOMETER = "zigbee2mqtt/outside"
_SAYS_EVERY = 5


class Thermometer:
    """A stranger that publishes words of its own: a Zigbee thermometer behind zigbee2mqtt."""

    def __init__(self, port: int) -> None:
        self._argv = ["mosquitto_pub", "-h", HOST, "-p", str(port), "-t", THERMOMETER, "-l"]
        setpriv = shutil.which("setpriv")
        if setpriv:
            self._argv = [setpriv, "--pdeathsig", "TERM", "--", *self._argv]
        self._ticks = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def show(self, moment: Moment) -> None:
        """Publish now and then; without a broker this reading is lost, and the next tries anew."""
        self._ticks += 1
        if self._ticks % _SAYS_EVERY != 1:
            return
        degrees = 12.0 + 9.0 * (1.0 - abs(moment.hour - 15.0) / 12.0)
        said = json.dumps({"temperature": round(degrees, 2), "battery": 87, "linkquality": 112})
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(said.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate()
        except BrokenPipeError:
            process.wait()


class Hardware:
    """The devices as a context; `show` moves them on, `switches` tells what the house has switched."""

    def __init__(self, folder: Path, broker_port: int | None, moment: Moment) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._ports = Ports(folder, moment)
        self._gateway = Gateway(folder / MODBUS)
        # Two folders: the twin of RPi.GPIO knows of one process on a board.
        self._inputs, self._relays = Board(folder / INPUTS), Board(folder / RELAYS)
        self._bus = None if missing() else Bus(folder / I2C, moment)
        self._thermometer = None if broker_port is None else Thermometer(broker_port)
        self._first = moment

    def __enter__(self) -> Self:
        for part in (self._ports, self._gateway, self._bus, self._thermometer):
            if part is not None:
                self._stack.enter_context(part)
        self.show(self._first, 0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def tracer(self) -> Tracer:
        """The charge controller on RS485, which counts energy."""
        return self._ports.tracer

    def switches(self) -> Switches:
        """What is switched on: both relays pull when their pin is low."""
        return Switches(
            pump=self._relays.level(PUMP_PIN) == "low",
            inverter=self._relays.level(HOUSEHOLD_PIN) == "low",
            awning=self._ports.load,
        )

    def show(self, moment: Moment, seconds: float) -> None:
        """Measure this from now on; so many seconds have passed since the last. Raises OSError."""
        self._ports.show(moment, seconds)
        self._gateway.meter.show(moment)
        self._inputs.wire(SHORE_PIN, "low" if moment.shore.plugged else None)
        level = moment.household.waste / WASTE_CAPACITY * 100.0
        for height, pin in WASTE_PINS.items():
            self._inputs.wire(pin, "low" if level >= height else None)
        if self._bus is not None:
            self._bus.show(moment)
        if self._thermometer is not None:
            self._thermometer.show(moment)
