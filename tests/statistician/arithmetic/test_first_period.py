"""Which period is compiled first, and whether a night lies between two readings."""

from datetime import UTC

import pytest

from statistician.arithmetic import DAY, HOUR, MINUTES_5, another_day, first_to_compile, start_of
from tests.statistician.rig import START


@pytest.mark.parametrize(
    ("last_run", "first_state", "now", "expected"),
    [
        (START, None, 0, START + MINUTES_5),
        (START, START + DAY, START + DAY, START + MINUTES_5),
        (None, None, START, None),
        (None, START + 1, 0, START),
        (None, START + 1, START + DAY, START),
        (None, START + DAY, START + 1, START),
    ],
)
def test_what_is_compiled_first(
    last_run: int | None, first_state: int | None, now: int, expected: int | None
) -> None:
    assert first_to_compile(last_run, first_state, now, 10) == expected


@pytest.mark.parametrize(
    ("hours", "silent", "expected"),
    [(22, 3, True), (22, 2, False), (21, 2.9, False), (1, 5, False), (23, 30, True)],
)
def test_a_night_without_a_reading(hours: float, silent: float, *, expected: bool) -> None:
    midnight = start_of(START, "day", UTC)
    before = midnight + int(hours * HOUR)
    assert another_day(before, before + int(silent * HOUR), UTC) is expected
