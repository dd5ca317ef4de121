"""The verb changes: order, what came late or was corrected, names, clocks."""

import pytest

from bus.messages import from_iso
from statistician.api import changes as verb
from statistician.arithmetic import HOUR, hour_of
from statistician.fixes import params as asks
from statistician.store import changes as feed
from tests.statistician.feed.reader import Reader, away, check, due, entries, measure, stored
from tests.statistician.rig import MINUTE, SECOND, START, AskingRig, Json


def test_what_comes_in_order_comes_once_in_order_and_notes_nothing(rig: AskingRig) -> None:
    reader = Reader()
    found: list[Json] = []
    for _ in range(13):
        measure(rig, 10)
        found += reader.read_all(rig, limit=7)
    assert entries(rig) == []
    assert [due(one) for one in found] == sorted(due(one) for one in found)
    assert len(found) == len(reader.held)
    assert {one.get("period") for one in found} == {None, "5minute", "hour"}
    check(rig, reader)


def test_a_row_comes_after_the_readings_of_its_period_and_5_minutes_before_the_hour(rig: AskingRig) -> None:
    measure(rig, 62)
    found = Reader().read_all(rig)
    end = hour_of(rig.now)
    last = max(n for n, one in enumerate(found) if "ts" in one and from_iso(one["ts"]) < end)
    periods = [one["period"] for one in found[last + 1 :] if "period" in one and due(one) == end]
    assert periods == ["5minute", "5minute", "hour", "hour"]


def test_what_is_not_settled_yet_waits(rig: AskingRig) -> None:
    measure(rig, 3)
    rig.commit()
    reader = Reader()
    reader.read_all(rig)
    seen = max(key[2] for key in reader.held)
    rig.now += SECOND
    rig.reading("van", {"volt": 100.0}, ts=rig.now)
    rig.service.put_on_disk()
    rig.reading("box", {"level": 1.0}, ts=rig.now - 500)
    rig.now += 3 * SECOND
    reader.read_all(rig)
    rig.now -= 3 * SECOND
    rig.service.put_on_disk()
    reader.read_all(rig)
    assert max(key[2] for key in reader.held) == seen
    rig.commit()
    assert [c["entity"] for c in reader.read_all(rig)] == ["box.level", "van.volt"]
    assert entries(rig) == []


def test_without_start_only_what_comes_from_now_on(rig: AskingRig) -> None:
    measure(rig, 10)
    rig.commit()
    reader = Reader(start=None)
    assert reader.read_all(rig) == []
    now = rig.now
    measure(rig, 3)
    rig.commit()
    found = {from_iso(one["ts"]) for one in reader.read_all(rig) if "ts" in one}
    assert found == {now + n * MINUTE for n in (1, 2, 3)}


def test_start_begins_at_a_time(rig: AskingRig) -> None:
    measure(rig, 20)
    reader = Reader(start=START + 10 * MINUTE)
    reader.read_all(rig)
    before = [key for key in reader.held if key[2] < START + 10 * MINUTE]
    # What held then, and all since.
    assert sorted(before) == [("reading", f"van.{name}", START + 9 * MINUTE) for name in ("total", "volt")]
    assert min(key[2] for key in reader.held if key not in before) == START + 10 * MINUTE
    assert not reader.gaps


def test_what_held_where_a_reader_begins_comes_first_however_small_its_pages(rig: AskingRig) -> None:
    names = [f"d{n}" for n in range(7)]
    for name in names:
        rig.reading(name, {"soc": 50.0})
    measure(rig, 30)
    reader = Reader(start=START + 20 * MINUTE)
    found = reader.read_all(rig, limit=2)
    first = [one["entity"] for one in found[:9]]
    assert sorted(first) == [*(f"{name}.soc" for name in names), "van.total", "van.volt"]
    assert all(from_iso(one["ts"]) < START + 20 * MINUTE for one in found[:9])
    assert len([one for one in found if one.get("entity") == "d0.soc"]) == 1


def test_a_late_reading_and_the_rows_it_corrects_come_again_with_a_higher_rev(rig: AskingRig) -> None:
    measure(rig, 70)
    reader = Reader()
    reader.read_all(rig)
    rig.reading("van", {"volt": 500.0}, ts=START + 7 * MINUTE + 5, late=True)
    rig.commit()
    rig.settle()
    found = [one for one in reader.read_all(rig) if due(one) <= START + HOUR]
    assert [(one.get("value"), one.get("period"), one.get("rev")) for one in found] == [
        (500.0, None, None),
        (None, "5minute", 1),
        (None, "hour", 1),
    ]
    check(rig, reader)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_deleted_is_removed_and_so_is_the_newest(rig: AskingRig, restarted: bool) -> None:  # noqa: FBT001 — a parameter
    measure(rig, 20)
    rig.commit()
    reader = Reader()
    reader.read_all(rig)
    newest = max(key[2] for key in reader.held if key[0] == "reading")
    rig.fix(asks.DeleteStates(entity="van.volt", start=newest - 3 * MINUTE, end=newest + 1))
    if restarted:
        rig.restart()
    # Behind what the reader has, though nothing newer is stored of it.
    rig.reading("van", {"volt": 77.0, "total": 1.0}, ts=newest - 30 * SECOND, late=True)
    rig.commit()
    found = reader.read_all(rig)
    assert "reading" in [one.get("removed") for one in found]
    assert 77.0 in [one.get("value") for one in found]
    measure(rig, 10)
    check(rig, reader)


@pytest.mark.parametrize("to", ["van.other", "bus.volt", "old.volt"])
def test_another_name_takes_all_with_it(rig: AskingRig, to: str) -> None:
    rig.about("old", volt="measurement")
    measure(rig, 20)
    readers = [Reader(), Reader({"devices": ["van"]}), Reader({"entities": [to]})]
    for reader in readers:
        reader.read_all(rig)
    done = rig.fix(asks.EntityRename(entity="van.volt", to=to))
    check(rig, *readers)
    assert any(key[1] == to for key in readers[2].held)
    rig.fix(asks.UndoFix(id=done.id or 0))
    check(rig, *readers)
    assert not any(key[1] == to for key in readers[2].held)
    rig.fix(asks.EntityRename(entity="van.volt", to=to))
    measure(rig, 7)
    check(rig, *readers)


def test_a_name_given_free_is_anothers_for_a_slow_reader_too(
    rig: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_MOST", 1)
    measure(rig, 20)
    reader = Reader()
    reader.read_all(rig)
    rig.fix(asks.EntityRename(entity="van.volt", to="van.old"))
    measure(rig, 20)
    reader.read_all(rig)
    # It is joined with what was told before, under a new number.
    rig.fix(asks.EntityRename(entity="van.old", to="van.older"))
    rig.fix(asks.DeleteStates(entity="van.total", start=START, end=START + 5 * MINUTE))
    measure(rig, 5)
    check(rig, reader)


def test_a_page_in_the_making_knows_the_names_of_now(rig: AskingRig, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, verb):
        monkeypatch.setattr(module, "LOOK", 5)
    measure(rig, 30)
    for slices in range(1, 12):
        reader = Reader({"devices": ["van"]})
        reader.begin(rig)
        reader.go_on(slices)
        fix = rig.fix(asks.DeviceRename(device="van", to="bus"))
        reader.go_on()
        reader.read_all(rig)
        assert reader.held == {}, slices
        rig.fix(asks.UndoFix(id=fix.id or 0))
        reader.read_all(rig)
        assert {name for _, name, _ in reader.held} == {"van.volt", "van.total"}


def test_a_merged_series_leaves_nothing_under_its_old_name(rig: AskingRig) -> None:
    measure(rig, 20)
    rig.about("new", volt="measurement")
    for _ in range(20):
        rig.now += MINUTE
        rig.reading("new", {"volt": 5.0 + rig.now / MINUTE % 3})
        rig.settle()
    reader = Reader()
    reader.read_all(rig)
    done = rig.fix(asks.EntityRename(entity="van.volt", to="new.volt"))
    rig.commit()
    check(rig, reader)
    rig.fix(asks.UndoFix(id=done.id or 0))
    measure(rig, 6)
    check(rig, reader)


def test_all_that_users_put_right_comes_again(rig: AskingRig) -> None:
    measure(rig, 130)
    reader = Reader()
    reader.read_all(rig)
    imported = asks.ImportedRow(start=START - 5 * HOUR, mean=3.0)
    for one in (
        asks.AdjustSum(entity="van.total", start=START + HOUR, adjustment=5.0),
        asks.ImportStatistics(entity="van.volt", rows=(imported,)),
        asks.ImportStatistics(entity="old.hut", rows=(imported,), state_class="measurement", unit="V"),
        asks.ChangeUnit(entity="van.volt", unit=""),
        asks.Recompile(start=START),
        asks.DeviceReplaced(device="van", at=START + 30 * MINUTE),
        asks.Clear(entities=("van.total",)),
    ):
        done = rig.fix(one)
        rig.commit()
        check(rig, reader)
        if done.id is not None:
            rig.fix(asks.UndoFix(id=done.id))
            rig.commit()
            check(rig, reader)


@pytest.mark.parametrize("by", [-3 * HOUR, -10 * MINUTE, HOUR])
def test_a_clock_that_is_set(rig: AskingRig, by: int) -> None:
    measure(rig, 70)
    readers = [Reader(), Reader({"kinds": ["reading"]})]
    readers[0].read_all(rig)
    readers[1].read(rig, limit=50)
    rig.set_clock(rig.now + by)
    measure(rig, 30)
    check(rig, *readers)
    rig.set_clock(rig.now - by)
    measure(rig, 30)
    rig.restart()
    measure(rig, 30)
    check(rig, *readers)


def test_after_a_clock_was_set_back_what_comes_in_order_notes_nothing(rig: AskingRig) -> None:
    measure(rig, 250)
    reader = Reader()
    reader.read_all(rig)
    rig.set_clock(rig.now - 3 * HOUR)
    measure(rig, 15)
    reader.read_all(rig)
    before = len(entries(rig))
    for _ in range(10):
        measure(rig, 5)
        reader.read_all(rig)
    assert len(entries(rig)) == before
    check(rig, reader)


def test_an_entry_ahead_of_a_reader_is_not_told_twice(rig: AskingRig) -> None:
    measure(rig, 30)
    Reader().read_all(rig)
    reader = Reader()
    first = reader.read(rig, limit=10)
    rig.reading("van", {"volt": 500.0}, ts=START + 20 * MINUTE + 5, late=True)
    rig.commit()
    found = first + reader.read_all(rig)
    assert sum(one.get("value") == 500.0 for one in found) == 1
    check(rig, reader)


def test_a_roll_back_that_is_followed_by_a_crash_is_told(rig: AskingRig) -> None:
    measure(rig, 130)
    reader = Reader()
    reader.read_all(rig)
    rig.service._compiler.roll_back(START + 75 * MINUTE)
    rig.crash()
    measure(rig, 30)
    check(rig, reader)
    assert not reader.gaps


def test_what_was_right_and_is_gone_for_its_age_stays_under_its_old_name(rig: AskingRig) -> None:
    measure(rig, 30)
    reader = Reader()
    reader.read_all(rig)
    old = {key for key in reader.held if key[:2] == ("reading", "van.volt")}
    away(rig, 5)
    reader.read_all(rig)
    rig.fix(asks.EntityRename(entity="van.volt", to="van.other"))
    reader.read_all(rig)
    assert {key for key in reader.held if key[1] == "van.volt"} == {
        key for key in reader.held if key[1] == "van.volt" and key[2] < rig.store.changes.purged
    }
    assert old < reader.held.keys()


def test_a_young_house_whose_clock_is_set_back_before_a_restart(rig: AskingRig) -> None:
    measure(rig, 6)
    rig.run_until(rig.now + 30 * SECOND)
    reader = Reader()
    reader.read_all(rig)
    assert any(key[0] == "5minute" for key in reader.held)
    rig.set_clock(rig.now - 3 * MINUTE)
    rig.restart()
    measure(rig, 20)
    assert min(key[2] for key in stored(rig) if key[0] == "5minute") < START
    check(rig, reader)


def test_what_is_late_before_the_first_period_waits_and_nothing_is_busy(rig: AskingRig) -> None:
    rig.run_until(rig.now + MINUTE)
    rig.quality = "estimated"
    measure(rig, 1)
    rig.quality = "ok"
    rig.set_clock(rig.now - 296 * SECOND)
    # It rests, or this raises.
    rig.settle()
    measure(rig, 20)
    check(rig, Reader())
