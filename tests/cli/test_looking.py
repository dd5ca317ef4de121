"""`boondock history`, `stats` and `fix` on a real statistician with six hours of a solar charger."""

import json
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.cli.test_export import boondock
from tests.journeys.house import ROOT
from tests.statistician.asked import statistician

VOLTAGE, YIELD = "mppt.voltage", "mppt.yield_today"
DAY = ("--from", "2026-11-20", "--to", "2026-11-20", "--time-zone", "UTC")
WRONG = "2026-11-20T09:20:00.000Z"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("looking")


@pytest.fixture(scope="module", autouse=True)
def broker(folder: Path) -> Iterator[Mosquitto]:
    with statistician(folder) as running:
        yield running


def good(folder: Path, *arguments: str) -> str:
    done = boondock(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_history_is_the_newest_states_of_the_range_in_the_zone(folder: Path) -> None:
    lines = good(folder, "history", VOLTAGE, *DAY, "--limit", "2").splitlines()
    assert lines == ["2026-11-20 11:58:00  13.01 V", "2026-11-20 11:59:00  13.02 V"]
    span = ("--from", "2026-11-20 10:20", "--to", "2026-11-20 10:20:30", "--time-zone", "Europe/Berlin")
    assert good(folder, "history", VOLTAGE, *span) == "2026-11-20 10:20:00  40 V\n"
    assert len(json.loads(good(folder, "history", VOLTAGE, *DAY, "--limit", "5", "--json"))["rows"]) == 5
    assert "has no states in this time" in good(
        folder, "history", VOLTAGE, "--from", "2026-11-01", "--to", "2026-11-02"
    )


def test_statistics_are_a_table_in_the_zone(folder: Path) -> None:
    lines = good(folder, "stats", VOLTAGE, YIELD, "--period", "hour", *DAY).splitlines()
    assert lines[0] == f"{VOLTAGE} [V]"
    assert lines[1].split() == ["start", "mean", "min", "max", "known"]
    assert [line.split()[:2] for line in lines[2:8]] == [
        ["2026-11-20", f"{hour:02}:00"] for hour in range(6, 12)
    ]
    at = lines.index(f"{YIELD} [Wh]")
    assert lines[at + 1].split() == ["start", "change", "known"]
    assert [line.split()[2] for line in lines[at + 2 : at + 8]] == ["59", "60", "60", "60", "60", "60"]
    days = json.loads(good(folder, "stats", YIELD, *DAY, "--json"))
    assert [row["change"] for row in days["rows"][YIELD]] == [359.0]


@pytest.mark.parametrize(
    "command", [("history", VOLTAGE), ("stats", VOLTAGE, "--period", "hour"), ("stats", YIELD)]
)
def test_a_chart_is_drawn_within_the_terminal(folder: Path, command: tuple[str, ...]) -> None:
    lines = good(folder, *command, *DAY, "--plot").splitlines()
    assert command[1] in lines[0]
    assert 15 < len(lines) < 22
    assert max(map(len, lines)) <= 80
    assert any(letter in "".join(lines) for letter in "▞▌▐▀▄▖▗▘▝█")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("history", "mppt.volt"), "there is no entity 'mppt.volt'"),
        (("history", VOLTAGE, "--from", "soon"), "'soon' is no time; allowed: now, today, yesterday"),
        (("history", VOLTAGE, "--from", "today", "--to", "yesterday"), "next: exchange them"),
        (
            ("history", VOLTAGE, "--time-zone", "Mars"),
            "there is no time zone 'Mars'; allowed is such as Europe/Berlin",
        ),
        (("stats", VOLTAGE, "--time-zone", "../etc/passwd"), "there is no time zone"),
        (("fix", "delete", VOLTAGE), "delete needs --at or --from; next: add a time"),
        (("fix", "delete"), "delete of what? next: boondock fix delete mppt.voltage"),
        (
            ("fix", "adjust", YIELD, "--from", "14:00"),
            "adjust needs --by and --from; next: boondock fix adjust",
        ),
        (("fix", "undo", "last"), "'last' is no number of a fix; next: boondock fix list"),
        (("fix", "undo", "99", "--yes"), "there is no fix 99"),
        (
            ("fix", "delete", VOLTAGE, "--at", WRONG),
            "nobody can be asked here; next: --dry-run to look, --yes to do it",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = boondock(folder, *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert said in done.stderr


def _states(folder: Path) -> int:
    return len(json.loads(good(folder, "history", VOLTAGE, *DAY, "--limit", "1000", "--json"))["rows"])


def test_an_outlier_is_found_shown_deleted_and_taken_back(folder: Path) -> None:
    found = good(folder, "fix", "outliers", VOLTAGE, *DAY).splitlines()
    assert found[0] == f"{WRONG}  40 V  expected 12.8421 to 13.1979"
    assert found[-1] == f"next: boondock fix delete {VOLTAGE} --at {WRONG}"
    whole = _states(folder)
    dry = good(folder, "fix", "delete", VOLTAGE, "--at", WRONG, "--dry-run")
    assert dry.splitlines()[:2] == [f"delete_states of {VOLTAGE}:", "  1 states"]
    assert dry.endswith("Nothing was changed.\n")
    assert _states(folder) == whole
    done = good(folder, "fix", "delete", VOLTAGE, "--at", WRONG, "--yes").splitlines()
    assert done[:2] == dry.splitlines()[:2]
    number = done[-1].split()[5]
    assert done[-1] == f"Done; next: boondock fix undo {number} takes it back."
    assert _states(folder) == whole - 1
    assert good(folder, "fix", "list").split()[0] == number
    good(folder, "fix", "undo", number, "--yes")
    assert _states(folder) == whole


@pytest.mark.parametrize(("typed", "deleted"), [("n\n", 0), ("\n", 0), ("y\n", 1)])
def test_it_asks_before_it_does(folder: Path, typed: str, deleted: int) -> None:
    """On a terminal of its own, as a person sits at one."""
    whole = _states(folder)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cli", "fix", "delete", VOLTAGE, "--at", "2026-11-20T07:00:00Z"]
    process = subprocess.Popen(
        [*command, "--config", str(folder / "boondock.toml")],
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with open(ours, "w", closefd=True) as keyboard:  # noqa: PTH123 — a descriptor
        keyboard.write(typed)
        keyboard.flush()
        out, err = process.communicate(timeout=60)
    assert out.startswith(f"delete_states of {VOLTAGE}:\n  1 states\n")
    assert "Do it?" in err
    assert process.returncode == (0 if deleted else 1)
    assert _states(folder) == whole - deleted
