"""What people are told of the time: quiet hours, words for a moment, and what passed over a restart."""

from datetime import UTC, datetime

import pytest

from forwarder.alarms import Mark, Moment, Present, is_quiet, passed, said
from tests.forwarder.recipient import BERLIN, START_MS


@pytest.mark.parametrize(
    ("hours", "utc", "quiet"),
    [
        ("22:00-07:00", datetime(2026, 11, 21, 20, 59, tzinfo=UTC), False),
        ("22:00-07:00", datetime(2026, 11, 21, 21, 0, tzinfo=UTC), True),
        ("22:00-07:00", datetime(2026, 11, 22, 5, 59, tzinfo=UTC), True),
        ("22:00-07:00", datetime(2026, 11, 22, 6, 0, tzinfo=UTC), False),
        ("12:00-14:00", datetime(2026, 11, 21, 12, 59, tzinfo=UTC), True),
        ("12:00-14:00", datetime(2026, 11, 21, 13, 0, tzinfo=UTC), False),
        ("12:00-12:00", datetime(2026, 11, 21, 11, 0, tzinfo=UTC), False),
        # The night on which 2:00 becomes 3:00, and the one on which 3:00 becomes 2:00.
        ("22:00-07:00", datetime(2027, 3, 28, 4, 59, tzinfo=UTC), True),
        ("22:00-07:00", datetime(2027, 3, 28, 5, 0, tzinfo=UTC), False),
        ("22:00-07:00", datetime(2027, 10, 31, 5, 59, tzinfo=UTC), True),
        ("22:00-07:00", datetime(2027, 10, 31, 6, 0, tzinfo=UTC), False),
        ("02:30-03:00", datetime(2027, 10, 31, 0, 45, tzinfo=UTC), True),
        ("02:30-03:00", datetime(2027, 10, 31, 1, 45, tzinfo=UTC), True),
    ],
)
def test_quiet_hours_are_those_of_the_clock_on_the_wall(hours: str, utc: datetime, *, quiet: bool) -> None:
    present = Present(int(utc.timestamp() * 1000), 0, right=True, boot="", zone=BERLIN, earliest=0)
    assert is_quiet(hours, present) is quiet


TIMES = (
    (datetime(2026, 11, 21, 13, 5, tzinfo=UTC), "14:05"),
    (datetime(2026, 11, 20, 23, 5, tzinfo=UTC), "00:05"),
    (datetime(2026, 11, 20, 22, 55, tzinfo=UTC), "23:55 yesterday"),
    (datetime(2026, 11, 19, 13, 5, tzinfo=UTC), "14:05 on 19 Nov"),
    (datetime(2025, 11, 19, 13, 5, tzinfo=UTC), "14:05 on 19 Nov 2025"),
)


@pytest.mark.parametrize(("then", "words"), TIMES)
def test_a_time_is_said_as_people_do(then: datetime, words: str) -> None:
    present = Present(START_MS + 3_600_000, 0, right=True, boot="", zone=BERLIN, earliest=0)
    moment = Moment(int(then.timestamp() * 1000), 0, right=True, boot="")
    assert said(moment, present) == words


@pytest.mark.parametrize(
    ("boot", "monotonic", "wall", "right", "seconds"),
    [
        ("a", 1060.0, 0, False, 60.0),
        ("b", 20.0, START_MS + 90_000, True, 90.0),
        ("b", 20.0, START_MS + 90_000, False, 0.0),
        ("b", 20.0, START_MS - 90_000, True, 0.0),
        ("", 1060.0, START_MS + 90_000, True, 90.0),
    ],
)
def test_what_passed_since_the_last_run(
    boot: str, monotonic: float, wall: int, *, right: bool, seconds: float
) -> None:
    mark = Mark(500.0, 1000.0, "a", START_MS, right=True)
    assert passed(mark, monotonic=monotonic, boot=boot, wall=wall, right=right) == seconds


def test_a_wrong_clock_of_the_last_run_says_nothing_of_what_passed() -> None:
    mark = Mark(500.0, 1000.0, "a", START_MS, right=False)
    assert passed(mark, monotonic=20.0, boot="b", wall=START_MS + 90_000, right=True) == 0.0
