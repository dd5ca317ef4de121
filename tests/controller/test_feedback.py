"""Feedback of a load: waited for, missed, welded, silent; from a pin and from another device."""

import pytest

from bus.messages import Value
from config.model import Relay
from controller.policy import Watch, feedback_fault, feedback_said, feedback_step
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import PUMP, Rig

AUX = 23
BY_PIN = Relay(pin=PUMP, name="Water pump", feedback_pin=AUX)
BY_TOPIC = Relay(pin=PUMP, feedback="contact.closed", feedback_within=2000.0)


@pytest.mark.parametrize(
    ("value", "on"), [("ON", True), ("on", True), ("OFF", False), (None, None), (1.0, None), ("bulk", None)]
)
def test_what_a_feedback_says(value: Value, on: bool | None) -> None:  # noqa: FBT001 — three values
    assert feedback_said(value) is on


@pytest.mark.parametrize(
    ("watch", "on", "said", "after"),
    [
        (Watch(on=False, since=0), True, False, Watch(on=True, since=9)),
        (Watch(on=True, since=5), True, False, Watch(on=True, since=5)),
        (Watch(on=True, since=5), True, None, Watch(on=True, since=5)),
        (Watch(on=True, since=5), True, True, Watch(on=True, since=9)),
        (Watch(on=False, since=5, failed=True), False, False, Watch(on=False, since=9, failed=True)),
        (Watch(on=False, since=5, failed=True), True, True, Watch(on=True, since=9)),
    ],
)
def test_a_look_at_relay_and_load(watch: Watch, said: bool | None, after: Watch, *, on: bool) -> None:  # noqa: FBT001 — three values
    assert feedback_step(watch, on=on, said=said, now=9) == after


@pytest.mark.parametrize(
    ("watch", "said", "now", "is_fault"),
    [
        (Watch(on=True, since=7), False, 7.5, False),
        (Watch(on=True, since=7), False, 7.6, True),
        (Watch(on=False, since=7), True, 7.6, True),
        (Watch(on=True, since=0), True, 99, False),
        (Watch(on=True, since=0), None, 99, None),
        (Watch(on=False, since=0, failed=True), None, 0, True),
        (Watch(on=False, since=0, failed=True), False, 99, True),
    ],
)
def test_when_it_is_a_fault(watch: Watch, said: bool | None, now: float, is_fault: bool | None) -> None:  # noqa: FBT001 — three values
    assert feedback_fault(watch, said=said, within_s=0.5, now=now) is is_fault


def close_contact(gpio: Gpio, *, closed: bool) -> None:
    """The relay's auxiliary contact to ground."""
    if closed:
        gpio.contacts[AUX] = False
    else:
        gpio.contacts.pop(AUX, None)


def send(rig: Rig, payload: str) -> None:
    rig.receive("camper/set/relay/pump", payload.encode())


def test_the_answer_waits_for_the_load_and_the_state_tells_at_once(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    send(rig, '{"value":"ON","id":"a"}')
    assert (rig.answers("pump"), rig.state("pump")) == ([], "ON")
    rig.pass_(0.2)
    assert (rig.answers("pump"), rig.state("pump"), gpio.level(PUMP)) == ([], "ON", True)
    close_contact(gpio, closed=True)
    rig.pass_(0.01)
    (answer,) = rig.answers("pump")
    assert (answer["id"], answer["status"], answer["actual"]) == ("a", "ok", "ON")
    assert rig.said("pump_fault") == "OFF"


def test_a_load_that_follows_at_once_is_answered_at_once(make: MakeRig) -> None:
    rig = make(pump=BY_PIN)
    assert rig.command("pump", "OFF")["status"] == "ok"


def test_a_load_that_does_not_turn_on_is_hardware_and_turned_back(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    send(rig, "ON")
    rig.pass_(0.49)
    assert rig.answers("pump") == []
    rig.pass_(0.02)
    (answer,) = rig.answers("pump")
    assert (answer["code"], answer["actual"], answer["until"]) == ("hardware", "OFF", None)
    assert answer["message"] == "feedback pin 23 is OFF after 500 ms, not ON; turned off again"
    assert gpio.edges(PUMP) == [False, True, False]
    assert (rig.state("pump"), rig.said("pump_fault")) == ("OFF", "ON")
    assert "did not turn on" in rig.journal.problems["relay.pump.feedback"]


def test_a_fault_ends_when_the_load_has_turned_on(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    send(rig, "ON")
    rig.pass_(0.6)
    rig.command("pump", "OFF")
    assert rig.said("pump_fault") == "ON", "off proves nothing"
    send(rig, "ON")
    close_contact(gpio, closed=True)
    rig.pass_(0.1)
    assert rig.answers("pump")[-1]["status"] == "ok"
    assert (rig.said("pump_fault"), rig.journal.problems) == ("OFF", {})


def test_a_welded_contact_is_hardware_stays_off_and_is_told(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    close_contact(gpio, closed=True)
    rig.command("pump", "ON")
    rig.pass_(10)
    send(rig, "OFF")
    rig.pass_(0.6)
    answer = rig.answers("pump")[-1]
    assert (answer["code"], answer["actual"]) == ("hardware", "OFF")
    assert answer["message"] == "feedback pin 23 is ON after 500 ms, not OFF; is the contact welded?"
    assert gpio.level(PUMP) is False
    assert rig.said("pump_fault") == "ON"
    close_contact(gpio, closed=False)
    rig.pass_(0.1)
    assert (rig.said("pump_fault"), rig.journal.problems) == ("OFF", {})


def test_a_load_that_drops_later_is_a_fault_until_it_agrees(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    close_contact(gpio, closed=True)
    rig.command("pump", "ON")
    rig.pass_(100)
    close_contact(gpio, closed=False)
    rig.pass_(0.4)
    assert rig.said("pump_fault") == "OFF"
    rig.pass_(0.2)
    assert (rig.state("pump"), rig.said("pump_fault")) == ("ON", "ON")
    assert "it is ON, but its feedback says OFF" in rig.journal.problems["relay.pump.feedback"]
    close_contact(gpio, closed=True)
    rig.pass_(0.1)
    assert rig.said("pump_fault") == "OFF"


def test_the_fault_is_a_binary_sensor_of_class_problem(make: MakeRig) -> None:
    rig = make(pump=BY_PIN)
    fault_entity = rig.about()["pump_fault"]
    assert fault_entity == {
        "name": "Water pump fault",
        "device_class": "problem",
        "boolean": True,
    }


def test_a_newer_command_is_obeyed_at_once_and_the_older_one_answered(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    send(rig, '{"value":"ON","id":"a"}')
    send(rig, '{"value":"OFF","id":"b"}')
    first, second = rig.answers("pump")
    assert (first["id"], first["code"]) == ("a", "busy")
    assert (second["id"], second["status"], second["actual"]) == ("b", "ok", "OFF")
    assert gpio.level(PUMP) is False


def test_the_same_command_delivered_twice_while_it_waits_moves_once(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    send(rig, '{"value":"TOGGLE","id":"a"}')
    send(rig, '{"value":"TOGGLE","id":"a"}')
    close_contact(gpio, closed=True)
    rig.pass_(0.1)
    send(rig, '{"value":"TOGGLE","id":"a"}')
    assert gpio.edges(PUMP) == [False, True]
    first, again = rig.answers("pump")
    assert first == again
    assert rig.journal.counters["repeated_commands"] == 2


def test_a_process_that_ends_answers_what_waits(make: MakeRig) -> None:
    rig = make(pump=BY_PIN)
    send(rig, "ON")
    rig.stop()
    (answer,) = rig.answers("pump")
    assert answer["code"] == "internal"


@pytest.mark.parametrize(("said", "code"), [("ON", None), ("OFF", "hardware"), (None, "hardware")])
def test_another_devices_word_is_a_feedback_too(make: MakeRig, said: Value, code: str | None) -> None:
    rig = make(pump=BY_TOPIC)
    rig.say("contact", closed="OFF")
    send(rig, "ON")
    rig.pass_(1.5)
    assert rig.answers("pump") == []
    rig.say("contact", closed=said)
    rig.pass_(0.6)
    (answer,) = rig.answers("pump")
    assert answer["code"] == code
    assert rig.state("pump") == ("ON" if code is None else "OFF")


def test_a_feedback_that_falls_silent_is_unknown_and_told(make: MakeRig) -> None:
    rig = make(pump=BY_TOPIC)
    rig.say("contact", closed="OFF")
    assert rig.said("pump_fault") == "OFF"
    rig.pass_(121)
    assert rig.said("pump_fault") is None
    rig.pass_(121)
    assert rig.journal.problems["relay.pump.feedback"] == "its feedback is unknown: contact.closed"


def test_an_input_that_cannot_be_read_is_unknown_told_and_tried_again(make: MakeRig, gpio: Gpio) -> None:
    gpio.broken.add(AUX)
    rig = make(pump=BY_PIN)
    assert "pin 23 cannot be an input" in rig.journal.problems["relay.pump.feedback_pin"]
    assert rig.said("pump_fault") is None
    gpio.broken.clear()
    rig.pass_(11)
    assert rig.said("pump_fault") == "OFF"
    assert rig.journal.problems == {}


def test_an_input_that_was_lost_is_opened_again(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=BY_PIN)
    rig.pass_(11)
    gpio.cleanup(AUX)
    rig.pass_(0.1)
    assert rig.said("pump_fault") is None
    rig.pass_(11)
    assert rig.said("pump_fault") == "OFF"


@pytest.mark.parametrize(
    ("pull", "active_low", "level", "on"),
    [
        ("up", True, None, False),
        ("up", True, False, True),
        ("down", False, None, False),
        ("down", False, True, True),
    ],
)
def test_how_the_contact_is_wired(
    make: MakeRig,
    gpio: Gpio,
    pull: str,
    level: bool | None,  # noqa: FBT001 — three values
    *,
    active_low: bool,
    on: bool,
) -> None:
    relay = Relay(pin=PUMP, feedback_pin=AUX, feedback_pull=pull, feedback_active_low=active_low)  # type: ignore[arg-type]  # a word of the table
    if level is not None:
        gpio.contacts[AUX] = level
    rig = make(pump=relay)
    send(rig, "ON")
    rig.pass_(0.6)
    assert (rig.answers("pump")[0]["status"] == "ok") is on
