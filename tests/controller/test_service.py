"""Commands in, pins switched, state and answer out, in this order."""

import json

import pytest

from bus.events import Connected, Sent
from config.model import Relay
from tests.clock import NOON_MS
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, STATE, Rig

PLAIN = Relay(pin=PUMP)
LIMITED = Relay(pin=PUMP, max_on=60.0)


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    return make(pump=PLAIN, lamp=Relay(pin=LAMP, active_low=True))


def test_a_command_switches_its_pin_and_is_answered_as_the_contract_writes_it(rig: Rig, gpio: Gpio) -> None:
    answer = rig.command("pump", {"value": "ON", "for": 30, "id": "shower-1"})
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (True, True)
    assert answer == {
        "id": "shower-1",
        "status": "ok",
        "code": None,
        "message": "done",
        "value": "ON",
        "actual": "ON",
        "until": "2026-11-21T12:00:30.000Z",
        "ts": "2026-11-21T12:00:00.000Z",
    }


def test_the_answer_is_not_retained_and_goes_at_qos_1(rig: Rig) -> None:
    rig.command("pump", "ON")
    (answer,) = (p for p in rig.bus.published if p.topic == "camper/result/relay/pump")
    assert (answer.qos, answer.retain) == (1, False)


def test_the_state_is_published_before_the_answer(rig: Rig) -> None:
    start = len(rig.bus.published)
    rig.command("pump", "ON")
    topics = [p.topic for p in rig.bus.published[start:]]
    assert topics == [STATE, f"{STATE}/pump", "camper/result/relay/pump"]
    assert rig.state("pump") == "ON"


def test_toggle_goes_there_and_back(rig: Rig, gpio: Gpio) -> None:
    assert rig.command("lamp", "TOGGLE")["actual"] == "ON"
    assert rig.command("lamp", "toggle")["actual"] == "OFF"
    assert gpio.edges(LAMP) == [True, False, True]


def test_a_command_for_what_is_already_so_is_answered_and_moves_nothing(rig: Rig, gpio: Gpio) -> None:
    rig.command("pump", "ON")
    assert rig.command("pump", "ON")["status"] == "ok"
    assert gpio.edges(PUMP) == [False, True]


@pytest.mark.parametrize(
    ("payload", "code", "word"),
    [
        ({"value": "ON", "not_after": "2026-11-21T11:59:59Z"}, "expired", "1.0 s ago"),
        ("ONN", "invalid", "value 'ONN': allowed are ON"),
        (b"\xff", "invalid", "not UTF-8"),
        ("{", "invalid", "not JSON"),
        ({"value": "ON", "fro": 5}, "invalid", "fro"),
        ({"value": "OFF", "for": 5}, "invalid", "for: it goes with ON"),
    ],
)
def test_a_refused_command_is_answered_with_its_code_and_moves_nothing(
    rig: Rig, gpio: Gpio, payload: str | bytes | dict[str, object], code: str, word: str
) -> None:
    answer = rig.command("pump", payload)
    assert (answer["status"], answer["code"], answer["actual"]) == ("error", code, "OFF")
    assert word in answer["message"]
    assert gpio.edges(PUMP) == [False]
    assert rig.journal.counters[f"refused_commands_{code}"] == 1


def test_a_retained_command_is_refused_and_answered(rig: Rig, gpio: Gpio) -> None:
    answer = rig.command("pump", {"value": "ON", "id": "a"}, retain=True)
    assert (answer["code"], answer["id"], answer["actual"]) == ("retained", "a", "OFF")
    assert gpio.edges(PUMP) == [False]


def test_an_unknown_relay_is_answered_with_those_there_are(rig: Rig) -> None:
    answer = rig.command("pmup", {"value": "ON", "id": "a"})
    assert (answer["code"], answer["id"], answer["actual"]) == ("not_found", "a", None)
    assert "there are: pump, lamp" in answer["message"]


def test_an_empty_payload_deletes_a_retained_topic_and_is_else_no_command(rig: Rig, gpio: Gpio) -> None:
    start = len(rig.bus.published)
    for topic in ("relay/pump", "relay/x", "other/x", "relay", "relay/pump/x"):
        rig.receive(f"camper/set/{topic}", b"", retain=True)
    rig.pass_(5)
    assert rig.bus.published[start:] == []
    assert (rig.command("pump", b"")["code"], gpio.edges(PUMP)) == ("invalid", [False])


def test_a_relay_turns_itself_off_after_max_on_and_says_so(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=LIMITED)
    assert rig.command("pump", "ON")["until"] == "2026-11-21T12:01:00.000Z"
    rig.pass_(59.9)
    assert (gpio.level(PUMP), rig.state("pump")) == (True, "ON")
    rig.pass_(0.1)
    assert (gpio.level(PUMP), rig.state("pump")) == (False, "OFF")
    assert rig.bus.on(f"{STATE}/pump")[-1] == b"OFF"


def test_a_relay_turns_itself_off_after_for(rig: Rig, gpio: Gpio) -> None:
    rig.command("pump", {"value": "ON", "for": 2.5})
    rig.pass_(2.4)
    assert gpio.level(PUMP) is True
    rig.pass_(0.1)
    assert gpio.level(PUMP) is False


def test_a_step_of_the_wall_clock_does_not_stretch_a_timer(rig: Rig, gpio: Gpio) -> None:
    rig.command("pump", {"value": "ON", "for": 30})
    rig.time.wall_ms -= 3_600_000
    rig.pass_(30)
    assert gpio.level(PUMP) is False


def test_off_ends_a_timer_and_a_later_on_has_none(rig: Rig, gpio: Gpio) -> None:
    rig.command("pump", {"value": "ON", "for": 30})
    rig.command("pump", "OFF")
    assert rig.command("pump", "ON")["until"] is None
    rig.pass_(60)
    assert gpio.level(PUMP) is True


def test_for_longer_than_max_on_is_refused(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=LIMITED)
    answer = rig.command("pump", {"value": "ON", "for": 61, "id": "a"})
    assert (answer["code"], answer["id"]) == ("limit", "a")
    assert "max_on, 60 s" in answer["message"]
    assert gpio.level(PUMP) is False


def test_the_same_id_is_answered_again_but_not_obeyed_twice(rig: Rig, gpio: Gpio) -> None:
    first = rig.command("pump", {"value": "TOGGLE", "id": "a"})
    rig.time.pass_(5)
    assert rig.command("pump", {"value": "TOGGLE", "id": "a"}) == first
    assert gpio.edges(PUMP) == [False, True]
    assert rig.command("pump", {"value": "TOGGLE", "id": "b"})["actual"] == "OFF"


def test_one_id_for_two_relays_is_two_commands(rig: Rig, gpio: Gpio) -> None:
    rig.command("pump", {"value": "ON", "id": "scene"})
    assert rig.command("lamp", {"value": "ON", "id": "scene"})["actual"] == "ON"
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (True, False)


def test_a_refused_command_may_be_tried_again_with_its_id(rig: Rig) -> None:
    refused = rig.command("pump", {"value": "ON", "for": -1, "id": "shower"})
    assert (refused["code"], refused["id"]) == ("invalid", "shower")
    assert rig.command("pump", {"value": "ON", "for": 60, "id": "shower"})["actual"] == "ON"


def test_a_wrong_field_is_answered_with_the_id_of_its_command(rig: Rig) -> None:
    answer = rig.command("pump", {"value": "ON", "fro": 5, "id": "shower"})
    assert (answer["code"], answer["id"]) == ("invalid", "shower")


def test_ids_are_remembered_only_so_far(rig: Rig) -> None:
    for number in range(300):
        rig.command("pump", {"value": "TOGGLE", "id": number})
    assert rig.state("pump") == "OFF"
    rig.command("pump", {"value": "TOGGLE", "id": 299})
    assert rig.state("pump") == "OFF", "the newest are known"
    rig.command("pump", {"value": "TOGGLE", "id": 0})
    assert rig.state("pump") == "ON", "the oldest are forgotten, and memory stays bounded"


def test_the_answer_goes_also_to_a_response_topic_with_its_correlation_data(rig: Rig) -> None:
    answer = rig.command("pump", "ON", response_topic="camper/response/phone", correlation=b"\x00\x01")
    (copy,) = (p for p in rig.bus.published if p.topic == "camper/response/phone")
    assert (json.loads(copy.payload), copy.correlation) == (answer, b"\x00\x01")
    assert (copy.qos, copy.retain) == (1, False)


def test_a_repeated_command_is_answered_to_whoever_repeats_it(rig: Rig) -> None:
    rig.command("pump", {"value": "ON", "id": "a"}, response_topic="camper/response/one")
    rig.command("pump", {"value": "ON", "id": "a"}, response_topic="camper/response/two", correlation=b"2")
    assert rig.bus.on("camper/response/one") == rig.bus.on("camper/response/two")


@pytest.mark.parametrize(
    "topic", ["camper/set/relay/lamp", "camper/state/relay", "van/response/x", "camper/response/#", ""]
)
def test_an_answer_goes_nowhere_but_below_response(rig: Rig, topic: str) -> None:
    start = len(rig.bus.published)
    rig.command("pump", "OFF", response_topic=topic)
    assert [p.topic for p in rig.bus.published[start:]] == ["camper/result/relay/pump"]


def test_an_answer_that_cannot_be_sent_is_counted_and_the_state_waits(rig: Rig, gpio: Gpio) -> None:
    rig.bus.answer = Sent.LATER
    rig.receive("camper/set/relay/pump", b"ON")
    assert rig.journal.counters["dropped_results"] == 1
    assert gpio.level(PUMP) is True
    rig.bus.answer = Sent.YES
    rig.controller.handle(Connected(2))
    assert rig.state("pump") == "ON"


def test_the_state_is_said_at_start_and_at_each_heartbeat(rig: Rig) -> None:
    assert rig.states("pump") == ["OFF"]
    for _ in range(290):
        rig.pass_(0.1)
    assert rig.states("pump") == ["OFF"]
    for _ in range(20):
        rig.pass_(0.1)
    assert rig.states("pump") == ["OFF", "OFF"]
    assert json.loads(rig.bus.on(STATE)[-1])["ts"] > "2026-11-21T12:00:29"


def test_about_names_every_relay_its_command_and_the_backend(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP, name="Water pump"), reading_lamp=Relay(pin=LAMP))
    about = json.loads(rig.bus.on("camper/about/relay")[-1])
    assert (about["name"], about["backend"]) == ("Relays", "rpi")
    assert about["entities"] == {
        "pump": {"name": "Water pump", "command": True, "boolean": True},
        "reading_lamp": {"name": "Reading lamp", "command": True, "boolean": True},
    }
    assert rig.journal.facts["pins"] == "rpi: RPi.GPIO"


def test_without_relays_nothing_is_said_and_a_command_finds_none(make: MakeRig) -> None:
    rig = make()
    assert rig.bus.published == []
    answer = rig.command("pump", "ON")
    assert (answer["code"], answer["message"]) == ("not_found", "there is no relay 'pump'; there are: none")


def test_what_is_no_topic_of_ours_is_left_alone(rig: Rig) -> None:
    start = len(rig.bus.published)
    for topic in ("van/set/relay/pump", "camper/settings/relay/pump", "camper"):
        rig.receive(topic)
    assert rig.bus.published[start:] == []
    assert rig.journal.counters["refused_messages"] == 3


def test_the_watermark_empties_the_outbox(rig: Rig) -> None:
    assert rig.controller.waiting() == 1
    reading = json.loads(rig.bus.on(STATE)[-1])
    rig.receive(f"camper/watermark/{reading['stream']}", str(reading["seq"]).encode())
    assert rig.controller.waiting() == 0


def test_a_command_says_when_it_was_obeyed(rig: Rig) -> None:
    rig.pass_(1.5)
    assert rig.time.wall_ms == NOON_MS + 1500
    assert rig.command("pump", "ON")["ts"] == "2026-11-21T12:00:01.500Z"


@pytest.mark.parametrize(
    ("relay", "commands", "pause"),
    [
        (PLAIN, [], 1.0),
        (PLAIN, [b'{"value":"ON","for":30}'], 1.0),
        (PLAIN, [b'{"value":"ON","for":0.25}'], 0.25),
        (PLAIN, [b'{"value":"ON","for":0.25}', b"OFF"], 1.0),
        (LIMITED, [b"ON"], 1.0),
        (Relay(pin=PUMP, broker_loss="off", broker_loss_after=2.0), [], 0.5),
        (Relay(pin=PUMP, feedback_pin=23), [], 0.1),
        # Its load has not answered yet.
        (Relay(pin=PUMP, feedback_pin=23), [b"ON"], 0.01),
    ],
)
def test_it_sleeps_until_something_is_due(
    make: MakeRig, relay: Relay, commands: list[bytes], pause: float
) -> None:
    rig = make(pump=relay)
    rig.pass_(10)
    for command in commands:
        rig.receive("camper/set/relay/pump", command)
    now = rig.time.clock.monotonic()
    assert rig.controller.tick(now) == pytest.approx(pause)
