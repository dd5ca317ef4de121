"""ADS1115: voltages at four inputs, and a resistive tank sender at one of them.

Registers are from TI SBAS444E, section 8.6.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median_low
from typing import ClassVar

from collector.devices.description import (
    BadRecordError,
    Decoded,
    I2cKind,
    NoAnswerError,
    Rows,
    SettingError,
    Values,
)
from collector.devices.i2c import chip_address, read_word, signed, write_word
from collector.devices.levels import LEVEL_ROWS, LevelTable, table
from collector.devices.lines import I2cLine
from collector.devices.rows import measured
from config.model import Device

_CONVERSION, _CONFIG = 0, 1
_START = _IDLE = 0x8000
_SINGLE_ENDED = 0b100 << 12
# Single-shot, 128 samples a second, comparator off.
_BASE = 0x0100 | 0b100 << 5 | 0b11
_PGA: Mapping[float, int] = {6.144: 0, 4.096: 1, 2.048: 2, 1.024: 3, 0.512: 4, 0.256: 5}
_FULL = 32768
# 1/128 s, a tenth more for its clock, and the time to wake up; then several tries of the same order.
_CONVERSION_S = 0.0088
_RETRY_S = 0.002
_RETRIES = 25

DEFAULT_GAIN, _NO_DIVIDER = 4.096, 1.0
# By what its pin ADDR is tied to.
_ADDRESSES = range(0x48, 0x4C)

VOLTAGE_ROWS: Rows = {"voltage": measured("Voltage", "V", precision=2, step=0.02)}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a chip; `gain` is the voltage at full scale."""

    address: int
    channel: int
    gain: float

    def volts(self, line: I2cLine) -> float | None:
        """Measure the voltage to ground; None at or beyond full scale. Raises DecodeError or LineError.

        The chip may be shared: every conversion brings its own settings and is checked to have had them.
        """
        config = _SINGLE_ENDED | self.channel << 12 | _PGA[self.gain] << 9 | _BASE
        write_word(line, self.address, _CONFIG, config | _START)
        line.pause(_CONVERSION_S)
        self._wait(line)
        raw = signed(read_word(line, self.address, _CONVERSION))
        # A brown-out sets the result to 0 and the input to another one.
        if read_word(line, self.address, _CONFIG) != config | _IDLE:
            raise BadRecordError(
                f"the chip at {self.address:#04x} lost its settings: is its supply steady, "
                "does another program use it?"
            )
        return None if raw in (_FULL - 1, -_FULL) else raw * self.gain / _FULL

    def _wait(self, line: I2cLine) -> None:
        for _ in range(_RETRIES):
            if read_word(line, self.address, _CONFIG) & _IDLE:
                return
            line.pause(_RETRY_S)
        raise NoAnswerError(
            f"the chip at {self.address:#04x} answers but does not convert: switch it off and on"
        )


def input_of(device: Device) -> Input:
    """Set up the input that the settings describe. Raises SettingError."""
    gain = device.gain if device.gain is not None else DEFAULT_GAIN
    if gain not in _PGA:
        raise SettingError("gain", f"{gain:g} is none of this chip's", ", ".join(f"{g:g}" for g in _PGA))
    if device.channel is None:
        raise SettingError("channel", "it is missing", "0 to 3")
    return Input(chip_address(device, _ADDRESSES), device.channel, gain)


@dataclass(frozen=True, slots=True)
class Ads1115Voltage:
    """One voltage, `divider` times that at the input."""

    rows: ClassVar[Rows] = VOLTAGE_ROWS

    adc: Input
    divider: float

    @property
    def address(self) -> int:
        """The chip's."""
        return self.adc.address

    def poll(self, line: I2cLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Measure it. Raises DecodeError or LineError."""
        volts = self.adc.volts(line)
        if volts is None:
            reason = (
                f"beyond {self.adc.gain * self.divider:.4g} V: the chip's input is at full scale; "
                "choose a larger gain or a larger divider"
            )
            return Decoded({"voltage": None}, "ADS1115", reasons={"voltage": reason})
        return Decoded({"voltage": round(volts * self.divider, 4)}, "ADS1115")


def make_voltage(device: Device) -> Ads1115Voltage:
    """Set up the voltage that the settings describe. Raises SettingError."""
    return Ads1115Voltage(input_of(device), device.divider if device.divider is not None else _NO_DIVIDER)


VOLTAGE = I2cKind(
    name="ads1115_voltage",
    title="Voltage at an input of an ADS1115",
    manufacturer="Texas Instruments",
    rows=VOLTAGE_ROWS,
    source="Texas Instruments, ADS1115 data sheet SBAS444E",
    needs=("channel",),
    takes=("bus", "address", "gain", "divider"),
    every=1.0,
    make=make_voltage,
    addresses=_ADDRESSES,
    defaults={"gain": DEFAULT_GAIN, "divider": _NO_DIVIDER},
    allowed={"gain": tuple(_PGA)},
)


# 25 s at five seconds a poll: a van takes that long to stand still after a bend.
_POLLS = 5
# Older values tell nothing of now, whatever `every` says.
_REMEMBERED_S = 120.0
TANK_ROWS: Rows = {
    **LEVEL_ROWS,
    # For the owner who makes the table; in the table's unit, ohms or volts, so that it names none.
    "raw": measured("Raw value", None, precision=2, step=math.inf, diagnostic=True),
}


@dataclass(slots=True)
class TankSender:
    """One tank; what the sender said lately is kept here, `(monotonic second, raw)`."""

    adc: Input
    table: LevelTable
    pull_up: float | None = None
    supply: float = 0.0
    capacity: float | None = None
    _lately: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_POLLS))

    @property
    def address(self) -> int:
        """The chip's."""
        return self.adc.address

    @property
    def rows(self) -> Rows:
        """What it reports: litres only if the tank's are known."""
        if self.capacity is not None:
            return TANK_ROWS
        return {entity: row for entity, row in TANK_ROWS.items() if entity != "volume"}

    def poll(self, line: I2cLine, now: float) -> Decoded:
        """Measure, and tell the median of the last polls. Raises DecodeError or LineError."""
        self._lately.append((now, self._raw(self.adc.volts(line))))
        while now - self._lately[0][0] > _REMEMBERED_S:
            self._lately.popleft()
        # A middle of two would invent a value between sound and broken.
        return self._decoded(median_low(raw for _, raw in self._lately))

    def _raw(self, volts: float | None) -> float:
        """Ohms or volts; infinite where there is no sender to be seen."""
        if volts is None:
            return math.inf
        if self.pull_up is None:
            return volts
        return self.pull_up * volts / (self.supply - volts) if volts < self.supply else math.inf

    def _decoded(self, raw: float) -> Decoded:
        if self.table.low <= raw <= self.table.high:
            return Decoded({**self.table.read(raw, self.capacity), "raw": round(raw, 3)})
        unit = "V" if self.pull_up is None else "ohm"
        seen = "nothing" if math.isinf(raw) else f"{raw:.3g} {unit}"
        reason = (
            f"{seen} is far outside the table ({self.table.raws[0]:g} to {self.table.raws[-1]:g} {unit}): "
        )
        reason += "is the sender short-circuited?" if raw < self.table.low else "is its wire broken?"
        values: Values = dict.fromkeys(self.rows)
        return Decoded(values, reasons=dict.fromkeys(values, reason))


def make_tank(device: Device) -> TankSender:
    """Set up the tank that the settings describe. Raises SettingError."""
    if device.pull_up is not None and device.supply is None:
        raise SettingError("supply", "it is missing beside pull_up", "the volts that the pull-up hangs on")
    if device.supply is not None and device.pull_up is None:
        raise SettingError("pull_up", "it is missing beside supply", "the ohms between supply and sender")
    chip, known = input_of(device), table(device.calibration, "ohms or volts")
    most, supply = known.raws[-1], device.supply or 0.0
    volts = most if device.pull_up is None else supply * most / (device.pull_up + most)
    if volts >= chip.gain:
        raise SettingError(
            "gain", f"the table's {most:g} make {volts:.3g} V, the chip ends at {chip.gain:g}", "a larger one"
        )
    return TankSender(chip, known, device.pull_up, supply, device.capacity)


TANK_SENDER = I2cKind(
    name="tank_sender",
    title="Resistive tank sender at an ADS1115",
    manufacturer="Generic",
    model="Resistive tank sender",
    rows=TANK_ROWS,
    source="Texas Instruments, ADS1115 data sheet SBAS444E; the owner's calibration",
    needs=("channel", "calibration"),
    takes=("bus", "address", "gain", "pull_up", "supply", "capacity"),
    every=5.0,
    make=make_tank,
    addresses=_ADDRESSES,
    defaults={"gain": DEFAULT_GAIN},
    allowed={"gain": tuple(_PGA)},
)
KINDS = {kind.name: kind for kind in (VOLTAGE, TANK_SENDER)}
