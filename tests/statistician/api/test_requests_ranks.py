"""What a client could not tell: extremes, ranks, what was heard when; and what the recorder answered."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.about import About, Entity
from bus.about import encode as encode_about
from bus.commands import Code
from bus.messages import from_iso, to_iso
from statistician.api.rows import select
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import LiveEntity
from statistician.records import EntityRecord, StoredRow, Table
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, AskingRig, Json

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
    with rig.store.transaction():
        rig.store.statistics.put(Table.HOUR, rows + levels)
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


def test_a_lone_jump_is_an_outlier_and_a_lasting_one_is_not(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    for n in range(200):
        value = 500.0 if n == 50 else 20.0 + n % 3 if n < 100 else 80.0 + n % 3
        rig.reading("van", {"level": value, "flat": 1.0 + (n == 60)})
        rig.now += MINUTE
    rig.commit()
    (row,) = rig.data("outliers", entity="van.level")["rows"]
    assert (row[0], row[1]) == (to_iso(START + 50 * MINUTE), 500.0)
    assert (10 < row[2] < 20, 22 < row[3] < 40) == (True, True)
    assert rig.data("outliers", entity="van.level", threshold=1000)["rows"] == []
    assert rig.data("outliers", entity="van.level", end=START + 50 * MINUTE)["rows"] == []


def test_issues_are_named(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", a="measurement", b="measurement", c="measurement", d=None)
    for _ in range(20):
        rig.reading("van", {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
        rig.run_until(rig.now + MINUTE)
    assert rig.data("validate") == {}
    rig.about("van", a="measurement", b=None, c="measurement_angle", d=None)
    assert rig.data("validate") == {
        "van.b": [{"type": "state_class_removed"}],
        "van.c": [{"type": "mean_type_changed"}],
    }
    assert [one["entity"] for one in rig.data("metadata", statistic_type="mean")] == [
        "van.a",
        "van.b",
        "van.c",
    ]


def test_a_fix_and_its_undo_over_requests(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", energy="total_increasing")
    for n in range(70):
        rig.reading("van", {"energy": float(n)})
        rig.run_until(rig.now + MINUTE)
    asked = {"entity": "van.energy", "start": START, "adjustment": 100.0}
    before = rig.rows("energy", Table.HOUR)
    assert rig.data("adjust_sum", **asked, dry_run=True)["dry_run"]
    assert rig.rows("energy", Table.HOUR) == before
    number = rig.data("adjust_sum", **asked)["id"]
    assert rig.rows("energy", Table.HOUR)[0].row.sum == (before[0].row.sum or 0) + 100
    assert [one["id"] for one in rig.data("fixes")] == [number]
    rig.data("undo", fix=number)
    assert rig.rows("energy", Table.HOUR)[0].row.sum == before[0].row.sum


def test_differences_convert_without_the_zero_point() -> None:
    record = EntityRecord(id=1, device="van", entity="t", first=0, unit="°C", device_class="temperature")
    one = select(LiveEntity(record), None, {"temperature": "°F"})
    assert one.unit == "°F"
    assert one.value(100.0) == pytest.approx(212.0)
    assert one.difference(1.0) == pytest.approx(1.8)


FILE = Path(__file__).parent / "recorder_queries.json"
TABLES = {"5minute": Table.FIVE_MINUTES, "hour": Table.HOUR}


class Query(msgspec.Struct):
    """What the recorder was asked and what it answered; rows in the middle of long answers are left out."""

    query: dict[str, Any]
    result: dict[str, Any]


class Recorded(msgspec.Struct):
    """One scenario: units by entity, rows, queries."""

    units: dict[str, str]
    rows: list[tuple[str, str, str, float | None, float | None, float | None, float | None, float | None]]
    queries: list[Query]


RECORDED = msgspec.json.decode(FILE.read_bytes(), type=dict[str, Recorded])
CASES = [(name, query) for name, one in RECORDED.items() for query in one.queries]


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AskingRig]:
    found = {}
    for name, recorded in RECORDED.items():
        rig = found[name] = AskingRig(
            tmp_path_factory.mktemp("recorder") / "x.db", now=from_iso("2024-01-13T12:00:00Z")
        )
        entities = {
            key: Entity(name=key, unit=unit, state_class="measurement" if key == "m" else "total_increasing")
            for key, unit in recorded.units.items()
        }
        rig.message(TOPICS.about("sensor"), encode_about(About(name="x", entities=entities)))
        rig.commit()
        numbers = {record.entity: record.id for record in rig.store.entities()}
        rig.now = from_iso("2024-01-13T12:00:00Z")
        for key, period, start, mean, low, high, state, total in recorded.rows:
            row = Row(mean=mean, min=low, max=high, state=state, sum=total)
            rig.store.statistics.put(TABLES[period], [StoredRow(numbers[key], from_iso(start), row, 0)])
    return found


def same(ours: Json, theirs: Json) -> bool:
    """Numbers to nine digits, times at the same moment, all else equal."""
    if isinstance(theirs, dict):
        return set(ours) == set(theirs) and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, float):
        return bool(ours == pytest.approx(theirs, rel=1e-9, abs=1e-9))
    return bool(from_iso(ours) == from_iso(theirs))


def fixed(query: dict[str, Json]) -> dict[str, Json]:
    """The range of a query in our words."""
    named = {"start": query["start_time"], "end": query["end_time"]}
    return {key: value for key, value in named.items() if value is not None}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_as_the_recorder_answered(rigs: dict[str, AskingRig], name: str, case: Query) -> None:
    query, rig = case.query, rigs[name]
    units = {"units": query["units"]} if "units" in query else {}
    if query["fn"] == "statistic_during_period":
        types = ["mean", "min", "max", "change"]
        ours = rig.data(
            "statistic", entity=query["statistic_id"], fixed_period=fixed(query), types=types, **units
        )
        assert same({key: ours[key] for key in types if key in ours}, case.result)
        return
    known = [entity for entity in query["statistic_ids"] if entity != "sensor.none"]
    types = query.get("types", ["mean", "min", "max", "state", "sum", "change"])
    pages = rig.pages(
        "statistics",
        entities=known,
        period=query["period"],
        types=types,
        time_zone=query.get("time_zone", "UTC"),
        **fixed(query),
        **units,
    )
    for entity, theirs in case.result.items():
        rows = {row["start"]: row for page in pages for row in page["rows"].get(entity, [])}
        for row in theirs:
            if query["end_time"] is not None and row["start"] >= query["end_time"]:
                # On purpose: an end on the boundary adds no further day, the end is not included.
                assert to_iso(from_iso(row["start"])) not in rows
            else:
                assert same(rows[to_iso(from_iso(row["start"]))], row)
        if len(theirs) < 8 and query["period"] != "5minute":
            assert len(rows) == sum(
                query["end_time"] is None or row["start"] < query["end_time"] for row in theirs
            )
