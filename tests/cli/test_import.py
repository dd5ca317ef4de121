"""`boondock import` of hours: they join what runs, also for devices never heard; one undo takes them back."""

import csv
import io
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bus.messages import from_iso, to_iso
from cli import csv_import
from cli.terminal import CommandError
from statistician.arithmetic import COMPILE_DELAY, HOUR, MINUTES_5
from tests.broker import Mosquitto
from tests.cli.test_export import boondock, exported
from tests.statistician.asked import START, statistician
from tests.statistician.rig import Json

YIELD = "mppt.yield_today"
YEAR = ("--period", "year", "--time-zone", "UTC", "--format", "jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import")


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Mosquitto]:
    with statistician(folder) as running:
        # Until then it makes rows of the time when it was not there.
        while not settled(ask(running, "info", {})):
            pass
        yield running


def settled(info: Json) -> bool:
    open_for: int = from_iso(info["now"]) - from_iso(info["open_period"])
    return open_for < MINUTES_5 + COMPILE_DELAY


def body(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of statistics but its revision, and what users changed."""
    columns = "entity, start, mean, mean_weight, min, max, state, sum, sum_increase, sum_decrease, last_reset"
    tables = dict.fromkeys(("statistics_hour", "statistics_5minute"), f"{columns}, coverage")
    tables |= dict.fromkeys(("imported", "adjusted", "keeping", "described", "entity"), "*")
    with closing(sqlite3.connect(f"file:{folder}/statistics.db?mode=ro", uri=True)) as database:
        return {t: list(database.execute(f"SELECT {which} FROM {t}")) for t, which in tables.items()}  # noqa: S608 — ours


def ask(broker: Mosquitto, verb: str, params: Json) -> Json:
    """The data of an answer."""
    place = ["-V", "5", "-h", "127.0.0.1", "-p", str(broker.port), "-W", "20"]
    topics = ["-t", f"camper/request/statistician/{verb}", "-e", "camper/response/me"]
    done = subprocess.run(
        ["mosquitto_rr", *place, *topics, "-m", json.dumps(params)],
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok", answer
    return answer["data"]


def year(folder: Path, entity: str) -> float:
    (row,) = map(json.loads, exported(folder, "--entity", entity, *YEAR).splitlines())
    change: float = row["change"]
    return change


def fix_of(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"undo of fix (\d+) takes all of it back\n", done.stderr)
    assert found, done.stderr
    return int(found[1])


def table(folder: Path, columns: str, lines: list[str]) -> str:
    """The path of a CSV with a start and these columns."""
    file = folder / "brought.csv"
    file.write_text("\n".join([f"start,{columns}", *lines]) + "\n")
    return str(file)


def test_a_device_exported_and_imported_under_a_name_never_heard_is_the_same(
    broker: Mosquitto, folder: Path
) -> None:
    before = body(folder)
    old = exported(folder, "--entity", YIELD, "--entity", "mppt.voltage")
    file = folder / "renamed.csv"
    file.write_text(old.replace("mppt.", "sun."))
    dry = boondock(folder, "import", str(file), "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert body(folder) == before
    fix = fix_of(boondock(folder, "import", str(file)))
    assert exported(folder, "--entity", "sun.yield_today", "--entity", "sun.voltage") == file.read_text()
    assert year(folder, "sun.yield_today") == year(folder, YIELD) == 359.0
    (kept,) = ask(broker, "metadata", {"entities": ["sun.yield_today"]})
    assert (kept["unit"], kept["state_class"]) == ("Wh", "total_increasing")
    ask(broker, "undo", {"fix": fix})
    after = body(folder)
    for name in ("statistics_hour", "statistics_5minute", "imported", "adjusted"):
        assert after[name] == before[name]


def test_hours_of_two_months_join_what_runs_and_one_undo_takes_them_back(
    broker: Mosquitto, folder: Path
) -> None:
    before = body(folder)
    count = 7 * csv_import._ROWS_AT_ONCE + 1
    # A counter in Wh that stood at 3 when its history ends, and at 4 in the first row that we made.
    states = [3.0 * n / (count - 1) for n in range(count)]
    lines = [f"{to_iso(START - (count - n) * HOUR)},{s},{s}" for n, s in enumerate(states)]
    path = table(folder, f"{YIELD} state [Wh],{YIELD} sum [Wh]", lines)
    done = boondock(folder, "import", path)
    assert done.stdout == f"{count} hourly rows of 1 entities were imported\n"
    assert year(folder, YIELD) == 359.0
    rows = list(csv.DictReader(io.StringIO(exported(folder, "--entity", YIELD))))
    assert max(float(row[f"{YIELD} change [Wh]"]) for row in rows) == 60.0
    (entry,) = (one for one in ask(broker, "fixes", {}) if one["id"] == fix_of(done))
    assert (entry["verb"], entry["entities"]) == ("import_statistics", [YIELD])
    ask(broker, "undo", {"fix": entry["id"]})
    assert body(folder) == before


def test_what_was_imported_before_a_mistake_is_named(broker: Mosquitto, folder: Path) -> None:
    before = body(folder)
    first = START - 300 * HOUR
    lines = [f"{to_iso(first + n * HOUR)},{n},{n}" for n in range(csv_import._ROWS_AT_ONCE)]
    path = table(folder, f"{YIELD} state,{YIELD} sum", [*lines, f"{to_iso(START - HOUR + 1)},0,0"])
    done = boondock(folder, "import", path)
    assert (done.returncode, done.stdout) == (1, "")
    found = re.search(r"full hours .*; 200 rows are imported: undo of fix (\d+) takes them back", done.stderr)
    assert found, done.stderr
    ask(broker, "undo", {"fix": int(found[1])})
    assert body(folder) == before


@pytest.mark.parametrize(
    ("columns", "line", "wanted"),
    [
        ("sum [kWh]", "5", "total_increasing"),
        ("sum [kWh],{} sum_decrease [kWh]", "5,1", "total"),
        ("sum [kWh],{} last_reset", "5,2026-11-01T00:00:00Z", "total"),
        ("mean [V],{} min [V]", "5,4", "measurement"),
        ("mean [°]", "5", "measurement_angle"),
    ],
)
def test_the_kind_of_a_device_never_heard_is_seen_from_its_columns(
    tmp_path: Path, columns: str, line: str, wanted: str
) -> None:
    path = table(tmp_path, "a.b " + columns.format("a.b"), [f"2026-11-01T00:00:00Z,{line}"])
    found = csv_import.read_table(Path(path))
    rows = list(csv_import._hours(found, "a.b"))
    unit = csv_import._unit(found, "a.b").get("unit")
    assert csv_import._class(rows, unit) == {"state_class": wanted}


def test_states_of_a_file_say_that_they_are_late(tmp_path: Path) -> None:
    file = tmp_path / "states.csv"
    file.write_text("ts,mppt.voltage\n2026-11-20T08:00:00Z,13.2\n")
    readings = [reading for _, reading in csv_import._readings(csv_import.read_table(file))]
    assert [reading.late for reading in readings] == [True]


@pytest.mark.parametrize(("heading", "line"), [("ts,mppt.voltage", "1e999"), ("ts,mppt.voltage", "nan")])
def test_what_is_no_number_is_refused_with_its_line(tmp_path: Path, heading: str, line: str) -> None:
    file = tmp_path / "states.csv"
    file.write_text(f"{heading}\n2026-11-20T08:00:00Z,{line}\n")
    with pytest.raises(CommandError, match=r"line 2: a state is (inf|nan)"):
        list(csv_import._readings(csv_import.read_table(file)))


def test_many_hours_go_in_several_requests_of_which_the_last_says_so() -> None:
    table = csv_import.Table(states=False, columns={1: csv_import.Column("mppt.power", "mean", "W")}, rows=[])
    hours = {"mppt.power": [csv_import.Hour(start=str(number)) for number in range(450)], "mppt.yield": []}
    asked = [(len(rows), more) for _, rows, more in csv_import._requests(table, hours, ())]
    assert asked == [(200, True), (200, True), (50, False)]
