"""The page in Firefox: tiles fill and move, a relay is commanded, every view opens."""

import json
from pathlib import Path

import pytest

from tests.client import Client
from tests.deploy.started import eventually
from tests.page.firefox import firefox
from tests.page.van import DEVICES, LAMP, Van

_SOC = "document.querySelector('[data-card=\"battery.smartshunt\"] .huge')?.innerText"

_LAMP = "document.querySelector('[data-switch=\"lamps.reading\"]:enabled')"


@pytest.mark.long
def test_tiles_fill_and_a_switch_commands(told: tuple[Van, str], tmp_path: Path) -> None:
    van, address = told
    van.appears("lamps", *LAMP)
    listener = Client(van.port, "camper/set/lamps/+")
    with firefox(tmp_path) as browser:
        browser.open(address)
        browser.wait(f"{_SOC}?.includes('81.5')")
        van.says("smartshunt", {"soc": 42.5})
        browser.wait(f"{_SOC}?.includes('42.5')")
        browser.wait(f"{_LAMP} !== null")
        browser.value(f"{_LAMP}.click()")
        assert json.loads(listener.on("camper/set/lamps/reading"))["value"] == "ON"
        for view in ("history", "house", "mend"):
            browser.value(f"location.hash = '{view}'")
            browser.wait(f"document.querySelector('nav a[href=\"#{view}\"][aria-current=page]') !== null")
        assert browser.complaints() == []
        browser.value("setTimeout(() => { throw new Error('planted') })")
        browser.value("console.error('planted too')")
        planted = "or the list above would prove nothing"
        assert eventually(lambda: len(browser.complaints()) == 2), planted
    listener.close()
    van.says("smartshunt", DEVICES["smartshunt"][1])
    van.goes("lamps")
