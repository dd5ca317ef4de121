"""The journal of fixes: every entry can be listed whatever it holds, and none is read but the one needed."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from bus.about import Entity
from bus.request_server import PAGE
from statistician.arithmetic import HOUR
from statistician.fixes import NAMED, SHORT
from statistician.fixes.params import Clear, ImportedRow, ImportStatistics, Recompile, SetMetadata
from tests.statistician.rig import MINUTE, START, AskingRig, Json

MIB = 1024 * 1024
# As many rows as a request of 59 KB brings.
ROWS = tuple(ImportedRow(start=START - (n + 1) * HOUR, mean=12.5 + n, min=12.25) for n in range(960))
IMPORT = ImportStatistics(entity="van.voltage", rows=ROWS)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AskingRig]:
    """An hour of a van."""
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", voltage="measurement", energy="total_increasing")
    for n in range(12):
        rig.reading("van", {"voltage": 12.0, "energy": float(n)})
        rig.run_until(rig.now + 6 * MINUTE)
    yield rig
    rig.close()


def note(rig: AskingRig, asked: msgspec.Struct, times: int, *, verb: str = "clear", entity: int = 99) -> None:
    """Put fixes into the journal as if they had been made."""
    params = msgspec.json.encode(asked)
    with rig.store.transaction():
        for _ in range(times):
            rig.store.fixes.add(START, verb, params, [entity], None)


def number_of(rig: AskingRig, key: str) -> int:
    (number,) = [one.id for one in rig.store.entities() if one.entity == key]
    return number


def describe_many(rig: AskingRig) -> list[int]:
    """Make hundreds of entities known, with names as long as they may be; the numbers of all there are."""
    for device in range(5):
        known = {f"{n:064}": Entity(name="x", unit="V") for n in range(100)}
        rig.describe(f"{device}" * 64, known)
    rig.commit()
    numbers = [one.id for one in rig.store.entities()]
    assert len(numbers) > 500
    return numbers


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of memory that something takes at most, above those at its start."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def listed(rig: AskingRig, **params: Json) -> list[Json]:
    return [one for page in rig.pages("fixes", **params) for one in page]


def test_a_large_import_is_listed_and_the_cursor_gets_past_it(rig: AskingRig) -> None:
    voltage = number_of(rig, "voltage")
    fills = Clear(entities=("van.voltage",) * 130)
    assert 1500 < len(msgspec.json.encode(fills)) <= SHORT
    note(rig, fills, 30, entity=voltage)
    rows = [{"start": row.start, "mean": row.mean, "min": row.min, "max": 999.5} for row in ROWS]
    request = {"entity": "van.voltage", "rows": rows}
    assert 58_000 < len(msgspec.json.encode(request)) <= 65_000
    number = rig.data("import_statistics", **request)["id"]
    note(rig, fills, 30, entity=voltage)
    pages = rig.pages("fixes")
    assert len(pages) > 1
    assert all(len(msgspec.json.encode(page)) <= PAGE for page in pages)
    found = [one for page in pages for one in page]
    assert [one["id"] for one in found] == list(range(61, 0, -1))
    assert found[61 - number] == {
        "id": number,
        "ts": found[61 - number]["ts"],
        "verb": "import_statistics",
        "entities": ["van.voltage"],
        "params": {
            "entity": "van.voltage",
            "rows": {"length": len(ROWS)},
            "unit": None,
            "name": None,
            "state_class": None,
            "import": None,
            "more": False,
            "dry_run": False,
        },
    }
    assert found[0]["params"] == {"entities": ["van.voltage"] * 130, "dry_run": False}
    assert "more_entities" not in found[0]


def test_a_limit_counts_over_all_pages_and_what_comes_between_them_shifts_nothing(rig: AskingRig) -> None:
    note(rig, Clear(entities=("van.voltage",) * 130), 70, entity=number_of(rig, "voltage"))
    first = rig.ask("fixes", limit=50)
    rig.data("set_metadata", entity="van.voltage", name="Starter")
    rest = rig.pages("fixes", limit=50, cursor=first["next"])
    assert [one["id"] for page in (first["data"], *rest) for one in page] == list(range(70, 20, -1))


@pytest.mark.parametrize(("over", "shown"), [(0, "x"), (1, {"length": 1})])
def test_params_are_listed_as_they_are_up_to_a_size(rig: AskingRig, over: int, shown: Json) -> None:
    empty = len(msgspec.json.encode(Clear(entities=("",))))
    note(rig, Clear(entities=("x" * (SHORT + over - empty),)), 1, entity=number_of(rig, "voltage"))
    (one,) = listed(rig)
    wanted = ["x" * (SHORT - empty)] if shown == "x" else shown
    assert one["params"] == {"entities": wanted, "dry_run": False}


ODD = "\x01"
LONG = "d" * 64 + "."


@pytest.mark.parametrize(
    ("verb", "asked", "lengths"),
    [
        (
            "set_metadata",
            SetMetadata(entity="e" * 200, name=ODD * 200, unit=ODD * 32, device_class=ODD * 200),
            {},
        ),
        ("clear", Clear(entities=(LONG + "e" * 64,) * 500), {"entities": 500}),
        ("recompile", Recompile(start=ODD * 40, entities=(LONG + "e" * 64,) * 500), {"entities": 500}),
        (
            "import_statistics",
            ImportStatistics(entity="e" * 200, rows=ROWS * 4, unit=ODD * 32, name=ODD * 200),
            {"rows": 4 * len(ROWS)},
        ),
    ],
)
def test_the_largest_of_each_verb_fit_into_a_page_with_hundreds_of_entities(
    rig: AskingRig, verb: str, asked: msgspec.Struct, lengths: dict[str, int]
) -> None:
    numbers = describe_many(rig)
    for _ in range(9):
        rig.store.fixes.add(START, verb, msgspec.json.encode(asked), numbers, None)
    pages = rig.pages("fixes")
    found = [one for page in pages for one in page]
    assert [one["id"] for one in found] == list(range(9, 0, -1))
    assert (len(found[0]["entities"]), found[0]["more_entities"]) == (NAMED, len(numbers) - NAMED)
    assert {key: found[0]["params"][key]["length"] for key in lengths} == lengths
    assert set(found[0]["params"]) == set(msgspec.json.decode(msgspec.json.encode(asked)))
    assert all(len(msgspec.json.encode(page)) <= PAGE for page in pages)


def test_a_fix_of_hundreds_of_entities_is_not_called_refused(rig: AskingRig) -> None:
    numbers = describe_many(rig)
    answer = rig.data("recompile", start=START)
    assert (len(answer["entities"]), answer["more_entities"]) == (NAMED, len(numbers) - NAMED)
    (one,) = listed(rig)
    assert (one["verb"], one["entities"]) == ("recompile", answer["entities"])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskingRig]:
    """A fix that can be taken back below two thousand small and a thousand large ones of another entity."""
    rig = AskingRig(tmp_path_factory.mktemp("crowd") / "x.db")
    rig.about("van", voltage="measurement", other="measurement")
    rig.reading("van", {"voltage": 12.0, "other": 1.0})
    rig.run_until(rig.now + 6 * MINUTE)
    assert rig.data("set_metadata", entity="van.voltage", name="Starter")["id"] == 1
    other = number_of(rig, "other")
    note(rig, Recompile(start=START, entities=("van.other",)), 2000, verb="recompile", entity=other)
    assert len(msgspec.json.encode(IMPORT)) > 59_000
    note(rig, IMPORT, 1000, verb="import_statistics", entity=other)
    yield rig
    rig.close()


def test_a_thousand_large_ones_are_listed_in_little_memory(crowd: AskingRig) -> None:
    found: list[Json] = []
    assert peak_of(lambda: found.extend(listed(crowd, limit=1000))) < 4 * MIB
    assert [one["id"] for one in found] == list(range(3001, 2001, -1))
    assert {one["params"]["rows"]["length"] for one in found} == {len(ROWS)}


def test_between_two_entries_there_is_time_for_other_work(
    crowd: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statistician.service._SLICE_S", 0.0)
    statements: list[str] = []
    connection = crowd.store.engine.database.connection()  # type: ignore[no-untyped-call]  # peewee's stubs
    connection.set_trace_callback(statements.append)
    before = len(crowd.answers.published)
    crowd.send("fixes", b'{"limit": 25}')
    read_at_once: list[int] = []
    while len(crowd.answers.published) == before:
        statements.clear()
        crowd.service.tick(crowd.now / 1000)
        read_at_once.append(sum("FROM fix" in sql for sql in statements))
    connection.set_trace_callback(None)
    answer = msgspec.json.decode(crowd.answers.published[-1].payload)
    assert len(answer["data"]) == sum(read_at_once) == 25
    assert max(read_at_once) == 1


def test_to_take_back_one_of_thousands_only_that_one_is_read(crowd: AskingRig) -> None:
    # The first time modules are loaded, too.
    assert crowd.data("undo", fix=1, dry_run=True)["undone"] == 1
    assert peak_of(lambda: crowd.data("undo", fix=1, dry_run=True)) < MIB


def test_the_newest_fix_in_the_way_is_named(rig: AskingRig) -> None:
    def rename(key: str, name: str) -> int:
        number: int = rig.data("set_metadata", entity=f"van.{key}", name=name)["id"]
        return number

    first, second, third = (rename("voltage", name) for name in "abc")
    rename("energy", "d")
    rig.data("recompile", start=START, entities=["van.voltage"])
    for newest in (third, second):
        code, text = rig.refusal("undo", fix=first)
        assert (code, text) == ("invalid", f"id: first take back fix {newest} (set_metadata): it is newer")
        rig.data("undo", fix=newest)
    assert rig.data("undo", fix=first)["undone"] == first
