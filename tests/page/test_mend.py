"""Mend: statistics, names and devices put right in a real house, each change in two steps."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulators import victron
from tests.journeys.house import COMPANY, PATIENCE
from tests.page.browsers import Accessibility, Visitor
from tests.page.houses import open_house
from tests.page.van import Van, iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

    from tests.journeys.house import House
    from tests.page.houses import RealHouse

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright, which PyPI has for 64-bit machines only"
)
expect = playwright.expect
HOUR = 3600
WILD = 999.0
ADDRESS = "C0:11:22:33:44:55"
KEY = bytes(range(16))
GARAGE = {
    "name": "Garage",
    "entities": {
        "temperature": {
            "name": "Temperature",
            "unit": "°C",
            "device_class": "temperature",
            "state_class": "measurement",
        },
        "energy": {
            "name": "Energy",
            "unit": "Wh",
            "device_class": "energy",
            "state_class": "total_increasing",
        },
    },
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, page_file: Path) -> Iterator[tuple[House, Van, str]]:
    """A house without users, in which a client speaks for a garage with one wild temperature."""
    with open_house(tmp_path_factory.mktemp("open"), page_file) as (house, address):
        van = Van(house.client, house.broker.port, {})
        start = time.time() - 1200
        van.client.publish("camper/about/garage", json.dumps(GARAGE), retain=True)
        for number in range(21):
            value = WILD if number == 10 else 20.0 + number % 3 / 10
            van.says("garage", {"temperature": value}, at=start + number * 30)
        yield house, van, address


@pytest.fixture
def house_of(opened: tuple[House, Van, str]) -> House:
    """The house without users."""
    return opened[0]


@pytest.fixture
def admin(opened: tuple[House, Van, str], browser: Browser) -> Iterator[Visitor]:
    """Somebody who may mend, and who sees no complaint."""
    visitor = Visitor(browser, opened[2])
    yield visitor
    visitor.close()
    assert visitor.complaints == []


def asked(house: House, service: str, verb: str, **params: object) -> Any:  # noqa: ANN401 — of any verb
    """The data of an answer."""
    seen = len(house.client.messages)
    house.client.publish(f"camper/request/{service}/{verb}", json.dumps(params))
    answer = json.loads(house.client.on(f"camper/response/{service}/{verb}", since=seen))
    assert answer["status"] == "ok", answer
    return answer["data"]


def mend(visitor: Visitor, part: str) -> Page:
    """Open a part of Mend."""
    page = visitor.open(f"#mend?s={part}", wait=False)
    page.wait_for_selector(".cards.mend .card")
    return page


def steps(page: Page, title: str) -> Locator:
    """The region of the two steps."""
    return page.locator(f'section.steps[aria-label^="{title}"]')


def confirm(box: Locator) -> None:
    """Tap what does it, once it has been said what it would do, and wait for the result."""
    box.get_by_role("button", name="Do it").click()
    expect(box.get_by_role("status")).to_contain_text("✓")


def temperatures(house: House) -> list[float]:
    """The temperatures that are stored."""
    found = asked(house, "statistician", "history", entity="garage.temperature", limit=100)
    return [value for _, value in found["rows"]]


def test_an_outlier_is_found_deleted_and_brought_back(house_of: House, admin: Visitor) -> None:
    page = mend(admin, "statistics")
    page.get_by_role("button", name="Choose a value").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("searchbox").fill("garage temp")
    dialog.get_by_role("button", name="Temperature").click()
    page.get_by_role("button", name="Delete: 999 °C").click()
    box = steps(page, "Delete values")
    box.get_by_text("the one before it holds on. garage.temperature (values: 1").wait_for()
    expect(box.locator("canvas")).to_be_visible()
    assert WILD in temperatures(house_of), "looking changes nothing"
    confirm(box)
    assert WILD not in temperatures(house_of)
    expect(page.get_by_text("No value stands out")).to_be_visible()

    box.get_by_role("button", name="Undo").click()
    back = steps(page, "Undo correction")
    expect(back.locator("canvas")).to_be_visible()
    assert WILD not in temperatures(house_of), "looking changes nothing"
    confirm(back)
    assert WILD in temperatures(house_of)
    expect(page.locator("[data-card=fixes]")).to_contain_text("Taken back")


def test_what_somebody_else_deleted_is_brought_back_with_its_chart(house_of: House, admin: Visitor) -> None:
    found = asked(house_of, "statistician", "outliers", entity="garage.temperature")
    ((time_of, *_),) = found["rows"]
    asked(house_of, "statistician", "delete_states", entity="garage.temperature", ts=time_of)
    page = mend(admin, "statistics&e=garage.temperature")
    page.get_by_role("button", name="Undo: Delete values").first.click()
    back = steps(page, "Undo correction")
    expect(back.locator("canvas")).to_be_visible()
    assert WILD not in temperatures(house_of), "looking changes nothing"
    confirm(back)
    assert WILD in temperatures(house_of)


def changes(house: House) -> list[float]:
    """What the counter rose by in each hour."""
    entity = "garage.energy"
    found = asked(house, "statistician", "statistics", entities=[entity], types=["change"])
    return [round(row["change"], 3) for row in found["rows"][entity]]


def test_a_leap_of_a_counter_is_taken_out_and_put_back(house_of: House, admin: Visitor) -> None:
    first = int(time.time()) // HOUR * HOUR - 6 * HOUR
    sums = [0, 10, 20, 5020, 5030, 5040]
    rows = [{"start": iso(first + n * HOUR), "state": s, "sum": s} for n, s in enumerate(sums)]
    asked(house_of, "statistician", "import_statistics", entity="garage.energy", rows=rows)
    assert changes(house_of) == [0, 10, 10, 5000, 10, 10]
    page = mend(admin, "statistics&e=garage.energy")
    page.get_by_role("button", name="Take out of the sum: 5,000").click()
    box = steps(page, "Adjust the sum")
    box.get_by_text("5,000 Wh is added to all sums").wait_for()
    expect(box.locator("canvas")).to_be_visible()
    assert max(changes(house_of)) == 5000
    confirm(box)
    assert changes(house_of) == [0, 10, 10, 0, 10, 10]
    page.reload()
    page.get_by_role("button", name="Undo: Adjust the sum").first.click()
    back = steps(page, "Undo correction")
    expect(back.locator("canvas")).to_be_visible()
    confirm(back)
    assert max(changes(house_of)) == 5000


def test_a_unit_is_changed_and_what_is_refused_is_said(house_of: House, admin: Visitor) -> None:
    page = mend(admin, "statistics&e=garage.energy")
    form = page.locator("details", has=page.get_by_text("Change the unit"))
    form.get_by_text("Change the unit").click()
    form.get_by_label("New unit").fill("bananas")
    form.get_by_role("button").click()
    expect(steps(page, "Change the unit").get_by_role("alert")).to_contain_text("unit")
    form.get_by_label("New unit").fill("kWh")
    form.get_by_role("button").click()
    box = steps(page, "Change the unit")
    expect(box.locator("canvas")).to_be_visible()
    confirm(box)
    assert unit_of_rows(house_of) == "kWh"
    page.get_by_role("button", name="Take out of the sum: 5 kWh").wait_for()
    box.get_by_role("button", name="Undo").click()
    confirm(steps(page, "Undo correction"))
    assert unit_of_rows(house_of) == "Wh"


def unit_of_rows(house: House) -> str:
    """The unit in which the rows of the counter are stored."""
    (found,) = asked(house, "statistician", "metadata", entities=["garage.energy"])
    unit: str = found["unit"]
    return unit


def find(page: Page, house: House) -> Locator:
    """Scan, while a SmartShunt that nobody knows is in the air; returns what is told of it."""
    card = page.locator("[data-card=scan]")
    card.get_by_role("button", name="Look for devices").click()
    card.get_by_label("Seconds").fill("2")
    card.get_by_role("button", name="Start").click()
    found = card.get_by_role("listitem").filter(has_text="Shunt in the van")
    end = time.monotonic() + PATIENCE
    # BlueZ signals only an advertisement that differs from the one before.
    for number in itertools.count(1):
        if found.is_visible():
            break
        assert time.monotonic() < end
        record = victron.battery_monitor(victron.BatteryMonitor(voltage=13.0), KEY, iv=number % 65536)
        house.bluez.advertise(ADDRESS, {COMPANY: record}, name="Shunt in the van")
    expect(card.get_by_text("Found: ")).to_be_visible()
    return found


def registered(house: House) -> dict[str, Any]:
    """The devices of the collector by id."""
    return {one["device"]: one for one in asked(house, "collector_ble", "devices")}


def test_a_device_is_found_added_changed_renamed_and_removed(house_of: House, admin: Visitor) -> None:
    page = mend(admin, "devices")
    found = find(page, house_of)
    found.get_by_role("button", name="Add a device").first.click()
    form = page.get_by_role("form", name="Add a device")
    assert form.get_by_label("Address *").input_value() == ADDRESS
    assert form.get_by_label("Id *").input_value() == "shunt_in_the_van"
    key = form.get_by_label("Key *")
    assert key.get_attribute("type") == "password"
    key.fill("11")
    form.get_by_label("Id *").fill("shunt")
    form.get_by_role("button", name="Next").click()
    assert "shunt" not in registered(house_of), "looking changes nothing"
    page.get_by_role("button", name="Do it").click()
    expect(form.locator("[aria-invalid=true]")).to_be_focused()
    expect(key).to_have_accessible_description(
        "⚠ it has 2 characters; allowed: 32 hexadecimal digits, 0-9 and a-f"
    )
    key.fill(KEY.hex())
    form.get_by_role("button", name="Next").click()
    confirm(steps(page, "Add a device"))
    expect(found).to_contain_text("is yours already: shunt")
    record = victron.battery_monitor(victron.BatteryMonitor(voltage=13.37), KEY, iv=9)
    assert house_of.bluez.advertise(ADDRESS, {COMPANY: record}, name="Shunt in the van")
    assert house_of.state("shunt")["voltage"] == 13.37
    assert KEY.hex() not in page.content()

    settle(page, house_of)
    rename(page, house_of, "shunt", "battery")
    remove(page, house_of, "battery")


def settle(page: Page, house: House) -> None:
    """Change settings of the device, and switch one of its values off."""
    line = page.locator("[data-device=shunt]")
    line.locator("summary").first.click()
    expect(line).to_contain_text("set, not shown")
    line.get_by_role("button", name="Change settings").click()
    form = page.get_by_role("form", name="Change settings")
    assert form.get_by_label("Key *").input_value() == ""
    form.get_by_label("Name").fill("House battery")
    form.get_by_role("group").get_by_text("More settings").click()
    form.get_by_label("Heartbeat").fill("60")
    form.get_by_role("button", name="Next").click()
    box = steps(page, "Change settings")
    expect(box).to_contain_text("name = House battery, heartbeat = 60. It stays the same device")
    confirm(box)
    now = registered(house)["shunt"]
    assert (now["name"], now["settings"]["heartbeat"], now["settings"]["key"]) == ("House battery", 60, "set")
    box.get_by_role("button", name="Close").click()

    line.get_by_text("Values").click()
    line.get_by_role("button", name="Switch off: shunt.soc").click()
    confirm(steps(page, "Switch off"))
    assert registered(house)["shunt"]["entities"]["soc"] is False


def rename(page: Page, house: House, old: str, new: str) -> None:
    """Call a device otherwise, there and back again and there."""
    page.get_by_role("button", name="Names").click()
    card = page.locator("[data-card=rename-device]")
    card.get_by_label("Device").select_option(old)
    card.get_by_label("New id").fill(new)
    card.get_by_role("button", name="See what would change").click()
    box = steps(page, "Rename a device")
    expect(box).to_contain_text(f"Its history follows: {new}.")
    assert old in registered(house)
    confirm(box)
    assert new in registered(house)
    stored = asked(house, "statistician", "latest", device=new)
    assert 13.37 in [one["value"] for one in stored]
    page.get_by_role("button", name="Statistics").click()
    page.get_by_role("button", name="Undo: Rename a device").first.click()
    back = steps(page, f"Give {new} its old name back")
    confirm(back)
    assert old in registered(house)
    back.get_by_role("button", name="Undo").click()
    confirm(steps(page, f"Give {old} its old name back"))
    assert new in registered(house)


def remove(page: Page, house: House, device: str) -> None:
    """Remove the device in the list."""
    page.get_by_role("button", name="Devices").click()
    line = page.locator(f"[data-device={device}]")
    line.locator("summary").first.click()
    line.get_by_role("button", name="Remove the device").click()
    box = steps(page, "Remove the device")
    expect(box).to_contain_text("Its history stays.")
    assert device in registered(house)
    confirm(box)
    assert device not in registered(house)
    expect(line).to_have_count(0)


def test_a_device_of_the_file_cannot_be_changed_here_and_says_where(admin: Visitor) -> None:
    page = mend(admin, "devices")
    line = page.locator("[data-device=mppt]")
    line.locator("summary").first.click()
    expect(line).to_contain_text("boondock.toml under [device.mppt]")
    expect(line.get_by_role("button")).to_have_count(0)
    page.get_by_role("button", name="Names").click()
    card = page.locator("[data-card=rename-device]")
    card.get_by_label("Device").select_option("mppt")
    card.get_by_label("New id").fill("sun")
    expect(card).to_contain_text("boondock rename mppt sun --edit")
    expect(card.get_by_role("button", name="See what would change")).to_be_disabled()


def test_retention_and_replacement_are_said_of_other_software(house_of: House, admin: Visitor) -> None:
    page = mend(admin, "names")
    card = page.locator("[data-card=rename-device]")
    card.get_by_label("Device").select_option("garage")
    expect(card).to_contain_text("Other software publishes garage")
    one = page.locator("[data-card=entity-names]")
    one.get_by_role("button", name="Choose a value").click()
    page.get_by_role("searchbox").fill("garage temp")
    page.get_by_role("dialog").get_by_role("button", name="Temperature").click()
    one.get_by_label("Keep its values").fill("30")
    look = one.get_by_role("button", name="See what would change").nth(1)
    look.click()
    box = steps(page, "One value")
    box.get_by_role("button", name="Cancel").click()
    expect(look).to_be_focused()
    look.click()
    expect(box).to_contain_text("retention_days = 30")
    confirm(box)
    fix = asked(house_of, "statistician", "fixes", limit=1)[0]
    assert (fix["verb"], fix["params"]["retention_days"]) == ("set_metadata", 30)
    replaced = page.locator("[data-card=replaced]")
    replaced.get_by_label("Device").select_option("garage")
    replaced.get_by_role("button", name="See what would change").click()
    confirm(steps(page, "A device was replaced"))
    fix = asked(house_of, "statistician", "fixes", limit=1)[0]
    assert (fix["verb"], fix["params"]["device"]) == ("device_replaced", "garage")


def test_a_dead_letter_is_told_and_taken_again(house_of: House, admin: Visitor) -> None:
    house_of.client.publish("camper/state/garage", '{"temperature": [21]}')
    page = mend(admin, "upkeep")
    card = page.locator("[data-card=letters]")
    expect(card).to_contain_text("temperature: allowed are")
    card.get_by_role("button", name="Take it again").first.click()
    box = steps(page, "Take it again")
    before = asked(house_of, "statistician", "dead_letters")[0]["id"]
    confirm(box)
    expect(box).to_contain_text("It still cannot be used")
    assert asked(house_of, "statistician", "dead_letters")[0]["id"] > before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_any_part(house_of: House, admin: Visitor, scheme: str) -> None:
    axe = Accessibility()
    for part in ("statistics&e=garage.temperature", "names", "devices", "upkeep"):
        page = admin.open(f"#mend?s={part}", wait=False, color_scheme=scheme)
        page.wait_for_selector(".cards.mend .card")
        page.wait_for_function("document.querySelectorAll('[aria-busy=true]').length === 0")
        if part.startswith("statistics"):
            page.get_by_role("button", name="Delete: 999 °C").click()
            expect(page.locator("section.steps canvas")).to_be_visible()
        if part == "devices":
            find(page, house_of).get_by_role("button", name="Add a device").first.click()
        axe.look(page, part)
    assert axe.violations == []


def test_mend_is_for_admins(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("operator"))
    expect(page.locator('nav a[href="#mend"]')).to_have_count(0)
    page.evaluate("location.hash = 'mend'")
    expect(page.get_by_text("This user may not do that.")).to_be_visible()
    expect(page.locator(".cards.mend")).to_have_count(0)
