"""The verb changes: what is too old, another database, how what was changed is noted."""

import shutil
from pathlib import Path

import pytest

from bus.messages import from_iso, to_iso
from statistician.arithmetic import DAY, HOUR, hour_of
from statistician.store import changes as feed
from statistician.upkeep import Purge
from tests.statistician.feed.reader import KINDS, Reader, away, check, entries, measure, stored
from tests.statistician.rig import MINUTE, START, AskingRig, Json


@pytest.mark.parametrize("kinds", [["reading"], ["reading", "5minute"], ["5minute"], list(KINDS), ["hour"]])
def test_what_is_too_old_is_a_gap_and_goes_on_with_hours(rig: AskingRig, kinds: list[str]) -> None:
    measure(rig, 30)
    reader = Reader({"kinds": kinds})
    reader.read_all(rig)
    last = rig.store.changes.horizons()
    noted = entries(rig)
    away(rig, 5)
    assert [one for one in entries(rig)[len(noted) :] if one[3]] == []
    found = reader.read_all(rig, limit=1)
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
    reader.read_all(rig, limit=1)
    assert [gap["gap"] for gap in reader.gaps] == list(KINDS[:1])
    for gap in reader.gaps:
        assert from_iso(gap["end"]) == ends[gap["gap"]]
        assert (gap["start"] < gap["end"]) != later
    reader.gaps.clear()
    reader.read_all(rig)
    assert not reader.gaps
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


def test_until_is_up_to_where_all_readings_have_come(rig: AskingRig) -> None:
    measure(rig, 30)
    answer: Json = {"start": 0}
    told: list[int] = []
    for _ in range(20):
        data = rig.data("changes", kinds=["reading"], limit=7, **answer)
        came = [from_iso(change["ts"]) for change in data["changes"]]
        assert not told or all(ts > told[-1] for ts in came)
        told.append(from_iso(data["until"]))
        assert all(ts <= told[-1] + 1 for ts in came)
        answer = {"after": data["after"]}
    # What has just come may still be joined by others of its time.
    assert rig.now - 2 * MINUTE < told[-1] < rig.now
