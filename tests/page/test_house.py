"""The page of a real house: the statistician, the controller, users with their rights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.page.browsers import Visitor
from tests.page.houses import RealHouse
from tests.page.van import DEVICES

if TYPE_CHECKING:
    from playwright.sync_api import Page

PUMP = '[data-switch="relay.pump"]'
_SOC = '[data-card="battery.smartshunt"] .huge'


def stands(page: Page, value: str) -> None:
    """Wait until the pump's button shows this, and that it was answered."""
    checked = "true" if value == "ON" else "false"
    page.wait_for_selector(f"{PUMP}[aria-checked={checked}][aria-busy=false]")


def pump_off(house: RealHouse) -> None:
    """Turn the pump off, whatever the page did."""
    seen = len(house.admin.messages)
    house.admin.publish("camper/set/relay/pump", "OFF")
    house.admin.on("camper/result/relay/pump", since=seen)


def test_an_operator_switches_a_relay_and_is_told_of_a_refusal(house: RealHouse, guest: Visitor) -> None:
    seen = len(house.admin.messages)
    page = guest.open(house.login("operator"))
    page.locator(PUMP).click()
    stands(page, "ON")
    house.hears("camper/state/relay/pump", b"ON", since=seen)
    page.locator('[data-switch="relay.heater"]').click()
    refusal = page.get_by_role("alert").filter(has_text="fresh_water")
    refusal.wait_for()
    answer = json.loads(house.admin.on("camper/result/relay/heater", since=seen))
    assert answer["message"] in refusal.inner_text()
    refusal.get_by_role("button").click()
    refusal.wait_for(state="detached")
    assert page.locator('nav a[href="#mend"]').count() == 0
    pump_off(house)


def test_a_relay_is_switched_by_keys_alone(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("operator"))
    page.wait_for_selector(f"{PUMP}:enabled")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches('{PUMP}')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "who uses keys must see where he is"
    page.keyboard.press("Space")
    stands(page, "ON")
    page.keyboard.press("Enter")
    stands(page, "OFF")


def test_a_viewer_sees_all_and_may_switch_nothing(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("viewer"))
    page.locator(_SOC, has_text="81.5").wait_for()
    assert page.locator(PUMP).is_disabled()
    assert page.locator('nav a[href="#mend"]').count() == 0
    page.evaluate("location.hash = 'house'")
    page.locator('[data-card="log"]', has_text="Only a user with the right “admin” sees this.").wait_for()


def test_an_admin_sees_who_switched_what(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("admin"))
    page.wait_for_selector('nav a[href="#mend"]')
    page.evaluate("location.hash = 'house'")
    log = page.locator('[data-card="log"]')
    # Read once; from now on only what comes.
    log.locator("li, .soft").first.wait_for()
    command = {"value": "ON", "from": "kitchen panel"}
    house.admin.publish("camper/set/relay/pump", json.dumps(command))
    log.locator("li", has_text="Relays: Water pump ON").filter(has_text="by kitchen panel").first.wait_for()
    pump_off(house)


def test_house_tells_what_runs_and_what_is_wrong(house: RealHouse, guest: Visitor) -> None:
    problem = "nothing heard: is it in range, is Instant Readout on, is the address right?"
    health = {"version": "0.1.0", "problems": {"device.mppt": problem}, "counters": {"frames": 9034}}
    house.admin.publish("camper/service/collector_ble", "online", retain=True)
    house.admin.publish("camper/health/collector_ble", json.dumps(health), retain=True)
    page = guest.open(house.login("viewer"))
    page.evaluate("location.hash = 'house'")
    told = page.locator('[data-card="problems"]')
    told.get_by_text(problem).wait_for()
    assert "Solar charger" in told.inner_text()
    assert "Everything works." not in told.inner_text()
    services = page.locator('[data-card="services"]')
    for name in ("statistician", "controller"):
        line = services.locator("li", has_text=name).inner_text()
        assert [text for text in ("online", "since", "MB") if text not in line] == []
    device = page.locator('[data-card="devices"] details', has_text="Solar charger")
    device.locator("summary").click()
    rows = device.inner_text()
    assert [
        text for text in ("SmartSolar MPPT 100/30", "1.61", "HQ2132ABCDE", problem) if text not in rows
    ] == []
    assert "simulated" in page.locator('[data-card="facts"]').inner_text()
    assert "9,034" not in (services.text_content() or "")
    services.get_by_text("Counters").click()
    services.get_by_text("9,034").wait_for()
    house.admin.publish(
        "camper/health/collector_ble", json.dumps({"version": "0.1.0", "problems": {}}), retain=True
    )
    told.get_by_text("Everything works.").wait_for()


def test_a_wrong_password_is_told_and_the_right_one_is_kept_if_wanted(
    house: RealHouse, guest: Visitor
) -> None:
    name, password = house.broker.login("viewer")
    page = guest.open(wait=False)
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").filter(has_text="boondock broker --show").wait_for()
    page.get_by_label("Remember").uncheck()
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.locator(_SOC, has_text="81.5").wait_for()
    assert password not in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.locator(_SOC, has_text="81.5").wait_for()
    guest.again(page.context).locator(_SOC, has_text="81.5").wait_for()


def test_a_link_logs_in_and_leaves_no_password_in_the_address(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("viewer"))
    assert page.locator(PUMP).is_disabled()
    guest.show(page, house.login("operator"))
    page.wait_for_selector(f"{PUMP}:enabled")
    _, password = house.broker.login("operator")
    assert password not in page.url
    page.go_back()
    assert password not in page.url, "nor in the history of the tab"


def test_a_statistician_that_ends_is_told_and_all_else_goes_on(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("operator"))
    house.house.kill("statistician")
    told = page.get_by_role("alert").filter(has_text="statistician does not run.")
    told.wait_for()
    house.van.says("smartshunt", {"soc": 47.5})
    page.locator(_SOC, has_text="47.5").wait_for()
    page.locator(PUMP).click()
    stands(page, "ON")
    house.house.start("statistician")
    told.wait_for(state="detached")
    house.van.says("smartshunt", DEVICES["smartshunt"][1])
    pump_off(house)


def test_a_broker_that_ends_is_told_and_the_page_comes_back_by_itself(
    house: RealHouse, guest: Visitor
) -> None:
    guest.may_lose = True
    page = guest.open(house.login("operator"))
    page.wait_for_selector(f"{PUMP}:enabled")
    refusal = page.get_by_role("alert").filter(has_text="There is no connection now; nothing was sent.")
    lost = page.get_by_role("status").filter(has_text="No connection to the house since")
    with house.without_broker():
        lost.wait_for()
        assert page.locator(f"{_SOC}.old").inner_text().startswith("81.5")
        page.locator(PUMP).click()
        refusal.wait_for()
    lost.wait_for(state="detached")
    page.locator(f"{_SOC}:not(.old)", has_text="81.5").wait_for()
    refusal.get_by_role("button").click()
    page.locator(PUMP).click()
    stands(page, "ON")
    pump_off(house)
