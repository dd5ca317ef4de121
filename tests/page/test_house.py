"""The page of a real house: the statistician, the controller, users with their rights."""

import json

from tests.page.browsers import Visitor
from tests.page.houses import RealHouse


def test_an_operator_switches_a_relay_and_is_told_of_a_refusal(house: RealHouse, guest: Visitor) -> None:
    page = guest.open(house.login("operator"))
    assert "password" not in page.url
    pump = page.locator('[data-switch="relay.pump"]')
    pump.click()
    page.wait_for_selector('[data-switch="relay.pump"][aria-checked="true"]')
    house.hears("camper/state/relay/pump", b"ON")
    page.locator('[data-switch="relay.heater"]').click()
    refusal = page.get_by_role("alert").filter(has_text="fresh_water")
    refusal.wait_for()
    answer = json.loads(house.house.client.on("camper/result/relay/heater"))
    assert answer["message"] in refusal.inner_text()
