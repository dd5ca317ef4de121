"""What Home Assistant's own recorder made of these states, through the whole service; and where we differ."""

from pathlib import Path

import pytest

from statistician.records import Table
from tests.statistician.scenario import NAMES, Rows, load, ms, number, ours, play, recorded

# Each has a test of its own below, which says why.
DIFFERENT = (
    *("05", "06", "07", "08", "11", "15", "17", "18", "21", "23", "29"),
    *("46", "47", "48", "53", "54", "62", "63"),
)
SAME = [name for name in NAMES if name[:2] not in DIFFERENT]


def alike(got: tuple[float | None, ...], wanted: tuple[float | None, ...], loose: float = 0.0) -> bool:
    """Whether two rows agree, nulls included."""
    return all(
        a == b or (a is not None and b is not None and a == pytest.approx(b, rel=1e-9, abs=loose or 1e-12))
        for a, b in zip(got, wanted, strict=True)
    )


def differing(name: str, path: Path, loose: float = 0.0) -> tuple[Rows, Rows]:
    """Our rows and the recorder's, but for those that agree."""
    got, wanted = ours(name, play(name, path)), recorded(name)
    same = {key for key in got.keys() & wanted.keys() if alike(got[key], wanted[key], loose)}
    return (
        {key: row for key, row in got.items() if key not in same},
        {key: row for key, row in wanted.items() if key not in same},
    )


def at(clock: str) -> int:
    """A time of the scenarios' day."""
    return ms(f"2024-01-10T{clock}Z")


def differs(name: str) -> pytest.MarkDecorator:
    """Name the scenario in the test's id."""
    return pytest.mark.parametrize("name", [name])


def test_there_are_all_of_them() -> None:
    assert len(NAMES) == 51
    assert {name[:2] for name in NAMES} >= set(DIFFERENT)


@pytest.mark.parametrize("name", SAME)
def test_rows_are_the_recorders(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    assert got == wanted == {}


def cells(
    *, mean: float | None = None, low: float | None = None, high: float | None = None
) -> tuple[float | None, ...]:
    """A row of a measurement."""
    return mean, low, high, None, None, None


@differs("05_first_last_microsecond")
def test_the_last_moment_of_a_period_is_carried_into_the_next(name: str, tmp_path: Path) -> None:
    # The recorder looks for states 1 us before the start in neither period; ms have no such hole.
    got, wanted = differing(name, tmp_path / "s.db")
    assert got.pop(("sensor.m", "5minute", at("12:05:00"))) == cells(mean=5.0, low=5.0, high=5.0)
    assert got.pop(("sensor.m", "hour", at("12:00:00"))) == cells(mean=160 / 12, low=5.0, high=15.0)
    assert got == {}
    assert wanted.keys() == {("sensor.m", "hour", at("12:00:00"))}


@differs("06_boundary_exact")
def test_a_change_at_the_boundary_differs_only_by_what_a_microsecond_is(name: str, tmp_path: Path) -> None:
    # 12:14:59.999999 lasts 1 ms with us, and is what 12:15 begins with, although 12:15:00 has its own state.
    got, wanted = differing(name, tmp_path / "s.db")
    mean, low, high = got.pop(("sensor.m", "5minute", at("12:10:00")))[:3]
    assert (low, high) == (2.0, 50.0)
    assert mean == pytest.approx((3 * 299.999 + 50 * 0.001) / 300)
    assert got.pop(("sensor.m", "5minute", at("12:15:00"))) == cells(mean=4.0, low=4.0, high=50.0)
    hour = got.pop(("sensor.m", "hour", at("12:00:00")))
    assert alike(hour, wanted[("sensor.m", "hour", at("12:00:00"))], 2e-5)
    assert got == {}


@differs("07_boundary_minus_1us")
def test_there_is_no_hole_before_the_boundary(name: str, tmp_path: Path) -> None:
    # With the recorder the value before the last counts again in 12:20: a false reset adds 9.
    got, wanted = differing(name, tmp_path / "s.db")
    assert got[("sensor.m", "5minute", at("12:20:00"))] == cells(mean=9.0, low=9.0, high=9.0)
    assert got[("sensor.m2", "5minute", at("12:20:00"))] == cells(mean=5.8, low=5.0, high=9.0)
    counter = ("sensor.ti", "hour", at("12:00:00"))
    assert (got[counter][4], wanted[counter][4]) == (9.0, 18.0)
    assert min(start for _, period, start in got if period == "5minute") == at("12:15:00")


@differs("08_unavailable_gap_inside")
def test_time_without_a_value_has_no_part_in_a_mean(name: str, tmp_path: Path) -> None:
    # The recorder holds the last number through the gap: 14, 24 and 19.
    got, wanted = differing(name, tmp_path / "s.db")
    assert got.keys() == wanted.keys()
    assert got[("sensor.m", "5minute", at("12:00:00"))] == cells(
        mean=(10 * 60 + 20 * 120) / 180, low=10.0, high=20.0
    )
    assert got[("sensor.m", "5minute", at("12:05:00"))] == cells(
        mean=(20 * 120 + 30 * 30) / 150, low=20.0, high=30.0
    )


@differs("11_non_numeric")
def test_a_text_ends_what_is_known_like_null(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    assert got.keys() == wanted.keys()
    # 1 for 30 s, 10 for 30 s, 5 for 30 s, 1000 for 30 s.
    assert got[("sensor.m", "5minute", at("12:00:00"))] == cells(mean=1016 / 4, low=1.0, high=1000.0)


def counted(rig_rows: Rows, entity: str) -> tuple[float | None, float | None]:
    """State and sum of the last hour."""
    last = max(key for key in rig_rows if key[0] == entity and key[1] == "hour")
    return rig_rows[last][3], rig_rows[last][4]


@differs("21_ti_reset_zero")
def test_a_fall_that_is_taken_back_is_left_out_and_a_reset_counts(name: str, tmp_path: Path) -> None:
    # 10, 20, 0, 5, 3, 9: the 0 stays down and counts; after 5 the 9 takes the 3 back.
    got, wanted = differing(name, tmp_path / "s.db")
    assert counted(got, "sensor.ti") == (9.0, 10 + 5 + 4)
    assert counted(wanted, "sensor.ti") == (9.0, 10 + 5 + 3 + 6)
    assert min(key[2] for key in got if key[1] == "5minute") == at("12:20:00")


@differs("23_ti_dip_small")
def test_a_dip_does_not_lower_a_sum(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    assert min(row[4] for row in wanted.values() if row[4] is not None) < 0
    assert (
        min(row[4] for row in ours(name, play(name, tmp_path / "t.db")).values() if row[4] is not None) == 0.0
    )
    assert counted(got, "sensor.ti") == (101.0, 1.0)


@differs("29_ti_glitch_zero")
def test_one_zero_is_not_the_whole_counter_again(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    assert counted(got, "sensor.ti") == (1003.0, 3.0)
    assert counted(wanted, "sensor.ti") == (1003.0, 1004.0)


@differs("47_restart_short")
def test_an_absence_is_not_filled_with_the_last_value(name: str, tmp_path: Path) -> None:
    # Down from 12:22 to 12:32; the recorder repeats 22 and the counters until the next reading at 12:34.
    got, wanted = differing(name, tmp_path / "s.db")
    assert got.pop(("sensor.m", "5minute", at("12:20:00"))) == cells(mean=21.0, low=20.0, high=22.0)
    assert got.pop(("sensor.m", "5minute", at("12:30:00"))) == cells(mean=25.0, low=25.0, high=25.0)
    assert got.pop(("sensor.m", "hour", at("12:00:00")))[0] == pytest.approx((4 * 20 + 21 + 6 * 25) / 11)
    # Of the counters only the rows of that time are not there: their sums are the recorder's.
    assert got == {}
    missing = {key[0] for key in wanted if key[1:] == ("5minute", at("12:25:00"))}
    assert missing == {"sensor.m", "sensor.ti", "sensor.tot"}


@differs("48_restart_long")
def test_hours_in_which_nobody_was_there_have_no_rows(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    absent = {key for key in wanted if key not in got}
    assert {key[2] for key in absent if key[1] == "hour"} == {at("13:00:00"), at("14:00:00")}
    assert {key[0] for key in absent} == {"sensor.m", "sensor.ti"}
    assert all(at("12:25:00") <= key[2] <= at("15:25:00") for key in absent)
    # Sums are the recorder's wherever there is a row.
    assert {key[0] for key in got} == {"sensor.m"}


@differs("15_duplicates_same_ts")
def test_the_last_to_arrive_at_one_moment_counts(name: str, tmp_path: Path) -> None:
    # A state lasts until the next; what lasted no time at all is no extreme.
    got, wanted = differing(name, tmp_path / "s.db")
    assert {entity for entity, _, _ in got} == {"sensor.m"}
    # Means and sums are the recorder's.
    assert {key: row[0] for key, row in got.items()} == pytest.approx(
        {k: row[0] for k, row in wanted.items()}
    )
    assert got[("sensor.m", "hour", at("12:00:00"))][1:3] == (7.0, 20.0)
    assert got[("sensor.m", "5minute", at("12:00:00"))][1:3] == (10.0, 20.0)


@differs("17_huge_small_floats")
def test_a_mean_that_overflows_is_null_and_spoils_no_hour(name: str, tmp_path: Path) -> None:
    # Infinity has no place in JSON.
    got, _ = differing(name, tmp_path / "s.db")
    assert got.pop(("sensor.m", "5minute", at("12:05:00"))) == cells(low=-1e308, high=1e-300)
    hour = got.pop(("sensor.m", "hour", at("12:00:00")))
    means = [0.18, 0.06, (123456789012345678.0 * 60) / 300, *[3.141592653589793] * 7]
    assert hour[0] == pytest.approx(sum(means) / 10, rel=1e-3)
    assert got == {}


@differs("18_mean_overflow")
def test_an_hour_leaves_out_means_that_overflowed(name: str, tmp_path: Path) -> None:
    got, _ = differing(name, tmp_path / "s.db")
    assert got == {
        ("sensor.m", "5minute", at("12:00:00")): cells(low=1e308, high=1e308),
        ("sensor.m", "5minute", at("12:05:00")): cells(low=1.0, high=1e308),
        ("sensor.m", "hour", at("12:00:00")): cells(mean=1.0, low=1.0, high=1e308),
    }


@differs("46_first_state_in_compile_delay")
def test_a_first_state_in_the_compile_delay_makes_no_row_before_it(name: str, tmp_path: Path) -> None:
    # Older recorders made a row of the period before; today's do not, and neither do we.
    got, wanted = differing(name, tmp_path / "s.db")
    assert got == wanted == {}
    assert min(start for _, period, start in recorded(name) if period == "5minute") == at("12:15:00")


@differs("53_measurement_angle")
def test_north_is_0_and_never_360(name: str, tmp_path: Path) -> None:
    got, wanted = differing(name, tmp_path / "s.db")
    north = ("sensor.wind", "5minute", at("12:00:00"))
    assert got.pop(north) == cells(mean=0.0)
    assert wanted[north] == cells(mean=360.0)
    # Two minutes of the half hour are unknown; the recorder holds the direction before.
    assert got.keys() == {
        ("sensor.wind", "5minute", at("12:30:00")),
        ("sensor.wind", "hour", at("12:00:00")),
    }


@differs("54_angle_opposed")
def test_opposed_directions_have_no_weight(name: str, tmp_path: Path) -> None:
    # Their mean is arbitrary, last bits decide; an hour goes by the periods that have a direction.
    rig = play(name, tmp_path / "s.db")
    rows = rig.rows("wind", device="sensor")
    assert [row.row.mean_weight for row in rows] == pytest.approx([0.0, 0.0, *[300.0] * 10], abs=1e-9)
    assert [row.row.mean for row in rows[2:]] == pytest.approx([270.0] * 10)
    (hour,) = rig.rows("wind", Table.HOUR, "sensor")
    assert (hour.row.mean, hour.row.mean_weight) == pytest.approx((270.0, 3000.0))


@differs("62_purge_short_term")
def test_a_purge_does_not_set_a_sum_back(name: str, tmp_path: Path) -> None:
    # The recorder forgets the base with the last 5-minute row; ours falls back to the hour's.
    got, wanted = differing(name, tmp_path / "s.db")
    counter = {key: row for key, row in got.items() if key[0] == "sensor.ti"}
    assert counter.keys() == {key for key in wanted if key[0] == "sensor.ti"}
    assert {row[4] - (wanted[key][4] or 0.0) for key, row in counter.items() if row[4] is not None} == {50.0}
    # Beside that we keep whole hours, the recorder keeps to the minute.
    rest = got.keys() - counter.keys()
    assert rest == {("sensor.m", "5minute", at("20:00:00")), ("sensor.ti_alive", "5minute", at("20:00:00"))}


@differs("63_unitless_none_to_percent")
def test_a_unit_named_later_does_not_change_the_scale(name: str, tmp_path: Path) -> None:
    # Who adds a forgotten % to a sensor does not mean a hundredth of what it said before.
    got, _ = differing(name, tmp_path / "s.db")
    rig_rows = {key[2]: row for key, row in got.items() if key[1] == "5minute"}
    assert alike(rig_rows[at("12:05:00")], cells(mean=0.58, low=0.5, high=0.6))
    # From % to ppm is a conversion.
    assert alike(rig_rows[at("12:10:00")], cells(mean=0.176, low=0.07, high=0.6))
    assert alike(rig_rows[at("12:55:00")], cells(mean=0.07, low=0.07, high=0.07))


def test_texts_are_null_on_our_wire() -> None:
    assert [number(text) for text in ("on", "unavailable", "inf", "nan", "", " 5 ", "1_000")] == [
        *[None] * 5,
        5.0,
        1000.0,
    ]
    assert load("12_never_numeric").entities
