"""Imported hours join the running series, whatever they say and wherever they end; one import is one undo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.about import Entity
from statistician.periods import HOUR
from tests.statistician.requests_rig import AskingRig, Json
from tests.statistician.rig import MINUTE, SECOND, START

VAN = {
    "yield": Entity(name="yield", unit="kWh", state_class="total_increasing"),
    "volt": Entity(name="volt", unit="V", state_class="measurement"),
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AskingRig]:
    """Two hours of a counter that grows by 1 every 10 minutes from 100 on, and of a voltage."""
    rig = AskingRig(tmp_path / "s.db")
    rig.describe("van", VAN)
    for minute in range(0, 121, 10):
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("van", {"yield": 100.0 + minute / 10, "volt": minute / 10})
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    yield rig
    rig.close()


def rows(rig: AskingRig, entity: str, period: str = "hour", **params: Json) -> list[Json]:
    data = rig.data("statistics", entities=[entity], period=period, time_zone="UTC", **params)
    found: list[Json] = data["rows"].get(entity, [])
    return found


def test_what_nobody_said_of_an_hours_coverage_is_absent(rig: AskingRig) -> None:
    hours = [{"start": START - n * HOUR, "mean": 12.0} for n in (1, 2, 3)]
    rig.data("import_statistics", entity="van.volt", rows=[*hours[:2], hours[2] | {"coverage": 0.25}])
    assert [row.get("coverage") for row in rows(rig, "van.volt")] == [0.25, None, None, 0.999722, 1.0]
    assert all("coverage" not in row for row in rows(rig, "van.volt", start=START - 2 * HOUR, end=START))
    # As much of a day is known as its hours say; of a period in which no hour says it, nothing is said.
    (day,) = rows(rig, "van.volt", "day")
    assert day["coverage"] == pytest.approx((0.25 + 2 - 1 / 3600) / 24, abs=1e-6)
    life = rows(rig, "van.volt", "lifetime", start=START - 2 * HOUR, end=START)
    assert "coverage" not in life[0]
    rig.restart()
    said = rig.notes.statistics("van", "hour")[-1]
    assert said.entities["volt"].coverage == 1.0
    rig.data("import_statistics", entity="van.volt", rows=[{"start": START + HOUR, "mean": 12.0}])
    assert rig.notes.statistics("van", "hour")[-1].entities["volt"].coverage is None
