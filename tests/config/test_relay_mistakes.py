"""Mistakes in what a relay and the battery guard may be told: one line each, with what is allowed."""

import pytest

from config.model import BatteryGuard
from tests.config.conftest import Machine

CONDITION = "device.entity, one of < <= > >= == !=, a number or a word: fresh_water.level > 5"
PUMP = "[relay.pump]\npin = 4\n"
LAMP = "[relay.lamp]\npin = 5\n"
GUARD = (
    PUMP
    + '[battery_guard]\nrelay = "pump"\nsource = "shunt.voltage"\n'
    + "disconnect_below = 11.8\nreconnect_above = 12.8\n"
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(
            (PUMP + f'only_if = ["{text}"]', f"relay.pump.only_if: {wrong}; allowed: {CONDITION}")
            for text, wrong in (
                ("", "'' is no condition"),
                ("a.b", "'a.b' is no condition"),
                ("a.b >", "'a.b >' is no condition"),
                ("a.b = 5", "'a.b = 5' is no condition"),
                ("a > 5", "'a > 5' is no condition"),
                ("A.b > 5", "'A.b > 5' is no condition"),
                ("5 < a.b", "'5 < a.b' is no condition"),
                ("a.b > 5 and c.d > 1", "'a.b > 5 and c.d > 1' is no condition"),
                ("a.b => 5", "'a.b => 5' is no condition"),
                ("a.b > 5%", "'a.b > 5%': 5% is neither a number nor a word"),
                ("a.b > 1e5", "'a.b > 1e5': 1e5 is neither a number nor a word"),
                ("a.b > \u0665", "'a.b > \u0665': \u0665 is neither a number nor a word"),
                ("a.b > bulk", "'a.b > bulk': bulk is a word, which has no >"),
                ("a.b > nan", "'a.b > nan': nan is a word, which has no >"),
            )
        ),
        (
            PUMP + 'only_if = "a.b > 5"',
            'relay.pump.only_if: \'a.b > 5\' is not allowed; allowed: a list in brackets, such as ["a", "b"]',
        ),
        (
            PUMP + LAMP + 'never_with = ["lmap"]',
            "relay.lamp.never_with: there is no relay 'lmap'; allowed: pump",
        ),
        (
            PUMP + 'never_with = ["pump"]',
            "relay.pump.never_with: this is the relay itself; allowed: other relays",
        ),
        (
            PUMP + 'boot = "on"\n' + LAMP + 'boot = "on"\nnever_with = ["pump"]',
            "relay.lamp.never_with: lamp and pump both boot on; allowed: at most one that boots on",
        ),
        (
            PUMP + 'feedback = "a.b"\nfeedback_pin = 7',
            "relay.pump.feedback_pin: there is a feedback already; allowed: feedback or feedback_pin",
        ),
        (
            PUMP + 'feedback = "a"',
            "relay.pump.feedback: 'a' is not device.entity; allowed: such as shore.contact",
        ),
        (
            PUMP + "feedback_pin = 4",
            "relay.pump.feedback_pin: relay.pump uses pin 4 already; allowed: one use a pin",
        ),
        (
            PUMP + "feedback_pin = 5\n" + LAMP,
            "relay.lamp.pin: relay.pump.feedback_pin uses pin 5 already; allowed: one use a pin",
        ),
        (
            PUMP + "feedback_pin = 7\n[relay.pump_fault]\npin = 8",
            "relay.pump_fault: another relay's feedback reports under this id; allowed: any other id",
        ),
        (
            PUMP + "feedback_within = 0",
            "relay.pump.feedback_within: 0 is not allowed; allowed: greater than or equal to 1",
        ),
        (PUMP + "min_off = 0", "relay.pump.min_off: 0 is not allowed; allowed: greater than 0"),
        (
            PUMP + 'broker_loss = "on"',
            "relay.pump.broker_loss: 'on' is not allowed; allowed: 'keep' or 'off'",
        ),
        (GUARD.replace('"pump"', '"pmup"'), "battery_guard.relay: there is no relay 'pmup'; allowed: pump"),
        (
            GUARD.replace("shunt.voltage", "shunt"),
            "battery_guard.source: 'shunt' is not device.entity; allowed: such as smartshunt.voltage",
        ),
        (
            GUARD.replace("12.8", "11.8"),
            "battery_guard.reconnect_above: 11.8 would flap; allowed: more than disconnect_below, 11.8",
        ),
        (
            GUARD.replace('source = "shunt.voltage"\n', ""),
            "battery_guard.source: it is missing; allowed: a value for source",
        ),
        (
            GUARD + "restor = true",
            "battery_guard.restor: there is no such setting; did you mean restore?",
        ),
        (
            GUARD.replace("11.8", '"low"'),
            (
                "battery_guard.disconnect_below: 'low' is not allowed; "
                "allowed: a number, without a unit and with a point, such as 1.5"
            ),
        ),
        (
            GUARD + "[relay.battery_guard]\npin = 9",
            "relay.battery_guard: the battery guard reports under this id; allowed: any other id",
        ),
        ("battery_guard = 5", "battery_guard: this is no table; allowed: a table, such as [battery_guard]"),
    ],
)
def test_a_mistake_is_one_line(machine: Machine, text: str, line: str) -> None:
    machine.says(text)
    assert machine.mistakes() == [line]


def test_without_the_table_there_is_no_guard_and_with_it_it_is_read(machine: Machine) -> None:
    machine.says(PUMP)
    assert machine.settings().battery_guard is None
    machine.says(GUARD)
    assert machine.settings().battery_guard == BatteryGuard(
        relay="pump", source="shunt.voltage", disconnect_below=11.8, reconnect_above=12.8
    )


def test_the_guard_may_be_set_by_variables_alone(machine: Machine) -> None:
    machine.says(GUARD)
    machine.env(BOONDOCK_BATTERY_GUARD__DISCONNECT_BELOW="11.5", BOONDOCK_BATTERY_GUARD__RESTORE="true")
    guard = machine.settings().battery_guard
    assert guard is not None
    assert (guard.disconnect_below, guard.restore) == (11.5, True)
