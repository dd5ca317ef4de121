"""Japanese smart meters on route B: what they report, and what they remember of the hours we were off."""

import re
from collections import deque
from dataclasses import dataclass, replace
from types import MappingProxyType

from bus.about import TOTAL, Entity
from collector.devices import route_b_properties as properties
from collector.devices.description import (
    BadRecordError,
    Decoded,
    Earlier,
    RefusedError,
    RouteBKind,
    Row,
    Rows,
    SettingError,
    Values,
)
from collector.devices.lines import RouteBLine
from collector.devices.route_b_properties import DAY_MS, HALF_HOUR_MS, Said, in_wh, midnight
from collector.devices.rows import BLE_ROWS, RSSI, as_optional, measured
from config.model import Device

# A longer pause between two answers than this, seconds, leaves hours to fill in.
_GAP_S = 3600.0
_LONGEST_FILL_MS = 7 * DAY_MS
_TRIES = 2
_LAST_HALF_HOUR = "last_half_hour_energy"
_ID = re.compile(r"[0-9A-Fa-f]{32}")
_PASSWORD = re.compile(r"[0-9A-Za-z]{12}")


ROWS: Rows = MappingProxyType(
    {
        "grid_power": measured("Grid power", "W"),
        "current_r": measured("Current of phase R", "A", precision=1, step=0.1),
        "current_t": measured("Current of phase T", "A", precision=1, step=0.1, optional=True),
        "grid_import_energy": measured("Grid import", "Wh", step=1),
        "grid_export_energy": measured("Grid export", "Wh", step=1, optional=True),
        "last_half_hour_energy": measured("Import of the last half hour", "Wh", state_class=TOTAL),
        "coefficient": Row(entity=Entity(name="Coefficient", precision=0, diagnostic=True)),
        "energy_unit": Row(entity=Entity(name="Energy unit", unit="Wh", precision=1, diagnostic=True)),
        "signal_strength": as_optional(BLE_ROWS[RSSI]),
    }
)


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

    def poll(self, line: RouteBLine, now: float) -> Decoded:
        """Its values now, and at most a day of what was missed; its half hours date themselves."""
        codes = self._known(line, properties.LIVE)
        data = line.properties(codes)
        if all(edt is None for edt in data.values()):
            raise RefusedError("the meter gives none of its values")
        said = properties.decode(data)
        self._look_back(said, now)
        reasons = dict(said.reasons)
        earlier: tuple[Earlier, ...] = ()
        try:
            earlier = self._fill_in(line, said)
        except (BadRecordError, RefusedError) as error:
            reasons["grid_import_energy"] = f"hours missed could not be filled in: {error}"
        last, since = self._last_half_hour(said)
        values = said.values | {_LAST_HALF_HOUR: last, "signal_strength": line.signal()}
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
            code = properties.PROPERTY_MAP
            self._map = properties.listed(line.properties((code,))[code])
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
        if 0 <= days_ago <= properties.OLDEST_DAY:
            earlier = self._read_day(line, said, day, days_ago)
        if day.tries > 1:
            self._days.popleft()
        return tuple(earlier)

    def _read_day(self, line: RouteBLine, said: Said, day: _Day, days_ago: int) -> list[Earlier]:
        codes = self._known(line, (properties.DATE, properties.IMPORT_DAY, properties.EXPORT_DAY))
        line.choose_day(days_ago)
        data = line.properties(codes)
        if properties.day(data.get(properties.DATE)) not in (None, said.day_began):
            raise BadRecordError("midnight passed meanwhile")
        rows: dict[int, Values] = {}
        for entity, code in (
            ("grid_import_energy", properties.IMPORT_DAY),
            ("grid_export_energy", properties.EXPORT_DAY),
        ):
            for number, counts in enumerate(properties.history(code, data.get(code), days_ago)):
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
    """The meter of these settings. Raises SettingError, which never shows the ID or the password."""
    if "://" in (settings.port or ""):
        raise SettingError("port", "a Wi-SUN stick is not read over the network", "/dev/serial/by-id/…")
    if not _ID.fullmatch(settings.route_b_id or ""):
        raise SettingError("route_b_id", "it is no route B ID", "32 of 0-9 and A-F, without spaces")
    if not _PASSWORD.fullmatch(settings.route_b_password or ""):
        raise SettingError("route_b_password", "it is no route B password", "12 letters and digits")
    return RouteBMeter()


KIND = RouteBKind(
    name="route_b_meter",
    title="Japanese smart meter on route B",
    manufacturer="ECHONET Lite",
    rows=ROWS,
    source="ECHONET, Detailed Requirements for ECHONET Device Objects, class 0x0288; momonga 0.7.0",
    needs=("port", "route_b_id", "route_b_password"),
    every=60,
    make=make,
)
