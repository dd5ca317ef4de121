"""Periods and the moments at which things are due."""

from datetime import UTC, datetime

import pytest

from statistician import arithmetic as periods
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.upkeep import BackUp, Compile, Purge, Schedule
from tests.statistician.rig import SECOND, START


def test_a_boundary_belongs_to_the_period_it_begins() -> None:
    assert periods.period_of(START) == START
    assert periods.period_of(START - 1) == START - MINUTES_5
    assert periods.hour_of(START + HOUR - 1) == START


def test_a_period_is_due_ten_seconds_after_its_end() -> None:
    assert not periods.is_due(START, START + MINUTES_5 + 10 * SECOND - 1)
    assert periods.is_due(START, START + MINUTES_5 + 10 * SECOND)


def test_only_the_last_period_ends_the_hour() -> None:
    assert [m for m in range(12) if periods.ends_hour(START + m * MINUTES_5)] == [11]


@pytest.mark.parametrize(
    ("last_run", "first_state", "first"),
    [
        (START - DAY, None, START - DAY + MINUTES_5),
        (None, START - HOUR + 1, START - HOUR),
        # The period and the hour that an absence has left are finished, however long ago.
        (START - 40 * DAY, START, START - 40 * DAY + MINUTES_5),
        # What is older than states are kept makes no rows.
        (None, START - 40 * DAY, START - 10 * DAY),
        # A first state from the future opens the present period.
        (None, START + HOUR, START),
        (None, None, None),
    ],
)
def test_the_period_to_go_on_with(last_run: int | None, first_state: int | None, first: int | None) -> None:
    assert periods.first_to_compile(last_run, first_state, START + 5 * SECOND, 10) == first


def test_the_jobs_only_emit() -> None:
    events: list[object] = []
    schedule = Schedule(events.append)
    jobs = {job.id: job for job in schedule._scheduler.get_jobs()}
    for job in jobs.values():
        job.func(*job.args)
    assert events == [Compile(), Purge(), BackUp(), Purge(), BackUp()]
    noon = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
    compiled = jobs["compile"].trigger.get_next_fire_time(None, noon)
    assert compiled == datetime(2026, 11, 23, 12, 5, 10, tzinfo=UTC)
    purged = jobs["purge"].trigger.get_next_fire_time(None, noon)
    assert (purged.hour, purged.minute, purged.second) == (4, 12, 0)
