"""Pins that do not do what they are told: answered, published, told in health, tried again."""

import json
import sys

import pytest

from config.model import Relay
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, STATE

PLAIN = Relay(pin=PUMP)


def test_a_pin_that_does_not_follow_is_hardware_and_the_state_tells_the_truth(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = make(pump=PLAIN)
    gpio.stuck[PUMP] = False
    answer = rig.command("pump", "ON")
    assert (answer["status"], answer["code"], answer["actual"]) == ("error", "hardware", "OFF")
    assert f"pin {PUMP} does not follow" in answer["message"]
    assert rig.states("pump") == ["OFF"]


def test_a_pin_that_follows_late_is_still_turned_off_in_time(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, max_on=60.0))
    gpio.stuck[PUMP] = False
    rig.command("pump", "ON")
    del gpio.stuck[PUMP]
    rig.pass_(1)
    assert rig.state("pump") == "ON"
    rig.pass_(60)
    assert (gpio.level(PUMP), rig.state("pump")) == (False, "OFF")


def test_a_relay_pulled_by_somebody_else_shows_in_the_state(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=PLAIN)
    gpio.stuck[PUMP] = True
    rig.pass_(0.1)
    assert rig.state("pump") == "ON"


def test_a_pin_that_fails_while_switching_is_hardware(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=PLAIN)
    gpio.broken.add(PUMP)
    answer = rig.command("pump", "ON")
    assert (answer["code"], answer["actual"]) == ("hardware", "OFF")
    assert "cannot be set" in answer["message"]
    gpio.broken.clear()
    assert rig.command("pump", "ON")["actual"] == "ON"


def test_a_pin_that_cannot_be_turned_off_in_time_is_tried_until_it_can(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, max_on=60.0))
    rig.command("pump", "ON")
    gpio.broken.add(PUMP)
    rig.pass_(60)
    assert rig.state("pump") == "ON"
    assert "cannot be set" in rig.journal.problems["relay.pump"]
    gpio.broken.clear()
    rig.pass_(0.1)
    assert (gpio.level(PUMP), rig.state("pump")) == (False, "OFF")
    assert rig.problems == {}


def test_a_pin_that_cannot_be_turned_off_at_exit_does_not_keep_the_others_on(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = make(lamp=Relay(pin=LAMP), pump=PLAIN)
    rig.command("lamp", "ON")
    rig.command("pump", "ON")
    gpio.broken.add(LAMP)
    rig.stop()
    assert (gpio.level(LAMP), gpio.level(PUMP)) == (True, False)
    assert (rig.state("lamp"), rig.state("pump")) == ("ON", "OFF")


def test_a_relay_whose_pin_cannot_be_opened_is_offline_unknown_and_told_in_health(
    make: MakeRig, gpio: Gpio
) -> None:
    gpio.broken.add(PUMP)
    rig = make(pump=PLAIN)
    assert rig.available() == b"offline"
    assert rig.state("pump") is None
    assert "cannot be an output" in rig.journal.problems["relay.pump"]
    answer = rig.command("pump", "ON")
    assert (answer["code"], answer["actual"]) == ("hardware", None)
    assert "cannot be an output" in answer["message"]


def test_one_bad_pin_does_not_take_the_other_relays_with_it(make: MakeRig, gpio: Gpio) -> None:
    gpio.broken.add(PUMP)
    rig = make(pump=PLAIN, lamp=Relay(pin=LAMP))
    assert rig.available() == b"online"
    assert rig.command("lamp", "ON")["actual"] == "ON"
    values = json.loads(rig.bus.on(STATE)[-1])
    assert (values["pump"], values["lamp"]) == (None, "ON")


def test_a_pin_that_cannot_be_opened_is_tried_again_and_recovers(make: MakeRig, gpio: Gpio) -> None:
    gpio.broken.add(PUMP)
    rig = make(pump=Relay(pin=PUMP, active_low=True))
    rig.pass_(11)
    assert rig.available() == b"offline"
    gpio.broken.clear()
    rig.pass_(11)
    rig.pass_(0.1)
    assert gpio.wire == [(PUMP, True)], "at its boot level, like at any start"
    assert (rig.available(), rig.state("pump")) == (b"online", "OFF")
    assert rig.problems == {}
    assert rig.command("pump", "ON")["status"] == "ok"


def test_opening_a_second_pin_later_leaves_the_first_as_it_was_commanded(make: MakeRig, gpio: Gpio) -> None:
    gpio.broken.add(PUMP)
    rig = make(pump=PLAIN, lamp=Relay(pin=LAMP))
    rig.command("lamp", "ON")
    gpio.broken.clear()
    rig.pass_(11)
    assert gpio.edges(LAMP) == [False, True]


def test_a_board_without_the_library_runs_says_so_and_recovers(
    make: MakeRig, gpio: Gpio, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = sys.modules["RPi"]
    monkeypatch.setitem(sys.modules, "RPi", None)
    rig = make(pump=PLAIN)
    assert 'set controller.pins to "auto"' in rig.journal.problems["relay.pump"]
    monkeypatch.setitem(sys.modules, "RPi", installed)
    rig.pass_(11)
    rig.pass_(0.1)
    assert (gpio.level(PUMP), rig.available()) == (False, b"online")
