"""Links from one page to another lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.house import ROOT

_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]+)?\)")
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
