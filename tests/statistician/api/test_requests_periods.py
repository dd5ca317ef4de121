"""Days and longer in every zone: the parts add up, and the verbs statistics and statistic say the same."""

import math
import random
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import from_iso, to_iso
from statistician.arithmetic import DAY, HOUR, MINUTES_5, hour_of
from statistician.arithmetic.algorithm import Row, hourly
from statistician.records import StoredRow, Table
from tests.statistician.rig import SECOND, AskingRig, Json

# Both half-hour changes of Lord Howe lie between: on 4 October 2025, and on 5 April 2026, when the clocks of
# Chatham change too.
FIRST = from_iso("2025-09-20T00:00:00Z")
NOW = from_iso("2026-04-12T07:22:31Z")
# Before this 5-minute rows are gone.
CUT = hour_of(NOW - 10 * DAY)
LAST = from_iso("2026-04-12T07:15:00Z")


class Kept:
    """A rig with rows of van.m, van.a (a direction) and van.e, and the counter's true steps by period."""

    def __init__(self, path: Path) -> None:
        self.rig = AskingRig(path, now=NOW)
        self.rig.about("van", m="measurement", a="measurement_angle", e="total_increasing")
        self.rig.commit()
        self.rig.now = NOW
        self.numbers = {record.entity: record.id for record in self.rig.store.entities()}
        self.steps: dict[int, float] = {}
        dice = random.Random(9)  # noqa: S311 — not for secrets
        rows: dict[str, list[tuple[int, Row]]] = {"m": [], "a": [], "e": []}
        total, silent = 0.0, 0
        for start in range(FIRST, LAST + 1, MINUTES_5):
            silent = dice.randrange(1, 400) if silent == 0 and dice.random() < 0.003 else max(0, silent - 1)
            if silent:
                continue
            self.steps[start] = dice.choice((0.0, 0.25, 1.5, dice.random()))
            total += self.steps[start]
            known, mean = dice.choice((1.0, 1.0, 0.5)), dice.uniform(-5, 5)
            rows["m"].append((start, Row(mean, None, mean - dice.random(), mean + 1, coverage=known)))
            rows["a"].append((start, Row(dice.uniform(0, 360), 300 * known, coverage=known)))
            rows["e"].append(
                (start, Row(state=total, sum=total, sum_increase=total, sum_decrease=0.0, coverage=known))
            )
        with self.rig.store.transaction():
            for key, found in rows.items():
                self.keep(key, found)

    def keep(self, key: str, rows: list[tuple[int, Row]]) -> None:
        """Store 5-minute rows since CUT, and the hours that are over."""
        number, put = self.numbers[key], self.rig.store.statistics.put
        put(Table.FIVE_MINUTES, [StoredRow(number, start, row, 0) for start, row in rows if start >= CUT])
        kind = {"m": "measurement", "a": "measurement_angle", "e": "total_increasing"}[key]
        hours = []
        for hour, of_hour in groupby(rows, lambda pair: hour_of(pair[0])):
            whole = hourly([row for _, row in of_hour], kind)
            if whole is not None and hour + HOUR <= NOW:
                hours.append(StoredRow(number, hour, whole, 0))
        put(Table.HOUR, hours)

    def sum_at(self, ts: int) -> float:
        """The sum at a 5-minute border: before CUT an hour's steps are spread evenly over it."""
        hour = hour_of(ts)
        if ts >= CUT:
            return sum(step for start, step in self.steps.items() if start < ts)
        inside = sum(self.steps.get(start, 0.0) for start in range(hour, hour + HOUR, MINUTES_5))
        before = sum(step for start, step in self.steps.items() if start < hour)
        return before + inside * (ts - hour) / HOUR


ZONES = (
    *("Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Australia/Lord_Howe"),
    *("Europe/Berlin", "America/Santiago", "Africa/Cairo", "UTC"),
)
TYPES = ["change", "mean", "min", "max", "coverage", "min_at", "max_at"]
HALF = HOUR // 2


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept") / "x.db")


def lines(
    rig: AskingRig, key: str, period: str, start: int, *, end: int = NOW, zone: str = "UTC"
) -> list[Json]:
    asked: dict[str, Any] = {"entities": [f"van.{key}"], "period": period, "time_zone": zone, "types": TYPES}
    pages = rig.pages("statistics", **asked, start=start, end=end)
    return [line for page in pages for line in page["rows"].get(f"van.{key}", ())]


def close(one: Json, other: Json) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert other[name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-6)), name


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(["m", "a", "e"]),
    where=st.tuples(st.sampled_from(["day", "week", "month", "year", "lifetime"]), st.sampled_from(ZONES)),
    start=st.integers(FIRST - 3 * DAY, NOW) | st.integers(CUT - DAY, NOW),
    days=st.integers(1, 12),
)
def test_both_verbs_say_the_same(kept: Kept, key: str, where: tuple[str, str], start: int, days: int) -> None:
    period, zone = where
    for line in lines(kept.rig, key, period, start, end=start + days * DAY, zone=zone):
        whole = {"start": line["start"], "end": line["end"]}
        other = kept.rig.data("statistic", entity=f"van.{key}", fixed_period=whole, types=TYPES)
        close(
            {name: line[name] for name in TYPES if name in line}, {n: other[n] for n in TYPES if n in other}
        )
        assert 0 <= line["coverage"] <= 1


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("period", ["day", "week", "month", "year"])
def test_the_running_period_is_the_calendars(kept: Kept, zone: str, period: str) -> None:
    for key in ("m", "a", "e"):
        (line,) = lines(kept.rig, key, period, NOW - 1, zone=zone)
        asked = {"calendar": {"period": period}, "time_zone": zone, "types": TYPES}
        other = kept.rig.data("statistic", entity=f"van.{key}", **asked)
        close({n: line[n] for n in TYPES if n in line}, {n: other[n] for n in TYPES if n in other})


@pytest.mark.parametrize("zone", ZONES)
def test_the_parts_are_the_whole(kept: Kept, zone: str) -> None:
    days = lines(kept.rig, "e", "day", FIRST, zone=zone)
    for line in days[:5] + days[-12:]:
        start, end = from_iso(line["start"]), min(from_iso(line["end"]), NOW)
        assert line["change"] == pytest.approx(kept.sum_at(end) - kept.sum_at(start), abs=1e-6)
    assert sum(line["change"] for line in days) == pytest.approx(kept.sum_at(NOW), abs=1e-6)
    for period in ("week", "month", "year", "lifetime"):
        whole = lines(kept.rig, "e", period, FIRST, zone=zone)
        assert sum(line["change"] for line in whole) == pytest.approx(kept.sum_at(NOW), abs=1e-6)
    assert all(a["end"] <= b["start"] for a, b in pairwise(days))


@settings(max_examples=60, deadline=None)
@given(start=st.integers(FIRST, NOW), moves=st.lists(st.integers(1, 3 * DAY), min_size=1, max_size=6))
def test_ranges_that_meet_add_up_wherever_their_borders_are(kept: Kept, start: int, moves: list[int]) -> None:
    def change(since: int, until: int) -> float:
        found = kept.rig.data("statistic", entity="van.e", fixed_period={"start": since, "end": until})
        assert 0 <= found.get("coverage", 0) <= 1
        return float(found.get("change", 0.0))

    borders = [start]
    for move in moves:
        borders.append(borders[-1] + move)
    parts = [change(a, b) for a, b in pairwise(borders)]
    assert sum(parts) == pytest.approx(change(borders[0], borders[-1]), abs=1e-6)
    assert min(parts) > -1e-6


@pytest.fixture
def rig(tmp_path: Path) -> AskingRig:
    """An entity of each kind and no rows yet."""
    rig = AskingRig(tmp_path / "x.db", now=NOW)
    rig.about("van", m="measurement", e="total_increasing")
    rig.commit()
    rig.now = NOW
    return rig


def put(rig: AskingRig, key: str, table: Table, start: int, *rows: Row) -> None:
    """Store rows that follow one another."""
    number = {record.entity: record.id for record in rig.store.entities()}[key]
    length = HOUR if table is Table.HOUR else MINUTES_5
    rig.store.statistics.put(
        table, [StoredRow(number, start + n * length, row, 0) for n, row in enumerate(rows)]
    )


def total(value: float) -> Row:
    return Row(state=value, sum=value, sum_increase=value, sum_decrease=0.0, coverage=1.0)


@pytest.mark.parametrize(
    ("zone", "day", "long"),
    [
        ("Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 49 * HALF),
        ("Australia/Lord_Howe", "2025-10-05T00:00:00+10:30", 47 * HALF),
        ("Pacific/Chatham", "2026-04-05T00:00:00+13:45", 50 * HALF),
        ("America/St_Johns", "2026-03-08T00:00:00-03:30", 46 * HALF),
        ("Asia/Kathmandu", "2026-03-08T00:00:00+05:45", 48 * HALF),
        # Clocks skip the hour from midnight on.
        ("Africa/Cairo", "2025-04-25T01:00:00+03:00", 46 * HALF),
    ],
)
def test_days_of_any_length_are_covered_once(rig: AskingRig, zone: str, day: str, long: int) -> None:
    start = from_iso(day)
    first = start - start % HOUR - 30 * HOUR
    put(rig, "e", Table.HOUR, first, *(total(60.0 * n) for n in range(1, 100)))
    (line,) = lines(rig, "e", "day", start, end=start + 1, zone=zone)
    assert (from_iso(line["start"]), from_iso(line["end"])) == (start, start + long)
    assert (line["coverage"], line["change"]) == (1.0, pytest.approx(long / HOUR * 60))


def test_an_hour_without_its_rows_counts_on_both_sides(rig: AskingRig) -> None:
    midnight = from_iso("2026-01-10T18:15:00Z")
    hours = [Row(float(n), None, n - 1.0, n + 1.0, coverage=0.5) for n in range(3)]
    put(rig, "m", Table.HOUR, midnight - 75 * 60 * SECOND, *hours)
    before, after = lines(rig, "m", "day", midnight - HOUR, end=midnight + HOUR, zone="Asia/Kathmandu")
    # The hour 18:00 has the mean 1: 15 minutes of it are before midnight.
    assert before["mean"] == pytest.approx((0.0 * 60 + 1.0 * 15) / 75)
    assert after["mean"] == pytest.approx((1.0 * 45 + 2.0 * 60) / 105)
    assert (before["min"], before["max"], after["min"], after["max"]) == (-1.0, 2.0, 0.0, 3.0)
    # When it was is not known, but that it was not before the day.
    assert (before["max_at"], after["min_at"]) == ("2026-01-10T18:00:00.000Z", to_iso(midnight))
    assert before["coverage"] == pytest.approx(0.5 * 75 / 1440, abs=1e-6)
    assert after["coverage"] == pytest.approx(0.5 * 105 / 1440, abs=1e-6)


def test_five_minute_rows_say_on_which_side_it_was(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 24 * HOUR
    put(rig, "e", Table.FIVE_MINUTES, hour - MINUTES_5, *(total(5.0) for _ in range(7)))
    put(rig, "e", Table.FIVE_MINUTES, hour + HALF, *(total(65.0) for _ in range(6)))
    put(rig, "e", Table.HOUR, hour, total(65.0))

    def change(since: int, until: int) -> float:
        whole = {"start": since, "end": until}
        return float(rig.data("statistic", entity="van.e", fixed_period=whole)["change"])

    assert (change(hour, hour + HALF), change(hour + HALF, hour + HOUR)) == (0.0, 60.0)
    # Some of them are removed already: the rest is not the hour.
    rig.store.engine.run("DELETE FROM statistics_5minute WHERE start < ?", (hour + HALF,))
    assert (change(hour, hour + HALF), change(hour + HALF, hour + HOUR)) == (32.5, 32.5)


def test_steps_of_both_directions_are_shared(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 30 * DAY
    first = Row(state=1.0, sum=10.0, sum_increase=30.0, sum_decrease=20.0, coverage=1.0)
    put(rig, "e", Table.HOUR, hour, first, Row(None, None, None, None, 2.0, 6.0, 34.0, 28.0, coverage=1.0))
    types = ["change", "sum", "sum_increase", "sum_decrease", "state"]
    asked = {"entities": ["van.e"], "period": "lifetime", "types": types, "end": hour + HOUR + HALF // 2}
    (line,) = rig.data("statistics", **asked)["rows"]["van.e"]
    assert [line[name] for name in types] == [9.0, 9.0, 31.0, 22.0, 1.0]
    rest = {"start": hour + HOUR + HALF // 2, "end": hour + 2 * HOUR}
    (line,) = rig.data("statistics", **{**asked, **rest})["rows"]["van.e"]
    assert [line[name] for name in types] == [-3.0, 6.0, 34.0, 28.0, 2.0]


def test_nothing_is_known_longer_than_it_lasted(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 30 * DAY
    put(rig, "m", Table.HOUR, hour, Row(1.0, coverage=1.2))
    (line,) = lines(rig, "m", "lifetime", hour)
    assert line["coverage"] == 1.0


def test_what_nobody_knows_is_no_coverage(rig: AskingRig) -> None:
    (sql,) = rig.store.engine.one("SELECT sql FROM sqlite_master WHERE name = 'statistics_hour'") or ("",)
    rig.store.engine.run("DROP TABLE statistics_hour")
    rig.store.engine.run(str(sql).replace('"coverage" REAL NOT NULL', '"coverage" REAL'))
    hour = NOW - NOW % DAY - 30 * DAY
    put(rig, "m", Table.HOUR, hour, Row(1.0, coverage=None), Row(2.0, coverage=None))
    (day,) = lines(rig, "m", "day", hour, end=hour + DAY)
    assert (day["mean"], "coverage" in day) == (1.5, False)
    put(rig, "m", Table.HOUR, hour + 2 * HOUR, Row(3.0, coverage=0.5))
    (day,) = lines(rig, "m", "day", hour, end=hour + DAY, zone="Asia/Kolkata")
    assert (day["mean"], day["coverage"]) == (2.0, pytest.approx(0.5 / 24, abs=1e-6))


def five_minute_changes(rig: AskingRig, start: int) -> list[float]:
    return [line["change"] for line in lines(rig, "e", "5minute", start)]


def test_the_first_change_after_an_import_is_the_change(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 5 * HOUR
    put(rig, "e", Table.FIVE_MINUTES, hour, total(5000.0), total(5001.0))
    assert five_minute_changes(rig, 0) == [5000.0, 1.0]
    put(rig, "e", Table.HOUR, hour - 3 * HOUR, total(4000.0), total(4990.0))
    assert five_minute_changes(rig, 0) == [10.0, 1.0]
    assert five_minute_changes(rig, hour + MINUTES_5) == [1.0]


def test_the_first_change_after_a_silence_is_that_since_the_last_hour(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 50 * HOUR
    put(rig, "e", Table.FIVE_MINUTES, hour, total(10.0), total(11.0))
    put(rig, "e", Table.FIVE_MINUTES, hour + 40 * HOUR, total(95.0), total(97.0))
    put(rig, "e", Table.HOUR, hour, total(11.0))
    assert five_minute_changes(rig, hour) == [10.0, 1.0, 84.0, 2.0]
    put(rig, "e", Table.HOUR, hour + 20 * HOUR, total(90.0))
    assert five_minute_changes(rig, hour) == [10.0, 1.0, 5.0, 2.0]
    assert five_minute_changes(rig, hour + HOUR) == [5.0, 2.0]
    # Whatever came since the hour: a row of five minutes that ends later counts.
    put(rig, "e", Table.FIVE_MINUTES, hour + 30 * HOUR, total(94.0))
    assert five_minute_changes(rig, hour + 31 * HOUR) == [1.0, 2.0]


def test_of_two_rows_that_end_together_each_period_has_its_own(rig: AskingRig) -> None:
    hour = NOW - NOW % HOUR - 5 * HOUR
    put(rig, "e", Table.FIVE_MINUTES, hour + HOUR - MINUTES_5, total(10.0), total(11.0))
    put(rig, "e", Table.HOUR, hour, total(4000.0), total(4003.0))
    assert five_minute_changes(rig, hour + HOUR) == [1.0]
    assert [line["change"] for line in lines(rig, "e", "hour", hour + HOUR)] == [3.0]


def test_directions_are_shared_by_weight_and_time(rig: AskingRig) -> None:
    rig.about("van", m="measurement_angle")
    hour = NOW - NOW % HOUR - 30 * DAY
    put(rig, "m", Table.HOUR, hour, Row(0.0, 3600.0, coverage=1.0), Row(90.0, 1800.0, coverage=1.0))
    whole = lines(rig, "m", "lifetime", hour)[0]["mean"]
    assert whole == pytest.approx(math.degrees(math.atan2(1, 2)))
    part = lines(rig, "m", "lifetime", hour + HALF)[0]["mean"]
    assert part == pytest.approx(45.0)


def test_the_last_sum_counts_where_rows_without_one_follow(rig: AskingRig) -> None:
    hour = NOW - NOW % DAY - 30 * DAY
    put(rig, "e", Table.HOUR, hour, total(2.0), total(7.0), Row(mean=1.0, coverage=1.0))
    (line,) = lines(rig, "e", "day", hour, end=hour + DAY)
    assert (line["change"], line["mean"]) == (7.0, 1.0)


def test_rows_ahead_of_a_clock_that_went_back_are_there(rig: AskingRig) -> None:
    hour = NOW - NOW % DAY - 5 * HOUR
    put(rig, "e", Table.HOUR, hour, *(total(float(n)) for n in range(1, 6)))
    rig.now = hour + HOUR
    (line,) = lines(rig, "e", "day", hour)
    assert (line["change"], line["coverage"]) == (5.0, pytest.approx(5 / 24, abs=1e-6))


def test_sums_beyond_all_numbers_are_absent(rig: AskingRig) -> None:
    hour = NOW - NOW % DAY - 30 * DAY
    put(rig, "m", Table.HOUR, hour, Row(1e308), Row(1e308))
    put(rig, "e", Table.HOUR, hour, total(-1e308), total(1e308))
    (mean,) = lines(rig, "m", "day", hour, end=hour + DAY)
    assert "mean" not in mean
    whole = {"start": hour + HOUR, "end": hour + 2 * HOUR}
    assert "change" not in rig.data("statistic", entity="van.e", fixed_period=whole)


def test_a_silent_year_is_passed_over(rig: AskingRig) -> None:
    put(rig, "e", Table.HOUR, FIRST - 400 * DAY, total(1.0))
    put(rig, "e", Table.HOUR, FIRST, total(3.0))
    days = lines(rig, "e", "day", 0, zone="Asia/Kolkata")
    assert [(line["start"], line["change"]) for line in days] == [
        (to_iso(FIRST - 400 * DAY - 11 * HALF), 1.0),
        (to_iso(FIRST - 11 * HALF), 2.0),
    ]


def test_the_running_hour_counts_as_far_as_it_is_compiled(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", e="total_increasing")
    began = rig.now
    for n in range(100):
        rig.reading("van", {"e": float(n)})
        rig.run_until(rig.now + 60 * SECOND)
    rig.run_until(rig.now + 30 * SECOND)
    newest = rig.rows("e")[-1]
    assert (newest.start, rig.rows("e", Table.HOUR)[-1].start) == (began + 95 * 60 * SECOND, began)
    # The data begin at midnight there.
    asked = {"entities": ["van.e"], "time_zone": "Etc/GMT-12", "types": ["sum", "change", "coverage"]}
    for period in ("day", "lifetime"):
        (line,) = rig.data("statistics", **asked, period=period)["rows"]["van.e"]
        assert (line["sum"], line["change"], line["coverage"]) == (newest.row.sum, newest.row.sum, 1.0)
    hours = rig.data("statistics", **asked, period="hour")["rows"]["van.e"]
    assert [line["start"] for line in hours] == [to_iso(began)]
