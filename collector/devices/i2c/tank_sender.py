"""A resistive tank sender at an input of an ADS1115: level by the owner's calibration table.

The raw value of the table is the sender's resistance in ohms if a pull-up to a known supply is given, else
the voltage at the chip. Water sloshes and a float's contact bounces: the level is that of the median of the
last five polls, none older than two minutes.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low
from types import MappingProxyType

from collector.devices.description import Decoded, I2cKind, Rows, SettingError, Values
from collector.devices.i2c.ads1115 import Input, input_of
from collector.devices.lines import I2cLine
from collector.devices.rows import measured
from config.model import Device

# 25 s at five seconds a poll: a van takes that long to stand still after a bend.
_POLLS = 5
# Older values tell nothing of now, whatever `every` says.
_REMEMBERED_S = 120.0
# Of the table's span: senders are made to within a tenth; one far outside is broken, or its wire is.
_MARGIN = 0.15
# A table may begin at a short circuit, give or take this share of its span.
_SHORT = 0.01
_TABLE = "at least two pairs [raw, %], the raw ones all rising or all falling, such as [[240, 0], [33, 100]]"

ROWS: Rows = MappingProxyType(
    {
        "level": measured("Level", "%", precision=0, step=1),
        "volume": measured("Volume", "L", precision=1, step=1),
        # For the owner who makes the table; in the table's unit, ohms or volts, so that it names none.
        "raw": measured("Raw value", None, precision=2, step=math.inf, diagnostic=True),
    }
)


@dataclass(frozen=True, slots=True)
class Table:
    """Raw values, rising, with their shares in %; `low` and `high` are what no sound sender goes beyond."""

    raws: tuple[float, ...]
    shares: tuple[float, ...]
    low: float
    high: float

    def share(self, raw: float) -> float:
        """Return the share in % on the straight line between the neighbours, held at the ends."""
        if raw <= self.raws[0]:
            return self.shares[0]
        for (left, first), (right, second) in pairwise(zip(self.raws, self.shares, strict=True)):
            if raw <= right:
                return first + (second - first) * (raw - left) / (right - left)
        return self.shares[-1]


def table(calibration: tuple[tuple[float, float], ...]) -> Table:
    """Build the table of the setting `calibration`. Raises SettingError."""
    if len(calibration) < 2:
        raise SettingError("calibration", f"{len(calibration)} pairs make no table", _TABLE)
    if not all(math.isfinite(number) for pair in calibration for number in pair):
        raise SettingError("calibration", "there is a value that is no number", _TABLE)
    wrong = next((share for _, share in calibration if not 0 <= share <= 100), None)
    if wrong is not None:
        raise SettingError("calibration", f"{wrong:g} is no share of a tank", "0 to 100 %")
    steps = [right - left for (left, _), (right, _) in pairwise(calibration)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise SettingError("calibration", "its raw values neither all rise nor all fall", _TABLE)
    shares = [second - first for (_, first), (_, second) in pairwise(calibration)]
    if not any(shares) or (min(shares) < 0 < max(shares)):
        raise SettingError("calibration", "its shares neither rise nor fall from end to end", _TABLE)
    raws, percents = zip(*sorted(calibration), strict=True)
    if raws[0] < 0:
        raise SettingError("calibration", f"{raws[0]:g} is no raw value", "ohms or volts, 0 or more")
    return Table(raws, percents, *_bounds(raws[0], raws[-1]))


def _bounds(first: float, last: float) -> tuple[float, float]:
    margin = _MARGIN * (last - first)
    # The margin alone may reach down to 0 and make a short circuit look like an end of the table.
    short = first / 2 if first > _SHORT * (last - first) else -margin
    return max(first - margin, short), last + margin


@dataclass(slots=True)
class TankSender:
    """One tank; what the sender said lately is kept here, `(monotonic second, raw)`."""

    adc: Input
    table: Table
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
            return ROWS
        return {entity: row for entity, row in ROWS.items() if entity != "volume"}

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
            level = self.table.share(raw)
            values: Values = {"level": round(level, 1), "raw": round(raw, 3)}
            if self.capacity is not None:
                values["volume"] = round(level / 100 * self.capacity, 2)
            return Decoded(values)
        unit = "V" if self.pull_up is None else "ohm"
        seen = "nothing" if math.isinf(raw) else f"{raw:.3g} {unit}"
        reason = (
            f"{seen} is far outside the table ({self.table.raws[0]:g} to {self.table.raws[-1]:g} {unit}): "
        )
        reason += "is the sender short-circuited?" if raw < self.table.low else "is its wire broken?"
        values = dict.fromkeys(self.rows)
        return Decoded(values, reasons=dict.fromkeys(values, reason))


def make(device: Device) -> TankSender:
    """Set up the tank that the settings describe. Raises SettingError."""
    if device.pull_up is not None and device.supply is None:
        raise SettingError("supply", "it is missing beside pull_up", "the volts that the pull-up hangs on")
    if device.supply is not None and device.pull_up is None:
        raise SettingError("pull_up", "it is missing beside supply", "the ohms between supply and sender")
    chip, known = input_of(device), table(device.calibration)
    most, supply = known.raws[-1], device.supply or 0.0
    volts = most if device.pull_up is None else supply * most / (device.pull_up + most)
    if volts >= chip.gain:
        raise SettingError(
            "gain", f"the table's {most:g} make {volts:.3g} V, the chip ends at {chip.gain:g}", "a larger one"
        )
    return TankSender(chip, known, device.pull_up, supply, device.capacity)


KIND = I2cKind(
    name="tank_sender",
    title="Resistive tank sender at an ADS1115",
    manufacturer="Generic",
    rows=ROWS,
    source="Texas Instruments, ADS1115 data sheet SBAS444E; the owner's calibration",
    needs=("channel", "calibration"),
    takes=("bus", "address", "gain", "pull_up", "supply", "capacity"),
    every=5.0,
    make=make,
)
