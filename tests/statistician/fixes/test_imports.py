"""Imported hours join the running series, whatever they say and wherever they end; one import is one undo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.about import Entity
from statistician.arithmetic import HOUR
from tests.statistician.rig import MINUTE, SECOND, START, AskingRig, Json

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
    # Of the day as far as it has gone: two hours of the series, and eleven before that had no row.
    assert day["coverage"] == pytest.approx((0.25 + 2 - 1 / 3600) / 14, abs=1e-6)
    life = rows(rig, "van.volt", "lifetime", start=START - 2 * HOUR, end=START)
    assert "coverage" not in life[0]
    rig.restart()
    said = rig.notes.statistics("van", "hour")[-1]
    assert said.entities["volt"].coverage == 1.0
    rig.data("import_statistics", entity="van.volt", rows=[{"start": START + HOUR, "mean": 12.0}])
    assert rig.notes.statistics("van", "hour")[-1].entities["volt"].coverage is None


def hours(first: int, *states: float, base: float = 0.0) -> list[Json]:
    """Hourly rows from the hour `first` (of the van's) on: states, and sums that begin at `base`."""
    return [
        {"start": START + (first + n) * HOUR, "state": state, "sum": base + state - states[0]}
        for n, state in enumerate(states)
    ]


def changes(rig: AskingRig, entity: str = "van.yield", period: str = "hour") -> list[float]:
    return [round(row["change"], 9) for row in rows(rig, entity, period, types=["change"])]


def sums(rig: AskingRig, period: str) -> list[float]:
    return [row["sum"] for row in rows(rig, "van.yield", period, types=["sum"])]


def body(rig: AskingRig) -> list[str]:
    """Everything in the database but revisions, which are 0 from then on, the journal, and what is noted.

    What counters know of their rates is learned anew after a fix.
    """
    rig.commit()
    rig.store.engine.run("UPDATE statistics_hour SET rev = 0")
    rig.store.engine.run("UPDATE statistics_5minute SET rev = 0")
    lines = [line for line in rig.dump() if not line.startswith('INSERT INTO "fix"')]
    # SQLite orders the schema by when a table was written first.
    others = (
        *(
            'INSERT INTO "changed"',
            'INSERT INTO "piece"',
            'INSERT INTO "sqlite_seq',
            'INSERT INTO "counter"',
            "CREATE TABLE",
        ),
        # How long the process has run.
        """INSERT INTO "meta" VALUES('purge'""",
    )
    return [line for line in lines if not line.startswith(others)]


JOINTS = [
    # An import, and the changes of the hours from its first on.
    pytest.param(hours(-3, 80.0, 85.0, 92.0), [0.0, 5.0, 7.0, 13.0, 6.0], id="ends as the series begins"),
    pytest.param(hours(-9, 80.0, 85.0, 92.0), [0.0, 5.0, 7.0, 13.0, 6.0], id="ends long before"),
    pytest.param(hours(-2, 90.0, 95.0, 103.0, base=900.0), [900.0, 5.0, 8.0, 8.0], id="overlaps it"),
    pytest.param(hours(-2, 33.1, 33.3, base=0.7), [0.7, 0.2, 71.7, 6.0], id="of odd numbers"),
    pytest.param(hours(-2, 700.0, 720.0), [0.0, 20.0, 5.0, 6.0], id="of another counter"),
    pytest.param([{"start": START - HOUR, "sum": 40.0}], [40.0, 5.0, 6.0], id="without a state"),
]


@pytest.mark.parametrize(("brought", "wanted"), JOINTS)
@pytest.mark.parametrize("restart", [False, True])
def test_imported_hours_join_the_running_series(
    rig: AskingRig, brought: list[Json], wanted: list[float], *, restart: bool
) -> None:
    before = body(rig)
    number = rig.data("import_statistics", entity="van.yield", rows=brought)["id"]
    assert changes(rig) == wanted
    assert changes(rig, period="year") == pytest.approx([sum(wanted)])
    assert sums(rig, "5minute")[-2] == sums(rig, "hour")[-1]
    if restart:
        rig.restart()
    # Made again, the rows are the same.
    series = [*sums(rig, "hour"), *sums(rig, "5minute")]
    rig.data("recompile", start=START)
    rig.commit()
    assert [*sums(rig, "hour"), *sums(rig, "5minute")] == pytest.approx(series)
    rig.data("undo", fix=number)
    assert body(rig) == before


def test_what_follows_goes_on_from_the_joined_sum_and_an_undo_takes_that_with_it(rig: AskingRig) -> None:
    number = rig.data("import_statistics", entity="van.yield", rows=hours(-3, 80.0, 85.0, 92.0))["id"]
    rig.run_until(START + 150 * MINUTE)
    rig.reading("van", {"yield": 120.0})
    rig.run_until(START + 3 * HOUR + MINUTE)
    assert changes(rig) == [0.0, 5.0, 7.0, 13.0, 6.0, 9.0]
    said = rig.notes.statistics("van", "hour")[-1]
    assert (said.entities["yield"].sum, said.entities["yield"].sum_increase) == (40.0, 28.0)
    rig.data("undo", fix=number)
    assert sums(rig, "hour") == [5.0, 11.0, 20.0]
    assert rig.notes.statistics("van", "hour")[-1].entities["yield"].sum == 20.0


def test_a_hole_is_filled_without_a_step_on_either_side(rig: AskingRig) -> None:
    rig.close()
    rig.now = START + 48 * HOUR
    rig.start()
    rig.reading("van", {"yield": 300.0})
    rig.run_until(rig.now + HOUR + MINUTE)
    end = START + 48 * HOUR
    rig.store.engine.run("DELETE FROM statistics_hour WHERE start > ? AND start < ?", (START + 2 * HOUR, end))
    rig.store.engine.run(
        "DELETE FROM statistics_5minute WHERE start > ? AND start < ?", (START + 2 * HOUR, end)
    )
    before = body(rig)
    number = rig.data(
        "import_statistics", entity="van.yield", rows=hours(20, 150.0, 250.0, 260.0, base=7000.0)
    )["id"]
    found = changes(rig)
    assert found[-4:] == [38.0, 100.0, 10.0, 40.0]
    assert sum(found) == sums(rig, "hour")[-1] == 200.0
    rig.data("undo", fix=number)
    assert body(rig) == before


@pytest.mark.parametrize("restart", [False, True])
def test_an_import_in_pieces_is_one_undo_and_joins_with_the_last(rig: AskingRig, *, restart: bool) -> None:
    before = body(rig)
    brought = hours(-30, *(float(n) for n in range(40, 68)), base=500.0)
    first = rig.data("import_statistics", entity="van.yield", rows=brought[:10], more=True)["id"]
    second = rig.data(
        "import_statistics", entity="van.yield", rows=brought[10:20], more=True, **{"import": first}
    )
    # What is brought so far stands as it is.
    assert sums(rig, "hour")[-2:] == [5.0, 11.0]
    if restart:
        rig.restart()
    rig.data("import_statistics", entity="van.yield", rows=brought[20:], **{"import": second["id"]})
    rig.data(
        "import_statistics",
        entity="van.volt",
        rows=[{"start": START - HOUR, "mean": 9.0}],
        **{"import": first},
    )
    assert changes(rig) == [500.0, *[1.0] * 27, 38.0, 6.0]
    assert [one["id"] for one in rig.data("fixes")] == [first]
    if restart:
        rig.restart()
    done = rig.data("undo", fix=first)
    assert (done["undone"], done["entities"]) == (first, ["van.volt", "van.yield"])
    assert body(rig) == before
    assert rig.refusal("undo", fix=second["id"])[1].startswith(f"id: fix {first} was taken back")


def test_an_import_that_was_broken_off_is_taken_back_whole(rig: AskingRig) -> None:
    before = body(rig)
    first = rig.data("import_statistics", entity="van.yield", rows=hours(-9, 1.0, 2.0), more=True)["id"]
    rig.data("import_statistics", entity="van.yield", rows=hours(-7, 3.0), more=True, **{"import": first})
    rig.restart()
    rig.data("undo", fix=first)
    assert body(rig) == before


def test_an_import_is_continued_only_while_nothing_is_newer(rig: AskingRig) -> None:
    def more(number: int) -> tuple[str, str]:
        return rig.refusal("import_statistics", entity="van.yield", rows=hours(-5, 1.0), **{"import": number})

    first = rig.data("import_statistics", entity="van.yield", rows=hours(-9, 1.0), more=True)["id"]
    other = rig.data("set_metadata", entity="van.yield", name="Sun")["id"]
    assert more(first) == ("invalid", f"import: fix {other} (set_metadata) is newer; begin again, without it")
    assert more(other) == ("not_found", f"import: there is no import {other}")
    assert more(99) == ("not_found", "import: there is no import 99")
    rig.data("undo", fix=other)
    rig.data("undo", fix=first)
    assert more(first) == ("invalid", f"import: {first} was taken back; begin again, without it")


def test_what_is_heard_after_imported_hours_goes_on_from_them(rig: AskingRig) -> None:
    rig.reading("van", {"yield": None})
    rig.run_until(START + 6 * HOUR + 2 * MINUTE)
    # The counter was reset in between.
    brought = [*hours(3, 150.0), *hours(4, 20.0, base=20.0)]
    rig.data("import_statistics", entity="van.yield", rows=brought)
    rig.reading("van", {"yield": 30.0})
    rig.run_until(START + 7 * HOUR + 2 * MINUTE)
    assert changes(rig) == [5.0, 6.0, 1.0, 38.0, 20.0, 10.0]


def test_an_undo_is_exact_to_the_last_bit(rig: AskingRig) -> None:
    for minute in range(125, 180, 5):
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("van", {"yield": 112.0 + minute / 997})
    rig.run_until(START + 3 * HOUR + 2 * MINUTE)
    before = body(rig)
    number = rig.data("import_statistics", entity="van.yield", rows=hours(-2, 1.1, 33.7, base=7e6 / 3))["id"]
    rig.data("undo", fix=number)
    assert body(rig) == before
