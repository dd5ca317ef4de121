"""Messages that are wrong in one place: the rest of them counts, and health says what was left out."""

import json
import math
from pathlib import Path

import pytest

from bus.about import Entity
from bus.commands import Refused
from bus.messages import from_iso
from config.model import Device
from statistician.fixes.params import finite as finite_or_refused
from statistician.records import Table
from tests.statistician.arithmetic.test_integral import Sun
from tests.statistician.rig import MINUTE, START, TOPICS, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", energy="total", power="measurement")
    return rig


def say(rig: Rig, **fields: object) -> None:
    rig.message(TOPICS.state("van"), json.dumps(fields).encode())
    rig.now += MINUTE
    rig.settle()


@pytest.mark.parametrize("resets", [5, "midnight", {"energy": 5}, {"energy": "midnight"}, [1], True])
def test_an_unreadable_last_reset_loses_no_reading_and_health_names_it(rig: Rig, resets: object) -> None:
    say(rig, energy=100)
    say(rig, energy=103, last_reset=resets)
    rig.commit()
    assert [state.value for state in rig.store.states.between(0, None)] == [100.0, 103.0]
    assert rig.dead_letters() == []
    assert rig.journal.counters["last_resets_unread"] == 1
    assert "allowed is" in rig.journal.problems["last_reset.van"]
    say(rig, energy=1, last_reset={"energy": "2026-11-23T12:02:00Z"})
    assert "last_reset.van" not in rig.journal.problems
    rig.run_until(START + 6 * MINUTE)
    row = rig.rows("energy")[0].row
    assert (row.sum, row.last_reset) == (4.0, from_iso("2026-11-23T12:02:00Z"))


def numbers(rig: Rig) -> list[object]:
    """Every number on disk."""
    tables = ("states", "frames", "held", "adjusted", "statistics_5minute", "statistics_hour")
    rows = [row for table in tables for row in rig.store.engine.all(f"SELECT * FROM {table}")]  # noqa: S608 — ours
    return [cell for row in rows for cell in row]


def finite(rig: Rig) -> bool:
    return all(math.isfinite(cell) for cell in numbers(rig) if isinstance(cell, float))


KINDS = {"power": "measurement", "energy": "total", "used": "total_increasing"}


def sunny(path: Path) -> Sun:
    rig = Sun(path, {"sun": Device(kind="integral", source="van.power", max_gap=600)})
    units = {"power": "W", "energy": "kWh", "used": "kWh"}
    rig.describe(
        "van",
        {
            key: Entity(
                name=key, unit=unit, device_class="power" if unit == "W" else "energy", state_class=KINDS[key]
            )
            for key, unit in units.items()
        },
    )
    return rig


@pytest.mark.parametrize("wild", [1e308, -1e308, 1e200, 1e13])
def test_a_number_that_cannot_be_spoils_no_energy_and_no_sum(tmp_path: Path, wild: float) -> None:
    rig = sunny(tmp_path / "s.db")
    for minute in range(30):
        power = wild if minute in (5, 6, 12) else 600.0
        counter = wild if abs(wild) > 1e100 and minute in (5, 6, 12) else 10.0 + minute
        say(rig, power=power, energy=counter, used=abs(counter))
        if minute == 5:
            assert rig.journal.counters["powers_too_large"] == 1
            assert "see what its source sends" in rig.journal.problems["energy.sun"]
        if minute == 12 and abs(wild) > 1e100:
            assert "no sum and no energy counts it" in rig.journal.problems["value.van.energy"]
        if minute in (6, 20):
            rig.restart()
    assert "energy.sun" not in rig.journal.problems
    rig.run_until(rig.now + 40 * MINUTE)
    assert finite(rig)
    assert rig.dead_letters() == []
    # A minute is 10 Wh; three minutes of power were none, and restarts hide a little.
    assert rig.rows("energy", device="sun")[-1].row.state == pytest.approx(10 * (29 - 3), abs=1)
    for key in ("energy", "used"):
        assert rig.rows(key)[-1].row.sum == 29.0


def test_what_an_earlier_version_stored_prevents_no_start(tmp_path: Path) -> None:
    rig = sunny(tmp_path / "s.db")
    for minute in range(20):
        say(rig, power=600.0, energy=minute, used=minute)
    run = rig.store.engine.run
    run(
        "UPDATE statistics_5minute SET sum = 9e999 WHERE sum IS NOT NULL AND start > ?", (START + 6 * MINUTE,)
    )
    run("UPDATE statistics_5minute SET max = -9e999 WHERE max IS NOT NULL")
    number = rig.rows("energy", device="sun")[0].entity
    run("UPDATE states SET value = 9e999 WHERE entity = ? AND ts > ?", (number, START + 10 * MINUTE))
    run("DELETE FROM meta WHERE key = 'finite'")
    rig.close()
    rig.start()
    assert finite(rig)
    for minute in range(20, 30):
        say(rig, power=600.0, energy=minute, used=minute)
    rig.run_until(rig.now + 10 * MINUTE)
    assert rig.rows("energy")[-1].row.sum == 29.0
    assert rig.rows("energy", device="sun")[-1].row.state == pytest.approx(290.0)
    assert rig.store.engine.one("SELECT value FROM meta WHERE key = 'finite'") != ("0",)


def test_no_unit_makes_a_number_infinite(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")

    def describe(unit: str) -> None:
        rig.describe(
            "van", {"volt": Entity(name="v", unit=unit, device_class="voltage", state_class="measurement")}
        )

    describe("mV")
    say(rig, volt=1.0)
    rig.run_until(START + 6 * MINUTE)
    describe("MV")
    for volt in (1e307, 2.0):
        say(rig, volt=volt)
    rig.run_until(rig.now + 10 * MINUTE)
    assert finite(rig)
    assert rig.rows("volt")[-1].row.mean == 2e9


def test_no_conversion_of_rows_makes_a_number_infinite(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", power="measurement")
    for power in (1e308, 5.0):
        say(rig, power=power)
    rig.run_until(START + 6 * MINUTE)
    (row,) = rig.rows("power")
    assert row.row.max == 1e308
    rig.store.statistics.scale(Table.FIVE_MINUTES, row.entity, factor=1000.0, offset=0.0)
    (row,) = rig.rows("power")
    assert (row.row.min, row.row.max) == (5000.0, None)


@pytest.mark.parametrize("amount", [1e101, -1e308, math.inf, math.nan])
def test_what_would_spoil_sums_is_refused(amount: float) -> None:
    with pytest.raises(Refused, match=r"adjustment: .*allowed are numbers from"):
        finite_or_refused(amount, "adjustment")
