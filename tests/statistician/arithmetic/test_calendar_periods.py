"""Days, weeks, months and years of a zone, over the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statistician.arithmetic import Calendar, shifted, start_of

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
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
