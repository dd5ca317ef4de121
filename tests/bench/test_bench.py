"""Each measurement runs and prints its tables; how fast it was is nobody's concern here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import latency, results
from bench.__main__ import MEASUREMENTS
from bench.commands import Given
from bench.measure import Goal, Spread, goals, table
from cli.page import why_missing
from tests.house import ROOT
from tests.rounds import some

WITH_GOALS = {
    "ingest": 2,
    "compile": 1,
    "wear": 2,
    "purge": 2,
    "power-cut": 2,
    "load": 5,
    "latency": 1,
    "footprint": 1,
    "siege": 6,
    "outputs": 1,
    "page": 7,
}
# These are quick enough to run always.
QUICK = {"compile", "purge"}
FIGURE = re.compile(r"-?\d+(\.\d+)?")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )


def rows_of(text: str) -> list[list[str]]:
    """The cells of every table, rules left out."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if set("".join(cells)) != {"-"}]


@pytest.mark.parametrize("what", some(sorted(MEASUREMENTS), QUICK))
def test_a_quick_run_prints_its_tables_and_keeps_nothing(what: str) -> None:
    if what == "page" and (why := why_missing()) is not None:
        pytest.skip(f"there is no page: {why}")
    kept = results.PAGE.read_bytes()
    done = bench(what, "--quick", "--no-keep")
    rows = rows_of(done.stdout)
    verdicts = [cells for cells in rows if cells[-1].startswith(("met", "missed"))]
    whole = "Not compared: " not in done.stdout
    if whole:
        assert len(verdicts) == WITH_GOALS.get(what, 0)
    assert all(FIGURE.fullmatch(cells[2]) for cells in verdicts)
    figures = [cell for cells in rows for cell in cells[1:] if FIGURE.match(cell)]
    assert len(figures) >= (3 if whole else 2), done.stdout
    assert "…" in done.stderr
    assert results.PAGE.read_bytes() == kept


def test_without_arguments_it_lists_what_there_is() -> None:
    listed = bench().stdout
    assert all(
        re.search(rf"^\s+{what}\s+{re.escape(text[:20])}", listed, re.MULTILINE)
        for what, (text, _) in MEASUREMENTS.items()
    )


def test_a_goal_is_met_or_missed_with_the_reason() -> None:
    assert Goal("rate", 0.9, 0.8, at_least=True).row() == ("rate", "at least 0.8", "0.90", "met")
    assert Goal("rate", 0.8, 0.8, at_least=True).met
    assert Goal("rate", 0.7, 0.8, at_least=True, why="slow").row()[-1] == "missed: slow"
    assert Goal("bytes", 651, 650).row() == ("bytes", "at most 650", "651", "missed")
    assert goals([Goal("bytes", 650, 650)]).splitlines()[-1] == "| bytes | at most 650 | 650 | met |"


def test_a_ratio_is_taken_round_by_round() -> None:
    ratio = Spread.of([2.0, 30.0, 8.0]).over(Spread.of([1.0, 10.0, 2.0]))
    assert ratio.values == (2.0, 3.0, 4.0)
    assert str(ratio) == "3.00 (2.00-4.00)"
    assert str(Spread.of([512.3])) == "512"


def test_the_newest_run_replaces_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAGE", tmp_path / "RESULTS.md")
    for what, figure in (("a", 1), ("b", 2), ("a", 3)):
        results.keep(what, table(("x", "y"), [("n", figure)]))
    text = results.PAGE.read_text(encoding="utf-8")
    assert [cells[1] for cells in rows_of(text) if cells[0] == "n"] == ["3", "2"]
    assert text.count("## a\n") == 1


def test_without_a_compiler_the_echo_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(latency.UnavailableError, match="no C compiler: install gcc and libmosquitto-dev"):
        latency.build(tmp_path)


def test_without_the_library_the_compiler_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'mosquitto.h: No such file' >&2\nexit 1\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(latency.UnavailableError, match=r"libmosquitto-dev.*mosquitto\.h: No such file"):
        latency.build(tmp_path)


@pytest.mark.parametrize(
    ("answers", "undecided", "wrong"),
    [
        ([(None, "ON"), (None, "OFF"), (None, "ON")], 0, 0),
        ([(None, "ON"), (None, "ON"), (None, "OFF")], 0, 1),
        # It died: the output stands one way or the other, and is toggled from there.
        ([(None, "ON"), ("internal", "ON"), (None, "OFF")], 1, 0),
        ([(None, "ON"), ("internal", "OFF"), (None, "ON")], 1, 0),
        ([(None, "ON"), ("internal", None)], 0, 1),
        ([(None, "ON"), ("busy", "ON"), (None, "OFF")], 0, 1),
    ],
)
def test_the_commander_finds_a_command_that_was_obeyed_twice_or_not(
    answers: list[tuple[str | None, str]], undecided: int, wrong: int
) -> None:
    given, stands = Given(), "OFF"
    for code, actual in answers:
        given.check(stands, code, actual)
        stands = actual
    assert (given.undecided, given.wrong) == (undecided, wrong)
