"""Times and durations as people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cli.errors import CommandError
from cli.times import age, duration, span

BERLIN = ZoneInfo("Europe/Berlin")
# A Wednesday, 14:30 in Berlin.
NOW = datetime(2026, 11, 18, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("now", "2026-11-18T14:30", "2026-11-18T14:30"),
        ("today", "2026-11-18T00:00", "2026-11-19T00:00"),
        (" Yesterday ", "2026-11-17T00:00", "2026-11-18T00:00"),
        ("this week", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("last week", "2026-11-09T00:00", "2026-11-16T00:00"),
        ("this month", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("last month", "2026-10-01T00:00", "2026-11-01T00:00"),
        ("this year", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("last year", "2025-01-01T00:00", "2026-01-01T00:00"),
        ("90m", "2026-11-18T13:00", "2026-11-18T13:00"),
        ("7d", "2026-11-11T14:30", "2026-11-11T14:30"),
        ("2 weeks ago", "2026-11-04T14:30", "2026-11-04T14:30"),
        ("9:05", "2026-11-18T09:05", "2026-11-18T09:05"),
        ("09:05:30", "2026-11-18T09:05:30", "2026-11-18T09:05:30"),
        ("2026-11-10", "2026-11-10T00:00", "2026-11-11T00:00"),
        ("2026-11-10 06:15", "2026-11-10T06:15", "2026-11-10T06:15"),
        ("2026-11-10T06:15:00Z", "2026-11-10T07:15", "2026-11-10T07:15"),
    ],
)
def test_what_people_write_is_understood_in_their_zone(text: str, begin: str, end: str) -> None:
    wanted = tuple(datetime.fromisoformat(one).replace(tzinfo=BERLIN).astimezone(UTC) for one in (begin, end))
    assert tuple(one.astimezone(UTC) for one in span(text, NOW, BERLIN)) == wanted


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_a_day_has_the_hours_of_its_zone(day: str, hours: int) -> None:
    begin, end = span(day, NOW, BERLIN)
    assert end.astimezone(UTC) - begin.astimezone(UTC) == timedelta(hours=hours)


def test_a_day_counts_back_in_days_over_a_change_of_clocks() -> None:
    monday = datetime(2026, 10, 26, 0, 30, tzinfo=BERLIN)
    begin, end = span("yesterday", monday.astimezone(UTC), BERLIN)
    assert (begin.isoformat(), end.isoformat()) == ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "25:00", "7", "-3d", "9999-12-31", "0001-01-01x", "d"]
)
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(CommandError, match="is no time; allowed: now, today"):
        span(text, NOW, BERLIN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("30s", 30),
        ("10m", 600),
        ("10 min", 600),
        ("1h30m", 5400),
        ("2 hours", 7200),
        ("7 days", 604_800),
        ("1d 12h", 129_600),
    ],
)
def test_a_length_of_time_is_understood(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "ten", "10x", "1h30", "1e9", "99999d", "m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is no length of time; allowed: 90"):
        duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text
