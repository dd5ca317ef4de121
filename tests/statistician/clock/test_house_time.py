"""The clock of the house and what was dated by it: set right, behind what is stored, at a first boot."""

from pathlib import Path

import pytest

from bus.health import Journal
from bus.messages import Reading, encode_reading
from config.model import Statistician as Settings
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.records import Table
from statistician.service import Statistician
from statistician.store import Store
from tests.clock import Machine
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Notes, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement", energy="total_increasing")
    return rig


@pytest.mark.parametrize("restart", [False, True])
def test_a_held_reading_is_dated_anew_with_the_others(rig: Rig, *, restart: bool) -> None:
    rig.quality = "estimated"
    for energy in (100.0, 101.0, 102.0, 0.0):
        reading = Reading(ts=rig.now, values={"energy": energy}, clock="estimated")
        rig.message(TOPICS.state("van"), encode_reading(reading))
        rig.now += MINUTE
    rig.settle()
    rig.set_clock(rig.now + 2 * HOUR)
    rig.quality = "ok"
    rig.settle()
    if restart:
        rig.restart()
    rig.reading("van", {"energy": 1.0})
    rig.run_until(rig.now + 6 * MINUTE)
    states = rig.store.states.between(0, None)
    assert [((state.ts - START) // MINUTE, state.value) for state in states] == [
        (120, 100.0),
        (121, 101.0),
        (122, 102.0),
        (123, 0.0),
        (124, 1.0),
    ]
    assert rig.rows("energy")[-1].row.sum == 3.0
    assert rig.store.held.between(None, 0, 2**60) == []


def test_a_process_that_ends_believes_its_clock_as_the_next_one_will(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0})
    rig.run_until(START + 30 * MINUTE)
    # It was 20 minutes ahead; that is not believed yet when the process ends.
    rig.set_clock(rig.now - 20 * MINUTE)
    rig.settle()
    rig.close()
    assert rig.store.path.exists()
    rig.now += 8 * HOUR
    rig.start()
    rig.run_until(rig.now + 6 * MINUTE)
    assert max(row.start for row in rig.rows("volt")) <= START + 10 * MINUTE


def test_a_clock_behind_what_is_stored_goes_on_from_there(tmp_path: Path) -> None:
    """Also where the file of the time is lost, or was never written."""
    machine = Machine(tmp_path, START)
    house = machine.process()
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    rig.reading("van", {"volt": 12.0})
    rig.run_until(START + 30 * MINUTE)
    rig.reading("van", {"volt": 13.0})
    rig.commit()
    rig.close()
    assert house.quality() == "estimated"
    Statistician(
        Notes(),
        TOPICS,
        Store(rig.path),
        Settings(),
        clock=house,
        journal=Journal(),
        anchor=machine.anchor,
    )
    machine.pass_(2.0)
    house.poll()
    assert house.wall() >= START + 30 * MINUTE
    assert house.quality() == "estimated"


@pytest.mark.parametrize("ahead", [7 * DAY, -43 * MINUTE])
@pytest.mark.parametrize("restart", [False, True])
def test_a_first_boot_with_a_wrong_clock_leaves_nothing_there(
    tmp_path: Path, ahead: int, *, restart: bool
) -> None:
    """Half an hour later the clock is synchronised; all goes on from the true begin."""
    rig = Rig(tmp_path / "s.db", now=START + ahead, quality="estimated")
    rig.about("van", volt="measurement", energy="total_increasing")
    for half in range(120):
        if half == 60:
            rig.set_clock(rig.now - ahead)
            rig.quality = "ok"
            rig.settle()
        rig.run_until(START + half * 30 * SECOND + (ahead if half < 60 else 0))
        reading = Reading(ts=rig.now, values={"volt": 12.0, "energy": float(half)}, clock=rig.quality)
        rig.message(TOPICS.state("van"), encode_reading(reading))
        if restart and half == 30:
            rig.restart()
    rig.run_until(START + HOUR + 2 * MINUTE)
    (hour,) = rig.rows("energy", Table.HOUR)
    assert (hour.start, hour.row.sum, hour.row.sum_decrease) == (START, 119.0, 0.0)
    assert hour.row.coverage == pytest.approx(1.0, abs=0.02)
    assert {row.start for row in rig.rows("volt")} == set(range(START, START + HOUR, MINUTES_5))
    assert max(rig.store.statistics.runs(0, 2**60)) == START + HOUR - MINUTES_5
    assert rig.store.states.between(rig.now + 1, None) == []


def test_a_silence_before_a_fall_is_no_step_of_the_clock(rig: Rig) -> None:
    """The clock was right before it fell: what was heard since the silence stays where it is."""
    for minute in (*range(30), *range(510, 540)):
        rig.run_until(START + minute * MINUTE)
        rig.reading("van", {"energy": float(minute)})
    for minute in range(540, 570):
        rig.run_until(START + minute * MINUTE)
        rig.reading("van", {"energy": float(minute)}, ts=rig.now - HOUR, late=False)
    rig.run_until(rig.now + 6 * MINUTE)
    assert rig.journal.counters["redated_entities"] == 0
    times = [(state.ts - START) // MINUTE for state in rig.store.states.between(0, None)]
    assert times == [*range(30), *range(510, 570)]
    assert rig.rows("energy")[-1].row.sum == 569.0
