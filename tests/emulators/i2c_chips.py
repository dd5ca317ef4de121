"""Twins of the INA219 and the ADS1115, register by register, and a bus that carries them.

From their data sheets: TI SBOS448G (INA219, sections 8.5 and 8.6) and TI SBAS444E (ADS1115, section 8.6).
Nothing here knows smbus2, umockdev or our decoders; the Python of the system runs it too.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tests.emulators.climate_chips import Bosch, Sht3x
from tests.emulators.ina_chips import Ina226, Ina228, Ina3221


class Chip(Protocol):
    """A chip with 16-bit registers behind a pointer; `stuck`: the converter stands still."""

    stuck: bool

    def get(self, register: int) -> int: ...

    def put(self, register: int, value: int) -> None: ...

    def brown_out(self) -> None: ...


@runtime_checkable
class Bytes(Protocol):
    """A chip that takes and gives bytes: a command may be longer than a pointer."""

    def command(self, data: bytes) -> None: ...

    def receive(self, count: int) -> bytes: ...


@runtime_checkable
class Blocks(Protocol):
    """A chip whose registers are bytes, read one after the other."""

    def block(self, register: int, count: int) -> bytes: ...


@runtime_checkable
class Wide(Protocol):
    """A chip some of whose registers have more than two bytes."""

    def size(self, register: int) -> int: ...


def _two_complement(value: int) -> int:
    return value & 0xFFFF


def _toward_zero(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


class Ina219:
    """The chip at a shunt of `shunt` ohms; `volts` at VIN-, `amps` from VIN+ to VIN-; `now` in seconds."""

    RESET = 0x399F
    # Conversion time in seconds by the four bits of SADC and BADC; bit 2 is void while bit 3 is clear.
    _SHORT = (84e-6, 148e-6, 276e-6, 532e-6)
    _AVERAGED = (532e-6, 1.06e-3, 2.13e-3, 4.26e-3, 8.51e-3, 17.02e-3, 34.05e-3, 68.1e-3)

    def __init__(self, now: Callable[[], float], *, shunt: float = 0.1) -> None:
        self._now = now
        self.shunt = shunt
        self.volts, self.amps = 0.0, 0.0
        # A fault: the converter stands still although the registers answer.
        self.stuck = False
        self.brown_out()

    def brown_out(self) -> None:
        self.config, self.calibration = self.RESET, 0
        self._shunt, self._bus, self._power, self._current = 0, 0, 0, 0
        self._ready, self._overflow = False, False
        self._began, self._done = self._now(), 0

    def get(self, register: int) -> int:
        self._convert()
        match register:
            case 0:
                return self.config
            case 1:
                return _two_complement(self._shunt)
            case 2:
                return self._bus << 3 | self._ready << 1 | self._overflow
            case 3:
                self._ready = False
                return self._power
            case 4:
                return _two_complement(self._current)
        return self.calibration

    def put(self, register: int, value: int) -> None:
        self._convert()
        if register == 0 and value & 0x8000:
            self.brown_out()
        elif register == 0:
            # "Writing a new mode" clears it, by the letter; the same mode again does not.
            if value & 7 not in (0, 4, self.config & 7):
                self._ready = False
            self.config = value
            self._began, self._done = self._now(), 0
        elif register == 5:
            # Bit 0 is void.
            self.calibration = value & 0xFFFE

    def _time(self, bits: int) -> float:
        return self._AVERAGED[bits & 7] if bits & 8 else self._SHORT[bits & 3]

    def _convert(self) -> None:
        mode = self.config & 7
        if mode in (0, 4) or self.stuck:
            return
        wanted_shunt, wanted_bus = bool(mode & 1), bool(mode & 2)
        cycle = wanted_shunt * self._time(self.config >> 3 & 15) + wanted_bus * self._time(
            self.config >> 7 & 15
        )
        done = int((self._now() - self._began) / cycle)
        if mode < 4:
            done = min(done, 1)
        if done <= self._done:
            return
        self._done = done
        self._latch(shunt=wanted_shunt, bus=wanted_bus)

    def _latch(self, *, shunt: bool, bus: bool) -> None:
        if shunt:
            end = 4000 << (self.config >> 11 & 3)
            self._shunt = max(-end, min(end, round(self.amps * self.shunt / 10e-6)))
        if bus:
            self._bus = max(0, min(8000 if self.config & 0x2000 else 4000, round(self.volts / 4e-3)))
        current = _toward_zero(self._shunt * self.calibration, 4096)
        power = abs(current) * self._bus // 5000
        self._overflow = abs(current) > 0x7FFF or power > 0xFFFF
        self._current, self._power = current, power & 0xFFFF
        self._ready = True


class Ads1115:
    """Four inputs in volts to ground; its clock is `slow` times slower than nominal (10 % are allowed)."""

    RESET = 0x8583
    _FULL = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)
    _RATE = (8, 16, 32, 64, 128, 250, 475, 860)
    _MUX = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))

    def __init__(self, now: Callable[[], float], *, slow: float = 1.1) -> None:
        self._now = now
        self._slow = slow
        self.inputs = [0.0, 0.0, 0.0, 0.0]
        # A fault: a conversion that never ends.
        self.stuck = False
        self.brown_out()

    def brown_out(self) -> None:
        self._config, self._result = self.RESET & 0x7FFF, 0
        self._low, self._high = 0x8000, 0x7FFF
        self._ends: float | None = None

    def get(self, register: int) -> int:
        self._convert()
        match register & 3:
            case 0:
                return _two_complement(self._result)
            case 1:
                return self._config | (0 if self._busy else 0x8000)
            case 2:
                return self._low
        return self._high

    def put(self, register: int, value: int) -> None:
        self._convert()
        match register & 3:
            case 1:
                start = value & 0x8000 and self._ends is None
                self._config = value & 0x7FFF
                if start or not value & 0x0100:
                    self._ends = self._now() + self._period
            case 2:
                self._low = value
            case 3:
                self._high = value

    @property
    def _busy(self) -> bool:
        return self._ends is not None

    @property
    def _period(self) -> float:
        return self._slow / self._RATE[self._config >> 5 & 7]

    def _convert(self) -> None:
        if self._ends is None or self._now() < self._ends or self.stuck:
            return
        plus, minus = self._MUX[self._config >> 12 & 7]
        volts = self.inputs[plus] - (self.inputs[minus] if minus is not None else 0.0)
        full = self._FULL[self._config >> 9 & 7]
        self._result = max(-32768, min(32767, round(volts / full * 32768)))
        self._ends = None if self._config & 0x0100 else self._now() + self._period


# What stands for the chip of each kind, of one that has just been switched on.
TWINS: dict[str, Callable[[Callable[[], float]], Chip]] = {
    "ads1115_voltage": Ads1115,
    "bme280": Bosch,
    "ina219": Ina219,
    "ina226": Ina226,
    "ina228": Ina228,
    "ina3221": Ina3221,
    "sht3x": Sht3x,
    "tank_sender": Ads1115,
}


@dataclass(slots=True)
class Chips:
    """A bus as the kernel's driver sees it: transfers to addresses; an OSError has the driver's number."""

    at: dict[int, Chip]
    # What the driver says instead of a transfer, by address.
    failing: dict[int, int] = field(default_factory=dict)
    # Addresses that were asked with a write of nothing, which not every chip survives.
    quick_written: set[int] = field(default_factory=set)
    # Taken by a kernel driver.
    claimed: set[int] = field(default_factory=set)
    _pointer: dict[int, int] = field(default_factory=dict)

    def quick(self, address: int) -> None:
        """An address and a write bit, nothing else."""
        self.quick_written.add(address)
        self._chip(address)

    def read_byte(self, address: int) -> int:
        """One byte from wherever the pointer stands."""
        return self._chip(address).get(self._pointer.get(address, 0)) >> 8 & 0xFF

    def read(self, address: int, register: int, count: int) -> bytes:
        """The pointer is written, then `count` bytes are read; all chips repeat the register."""
        chip = self._chip(address)
        self._pointer[address] = register
        if isinstance(chip, Blocks):
            return chip.block(register, count)
        size = chip.size(register) if isinstance(chip, Wide) else 2
        word = chip.get(register).to_bytes(size, "big")
        return (word * (count // size + 1))[:count]

    def write(self, address: int, register: int, data: bytes) -> None:
        """A register takes effect once both of its bytes came."""
        chip = self._chip(address)
        self._pointer[address] = register
        if isinstance(chip, Bytes):
            chip.command(bytes([register]) + data)
        elif len(data) >= 2:
            chip.put(register, int.from_bytes(data[:2], "big"))

    def receive(self, address: int, count: int) -> bytes:
        """Bytes without a pointer before them."""
        chip = self._chip(address)
        return (
            chip.receive(count)
            if isinstance(chip, Bytes)
            else self.read(address, self._pointer.get(address, 0), count)
        )

    def _chip(self, address: int) -> Chip:
        # EREMOTEIO is what the Pi's driver says to a missing acknowledge.
        number = self.failing.get(address, 0 if address in self.at else errno.EREMOTEIO)
        if number:
            raise OSError(number, errno.errorcode[number])
        return self.at[address]
