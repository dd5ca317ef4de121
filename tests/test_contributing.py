"""CONTRIBUTING.md: its examples are run as they stand there, and its map has every counter of a loss."""

import re
import sqlite3
import sys
import textwrap
import tomllib
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from collector.devices import I2C, i2c
from collector.devices.description import I2cKind
from collector.devices.victron import ble, records
from collector.devices.victron.fields import Layout
from config import model
from scripts import settings
from scripts.health_table import entries
from statistician import store as store_file
from statistician.store import Store, engine
from statistician.store import schema as schema_file
from tests.collector.kinds import Ble
from tests.emulators import i2c_chips, victron_records
from tests.home_assistant import faults
from tests.house import ROOT
from tests.statistician.test_migrations import schema, version_1

_PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_BLOCK = re.compile(
    r"^( *)```(?:python|toml)\n\1# (?P<file>\S+?\.(?:py|toml))(?P<place>[^\n]*)\n(?P<code>.*?)^\1```$",
    re.MULTILINE | re.DOTALL,
)
# By recipe, how many code blocks with the name of a file it has at least.
_RECIPES = {
    "Add a Victron record": 2,
    "Add an I2C chip": 4,
    "Add a Modbus device": 2,
    "Add a request verb": 0,
    "Add a setting": 3,
    "Add a table or a column": 3,
}
_KEY = bytes(range(16))


def _section(heading: str) -> str:
    return _PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _blocks(heading: str) -> dict[str, str]:
    """The code below a heading, by the file that its first line names."""
    return {one["file"]: textwrap.dedent(one["code"]) for one in _BLOCK.finditer(_section(heading))}


def _code(heading: str, line: str) -> str:
    """The code below a heading whose first line is this comment."""
    found = [one for one in _BLOCK.finditer(_section(heading)) if f"{one['file']}{one['place']}" == line]
    (only,) = found
    return textwrap.dedent(only["code"])


@pytest.mark.parametrize("heading", _RECIPES)
def test_each_example_goes_into_a_file_of_the_list(heading: str) -> None:
    section = _section(heading)
    listed = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(listed) >= 3
    # In the second table of a recipe, and in its sentences.
    named = [*listed, *re.findall(r"`((?:[a-z0-9_]+/)+\w+\.(?:py|toml|md))`", section)]
    made_up = set(_blocks(heading))
    lost = [file for file in named if "<" not in file and not (ROOT / file).is_file()]
    assert [file for file in lost if file not in made_up] == []
    patterns = [re.sub("<[a-z]+>", r"\\w+", file.replace(".", r"\.")) for file in listed]
    blocks = list(_BLOCK.finditer(section))
    assert len(blocks) >= _RECIPES[heading]
    assert [b["file"] for b in blocks if not any(re.fullmatch(one, b["file"]) for one in patterns)] == []


def test_every_recipe_is_held() -> None:
    assert re.findall(r"^## (Add .*)$", _PAGE, re.MULTILINE) == list(_RECIPES)


def test_the_record_of_the_example_is_read_from_its_twin() -> None:
    blocks = _blocks("Add a Victron record")
    row = blocks["collector/devices/victron/records.py"]
    made: dict[str, Layout] = eval(f"{{{row}}}", vars(records))  # noqa: S307 — the page is ours
    ((name, layout),) = made.items()
    assert layout.number not in {one.number for one in records.RECORDS.values()}
    kind = Ble(ble.kind_of(name, layout))
    assert [fault for one in kind.rows.values() for fault in faults(one.entity)] == []

    names = dict(vars(victron_records))
    exec(blocks["tests/emulators/victron_records.py"], names)  # noqa: S102 — the page is ours
    (twin,) = (value for key, value in names.items() if key not in vars(victron_records))
    assert isinstance(twin, victron_records.Layout)
    nothing = kind.decode(twin.sealed({}, _KEY), _KEY)
    assert nothing.values == dict.fromkeys(kind.rows.keys() - {"rssi"})
    for field, entity, values in twin.numbers:
        for value in values:
            assert kind.decode(twin.sealed({field: value}, _KEY), _KEY).values[entity] == value
    assert {entity for _, entity, _ in twin.numbers} == kind.rows.keys() - {
        "rssi",
        "device_state",
        "charger_error",
    }


def _module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(code, vars(module))  # noqa: S102 — the page is ours
    return module


def test_the_chip_of_the_example_passes_its_own_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocks = _blocks("Add an I2C chip")
    files = {file: code for file, code in blocks.items() if file.startswith("collector/devices/i2c/")}
    ((file, code),) = files.items()
    stem = Path(file).stem
    chip = _module(f"collector.devices.i2c.{stem}", code, monkeypatch)
    monkeypatch.setattr(i2c, stem, chip, raising=False)
    kind = chip.KIND
    assert isinstance(kind, I2cKind)
    assert [fault for one in kind.rows.values() for fault in faults(one.entity)] == []
    line = eval(blocks["collector/devices/__init__.py"], {"I2C": I2C})  # noqa: S307 — the page is ours
    assert line == (kind.name, I2C, f"i2c.{stem}")

    names = dict(vars(i2c_chips))
    exec(blocks["tests/emulators/i2c_chips.py"], names)  # noqa: S102 — the page is ours
    for key in names.keys() - vars(i2c_chips).keys():
        monkeypatch.setattr(i2c_chips, key, names[key], raising=False)
    test = tmp_path / f"test_{stem}.py"
    test.write_text(blocks[f"tests/collector/test_{stem}.py"], encoding="utf-8")
    # In this process, where the modules of the example are.
    assert (
        pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(test), f"--rootdir={tmp_path}"])
        == 0
    )


def test_the_setting_of_the_example_is_read_and_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    heading = "Add a setting"
    field = _code(heading, "config/model/__init__.py, in class Broker").strip()
    text = (ROOT / "config/model/__init__.py").read_text(encoding="utf-8")
    head, body = text.split("class Broker(Table):\n")
    body = body.replace("\n\n\n", f"\n    {field}\n\n\n", 1)
    names = {**vars(model), "__name__": model.__name__}
    code = compile(f"{head}class Broker(Table):\n{body}", "model.py", "exec", dont_inherit=True)
    exec(code, names)  # noqa: S102 — the page is ours
    broker: type = names["Broker"]
    (added,) = get_type_hints(broker).keys() - get_type_hints(model.Broker).keys()

    said = tomllib.loads(_code(heading, "config/example.toml, in [broker]").removeprefix("# "))
    adapter: TypeAdapter[object] = TypeAdapter(broker)
    assert getattr(adapter.validate_python(said), added) == said[added]
    with pytest.raises(ValidationError):
        adapter.validate_python({added: 0})

    line = _code(heading, 'scripts/settings.py, in TABLES["[broker]"]')
    title = "[broker]"
    _, about, meanings = settings.TABLES[title]
    more: dict[str, str] = eval(f"{{{line}}}")  # noqa: S307 — the page is ours
    monkeypatch.setattr(settings, "TABLES", {title: (broker, about, {**meanings, **more})})
    (row,) = re.findall(r"^   (\| `.*\|)$", _section(heading).partition("```text")[2], re.MULTILINE)
    assert row in settings.page().splitlines()


_TABLE = "Add a table or a column"
_SCHEMA = "statistician/store/schema.py"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the example be part of the database while a test runs; returns the name of its column."""
    names = vars(schema_file)
    (note,) = eval(f"({_code(_TABLE, f'{_SCHEMA}, in TABLES')})", names)  # noqa: S307 — the page is ours
    icon = eval(f"{{{_code(_TABLE, f'{_SCHEMA}, in the columns of entity')}}}", names)  # noqa: S307 — as above
    tables = [
        one._replace(columns={**one.columns, **icon}) if one.name == "entity" else one
        for one in names["TABLES"]
    ]
    ways = dict(names)
    exec(_code(_TABLE, _SCHEMA), ways)  # noqa: S102 — the page is ours
    (way,) = (key for key in ways if key.startswith("_to_") and key not in names)
    newest = names["SCHEMA_VERSION"] + 1
    assert way == f"_to_{newest}", "the number of the example: take the next one"
    monkeypatch.setitem(names["MIGRATIONS"], newest, ways[way])
    for module in (store_file, engine, schema_file):
        for name, value in (
            ("TABLES", (*tables, note)),
            ("MODELS", [names["_model"](one) for one in (*tables, note)]),
            ("SCHEMA_VERSION", newest),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    (column,) = icon
    return str(column)


def test_an_older_file_gets_the_table_and_the_column_of_the_example(made: str, tmp_path: Path) -> None:
    Store(tmp_path / "new.db").close()
    Store(version_1(tmp_path / "old.db")).close()
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    assert made in {column[0] for column in schema(tmp_path / "old.db")["entity"]}
    assert "note" in schema(tmp_path / "old.db")


def test_a_wrong_cell_of_the_example_is_set_aside_or_replaced(made: str, tmp_path: Path) -> None:
    path = version_1(tmp_path / "s.db")
    Store(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE entity SET {made} = x'ff' WHERE id = 1")  # noqa: S608 — ours
        database.execute(f"UPDATE entity SET {made} = 'sun' WHERE id = 2")  # noqa: S608 — ours
        database.executemany(
            "INSERT INTO note VALUES (1, ?, ?)", [(1_800_000_000_000, "dusty"), (1, b"\xff")]
        )
    store = Store(path)
    assert store.engine.all(f"SELECT {made} FROM entity ORDER BY id") == [(None,), ("sun",)]  # noqa: S608 — ours
    assert len(store.engine.all("SELECT * FROM note")) == 1
    assert next(letter.topic for _, letter in store.letters(2**31, 10)) == "database/note"
    store.close()


# What a counter calls a reading, command, request or row that is gone, not taken, later, or there again.
_LOSS = re.compile(
    "dropped|lost|refused|ignored|skipped|failed|delayed|resent|repeated|set_aside|dead|late_|gaps|forgotten"
    "|purged|removed|unreadable|faults|restarted|unknown|unchanged"
)


def _counters(text: str) -> set[str]:
    """The counters that the last column of the tables names."""
    cells = re.findall(r"\| ([^|]*) \|$", text, re.MULTILINE)
    named = [cell.partition("not counted")[0] for cell in cells]
    return {name for cell in named for name in re.findall(r"`([a-z_.<>]+)`", cell)}


def test_every_counter_of_a_loss_or_a_refusal_stands_on_the_map() -> None:
    table = {entry.name for entry in entries() if entry.kind == "counter"}
    losses = {name for name in table if _LOSS.search(name)}
    assert len(losses) > 50
    stands = _counters(_section("The map"))
    assert losses - stands == set(), "say in CONTRIBUTING.md, The map, where it is counted"
    assert stands - table == set(), "no counter of scripts/health_table.py has this name"


# Counted in another file than the one where it happens.
_ELSEWHERE = {
    "refused_commands_<code>": "bus/command_server.py",
    "refused_publications": "bus/process.py",
    "refused_oversize_publications": "bus/process.py",
    "dropped_readings": "bus/publisher.py",
    "outbox_on_disk": "bus/publisher.py",
    "refused_readings": "bus/publisher.py",
    "resent_readings": "bus/publisher.py",
    "set_aside_messages": "bus/process.py",
    "lost_readings": "statistician/watermarks.py",
    "refused_jumps": "statistician/watermarks.py",
    "restarted_streams": "statistician/watermarks.py",
    "corrected_rows": "statistician/service.py",
    "failed_rows": "statistician/service.py",
    "failed_sends": "forwarder/service.py",
    "purged_rows": "statistician/upkeep.py",
}


def test_each_counter_of_the_map_is_counted_where_the_map_says() -> None:
    file, missing = "", []
    for place, counters in re.findall(r"^\|.*\|(.*)\|.*\|(.*)\|$", _section("The map"), re.MULTILINE):
        file = next(iter(re.findall(r"`([\w/]+\.py)`", place)), file)
        for name in _counters(f"|{counters}|"):
            text = (ROOT / _ELSEWHERE.get(name, file)).read_text(encoding="utf-8")
            if re.split(r"[<]", name)[0] not in text:
                missing.append(f"{file}: {name}")
    assert missing == []


def test_the_glossary_is_in_the_order_of_the_alphabet() -> None:
    words = re.findall(r"^\| ([^|]+) \|", _section("Glossary").split("|---|---|")[1], re.MULTILINE)
    assert len(words) > 40
    assert words == sorted(set(words))
