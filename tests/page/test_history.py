"""The history of a real house: what was stored is drawn, read, moved and saved."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.page.browsers import Visitor
    from tests.page.houses import RealHouse

# Four days of Berlin, the second of 25 hours: clocks went back on 27 October 2024.
_FIRST = datetime(2024, 10, 25, 22, tzinfo=UTC)
_HOURS = 97
_GAP = range(30, 42)
_PARTLY = 60
_WEEK = "r=7d&t=2024-10-29T23:00:00Z"
# Of that week: it begins on 23 October, three days before what is stored.
_WEEK_HOURS = 169
_BEFORE = 72
_POWER = "smartshunt.power"
_YIELD = "mppt.yield_today"
# Pixels of a colour in a column of the chart's canvas, by share of the plot's width.
_INK = """([share, name]) => {
    const canvas = document.querySelector('.uplot canvas'), over = document.querySelector('.u-over');
    const ratio = canvas.width / canvas.clientWidth;
    const left = over.offsetLeft + over.clientWidth * share;
    const area = [left * ratio, over.offsetTop * ratio, 3, over.clientHeight * ratio];
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement('canvas'), { width, height });
    const on = copy.getContext('2d', { willReadFrequently: true });
    on.drawImage(canvas, 0, 0);
    const { data } = on.getImageData(...area);
    const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
        found += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 24;
    return found;
}"""


# Pixels of the chart's canvas that are not empty.
_PAINTED = """() => {
    const canvas = document.querySelector('.uplot canvas'), { width, height } = canvas;
    const copy = Object.assign(document.createElement('canvas'), { width, height });
    const on = copy.getContext('2d', { willReadFrequently: true });
    on.drawImage(canvas, 0, 0);
    const { data } = on.getImageData(0, 0, width, height);
    let found = 0;
    for (let i = 3; i < data.length; i += 4) found += data[i] > 0;
    return found;
}"""


def power(hour: int) -> float:
    """The mean power of an hour, W."""
    return float(hour * 7 % 50 - 20)


def start(hour: int) -> str:
    """When an hour began."""
    return (_FIRST + timedelta(hours=hour)).isoformat().replace("+00:00", "Z")


def asked(house: RealHouse, verb: str, **parameters: Any) -> Any:  # noqa: ANN401 — a verb's own data
    """Ask the statistician and return the data of its answer."""
    seen = len(house.admin.messages)
    body = {"reply_to": "camper/response/test", **parameters}
    house.admin.publish(f"camper/request/statistician/{verb}", json.dumps(body))
    answer = json.loads(house.admin.on("camper/response/test", since=seen))
    assert answer["status"] == "ok", answer
    return answer["data"]


@pytest.fixture(scope="module")
def stored(house: RealHouse) -> RealHouse:
    """The house with four days of October 2024: a gap of twelve hours, an hour known by half."""
    hours = [hour for hour in range(_HOURS) if hour not in _GAP]
    share = {_PARTLY: 0.5}
    lines = [
        {"start": start(n), "mean": power(n), "min": power(n) - 5, "max": power(n) + 5}
        | {"coverage": share.get(n, 1.0)}
        for n in hours
    ]
    sums = [
        {"start": start(n), "state": 10.0 * (n + 1), "sum": 10.0 * (n + 1), "coverage": 1.0}
        for n in range(_HOURS)
    ]
    asked(house, "import_statistics", entity=_POWER, rows=lines)
    asked(house, "import_statistics", entity=_YIELD, rows=sums)
    return house


def opened(house: RealHouse, guest: Visitor, query: str, **context: Any) -> Page:  # noqa: ANN401 — Playwright's own
    """Open the history with what `query` says, and wait until it is drawn."""
    page = guest.open(house.login("viewer"), **context)
    page.evaluate("query => { location.hash = `history?${query}` }", query)
    drawn(page)
    return page


def drawn(page: Page) -> None:
    """Wait until what was asked for is drawn."""
    page.wait_for_selector(".frame[aria-busy=false] .u-over")


def legend(page: Page, title: str) -> str:
    """Return what the legend says of an entity, once it has numbers."""
    one = page.locator(".legend li", has_text=title)
    one.locator("dd").first.wait_for()
    said: str = one.inner_text()
    return said.replace("\n", " ")


def test_lines_and_bars_are_drawn_and_a_gap_is_a_gap(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&e={_YIELD}&{_WEEK}")

    def ink(hour: float, tone: int) -> int:
        found: int = page.evaluate(_INK, [(_BEFORE + hour) / _WEEK_HOURS, f"--series-{tone}"])
        return found

    page.wait_for_function(_INK, arg=[(_BEFORE + 10.5) / _WEEK_HOURS, "--series-1"])
    assert ink(50.5, 1) > 0
    assert [hour for hour in range(32, 41) if ink(hour, 1) > 0] == []
    assert ink(-30, 1) == 0


def test_its_numbers_are_the_statisticians(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&e={_YIELD}&{_WEEK}")
    said = legend(page, "House battery: Power")
    want = asked(
        stored,
        "statistic",
        entity=_POWER,
        fixed_period={"start": "2024-10-22T22:00:00Z", "end": "2024-10-29T23:00:00Z"},
    )
    assert f"{want['mean']:.1f} W" in said
    assert "-25.0 W" in said
    assert "34.0 W" in said
    assert "970 Wh" in legend(page, "Yield today")
    # The long day is the best.
    assert "250 Wh Sun" in legend(page, "Yield today")


def test_values_are_read_by_keys_and_by_the_pointer(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}")
    page.locator(".chart").focus()
    page.keyboard.press("ArrowLeft")
    last = page.locator(".legend .at", has_text=f"{power(_HOURS - 1):.1f} W")
    last.wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator(".legend .at", has_text=f"{power(_HOURS - 2):.1f} W").wait_for()
    assert f"{power(_HOURS - 2) + 5:.1f} W" in page.locator(".legend .at").inner_text()
    page.keyboard.press("Escape")
    page.locator(".legend .at").wait_for(state="detached")
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * (_BEFORE + _PARTLY + 0.5) / _WEEK_HOURS, box["y"] + 50)
    page.locator(".legend .at", has_text="50.0 % known").wait_for()


def test_keys_and_wheel_move_and_zoom_and_the_address_keeps_it(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}")
    page.locator(".chart").focus()
    page.keyboard.press("+")
    page.wait_for_url("**r=304200&t=2024-10-28**")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_url("**r=304200&t=2024-10-27**")
    drawn(page)
    page.locator(".u-over").hover()
    page.mouse.wheel(0, 100)
    page.wait_for_url("**r=380250**")
    page.get_by_role("button", name="now", exact=True).click()
    page.wait_for_function("!location.hash.includes('t=')")


def test_a_finger_moves_and_two_stretch(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}", has_touch=True)
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *shares: float) -> None:
        points = [
            {"x": box["x"] + box["width"] * one, "y": box["y"] + 60, "id": n} for n, one in enumerate(shares)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.2)
    for step in range(1, 6):
        touch("touchMove", 0.2 + step / 10)
    touch("touchEnd")
    page.wait_for_url("**r=7d&t=2024-10-26**")
    drawn(page)
    touch("touchStart", 0.4)
    touch("touchStart", 0.4, 0.6)
    for step in range(1, 6):
        touch("touchMove", 0.4 - step / 25, 0.6 + step / 25)
    touch("touchEnd")
    page.wait_for_function("Number(new URLSearchParams(location.hash.split('?')[1]).get('r')) < 250000")


def test_entities_are_added_by_search_and_removed(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}")
    page.get_by_role("button", name="Add values").click()
    page.get_by_role("searchbox").fill("solar yield")
    picker = page.locator(".picker .choices button")
    assert picker.count() == 1
    picker.click()
    page.keyboard.press("Escape")
    page.wait_for_url(f"**e={_POWER}&e={_YIELD}&**")
    legend(page, "Yield today")
    page.get_by_role("button", name="Remove: House battery: Power").click()
    page.wait_for_function("!location.hash.includes('power')")


def test_the_period_before_lies_behind(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&r=24h&t=2024-10-29T23:00:00Z")
    page.wait_for_function(_INK, arg=[0.5, "--series-1"])
    alone = page.evaluate(_PAINTED)
    page.get_by_role("button", name="Period before").click()
    page.wait_for_url("**p=1**")
    page.wait_for_function(f"alone => ({_PAINTED})() > alone * 1.03", arg=alone)


def test_it_is_drawn_anew_in_the_colours_of_the_night(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&r=24h&t=2024-10-29T23:00:00Z", color_scheme="light")
    page.wait_for_function(_INK, arg=[0.5, "--series-1"])
    day = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--series-1')")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(_INK, arg=[0.5, "--series-1"])
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--series-1')") != day


def test_what_is_seen_is_saved_as_csv(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&e={_YIELD}&{_WEEK}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    mean = "House battery: Power mean (W)"
    known = {line["start"]: float(line[mean]) for line in lines if line[mean]}
    assert len(known) == _HOURS - len(_GAP)
    assert known["2024-10-26T00:00:00+02:00"] == power(0)
    assert known["2024-10-27T02:00:00+02:00"] == power(26)
    assert known["2024-10-27T02:00:00+01:00"] == power(27)
    change = "Solar charger: Yield today change (Wh)"
    days = {line["start"]: float(line[change]) for line in lines if line[change]}
    assert days["2024-10-27T00:00:00+02:00"] == 250
    assert days["2024-10-28T00:00:00+01:00"] == 240


def test_what_is_seen_is_saved_as_a_picture(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}")
    legend(page, "House battery: Power")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as picture").click()
    picture = download.value.path().read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    assert width >= page.locator(".uplot canvas").evaluate("one => one.width")
    assert height > page.locator(".uplot canvas").evaluate("one => one.height")


def test_a_table_says_the_same(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_YIELD}&{_WEEK}")
    page.get_by_text("As a table").click()
    row = page.get_by_role("row", name="27 Oct 2024")
    assert "250" in row.inner_text()


def test_the_last_hour_follows_what_is_said_now(stored: RealHouse, guest: Visitor) -> None:
    stored.van.says("smartshunt", {"power": -45.5, "soc": 81.5})
    page = opened(stored, guest, f"e={_POWER}&e=relay.pump&r=1h")
    stored.van.says("smartshunt", {"power": -77})
    page.locator(".chart").focus()
    page.wait_for_function(
        """() => {
            const chart = document.querySelector('.chart');
            for (const key of ['Escape', 'ArrowLeft'])
                chart.dispatchEvent(new KeyboardEvent('keydown', { key }));
            return document.querySelector('.legend .at')?.textContent.includes('-77.0 W');
        }"""
    )


def test_it_is_asked_again_when_the_statistician_is_back(stored: RealHouse, guest: Visitor) -> None:
    page = opened(stored, guest, f"e={_POWER}&{_WEEK}")
    stored.house.kill("statistician")
    page.evaluate("query => { location.hash = `history?${query}` }", f"e={_YIELD}&{_WEEK}")
    page.get_by_role("status").filter(has_text="Loading").wait_for()
    stored.house.start("statistician")
    assert "970 Wh" in legend(page, "Yield today")
