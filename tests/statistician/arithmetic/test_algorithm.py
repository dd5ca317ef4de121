"""The arithmetic of one entity and one period, case by case."""

import math

import pytest

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE, TOTAL, TOTAL_INCREASING
from bus.messages import Value
from statistician.arithmetic import MINUTES_5
from statistician.arithmetic.algorithm import Row, accumulator, hourly

MINUTE = 60_000
Fed = tuple[float, Value]


def row(state_class: str, fed: list[Fed], base: Row | None = None) -> Row | None:
    """The row of a period from (minute, value) pairs."""
    one = accumulator(state_class, base)
    assert one is not None
    for minute, value in fed:
        one.feed(int(minute * MINUTE), value, None)
    return one.close(MINUTES_5)


@pytest.mark.parametrize(
    ("fed", "mean", "low", "high", "coverage"),
    [
        ([(0, 10.0)], 10.0, 10.0, 10.0, 1.0),
        ([(0, 10.0), (1, 20.0)], 18.0, 10.0, 20.0, 1.0),
        # The mean runs from the first number, not from the period's start.
        ([(2.5, 5.0), (3.75, 15.0)], 10.0, 5.0, 15.0, 0.5),
        # A state at the very start: the one carried in has no duration but counts for the extremes.
        ([(0, 100.0), (0, 1.0)], 1.0, 1.0, 100.0, 1.0),
        # Unknown inside the period: that time has no part in the mean.
        ([(0, 10.0), (1, None), (3, 20.0)], 50 / 3, 10.0, 20.0, 0.6),
        ([(0, 10.0), (4, None)], 10.0, 10.0, 10.0, 0.8),
        ([(0, 10.0), (1, None), (2, "bulk"), (3, 10.0)], 10.0, 10.0, 10.0, 0.6),
        # Unknown carried in: nothing is known until the first number.
        ([(0, None), (3, 7.0)], 7.0, 7.0, 7.0, 0.4),
    ],
)
def test_measurement(fed: list[Fed], mean: float, low: float, high: float, coverage: float) -> None:
    found = row(MEASUREMENT, fed)
    assert found is not None
    assert found.mean == pytest.approx(mean)
    assert (found.min, found.max) == (low, high)
    assert found.coverage == pytest.approx(coverage)
    assert (found.state, found.sum, found.mean_weight) == (None, None, None)


@pytest.mark.parametrize("fed", [[], [(0, None)], [(0, "ON"), (2, None)]])
@pytest.mark.parametrize("kind", [MEASUREMENT, MEASUREMENT_ANGLE, TOTAL, TOTAL_INCREASING])
def test_no_number_no_row(kind: str, fed: list[Fed]) -> None:
    assert row(kind, fed) is None
    assert row(kind, fed, Row(state=5.0, sum=2.0)) is None


def test_no_state_class_no_statistics() -> None:
    assert accumulator(None, None) is None
    assert accumulator("nonsense", None) is None


def test_a_mean_that_overflows_is_unknown() -> None:
    found = row(MEASUREMENT, [(0, 1e308), (1, -1e308)])
    assert found is not None
    assert found.mean is None
    assert (found.min, found.max) == (-1e308, 1e308)


@pytest.mark.parametrize(
    ("fed", "mean", "weight"),
    [
        ([(0, 350.0), (2.5, 10.0)], 0.0, 300 * math.cos(math.radians(10))),
        ([(0, 90.0)], 90.0, 300.0),
        ([(0, -90.0)], 270.0, 300.0),
        ([(0, 725.0)], 5.0, 300.0),
        ([(2.5, 45.0)], 45.0, 150.0),
    ],
)
def test_angle(fed: list[Fed], mean: float, weight: float) -> None:
    found = row(MEASUREMENT_ANGLE, fed)
    assert found is not None
    assert found.mean is not None
    assert (found.mean - mean + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    assert found.mean_weight == pytest.approx(weight)
    assert (found.min, found.max) == (None, None)


def test_a_tiny_negative_angle_is_north_not_a_full_turn() -> None:
    found = row(MEASUREMENT_ANGLE, [(0, -1e-15)])
    assert found is not None
    assert found.mean == 0.0


@pytest.mark.parametrize(
    ("base", "fed", "state", "total", "up", "down"),
    [
        # The first number ever is the zero point.
        (None, [(1, 100.0)], 100.0, 0.0, 0.0, 0.0),
        (None, [(1, 100.0), (2, 101.5)], 101.5, 1.5, 1.5, 0.0),
        ((100.0, 7.0), [(0, 100.0), (2, 103.0)], 103.0, 10.0, 3.0, 0.0),
        # Below 90 % it is a reset, and what comes after counts from 0.
        ((20.0, 10.0), [(0, 20.0), (1, 3.0)], 3.0, 13.0, 3.0, 0.0),
        ((100.0, 0.0), [(1, 89.999), (2, 100.0)], 100.0, 100.0, 100.0, 0.0),
        # Exactly 90 % is a dip, and a dip lowers the sum.
        ((100.0, 0.0), [(1, 90.0)], 90.0, -10.0, 0.0, 10.0),
        ((100.0, 0.0), [(1, 95.0), (2, 100.0)], 100.0, 0.0, 5.0, 5.0),
        # Zero is not below 90 % of zero.
        ((0.0, 4.0), [(1, -0.0), (2, 0.5)], 0.5, 4.5, 0.5, 0.0),
        # A spurious zero counts the whole counter again.
        ((1001.0, 1.0), [(1, 0.0), (2, 1002.0)], 1002.0, 1003.0, 1002.0, 0.0),
        # Negative: skipped, but a row is written; accepted only as the first number.
        ((10.0, 3.0), [(1, -5.0)], 10.0, 3.0, 0.0, 0.0),
        (None, [(1, -10.0), (2, -8.0), (3, 5.0)], 5.0, 15.0, 15.0, 0.0),
        # Unknown keeps the counter where it was.
        ((10.0, 3.0), [(0, 10.0), (1, None), (2, 12.0)], 12.0, 5.0, 2.0, 0.0),
    ],
)
def test_total_increasing(
    base: tuple[float, float] | None, fed: list[Fed], state: float, total: float, *, up: float, down: float
) -> None:
    before = Row(state=base[0], sum=base[1], sum_increase=50.0, sum_decrease=20.0) if base else None
    found = row(TOTAL_INCREASING, fed, before)
    assert found is not None
    assert found.state == state
    assert found.sum == pytest.approx(total)
    increase, decrease = (50.0, 20.0) if base else (0.0, 0.0)
    assert found.sum_increase == pytest.approx(increase + up)
    assert found.sum_decrease == pytest.approx(decrease + down)
    assert (found.mean, found.min, found.max, found.last_reset) == (None, None, None, None)


@pytest.mark.parametrize(
    ("base", "fed", "total", "last_reset"),
    [
        # Without last_reset it goes up and down and never starts again.
        (None, [(10.0, None), (25.0, None), (-7.5, None)], -17.5, None),
        # The first number is the zero point even with a last_reset.
        (None, [(10.0, 1), (25.0, 1)], 15.0, 1),
        # Another last_reset, also an earlier one: the whole number counts.
        (Row(state=25.0, sum=15.0, last_reset=5), [(2.0, 6)], 17.0, 6),
        (Row(state=25.0, sum=15.0, last_reset=5), [(2.0, 4)], 17.0, 4),
        (Row(state=10.0, sum=0.0, last_reset=5), [(10.0, 5), (10.0, 6)], 10.0, 6),
        # Several resets in a period all count.
        (Row(state=10.0, sum=0.0, last_reset=1), [(3.0, 2), (4.0, 3), (6.0, 3)], 9.0, 3),
        # It vanishes: no reset, and the row has none; coming back in a later period is one.
        (Row(state=14.0, sum=4.0, last_reset=1), [(15.0, None)], 5.0, None),
        (Row(state=15.0, sum=5.0, last_reset=None), [(16.0, 1)], 21.0, 1),
        # Gone and back the same within a period is none.
        (Row(state=14.0, sum=4.0, last_reset=1), [(15.0, None), (16.0, 1)], 6.0, 1),
    ],
)
def test_total(
    base: Row | None, fed: list[tuple[float, int | None]], total: float, last_reset: int | None
) -> None:
    one = accumulator(TOTAL, base)
    assert one is not None
    for minute, (value, reset) in enumerate(fed):
        one.feed(minute * MINUTE, value, reset)
    found = one.close(MINUTES_5)
    assert found is not None
    assert found.sum == pytest.approx(total)
    assert (found.state, found.last_reset) == (fed[-1][0], last_reset)
    assert (found.sum_increase or 0) - (found.sum_decrease or 0) == pytest.approx(
        total - (base.sum or 0 if base else 0)
    )


def test_a_counter_keeps_the_last_reset_it_had_as_a_total() -> None:
    found = row(TOTAL_INCREASING, [(0, 14.0)], Row(state=12.0, sum=2.0, last_reset=77))
    assert found is not None
    assert (found.sum, found.last_reset) == (4.0, 77)


def test_a_row_without_a_sum_is_no_base() -> None:
    found = row(TOTAL_INCREASING, [(0, 20.0), (1, 25.0)], Row(mean=20.0, min=20.0, max=20.0))
    assert found is not None
    assert found.sum == 5.0


def test_the_hours_mean_is_not_weighted() -> None:
    found = hourly([Row(10, None, 8, 12, coverage=0.1), Row(20, None, 20, 20, coverage=1)], MEASUREMENT)
    assert found is not None
    assert found[:4] == (15, None, 8, 20)
    assert found.coverage == pytest.approx(1.1 / 12)


def test_the_hours_sum_is_the_last_ones() -> None:
    rows = [Row(state=1, sum=1, last_reset=5), Row(state=2, sum=9, sum_increase=9, last_reset=6)]
    found = hourly(rows, TOTAL)
    assert found is not None
    assert (found.state, found.sum, found.sum_increase, found.last_reset) == (2, 9, 9, 6)


def test_an_hour_in_which_the_class_changed() -> None:
    found = hourly([Row(20, None, 19, 21), Row(state=25, sum=5)], TOTAL_INCREASING)
    assert found is not None
    assert (found.mean, found.min, found.max, found.state, found.sum) == (None, 19, 21, 25, 5)


def test_the_hours_direction_is_a_vector_sum() -> None:
    found = hourly([Row(0, 300), Row(90, 100)], MEASUREMENT_ANGLE)
    assert found is not None
    assert found.mean == pytest.approx(math.degrees(math.atan2(100, 300)))
    assert found.mean_weight == pytest.approx(math.hypot(100, 300))


def test_no_rows_no_hour() -> None:
    assert hourly([], MEASUREMENT) is None
