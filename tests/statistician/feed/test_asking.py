"""The verb changes: what can be asked, how much is answered, and what that costs."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.commands import Code
from statistician.api import changes as verb
from statistician.fixes import params as asks
from statistician.records import Table
from statistician.store import changes as feed
from statistician.store.changes import Place
from tests.statistician.feed.reader import Reader, away, check, measure
from tests.statistician.rig import MINUTE, START, AskingRig, Json

CONTRACT = (Path(__file__).parents[3] / "docs" / "contract.md").read_text(encoding="utf-8")


def cursor(*items: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(items).encode()).decode()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"after": "x"}, "after: allowed is the `after` of the answer before; begin anew with start"),
        ({"after": "bm8="}, "after: allowed is the `after`"),
        ({"after": cursor(1, 2)}, "after: allowed is the `after`"),
        ({"after": cursor(1, [[1, 2]] * 3, 2**70, {}, None, None)}, "after: allowed is the `after`"),
        ({"after": cursor(1, [[-1, 2]] * 3, 0, {}, None, None)}, "after: allowed is the `after`"),
        (
            {"after": cursor(2, 5)},
            "after: another version of this software has made it; begin anew with start",
        ),
        (
            {"after": cursor(1, [[1, 0]] * 3, 0, {}, None, None), "start": 0},
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

    def counted(sql: str, values: tuple[Any, ...] = ()) -> object:
        read.append(1)
        return every(sql, values)

    monkeypatch.setattr(rig.store.engine, "all", counted)
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
    asked: list[tuple[str, tuple[Any, ...]]] = []
    every, number = rig.store.engine.all, rig.store.engine.number

    def noted(read: Callable[..., Any]) -> Callable[..., Any]:
        def reads(sql: str, values: tuple[Any, ...] = ()) -> object:
            asked.append((sql, values))
            return read(sql, values)

        return reads

    monkeypatch.setattr(rig.store.engine, "all", noted(every))
    monkeypatch.setattr(rig.store.engine, "number", noted(number))
    Reader().read_all(rig)
    Reader({"devices": ["van"]}).read_all(rig)
    rig.store.changes.rows(Table.HOUR, Place(0, 0), Place(rig.now, 0), [1, 2])
    large = [one for one in asked if re.search(r"FROM (states|statistics_)", one[0])]
    assert len({sql for sql, _ in large}) > 4
    for sql, values in large:
        plan = [str(row[3]) for row in every(f"EXPLAIN QUERY PLAN {sql}", values)]
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


def test_others_have_their_turn_between_any_two_changes(rig: AskingRig) -> None:
    measure(rig, 70)
    reader = Reader()
    reader.read_all(rig)
    rig.fix(asks.EntityRename(entity="van.volt", to="van.other"))
    for one in (Reader(), reader):
        one.begin(rig)
        slices = 1
        while not one.go_on(1):
            slices += 1
        assert slices > len(one.changes) > 60
