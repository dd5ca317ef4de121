"""Cells of an export: no spreadsheet calculates what a device said, and an import reads it as it was."""

import csv
import io
import random
from pathlib import Path

import pytest

from cli import cells, export, intake

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
    csv.writer(file).writerow([cells.written(value)])
    ((cell,),) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    return cell


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_begins_a_formula(text: str) -> None:
    cell = through_csv(text)
    for separator in ";|\t\r\n":
        for part in cell.split(separator):
            assert not part.lstrip(" ").startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")), cell
    assert cell[0] not in BEGINS
    assert cells.read(cell) == text


@pytest.mark.parametrize(
    "text", ["off", "bulk", "10 %", "a-b", "-", "x=1", "2026-11-21", "Anna's", "'hello'", "ok; fine"]
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert through_csv(text) == (f"'{text}" if text == "-" else text)
    assert cells.read(through_csv(text)) == text


@pytest.mark.parametrize("value", [-1.5, 0.0, -0.0, 13.25, 1e-7, -1e22, None])
def test_numbers_stay_numbers(value: float | None) -> None:
    cell = str(cells.written(value))
    assert not cell.startswith("'")
    assert cells.read(cell) == value


@pytest.mark.parametrize(
    "text", ["-1.5", "12", "1e5", "null", "", "'", "''", "'12", "'null", "nan", "-inf", " 7 "]
)
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    assert cells.read(through_csv(text)) == text


def test_every_text_comes_back() -> None:
    dice = random.Random(7)  # noqa: S311 — the same texts in every run
    for _ in range(20_000):
        text = "".join(dice.choices("=+-@\t\r\n;|,' 1a\"null", k=dice.randrange(9)))
        assert cells.read(through_csv(text)) == text


def test_a_unit_begins_no_formula_either(tmp_path: Path) -> None:
    """It stands in the heading, and whoever describes a device says it."""
    unit, file = "V;=1+1", tmp_path / "out.csv"
    source = export.Source("van.volt", {"value": unit}, iter([]))
    with file.open("w", encoding="utf-8", newline="") as opened:
        export._write_csv(opened, [source], iter([]), export.STATES)
    assert ";'=1+1" in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8") + "2026-11-21T10:00:00Z,1\n", encoding="utf-8")
    assert [column.unit for column in intake.read(file).columns.values()] == [unit]


def test_a_foreign_file_keeps_its_apostrophes() -> None:
    assert cells.read("'hello") == "'hello"
