"""INA219: voltage and current of an appliance behind a shunt; TI SBOS448G, sections 8.5 and 8.6.

Current is positive from VIN+ to VIN-: with VIN+ at the battery, an appliance behind VIN- consumes positive
watts and a charger there shows negative ones. The voltage is that at VIN-.
"""

from dataclasses import dataclass
from typing import ClassVar

from collector.devices.description import (
    BadRecordError,
    Decoded,
    I2cKind,
    I2cLine,
    NoAnswerError,
    Rows,
    SettingError,
    Values,
)
from collector.devices.i2c import chip_address, read_word, signed, write_word
from collector.devices.rows import measured
from config.model import Device

# By what its pins A0 and A1 are tied to.
_ADDRESSES = range(0x40, 0x50)
_CONFIG, _SHUNT, _BUS, _POWER, _CURRENT, _CALIBRATION = range(6)
# Volts across the shunt that each PGA setting takes, from the finest (table 4).
_RANGES = (0.04, 0.08, 0.16, 0.32)
# 32 V range; 128 samples of 12 bits averaged for the bus and for the shunt; both, continuously (table 5).
_CONFIG_BASE = 0x2000 | 0b1111 << 7 | 0b1111 << 3 | 0b111
_CONVERSION_S = 2 * 0.0681
# Its clock may be a tenth slower, and a conversion may just have begun.
_PAUSE_S = _CONVERSION_S / 4
_PAUSES = 12
_SHUNT_STEP_V = 10e-6
_BUS_STEP_V = 4e-3
_BUS_END = 8000
_READY, _OVERFLOW = 2, 1
# Ohms of the usual board's shunt, and the A that it takes.
_DEFAULT_SHUNT, _DEFAULT_MOST, _NO_CORRECTION = 0.1, 3.2, 1.0

ROWS: Rows = {
    "voltage": measured("Voltage", "V", precision=2, step=0.02),
    "current": measured("Current", "A", precision=3, step=0.01),
    "power": measured("Power", "W", precision=1, step=0.1),
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was read of one measurement, as the chip holds it."""

    shunt: int
    bus: int
    current: int


@dataclass(frozen=True, slots=True)
class Setup:
    """What follows from the shunt: registers, volts and amps at the end of the range, amps of a count."""

    config: int
    calibration: int
    end: int
    amps: float
    current_step: float


def setup(shunt: float, max_current: float) -> Setup:
    """Choose the finest range that takes `max_current` A through `shunt` ohms. Raises SettingError.

    Calibration as in section 8.5.1, for the end of the range instead of `max_current`: what the shunt's
    converter can tell is not lost to an overflow of the current register.
    """
    most = shunt * max_current
    # 3.2 A through 0.1 ohm is a hair more than 0.32 V in binary.
    pga = next((p for p, volts in enumerate(_RANGES) if most <= volts * (1 + 1e-9)), None)
    if pga is None:
        raise SettingError(
            "max_current",
            f"{max_current:g} A make {most:g} V at a shunt of {shunt:g} ohm",
            f"at most {_RANGES[-1] / shunt:g} A, for the chip measures 0.32 V; or a smaller shunt",
        )
    amps = _RANGES[pga] / shunt
    calibration = int(0.04096 / (amps / 2**15 * shunt)) & 0xFFFE
    end = round(_RANGES[pga] / _SHUNT_STEP_V)
    return Setup(_CONFIG_BASE | pga << 11, calibration, end, amps, 0.04096 / (calibration * shunt))


def decode(registers: Measurement, chip: Setup, correction: float) -> Decoded:
    """Read one measurement; what lies beyond the chip's ranges is None with a reason."""
    reasons: dict[str, str] = {}
    voltage: float | None = (registers.bus >> 3) * _BUS_STEP_V
    if registers.bus >> 3 >= _BUS_END:
        voltage, reasons["voltage"] = None, "32 V or more: beyond the chip's range, which is made for 26 V"
    current: float | None = signed(registers.current) * chip.current_step * correction
    if abs(signed(registers.shunt)) >= chip.end or registers.bus & _OVERFLOW:
        current = None
        reasons["current"] = (
            f"current above {chip.amps * correction:.3g} A: the shunt's range is exceeded; "
            "raise max_current or use a smaller shunt"
        )
    if reasons:
        reasons["power"] = "; ".join(reasons.values())
    # The chip's own product has no sign, and it knows nothing of the correction.
    power = None if voltage is None or current is None else voltage * current
    values: Values = {
        "voltage": None if voltage is None else round(voltage, 3),
        "current": None if current is None else round(current, 5),
        "power": None if power is None else round(power, 4),
    }
    return Decoded(values, "INA219", reasons=reasons)


@dataclass(frozen=True, slots=True)
class Ina219:
    """One chip."""

    rows: ClassVar[Rows] = ROWS

    address: int
    setup: Setup
    correction: float

    def poll(self, line: I2cLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Read a measurement made with our settings. Raises DecodeError or LineError."""
        if not self._intact(line):
            self._set_up(line)
        registers = self._measured(line)
        # A brown-out in between clears the calibration, and the current would read 0.
        if not self._intact(line):
            raise BadRecordError(f"the chip at {self.address:#04x} lost its settings: is its supply steady?")
        return decode(registers, self.setup, self.correction)

    def _intact(self, line: I2cLine) -> bool:
        return (
            read_word(line, self.address, _CONFIG) == self.setup.config
            and read_word(line, self.address, _CALIBRATION) == self.setup.calibration
        )

    def _set_up(self, line: I2cLine) -> None:
        # The calibration first: every conversion after the configuration is multiplied with it.
        write_word(line, self.address, _CALIBRATION, self.setup.calibration)
        write_word(line, self.address, _CONFIG, self.setup.config)
        # Reading the power clears "conversion ready": what was measured before does not count.
        read_word(line, self.address, _POWER)

    def _measured(self, line: I2cLine) -> Measurement:
        for _ in range(_PAUSES):
            bus = read_word(line, self.address, _BUS)
            if bus & _READY:
                shunt = read_word(line, self.address, _SHUNT)
                current = read_word(line, self.address, _CURRENT)
                # Clears "conversion ready": the next poll can tell new from old.
                read_word(line, self.address, _POWER)
                return Measurement(shunt, bus, current)
            line.pause(_PAUSE_S)
        raise NoAnswerError(
            f"the chip at {self.address:#04x} answers but does not measure: switch it off and on"
        )


def make(device: Device) -> Ina219:
    """Set up the chip that the settings describe. Raises SettingError."""
    return Ina219(
        chip_address(device, _ADDRESSES),
        setup(
            device.shunt if device.shunt is not None else _DEFAULT_SHUNT,
            device.max_current if device.max_current is not None else _DEFAULT_MOST,
        ),
        device.correction if device.correction is not None else _NO_CORRECTION,
    )


KIND = I2cKind(
    name="ina219",
    title="INA219 current sensor",
    manufacturer="Texas Instruments",
    rows=ROWS,
    source="Texas Instruments, INA219 data sheet SBOS448G",
    takes=("bus", "address", "shunt", "max_current", "correction"),
    every=1.0,
    make=make,
    addresses=_ADDRESSES,
    defaults={"shunt": _DEFAULT_SHUNT, "max_current": _DEFAULT_MOST, "correction": _NO_CORRECTION},
)
