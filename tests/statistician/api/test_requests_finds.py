"""Requests that look for what is wrong, and one that puts it right and takes that back."""

from pathlib import Path

import pytest

from bus.messages import to_iso
from statistician.api.rows import select
from statistician.arithmetic.live import LiveEntity
from statistician.records import EntityRecord, Table
from tests.statistician.requests_rig import AskingRig
from tests.statistician.rig import MINUTE, START


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
    assert one.show("mean", 100.0) == pytest.approx(212.0)
    assert one.show_difference("change", 1.0) == pytest.approx(1.8)
