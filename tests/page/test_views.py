"""Every view in every language, scheme and size: it fits, nothing is missing, nobody is shut out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.page.browsers import DESKTOP, PHONE, Accessibility, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.page.houses import RealHouse

VIEWS = ("now", "history", "house", "mend")
LANGUAGES = ("en", "de", "fr", "es", "nl", "ja")
_HEALTH = {
    "version": "0.1.0",
    "started": "2026-11-21T06:00:00.000Z",
    "rss": 24.5,
    "queue": 0,
    "outbox": 5,
    "counters": {"readings": 4711},
    "facts": {"radio": "scanning: active scan on hci0"},
    "problems": {
        "device.mppt": "nothing heard: is it in range, is Instant Readout on, is the address right?"
    },
    "last_error": {"ts": "2026-11-21T06:12:00.000Z", "message": "device.mppt: nothing heard"},
}
# Elements that stick out to the right, unless they are in something that scrolls on purpose.
_STICKING_OUT = """() => [...document.querySelectorAll('body *')].filter((one) =>
    one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest('.only-read, [data-scrolls]') && getComputedStyle(one).position !== 'fixed'
).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture
def troubled(house: RealHouse) -> RealHouse:
    """The house with a collector that has a problem."""
    house.admin.publish("camper/service/collector_ble", "online", retain=True)
    house.admin.publish("camper/health/collector_ble", json.dumps(_HEALTH), retain=True)
    return house


def go(page: Page, view: str) -> None:
    """Open a view and wait until what it asked for has come."""
    page.evaluate("view => { location.hash = view }", view)
    page.wait_for_selector(f'nav a[href="#{view}"][aria-current="page"]')
    page.wait_for_function("document.querySelectorAll('[aria-busy=true]').length === 0")


def test_a_small_phone_shows_each_view_whole_in_each_language(troubled: RealHouse, guest: Visitor) -> None:
    page = guest.open(troubled.login("admin"), locale="ja-JP")
    page.wait_for_selector('nav a[href="#mend"]')
    assert page.evaluate("document.documentElement.lang") == "ja"
    for language in LANGUAGES:
        page.locator("footer select").select_option(language)
        for view in VIEWS:
            go(page, view)
            assert page.evaluate("document.documentElement.lang") == language
            assert page.evaluate(_STICKING_OUT) == [], (language, view)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], (language, view)
            said = page.locator("body").inner_text()
            assert [wrong for wrong in ("undefined", "NaN", "[object", "{") if wrong in said] == [], said


@pytest.mark.parametrize(
    ("scheme", "screen"),
    [
        ("light", PHONE),
        ("dark", DESKTOP),
        pytest.param("light", DESKTOP, marks=pytest.mark.long),
        pytest.param("dark", PHONE, marks=pytest.mark.long),
    ],
    ids=["light-phone", "dark-desktop", "light-desktop", "dark-phone"],
)
def test_axe_finds_no_violation(
    troubled: RealHouse, guest: Visitor, scheme: str, screen: dict[str, int]
) -> None:
    axe = Accessibility()
    page = guest.open(wait=False, color_scheme=scheme, viewport=screen)
    page.locator("form.login").wait_for()
    axe.look(page, "login")
    guest.show(page, troubled.login("admin"))
    page.wait_for_selector('nav a[href="#mend"]')
    for view in VIEWS:
        go(page, view)
        axe.look(page, view)
    assert axe.violations == []
