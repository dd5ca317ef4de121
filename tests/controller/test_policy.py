"""What a relay may do and until when, as tables; time is an argument."""

import pytest

from bus.commands import Code, Refused, Switch
from config.model import Relay
from controller.policy import Position, at_boot, elapse, is_cold, level, obey

NOW = 1000.0
PLAIN = Relay(pin=1)
LIMITED = Relay(pin=1, max_on=60.0)
ON, OFF, TOGGLE = Switch.ON, Switch.OFF, Switch.TOGGLE
IS_OFF = Position(on=False)
IS_ON = Position(on=True)


@pytest.mark.parametrize(
    ("relay", "was_on", "position"),
    [
        (Relay(pin=1, boot="off"), True, IS_OFF),
        (Relay(pin=1, boot="off"), False, IS_OFF),
        (Relay(pin=1, boot="on"), False, IS_ON),
        (Relay(pin=1, boot="restore"), True, IS_ON),
        (Relay(pin=1, boot="restore"), False, IS_OFF),
        (Relay(pin=1, boot="on", max_on=60.0), False, Position(on=True, off_at=1060.0)),
        (Relay(pin=1, boot="restore", max_on=60.0), True, Position(on=True, off_at=1060.0)),
        (Relay(pin=1, boot="restore", max_on=60.0), False, IS_OFF),
    ],
)
def test_the_position_at_boot(relay: Relay, position: Position, *, was_on: bool) -> None:
    assert at_boot(relay, was_on=was_on, now=NOW) == position


@pytest.mark.parametrize(
    ("relay", "before", "wanted", "for_s", "after"),
    [
        (PLAIN, IS_OFF, ON, None, IS_ON),
        (PLAIN, IS_ON, ON, None, IS_ON),
        (PLAIN, IS_ON, OFF, None, IS_OFF),
        (PLAIN, IS_OFF, OFF, None, IS_OFF),
        (PLAIN, IS_OFF, TOGGLE, None, IS_ON),
        (PLAIN, IS_ON, TOGGLE, None, IS_OFF),
        (PLAIN, IS_OFF, ON, 30.0, Position(on=True, off_at=1030.0, lasting=False)),
        (PLAIN, IS_OFF, TOGGLE, 30.0, Position(on=True, off_at=1030.0, lasting=False)),
        (PLAIN, IS_ON, TOGGLE, 30.0, IS_OFF),
        (PLAIN, Position(on=True, off_at=1010.0), ON, None, IS_ON),
        (PLAIN, Position(on=True, off_at=1010.0), ON, 30.0, Position(on=True, off_at=1030.0, lasting=False)),
        (PLAIN, Position(on=True, off_at=1010.0), OFF, None, IS_OFF),
        (LIMITED, IS_OFF, ON, None, Position(on=True, off_at=1060.0)),
        (LIMITED, IS_OFF, ON, 60.0, Position(on=True, off_at=1060.0, lasting=False)),
        (LIMITED, IS_OFF, ON, 0.5, Position(on=True, off_at=1000.5, lasting=False)),
        (LIMITED, Position(on=True, off_at=1010.0), ON, None, Position(on=True, off_at=1060.0)),
    ],
)
def test_the_position_a_command_leads_to(
    relay: Relay, before: Position, wanted: Switch, for_s: float | None, after: Position
) -> None:
    assert obey(relay, before, wanted, for_s, NOW) == after


@pytest.mark.parametrize(
    ("relay", "wanted", "for_s", "code"),
    [
        (LIMITED, ON, 60.5, Code.LIMIT),
        (LIMITED, TOGGLE, 61.0, Code.LIMIT),
        (PLAIN, OFF, 30.0, Code.INVALID),
    ],
)
def test_a_command_beyond_the_policy_is_refused(
    relay: Relay, wanted: Switch, for_s: float, code: Code
) -> None:
    with pytest.raises(Refused, match="for: ") as refused:
        obey(relay, IS_OFF, wanted, for_s, NOW)
    assert refused.value.code is code


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (IS_ON, IS_ON),
        (IS_OFF, IS_OFF),
        (Position(on=True, off_at=1000.1), Position(on=True, off_at=1000.1)),
        (Position(on=True, off_at=1000.0), IS_OFF),
        (Position(on=True, off_at=1.0), IS_OFF),
    ],
)
def test_time_turns_off_what_has_been_on_long_enough(before: Position, after: Position) -> None:
    assert elapse(before, NOW) == after


@pytest.mark.parametrize(
    ("active_low", "on", "high"),
    [(False, True, True), (False, False, False), (True, True, False), (True, False, True)],
)
def test_the_level_of_a_position(*, active_low: bool, on: bool, high: bool) -> None:
    assert level(Relay(pin=1, active_low=active_low), on=on) is high


@pytest.mark.parametrize(
    ("relay", "now", "cold"),
    [
        (PLAIN, 0.0, False),
        (Relay(pin=1, min_off=180.0), 179.9, True),
        (Relay(pin=1, min_off=180.0), 180.0, False),
        (Relay(pin=1, only_if=("d.e > 5",), only_if_within=30.0), 29.9, True),
        (Relay(pin=1, only_if=("d.e > 5",), only_if_within=30.0), 30.0, False),
        (Relay(pin=1, only_if_within=30.0), 0.0, False),
    ],
)
def test_a_machine_that_has_just_started_lets_a_relay_rest(relay: Relay, now: float, *, cold: bool) -> None:
    assert is_cold(relay, now) is cold
