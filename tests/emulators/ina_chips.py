"""Twins of the INA226, INA228 and INA3221, register by register, from TI SBOS547A, SBOS886 and SBOS576B.

Nothing here knows our decoders; the Python of the system runs it too.
"""

from collections.abc import Callable
from typing import ClassVar

_TI = 0x5449
# Averages by AVG, and seconds of a conversion by CT: of the INA226 and INA3221, and of the INA228.
_AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
_TIMES = (140e-6, 204e-6, 332e-6, 588e-6, 1.1e-3, 2.116e-3, 4.156e-3, 8.244e-3)
_TIMES_228 = (50e-6, 84e-6, 150e-6, 280e-6, 540e-6, 1052e-6, 2074e-6, 4120e-6)


def _clamped(value: float, bits: int, *, low: int | None = None) -> int:
    """Round, and hold at the ends of `bits` in two's complement."""
    end = (1 << bits - 1) - 1
    return max(-end - 1 if low is None else low, min(end, round(value)))


class _Converter:
    """Writes and the progress of conversions; a subclass says how long one takes and what it latches.

    `slow`: its clock is so many times slower than nominal; 10 % are allowed.
    """

    CONFIG = 0
    RESET: ClassVar[dict[int, int]]
    FIXED: ClassVar[dict[int, int]]

    def __init__(self, now: Callable[[], float], *, shunt: float = 0.1, slow: float = 1.1) -> None:
        self._now, self._slow = now, slow
        self.shunt = shunt
        self.volts, self.amps = 0.0, 0.0
        # A fault: the converter stands still although the registers answer.
        self.stuck = False
        self.brown_out()

    def brown_out(self) -> None:
        self.written = dict(self.RESET)
        self.ready = False
        self._latched: dict[int, int] = {}
        self._began, self._done = self._now(), 0

    def size(self, _register: int) -> int:
        return 2

    def get(self, register: int) -> int:
        self._convert()
        if register in self.FIXED:
            return self.FIXED[register]
        return self.special(register)

    def special(self, register: int) -> int:
        return self._latched.get(register, self.written.get(register, 0))

    def put(self, register: int, value: int) -> None:
        self._convert()
        if register == 0 and value & 0x8000:
            self.brown_out()
        elif register in self.RESET:
            self.written[register] = value
            if register == self.CONFIG:
                self.ready = False
                self._began, self._done = self._now(), 0

    def cycle(self) -> float:
        raise NotImplementedError

    def latch(self) -> dict[int, int]:
        raise NotImplementedError

    def passed(self, seconds: float) -> None:
        """Nothing is added up."""

    def _convert(self) -> None:
        if self.stuck or not self.written[self.CONFIG] & self.running():
            return
        cycle = self.cycle() * self._slow
        done = int((self._now() - self._began) / cycle)
        if done <= self._done:
            return
        self.passed((done - self._done) * cycle)
        self._done = done
        self._latched = self.latch()
        self.ready = True

    def running(self) -> int:
        """Bits of the configuration of which none is set while it is powered down."""
        return 3


class Ina226(_Converter):
    """The chip at a shunt of `shunt` ohms; `volts` at VBUS, `amps` from IN+ to IN-."""

    RESET: ClassVar[dict[int, int]] = {0: 0x4127, 5: 0, 6: 0, 7: 0}
    FIXED: ClassVar[dict[int, int]] = {0xFE: _TI, 0xFF: 0x2260}

    def cycle(self) -> float:
        config = self.written[0]
        one = _TIMES[config >> 6 & 7] * (config >> 1 & 1) + _TIMES[config >> 3 & 7] * (config & 1)
        return one * _AVERAGES[config >> 9 & 7]

    def latch(self) -> dict[int, int]:
        return {
            1: _clamped(self.amps * self.shunt / 2.5e-6, 16) & 0xFFFF,
            2: _clamped(self.volts / 1.25e-3, 16, low=0),
        }

    def put(self, register: int, value: int) -> None:
        # Bits 14 to 12 of the configuration read 100.
        super().put(register, value & 0x8FFF | 0x4000 if register == 0 else value)

    def special(self, register: int) -> int:
        if register != 6:
            return super().special(register)
        told = self.written[6] & ~8 | self.ready << 3
        self.ready = False
        return told


class Ina3221(_Converter):
    """The chip with shunts of `shunt` ohms; volts and amps by channel, 1 to 3."""

    RESET: ClassVar[dict[int, int]] = {0: 0x7127, 15: 2}
    FIXED: ClassVar[dict[int, int]] = {0xFE: _TI, 0xFF: 0x3220}

    def __init__(self, now: Callable[[], float], *, shunt: float = 0.1, slow: float = 1.1) -> None:
        self.channels = dict.fromkeys((1, 2, 3), (0.0, 0.0))
        super().__init__(now, shunt=shunt, slow=slow)

    def cycle(self) -> float:
        config = self.written[0]
        on = sum(config >> bit & 1 for bit in (12, 13, 14))
        one = _TIMES[config >> 6 & 7] * (config >> 1 & 1) + _TIMES[config >> 3 & 7] * (config & 1)
        return max(one * on, 1e-3) * _AVERAGES[config >> 9 & 7]

    def latch(self) -> dict[int, int]:
        found = dict(self._latched)
        for channel, (volts, amps) in self.channels.items():
            if self.written[0] >> 15 - channel & 1:
                found[2 * channel - 1] = (_clamped(amps * self.shunt / 40e-6, 13) << 3) & 0xFFFF
                found[2 * channel] = _clamped(volts / 8e-3, 13) << 3 & 0xFFFF
        return found

    def special(self, register: int) -> int:
        if register != 15:
            return super().special(register)
        told = self.written[15] & ~1 | self.ready
        self.ready = False
        return told


class Ina228(_Converter):
    """The chip at a shunt of `shunt` ohms, `celsius` warm; its counters roll over at 40 bits."""

    CONFIG = 1
    RESET: ClassVar[dict[int, int]] = {0: 0, 1: 0xFB68, 2: 0x1000, 3: 0, 0x0B: 1}
    FIXED: ClassVar[dict[int, int]] = {0x3E: _TI, 0x3F: 0x2281}
    _SIZES: ClassVar[dict[int, int]] = {4: 3, 5: 3, 7: 3, 8: 3, 9: 5, 10: 5}

    def __init__(self, now: Callable[[], float], *, shunt: float = 0.015, slow: float = 1.1) -> None:
        self.celsius, self.sound, self.overflow = 25.0, True, False
        super().__init__(now, shunt=shunt, slow=slow)

    def brown_out(self) -> None:
        super().brown_out()
        self.energy, self.charge = 0.0, 0.0

    def size(self, register: int) -> int:
        return self._SIZES.get(register, 2)

    def running(self) -> int:
        return 0xF000

    def put(self, register: int, value: int) -> None:
        if register == 0 and value & 0x4000:
            # RSTACC.
            self.energy = self.charge = 0.0
            value &= ~0x4000
        super().put(register, value)

    def cycle(self) -> float:
        config = self.written[1]
        mode = config >> 12
        one = sum(_TIMES_228[config >> at & 7] for at, bit in ((9, 1), (6, 2), (3, 4)) if mode & bit)
        return max(one, 1e-4) * _AVERAGES[config & 7]

    def _step(self) -> float:
        return 78.125e-9 if self.written[0] & 0x10 else 312.5e-9

    def _current(self) -> int:
        # Equations 2 and 3: at ADCRANGE = 1 the calibration is four times as large.
        scale = 4 if self.written[0] & 0x10 else 1
        lsb_ohms = self.written[2] / 13107.2e6 / scale
        return _clamped(self._shunt_counts() * self._step() / lsb_ohms, 20) if lsb_ohms else 0

    def _shunt_counts(self) -> int:
        return _clamped(self.amps * self.shunt / self._step(), 20)

    def passed(self, seconds: float) -> None:
        # Equation 4, power in counts of 3.2 counts of current; energy in counts of 16 of power.
        power = round(abs(self._current()) * self.volts / 3.2)
        self.energy += power * seconds / 16
        self.charge += self._current() * seconds

    def latch(self) -> dict[int, int]:
        return {
            4: (self._shunt_counts() << 4) & 0xFFFFFF,
            5: _clamped(self.volts / 195.3125e-6, 20, low=0) << 4,
            6: _clamped(self.celsius / 7.8125e-3, 16) & 0xFFFF,
            7: (self._current() << 4) & 0xFFFFFF,
        }

    def special(self, register: int) -> int:
        match register:
            case 9:
                return int(self.energy) % (1 << 40)
            case 10:
                return int(self.charge) % (1 << 40)
            case 0x0B:
                told = self.overflow << 9 | self.ready << 1 | self.sound
                self.ready = False
                return told
        return super().special(register)
