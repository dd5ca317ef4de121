"""Ends of days that a solar charger remembered: its yield counts whole, once, and where it belongs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.about import Entity
from statistician.records import Table
from tests.statistician.rig import Rig

YIELD = Entity(
    name="Yield today", unit="Wh", device_class="energy", state_class="total_increasing", daily=True
)


def at(day: int, hour: int, minute: int = 0) -> int:
    return round(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("times", [1, 2])
def test_days_without_us_count_once(tmp_path: Path, times: int) -> None:
    rig = Rig(tmp_path / "van.db", now=at(21, 8))
    rig.describe("van", {"yield": YIELD})
    for hour, value in ((9, 100.0), (14, 800.0)):
        rig.run_until(at(21, hour))
        rig.reading("van", {"yield": value})
    rig.close()
    rig.now = at(24, 10)
    rig.start()
    rig.describe("van", {"yield": YIELD})
    rig.reading("van", {"yield": 300.0})
    rig.run_until(at(24, 11, 10))
    for _ in range(times):
        for day, value in ((21, 1200.0), (22, 900.0), (23, 1000.0)):
            rig.reading("van", {"yield": value}, ts=at(day + 1, 0) - 1, late=True)
        rig.commit()
    sums = {row.start: row.row.sum for row in rig.rows("yield", Table.HOUR)}
    # From 100 Wh on, where the first reading began.
    assert sums[at(21, 14)] == 700
    assert [sums[at(day, 23)] for day in (21, 22, 23)] == [1100, 2000, 3000]
    assert sums[at(24, 10)] == 3300
    rig.close()
