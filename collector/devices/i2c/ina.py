"""INA219, INA226, INA228, INA3221: voltage and current of an appliance behind a shunt.

One `Chip` each; registers from TI SBOS448G (INA219), SBOS547A (INA226), SBOS886 (INA228), SBOS576B (INA3221).
Current is computed from the volts across the shunt: no calibration can be lost. It is positive
from IN+ to IN-: with IN+ at the battery, an appliance behind IN- consumes positive watts and a charger there
shows negative ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from collector.devices.description import (
    BadRecordError,
    Decoded,
    I2cKind,
    NoAnswerError,
    Rows,
    SettingError,
    Values,
    WrongKindError,
)
from collector.devices.i2c import chip_address, read_number, read_word, write_word
from collector.devices.lines import I2cLine
from collector.devices.rows import measured
from config.model import Device

_TEXAS_INSTRUMENTS = 0x5449
# Registers with the maker and the die, and the dies that are read here; their last four bits are a revision.
_IDENTITIES = ((0x3E, 0x3F), (0xFE, 0xFF))
_DIES = {0x226: "ina226", 0x228: "ina228", 0x322: "ina3221"}
# The chip's clock may be a tenth slower, and a conversion may just have begun.
_PAUSES_A_CONVERSION, _PAUSES = 4, 12
_NO_CORRECTION = 1.0
_HOUR = 3600
# What the offset of a converter may make of 0 V.
_ZERO_V = 0.1

ROWS: Rows = {
    "voltage": measured("Voltage", "V", precision=2, step=0.02),
    "current": measured("Current", "A", precision=3, step=0.01),
    "power": measured("Power", "W", precision=1, step=0.1),
}
COUNTING_ROWS: Rows = {
    **ROWS,
    "energy": measured("Energy in both directions", "Wh", precision=2, step=0.1),
    "charge": measured("Charge since the chip's start", "Ah", precision=3, step=0.01),
    "temperature": measured("Chip temperature", "°C", step=0.5, diagnostic=True),
}


@dataclass(frozen=True, slots=True)
class Register:
    """A number of `size` bytes in two's complement, above `shift` other bits; `step` is what a count is."""

    at: int
    step: float = 1.0
    size: int = 2
    shift: int = 0
    signed: bool = True

    def count(self, line: I2cLine, address: int) -> int:
        """Read it. Raises DecodeError or LineError."""
        return read_number(line, address, self.at, self.size, signed=self.signed) >> self.shift


@dataclass(frozen=True, slots=True)
class Range:
    """What a chip measures across its shunt: below `end` counts of `step` V, set by `registers`."""

    end: int
    step: float
    registers: Mapping[int, int]

    @property
    def volts(self) -> float:
        """The V at its end."""
        return self.end * self.step


@dataclass(frozen=True, slots=True)
class Counters:
    """What a chip adds up by itself; `joules` are those of a count of energy at 1 A of a count of current."""

    energy: Register
    charge: Register
    temperature: Register
    joules: float
    # Of the word that says "ready": the chip's memory is sound, and a product did not fit.
    sound: int
    overflow: int
    # The register and the bit that set the counters to 0.
    clear: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chip:
    """A row of the table. Ranges from the finest; shunts by channel; `end` is the largest count of `bus`.

    `ready` is a register and a bit of it; reading `clear` sets the bit back. A measurement takes
    `conversion` s.
    """

    name: str
    ranges: tuple[Range, ...]
    shunts: Mapping[int | None, Register]
    # Of channel n of several it is 2 (n - 1) registers further.
    bus: Register
    end: int
    made_for: str
    ready: tuple[int, int]
    clear: int
    conversion: float
    counters: Counters | None = None


# The finest range first. 32 V; 128 samples of 12 bits averaged for the bus and for the shunt; both,
# continuously (tables 4 and 5).
_INA219_CONFIG = 0x2000 | 0b1111 << 7 | 0b1111 << 3 | 0b111
_INA219 = Chip(
    name="INA219",
    ranges=tuple(Range(4000 << pga, 10e-6, {0: _INA219_CONFIG | pga << 11}) for pga in range(4)),
    shunts={None: Register(1)},
    bus=Register(2, 4e-3, shift=3, signed=False),
    end=8000,
    made_for="26 V",
    ready=(2, 2),
    # Reading the power.
    clear=3,
    conversion=2 * 0.0681,
)
# 64 samples of 1.1 ms averaged, bus and shunt, continuously (tables 6 to 9).
_INA226 = Chip(
    name="INA226",
    ranges=(Range(0x7FFF, 2.5e-6, {0: 0x4000 | 0b011 << 9 | 0b100 << 6 | 0b100 << 3 | 0b111}),),
    shunts={None: Register(1)},
    bus=Register(2, 1.25e-3),
    end=0x7FFF,
    made_for="36 V",
    ready=(6, 1 << 3),
    clear=6,
    conversion=64 * 2 * 1.1e-3,
)
# All three channels; 16 samples of 1.1 ms averaged, bus and shunt, continuously (tables 3 to 6).
_INA3221 = Chip(
    name="INA3221",
    ranges=(Range(0xFFF, 40e-6, {0: 0x7000 | 0b010 << 9 | 0b100 << 6 | 0b100 << 3 | 0b111}),),
    shunts={channel: Register(2 * channel - 1, shift=3) for channel in (1, 2, 3)},
    bus=Register(2, 8e-3, shift=3),
    end=0xFFF,
    made_for="26 V",
    ready=(0x0F, 1),
    clear=0x0F,
    conversion=16 * 6 * 1.1e-3,
)
# 64 samples of 1.052 ms averaged, bus, shunt and temperature, continuously (table 7-6). With this calibration
# the chip's count of current is one of the shunt's counts (equations 1 to 3), whatever the shunt.
_INA228_FIXED = {1: 0xF << 12 | 0b101 << 9 | 0b101 << 6 | 0b101 << 3 | 0b011, 2: 4096}
_INA228 = Chip(
    name="INA228",
    ranges=(
        Range(0x7FFFF, 78.125e-9, {0: 1 << 4, **_INA228_FIXED}),
        Range(0x7FFFF, 312.5e-9, {0: 0, **_INA228_FIXED}),
    ),
    shunts={None: Register(4, size=3, shift=4)},
    bus=Register(5, 195.3125e-6, size=3, shift=4),
    end=0x7FFFF,
    made_for="85 V",
    ready=(0x0B, 1 << 1),
    clear=0x0B,
    conversion=64 * 3 * 1.052e-3,
    counters=Counters(
        energy=Register(9, size=5, signed=False),
        charge=Register(10, size=5),
        temperature=Register(6, 7.8125e-3),
        joules=16 * 3.2,
        sound=1,
        overflow=1 << 9,
        clear=(0, 1 << 14),
    ),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was read of one measurement, as the chip holds it; `told` is the word that said "ready"."""

    shunt: int
    bus: int
    told: int = 0
    energy: int = 0
    charge: int = 0
    temperature: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """A chip in a range at a shunt of `shunt` ohms; `correction` is true current by measured current."""

    chip: Chip
    range: Range
    shunt: float
    correction: float = 1.0
    channel: int | None = None

    @property
    def step(self) -> float:
        """The A of a count."""
        return self.range.step / self.shunt * self.correction


def setup(chip: Chip, device: Device, shunt: float, max_current: float | None) -> Setup:
    """Choose the finest range that takes `max_current` A through `shunt` ohms, None: the widest.

    Raises SettingError.
    """
    if device.channel not in chip.shunts:
        raise SettingError("channel", f"{chip.name} has no channel {device.channel}", "1, 2 or 3")
    widest = chip.ranges[-1]
    most = widest.volts if max_current is None else shunt * max_current
    # 3.2 A through 0.1 ohm is a hair more than 0.32 V in binary.
    found = next((one for one in chip.ranges if most <= one.volts * (1 + 1e-5)), None)
    if found is None:
        raise SettingError(
            "max_current",
            f"{max_current:g} A make {most:g} V at a shunt of {shunt:g} ohm",
            f"at most {widest.volts / shunt:g} A, for the chip measures {widest.volts:.3g} V; "
            "or a smaller shunt",
        )
    correction = device.correction if device.correction is not None else _NO_CORRECTION
    return Setup(chip, found, shunt, correction, device.channel)


def decode(read: Measurement, its: Setup) -> Decoded:
    """Read one measurement; what lies beyond the chip's ranges is None with a reason. Raises DecodeError."""
    chip, reasons = its.chip, dict[str, str]()
    voltage: float | None = read.bus * chip.bus.step
    if read.bus >= chip.end:
        reasons["voltage"] = (
            f"{voltage:.3g} V or more: beyond the chip's range, which is made for {chip.made_for}"
        )
        voltage = None
    elif voltage is not None and voltage < 0:
        if voltage < -_ZERO_V:
            raise BadRecordError(f"the chip says {voltage:.3g} V, which it cannot measure: is a wire loose?")
        voltage = 0.0
    current: float | None = read.shunt * its.step
    if abs(read.shunt) >= its.range.end:
        current = None
        reasons["current"] = (
            f"current above {its.range.end * its.step:.3g} A: the shunt's range is exceeded; "
            f"{'raise max_current or ' if len(chip.ranges) > 1 else ''}use a smaller shunt"
        )
    if reasons:
        reasons["power"] = "; ".join(reasons.values())
    # The chips' own products have no sign, and they know nothing of the correction.
    power = None if voltage is None or current is None else voltage * current
    values: Values = {
        "voltage": None if voltage is None else round(voltage, 4),
        "current": None if current is None else round(current, 6),
        "power": None if power is None else round(power, 5),
    }
    if chip.counters is not None:
        values |= _counted(read, chip.counters, its, reasons)
    return Decoded(values, chip.name, reasons=reasons)


def _counted(read: Measurement, counters: Counters, its: Setup, reasons: dict[str, str]) -> Values:
    if not read.told & counters.sound:
        raise BadRecordError(
            f"the {its.chip.name} says that its memory is damaged: switch it off and on, or replace it"
        )
    if read.told & counters.overflow:
        reasons["energy"] = reasons["charge"] = "the chip's arithmetic overflowed: use a smaller shunt"
    lost = "energy" in reasons
    return {
        "energy": None if lost else round(read.energy * counters.joules * its.step / _HOUR, 4),
        "charge": None if lost else round(read.charge * its.step / _HOUR, 5),
        "temperature": round(read.temperature * counters.temperature.step, 2),
    }


@dataclass(frozen=True, slots=True)
class Ina:
    """One chip, or one channel of it."""

    rows: Rows
    address: int
    setup: Setup

    def poll(self, line: I2cLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Read a measurement made with our settings. Raises DecodeError or LineError."""
        if not self._intact(line):
            self._set_up(line)
        read = self._measured(line, self._wait(line))
        # After a brown-out in between, the current would read 0.
        if not self._intact(line):
            raise BadRecordError(f"the chip at {self.address:#04x} lost its settings: is its supply steady?")
        return decode(read, self.setup)

    def _intact(self, line: I2cLine) -> bool:
        wanted = self.setup.range.registers
        return all(read_word(line, self.address, one) == value for one, value in wanted.items())

    def _set_up(self, line: I2cLine) -> None:
        chip = self.setup.chip
        its = identify(line, self.address)
        if its != (chip.name.lower() if chip is not _INA219 else None):
            meant = "is it an INA219?"
            if its is not None:
                meant = f'set kind = "{its}"' if its in KINDS else f"it is an {its}, which is not read"
            raise WrongKindError(f"the chip at {self.address:#04x} is no {chip.name}: {meant}")
        if chip.counters is not None:
            # What was counted at other settings does not count.
            register, bit = chip.counters.clear
            write_word(line, self.address, register, self.setup.range.registers[register] | bit)
        # The last one starts a new measurement.
        for register, value in sorted(self.setup.range.registers.items(), reverse=True):
            write_word(line, self.address, register, value)
        # What was measured before does not count.
        read_word(line, self.address, chip.clear)

    def _wait(self, line: I2cLine) -> int:
        chip = self.setup.chip
        register, bit = chip.ready
        for _ in range(_PAUSES):
            told = read_word(line, self.address, register)
            if told & bit:
                return told
            line.pause(chip.conversion / _PAUSES_A_CONVERSION)
        raise NoAnswerError(
            f"the chip at {self.address:#04x} answers but does not measure: switch it off and on"
        )

    def _measured(self, line: I2cLine, told: int) -> Measurement:
        chip, channel = self.setup.chip, self.setup.channel
        bus = chip.bus if channel is None else replace(chip.bus, at=chip.bus.at + 2 * (channel - 1))
        read = Measurement(
            chip.shunts[channel].count(line, self.address), bus.count(line, self.address), told
        )
        if (counters := chip.counters) is not None:
            read = replace(
                read,
                energy=counters.energy.count(line, self.address),
                charge=counters.charge.count(line, self.address),
                temperature=counters.temperature.count(line, self.address),
            )
        if chip.clear != chip.ready[0]:
            # The next poll can tell new from old.
            read_word(line, self.address, chip.clear)
        return read


def identify(line: I2cLine, address: int) -> str | None:
    """Return the kind that the chip says it is, None if it says nothing. Raises DecodeError or LineError."""
    for maker, die in _IDENTITIES:
        if read_word(line, address, maker) == _TEXAS_INSTRUMENTS:
            number = read_word(line, address, die) >> 4
            return _DIES.get(number, f"ina with number {number:#05x}")
    return None


def _kind(
    chip: Chip, shunt: float, addresses: range, *, source: str, title: str, max_current: float | None = None
) -> I2cKind:
    rows = COUNTING_ROWS if chip.counters else ROWS

    def make(device: Device) -> Ina:
        most = device.max_current if device.max_current is not None else max_current
        ohms = device.shunt if device.shunt is not None else shunt
        return Ina(rows, chip_address(device, addresses), setup(chip, device, ohms, most))

    def recognise(line: I2cLine, address: int) -> bool:
        # All of the family have it: who has none is asked no more, for 0xFE resets some other chips.
        read_word(line, address, 0)
        return identify(line, address) == name

    several, name = None not in chip.shunts, chip.name.lower()
    return I2cKind(
        name=name,
        title=title,
        manufacturer="Texas Instruments",
        rows=rows,
        source=f"Texas Instruments, {chip.name} data sheet {source}",
        needs=("channel",) if several else (),
        takes=("bus", "address", "shunt", *(("max_current",) if len(chip.ranges) > 1 else ()), "correction"),
        every=1.0,
        make=make,
        addresses=addresses,
        recognise=None if chip is _INA219 else recognise,
        defaults={
            "shunt": shunt,
            **({} if max_current is None else {"max_current": max_current}),
            "correction": _NO_CORRECTION,
        },
        allowed={"channel": tuple(one for one in chip.shunts if one)} if several else {},
    )


# By what their pins A0 and A1 are tied to; ohms and amps are those of the usual board.
_SIXTEEN, _FOUR = range(0x40, 0x50), range(0x40, 0x44)
_KINDS = (
    _kind(_INA219, 0.1, _SIXTEEN, source="SBOS448G", title="INA219 current sensor", max_current=3.2),
    _kind(_INA226, 0.1, _SIXTEEN, source="SBOS547A", title="INA226 current sensor"),
    _kind(
        _INA228,
        0.015,
        _SIXTEEN,
        source="SBOS886",
        title="INA228 current sensor with counters of energy and charge",
    ),
    _kind(_INA3221, 0.1, _FOUR, source="SBOS576B", title="One channel of an INA3221 current sensor"),
)
KINDS = {kind.name: kind for kind in _KINDS}
