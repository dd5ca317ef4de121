"""Smart meters on route B: every code and sign of their properties, and the hours that were missed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices import route_b as properties
from collector.devices.description import BadRecordError, Decoded, LineError, RefusedError, SettingError
from collector.devices.route_b import KIND, ROWS, RouteBMeter, make
from config.model import Device
from tests.emulators.wisun import PASSWORD, RBID, Meter, big

WELL: dict[int, bytes | None] = {
    0xE7: big(512, 4),
    0xE8: big(31, 2) + big(-22, 2),
    0xE0: big(123_456, 4),
    0xE3: big(7, 4),
    0xEA: bytes.fromhex("07ea0b15101e00") + big(123_450, 4),
    0x98: bytes.fromhex("07ea0b15"),
    0xD3: big(1, 4),
    0xD7: b"\x06",
    0xE1: b"\x01",
}


@pytest.mark.parametrize(
    ("code", "data", "entity", "value"),
    [
        (0xE7, "00000200", "grid_power", 512),
        (0xE7, "fffffb2e", "grid_power", -1234),
        (0xE7, "80000001", "grid_power", -2_147_483_647),
        (0xE7, "7ffffffd", "grid_power", 2_147_483_645),
        (0xE7, "7ffffffe", "grid_power", None),
        (0xE7, "7fffffff", "grid_power", None),
        (0xE7, "80000000", "grid_power", None),
        (0xE8, "0034fff3", "current_r", 5.2),
        (0xE8, "0034fff3", "current_t", -1.3),
        (0xE8, "00347ffe", "current_t", None),
        (0xE8, "7ffe0034", "current_r", None),
        (0xE8, "7fff8000", "current_r", None),
        (0xE8, "7fff8000", "current_t", None),
        (0xE8, "80017ffd", "current_r", -3276.7),
        (0xE0, "00000000", "grid_import_energy", 0.0),
        (0xE0, "05f5e0ff", "grid_import_energy", 9_999_999_900.0),
        (0xE0, "05f5e100", "grid_import_energy", None),
        (0xE0, "fffffffe", "grid_import_energy", None),
        (0xE3, "fffffffe", "grid_export_energy", None),
        (0xE3, "0000000a", "grid_export_energy", 1000.0),
        (0xD3, "0000000f", "grid_import_energy", 123_456 * 1500.0),
        (0xD3, "0000000f", "coefficient", 15),
        (0xD3, "00000000", "grid_import_energy", None),
        (0xD3, "000f4240", "coefficient", None),
        (0xE1, "05", "grid_import_energy", None),
    ],
)
def test_a_property_means(code: int, data: str, entity: str, value: float | None) -> None:
    said = properties.decode(WELL | {code: bytes.fromhex(data)})
    assert said.values[entity] == value


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        *((0x00, 1000.0), (0x01, 100.0), (0x02, 10.0), (0x03, 1.0), (0x04, 0.1)),
        *((0x0A, 10_000.0), (0x0B, 100_000.0), (0x0C, 1_000_000.0), (0x0D, 10_000_000.0)),
    ],
)
def test_counts_are_in_the_unit_the_meter_names(code: int, unit: float) -> None:
    said = properties.decode(WELL | {0xE1: bytes([code])})
    assert said.values["energy_unit"] == unit
    assert said.values["grid_import_energy"] == pytest.approx(123_456 * unit, rel=1e-12)


@pytest.mark.parametrize("code", sorted(set(range(256)) - {0, 1, 2, 3, 4, 0xA, 0xB, 0xC, 0xD}))
def test_an_unknown_unit_is_unknown_and_no_energy(code: int) -> None:
    said = properties.decode(WELL | {0xE1: bytes([code])})
    assert (said.values["energy_unit"], said.values["grid_import_energy"]) == (None, None)
    assert said.unknown == ("energy_unit",)
    assert "unit" in said.reasons["grid_import_energy"]
    assert said.values["grid_power"] == 512


def test_without_a_coefficient_a_meter_counts_itself_but_one_that_hides_it_says_nothing() -> None:
    without = {code: data for code, data in WELL.items() if code != 0xD3}
    assert properties.decode(without).values["grid_import_energy"] == 12_345_600.0
    assert properties.decode(WELL | {0xD3: None}).values["grid_import_energy"] is None


def test_japan_s_time_becomes_utc() -> None:
    said = properties.decode(WELL)
    assert said.mark == datetime(2026, 11, 21, 7, 30, tzinfo=UTC).timestamp() * 1000
    assert said.counts == 123_450
    assert said.day_began == datetime(2026, 11, 20, 15, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("time", ["07ea0d15101e00", "07ea0b15181e00", "07ea0b1f101e00", "0000010100000000"])
def test_what_is_no_time_is_a_bad_record(time: str) -> None:
    with pytest.raises(BadRecordError):
        properties.decode(WELL | {0xEA: bytes.fromhex(time)[:7] + big(1, 4)})


def test_a_meter_that_has_not_set_its_clock_has_no_half_hour() -> None:
    said = properties.decode(WELL | {0xEA: bytes.fromhex("ffffffffffffff") + big(0xFFFFFFFE, 4)})
    assert (said.mark, said.counts) == (None, None)


@given(st.sampled_from(sorted(WELL)), st.binary(max_size=20))
def test_no_data_of_another_length_is_taken(code: int, data: bytes) -> None:
    if len(data) == len(WELL[code] or b""):
        return
    with pytest.raises(BadRecordError):
        properties.decode(WELL | {code: data})


@given(
    st.fixed_dictionaries(
        {c: st.binary(min_size=len(d or b""), max_size=len(d or b"")) for c, d in WELL.items()}
    )
)
def test_noise_is_refused_or_a_number(data: dict[int, bytes | None]) -> None:
    try:
        said = properties.decode(data)
    except BadRecordError:
        return
    assert all(v is None or (isinstance(v, int | float) and math.isfinite(v)) for v in said.values.values())


@given(st.binary(max_size=200))
def test_a_history_is_48_counts_of_the_day_asked_for(data: bytes) -> None:
    whole = big(3, 2) + big(17, 4) * 47 + big(0xFFFFFFFE, 4)
    assert properties.history(0xE2, whole, 3) == (17,) * 47 + (None,)
    assert properties.history(0xE2, None, 3) == ()
    for wrong in (whole[:-1], whole + b"\0", big(255, 2) + whole[2:], data):
        with pytest.raises(BadRecordError):
            properties.history(0xE2, wrong, 3)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        ("", set()),
        ("03809fe7", {0x80, 0x9F, 0xE7}),
        # ECHONET Lite, appendix "Property map description format 2": byte by low digit, bit by high digit.
        ("10" + "00" * 7 + "40" + "00" * 8, {0xE7}),
        ("10" + "81" + "00" * 14 + "02", {0x80, 0xF0, 0x9F}),
    ],
)
def test_a_property_map_lists_codes(data: str, codes: set[int]) -> None:
    assert properties.listed(bytes.fromhex(data)) == codes


def test_a_short_map_of_bits_is_a_bad_record() -> None:
    with pytest.raises(BadRecordError):
        properties.listed(b"\x12" + bytes(15))


JAPAN = timezone(timedelta(hours=9))
NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 — the meter knows no zones
TEN_PAST_FOUR = datetime(2026, 11, 21, 16, 10)  # noqa: DTZ001 — the same
HALF_HOUR_S = 1800.0


def there(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """A time of the November of these tests, as the meter has it."""
    return TEN_PAST_FOUR.replace(day=day, hour=hour, minute=minute, second=second)


def ms(at: datetime) -> int:
    return round(at.replace(tzinfo=JAPAN).timestamp() * 1000)


def used(at: datetime) -> int:
    """A count of 0.1 kWh each six minutes: 1 kW."""
    return round((at - NEW_YEAR).total_seconds()) // 360


def wh(at: datetime) -> float:
    return used(at) * 100.0


@dataclass
class Time:
    """Japan's time as the meter has it, and the monotonic seconds of whoever asks."""

    japan: datetime = TEN_PAST_FOUR
    now: float = 1000.0

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.japan += timedelta(seconds=seconds)
        self.now += seconds


@dataclass
class Direct:
    """A line without a radio; `breaks_on` are properties that cost the session, once asked."""

    meter: Meter
    breaks_on: set[int] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)
    between: float = 0.0
    time: Time = field(default_factory=Time)

    def open(self) -> None:
        """It is always open."""

    def close(self) -> None:
        """It stays open."""

    def properties(self, codes: tuple[int, ...]) -> Mapping[int, bytes | None]:
        """What the meter gives."""
        self.asked += codes
        if self.breaks_on & set(codes):
            raise LineError("the session is gone")
        return {code: self.meter._get(code) for code in codes}

    def choose_day(self, days_ago: int) -> None:
        """Time may pass after it."""
        if self.meter._set(0xE5, bytes([days_ago])) is None:
            raise RefusedError("no such day")
        self.time.pass_(self.between)

    def signal(self) -> float | None:
        """It is always as near."""
        return -69.5


@dataclass
class Room:
    """A meter that is asked each minute, and what it said."""

    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.meter = Meter(lambda: self.time.japan, used=used, fed=lambda _: 5)
        self.line = Direct(self.meter, time=self.time)
        self.poller = RouteBMeter()

    def poll(self, after: float = 60.0) -> Decoded:
        """Ask it after so many seconds."""
        self.time.pass_(after)
        return self.poller.poll(self.line, self.time.now)

    def drain(self) -> list[int]:
        """Times of the half hours told in ten polls, a minute apart."""
        return [earlier.ts for _ in range(10) for earlier in self.poll().earlier]


@pytest.fixture
def room() -> Room:
    return Room()


def marks(first: datetime, last: datetime) -> list[int]:
    return list(range(ms(first), ms(last) + 1, 1_800_000))


def test_the_first_polls_tell_the_last_day_oldest_first_a_day_a_poll(room: Room) -> None:
    first, second, third = room.poll(), room.poll(), room.poll()
    assert [e.ts for e in first.earlier] == marks(there(20, 16, 30), there(20, 23, 30))
    assert [e.ts for e in second.earlier] == marks(there(21), there(21, 16, 0))
    assert third.earlier == ()
    noon = next(e for e in second.earlier if e.ts == ms(there(21, 12)))
    assert noon.values == {
        "grid_import_energy": wh(there(21, 12)),
        "grid_export_energy": 500.0,
    }
    assert first.values["grid_power"] == 512
    assert first.values["signal_strength"] == -69.5


def test_half_hours_without_a_count_are_left_out(room: Room) -> None:
    hole = there(21, 3, 30)
    room.meter.holes.add(hole)
    room.poll()
    told = {e.ts: e.values for e in room.poll().earlier}
    assert ms(hole) not in told
    assert len(told) == 32


@pytest.mark.parametrize(
    ("off_h", "missed"),
    [
        (0.9, 0),
        # Asked last at 16:13, again that much later: 16:30 and so on until then.
        (1.1, 2),
        (3.0, 6),
        (24.0, 48),
        (24 * 6.5, 13 * 24),
        # No further back than seven days.
        (24 * 20, 7 * 48),
    ],
)
def test_a_gap_is_filled_with_exactly_what_was_missed(room: Room, off_h: float, missed: int) -> None:
    for _ in range(3):
        room.poll()
    before = room.time.japan
    told = [e.ts for e in room.poll(off_h * 3600).earlier]
    until = room.time.japan
    told += room.drain()
    assert len(told) == len(set(told)) == missed
    assert told == sorted(told)
    assert all(ms(before) < ts <= ms(until) for ts in told)
    assert room.poll().earlier == ()


def test_a_meter_that_refuses_a_day_still_says_what_is_now(room: Room) -> None:
    room.meter.remembers = 0
    said = [room.poll() for _ in range(4)]
    assert all(one.values["grid_power"] == 512 for one in said)
    assert "could not be filled in" in said[0].reasons["grid_import_energy"]
    assert [len(one.earlier) for one in said] == [0, 0, 33, 0]


def test_a_history_that_costs_the_session_is_given_up(room: Room) -> None:
    room.line.breaks_on = {0xE2}
    failures = 0
    for _ in range(10):
        try:
            room.poll()
        except LineError:
            failures += 1
    assert failures == 4, "two days, twice each"
    assert room.poll().values["grid_power"] == 512


def test_midnight_during_the_question_dates_nothing_wrongly(room: Room) -> None:
    room.time.japan = there(21, 23, 58, 30)
    room.line.between = 60.0
    told = {e.ts: e.values["grid_import_energy"] for _ in range(6) for e in room.poll().earlier}
    room.line.between = 0.0
    assert len(told) >= 47
    for ts, energy in told.items():
        assert energy == wh(datetime.fromtimestamp(ts / 1000, JAPAN).replace(tzinfo=None))


def test_without_a_date_the_half_hour_tells_the_day_but_for_the_last(room: Room) -> None:
    room.meter.lacking.add(0x98)
    room.time.japan = there(21, 23, 40)
    assert room.poll().earlier == ()
    told = [e.ts for e in room.poll(1800).earlier]
    told += room.drain()
    assert told == marks(there(21), there(21, 23, 30))


def test_the_last_half_hour_is_a_total_that_began_with_it(room: Room) -> None:
    assert room.poll().values["last_half_hour_energy"] is None, "yesterday's history says nothing of it"
    said = room.poll()
    assert said.values["last_half_hour_energy"] == 500.0
    assert said.values["half_hour_import_energy"] == wh(there(21, 16, 0))
    assert said.last_reset == {"last_half_hour_energy": ms(there(21, 15, 30))}
    said = room.poll(HALF_HOUR_S)
    assert said.values["last_half_hour_energy"] == 500.0
    assert said.last_reset == {"last_half_hour_energy": ms(there(21, 16, 0))}


@pytest.mark.parametrize(
    ("before", "after", "energy"),
    [(999_998, 3, 500.0), (100, 100, 0.0), (100_000, 90, None)],
)
def test_a_count_that_begins_anew(room: Room, before: int, after: int, energy: float | None) -> None:
    room.meter.used = lambda at: before if at <= TEN_PAST_FOUR else after
    room.poll()
    assert room.poll(HALF_HOUR_S).values["last_half_hour_energy"] == energy


def test_what_a_meter_never_has_is_not_said(room: Room) -> None:
    room.meter.currents = (31, 0x7FFE)
    room.meter.lacking |= {0xE3, 0xE4}
    said = room.poll()
    assert {"current_t", "grid_export_energy"}.isdisjoint(said.values)
    assert {key for e in said.earlier for key in e.values} == {"grid_import_energy"}
    room.meter.currents = (31, 22)
    assert room.poll().values["current_t"] == 2.2
    room.meter.currents = (31, 0x7FFE)
    assert room.poll().values["current_t"] is None


def test_properties_that_a_meter_has_not_are_not_asked(room: Room) -> None:
    room.meter.coefficient = None
    asked = room.line.asked
    assert room.poll().values["coefficient"] == 1
    assert 0xD3 not in asked
    assert asked.count(0x9F) == 1
    room.poll()
    assert asked.count(0x9F) == 1


def test_a_meter_that_gives_nothing_has_not_answered(room: Room) -> None:
    room.meter.lacking = set(range(0x80, 0x100))
    with pytest.raises(RefusedError):
        room.poll()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("port", "socket://van.local:2323"),
        ("route_b_id", RBID[:-1]),
        ("route_b_id", RBID[:-1] + "G"),
        ("route_b_id", "0011 2233 4455 6677 8899 00AA BBCC DDEE"),
        ("route_b_password", "AB12CD34EF5"),
        ("route_b_password", "AB12CD34EF5\n"),
        ("route_b_password", "AB12 D34EF56"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_shown(setting: str, value: str) -> None:
    settings = {"port": "/dev/ttyUSB0", "route_b_id": RBID, "route_b_password": PASSWORD} | {setting: value}
    with pytest.raises(SettingError) as caught:
        make(Device(kind=KIND.name, **settings))  # type: ignore[arg-type]  # all three are texts
    assert caught.value.field == setting
    assert value not in str(caught.value)


def test_all_that_is_said_is_described(room: Room) -> None:
    assert room.poll().values.keys() | room.poll().values.keys() == ROWS.keys()
