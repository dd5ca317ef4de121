"""One page, one browser and one real house for a run; one van that a client speaks for in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.page.browsers import Visitor, chromium
from tests.page.built import build
from tests.page.houses import RealHouse, real_house, told_house
from tests.secured import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.page.van import Van


@pytest.fixture(scope="session")
def page_file() -> Iterator[Path]:
    """The built page, in a folder that the broker may read."""
    with open_folder() as folder:
        made = build(folder)
        made.chmod(0o644)
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, page_file: Path) -> Iterator[tuple[Van, str]]:
    """A van that a client speaks for, and the address of its page; everybody is admin."""
    with told_house(tmp_path_factory.mktemp("told"), page_file) as (van, address):
        yield van, address


@pytest.fixture
def van(told: tuple[Van, str]) -> Van:
    """What speaks for the devices."""
    return told[0]


@pytest.fixture
def visit(told: tuple[Van, str], browser: Browser) -> Iterator[Visitor]:
    """Visitors of the van's page, none of whom may see a complaint."""
    yield from _visitor(browser, told[1])


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, page_file: Path) -> Iterator[RealHouse]:
    """The real processes on a broker with users."""
    with real_house(tmp_path_factory.mktemp("house"), page_file) as real:
        yield real


@pytest.fixture
def guest(house: RealHouse, browser: Browser) -> Iterator[Visitor]:
    """Visitors of the real house as it was at first, none of whom may see a complaint."""
    house.van.says_all()
    yield from _visitor(browser, house.address)


def _visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, address)
    yield visitor
    visitor.close()
    assert visitor.complaints == []
