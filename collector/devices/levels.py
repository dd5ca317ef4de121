"""How full a tank is: the owner's table of raw values and shares."""

import math
from dataclasses import dataclass
from itertools import pairwise

from collector.devices.description import Rows, SettingError, Values
from collector.devices.rows import measured

# Of the table's span: senders are made to within a tenth; one far outside is broken, or its wire is.
_MARGIN = 0.15
# A table may begin at a short circuit, give or take this share of its span.
_SHORT = 0.01
_TABLE = "at least two pairs [raw, %], the raw ones all rising or all falling, such as [[240, 0], [33, 100]]"

LEVEL_ROWS: Rows = {
    "level": measured("Level", "%", precision=0, step=1, role="tank"),
    "volume": measured("Volume", "L", precision=1, step=1, role="tank"),
}


@dataclass(frozen=True, slots=True)
class LevelTable:
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

    def read(self, raw: float, capacity: float | None) -> Values:
        """Return the level in %, and the volume if the tank's `capacity` in litres is known."""
        level = self.share(raw)
        values: Values = {"level": round(level, 1)}
        if capacity is not None:
            values["volume"] = round(level / 100 * capacity, 2)
        return values


def table(calibration: tuple[tuple[float, float], ...], unit: str) -> LevelTable:
    """Build the table of the setting `calibration`, its raw values in `unit`. Raises SettingError."""
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
        raise SettingError("calibration", f"{raws[0]:g} is no raw value", f"{unit}, 0 or more")
    return LevelTable(raws, percents, *_bounds(raws[0], raws[-1]))


def _bounds(first: float, last: float) -> tuple[float, float]:
    margin = _MARGIN * (last - first)
    # The margin alone may reach down to 0 and make a short circuit look like an end of the table.
    short = first / 2 if first > _SHORT * (last - first) else -margin
    return max(first - margin, short), last + margin
