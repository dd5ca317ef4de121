"""The battery guard: trips on what was measured, never on silence, and does not flap."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.model import BatteryGuard, Relay
from controller.policy import LONGEST_GAP_S, Guard, guard_elapse, guard_refusal, guard_step
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, Rig

VOLTAGE = BatteryGuard(
    relay="pump",
    source="smartshunt.voltage",
    disconnect_below=11.8,
    disconnect_after=60.0,
    reconnect_above=12.8,
    reconnect_after=300.0,
)
BACK = BatteryGuard(
    relay="pump",
    source="smartshunt.voltage",
    disconnect_below=11.8,
    reconnect_above=12.8,
    reconnect_after=60.0,
    restore=True,
)
PLAIN = Relay(pin=PUMP)


def run(values: list[tuple[float, float | None]], guard: Guard | None = None) -> Guard:
    """The guard after measurements of (second, value)."""
    guard = guard or Guard()
    for at, value in values:
        guard = guard_step(VOLTAGE, guard, value, at)
    return guard


@pytest.mark.parametrize(
    ("values", "tripped"),
    [
        ([(0, 11.7), (30, 11.7), (60, 11.7)], True),
        ([(0, 11.7), (30, 11.7), (59.9, 11.7)], False),
        ([(0, 11.8), (60, 11.8), (120, 11.8)], False),
        ([(0, 11.7), (30, 11.9), (60, 11.7)], False),
        ([(0, 11.7), (30, None), (60, 11.7)], False),
        ([(0, 11.7), (30, None), (60, 11.7), (120, 11.7)], True),
        ([(0, 11.7)], False),
        ([(0, 11.7), (60, None), (90, None)], False),
        ([(0, 11.7), (LONGEST_GAP_S + 1, 11.7)], False),
        ([(0, 11.7), (LONGEST_GAP_S, 11.7)], True),
        ([(0, 0.0), (60, -5.0)], True),
        ([], False),
    ],
)
def test_it_trips_on_what_was_measured_below_for_long_enough(
    values: list[tuple[float, float | None]], *, tripped: bool
) -> None:
    assert run(values).tripped is tripped


@pytest.mark.parametrize(
    ("values", "tripped"),
    [
        ([(0, 12.9), (100, 12.9), (200, 12.9), (300, 12.9)], False),
        ([(0, 12.9), (100, 12.9), (200, 12.9), (299, 12.9)], True),
        ([(0, 12.9), (100, 12.8), (200, 12.9), (300, 12.9)], True),
        ([(0, 12.9), (100, None), (200, 12.9), (300, 12.9)], True),
        ([(0, 11.9), (300, 12.0), (600, 12.1)], True),
        ([(0, 12.9), (300, 12.9)], True),
    ],
)
def test_it_recovers_after_its_hysteresis_only(
    values: list[tuple[float, float | None]], *, tripped: bool
) -> None:
    assert run(values, Guard(tripped=True)).tripped is tripped


@pytest.mark.parametrize(
    ("values", "now", "tripped"),
    [
        ([(0, 11.7), (30, 11.7)], 59.9, False),
        ([(0, 11.7), (30, 11.7)], 60.0, True),
        ([(0, 11.7), (30, 11.9)], 60.0, False),
        ([(0, 11.7), (30, None)], 60.0, False),
        ([(0, 11.7)], 60.0, False),
        ([(0, 11.7), (14, 11.7)], 60.0, False),
        ([(0, 11.7), (50, 11.7)], 100.0, True),
        ([(0, 11.9), (40, 11.7)], 99.9, False),
        ([], 60.0, False),
    ],
)
def test_it_trips_by_its_own_timer_while_the_next_measurement_is_not_overdue(
    values: list[tuple[float, float | None]], now: float, *, tripped: bool
) -> None:
    assert guard_elapse(VOLTAGE, run(values), now, heartbeat=30.0).tripped is tripped


def test_a_source_that_is_slow_by_nature_has_its_own_time() -> None:
    slow = replace(VOLTAGE, disconnect_after=170.0)
    guard = guard_step(slow, guard_step(slow, Guard(), 11.7, 0.0), 11.7, 100.0)
    assert guard_elapse(slow, guard, 170.0, heartbeat=30.0).tripped
    assert guard_elapse(slow, guard, 220.0, heartbeat=30.0).tripped
    assert not guard_elapse(slow, guard, 221.0, heartbeat=30.0).tripped, "overdue: more than 120 s"


def test_it_recovers_by_its_own_timer_too() -> None:
    guard = run([(0, 12.9), (100, 12.9), (200, 12.9), (290, 12.9)], Guard(tripped=True))
    assert not guard_elapse(VOLTAGE, guard, 300.0, heartbeat=30.0).tripped


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        ("s.voltage", 11.4, "battery guard: 11.4 V is below 11.8 V; reconnects above 12.8 V"),
        ("s.voltage", 12.2, "battery guard: it was below 11.8 V and is 12.2 V; reconnects above 12.8 V"),
        ("s.soc", 7.0, "battery guard: 7 % is below 11.8 %; reconnects above 12.8 %"),
        ("s.x", None, "battery guard: s.x was below 11.8 and is unknown now; reconnects above 12.8"),
    ],
)
def test_the_refusal_says_value_and_limits(source: str, value: float | None, text: str) -> None:
    guard = BatteryGuard(relay="pump", source=source, disconnect_below=11.8, reconnect_above=12.8)
    assert guard_refusal(guard, value) == text


_MEASUREMENTS = st.lists(
    st.tuples(
        st.floats(0.01, 400),
        st.none() | st.floats(-1e6, 1e6) | st.sampled_from([11.79, 11.8, 12.3, 12.8, 12.81]),
    ),
    max_size=60,
)


@hypothesis_settings(deadline=None)
@given(steps=_MEASUREMENTS, tripped=st.booleans())
def test_it_never_flaps_faster_than_its_times_and_never_moves_on_unknown(
    steps: list[tuple[float, float | None]], *, tripped: bool
) -> None:
    guard, now = Guard(tripped=tripped), 0.0
    changes: list[tuple[float, bool]] = [(0.0, tripped)]
    for wait, value in steps:
        now += wait
        after = guard_step(VOLTAGE, guard, value, now)
        if after.tripped is not guard.tripped:
            assert value is not None
            assert value < 11.8 if after.tripped else value > 12.8
            changes.append((now, after.tripped))
        guard = after
    for (before, _), (at, is_tripped) in pairwise(changes):
        assert at - before >= (60.0 if is_tripped else 300.0)


@hypothesis_settings(deadline=None)
@given(st.lists(st.floats(0.01, 1e6), max_size=40), st.floats(-10, 11.7))
def test_one_low_value_and_then_silence_never_trips(waits: list[float], low: float) -> None:
    guard, now = guard_step(VOLTAGE, Guard(), low, 0.0), 0.0
    for wait in waits:
        now += wait
        guard = guard_step(VOLTAGE, guard, None, now)
        assert not guard.tripped


# From here on with the controller.


def empty(rig: Rig, volts: float = 11.4, seconds: int = 60) -> None:
    """The battery is measured every 10 s."""
    for _ in range(seconds // 10 + 1):
        rig.say("smartshunt", voltage=volts)
        rig.pass_(10)


def test_an_empty_battery_disconnects_refuses_and_is_announced(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN, lamp=Relay(pin=LAMP))
    about = rig.about()["battery_guard"]
    assert about == {"name": "Battery guard", "device_class": "problem", "boolean": True}
    assert rig.said("battery_guard") == "OFF"
    rig.command("pump", "ON")
    rig.command("lamp", "ON")
    empty(rig)
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (False, True), "the lamp is not the guard's"
    assert (rig.state("pump"), rig.said("battery_guard")) == ("OFF", "ON")
    refusal = rig.command("pump", "ON")
    text = "battery guard: 11.4 V is below 11.8 V; reconnects above 12.8 V"
    assert (refusal["code"], refusal["message"]) == ("interlock", text)
    assert rig.journal.problems["battery_guard"] == text
    assert rig.command("pump", "OFF")["status"] == "ok"


def test_the_load_is_disconnected_between_two_measurements(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN)
    rig.command("pump", "ON")
    for _ in range(2):
        rig.say("smartshunt", voltage=11.4)
        rig.pass_(25)
    rig.pass_(9.9)
    assert gpio.level(PUMP) is True
    rig.pass_(0.2)
    assert (gpio.level(PUMP), rig.said("battery_guard")) == (False, "ON")


def test_the_first_live_word_of_a_stranger_counts_and_what_was_kept_of_it_does_not(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = make(replace(VOLTAGE, disconnect_after=20.0), pump=PLAIN)
    rig.command("pump", "ON")
    rig.receive("camper/state/smartshunt", b'{"voltage": 11.0}', retain=True)
    rig.pass_(30)
    assert gpio.level(PUMP) is True
    rig.say("smartshunt", ts=False, voltage=11.0)
    rig.pass_(20)
    assert gpio.level(PUMP) is False


def test_a_recovered_battery_allows_on_but_does_not_switch(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN)
    rig.command("pump", "ON")
    empty(rig)
    empty(rig, 12.9, 300)
    assert (rig.said("battery_guard"), rig.problems) == ("OFF", {})
    assert gpio.edges(PUMP) == [False, True, False]
    assert rig.command("pump", "ON")["status"] == "ok"


@pytest.mark.parametrize(
    ("before", "after"), [("ON", True), ("OFF", False), ('{"value":"ON","for":3600}', False)]
)
def test_with_restore_it_comes_back_as_it_was(make: MakeRig, gpio: Gpio, before: str, *, after: bool) -> None:
    rig = make(BACK, pump=PLAIN)
    rig.command("pump", before)
    empty(rig)
    assert gpio.level(PUMP) is False
    empty(rig, 12.9)
    assert gpio.level(PUMP) is after


def test_who_turned_it_off_meanwhile_is_respected(make: MakeRig, gpio: Gpio) -> None:
    rig = make(BACK, pump=PLAIN)
    rig.command("pump", "ON")
    empty(rig)
    rig.command("pump", "OFF")
    empty(rig, 12.9)
    assert gpio.level(PUMP) is False


def test_a_restored_compressor_has_its_rest(make: MakeRig, gpio: Gpio) -> None:
    rig = make(BACK, pump=Relay(pin=PUMP, min_off=600.0))
    rig.pass_(600)
    rig.command("pump", "ON")
    empty(rig)
    empty(rig, 12.9)
    assert gpio.level(PUMP) is False
    empty(rig, 12.9, 540)
    assert gpio.level(PUMP) is True


def test_a_restart_does_not_forget_that_it_tripped(make: MakeRig, gpio: Gpio) -> None:
    rig = make(BACK, pump=Relay(pin=PUMP, boot="on"))
    empty(rig)
    rig.restart()
    assert gpio.edges(PUMP)[-1] is False
    assert rig.said("battery_guard") == "ON"
    assert rig.command("pump", "ON")["message"] == (
        "battery guard: smartshunt.voltage was below 11.8 V and is unknown now; reconnects above 12.8 V"
    )
    empty(rig, 12.9)
    assert (gpio.level(PUMP), rig.said("battery_guard")) == (True, "OFF")
    rig.restart()
    assert (gpio.level(PUMP), rig.said("battery_guard")) == (True, "OFF")


def test_a_sensor_that_dies_low_never_cuts_the_power_but_is_told(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN)
    rig.command("pump", "ON")
    rig.say("smartshunt", voltage=11.0)
    for _ in range(1000):
        rig.pass_(10)
    rig.say("smartshunt", voltage=None)
    rig.pass_(100)
    assert (gpio.level(PUMP), rig.said("battery_guard")) == (True, "OFF")
    assert "nothing guards the battery" in rig.journal.problems["battery_guard.source"]
    rig.say("smartshunt", voltage=13.0)
    assert rig.problems == {}


def test_old_readings_that_come_again_do_not_trip(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN)
    rig.command("pump", "ON")
    rig.say("smartshunt", voltage=13.0)
    for second in range(0, 300, 10):
        rig.receive(
            "camper/state/smartshunt",
            f'{{"ts":"2026-11-21T11:0{second // 60}:{second % 60:02d}Z","voltage":11.0}}'.encode(),
        )
        rig.pass_(1)
    assert gpio.level(PUMP) is True


def test_a_pin_that_cannot_be_turned_off_is_tried_until_it_can(make: MakeRig, gpio: Gpio) -> None:
    rig = make(VOLTAGE, pump=PLAIN)
    rig.command("pump", "ON")
    gpio.broken.add(PUMP)
    empty(rig)
    assert rig.state("pump") == "ON"
    gpio.broken.clear()
    rig.pass_(0.1)
    assert (gpio.level(PUMP), rig.state("pump")) == (False, "OFF")


def test_without_its_table_there_is_no_guard(make: MakeRig) -> None:
    rig = make(pump=PLAIN)
    assert "battery_guard" not in rig.about()
    empty(rig)
    assert rig.command("pump", "ON")["status"] == "ok"
