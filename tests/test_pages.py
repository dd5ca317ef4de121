"""Links from page to page lead somewhere; docs/statistics.md has true pictures and every difference."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from cli.install.main import _DATA
from config.model import Backup
from scripts import pictures
from tests.house import PACKAGES, ROOT
from tests.statistician.test_scenarios import DIFFERENT

_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]+)?\)")
STATISTICS = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
_PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md")])


def _links(page: Path) -> list[tuple[str, str]]:
    return [(found[1], found[2] or "") for found in _LINK.finditer(page.read_text(encoding="utf-8"))]


def _anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        place = (page.parent / target).resolve()
        assert place.exists(), f"{page.name}: {target}"
        if anchor and place.suffix == ".md":
            assert anchor in _anchors(place), f"{page.name}: {target}{anchor}"


def test_there_are_links_to_follow() -> None:
    assert len(_links(ROOT / "README.md")) > 10


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_pictures_are_those_that_the_script_draws(name: str) -> None:
    drawn = pictures.PICTURES[name]()
    assert (pictures.FOLDER / name).read_text(encoding="utf-8") == drawn, "run: python -m scripts.pictures"
    title = drawn.split("<title>")[1].split("</title>")[0]
    assert any(f"![{title}](pictures/{name})" in page.read_text(encoding="utf-8") for page in _PAGES)


def test_there_are_no_other_pictures_but_what_was_seen_on_a_screen() -> None:
    drawn = {path.name for path in pictures.FOLDER.iterdir() if not path.stem.endswith("-screen")}
    assert drawn == set(pictures.PICTURES)


def test_every_scenario_that_differs_has_its_reason() -> None:
    table = STATISTICS.split("## Different from Home Assistant")[1]
    rows = re.findall(r"^\|.*\| ([\d ]*)\|$", table, re.MULTILINE)
    named = {number for row in rows for number in row.split()}
    # The recorder was asked about these too; they are of the kind of their neighbours.
    assert named - {"09", "16", "64"} == set(DIFFERENT)


def _texts() -> str:
    """All texts of the product, one a line; … is what is filled in."""
    found = []
    for path in (p for room in PACKAGES for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return "\n".join(found)


def test_what_troubleshooting_quotes_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert len(quoted) > 30
    texts = _texts()
    assert [one for one in quoted if one not in texts] == []


@pytest.mark.parametrize("name", ["install.md", "update-backup-restore.md"])
def test_both_pages_say_that_purge_removes_the_backups_too(name: str) -> None:
    folder = Backup().to
    assert any(fnmatch(folder, pattern) for pattern in _DATA.split()), "they stay now: say so on the pages"
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert "--purge" in page.split("\n## ")[0], "early on the page"
    assert f"sudo cp -r {folder} " in page
    assert "`hold`" in page
