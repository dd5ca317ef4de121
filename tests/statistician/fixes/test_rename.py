"""Devices and entities go on under another name: nothing is lost, no step, and it can be taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.about import Entity
from config.model import Statistician as Settings
from statistician.arithmetic import HOUR
from statistician.upkeep import Purge
from tests.statistician.fixes.test_imports import body
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, AskingRig, Json

VAN = {
    "yield": Entity(name="Yield", unit="kWh", device_class="energy", state_class="total_increasing"),
    "volt": Entity(name="Volt", unit="V", state_class="measurement"),
    "mode": Entity(name="Mode"),
}


def feed(rig: AskingRig, device: str, start: int, end: int, *, total: float, factor: float = 1.0) -> None:
    """A reading every 10 minutes from minute `start` to `end`: a counter, a voltage, a text.

    The counter goes on by 1 from `total`, times `factor`.
    """
    for minute in range(start, end + 1, 10):
        rig.run_until(START + minute * MINUTE + SECOND)
        now = total + (minute - start) / 10
        rig.reading(device, {"yield": now * factor, "volt": minute / 10, "mode": f"m{minute}"})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AskingRig]:
    """Two hours of a van."""
    rig = AskingRig(tmp_path / "s.db")
    rig.describe("van", VAN)
    feed(rig, "van", 0, 120, total=100.0)
    # Far from the end of a period: none closes while a test looks.
    rig.run_until(START + 121 * MINUTE)
    yield rig
    rig.close()


def rows(rig: AskingRig, entity: str, period: str = "hour") -> list[Json]:
    data = rig.data("statistics", entities=[entity], period=period, units={"energy": "kWh"})
    found: list[Json] = data["rows"][entity]
    return found


def changes(rig: AskingRig, entity: str, period: str = "hour") -> list[float]:
    return [round(row["change"], 9) for row in rows(rig, entity, period)]


def known(rig: AskingRig) -> set[str]:
    return {one["entity"] for one in rig.data("entities")}


def retained(rig: AskingRig, device: str) -> dict[str, bool]:
    """Whether the newest aggregates of a device are retained, by period."""
    wanted = {TOPICS.statistics(device, part): part for part in ("5minute", "hour")}
    return {wanted[topic]: bool(payload) for _, topic, payload in rig.notes.log if topic in wanted}


def test_a_renamed_device_keeps_all_it_has(rig: AskingRig) -> None:
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    before, series = body(rig), rows(rig, "van.yield", "5minute")
    states = rig.data("history", entity="van.mode")["rows"]
    number = rig.data("device_rename", device="van", to="bus")["id"]
    assert known(rig) == {"bus.yield", "bus.volt", "bus.mode"}
    assert rows(rig, "bus.yield", "5minute") == series
    assert rig.data("history", entity="bus.mode")["rows"] == states
    assert (retained(rig, "van"), retained(rig, "bus")) == (
        {"5minute": False, "hour": False},
        {"5minute": True, "hour": True},
    )
    rig.restart()
    rig.describe("bus", VAN)
    feed(rig, "bus", 130, 190, total=113.0)
    assert changes(rig, "bus.yield") == [5.0, 6.0, 6.0]
    assert known(rig) == {"bus.yield", "bus.volt", "bus.mode"}
    (entry,) = rig.data("fixes")
    assert (entry["verb"], entry["entities"]) == ("device_rename", ["bus.yield", "bus.volt", "bus.mode"])
    rig.data("undo", fix=number)
    assert changes(rig, "van.yield") == [5.0, 6.0, 6.0]
    assert (retained(rig, "bus"), retained(rig, "van")) == (
        {"5minute": False, "hour": False},
        {"5minute": True, "hour": True},
    )
    again = rig.data("device_rename", device="van", to="bus")["id"]
    rig.data("undo", fix=again)
    assert len(body(rig)) > len(before)


def test_right_after_it_an_undo_leaves_no_trace(rig: AskingRig) -> None:
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    before = body(rig)
    number = rig.data("device_rename", device="van", to="bus")["id"]
    assert body(rig) != before
    rig.restart()
    rig.data("undo", fix=number)
    assert body(rig) == before


def joined(rig: AskingRig, total: float, unit: str = "kWh", factor: float = 1.0, end: int = 210) -> None:
    """The device got another name and was heard under it, before anybody asked for a rename."""
    yields = Entity(name="Sun", unit=unit, device_class="energy", state_class="total_increasing")
    rig.describe("bus", VAN | {"yield": yields})
    feed(rig, "bus", 123, end, total=total, factor=factor)
    rig.run_until(START + 3 * HOUR + 41 * MINUTE)


@pytest.mark.parametrize(
    ("total", "unit", "factor", "wanted"),
    [
        pytest.param(115.0, "kWh", 1.0, [5.0, 6.0, 9.0], id="the same counter"),
        pytest.param(2.0, "kWh", 1.0, [5.0, 6.0, 6.0], id="another counter"),
        pytest.param(115.0, "Wh", 1000.0, [5.0, 6.0, 9.0], id="another unit"),
    ],
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_name_that_was_heard_already_is_merged(
    rig: AskingRig, *, total: float, unit: str, factor: float, wanted: list[float], restart: bool
) -> None:
    joined(rig, total, unit, factor)
    before = body(rig)
    volts = rows(rig, "bus.volt", "5minute")
    number = rig.data("device_rename", device="van", to="bus")["id"]
    if restart:
        rig.restart()
    rig.commit()
    assert changes(rig, "bus.yield") == wanted
    assert known(rig) == {"bus.yield", "bus.volt", "bus.mode"}
    found = {row["start"]: row for row in rows(rig, "bus.volt", "5minute")}
    assert [found[row["start"]] for row in volts[1:]] == volts[1:]
    # The mean of the period in which one ended and the other began is that of both.
    meeting = found[volts[0]["start"]]
    assert meeting["mean"] == pytest.approx((11.0 * 1 + 12.0 * 180 + 12.3 * 119) / 300)
    assert (volts[0]["coverage"], meeting["coverage"]) == (pytest.approx(119 / 300, abs=1e-6), 1.0)
    series = changes(rig, "bus.yield", "5minute")
    rig.data("recompile", start=START)
    rig.commit()
    assert changes(rig, "bus.yield", "5minute") == pytest.approx(series)
    assert rig.data("metadata", entities=["bus.yield"])[0]["name"] == "Sun"
    rig.data("undo", fix=number)
    rig.commit()
    assert body(rig) == before


def test_what_comes_after_a_merge_goes_on_and_an_undo_gives_each_its_own(
    rig: AskingRig, tmp_path: Path
) -> None:
    joined(rig, 115.0)
    number = rig.data("device_rename", device="van", to="bus")["id"]
    feed(rig, "bus", 230, 310, total=130.0)
    rig.run_until(START + 5 * HOUR + 20 * MINUTE)
    assert changes(rig, "bus.yield") == [5.0, 6.0, 9.0, 10.0, 6.0]
    rig.data("undo", fix=number)
    rig.commit()
    # A twin for which nobody asked.
    twin = AskingRig(tmp_path / "twin.db")
    twin.describe("van", VAN)
    feed(twin, "van", 0, 120, total=100.0)
    joined(twin, 115.0)
    feed(twin, "bus", 230, 310, total=130.0)
    twin.run_until(START + 5 * HOUR + 20 * MINUTE)
    for entity in ("van.yield", "bus.yield", "van.volt", "bus.volt"):
        for period in ("5minute", "hour"):
            assert rows(rig, entity, period) == rows(twin, entity, period), (entity, period)
    assert rig.data("history", entity="bus.mode") == twin.data("history", entity="bus.mode")
    assert rig.data("latest") == twin.data("latest")


def test_what_is_older_than_states_are_kept_is_joined_too(tmp_path: Path) -> None:
    """Hours and units are brought together without a state of that time; an undo brings back what was."""
    rig = AskingRig(tmp_path / "old.db", settings=Settings(keep_days=1))
    rig.describe("van", VAN)
    feed(rig, "van", 0, 120, total=100.1)
    rig.run_until(START + 121 * MINUTE)
    joined(rig, 115_000.3, "Wh", 1.0, 203)
    rig.run_until(START + 30 * HOUR + MINUTE)
    rig.service.handle(Purge())
    rig.settle()
    before = body(rig)
    number = rig.data("device_rename", device="van", to="bus")["id"]
    assert changes(rig, "bus.yield")[:4] == pytest.approx([5.0, 6.0, 115.0053 - 111.1, 0.003])

    rig.restart()
    rig.data("undo", fix=number)
    assert body(rig) == before
    rig.close()


def test_a_device_that_is_only_described_takes_over_too(rig: AskingRig) -> None:
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    rig.describe("bus", VAN)
    rig.commit()
    before = body(rig)
    number = rig.data("device_rename", device="van", to="bus")["id"]
    assert known(rig) == {"bus.yield", "bus.volt", "bus.mode"}
    assert changes(rig, "bus.yield") == [5.0, 6.0]
    rig.data("undo", fix=number)
    assert body(rig) == before
    rig.data("device_rename", device="van", to="bus")
    feed(rig, "bus", 130, 190, total=113.0)
    assert changes(rig, "bus.yield") == [5.0, 6.0, 6.0]


def test_an_entity_moves_alone(rig: AskingRig) -> None:
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    before = body(rig)
    number = rig.data("entity_rename", entity="van.yield", to="van.sun")["id"]
    assert known(rig) == {"van.sun", "van.volt", "van.mode"}
    assert set(rig.notes.statistics("van", "hour")[-1].entities) == {"sun", "volt"}
    rig.data("undo", fix=number)
    assert body(rig) == before
    assert set(rig.notes.statistics("van", "hour")[-1].entities) == {"yield", "volt"}


def test_two_that_were_heard_at_once_are_not_merged(rig: AskingRig) -> None:
    rig.describe("bus", VAN)
    rig.reading("bus", {"yield": 1.0}, ts=START + 100 * MINUTE)
    rig.commit()
    before = body(rig)
    code, text = rig.refusal("entity_rename", entity="van.yield", to="bus.yield")
    assert code == "invalid"
    assert text.startswith(
        "to: bus.yield has data from 2026-11-23T13:40:00.000Z on, but van.yield goes on until"
    )
    code, text = rig.refusal("entity_rename", entity="bus.yield", to="van.yield")
    assert "If van.yield is the older one, rename it to bus.yield; else remove what it has" in text
    assert body(rig) == before


def test_the_journal_goes_along_and_is_taken_back_newest_first(rig: AskingRig) -> None:
    joined(rig, 115.0)
    mine = rig.data("adjust_sum", entity="van.yield", start=START + HOUR, adjustment=10.0)["id"]
    other = rig.data("adjust_sum", entity="bus.yield", start=START + 3 * HOUR, adjustment=100.0)["id"]
    number = rig.data("device_rename", device="van", to="bus")["id"]
    assert changes(rig, "bus.yield") == [5.0, 16.0, 9.0]
    found = {one["id"]: one["entities"] for one in rig.data("fixes")}
    assert (found[mine], found[other]) == (["bus.yield"], ["bus.yield"])
    for one in (mine, other):
        assert (
            rig.refusal("undo", fix=one)[1]
            == f"id: first take back fix {number} (device_rename): it is newer"
        )
    rig.data("undo", fix=number)
    rig.data("undo", fix=other)
    rig.data("undo", fix=mine)
    assert changes(rig, "van.yield")[:2] == [5.0, 6.0]
    assert changes(rig, "bus.yield") == [5.0]


def test_a_new_device_of_the_old_name_is_not_overwritten_by_an_undo(rig: AskingRig) -> None:
    number = rig.data("device_rename", device="van", to="bus")["id"]
    rig.reading("van", {"volt": 1.0})
    rig.commit()
    assert known(rig) == {"bus.yield", "bus.volt", "bus.mode", "van.volt"}
    code, text = rig.refusal("undo", fix=number)
    assert (code, text.startswith("id: there is another van.volt by now")) == ("invalid", True)
    rig.data("device_rename", device="van", to="car")
    rig.data("undo", fix=number)
    assert known(rig) == {"van.yield", "van.volt", "van.mode", "car.volt"}


@pytest.mark.parametrize(
    ("verb", "params", "code", "text"),
    [
        ("device_rename", {"device": "no", "to": "bus"}, "not_found", "device: there is no device 'no'"),
        ("device_rename", {"device": "van", "to": "van"}, "invalid", "to: it is the same name"),
        ("device_rename", {"device": "van", "to": "Van/x"}, "invalid", "to: 'Van/x' is no name"),
        ("entity_rename", {"entity": "van.no", "to": "a.b"}, "not_found", "entity: there is no entity"),
        ("entity_rename", {"entity": "van.volt", "to": "van/volt"}, "invalid", "to: it is the same name"),
        ("entity_rename", {"entity": "van.volt", "to": "#1.volt"}, "invalid", "to: '#1.volt' is no name"),
    ],
)
def test_what_cannot_be_renamed_is_said(
    rig: AskingRig, verb: str, params: Json, code: str, text: str
) -> None:
    before = body(rig)
    found = rig.refusal(verb, **params)
    assert (found[0], found[1][: len(text)]) == (code, text)
    assert body(rig) == before


def test_a_dry_run_renames_nothing(rig: AskingRig) -> None:
    joined(rig, 115.0)
    before = body(rig)
    would = rig.data("device_rename", device="van", to="bus", dry_run=True)
    assert body(rig) == before
    did = rig.data("device_rename", device="van", to="bus")
    assert {**did, "dry_run": True} == {**would, "id": did["id"]}
