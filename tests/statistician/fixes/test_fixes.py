"""Fixes change what they say and no more, survive a restart and late readings, and can be taken back."""

from pathlib import Path

import msgspec
import pytest

from bus.about import Entity
from bus.commands import Refused
from bus.messages import to_iso
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.fixes import FIXES, journal
from statistician.fixes import data as fixes_rows
from statistician.fixes.params import (
    AdjustSum,
    ChangeUnit,
    Clear,
    DeleteStates,
    FixParams,
    ImportedRow,
    ImportStatistics,
    ListFixes,
    Recompile,
    SetMetadata,
    UndoFix,
)
from statistician.records import StoredRow, Table
from tests.statistician.rig import MINUTE, SECOND, START, Rig

VAN = {
    "yield": Entity(name="yield", unit="kWh", state_class="total_increasing"),
    "volt": Entity(name="volt", unit="V", state_class="measurement"),
}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Two hours of a counter that grows by 1 every 10 minutes, and of a voltage that is the minute / 10."""
    rig = Rig(tmp_path / "s.db")
    rig.describe("van", VAN)
    for minute in range(0, 121, 10):
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("van", {"yield": 100.0 + minute / 10, "volt": minute / 10})
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    return rig


def everything(rig: Rig) -> list[tuple[Table, list[StoredRow]]]:
    """All rows but their revs."""
    return [(t, [row._replace(rev=0) for row in rig.rows(k, t)]) for k in VAN for t in Table]


def same(one: list[tuple[Table, list[StoredRow]]], other: list[tuple[Table, list[StoredRow]]]) -> bool:
    flat = [
        [c for _, rows in every for r in rows for c in (r.entity, r.start, *r.row)] for every in (one, other)
    ]
    return len(flat[0]) == len(flat[1]) and all(
        a == b or (a is not None and b is not None and a == pytest.approx(b))
        for a, b in zip(*flat, strict=True)
    )


def sums(rig: Rig, table: Table = Table.FIVE_MINUTES) -> list[float | None]:
    return [row.row.sum for row in rig.rows("yield", table)]


def imported(hour: int, total: float) -> ImportedRow:
    return ImportedRow(start=START + hour * HOUR, state=total, sum=total)


ALL = [
    ("adjust_sum", AdjustSum(entity="van.yield", start=START + 65 * MINUTE, adjustment=-2.5)),
    ("change_unit", ChangeUnit(entity="van.yield", unit="Wh", old_unit="kWh")),
    ("change_unit", ChangeUnit(entity="van/volt", unit="mV")),
    ("clear", Clear(entities=("van.yield", "van.volt"))),
    ("import_statistics", ImportStatistics(entity="van.yield", rows=(imported(-3, 1.0), imported(0, 500.0)))),
    ("delete_states", DeleteStates(entity="van.yield", start=START + 30 * MINUTE, end=START + 55 * MINUTE)),
    ("delete_states", DeleteStates(entity="van.volt", ts=START + 30 * MINUTE + SECOND)),
    ("set_metadata", SetMetadata(entity="van.volt", name="Battery", unit="mV", enabled=False)),
]


@pytest.mark.parametrize(("verb", "asked"), ALL)
def test_a_dry_run_says_what_it_would_do_and_does_not(rig: Rig, verb: str, asked: FixParams) -> None:
    before, entities = everything(rig), rig.store.entities()
    assert FIXES[verb].params is type(asked)
    would = rig.fix(msgspec.structs.replace(asked, dry_run=True))
    rig.commit()
    assert (would.dry_run, would.id) == (True, None)
    assert (everything(rig), rig.store.entities()) == (before, entities)
    assert tuple(journal(rig.service.context, ListFixes())) == ()
    did = rig.fix(asked)
    assert msgspec.structs.replace(did, dry_run=True, id=None) == would


def test_a_dry_run_of_undo_tells_which_numbers_it_would_bring_back(rig: Rig) -> None:
    deleted = rig.fix(DeleteStates(entity="van.volt", start=START + 30 * MINUTE, end=START + 55 * MINUTE))
    undo = UndoFix(id=deleted.id or 0, dry_run=True)
    times = [to_iso(START + minute * MINUTE + SECOND) for minute in (30, 40, 50)]
    assert rig.fix(undo).brought_back == tuple(zip(times, (3.0, 4.0, 5.0), strict=True))
    assert rig.fix(msgspec.structs.replace(undo, dry_run=False)).brought_back == ()


def test_it_tells_no_more_than_its_answer_can_hold_and_no_texts(rig: Rig) -> None:
    rig.describe("door", {"state": Entity(name="state"), "count": Entity(name="count", unit="V")})
    start = START + 2 * HOUR + 3 * MINUTE
    for second in range(fixes_rows.MOST_TOLD + 10):
        rig.reading("door", {"state": f"{second} times", "count": float(second)}, ts=start + second * 10)
    rig.commit()
    for entity, most in (("door.count", fixes_rows.MOST_TOLD), ("door.state", 0)):
        deleted = rig.fix(DeleteStates(entity=entity, start=start, end=start + HOUR))
        assert deleted.states == fixes_rows.MOST_TOLD + 10
        assert len(rig.fix(UndoFix(id=deleted.id or 0, dry_run=True)).brought_back) == most


@pytest.mark.parametrize(("verb", "asked"), ALL)
@pytest.mark.parametrize("restart", [False, True])
def test_what_was_fixed_is_taken_back(
    rig: Rig, tmp_path: Path, verb: str, asked: FixParams, *, restart: bool
) -> None:
    records = rig.store.entities()
    did = rig.fix(asked)
    rig.commit()
    changed = (everything(rig), rig.store.entities())
    if restart:
        rig.restart()
    assert (everything(rig), rig.store.entities()) == changed
    rig.run_until(START + 2 * HOUR + 16 * MINUTE)
    rig.fix(UndoFix(id=did.id or 0))
    rig.reading("van", {"yield": 113.0, "volt": 13.0})
    rig.run_until(START + 3 * HOUR + MINUTE)
    # A twin that nobody touched.
    twin = Rig(tmp_path / "twin.db")
    twin.describe("van", VAN)
    for minute in [*range(0, 121, 10), 136]:
        twin.run_until(START + minute * MINUTE + SECOND * (minute != 136))
        twin.reading("van", {"yield": 100.0 + min(minute, 130) / 10, "volt": min(minute, 130) / 10})
    twin.run_until(START + 3 * HOUR + MINUTE)
    assert same(everything(rig), everything(twin))
    assert [r.unit for r in rig.store.entities()] == [r.unit for r in records]
    *_, entry = journal(rig.service.context, ListFixes())
    assert (entry.id, entry.verb, entry.undone is not None) == (did.id, verb, True)
    with pytest.raises(Refused, match="was taken back"):
        rig.fix(UndoFix(id=did.id or 0))


def test_an_adjustment_survives_late_readings_and_a_recompile(rig: Rig) -> None:
    rig.fix(AdjustSum(entity="van.yield", start=START + HOUR, adjustment=1000, unit="Wh"))
    wanted = [float(n // 2) for n in range(12)], [float(n // 2 + 1) for n in range(12, 24)]
    assert sums(rig) == [*wanted[0], *wanted[1]]
    assert sums(rig, Table.HOUR) == [5.0, 12.0]
    rig.restart()
    rig.reading("van", {"yield": 100.5}, ts=START + 4 * MINUTE)
    rig.commit()
    assert sums(rig) == [0.5, 0.5, *wanted[0][2:], *wanted[1]]
    rig.fix(Recompile(start=START))
    rig.commit()
    assert sums(rig) == [0.5, 0.5, *wanted[0][2:], *wanted[1]]
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    # No mirror spike: the next period goes on from the adjusted sum.
    assert sums(rig)[-1] == 13.0
    row = rig.rows("yield")[-1].row
    assert (row.sum_increase or 0) - (row.sum_decrease or 0) == pytest.approx(row.sum)


def test_an_adjustment_in_the_last_minutes_of_an_hour_counts_in_its_hour(rig: Rig) -> None:
    rig.fix(AdjustSum(entity="van.yield", start=START + 58 * MINUTE, adjustment=100.0))
    assert sums(rig)[10:13] == [5.0, 105.0, 106.0]
    assert sums(rig, Table.HOUR) == [105.0, 111.0]


def test_an_adjusted_newest_aggregate_is_said_again(rig: Rig) -> None:
    before = rig.notes.statistics("van", "hour")[-1]
    rig.fix(AdjustSum(entity="van.yield", start=START + HOUR, adjustment=1.0))
    after = rig.notes.statistics("van", "hour")[-1]
    assert (after.start, after.rev > before.rev) == (before.start, True)
    assert after.entities["yield"].sum == 12.0
    rig.fix(Clear(entities=("van.yield",)))
    assert "yield" not in rig.notes.statistics("van", "hour")[-1].entities


def test_what_came_before_a_clear_makes_no_rows_until_a_recompile_asks_for_them(rig: Rig) -> None:
    rig.fix(Clear(entities=("van.yield",)))
    rig.reading("van", {"yield": 100.5}, ts=START + 4 * MINUTE)
    rig.commit()
    assert sums(rig) == sums(rig, Table.HOUR) == []
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    assert sums(rig) == [1.0]
    rig.fix(Recompile(start=START + HOUR, entities=("van.yield",)))
    rig.commit()
    assert (len(sums(rig)), sums(rig, Table.HOUR)) == (13, [6.0])


def test_an_imported_hour_stays_and_the_sums_after_it_go_on_from_it(rig: Rig) -> None:
    rig.fix(ImportStatistics(entity="van.yield", unit="Wh", rows=(imported(0, 500_000.0),)))
    assert sums(rig, Table.HOUR) == [500.0, 506.0]
    rig.reading("van", {"yield": 100.5}, ts=START + 4 * MINUTE)
    rig.run_until(START + 3 * HOUR + MINUTE)
    assert sums(rig, Table.HOUR) == [500.0, 506.0, 507.0]


def test_a_new_entity_goes_on_from_what_was_imported(rig: Rig) -> None:
    rows = (imported(-2, 40.0), ImportedRow(start=START - HOUR, sum=45.0))
    rig.fix(ImportStatistics(entity="boat.meter", rows=rows, unit="kWh", state_class="total_increasing"))
    rig.restart()
    rig.reading("boat", {"meter": 7.0})
    rig.run_until(rig.now + MINUTE)
    rig.reading("boat", {"meter": 8.0})
    rig.run_until(rig.now + 6 * MINUTE)
    # The last row brought has no state, so the first value is the zero point; the sum goes on.
    assert rig.rows("meter", device="boat")[0].row.sum == 46.0


def test_what_a_user_set_stays_over_a_restart_and_a_new_about(rig: Rig) -> None:
    rig.fix(SetMetadata(entity="van.volt", name="Battery", unit="mV", state_class="total", retention_days=3))
    rig.restart()
    rig.describe("van", VAN | {"volt": Entity(name="other", unit="kV", state_class="measurement")})
    rig.commit()
    record = next(e for e in rig.store.entities() if e.entity == "volt")
    assert (record.name, record.unit, record.state_class, record.kept_unit) == (
        "Battery",
        "mV",
        "total",
        "mV",
    )
    assert rig.store.own_retention() == {record.id: 3}
    assert rig.rows("volt")[0].row.max == 0.0
    rig.fix(SetMetadata(entity="van.volt", name=None, retention_days=None))
    record = next(e for e in rig.store.entities() if e.entity == "volt")
    assert (record.name, record.unit, rig.store.own_retention()) == ("other", "mV", {})


def test_after_the_newest_state_is_deleted_the_same_value_is_news(rig: Rig) -> None:
    rig.fix(DeleteStates(entity="van.volt", ts=START + 2 * HOUR + SECOND))
    rig.reading("van", {"volt": 12.0})
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    # Until then the value before holds.
    assert (rig.rows("volt")[-1].row.min, rig.rows("volt")[-1].row.max) == (11.0, 12.0)
    assert rig.rows("volt")[-1].row.mean == pytest.approx((11 * 2 + 12 * 3) / 5)


def test_a_disabled_entity_is_not_stored(rig: Rig) -> None:
    rig.fix(SetMetadata(entity="van.volt", enabled=False))
    stored = len(rig.store.states.between(0, None))
    rig.restart()
    rig.reading("van", {"volt": 99.0, "yield": 112.1})
    rig.commit()
    assert len(rig.store.states.between(0, None)) == stored + 1


def test_a_class_given_later_makes_rows_of_the_past_by_recompile(rig: Rig) -> None:
    rig.reading("van", {"plain": 3.0}, ts=START)
    rig.commit()
    rig.fix(SetMetadata(entity="van.plain", state_class="measurement", unit="A"))
    rig.fix(Recompile(start=START, entities=("van.plain",)))
    rig.commit()
    assert [row.row.mean for row in rig.rows("plain", Table.HOUR)] == [3.0, 3.0]


def test_fixes_are_taken_back_newest_first(rig: Rig) -> None:
    first = rig.fix(AdjustSum(entity="van.yield", start=START, adjustment=1.0))
    other = rig.fix(ChangeUnit(entity="van.volt", unit="mV"))
    second = rig.fix(ChangeUnit(entity="van.yield", unit="Wh"))
    with pytest.raises(Refused, match=rf"fix {second.id} \(change_unit\)"):
        rig.fix(UndoFix(id=first.id or 0))
    assert sums(rig)[0] == 1000.0
    for one in (second, first, other):
        rig.fix(UndoFix(id=one.id or 0))
    assert sums(rig)[:3] == [0.0, 0.0, 1.0]


def test_entities_of_many_rows_are_cleared_one_at_a_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes_rows, "MOST_CLEARED", 40)
    before = everything(rig)
    with pytest.raises(Refused, match="one at a time") as caught:
        rig.fix(Clear(entities=("van.yield", "van.volt")))
    assert (caught.value.code, everything(rig)) == ("limit", before)
    monkeypatch.setattr(fixes_rows, "MOST_CLEARED", 0)
    rig.fix(Clear(entities=("van.yield",)))
    assert sums(rig) == []


def test_a_clear_is_not_taken_back_when_the_states_are_gone(rig: Rig) -> None:
    done = rig.fix(Clear(entities=("van.yield",)))
    rig.close()
    rig.now += 12 * DAY
    rig.start()
    with pytest.raises(Refused) as caught:
        rig.fix(UndoFix(id=done.id or 0))
    assert caught.value.code == "limit"


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (AdjustSum(entity="van.nothing", start=0, adjustment=1), "not_found", "entity"),
        (AdjustSum(entity="nonsense", start=0, adjustment=1), "not_found", "entity"),
        (AdjustSum(entity="van.yield", start="yesterday", adjustment=1), "invalid", "start"),
        (AdjustSum(entity="van.yield", start=START + DAY, adjustment=1), "invalid", "start"),
        (AdjustSum(entity="van.yield", start=START, adjustment=1, unit="V"), "invalid", "unit"),
        (AdjustSum(entity="van.yield", start=START, adjustment=float("inf")), "invalid", "adjustment"),
        (AdjustSum(entity="van.volt", start=START, adjustment=1), "not_found", "entity"),
        (ChangeUnit(entity="van.volt", unit="A"), "invalid", "unit"),
        (ChangeUnit(entity="van.volt", unit="V", old_unit="mV"), "invalid", "old_unit"),
        (Clear(entities=("van.volt", "van.no")), "not_found", "entities"),
        (SetMetadata(entity="van.volt"), "invalid", "nothing to set"),
        (DeleteStates(entity="van.volt", start=START), "invalid", "start"),
        (DeleteStates(entity="van.volt", ts=START, end=START), "invalid", "ts"),
        (DeleteStates(entity="van.volt", ts=START + 5), "not_found", "ts"),
        (DeleteStates(entity="van.volt", start=5, end=4), "invalid", "start"),
        (Recompile(start=START - 20 * DAY), "limit", "start"),
        (Recompile(start=START + DAY), "invalid", "start"),
        (UndoFix(id=77), "not_found", "id"),
        (ImportStatistics(entity="a.b", rows=(imported(0, 1),)), "not_found", "entity"),
        (ImportStatistics(entity="van.yield", rows=(imported(2, 1),)), "invalid", r"rows\[0\].start"),
        (ImportStatistics(entity="van.yield", rows=(imported(0, 1), imported(0, 2))), "invalid", "rows"),
        (ImportStatistics(entity="van.yield", rows=(imported(0, 1),) * 8001), "limit", "rows"),
        (ImportStatistics(entity="van.yield", unit="V", rows=(imported(0, 1),)), "invalid", "unit"),
        (
            ImportStatistics(entity="van.yield", rows=(ImportedRow(start=START + MINUTES_5, sum=1.0),)),
            "invalid",
            r"rows\[0\].start",
        ),
        (ImportStatistics(entity="van.yield", rows=(ImportedRow(start=START),)), "invalid", r"rows\[0\]"),
    ],
)
def test_what_is_refused_names_the_field_and_changes_nothing(
    rig: Rig, asked: FixParams, code: str, field: str
) -> None:
    before, records = everything(rig), rig.store.entities()
    with pytest.raises(Refused, match=f"^{field}") as caught:
        rig.fix(asked)
    assert caught.value.code == code
    assert (everything(rig), rig.store.entities()) == (before, records)


def test_parameters_come_from_json_and_strange_ones_are_refused() -> None:
    for fix in FIXES.values():
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"nonsense": 1}', type=fix.params)
    asked = msgspec.json.decode(b'{"entity":"van.yield","unit":null}', type=SetMetadata)
    assert (asked.unit, asked.name) == (None, msgspec.UNSET)
