"""Japanese smart meters on route B: what their properties mean, what they remember of hours missed.

Codes are ECHONET Lite property codes (EPC) of class 0x0288, ECHONET's Appendix "Detailed Requirements for
ECHONET Device Objects", table "Low-voltage smart electric energy meter class"; numbers are big-endian.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bus.about import TOTAL, Entity
from collector.devices.description import (
    BadRecordError,
    Decoded,
    Earlier,
    PolledKind,
    RefusedError,
    Row,
    Rows,
    SettingError,
    Values,
    Wire,
)
from collector.devices.lines import RouteBLine
from collector.devices.rows import BLE_ROWS, RSSI, as_optional, measured
from config.model import Device

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

# A count has so many digits; a meter that does not say (D7) has the most.
_MOST_DIGITS = 8
_DIGITS = range(1, _MOST_DIGITS + 1)
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
# What every meter has to give, by the entity that is unknown without it.
_OWED = {
    "grid_power": (POWER, "power"),
    "current_r": (CURRENTS, "currents"),
    "grid_import_energy": (IMPORT, "count"),
    "half_hour_import_energy": (IMPORT_MARK, "count of the last half hour"),
}

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
    """Read the live properties in the units of ROWS, import positive. Raises BadRecordError."""
    coefficient = _coefficient(data.get(COEFFICIENT), asked=COEFFICIENT in data)
    code = _number(UNIT, data.get(UNIT), 1)
    unit = None if code is None else _UNIT_WH.get(code)
    scale = None if coefficient is None or unit is None else coefficient * unit
    digits = _number(DIGITS, data.get(DIGITS), 1)
    power = _number(POWER, data.get(POWER), 4, signed=True)
    mark, counts = _mark(data.get(IMPORT_MARK))
    day_began = day_of(data.get(DATE))
    if day_began is None and mark is not None and midnight(mark + HALF_HOUR_MS) == midnight(mark):
        # After the day's last half hour the next day may have begun: such a meter does not tell.
        day_began = midnight(mark)
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
        10 ** (digits if digits is not None and digits in _DIGITS else _MOST_DIGITS),
        mark,
        counts,
        day_began,
        unknown=("energy_unit",) if code is not None and unit is None else (),
        reasons=_reasons(data, coefficient, code, unit),
    )


def _reasons(data: Data, coefficient: int | None, code: int | None, unit: float | None) -> dict[str, str]:
    """Say of each value that the meter owes why it is unknown, the cause of several only once."""
    found = {
        entity: f"the meter does not give its {what} (property {wanted:02X})"
        for entity, (wanted, what) in _OWED.items()
        if data.get(wanted) is None
    }
    why = None
    if code is None:
        why = f"the meter does not give the unit of its counts (property {UNIT:02X}): how many Wh is unknown"
    elif unit is None:
        why = f"the meter counts in unknown unit {code:#04x}"
    elif coefficient is None and data.get(COEFFICIENT) is None:
        why = f"the meter does not give its coefficient (property {COEFFICIENT:02X}): how many Wh is unknown"
    elif coefficient is None:
        why = f"the meter gives a coefficient that none can be: {(data.get(COEFFICIENT) or b'').hex()}"
    return found if why is None else {"grid_import_energy": why} | found


def history(code: int, edt: bytes | None, days_ago: int) -> tuple[int | None, ...]:
    """Read the counts at the 48 half hours of a day from 0:00 on; empty if the meter gives none."""
    if edt is None:
        return ()
    _require_length(code, edt, 2 + 4 * _HALF_HOURS)
    told = int.from_bytes(edt[:2])
    if told != days_ago:
        raise BadRecordError(f"{code:#04x} is of day {told}, not {days_ago}")
    return tuple(_counts(code, edt[at : at + 4]) for at in range(2, len(edt), 4))


def listed(edt: bytes | None) -> frozenset[int]:
    """Read a property map's codes: up to 15 listed, more as bits (ECHONET Lite Appendix, "Property map")."""
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
    """Convert counts to Wh, None if either is unknown."""
    return None if counts is None or scale is None else round(counts * scale, 1)


def _mark(edt: bytes | None) -> tuple[int | None, int | None]:
    if edt is None:
        return None, None
    _require_length(IMPORT_MARK, edt, 11)
    return _time(IMPORT_MARK, edt[:7]), _counts(IMPORT_MARK, edt[7:])


def day_of(edt: bytes | None) -> int | None:
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
    """Return when the day began in Japan, ms."""
    return ts - (ts + _JAPAN_MS) % DAY_MS


# A longer pause between two answers than this, seconds, leaves hours to fill in.
_GAP_S = 3600.0
_LONGEST_FILL_MS = 7 * DAY_MS
_TRIES = 2
_LAST_HALF_HOUR = "last_half_hour_energy"
_ID = re.compile(r"[0-9A-Fa-f]{32}")
_PASSWORD = re.compile(r"[0-9A-Za-z]{12}")


ROWS: Rows = {
    "grid_power": measured("Grid power", "W", role="grid"),
    "current_r": measured("Current of phase R", "A", precision=1, step=0.1),
    "current_t": measured("Current of phase T", "A", precision=1, step=0.1, optional=True),
    "grid_import_energy": measured("Grid import", "Wh", step=1, role="grid"),
    "grid_export_energy": measured("Grid export", "Wh", step=1, optional=True),
    "last_half_hour_energy": measured("Import of the last half hour", "Wh", state_class=TOTAL),
    "half_hour_import_energy": measured(
        "Grid import at the last half hour", "Wh", state_class="", step=1, diagnostic=True
    ),
    "coefficient": Row(entity=Entity(name="Coefficient", precision=0, diagnostic=True)),
    "energy_unit": Row(entity=Entity(name="Energy unit", unit="Wh", precision=1, diagnostic=True)),
    "signal_strength": as_optional(BLE_ROWS[RSSI]),
}


@dataclass(frozen=True, slots=True)
class _Day:
    """Half hours to ask for: after `since` until `until`, of the day that began at `midnight`; all ms."""

    midnight: int
    since: int
    until: int
    tries: int = _TRIES


class RouteBMeter:
    """One meter. Hours missed are read from its memory, a day a poll, so that no poll takes long.

    After a start that is the last day: it cannot know what an earlier process has already said.
    """

    rows = ROWS

    def __init__(self) -> None:
        self._map: frozenset[int] | None = None
        # Seconds and half hour (ms) of the last answer that had one.
        self._last: tuple[float, int] | None = None
        self._days: deque[_Day] = deque()
        # Import counts at the newest half hours.
        self._marks: dict[int, int] = {}
        self._seen: set[str] = set()

    @property
    def remembers_more(self) -> bool:
        """Whether the next poll reads more of what was missed."""
        return bool(self._days)

    def poll(self, line: RouteBLine, now: float) -> Decoded:
        """Its values now, and at most a day of what was missed; its half hours date themselves."""
        codes = self._known(line, LIVE)
        data = line.properties(codes)
        if all(edt is None for edt in data.values()):
            raise RefusedError("the meter gives none of its values")
        said = decode(data)
        self._look_back(said, now)
        reasons = dict(said.reasons)
        earlier: tuple[Earlier, ...] = ()
        try:
            earlier = self._fill_in(line, said)
        except (BadRecordError, RefusedError) as error:
            reasons["grid_import_energy"] = f"hours missed could not be filled in: {error}"
        last, since = self._last_half_hour(said)
        values = said.values | {
            _LAST_HALF_HOUR: last,
            "half_hour_import_energy": in_wh(said.counts, said.scale),
            "signal_strength": line.signal(),
        }
        return Decoded(
            self._present(values),
            unknown=said.unknown,
            reasons=reasons,
            earlier=earlier,
            last_reset={} if last is None else {_LAST_HALF_HOUR: since},
        )

    def _known(self, line: RouteBLine, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Of the properties wanted those that the meter has: one it has not would spoil the whole answer."""
        if self._map is None:
            code = PROPERTY_MAP
            self._map = listed(line.properties((code,))[code])
        return tuple(code for code in wanted if code in self._map) or wanted

    def _present(self, values: Values) -> Values:
        """Without what this meter has never had, such as phase T of two wires."""
        self._seen |= {entity for entity, value in values.items() if value is not None}
        return {e: v for e, v in values.items() if e in self._seen or not ROWS[e].optional}

    def _look_back(self, said: Said, now: float) -> None:
        if said.mark is None:
            return
        since = said.mark
        if self._last is None:
            since = said.mark - DAY_MS
        elif now - self._last[0] > _GAP_S:
            since = max(self._last[1], said.mark - _LONGEST_FILL_MS)
        self._last = (now, said.mark)
        if since < said.mark:
            days = range(midnight(since + HALF_HOUR_MS), said.mark + 1, DAY_MS)
            self._days.extend(_Day(day, since, said.mark) for day in days)

    def _fill_in(self, line: RouteBLine, said: Said) -> tuple[Earlier, ...]:
        if not self._days or said.day_began is None or said.scale is None:
            return ()
        day = self._days.popleft()
        if day.tries > 1:
            # A meter that falls silent over this question must not be asked it for ever.
            self._days.appendleft(replace(day, tries=day.tries - 1))
        days_ago = (said.day_began - day.midnight) // DAY_MS
        earlier: list[Earlier] = []
        if 0 <= days_ago <= OLDEST_DAY:
            earlier = self._read_day(line, said, day, days_ago)
        if day.tries > 1:
            self._days.popleft()
        return tuple(earlier)

    def _read_day(self, line: RouteBLine, said: Said, day: _Day, days_ago: int) -> list[Earlier]:
        codes = self._known(line, (DATE, IMPORT_DAY, EXPORT_DAY))
        line.choose_day(days_ago)
        data = line.properties(codes)
        if day_of(data.get(DATE)) not in (None, said.day_began):
            raise BadRecordError("midnight passed meanwhile")
        rows: dict[int, Values] = {}
        for entity, code in (("grid_import_energy", IMPORT_DAY), ("grid_export_energy", EXPORT_DAY)):
            for number, counts in enumerate(history(code, data.get(code), days_ago)):
                ts = day.midnight + number * HALF_HOUR_MS
                if counts is None:
                    continue
                if entity == "grid_import_energy":
                    self._marks[ts] = counts
                if day.since < ts <= day.until:
                    rows.setdefault(ts, {})[entity] = in_wh(counts, said.scale)
        return [Earlier(ts, rows[ts]) for ts in sorted(rows)]

    def _last_half_hour(self, said: Said) -> tuple[float | None, int]:
        """Import between the two newest half hours, Wh, and when it began, ms."""
        if said.mark is None:
            return None, 0
        if said.counts is not None:
            self._marks[said.mark] = said.counts
        since = said.mark - HALF_HOUR_MS
        self._marks = {ts: counts for ts, counts in self._marks.items() if ts >= since}
        before = self._marks.get(since)
        if before is None or said.counts is None:
            return None, since
        used = (said.counts - before) % said.wraps_at
        # A count that went back by other than its end is another meter's.
        return (in_wh(used, said.scale) if used < said.wraps_at // 2 else None), since


def make(settings: Device) -> RouteBMeter:
    """Make the meter of these settings. Raises SettingError, which never shows the ID or the password."""
    if "://" in (settings.port or ""):
        raise SettingError("port", "a Wi-SUN stick is not read over the network", "/dev/serial/by-id/…")
    if not _ID.fullmatch(settings.route_b_id or ""):
        raise SettingError("route_b_id", "it is no route B ID", "32 of 0-9 and A-F, without spaces")
    if not _PASSWORD.fullmatch(settings.route_b_password or ""):
        raise SettingError("route_b_password", "it is no route B password", "12 letters and digits")
    return RouteBMeter()


KIND = PolledKind(
    wire=Wire.ROUTE_B,
    name="route_b_meter",
    title="Japanese smart meter on route B",
    manufacturer="ECHONET Lite",
    rows=ROWS,
    source=(
        "ECHONET, Detailed Requirements for ECHONET Device Objects, class 0x0288; momonga 0.7.0; SKSTACK-IP"
        " command references of BP35A1 and BP35C2 (both, and the RL7023 Stick-D/IPS, were only emulated)"
    ),
    needs=("port", "route_b_id", "route_b_password"),
    takes=("baudrate",),
    defaults={"baudrate": 115_200},
    every=60,
    make=make,
    allowed={"route_b_id": _ID, "route_b_password": _PASSWORD},
)
