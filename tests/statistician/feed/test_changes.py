"""The verb changes: order, what came late or is corrected, names, gaps, other databases, filters, cursors."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from bus.commands import Code
from bus.messages import from_iso, to_iso
from config.model import Statistician as Settings
from statistician.api import changes as verb
from statistician.arithmetic import DAY, HOUR, MINUTES_5, hour_of
from statistician.fixes import params as asks
from statistician.records import Table
from statistician.store import changes as feed
from statistician.store.changes import Place
from statistician.upkeep import Purge
from tests.statistician.feed.reader import KINDS, Reader, stored
from tests.statistician.rig import MINUTE, SECOND, START, AskingRig, Json

CONTRACT = (Path(__file__).parents[3] / "docs" / "contract.md").read_text(encoding="utf-8")


@pytest.fixture
def rig(tmp_path: Path) -> AskingRig:
    made = AskingRig(tmp_path / "s.db", settings=Settings(keep_days=2))
    made.about("van", volt="measurement", total="total_increasing")
    return made


def measure(rig: AskingRig, minutes: int) -> None:
    """A reading a minute, all in order."""
    for _ in range(minutes):
        rig.now += MINUTE
        rig.reading("van", {"volt": rig.now / MINUTE % 7, "total": rig.now / HOUR})
        rig.settle()


def entries(rig: AskingRig) -> list[tuple[str, int, str, int]]:
    """What was noted: name, entity, kind and whether removed."""
    return rig.store.engine.all("SELECT name, entity, what, removed FROM changed ORDER BY seq")  # type: ignore[return-value]  # as asked


def due(change: Json) -> int:
    """When a change was known first, ms."""
    length = {"5minute": MINUTES_5, "hour": HOUR}
    return from_iso(change["ts"]) if "ts" in change else from_iso(change["start"]) + length[change["period"]]


def check(rig: AskingRig, *readers: Reader) -> None:
    """Readers have what the database holds."""
    for reader in readers:
        reader.read_all(rig)
        before = {what: horizon.before for what, horizon in rig.store.changes.horizons().items()}
        wanted = {k: v for k, v in stored(rig).items() if reader.wants(k[0], k[1])}
        assert {k: v for k, v in reader.held.items() if k[2] < before[k[0]]} == {
            k: v for k, v in wanted.items() if k[2] < before[k[0]]
        }
        # What was dated anew may lie ahead of that.
        assert reader.held.items() <= wanted.items()


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
    assert min(key[2] for key in reader.held) == START + 10 * MINUTE
    assert not reader.gaps


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
    measure(rig, 70)
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


def away(rig: AskingRig, days: int) -> None:
    """The van goes on for days of which only some hours are measured, and the purges of their nights."""
    for _ in range(days):
        rig.run_until(rig.now + 2 * HOUR)
        rig.close()
        rig.now += 22 * HOUR
        rig.start()
        measure(rig, 10)
        rig.service.handle(Purge())
        rig.commit()


@pytest.mark.parametrize("kinds", [["reading"], ["reading", "5minute"], ["5minute"], list(KINDS), ["hour"]])
def test_what_is_too_old_is_a_gap_and_goes_on_with_hours(rig: AskingRig, kinds: list[str]) -> None:
    measure(rig, 30)
    reader = Reader({"kinds": kinds})
    reader.read_all(rig)
    last = rig.store.changes.horizons()
    noted = entries(rig)
    away(rig, 5)
    assert [one for one in entries(rig)[len(noted) :] if one[3]] == []
    found = reader.read_all(rig, limit=5)
    fine = [kind for kind in kinds if kind != "hour"]
    assert [gap["gap"] for gap in reader.gaps] == fine
    purged = rig.store.changes.purged
    assert purged > START + DAY
    for gap in reader.gaps:
        assert (from_iso(gap["start"]), from_iso(gap["end"])) == (last[gap["gap"]].before, purged)
    since = min((from_iso(gap["start"]) for gap in reader.gaps), default=START)
    hours = [key for key in stored(rig) if key[0] == "hour"]
    if "hour" not in kinds:
        assert {key for key in reader.held if key[0] == "hour"} == {
            key for key in hours if hour_of(since) <= key[2] < purged
        }
        # After the gap, and before what is still there.
        begun = [n for n, one in enumerate(found) if "gap" in one or one.get("period") == "hour"]
        assert begun == list(range(len(begun)))
    else:
        assert {key for key in reader.held if key[0] == "hour"} == set(hours)
    for key in stored(rig):
        assert key in reader.held or key[0] not in kinds or key[2] < purged
    assert reader.read_all(rig) == []


def test_a_gap_that_grows_is_told_once_for_each_piece(rig: AskingRig) -> None:
    measure(rig, 30)
    reader = Reader({"kinds": ["reading"]})
    reader.read_all(rig)
    away(rig, 5)
    reader.read(rig, limit=2)
    away(rig, 5)
    reader.read_all(rig, limit=2)
    one, two = reader.gaps
    assert one["end"] == two["start"]
    hours = {key[2] for key in stored(rig) if key[0] == "hour" and key[2] < from_iso(two["end"])}
    assert {key[2] for key in reader.held if key[0] == "hour"} == hours


def test_a_quiet_time_is_no_gap(rig: AskingRig) -> None:
    measure(rig, 30)
    rig.commit()
    rig.close()
    rig.now += 9 * DAY
    rig.start()
    reader = Reader()
    reader.read_all(rig)
    measure(rig, 10)
    rig.service.handle(Purge())
    rig.settle()
    reader.read_all(rig)
    assert not reader.gaps


def test_kept_from_is_where_readings_begin(rig: AskingRig) -> None:
    assert rig.data("changes")["kept_from"] == to_iso(rig.now)
    measure(rig, 30)
    assert rig.data("changes")["kept_from"] == to_iso(START + MINUTE)
    away(rig, 5)
    first = rig.store.states.first() or 0
    assert START + DAY < from_iso(rig.data("changes")["kept_from"]) <= first


@pytest.mark.parametrize("later", [False, True])
def test_a_database_put_back_is_told(tmp_path: Path, rig: AskingRig, later: bool) -> None:  # noqa: FBT001 — a parameter
    measure(rig, 30)
    rig.close()
    shutil.copyfile(rig.path, tmp_path / "copy.db")
    rig.start()
    measure(rig, 30)
    reader = Reader()
    reader.read_all(rig)
    if later:
        # Only the number of what was changed tells.
        rig.reading("van", {"volt": 9.0}, ts=START + MINUTE + 5, late=True)
        rig.commit()
        reader.read_all(rig)
    ends = {what: horizon.before for what, horizon in rig.store.changes.horizons().items()}
    rig.close()
    rig.store.engine.path.unlink()
    shutil.copyfile(tmp_path / "copy.db", rig.path)
    rig.start()
    if later:
        measure(rig, 60)
    reader.gaps.clear()
    reader.read_all(rig)
    assert [gap["gap"] for gap in reader.gaps] == list(KINDS if later else KINDS[:1])
    for gap in reader.gaps:
        assert from_iso(gap["end"]) == ends[gap["gap"]]
        assert (gap["start"] < gap["end"]) != later
    measure(rig, 60)
    reader.gaps.clear()
    reader.read_all(rig)
    assert not reader.gaps
    missing = {k for k in stored(rig) if k[2] > ends["reading"] + HOUR} - reader.held.keys()
    assert {kind for kind, _, ts in missing if ts < rig.now - 10 * MINUTE} <= {"hour"}


def test_more_than_so_many_entries_are_joined_and_nothing_is_lost(
    rig: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_MOST", 10)
    rig.store.changes._most = 10
    measure(rig, 60)
    readers = [Reader(), Reader()]
    for reader in readers:
        reader.read_all(rig)
    for number in range(30):
        rig.reading("van", {"volt": 100.0 + number}, ts=START + number * MINUTE + 7, late=True)
        rig.commit()
        if number % 7 == 0:
            readers[1].read(rig, limit=3)
    # As many again as there are things to tell of, twice.
    assert len(entries(rig)) <= 10 + 2 * len(KINDS)
    rig.commit()
    check(rig, *readers)


def test_the_newest_entry_stays_when_all_are_old(rig: AskingRig) -> None:
    measure(rig, 30)
    reader = Reader()
    reader.read_all(rig)
    for ts in (START + MINUTE + 5, START + MINUTE + 6):
        rig.reading("van", {"volt": 9.0}, ts=ts, late=True)
        rig.commit()
    newest = rig.store.changes.newest()
    assert newest > 1
    rig.store.changes.remove_before(rig.now)
    assert [one[2] for one in entries(rig)][-1:] != []
    assert rig.store.changes.newest() == newest


def cursor(*items: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(items).encode()).decode()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"after": "x"}, "after: allowed is the `after` of the answer before; begin anew with start"),
        ({"after": "bm8="}, "after: allowed is the `after`"),
        ({"after": cursor(1, 2)}, "after: allowed is the `after`"),
        ({"after": cursor(1, [[1, 2]] * 3, 2**70, 0, None, None)}, "after: allowed is the `after`"),
        ({"after": cursor(1, [[-1, 2]] * 3, 0, 0, None, None)}, "after: allowed is the `after`"),
        (
            {"after": cursor(2, 5)},
            "after: another version of this software has made it; begin anew with start",
        ),
        (
            {"after": cursor(1, [[1, 0]] * 3, 0, 0, None, None), "start": 0},
            "start: it does not go with after",
        ),
        ({"entities": ["van"]}, "entities: 'van' is no name; allowed is device.entity"),
        ({"entities": ["van.vo?t"]}, "entities: 'van.vo?t' is no name"),
        ({"entities": ["a.b.c"]}, "entities: 'a.b.c' is no name"),
        ({"devices": ["van.volt"]}, "devices: 'van.volt' is no name; allowed is device, of a to z"),
        ({"entities": []}, "entities: "),
        ({"kinds": ["day"]}, "kinds[0]: Invalid enum value 'day'; allowed are"),
        ({"limit": 0}, "limit: "),
        ({"limit": 1001}, "limit: "),
        ({"start": "yesterday"}, "start: "),
    ],
)
def test_what_cannot_be_asked(rig: AskingRig, params: Json, told: str) -> None:
    code, text = rig.refusal("changes", **params)
    assert code is Code.INVALID
    assert text.startswith(told)


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, {"van.volt", "van.total", "box.level"}),
        ({"entities": ["van.*"]}, {"van.volt", "van.total"}),
        ({"entities": ["*.vol*", "box/level"]}, {"van.volt", "box.level"}),
        ({"entities": ["*.level"], "devices": ["v*"]}, {"van.volt", "van.total", "box.level"}),
        ({"devices": ["box"]}, {"box.level"}),
        ({"devices": ["none"]}, set()),
        ({"entities": ["*" * 40 + ".a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r*s*t"]}, set()),
    ],
)
def test_names(rig: AskingRig, params: Json, names: set[str]) -> None:
    rig.about("box", level="measurement")
    for _ in range(8):
        rig.now += MINUTE
        rig.reading("box", {"level": rig.now / MINUTE % 3})
        measure(rig, 1)
    reader = Reader(params)
    reader.read_all(rig)
    assert {key[1] for key in reader.held} == names
    check(rig, reader)
    # What comes later belongs to them, too.
    rig.fix(asks.EntityRename(entity="van.volt", to="none.volt"))
    rig.commit()
    reader.read_all(rig)
    assert any(key[1] == "none.volt" for key in reader.held) == reader.wants("reading", "none.volt")


def test_kinds(rig: AskingRig) -> None:
    measure(rig, 65)
    for kinds in (["reading"], ["hour"], ["5minute", "hour"]):
        reader = Reader({"kinds": kinds})
        reader.read_all(rig)
        assert {key[0] for key in reader.held} == set(kinds)
        check(rig, reader)


def test_an_answer_has_a_size_and_each_page_goes_on(rig: AskingRig) -> None:
    for number in range(120):
        rig.now += MINUTE
        rig.reading("van", {"text": f"{number} " + "x" * 900})
        rig.settle()
    pages = 0
    reader = Reader()
    while reader.more:
        answer = rig.raw(
            "changes", json.dumps({"after": reader.after} if reader.after else {"start": 0}).encode()
        )
        assert len(answer.payload) < 42_000
        reader._take(json.loads(answer.payload)["data"])
        assert reader.changes
        pages += 1
    assert pages > 2
    check(rig, reader)


def test_a_page_looks_at_so_much_and_no_more(rig: AskingRig, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, verb):
        monkeypatch.setattr(module, "LOOK", 50)
    monkeypatch.setattr(verb, "_MOST_LOOKED_AT", 250)
    rig.about("rare", thing=None)
    rig.reading("rare", {"thing": "a"})
    measure(rig, 600)
    rig.reading("rare", {"thing": "b"})
    rig.commit()
    reader = Reader({"devices": ["rare"]})
    read: list[int] = []
    every = rig.store.engine.all
    monkeypatch.setattr(rig.store.engine, "all", lambda *a: read.append(1) or every(*a))
    pages = []
    while reader.more:
        read.clear()
        reader.read(rig)
        pages.append(len(read))
    assert len(pages) > 4
    # Some of its own, and one for a piece.
    assert max(pages) <= 12
    assert [value[0] for key, value in sorted(reader.held.items(), key=lambda one: one[0][2])] == ["a", "b"]


def test_all_of_it_goes_by_primary_keys(rig: AskingRig, monkeypatch: pytest.MonkeyPatch) -> None:
    measure(rig, 70)
    asked: list[tuple[str, tuple[object, ...]]] = []
    every, number = rig.store.engine.all, rig.store.engine.number
    monkeypatch.setattr(
        rig.store.engine, "all", lambda sql, values=(): asked.append((sql, values)) or every(sql, values)
    )
    monkeypatch.setattr(
        rig.store.engine, "number", lambda sql, values=(): asked.append((sql, values)) or number(sql, values)
    )
    Reader().read_all(rig)
    Reader({"devices": ["van"]}).read_all(rig)
    rig.store.changes.rows(Table.HOUR, Place(0, 0), Place(rig.now, 0), [1, 2])
    large = [one for one in asked if re.search(r"FROM (states|statistics_)", one[0])]
    assert len({sql for sql, _ in large}) > 4
    for sql, values in large:
        plan = [str(row[3]) for row in every(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]  # what was asked
        ours = [line for line in plan if re.search(r" (states|statistics_\w+)", line)]
        assert ours
        # The newest state is the last of the key: its scan ends at once.
        assert all("SEARCH" in line or "max(ts)" in sql or "min(ts)" in sql for line in ours), (sql, plan)


def test_the_forms_are_those_of_the_contract(rig: AskingRig) -> None:
    section = CONTRACT.split("### The change feed")[1].split("\n## ")[0]
    shown = [json.loads(re.sub(r"\s+", " ", one)) for one in re.findall(r"`(\{.*?\})`", section, re.DOTALL)]
    measure(rig, 30)
    found = Reader().read_all(rig)
    reading = next(one for one in found if "ts" in one) | {"unit": "V"}
    row = next(one for one in found if "mean" in one) | {"unit": "V"}
    reader = Reader()
    reader.read_all(rig)
    rig.fix(asks.DeleteStates(entity="van.volt", start=START, end=START + 5 * MINUTE))
    removed = next(one for one in reader.read_all(rig) if "removed" in one)
    away(rig, 5)
    reader.read_all(rig)
    assert [one.keys() for one in shown] == [
        reading.keys(),
        row.keys(),
        removed.keys(),
        reader.gaps[0].keys(),
    ]
