"""After the process stood still, what waited for it meanwhile is not obeyed."""

import pytest

from config.model import Relay
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import PUMP


@pytest.mark.parametrize("tick_first", [True, False])
def test_a_command_that_may_have_waited_is_refused_as_expired(
    make: MakeRig, gpio: Gpio, *, tick_first: bool
) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.stand_still(40)
    if tick_first:
        rig.pass_(0)
    refusal = rig.command("pump", {"value": "ON", "id": "a"})
    assert (refusal["code"], refusal["actual"]) == ("expired", "OFF")
    assert "stood still" in refusal["message"]
    rig.pass_(0)
    rig.pass_(1.1)
    assert rig.command("pump", {"value": "ON", "id": "a"})["status"] == "ok"
    assert gpio.edges(PUMP) == [False, True]


def test_a_short_hiccup_costs_no_command(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.stand_still(9)
    assert rig.command("pump", "ON")["status"] == "ok"


def test_an_off_that_waited_is_still_obeyed(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.command("pump", "ON")
    rig.stand_still(40)
    assert rig.command("pump", "OFF")["status"] == "ok"
    assert gpio.level(PUMP) is False
