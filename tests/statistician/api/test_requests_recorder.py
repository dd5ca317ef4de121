"""The recorder's own rows, asked for as it was: the same answers, but for what differs on purpose."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.about import About, Entity
from bus.about import encode as encode_about
from bus.messages import from_iso, to_iso
from statistician.arithmetic.algorithm import Row
from statistician.records import StoredRow, Table
from tests.statistician.requests_rig import AskingRig, Json
from tests.statistician.rig import TOPICS

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
