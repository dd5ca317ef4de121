"""Rules: what they switch, what a person's word is worth, and that the relay's policy counts above all."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Relay, Rule
from controller.conditions import Hold, Latch, step
from tests.controller.conftest import MakeRig
from tests.controller.rig import LAMP, PUMP, Rig

GENERATOR = Rule(
    output="relay.pump",
    when="shunt.soc < 30",
    for_=0,
    until="shunt.soc > 80",
    until_for=0,
    min_on=0,
    min_off=0,
)
PLAIN = Relay(pin=PUMP)


def soc(rig: Rig, value: float) -> None:
    rig.say("shunt", soc=value)
    rig.pass_(2)


def rule_state(rig: Rig) -> dict[str, object]:
    found: dict[str, object] = json.loads(rig.bus.on("camper/state/rule")[-1])
    return found


def test_a_rule_switches_on_and_off(make: MakeRig) -> None:
    rig = make(rule={"charge": GENERATOR}, pump=PLAIN)
    soc(rig, 29)
    assert rig.state("pump") == "ON"
    soc(rig, 80)
    assert rig.state("pump") == "ON"
    soc(rig, 81)
    assert rig.state("pump") == "OFF"
    assert (rule_state(rig)["charge"], rule_state(rig)["charge_wants"]) == ("auto", "OFF")


def test_what_is_over_already_does_not_begin(make: MakeRig) -> None:
    rule = replace(GENERATOR, when="shunt.soc > 10", until="shunt.soc > 80")
    rig = make(rule={"charge": rule}, pump=PLAIN)
    for value in (90, 91, 92):
        soc(rig, value)
    assert set(rig.states("pump")) == {"OFF"}


def test_a_value_that_is_unknown_switches_nothing(make: MakeRig) -> None:
    rig = make(rule={"charge": GENERATOR}, pump=PLAIN)
    soc(rig, 29)
    rig.pass_(1000)
    assert rig.state("pump") == "ON"


def test_least_times_are_kept(make: MakeRig) -> None:
    rig = make(rule={"charge": replace(GENERATOR, min_on=100, min_off=200)}, pump=PLAIN)
    soc(rig, 29)
    soc(rig, 90)
    assert rig.state("pump") == "ON"
    rig.pass_(100)
    assert rig.state("pump") == "OFF"
    soc(rig, 20)
    assert rig.state("pump") == "OFF"
    rig.pass_(200)
    assert rig.state("pump") == "ON"


def test_a_person_counts_for_a_time(make: MakeRig) -> None:
    rig = make(rule={"charge": replace(GENERATOR, override=600, within=3600)}, pump=PLAIN)
    soc(rig, 29)
    assert rig.command("pump", "OFF")["status"] == "ok"
    rig.pass_(590)
    assert (rig.state("pump"), rule_state(rig)["charge"]) == ("OFF", "OFF")
    rig.pass_(15)
    assert (rig.state("pump"), rule_state(rig)["charge"]) == ("ON", "auto")


def test_the_mode_is_set_by_command_and_auto_ends_it(make: MakeRig) -> None:
    rig = make(rule={"charge": GENERATOR}, pump=PLAIN)
    soc(rig, 50)
    answer = rig.command("charge", "ON", device="rule")
    rig.pass_(1)
    assert (answer["status"], answer["actual"], rig.state("pump")) == ("ok", "ON", "ON")
    rig.command("charge", "auto", device="rule")
    rig.pass_(1)
    assert (rig.state("pump"), rule_state(rig)["charge"]) == ("OFF", "auto")


def test_a_restart_goes_on_where_the_rule_was(make: MakeRig) -> None:
    rig = make(rule={"charge": replace(GENERATOR, override=600)}, pump=replace(PLAIN, boot="restore"))
    soc(rig, 29)
    rig.command("charge", "OFF", device="rule")
    rig.pass_(1)
    rig.stop()
    rig.start()
    rig.pass_(300)
    assert (rig.state("pump"), rule_state(rig)["charge"], rule_state(rig)["charge_wants"]) == (
        "OFF",
        "OFF",
        "OFF",
    )
    rig.pass_(310)
    assert rule_state(rig)["charge"] == "auto"
    assert rule_state(rig)["charge_wants"] == "ON"


def test_an_override_ends_in_its_time_although_the_clock_was_set_back(make: MakeRig) -> None:
    rig = make(rule={"charge": replace(GENERATOR, override=600)}, pump=PLAIN)
    rig.command("charge", "OFF", device="rule")
    rig.stop()
    rig.time.wall_ms -= 86_400_000
    rig.start()
    rig.pass_(590)
    assert rule_state(rig)["charge"] == "OFF"
    rig.pass_(15)
    assert rule_state(rig)["charge"] == "auto"


def test_the_policy_of_the_relay_counts_above_all(make: MakeRig) -> None:
    rig = make(
        rule={"charge": GENERATOR},
        pump=replace(PLAIN, only_if=("tank.level > 5",), never_with=("lamp",)),
        lamp=Relay(pin=LAMP),
    )
    rig.say("tank", level=4)
    soc(rig, 29)
    assert rig.state("pump") == "OFF"
    assert "tank.level > 5 does not hold" in rig.problems["rule.charge"]
    rig.say("tank", level=6)
    rig.pass_(2)
    assert rig.state("pump") == "ON"
    assert "rule.charge" not in rig.problems


def test_a_relay_whose_own_time_is_over_is_not_turned_on_again(make: MakeRig) -> None:
    rig = make(rule={"charge": replace(GENERATOR, within=10_000)}, pump=replace(PLAIN, max_on=100))
    soc(rig, 29)
    rig.pass_(200)
    assert rig.state("pump") == "OFF"
    soc(rig, 90)
    soc(rig, 20)
    assert rig.state("pump") == "ON"


def test_two_rules_never_turn_on_relays_that_exclude_each_other(make: MakeRig) -> None:
    rig = make(
        rule={"one": GENERATOR, "two": replace(GENERATOR, output="relay.lamp")},
        pump=replace(PLAIN, never_with=("lamp",)),
        lamp=Relay(pin=LAMP),
    )
    soc(rig, 20)
    assert (rig.state("pump"), rig.state("lamp")) == ("ON", "OFF")
    assert "never with pump" in rig.problems["rule.two"]


@pytest.mark.parametrize(("payload", "code"), [("TOGGLE", "invalid"), ("12", "invalid")])
def test_other_modes_are_refused(make: MakeRig, payload: str, code: str) -> None:
    rig = make(rule={"charge": GENERATOR}, pump=PLAIN)
    assert rig.command("charge", payload, device="rule")["code"] == code
    assert rig.command("charge_wants", "ON", device="rule")["code"] == "not_found"


TRUTHS = st.lists(
    st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None]), st.floats(0.1, 50)),
    min_size=1,
    max_size=60,
)
HOLDS = st.builds(Hold, *[st.floats(0, 100)] * 4)


@given(TRUTHS, HOLDS)
@settings(deadline=None)
def test_a_latch_never_chatters(truths: list[tuple[bool | None, bool | None, float]], hold: Hold) -> None:
    latch, now, changes = Latch(), 0.0, []
    for begins, ends, later in truths:
        now += later
        before, latch = latch, step(latch, hold, begins=begins, ends=ends, now=now)
        if latch.active is not before.active:
            assert (begins if latch.active else ends) is True
            changes.append((now, latch.active))
    for (at, active), (after, _) in pairwise(changes):
        assert after - at >= (hold.least_on if active else hold.least_off)
        assert after - at >= (hold.end if active else hold.begin)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 5)), max_size=80), st.floats(0, 20))
@settings(deadline=None)
def test_a_latch_begins_after_its_time_and_only_then(looks: list[tuple[bool, float]], needed: float) -> None:
    latch, now, since = Latch(), 0.0, None
    for holds, later in looks:
        now += later
        since = (since if since is not None else now) if holds else None
        latch = step(latch, Hold(begin=needed), begins=holds, ends=False, now=now)
        if latch.active:
            assert since is not None
            assert now - since >= needed
            return
        assert since is None or now - since < needed
