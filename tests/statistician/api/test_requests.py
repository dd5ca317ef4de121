"""Requests through the whole service: histories, statistics, pages, and everything that is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.commands import Code
from bus.messages import from_iso, to_iso
from statistician.arithmetic import DAY, HOUR
from statistician.arithmetic.algorithm import Row
from statistician.records import StoredRow, Table
from tests.statistician.rig import MINUTE, SECOND, START, AskingRig, Json


@pytest.fixture(scope="module")
def van(tmp_path_factory: pytest.TempPathFactory) -> AskingRig:
    """Three hours of a van, a reading each 20 s; it is only asked."""
    rig = AskingRig(tmp_path_factory.mktemp("van") / "x.db")
    rig.about("van", voltage="measurement", energy="total_increasing", mode=None, silent="measurement")
    for n in range(540):
        known = None if 100 <= n < 130 else 12 + n % 10 / 10
        rig.reading("van", {"voltage": known, "energy": float(n), "mode": "on" if n % 2 else "off"})
        rig.run_until(rig.now + 20 * SECOND)
    rig.run_until(rig.now + 15 * SECOND)
    return rig


def states(rig: AskingRig, key: str) -> list[tuple[str, Json]]:
    """What is stored of an entity of the van."""
    (number,) = [e.id for e in rig.store.entities() if e.entity == key]
    return [(to_iso(s.ts), s.value) for s in rig.store.states.between(0, None, {number})]


def rows(pages: list[Json]) -> list[tuple[str, Json]]:
    return [tuple(row) for page in pages for row in page["rows"]]


def test_a_history_is_complete_over_its_pages(van: AskingRig) -> None:
    pages = van.pages("history", entity="van.mode", start=0)
    assert rows(pages) == states(van, "mode")
    assert len(states(van, "mode")) == 540
    assert pages[0]["columns"] == ["ts", "value"]


def test_the_newest_come_first_without_a_range(van: AskingRig) -> None:
    newest = states(van, "energy")[::-1]
    assert rows(van.pages("history", entity="van/energy")) == newest[:100]
    assert rows(van.pages("history", entity="van/energy", limit=3)) == newest[:3]
    assert rows(van.pages("history", entity="van/energy", limit=10_000)) == newest


def test_long_histories_come_in_pages_either_way(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    for n in range(3000):
        rig.reading("van", {"mode": f"{n}"}, ts=START + n * SECOND)
    rig.now = START + HOUR
    rig.commit()
    forwards = rig.pages("history", entity="van.mode", start=START, end=START + DAY)
    assert len(forwards) > 1
    assert rows(forwards) == states(rig, "mode")
    backwards = rig.pages("history", entity="van.mode", limit=2500)
    assert len(backwards) > 1
    assert rows(backwards) == states(rig, "mode")[:-2501:-1]
    limited = rig.pages("history", entity="van.mode", start=START, limit=2500)
    assert rows(limited) == states(rig, "mode")[:2500]
    late = rig.ask("history", entity="van.mode", start=START)
    rig.reading("van", {"mode": "new"}, ts=START + 500)
    rig.commit()
    rest = rig.pages("history", entity="van.mode", start=START, cursor=late["next"])
    assert rows([late["data"], *rest]) == [s for s in states(rig, "mode") if s[1] != "new"]


def test_a_range_includes_its_start_and_not_its_end(van: AskingRig) -> None:
    found = van.data(
        "history", entity="van.energy", start=to_iso(START + 40 * SECOND), end=START + 80 * SECOND
    )
    assert found["rows"] == [[to_iso(START + 40 * SECOND), 2.0], [to_iso(START + 60 * SECOND), 3.0]]


def test_buckets_keep_extremes_and_nulls(van: AskingRig) -> None:
    found = van.data("history", entity="van.voltage", start=START, end=START + 3 * HOUR, points=180)
    assert found["columns"] == ["start", "mean", "min", "max"]
    assert [row[0] for row in found["rows"]] == [to_iso(START + n * MINUTE) for n in range(180)]
    # 12.0, 12.1 and 12.2, each for 20 s.
    assert found["rows"][0][1:] == [pytest.approx(12.1), 12.0, 12.2]
    # Unknown from 33:20 to 43:20.
    assert found["rows"][38][1:] == [None, None, None]
    assert found["rows"][50][1] is not None
    whole = van.data("history", entity="van.voltage", start=START, end=START + 3 * HOUR, points=1)["rows"]
    assert whole[0][2:] == [12.0, 12.9]


def test_a_state_holds_through_the_buckets_until_the_next(van: AskingRig) -> None:
    found = van.data("history", entity="van.voltage", start=START, end=START + MINUTE, points=6)["rows"]
    assert [row[1:] for row in found] == [[v, v, v] for v in (12.0, 12.0, 12.1, 12.1, 12.2, 12.2)]


def test_latest_is_ahead_of_the_disk(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", level=None, gone=None)
    rig.commit()
    rig.reading("van", {"level": 1.5})
    (gone, level) = rig.data("latest")
    assert (gone["value"], gone["ts"], level["value"]) == (None, None, 1.5)
    assert states(rig, "level") == []
    assert [one["entity"] for one in rig.data("entities")] == ["van.gone", "van.level"]


def test_all_rows_of_all_entities_once(van: AskingRig) -> None:
    for period, table in (("5minute", Table.FIVE_MINUTES), ("hour", Table.HOUR)):
        pages = van.pages("statistics", entities=["van.voltage", "van.energy"], period=period, start=START)
        for key in ("voltage", "energy"):
            found = [row for page in pages for row in page["rows"].get(f"van.{key}", ())]
            assert [row["start"] for row in found] == [to_iso(row.start) for row in van.rows(key, table)]
        changes = [row["change"] for page in pages for row in page["rows"].get("van.energy", ())]
        assert sum(changes) == van.rows("energy", table)[-1].row.sum


@pytest.fixture
def year(tmp_path: Path) -> AskingRig:
    """Hourly rows of 2026 as if imported: a counter that grows by 1 each hour, its mean the hour's number."""
    rig = AskingRig(tmp_path / "x.db", now=from_iso("2026-12-31T00:00:00Z"))
    rig.about("van", energy="total_increasing", other="total_increasing")
    rig.commit()
    number = {e.entity: e.id for e in rig.store.entities()}
    first = from_iso("2026-01-01T00:00:00Z")
    with rig.store.transaction():
        for key in ("energy", "other"):
            rig.store.statistics.put(
                Table.HOUR,
                [
                    StoredRow(
                        number[key], first + n * HOUR, Row(mean=n, state=n, sum=n + 1.0, coverage=1.0), 0
                    )
                    for n in range(364 * 24)
                ],
            )
    return rig


@pytest.mark.parametrize(
    ("day", "after", "hours"),
    [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25), ("2026-06-01", "2026-06-02", 24)],
)
def test_a_day_has_its_hours(year: AskingRig, day: str, after: str, hours: int) -> None:
    offsets = {"2026-03-29": ("+01:00", "+02:00"), "2026-10-25": ("+02:00", "+01:00")}
    before, behind = offsets.get(day, ("+02:00", "+02:00"))
    start, end = f"{day}T00:00:00{before}", f"{after}T00:00:00{behind}"
    found = year.data(
        "statistics", entities=["van.energy"], period="day", start=start, end=end, time_zone="Europe/Berlin"
    )["rows"]["van.energy"]
    (row,) = found
    assert (from_iso(row["start"]), from_iso(row["end"])) == (from_iso(start), from_iso(end))
    assert (row["change"], row["coverage"]) == (float(hours), 1.0)


def test_days_in_pages_are_those_of_one_answer(year: AskingRig) -> None:
    asked = {"entities": ["van.energy", "van.other"], "period": "day", "time_zone": "Europe/Berlin"}
    pages = year.pages("statistics", **asked)
    assert len(pages) > 2
    for name in asked["entities"]:
        found = [row for page in pages for row in page["rows"].get(name, ())]
        assert len(found) == 365, "the first hour of 2026 in Berlin is of 2025's last day in UTC, and so on"
        assert [a["end"] for a in found[:-1]] == [b["start"] for b in found[1:]]
        assert sum(row["change"] for row in found) == 364 * 24
        assert {row["change"] for row in found[1:-1]} == {23.0, 24.0, 25.0}


def test_months_years_and_a_lifetime(year: AskingRig) -> None:
    def ask(period: str) -> list[Json]:
        found: list[Json] = year.data("statistics", entities=["van.energy"], period=period, time_zone="UTC")[
            "rows"
        ]["van.energy"]
        return found

    assert [row["change"] for row in ask("month")[:3]] == [31 * 24.0, 28 * 24.0, 31 * 24.0]
    (one,) = ask("year")
    assert (one["change"], one["mean"], one["end"]) == (8736.0, 4367.5, "2027-01-01T00:00:00.000Z")
    (all_of_it,) = ask("lifetime")
    assert (all_of_it["start"], all_of_it["end"]) == ("2026-01-01T00:00:00.000Z", "2026-12-31T00:00:00.000Z")
    assert all_of_it["coverage"] == 1.0


def test_calendar_and_rolling_ranges(year: AskingRig) -> None:
    def change(**which: Json) -> float:
        found: float = year.data("statistic", entity="van.energy", time_zone="Europe/Berlin", **which)[
            "change"
        ]
        return found

    # It is 01:00 on 31 December in Berlin.
    assert change(calendar={"period": "day"}) == 1.0
    assert change(calendar={"period": "day", "offset": -1}) == 24.0
    assert change(calendar={"period": "month", "offset": -9}) == 31 * 24 - 1
    assert change(calendar={"period": "month", "offset": -2}) == 31 * 24 + 1
    assert change(calendar={"period": "hour", "offset": -1}) == 1.0
    assert change(rolling_window={"duration": 7200}) == 2.0
    assert change(rolling_window={"duration": 7200, "offset": -86400}) == 2.0


V = {"entity": "van.voltage"}
S = {"entities": ["van.voltage"]}
BAD: list[tuple[str, dict[str, Any], Code, str]] = [
    ("history", {}, Code.INVALID, "entity: this field is needed"),
    ("history", {"entity": 1}, Code.INVALID, "entity: "),
    (
        "history",
        {"entity": "van.none"},
        Code.NOT_FOUND,
        "entity: there is no entity 'van.none'; van has van.",
    ),
    ("history", {"entity": "none.none"}, Code.NOT_FOUND, "the verb entities lists all"),
    ("history", {"entity": "vanvoltage"}, Code.NOT_FOUND, "entity: "),
    ("history", V | {"start": "yesterday"}, Code.INVALID, "start: "),
    ("history", V | {"start": "2026-11-21T06:00:00"}, Code.INVALID, "start: "),
    ("history", V | {"start": "0001-01-01T00:00:00+23:00"}, Code.INVALID, "start: "),
    ("history", V | {"start": -1}, Code.INVALID, "start: "),
    ("history", V | {"end": 10**30}, Code.INVALID, "end: "),
    ("history", V | {"start": 1000, "end": 1000}, Code.INVALID, "start: it must be before end"),
    ("history", V | {"limit": 0}, Code.INVALID, "limit: "),
    ("history", V | {"points": 0}, Code.INVALID, "points: "),
    ("history", V | {"points": 5, "limit": 5}, Code.INVALID, "limit: "),
    ("history", V | {"points": 5, "start": "2030-01-01T00:00:00Z"}, Code.INVALID, "start: "),
    (
        "history",
        V | {"colour": "red"},
        Code.INVALID,
        "colour: there is no such field; allowed are entity, st",
    ),
    ("statistics", {"entities": []}, Code.INVALID, "entities: "),
    ("statistics", {"entities": "van.voltage"}, Code.INVALID, "entities: "),
    ("statistics", {"entities": ["van.none"]}, Code.NOT_FOUND, "entities: "),
    ("statistics", S | {"period": "minute"}, Code.INVALID, "period: "),
    ("statistics", S | {"types": []}, Code.INVALID, "types: "),
    ("statistics", S | {"types": ["median"]}, Code.INVALID, "allowed are change, coverage"),
    ("statistics", S | {"time_zone": "Europe/Nowhere"}, Code.INVALID, "time_zone: "),
    ("statistics", S | {"time_zone": "../../etc/passwd"}, Code.INVALID, "time_zone: "),
    ("statistics", S | {"time_zone": "Europe"}, Code.INVALID, "time_zone: "),
    ("statistics", S | {"units": {"energy": "V"}}, Code.INVALID, "units.energy: "),
    ("statistics", S | {"units": {"love": "V"}}, Code.INVALID, "units: there is no class 'love'"),
    ("statistic", V, Code.INVALID, "exactly one"),
    ("statistic", V | {"fixed_period": {}, "calendar": {"period": "day"}}, Code.INVALID, "exactly one"),
    ("statistic", V | {"calendar": {"period": "decade"}}, Code.INVALID, "calendar.period: "),
    ("statistic", V | {"calendar": {"period": "year", "offset": 99_999}}, Code.INVALID, "calendar.offset: "),
    ("statistic", V | {"rolling_window": {"duration": 0}}, Code.INVALID, "rolling_window.duration: "),
    ("statistic", V | {"fixed_period": {"start": 5, "end": 4}}, Code.INVALID, "fixed_period.start: "),
    ("metadata", {"statistic_type": "both"}, Code.INVALID, "statistic_type: "),
    ("entities", {"device": "none"}, Code.NOT_FOUND, "device: "),
    ("latest", V | {"device": "van"}, Code.INVALID, "device: "),
    ("outliers", V | {"threshold": 0}, Code.INVALID, "threshold: "),
    ("info", {"all": True}, Code.INVALID, "all: "),
    ("undo", {"fix": 99}, Code.NOT_FOUND, "there is no fix 99"),
    ("adjust_sum", {"entity": "van.none", "start": 1, "adjustment": 1}, Code.NOT_FOUND, "entity: "),
    ("drop", {}, Code.NOT_FOUND, "there are accept_reading, adjust_sum, backup, "),
]


@pytest.mark.parametrize(("verb", "params", "code", "text"), BAD)
def test_what_is_refused(van: AskingRig, verb: str, params: dict[str, Any], code: Code, text: str) -> None:
    before = van.dump()
    assert van.refusal(verb, **params)[0] == code
    assert text in van.refusal(verb, **params)[1]
    assert van.dump() == before


def test_ranges_that_are_too_long_are_refused(year: AskingRig) -> None:
    number = {e.entity: e.id for e in year.store.entities()}["energy"]
    old = [StoredRow(number, n * HOUR, Row(mean=0.0), 0) for n in (0, 50 * 24 * 365)]
    year.store.statistics.put(Table.HOUR, old)
    code, text = year.refusal("statistics", entities=["van.energy"], period="hour", start=0)
    assert (code, text[:7]) == (Code.LIMIT, "start: ")
    assert (
        len(year.data("statistics", entities=["van.energy"], period="year", start=0)["rows"]["van.energy"])
        > 2
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
likely = st.sampled_from(
    [
        "van.voltage",
        "van.energy",
        "day",
        "2026-11-23T12:00:00Z",
        "Europe/Berlin",
        START,
        10,
        ["van.energy"],
        {},
    ]
)
keys = st.sampled_from(
    [
        "entity",
        "entities",
        "start",
        "end",
        "limit",
        "points",
        "period",
        "types",
        "units",
        "time_zone",
        "fixed_period",
        "calendar",
        "rolling_window",
        "threshold",
        "cursor",
        "id",
        "device",
        "statistic_type",
    ]
)
bodies = st.dictionaries(keys, likely | json_values, max_size=4).map(msgspec.json.encode)
READING = (
    "info",
    "entities",
    "latest",
    "history",
    "statistics",
    "statistic",
    "metadata",
    "validate",
    "outliers",
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(READING), payload=st.binary(max_size=60) | bodies)
def test_garbage_is_answered_and_changes_nothing(van: AskingRig, verb: str, payload: bytes) -> None:
    changes = van.store.engine.one("SELECT total_changes()")
    answer = msgspec.json.decode(van.raw(verb, payload).payload)
    assert answer["status"] in ("ok", "error")
    assert van.store.engine.one("SELECT total_changes()") == changes


def test_a_request_in_the_queue_does_not_hold_up_a_commit(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", voltage="measurement")
    for _ in range(7):
        rig.send("history", b'{"entity":"van.voltage"}')
    mid = rig.reading("van", {"voltage": 1.0})
    rig.now += 6 * SECOND
    rig.service.tick(rig.now / 1000)
    assert mid in rig.notes.acknowledged
    assert len(rig.answers.published) <= 1, "one query at a time"
    rig.settle()
    assert len(rig.answers.published) == 7


def test_a_request_is_acknowledged_at_once_and_is_no_data(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    rig.send("info", b"garbage")
    rig.send("info", b"{}", retain=True)
    assert rig.notes.acknowledged == [1, 2]
    rig.commit()
    assert rig.dead_letters() == []
    assert len(rig.answers.published) == 1


def test_a_name_and_a_time_are_refused_in_one_way_by_all_verbs(van: AskingRig) -> None:
    for name in ("nonsense", "van", "van.", ".van", "van.nothing", "van/nothing", "nobody.voltage"):
        found = van.refusal("history", entity=name)
        assert found[0] is Code.NOT_FOUND
        assert van.refusal("adjust_sum", entity=name, start=START, adjustment=1) == found, name
        assert van.refusal("entity_rename", entity=name, to="van.other") == found, name
    for moment in ("yesterday", "1969-12-31T23:59:59Z", "3001-01-01T00:00:00Z"):
        found = van.refusal("history", entity="van.voltage", start=moment)
        assert found[0] is Code.INVALID
        assert van.refusal("adjust_sum", entity="van.voltage", start=moment, adjustment=1) == found, moment
        assert van.refusal("recompile", start=moment) == found, moment
    for verb, more in (("latest", {}), ("device_rename", {"to": "other"}), ("device_replaced", {})):
        code, text = van.refusal(verb, device="nobody", **more)
        assert (code, text) == (
            Code.NOT_FOUND,
            "device: there is no device 'nobody'; the verb entities lists all",
        ), verb
