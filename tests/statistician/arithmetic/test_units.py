"""Units and calendar periods."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.about import Entity
from statistician.arithmetic import HOUR, Calendar, shifted, start_of
from statistician.arithmetic.units import (
    _CLASSES,
    canonical,
    conversion,
    convert,
    difference,
    unit_class,
    units_of,
)
from tests.statistician.rig import MINUTE, SECOND, START, Rig


@pytest.mark.parametrize(
    ("value", "old", "new", "wanted"),
    [
        (1.5, "kWh", "Wh", 1500.0),
        (3.6, "MJ", "kWh", 1.0),
        (20.0, "°C", "°F", 68.0),
        (-40.0, "°F", "°C", -40.0),
        (300.0, "K", "°C", 26.85),
        (12.8, "V", "mV", 12800.0),
        (1013.25, "hPa", "inHg", 29.921252),
        (1.0, "bar", "psi", 14.503774),
        (10.0, "kn", "km/h", 18.52),
        (1.0, "gal", "L", 3.785412),
        (1.0, "m³", "L", 1000.0),
        (90.0, "min", "h", 1.5),
        (60.0, "%", "ppm", 600_000.0),
        (1.0, "µV", "μV", 1.0),
        (5.0, "m3", "m³", 5.0),
        (5.0, "cats", "cats", 5.0),
        (5.0, None, "", 5.0),
    ],
)
def test_convert(value: float, old: str | None, new: str, wanted: float) -> None:
    assert convert(value, old, new) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new"), [("V", "A"), ("cats", "dogs"), (None, "%"), ("V", None), ("kwh", "Wh")]
)
def test_what_cannot_be_converted_names_both(old: str | None, new: str | None) -> None:
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        convert(1.0, old, new)
    for unit in (old, new):
        assert (unit or "no unit") in str(caught.value)


@given(st.sampled_from(sorted(_CLASSES)), st.data(), st.floats(-1e6, 1e6))
def test_there_and_back(name: str, data: st.DataObject, value: float) -> None:
    old, new = (data.draw(st.sampled_from(units_of(name))) for _ in range(2))
    there = convert(value, old, new)
    assert convert(there, new, old) == pytest.approx(value, rel=1e-9, abs=1e-6)
    assert difference(0.0, old, new) == 0.0


def test_classes() -> None:
    assert unit_class("temperature", "°C") == "temperature"
    assert unit_class("temperature_delta", "°F") == "temperature_delta"
    assert unit_class("energy_storage", "kWh") == unit_class(None, "kWh") == "energy"
    assert unit_class("voltage", "A") == "electric_current"
    assert [unit_class(None, unit) for unit in ("cats", None, "rpm", "Ah", "kwh")] == [None] * 5
    assert [canonical(unit) for unit in ("RPM", "m3", "ft^3", "VAr", None)] == ["rpm", "m³", "ft³", "var", ""]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "s.db")


def say(rig: Rig, unit: str | None, kind: str = "measurement") -> None:
    rig.describe("van", {"x": Entity(name="x", unit=unit, state_class=kind)})


def test_late_states_are_in_the_unit_that_was_in_force_at_their_time(rig: Rig) -> None:
    say(rig, "V")
    rig.reading("van", {"x": 12.0})
    rig.run_until(START + 20 * MINUTE)
    rig.reading("van", {"x": 12.5})
    say(rig, "mV")
    rig.now += SECOND
    rig.reading("van", {"x": 13000.0})
    rig.restart()
    rig.run_until(START + 40 * MINUTE)
    rig.reading("van", {"x": 14.0}, ts=START + 7 * MINUTE)
    rig.reading("van", {"x": 15000.0}, ts=START + 32 * MINUTE)
    rig.run_until(START + 61 * MINUTE)
    highs = [row.row.max for row in rig.rows("x")]
    assert highs == pytest.approx([12.0, 14.0, 14.0, 14.0, 14.0, 13.0, 15.0, 15.0, *[15.0] * 4])
    # What is stored is what was said.
    assert 13000.0 in [state.value for state in rig.store.states.between(0, None)]


def test_the_same_number_in_another_unit_is_news(rig: Rig) -> None:
    say(rig, "°C")
    rig.reading("van", {"x": 20.0})
    rig.now += MINUTE
    say(rig, "°F")
    rig.reading("van", {"x": 20.0})
    rig.run_until(START + 11 * MINUTE)
    assert rig.rows("x")[1].row.max == pytest.approx(-20 / 3)


def test_a_reading_that_passed_the_about_on_its_way_has_the_new_unit(rig: Rig) -> None:
    say(rig, "V")
    rig.reading("van", {"x": 12.0})
    rig.now += MINUTE
    say(rig, "mV")
    # Taken before the about arrived, but after it was sent.
    rig.reading("van", {"x": 13000.0}, ts=rig.now - 5)
    rig.run_until(START + 6 * MINUTE)
    assert rig.rows("x")[0].row.max == pytest.approx(13.0)


def test_a_correction_uses_the_class_of_its_time(rig: Rig) -> None:
    say(rig, "kWh", "measurement")
    rig.reading("van", {"x": 10.0})
    rig.run_until(START + HOUR + MINUTE)
    say(rig, "kWh", "total_increasing")
    rig.run_until(START + HOUR + 6 * MINUTE)
    rig.reading("van", {"x": 11.0}, ts=START + 7 * MINUTE)
    rig.commit()
    rows = [row.row for row in rig.rows("x")]
    assert [(row.max, row.sum) for row in rows[:3]] == [(10.0, None), (11.0, None), (11.0, None)]
    assert (rows[-1].max, rows[-1].sum) == (None, 0.0)


def test_a_period_takes_the_class_of_when_it_was_due_also_if_it_is_late(rig: Rig) -> None:
    say(rig, "V")
    rig.reading("van", {"x": 10.0})
    rig.run_until(START + 6 * MINUTE)
    rig.now = START + 16 * MINUTE
    # Two periods are due when this comes.
    rig.message("camper/about/van", b"")
    rig.settle()
    assert len(rig.rows("x")) == 3
    rig.run_until(START + 26 * MINUTE)
    assert len(rig.rows("x")) == 3


UNITS = [
    ("power", "W", "kW", [1200.0, 1250.0, 1.21, 1.19]),
    ("voltage", "V", "mV", [13.1, 13.2, 13150.0, 13100.0]),
    ("temperature", "°C", "°F", [20.0, 20.5, 68.4, 69.0]),
]


@pytest.mark.parametrize(("kind", "old", "new", "values"), UNITS)
@pytest.mark.parametrize("early", [1, 2])
@pytest.mark.parametrize("start", [START, START + 3 * MINUTE])
def test_a_unit_that_changes_before_its_about(
    tmp_path: Path, kind: str, old: str, new: str, values: list[float], *, early: int, start: int
) -> None:
    rig = Rig(tmp_path / "s.db", now=start)

    def describe(unit: str) -> None:
        rig.describe("van", {"v": Entity(name="v", unit=unit, device_class=kind, state_class="measurement")})

    describe(old)
    for number, value in enumerate(values):
        if number == 2 + early:
            describe(new)
        rig.reading("van", {"v": value})
        rig.now += 40 * SECOND
        rig.settle()
    if early == 2:
        describe(new)
    rig.run_until(start + 30 * MINUTE)
    back = conversion(kind, new, old)
    assert back is not None
    true = [*values[:2], *map(back, values[2:])]
    rows = rig.rows("v")
    assert max(row.row.max or 0 for row in rows) == pytest.approx(max(true))
    assert min(row.row.min or 0 for row in rows) == pytest.approx(min(true))


@pytest.mark.parametrize("last", [1200.0, 900.0, 100.0, 10.0, 0.0, 5.0])
def test_a_value_that_only_moved_stays_in_the_old_unit(tmp_path: Path, last: float) -> None:
    rig = Rig(tmp_path / "s.db")
    for unit, values in (("W", (1250.0, 1200.0, last)), ("kW", (last / 1000,))):
        rig.describe(
            "van", {"v": Entity(name="v", unit=unit, device_class="power", state_class="measurement")}
        )
        for value in values:
            rig.reading("van", {"v": value})
            rig.now += 10 * SECOND
    rig.run_until(START + 6 * MINUTE)
    row = rig.rows("v")[0].row
    assert (row.min, row.max) == (last, 1250.0)


BERLIN = ZoneInfo("Europe/Berlin")
# Half and quarter hours, half an hour's change, changes at midnight both ways.
ZONES = (
    *("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Tokyo", "Asia/Kolkata"),
    *(
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "Asia/Beirut",
        "Africa/Cairo",
        "America/Havana",
        "America/Santiago",
    ),
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


@pytest.mark.parametrize(
    ("moment", "period", "zone", "start", "after"),
    [
        # 23 hours: 29 March 2026; 25 hours: 25 October 2026.
        ("2026-03-29T10:00:00Z", "day", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-10-25T10:00:00Z", "day", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("2026-10-25T00:30:00Z", "day", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("2026-10-25T01:30:00Z", "day", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("2026-03-29T10:00:00Z", "week", "Europe/Berlin", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-03-29T10:00:00Z", "month", "Europe/Berlin", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("2026-12-31T23:30:00Z", "year", "Europe/Berlin", "2026-12-31T23:00:00Z", "2027-12-31T23:00:00Z"),
        ("2026-11-22T23:59:59Z", "week", "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-11-23T00:00:00Z", "week", "UTC", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("2028-02-29T12:00:00Z", "month", "UTC", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ("2026-11-23T12:00:00Z", "day", "Asia/Kathmandu", "2026-11-22T18:15:00Z", "2026-11-23T18:15:00Z"),
        # Midnight does not exist on this day; it begins at 01:00.
        ("2026-03-29T12:00:00Z", "day", "Asia/Beirut", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"),
        # Lord Howe moves its clocks by half an hour: a day of 24.5 hours and one of 23.5.
        (
            "2026-04-05T00:00:00Z",
            "day",
            "Australia/Lord_Howe",
            "2026-04-04T13:00:00Z",
            "2026-04-05T13:30:00Z",
        ),
        (
            "2026-10-04T00:00:00Z",
            "day",
            "Australia/Lord_Howe",
            "2026-10-03T13:30:00Z",
            "2026-10-04T13:00:00Z",
        ),
        ("2026-04-05T00:00:00Z", "day", "Pacific/Chatham", "2026-04-04T10:15:00Z", "2026-04-05T11:15:00Z"),
        # The clocks went from 23:30 to 00:30: the day began with their change.
        ("1919-03-31T05:00:00Z", "day", "America/Toronto", "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z"),
        ("1919-03-31T04:30:00Z", "day", "America/Toronto", "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z"),
        # From 00:01 back to 23:01: midnight came twice, the day began with the first.
        ("2009-11-01T02:45:00Z", "day", "America/St_Johns", "2009-11-01T02:30:00Z", "2009-11-02T03:30:00Z"),
        ("2009-11-01T02:45:00Z", "month", "America/St_Johns", "2009-11-01T02:30:00Z", "2009-12-01T03:30:00Z"),
    ],
)
def test_boundaries(moment: str, period: Calendar, zone: str, start: str, after: str) -> None:
    where = ZoneInfo(zone)
    assert start_of(ms(moment), period, where) == ms(start)
    assert shifted(ms(start), period, 1, where) == ms(after)
    assert shifted(ms(after), period, -1, where) == ms(start)


@given(
    day=st.integers(0, 40_000 * 48).map(
        lambda n: datetime(1971, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * n)
    ),
    period=st.sampled_from(["day", "week", "month", "year"]),
    zone=st.sampled_from(ZONES),
    by=st.integers(-30, 30),
)
def test_periods_join_and_hold_their_moment(day: datetime, period: Calendar, zone: str, by: int) -> None:
    where = ZoneInfo(zone)
    moment = int(day.timestamp()) * 1000
    start = start_of(moment, period, where)
    after = shifted(start, period, 1, where)
    assert start <= moment < after
    assert start_of(start, period, where) == start
    assert start_of(after - 1, period, where) == start
    assert start_of(after, period, where) == after
    assert shifted(shifted(start, period, by, where), period, -by, where) == start


def test_a_day_that_was_left_out_is_passed_over() -> None:
    # Samoa went from 29 December 2011 to the 31st.
    apia = ZoneInfo("Pacific/Apia")
    change = ms("2011-12-30T10:00:00Z")
    assert shifted(change - HOUR, "day", 1, apia) == change
    assert start_of(change, "day", apia) == change
    assert shifted(change, "day", 1, apia) == change + 24 * HOUR


def test_beyond_the_calendar_is_an_error() -> None:
    with pytest.raises((ValueError, OverflowError)):
        shifted(0, "year", 9000, BERLIN)
    with pytest.raises((ValueError, OverflowError)):
        shifted(0, "day", -(10**7), BERLIN)
