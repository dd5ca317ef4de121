"""What a client could not tell: when an extreme was, which period was best, when a value was last heard."""

from pathlib import Path
from typing import Any

import pytest

from bus.about import About, Entity
from bus.about import encode as encode_about
from bus.commands import Code
from bus.messages import from_iso, to_iso
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.records import StoredRow, Table
from tests.statistician.requests_rig import AskingRig, Json
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS

NOW = from_iso("2026-12-31T00:00:00Z")
FIRST = from_iso("2026-01-01T00:00:00Z")


def test_heard_is_when_a_value_last_came(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", level=None, never=None)
    rig.commit()
    began = rig.now
    for value in (1.0, 2.0, 2.0, 2.0):
        rig.reading("van", {"level": value})
        rig.now += 20 * SECOND
    for verb, changed in (("latest", "ts"), ("entities", "last_state")):
        level, never = rig.data(verb, device="van")
        assert (level[changed], level["heard"]) == (to_iso(began + 20 * SECOND), to_iso(began + 60 * SECOND))
        assert (never[changed], never["heard"]) == (None, None)
    rig.commit()
    rig.close()
    rig.start()
    (level,) = rig.data("latest", entity="van.level")
    assert level["heard"] == to_iso(began + 60 * SECOND), "a restart knows it, too"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> AskingRig:
    """Three hours of a temperature in °C that is shown in °F since the second; 4.0 first at 1:02:40."""
    rig = AskingRig(tmp_path_factory.mktemp("warm") / "x.db")

    def about(unit: str) -> None:
        found = Entity(name="t", unit=unit, device_class="temperature", state_class="measurement")
        rig.message(TOPICS.about("van"), encode_about(About(name="van", entities={"t": found})))

    about("°C")
    for n in range(9 * 60):
        if n == 2 * 180:
            about("°F")
        value = {188: 4.0, 200: 4.0, 201: -3.0, 500: 4.0}.get(n, 1.0 + n % 10 / 10)
        rig.reading("van", {"t": value if n < 360 else value * 9 / 5 + 32})
        rig.run_until(rig.now + 20 * SECOND)
    rig.run_until(rig.now + 15 * SECOND)
    return rig


def extremes(rig: AskingRig, start: int, end: int) -> tuple[Json, Json]:
    whole = {"start": start, "end": end}
    found = rig.data("statistic", entity="van.t", fixed_period=whole, types=["min_at", "max_at"])
    assert set(found) == {"entity", "unit", "start", "end", "min_at", "max_at"}
    return found["min_at"], found["max_at"]


def test_an_extreme_is_told_to_its_state(warm: AskingRig) -> None:
    first = to_iso(START + 188 * 20 * SECOND)
    low = to_iso(START + 201 * 20 * SECOND)
    assert extremes(warm, START, START + 3 * HOUR) == (low, first)
    # The later one was said in °F, the rows are in °C.
    late = to_iso(START + 500 * 20 * SECOND)
    assert extremes(warm, START + 2 * HOUR, START + 3 * HOUR)[1] == late
    # From the middle of an hour on.
    second = to_iso(START + 200 * 20 * SECOND)
    assert extremes(warm, START + 65 * MINUTE, START + 2 * HOUR) == (low, second)
    # 4.0 still holds when the period begins in which it ends.
    asked = {"entities": ["van.t"], "period": "5minute", "start": START + 65 * MINUTE, "types": ["max_at"]}
    line = warm.data("statistics", **asked, end=START + 70 * MINUTE)["rows"]["van.t"][0]
    assert line["max_at"] == second


def test_an_extreme_that_was_carried_in_is_the_periods_start(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", t="measurement")
    for minute in range(15):
        rig.reading("van", {"t": 9.0 if minute < 7 else 1.0})
        rig.run_until(rig.now + MINUTE)
    rig.run_until(rig.now + MINUTE)
    assert extremes(rig, START + MINUTES_5, START + 2 * MINUTES_5) == (
        to_iso(START + 7 * MINUTE),
        to_iso(START + MINUTES_5),
    )


def test_an_extreme_is_told_only_where_it_is_named(warm: AskingRig) -> None:
    (line,) = warm.data("statistics", entities=["van.t"], period="day")["rows"]["van.t"]
    assert {"min", "max", "mean", "coverage"} <= set(line)
    assert not {"min_at", "max_at"} & set(line)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> AskingRig:
    """Hourly rows of 2026: 3 kWh at noon of every odd day of the month, in May four times as much."""
    rig = AskingRig(tmp_path_factory.mktemp("year") / "x.db", now=NOW)
    entity = Entity(name="e", unit="kWh", device_class="energy", state_class="total_increasing")
    level = Entity(name="m", state_class="measurement")
    rig.message(TOPICS.about("van"), encode_about(About(name="van", entities={"e": entity, "m": level})))
    rig.commit()
    number = {record.entity: record.id for record in rig.store.entities()}
    total, rows, levels = 0.0, [], []
    for start in range(FIRST, NOW, HOUR):
        day, month = int(to_iso(start)[8:10]), int(to_iso(start)[5:7])
        total += (12.0 if month == 5 else 3.0) * (day % 2) * (start % DAY == 12 * HOUR)
        rows.append(StoredRow(number["e"], start, Row(state=total, sum=total, coverage=1.0), 0))
        value = float((start - FIRST) // HOUR)
        levels.append(StoredRow(number["m"], start, Row(value, None, value, value + 1, coverage=1.0), 0))
    rig.store.statistics.put(Table.HOUR, rows)
    rig.store.statistics.put(Table.HOUR, levels)
    return rig


def ranked(rig: AskingRig, period: str, **asked: Json) -> tuple[list[Json], int]:
    found = rig.data("statistics", entities=["van.e"], period=period, time_zone="UTC", **asked)
    return found["rows"].get("van.e", []), found["count"]["van.e"]


def test_the_best_and_the_worst(year: AskingRig) -> None:
    best, count = ranked(year, "month", order_by="change", limit=3, types=["change"])
    # 16 odd days in May, January and March, the earlier of equals first.
    assert [(line["start"][:7], line["change"]) for line in best] == [
        ("2026-05", 192.0),
        ("2026-01", 48.0),
        ("2026-03", 48.0),
    ]
    assert count == 12
    worst, _ = ranked(year, "month", order_by="change", descending=False, limit=1)
    assert (worst[0]["start"][:7], worst[0]["change"]) == ("2026-02", 42.0)
    (day,), _ = ranked(year, "day", order_by="change", limit=1)
    assert day["start"][:10] == "2026-05-01"
    assert len(ranked(year, "day", order_by="change")[0]) == 10


def test_days_above_a_threshold_are_counted_in_the_unit_asked_for(year: AskingRig) -> None:
    # All odd days but the 31st of December.
    assert ranked(year, "day", order_by="change", above=0, limit=0) == ([], 185)
    assert ranked(year, "day", order_by="change", above=3, limit=0)[1] == 16
    wh = {"order_by": "change", "limit": 0, "units": {"energy": "Wh"}}
    assert ranked(year, "day", above=11_999, **wh)[1] == 16
    assert ranked(year, "day", above=12_000, **wh)[1] == 0


def test_what_ranks_is_shown_and_what_is_absent_does_not_count(year: AskingRig) -> None:
    asked = {"entities": ["van.e", "van.m"], "period": "day", "order_by": "max", "types": ["max_at"]}
    found = year.data("statistics", **asked, limit=1, time_zone="UTC")
    assert found["count"] == {"van.e": 0, "van.m": 364}
    (line,) = found["rows"]["van.m"]
    assert (line["max"], line["max_at"]) == (364 * 24.0, "2026-12-30T23:00:00.000Z")


def test_ranks_come_in_pages(year: AskingRig) -> None:
    asked: dict[str, Any] = {"entities": ["van.m", "van.e"], "period": "hour", "order_by": "mean"}
    pages = year.pages("statistics", **asked, limit=1000)
    assert len(pages) > 2
    means = [line["mean"] for page in pages for line in page["rows"].get("van.m", ())]
    assert means == [364 * 24.0 - 1 - n for n in range(1000)]
    assert all(page["count"]["van.m"] == 364 * 24 for page in pages if "van.m" in page["rows"])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"limit": 5}, "limit: it goes with order_by"),
        ({"above": 5}, "above: it goes with order_by"),
        ({"descending": True}, "descending: it goes with order_by"),
        ({"order_by": "max_at"}, "order_by: "),
        ({"order_by": "change", "limit": 1001}, "limit: "),
        ({"order_by": "change", "above": "much"}, "above: "),
    ],
)
def test_what_does_not_rank_is_refused(year: AskingRig, asked: dict[str, Json], text: str) -> None:
    code, said = year.refusal("statistics", entities=["van.e"], **asked)
    assert (code, said[: len(text)]) == (Code.INVALID, text)
