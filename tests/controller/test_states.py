"""What other devices said: new things count, kept, repeated and late ones do not pass for new."""

import pytest

from bus.messages import ClockQuality, Reading, Value
from controller.others import Heard, States
from tests.clock import NOON_MS

NOW = 1000.0


def say(
    states: States,
    value: Value,
    *,
    age_ms: int | None = 0,
    clock: ClockQuality = "ok",
    seq: int | None = None,
    stream: str = "s",
    kept: bool = False,
    now: float = NOW,
    right: bool = True,
) -> bool:
    wall_ms = NOON_MS + round((now - NOW) * 1000)
    reading = Reading(
        ts=None if age_ms is None else wall_ms - age_ms,
        values={"e": value},
        clock=clock,
        stream=None if seq is None else stream,
        seq=seq,
    )
    return states.take("d", reading, kept=kept, now=now, wall_ms=wall_ms if right else None)


def test_what_a_device_remembered_is_no_present_value() -> None:
    states = States({"d"})
    history = Reading(ts=NOON_MS - 1000, values={"e": 1.0}, late=True)
    assert not states.take("d", history, kept=False, now=NOW, wall_ms=NOON_MS)
    assert states.get("d", "e") is None


@pytest.mark.parametrize(
    ("age_ms", "clock", "right", "at"),
    [
        (0, "ok", True, NOW),
        (5000, "ok", True, NOW - 5),
        (86_400_000, "ok", True, NOW - 86_400),
        (-5000, "ok", True, NOW),
        (5000, "estimated", True, NOW),
        (5000, "unset", True, NOW),
        (5000, "ok", False, NOW),
    ],
)
def test_a_value_is_as_old_as_its_measurement_if_both_clocks_are_right(
    age_ms: int, clock: ClockQuality, at: float, *, right: bool
) -> None:
    states = States(["d"])
    assert say(states, 1.0, age_ms=age_ms, clock=clock, right=right)
    assert states.get("d", "e") == Heard(1.0, at)
    assert states.find("d.e") == Heard(1.0, at)
    assert states.find("d.x") is None


def test_readings_that_are_sent_again_change_nothing() -> None:
    states = States(["d"])
    say(states, 5.0, seq=7, clock="unset")
    assert not say(states, 4.0, seq=6, clock="unset", now=NOW + 1)
    assert not say(states, 5.0, seq=7, clock="unset", now=NOW + 2)
    assert states.find("d.e") == Heard(5.0, NOW)
    assert say(states, 6.0, seq=8, clock="unset", now=NOW + 3)


@pytest.mark.parametrize("before", [7, 2**53 - 1])
def test_a_counter_that_begins_again_is_heard_and_what_is_sent_again_is_not(before: int) -> None:
    states = States(["d"])
    say(states, 5.0, seq=before)
    assert say(states, 6.0, seq=1, now=NOW + 1)
    assert not say(states, 5.0, seq=1, age_ms=1000, now=NOW + 2)
    assert states.find("d.e") == Heard(6.0, NOW + 1)


def test_a_new_stream_begins_anew_but_what_is_older_is_not_believed() -> None:
    states = States(["d"])
    say(states, 5.0, seq=700)
    assert not say(states, 4.0, seq=1, stream="t", age_ms=60_000)
    assert say(states, 6.0, seq=2, stream="t", now=NOW + 1)
    assert states.find("d.e") == Heard(6.0, NOW + 1)


def test_what_the_broker_kept_of_a_stranger_without_a_time_may_be_a_year_old() -> None:
    states = States(["d"])
    assert not say(states, 1.0, age_ms=None, kept=True)
    assert states.find("d.e") is None
    assert say(states, 2.0, age_ms=None), "its first live one counts"
    assert not say(states, 3.0, age_ms=None, kept=True), "again when the broker is met again"
    assert states.find("d.e") == Heard(2.0, NOW)
    assert say(states, 4.0, age_ms=5000, kept=True, now=NOW + 10), (
        "one that says when it was is as old as that"
    )


def test_what_a_reading_does_not_say_stays_and_null_is_said() -> None:
    states = States(["d"])
    say(states, 5.0)
    states.take("d", Reading(ts=None, values={"x": 1.0}), kept=False, now=NOW + 1, wall_ms=NOON_MS)
    assert states.find("d.e") == Heard(5.0, NOW)
    say(states, None, now=NOW + 2)
    assert states.find("d.e") == Heard(None, NOW + 2)
