"""Conditions, partners, rest: what forbids a relay to be on, and turns it off when it comes."""

import pytest

from bus.messages import Reading, Value
from config.conditions import Comparison, parse_comparison
from config.model import BatteryGuard, Relay, Settings
from controller.others import States
from controller.policy import broken, devices, partners, rest, unmet
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, Rig

NOW = 1000.0
WATER = Relay(pin=PUMP, only_if=("fresh_water.level > 5",))


def heard(value: Value, at: float = NOW) -> States:
    states = States(["d"])
    states.take("d", Reading(ts=0, values={"e": value}), kept=False, now=at, wall_ms=None)
    return states


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("fresh_water.level > 5", Comparison("fresh_water", "level", ">", 5.0)),
        ("  a.b>=-0.5 ", Comparison("a", "b", ">=", -0.5)),
        ("a.b<=.5", Comparison("a", "b", "<=", 0.5)),
        ("a.b < 5.", Comparison("a", "b", "<", 5.0)),
        ("a.b == ON", Comparison("a", "b", "==", "ON")),
        ("a.b != bulk", Comparison("a", "b", "!=", "bulk")),
        ("a.b == 1", Comparison("a", "b", "==", 1.0)),
    ],
)
def test_a_condition_is_read_as_it_is_written(text: str, condition: Comparison) -> None:
    assert parse_comparison(text) == condition
    assert parse_comparison(str(condition)) == condition


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("> 5", 5.1, True),
        ("> 5", 5.0, False),
        ("> 5", -6.0, False),
        (">= 5", 5.0, True),
        (">= 5", 4.999, False),
        ("< 5", 4.9, True),
        ("< 5", 5.0, False),
        ("<= 5", 5.0, True),
        ("<= 5", 5.1, False),
        ("== 5", 5, True),
        ("== 5", 5.1, False),
        ("!= 5", 5.1, True),
        ("!= 5", 5, False),
        ("< 0", -0.5, True),
        ("== on", "ON", True),
        ("== ON", "OFF", False),
        ("!= bulk", "float", True),
        ("!= bulk", "bulk", False),
        ("== bulk", 1.0, False),
        ("!= bulk", 1.0, False),
        ("> 5", "ON", False),
        ("!= 5", "ON", False),
        ("> 5", None, False),
        ("!= 5", None, False),
        ("!= bulk", None, False),
    ],
)
def test_a_condition_holds_or_not(condition: str, value: Value, *, holds: bool) -> None:
    relay = Relay(pin=1, only_if=(f"d.e {condition}",))
    assert (unmet(relay, heard(value), NOW) is None) is holds
    assert (broken(relay, heard(value), NOW, since=NOW) is None) is holds


@pytest.mark.parametrize(("age", "holds"), [(0.0, True), (120.0, True), (120.1, False), (1e6, False)])
def test_what_was_heard_too_long_ago_does_not_hold(age: float, *, holds: bool) -> None:
    relay = Relay(pin=1, only_if=("d.e > 5",))
    why = unmet(relay, heard(9, NOW - age), NOW)
    assert (why is None) is holds
    assert holds or f"is {age:.0f} s old, which is more than 120 s" in str(why)


def test_what_nobody_said_forbids_on_at_once_but_turns_off_only_later() -> None:
    relay, nothing = Relay(pin=1, only_if=("d.e > 5",), only_if_within=30.0), States(["d"])
    assert unmet(relay, nothing, NOW) == "d.e > 5 does not hold: d.e is unknown"
    assert broken(relay, nothing, NOW + 30, since=NOW) is None
    assert broken(relay, nothing, NOW + 30.1, since=NOW) is not None


def test_the_first_condition_that_does_not_hold_is_named() -> None:
    relay = Relay(pin=1, only_if=("d.e > 5", "d.e < 8", "d.e < 7"))
    assert unmet(relay, heard(9), NOW) == "d.e < 8 does not hold: it is 9"


def test_partners_are_symmetric_whoever_says_it() -> None:
    relays = {"a": Relay(pin=1, never_with=("b",)), "b": Relay(pin=2), "c": Relay(pin=3)}
    assert partners(relays) == {"a": ("b",), "b": ("a",), "c": ()}


def test_only_the_devices_that_are_named_are_listened_to() -> None:
    relays = {"x": Relay(pin=1, only_if=("a.b > 1", "c.d == ON"), feedback="e.f"), "y": Relay(pin=2)}
    guard = BatteryGuard(relay="x", source="g.h", disconnect_below=1, reconnect_above=2)
    assert devices(Settings(relay=relays)) == {"a", "c", "e"}
    assert devices(Settings(relay=relays, battery_guard=guard)) == {"a", "c", "e", "g"}


@pytest.mark.parametrize(
    ("min_off", "off_since", "left"),
    [
        (None, NOW, 0.0),
        (180.0, NOW, 180.0),
        (180.0, NOW - 60, 120.0),
        (180.0, NOW - 180, 0.0),
        (180.0, 0.0, 0.0),
    ],
)
def test_the_rest_that_is_left(min_off: float | None, off_since: float, left: float) -> None:
    assert rest(Relay(pin=1, min_off=min_off), off_since, NOW) == left


# From here on with the controller.


def test_a_pump_without_water_is_refused_with_condition_and_value(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=WATER)
    answer = rig.command("pump", {"value": "ON", "id": "a"})
    assert (answer["code"], answer["message"], answer["actual"]) == (
        "interlock",
        "fresh_water.level > 5 does not hold: fresh_water.level is unknown",
        "OFF",
    )
    rig.say("fresh_water", level=5)
    assert rig.command("pump", "TOGGLE")["message"] == "fresh_water.level > 5 does not hold: it is 5"
    rig.say("fresh_water", level=5.5)
    assert rig.command("pump", {"value": "ON", "id": "a"})["status"] == "ok", (
        "a refused id may be tried again"
    )
    assert gpio.edges(PUMP) == [False, True]
    assert rig.command("pump", "OFF")["status"] == "ok"


@pytest.mark.parametrize("level", [5, 0, -1, None, "ON"])
def test_a_pump_that_runs_dry_is_turned_off_and_it_is_told(make: MakeRig, gpio: Gpio, level: Value) -> None:
    rig = make(pump=WATER)
    rig.say("fresh_water", level=50)
    rig.command("pump", "ON")
    rig.say("fresh_water", level=level)
    assert (gpio.level(PUMP), rig.state("pump")) == (False, "OFF")
    assert "turned off: fresh_water.level > 5 does not hold" in rig.journal.problems["relay.pump.only_if"]
    rig.say("fresh_water", level=50)
    assert rig.journal.problems == {}
    assert rig.state("pump") == "OFF", "nobody asked for it again"


def test_an_off_is_never_refused(make: MakeRig) -> None:
    rig = make(pump=WATER)
    assert rig.command("pump", "OFF")["status"] == "ok"


def test_silence_turns_off_when_the_last_word_is_too_old(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=WATER)
    rig.say("fresh_water", level=50)
    rig.command("pump", "ON")
    rig.pass_(119.9)
    assert gpio.level(PUMP) is True
    rig.pass_(0.2)
    assert gpio.level(PUMP) is False
    assert "old" in rig.journal.problems["relay.pump.only_if"]


def test_without_enforcement_it_stays_on_but_is_not_turned_on_again(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, only_if=WATER.only_if, only_if_enforce=False))
    rig.say("fresh_water", level=50)
    rig.command("pump", "ON")
    rig.say("fresh_water", level=1)
    assert gpio.level(PUMP) is True
    rig.command("pump", "OFF")
    assert rig.command("pump", "ON")["code"] == "interlock"


def test_two_relays_that_must_not_be_on_together(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, never_with=("lamp",)), lamp=Relay(pin=LAMP))
    assert rig.command("lamp", "ON")["status"] == "ok"
    refusal = rig.command("pump", "ON")
    assert (refusal["code"], refusal["message"]) == ("interlock", "never with lamp, which is on")
    rig.command("lamp", "OFF")
    rig.command("pump", "ON")
    assert rig.command("lamp", "TOGGLE")["message"] == "never with pump, which is on"
    assert (gpio.edges(LAMP), gpio.edges(PUMP)) == ([False, True, False], [False, True])


def test_a_partner_that_is_stuck_on_counts_as_on(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, never_with=("lamp",)), lamp=Relay(pin=LAMP))
    gpio.stuck[LAMP] = True
    assert rig.command("pump", "ON")["code"] == "interlock"


def test_of_two_partners_that_were_on_only_one_comes_back(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore"), lamp=Relay(pin=LAMP, boot="restore"))
    rig.command("pump", "ON")
    rig.command("lamp", "ON")
    rig.relays["pump"] = Relay(pin=PUMP, boot="restore", never_with=("lamp",))
    rig.restart()
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (True, False)


@pytest.mark.parametrize("wait", [0.0, 100.0, 179.9])
def test_a_compressor_rests_and_the_refusal_says_how_long(make: MakeRig, wait: float) -> None:
    rig = make(pump=Relay(pin=PUMP, min_off=180.0))
    rig.pass_(180)
    rig.command("pump", "ON")
    rig.command("pump", "OFF")
    rig.pass_(wait)
    refusal = rig.command("pump", "ON")
    assert refusal["code"] == "limit"
    assert refusal["message"] == f"min_off: it may turn on again in {180 - wait:.1f} s"
    rig.pass_(180 - wait)
    assert rig.command("pump", "ON")["status"] == "ok"
    assert rig.command("pump", "ON")["status"] == "ok", "it is on already and needs no rest"


def test_after_a_start_the_rest_counts_from_the_start(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP, min_off=180.0))
    rig.pass_(179)
    assert rig.command("pump", "ON")["message"] == "min_off: it may turn on again in 1.0 s"


def test_a_rest_also_follows_what_time_turned_off(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP, min_off=180.0, max_on=60.0))
    rig.pass_(180)
    rig.command("pump", "ON")
    rig.pass_(60)
    assert rig.state("pump") == "OFF"
    assert rig.command("pump", "ON")["code"] == "limit"


def _boot(make: MakeRig, relay: Relay, uptime: float) -> Rig:
    """A controller that starts when the machine has been up so long."""
    rig = make()
    rig.relays["pump"] = relay
    rig.time.monotonic_s = uptime
    return rig.start()


def test_a_machine_that_just_started_gives_a_compressor_its_rest_first(make: MakeRig, gpio: Gpio) -> None:
    rig = _boot(make, Relay(pin=PUMP, boot="on", min_off=180.0), uptime=20)
    assert gpio.edges(PUMP) == [False]
    rig.pass_(179)
    assert gpio.edges(PUMP) == [False]
    rig.pass_(2)
    assert gpio.edges(PUMP) == [False, True]
    assert rig.state("pump") == "ON"


def test_a_process_that_only_restarts_leaves_the_compressor_running(make: MakeRig, gpio: Gpio) -> None:
    rig = _boot(make, Relay(pin=PUMP, boot="on", min_off=180.0), uptime=5000)
    assert gpio.edges(PUMP) == [True]
    assert rig.command("pump", "ON")["status"] == "ok", "what is on needs no rest"


def test_after_a_power_cut_a_conditional_relay_comes_on_when_its_condition_is_heard(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = _boot(make, Relay(pin=PUMP, boot="on", only_if=WATER.only_if), uptime=20)
    rig.pass_(60)
    assert gpio.level(PUMP) is False
    rig.say("fresh_water", level=50)
    assert gpio.level(PUMP) is True


@pytest.mark.parametrize("late", [121.0, 86_400.0])
def test_nothing_comes_on_by_itself_when_nobody_expects_it_any_more(
    make: MakeRig, gpio: Gpio, late: float
) -> None:
    rig = _boot(make, Relay(pin=PUMP, boot="on", only_if=WATER.only_if), uptime=20)
    rig.pass_(late)
    rig.say("fresh_water", level=50)
    assert gpio.edges(PUMP) == [False]


def test_a_command_counts_for_more_than_what_was_to_come_back(make: MakeRig, gpio: Gpio) -> None:
    rig = _boot(make, Relay(pin=PUMP, boot="on", only_if=WATER.only_if), uptime=20)
    rig.command("pump", "OFF")
    rig.say("fresh_water", level=50)
    assert gpio.edges(PUMP) == [False]


def test_garbage_from_another_device_is_counted_and_forbids_as_before(make: MakeRig) -> None:
    rig = make(pump=WATER)
    rig.say("fresh_water", level=50)
    for payload in (b"\xff", b"[]", b'{"level":[1]}', b'{"level":NaN}', b"", b"{"):
        rig.receive("camper/state/fresh_water", payload)
    assert rig.journal.counters["refused_messages"] == 5
    assert rig.command("pump", "ON")["status"] == "ok"
    rig.receive("camper/state/other", b'{"level":1}')
    rig.pass_(0)
    assert rig.state("pump") == "ON"
