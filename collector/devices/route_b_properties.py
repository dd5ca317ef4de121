"""What a Japanese smart meter's properties mean: ECHONET Lite data in, values out.

Codes are ECHONET Lite property codes (EPC) of class 0x0288, ECHONET's Appendix "Detailed Requirements for
ECHONET Device Objects", table "Low-voltage smart electric energy meter class"; numbers are big-endian.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from collector.devices.description import BadRecordError, Values

DATE, PROPERTY_MAP = 0x98, 0x9F
COEFFICIENT, DIGITS, UNIT = 0xD3, 0xD7, 0xE1
IMPORT, IMPORT_DAY, IMPORT_MARK = 0xE0, 0xE2, 0xEA
EXPORT, EXPORT_DAY = 0xE3, 0xE4
POWER, CURRENTS = 0xE7, 0xE8
LIVE = (POWER, CURRENTS, IMPORT, EXPORT, IMPORT_MARK, DATE, COEFFICIENT, DIGITS, UNIT)
OLDEST_DAY = 99

HALF_HOUR_MS = 1_800_000
DAY_MS = 86_400_000
# The meter's clock is Japan's, which knows no summer time.
_JAPAN_MS = 9 * 3_600_000

_MOST_COUNTS = 99_999_999
_MOST_COEFFICIENT = 999_999
# No data, and beyond what the number can say (overflow, underflow).
_NO_POWER = (0x7FFFFFFE, 0x7FFFFFFF, -0x80000000)
_NO_CURRENT = (0x7FFE, 0x7FFF, -0x8000)
_NO_YEAR = 0xFFFF
_UNIT_WH = {
    0x00: 1e3,
    0x01: 1e2,
    0x02: 10.0,
    0x03: 1.0,
    0x04: 0.1,
    0x0A: 1e4,
    0x0B: 1e5,
    0x0C: 1e6,
    0x0D: 1e7,
}
_HALF_HOURS = 48

Data = Mapping[int, bytes | None]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the meter: `scale` is Wh a count, `mark` the newest half hour (ms) with its `counts`."""

    values: Values
    scale: float | None
    wraps_at: int
    mark: int | None
    counts: int | None
    day_began: int | None
    unknown: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def decode(data: Data) -> Said:
    """The values of the live properties in the units of ROWS, import positive. Raises BadRecordError."""
    coefficient = _coefficient(data.get(COEFFICIENT), asked=COEFFICIENT in data)
    code = _number(UNIT, data.get(UNIT), 1)
    unit = None if code is None else _UNIT_WH.get(code)
    scale = None if coefficient is None or unit is None else coefficient * unit
    power = _number(POWER, data.get(POWER), 4, signed=True)
    mark, counts = _mark(data.get(IMPORT_MARK))
    day_began = day(data.get(DATE))
    if day_began is None and mark is not None and midnight(mark + HALF_HOUR_MS) == midnight(mark):
        # After the day's last half hour the next day may have begun: such a meter does not tell.
        day_began = midnight(mark)
    unknown = code is not None and unit is None
    values: Values = {
        "grid_power": None if power in _NO_POWER else power,
        **_currents(data.get(CURRENTS)),
        "grid_import_energy": in_wh(_counts(IMPORT, data.get(IMPORT)), scale),
        "grid_export_energy": in_wh(_counts(EXPORT, data.get(EXPORT)), scale),
        "coefficient": coefficient,
        "energy_unit": unit,
    }
    return Said(
        values,
        scale,
        10 ** (_number(DIGITS, data.get(DIGITS), 1) or 8),
        mark,
        counts,
        day_began,
        unknown=("energy_unit",) if unknown else (),
        reasons={"grid_import_energy": f"the meter counts in unknown unit {code:#04x}"} if unknown else {},
    )


def history(code: int, edt: bytes | None, days_ago: int) -> tuple[int | None, ...]:
    """Counts at the 48 half hours of a day from 0:00 on; empty if the meter gives none."""
    if edt is None:
        return ()
    _require_length(code, edt, 2 + 4 * _HALF_HOURS)
    told = int.from_bytes(edt[:2])
    if told != days_ago:
        raise BadRecordError(f"{code:#04x} is of day {told}, not {days_ago}")
    return tuple(_counts(code, edt[at : at + 4]) for at in range(2, len(edt), 4))


def listed(edt: bytes | None) -> frozenset[int]:
    """The codes of a property map: up to 15 listed, more as bits (ECHONET Lite Appendix, "Property map")."""
    if not edt:
        return frozenset()
    if edt[0] < 16:
        return frozenset(edt[1 : 1 + edt[0]])
    _require_length(PROPERTY_MAP, edt, 17)
    return frozenset(
        0x80 + 0x10 * bit + low for low, bits in enumerate(edt[1:]) for bit in range(8) if bits >> bit & 1
    )


def _require_length(code: int, edt: bytes, length: int) -> None:
    if len(edt) != length:
        raise BadRecordError(f"{code:#04x} has {len(edt)} bytes, not {length}")


def _number(code: int, edt: bytes | None, length: int, *, signed: bool = False) -> int | None:
    if edt is None:
        return None
    _require_length(code, edt, length)
    return int.from_bytes(edt, signed=signed)


def _counts(code: int, edt: bytes | None) -> int | None:
    # 0xFFFFFFFE is "no data"; the others beyond the largest count say nothing either.
    counts = _number(code, edt, 4)
    return counts if counts is not None and counts <= _MOST_COUNTS else None


def _coefficient(edt: bytes | None, *, asked: bool) -> int | None:
    found = _number(COEFFICIENT, edt, 4)
    if found is None:
        # A meter without the property counts itself; one that fails to give it does not say so.
        return None if asked else 1
    return found if 0 < found <= _MOST_COEFFICIENT else None


def _currents(edt: bytes | None) -> Values:
    if edt is None:
        return {"current_r": None, "current_t": None}
    _require_length(CURRENTS, edt, 4)
    raw = (int.from_bytes(edt[:2], signed=True), int.from_bytes(edt[2:], signed=True))
    r, t = (None if one in _NO_CURRENT else one / 10 for one in raw)
    return {"current_r": r, "current_t": t}


def in_wh(counts: int | None, scale: float | None) -> float | None:
    """Counts in Wh, None if either is unknown."""
    return None if counts is None or scale is None else round(counts * scale, 1)


def _mark(edt: bytes | None) -> tuple[int | None, int | None]:
    if edt is None:
        return None, None
    _require_length(IMPORT_MARK, edt, 11)
    return _time(IMPORT_MARK, edt[:7]), _counts(IMPORT_MARK, edt[7:])


def day(edt: bytes | None) -> int | None:
    """When the meter's present day began, ms; None if it does not say. Raises BadRecordError."""
    if edt is None:
        return None
    _require_length(DATE, edt, 4)
    return _time(DATE, edt)


def _time(code: int, edt: bytes) -> int | None:
    """Year, month, day and perhaps more of Japan's time as ms since 1970 UTC."""
    year = int.from_bytes(edt[:2])
    if year == _NO_YEAR:
        return None
    try:
        hour, minute, second = edt[4:] or (0, 0, 0)
        there = datetime(year, edt[2], edt[3], hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise BadRecordError(f"{code:#04x} is no time: {edt.hex()}") from error
    return round(there.timestamp()) * 1000 - _JAPAN_MS


def midnight(ts: int) -> int:
    """The beginning of the day in Japan, ms."""
    return ts - (ts + _JAPAN_MS) % DAY_MS
