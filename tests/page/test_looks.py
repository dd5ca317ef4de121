"""What the page shows of devices that a client speaks for, and what it keeps."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.client import Client
from tests.page.browsers import Visitor, heap
from tests.page.van import DEVICES, LAMP, Van

_BATTERY = '[data-card="battery.smartshunt"]'
_SOC = f"{_BATTERY} .huge"


def test_each_tile_has_its_values(visit: Visitor) -> None:
    page = visit.open()
    cards = {
        "battery.smartshunt": ("House battery", "81.5", "-45.5", "discharging"),
        "tanks": ("Fresh water", "53%", "53L"),
        "device.fridge": ("Temperature", "4.6°C"),
        "device.mppt": ("Charge state", "bulk"),
    }
    for card, texts in cards.items():
        said = page.locator(f'[data-card="{card}"]').inner_text().replace("\n", "").replace(" ", "")
        assert [text for text in texts if text.replace(" ", "") not in said] == [], said
    everything = page.locator("main").inner_text()
    assert "84" in everything
    assert "320 Wh" in everything.replace("\n", " ")
    assert "Signal" not in everything


def test_a_value_moves_and_unknown_is_a_dash(visit: Visitor, van: Van) -> None:
    page = visit.open()
    van.says("smartshunt", {"soc": 42.5})
    page.locator(_SOC, has_text="42.5").wait_for()
    van.says("smartshunt", {"soc": None})
    page.locator(_SOC, has_text="\u2013").wait_for()
    van.says("smartshunt", DEVICES["smartshunt"][1])
    page.locator(_SOC, has_text="81.5").wait_for()


def test_what_is_old_is_grey_with_its_age(visit: Visitor, van: Van) -> None:
    van.says("fridge", DEVICES["fridge"][1], at=time.time() - 240)
    page = visit.open()
    card = page.locator('[data-card="device.fridge"]')
    card.locator(".old").first.wait_for()
    assert "4 min" in card.locator(".age").inner_text()
    van.client.publish("camper/availability/fridge", "offline", retain=True)
    card.locator(".age", has_text="offline").wait_for()
    van.appears("fridge", *DEVICES["fridge"])
    card.locator(".age").wait_for(state="detached")
    assert card.locator(".old").count() == 0


def test_an_alarm_stands_on_top_until_it_is_over(visit: Visitor, van: Van) -> None:
    page = visit.open()
    alarm = {"state": "active", "text": "The fridge is warm: 9 °C", "value": 9}
    van.client.publish("camper/alarm/fridge_warm", json.dumps(alarm), retain=True)
    told = page.get_by_role("alert").filter(has_text="The fridge is warm: 9 °C")
    told.wait_for()
    first = page.locator(".card").first.bounding_box()
    box = told.bounding_box()
    assert first is not None
    assert box is not None
    assert box["y"] < first["y"]
    van.client.publish("camper/alarm/fridge_warm", b"", retain=True)
    told.wait_for(state="detached")


def test_a_browser_whose_clock_is_wrong_shows_and_commands_by_the_house_s(visit: Visitor, van: Van) -> None:
    van.appears("lamps", *LAMP)
    listener = Client(van.port, "camper/set/lamps/+")
    try:
        page = visit.tab(visit.someone())
        page.clock.install(time=datetime.now(UTC) + timedelta(hours=7))
        visit.show(page)
        van.says("smartshunt", DEVICES["smartshunt"][1])
        page.locator(f"{_SOC}:not(.old)").wait_for()
        assert page.locator(".age").count() == 0
        page.locator('[data-switch="lamps.reading"]').click()
        command = json.loads(listener.on("camper/set/lamps/reading"))
        until = datetime.fromisoformat(command["not_after"]).timestamp() - time.time()
        assert 0 < until < 20
        visit.show(page, "#house", wait=False)
        page.locator(".refusal", has_text="The clock of this browser is").wait_for()
    finally:
        listener.close()
        van.goes("lamps")


@pytest.mark.long
def test_a_house_of_200_devices_is_shown_and_moves(visit: Visitor, van: Van) -> None:
    many = {f"sensor_{number}": DEVICES["fridge"] for number in range(200)}
    crowd = Van(van.client, van.port, many)
    try:
        page = visit.open()
        page.wait_for_function("document.querySelectorAll('[data-card^=\"device.sensor_\"]').length === 200")
        crowd.says("sensor_199", {"temperature": -7.5})
        page.locator('[data-card="device.sensor_199"]', has_text="-7.5").wait_for()
    finally:
        for name in many:
            crowd.goes(name)
    page.wait_for_function("document.querySelectorAll('[data-card^=\"device.sensor_\"]').length === 0")


def test_the_last_state_is_there_before_the_first_message(visit: Visitor) -> None:
    context = visit.open().context
    context.pages[0].goto("about:blank")
    # A house that does not answer: the socket opens and says nothing.
    context.route_web_socket("**", lambda _: None)
    page = visit.again(context)
    shown = page.locator(f"{_SOC}.old")
    shown.wait_for()
    assert "81.5" in shown.inner_text()
    page.get_by_role("status").filter(has_text="Connecting").wait_for()


def test_on_the_first_visit_a_frame_is_drawn_before_the_page_s_code_runs(visit: Visitor) -> None:
    context = visit.someone()
    context.add_init_script("window.requestAnimationFrame = () => 0")
    visit.again(context, wait=False).get_by_text("Boondock").wait_for()


def test_the_last_frame_is_drawn_before_the_page_s_code_runs(visit: Visitor) -> None:
    context = visit.open().context
    context.pages[0].goto("about:blank")
    context.add_init_script("window.requestAnimationFrame = () => 0")
    page = visit.again(context, wait=False)
    page.locator("body.last-frame").wait_for()
    assert "81.5" in page.locator(_SOC).inner_text()


def test_a_phone_without_network_says_so_and_comes_back_by_itself(visit: Visitor, van: Van) -> None:
    visit.may_lose = True
    page = visit.open()
    page.context.set_offline(True)
    lost = page.get_by_role("status").filter(has_text="No connection to the house since")
    # Before the next regular ping could find out.
    lost.wait_for(timeout=25_000)
    assert page.locator(f"{_SOC}.old").inner_text().startswith("81.5")
    van.says("smartshunt", {"soc": 33.5})
    page.context.set_offline(False)
    page.locator(f"{_SOC}:not(.old)", has_text="33.5").wait_for()
    lost.wait_for(state="detached")
    van.says("smartshunt", DEVICES["smartshunt"][1])


def test_the_owner_s_layout_is_kept_here_and_shared_with_all(visit: Visitor, van: Van) -> None:
    page = visit.open()
    page.get_by_role("button", name="Arrange").click()
    page.get_by_role("button", name="Up: Tanks").click()
    box = page.locator(".arrange")
    battery = box.locator("li", has=page.get_by_role("button", name="Up: House battery"))
    battery.locator("input").fill("Big battery")
    battery.locator("input").press("Tab")
    box.locator("li", has=page.get_by_role("button", name="Up: Fridge")).get_by_role(
        "button", name="Hide"
    ).click()
    before = page.locator(".cards > [data-card]").evaluate_all("all => all.map(one => one.dataset.card)")
    assert "device.fridge" not in before
    again = visit.again(page.context)
    kept = again.locator(".cards > [data-card]").evaluate_all("all => all.map(one => one.dataset.card)")
    assert kept == before
    assert again.locator(f"{_BATTERY} h2").inner_text().startswith("Big battery")
    assert visit.open().locator('[data-card="device.fridge"]').count() == 1
    page.get_by_role("button", name="Save for all browsers").click()
    page.get_by_role("status").filter(has_text="done").wait_for()
    try:
        stranger = visit.open()
        stranger.locator(f"{_BATTERY} h2", has_text="Big battery").wait_for()
        assert stranger.locator('[data-card="device.fridge"]').count() == 0
    finally:
        van.client.publish("camper/page", b"", retain=True)


@pytest.mark.long
def test_thousands_of_updates_leave_nothing_behind(visit: Visitor, van: Van) -> None:
    page = visit.open()

    def update(rounds: int, last: float) -> int:
        for number in range(rounds):
            van.says("smartshunt", {"power": number, "voltage": 12 + number / 1000})
        van.says("smartshunt", {"soc": last})
        page.locator(_SOC, has_text=str(last)).wait_for()
        return heap(page)

    # What the browser itself still warms up is there once; what is lost is lost each time.
    heaps = [update(2000, last) for last in (11.5, 12.5, 13.5, 14.5, 15.5, 16.5)]
    grown = [after - before for before, after in pairwise(heaps)]
    assert min(grown) < 60_000, f"{grown} bytes in 2,000 updates each"
    van.says("smartshunt", DEVICES["smartshunt"][1])
