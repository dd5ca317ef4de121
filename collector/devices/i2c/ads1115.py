"""ADS1115: voltages at four inputs; registers from TI SBAS444E, section 8.6."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from collector.devices.description import (
    BadRecordError,
    Decoded,
    I2cKind,
    NoAnswerError,
    Rows,
    SettingError,
)
from collector.devices.i2c import chip_address, read_word, signed, write_word
from collector.devices.lines import I2cLine
from collector.devices.rows import measured
from config.model import Device

_CONVERSION, _CONFIG = 0, 1
_START = _IDLE = 0x8000
_SINGLE_ENDED = 0b100 << 12
# Single-shot, 128 samples a second, comparator off.
_BASE = 0x0100 | 0b100 << 5 | 0b11
_PGA: Mapping[float, int] = MappingProxyType({6.144: 0, 4.096: 1, 2.048: 2, 1.024: 3, 0.512: 4, 0.256: 5})
_FULL = 32768
# 1/128 s, a tenth more for its clock, and the time to wake up; then several tries of the same order.
_CONVERSION_S = 0.0088
_RETRY_S = 0.002
_RETRIES = 25

DEFAULT_GAIN = 4.096
# By what its pin ADDR is tied to.
_ADDRESSES = range(0x48, 0x4C)

ROWS: Rows = MappingProxyType({"voltage": measured("Voltage", "V", precision=2, step=0.02)})


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

    adc: Input
    divider: float

    @property
    def address(self) -> int:
        """The chip's."""
        return self.adc.address

    @property
    def rows(self) -> Rows:
        """What it reports."""
        return ROWS

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


def make(device: Device) -> Ads1115Voltage:
    """Set up the voltage that the settings describe. Raises SettingError."""
    return Ads1115Voltage(input_of(device), device.divider if device.divider is not None else 1.0)


KIND = I2cKind(
    name="ads1115_voltage",
    title="Voltage at an input of an ADS1115",
    manufacturer="Texas Instruments",
    rows=ROWS,
    source="Texas Instruments, ADS1115 data sheet SBAS444E",
    needs=("channel",),
    takes=("bus", "address", "gain", "divider"),
    every=1.0,
    make=make,
    addresses=_ADDRESSES,
)
