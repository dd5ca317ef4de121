"""Commands that no relay of ours is meant by: their owner answers, and where there is none the controller."""

import json
from typing import Any

import pytest

from bus.events import Disconnected, Message
from bus.messages import Result, encode
from config.model import Relay
from controller.others import GRACE_S, LONGEST_S, MOST, UNANSWERED_S
from tests.controller.conftest import MakeRig
from tests.controller.rig import PUMP, Rig

ME = "camper/response/me"
LOAD = {"load": {"name": "Load", "command": True, "boolean": True}, "voltage": {"name": "Voltage"}}


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    rig = make(pump=Relay(pin=PUMP))
    describe(rig, "epever", LOAD, service="collector_serial")
    describe(rig, "shunt", {"voltage": {"name": "Voltage"}}, service="collector_ble")
    describe(rig, "plug", LOAD)
    describe(rig, "thermo", {"temperature": {"name": "Temperature"}})
    for service in ("collector_serial", "collector_ble"):
        rig.receive(f"camper/service/{service}", b"online")
    return rig


def describe(rig: Rig, device: str, entities: dict[str, Any], **others: str) -> None:
    body = {"name": device, "entities": entities} | others
    rig.receive(f"camper/about/{device}", json.dumps(body).encode())


def send(rig: Rig, target: str, payload: str = "ON", name: str | None = None) -> None:
    raw = payload if name is None else json.dumps({"value": payload, "id": name})
    rig.receive(f"camper/set/{target}", raw.encode(), response_topic=ME, correlation=b"7")


def owner_answers(rig: Rig, target: str, name: str | None = None, status: str = "ok") -> None:
    result = Result(
        id=name,
        status="ok" if status == "ok" else "error",
        code=None if status == "ok" else status,
        message="",
        value="ON",
        actual="ON",
        until=None,
        ts="",
    )
    rig.receive(f"camper/result/{target}", encode(result))


def answers(rig: Rig, target: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in rig.bus.on(f"camper/result/{target}")]


def codes(rig: Rig, target: str) -> list[str | None]:
    return [answer["code"] for answer in answers(rig, target)]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nobody/x", "there is no device nobody that takes commands; there are: epever, plug"),
        ("thermo/temperature", "there is no device thermo that takes commands"),
        ("epever/voltage", "epever has no entity voltage that takes commands: load"),
        ("epever/x", "epever has no entity x that takes commands: load"),
        ("shunt/voltage", "shunt has no entity voltage that takes commands: none"),
        ("plug/x", "plug has no entity x that takes commands: load"),
    ],
)
def test_where_nobody_obeys_the_controller_answers_with_all_fields(rig: Rig, target: str, text: str) -> None:
    rig.pass_(0.5)
    rig.pass_(0.4)
    send(rig, target, name="a")
    rig.pass_(UNANSWERED_S - 0.3)
    assert answers(rig, target) == [], "its owner may still answer"
    rig.pass_(1)
    (answer,) = answers(rig, target)
    ours = rig.command("nonsense", {"value": "ON", "id": "a"})
    assert answer | {"message": "", "ts": ""} == ours | {"message": "", "ts": ""}
    assert text in answer["message"]
    (copy,) = (p for p in rig.bus.published if p.topic == ME)
    assert (json.loads(copy.payload), copy.correlation) == (answer, b"7")
    assert rig.journal.counters["refused_commands_not_found"] == 2


@pytest.mark.parametrize("target", ["nobody/x", "epever/load", "epever/x", "plug/load", "shunt/voltage"])
@pytest.mark.parametrize("status", ["ok", "not_found", "denied"])
def test_an_owner_that_answers_is_never_answered_for(rig: Rig, target: str, status: str) -> None:
    send(rig, target, name="a")
    owner_answers(rig, target, "a", status)
    rig.receive("camper/service/collector_serial", b"offline")
    rig.receive("camper/availability/plug", b"offline")
    rig.pass_(2 * LONGEST_S)
    assert answers(rig, target) == []


def test_a_device_of_a_service_that_is_offline_is_answered_for(rig: Rig) -> None:
    rig.receive("camper/service/collector_serial", b"offline")
    send(rig, "epever/load", name="a")
    rig.pass_(1)
    (answer,) = answers(rig, "epever/load")
    assert (answer["code"], answer["id"]) == ("offline", "a")
    assert "collector_serial, which owns epever, does not run" in answer["message"]


def test_a_command_that_its_owner_died_over_is_answered_when_that_is_known(rig: Rig) -> None:
    send(rig, "epever/load")
    rig.pass_(40)
    assert codes(rig, "epever/load") == []
    rig.receive("camper/service/collector_serial", b"offline")
    rig.pass_(1)
    assert codes(rig, "epever/load") == ["offline"]
    rig.pass_(GRACE_S + LONGEST_S)
    assert codes(rig, "epever/load") == ["offline"], "once"


def test_a_stranger_that_says_it_is_offline_is_answered_for_and_one_that_is_back_not(rig: Rig) -> None:
    rig.receive("camper/availability/plug", b"offline", retain=True)
    send(rig, "plug/load")
    rig.pass_(1)
    assert codes(rig, "plug/load") == ["offline"]
    rig.receive("camper/availability/plug", b"online", retain=True)
    send(rig, "plug/load")
    rig.pass_(1)
    assert codes(rig, "plug/load") == ["offline"], "it answers itself"


def test_an_owner_that_is_there_and_says_nothing_is_not_waited_for_for_ever(rig: Rig) -> None:
    send(rig, "plug/load")
    rig.pass_(LONGEST_S - 1)
    assert codes(rig, "plug/load") == []
    rig.pass_(2)
    (answer,) = answers(rig, "plug/load")
    assert (answer["code"], answer["actual"]) == ("hardware", None)
    assert "plug did not answer within 60 s" in answer["message"]


def test_an_answer_belongs_to_its_id_and_one_without_to_the_oldest(rig: Rig) -> None:
    for name in ("a", "b", None, "c"):
        send(rig, "plug/load", name=name)
    owner_answers(rig, "plug/load", "b")
    owner_answers(rig, "plug/load", None)
    owner_answers(rig, "plug/load", "what the owner calls it")
    send(rig, "plug/load", name="d")
    owner_answers(rig, "plug/load", "d")
    rig.pass_(LONGEST_S + 1)
    assert [answer["id"] for answer in answers(rig, "plug/load")] == ["c"]


def test_one_answer_serves_all_that_came_with_its_id(rig: Rig) -> None:
    for name in ("a", "a", "b", None, None):
        send(rig, "plug/load", name=name)
    owner_answers(rig, "plug/load", "a")
    owner_answers(rig, "plug/load", None)
    rig.pass_(LONGEST_S + 1)
    assert [answer["id"] for answer in answers(rig, "plug/load")] == ["b", None]


def test_an_answer_that_cannot_be_read_is_one(rig: Rig) -> None:
    send(rig, "plug/load")
    rig.receive("camper/result/plug/load", b"{")
    rig.pass_(LONGEST_S + 1)
    assert codes(rig, "plug/load") == []
    assert rig.journal.counters["refused_messages"] == 1


def test_a_flood_is_answered_with_busy_and_kept_bounded(rig: Rig) -> None:
    for _ in range(MOST + 10):
        send(rig, "nobody/x")
    assert codes(rig, "nobody/x") == ["busy"] * 10
    rig.pass_(1)
    assert codes(rig, "nobody/x") == ["busy"] * 10 + ["not_found"] * MOST


def test_what_was_open_when_the_broker_went_is_not_answered_for_later(rig: Rig) -> None:
    send(rig, "plug/load")
    rig.controller.handle(Disconnected("connection lost"))
    rig.pass_(LONGEST_S + 1)
    assert answers(rig, "plug/load") == []


def test_an_owner_that_answers_within_the_grace_is_the_only_one(rig: Rig) -> None:
    send(rig, "nobody/x")
    rig.pass_(0.5)
    rig.pass_(0.4)
    owner_answers(rig, "nobody/x")
    rig.pass_(5)
    assert answers(rig, "nobody/x") == []


def test_a_device_whose_about_was_emptied_is_unknown_again(rig: Rig) -> None:
    rig.receive("camper/about/epever", b"")
    send(rig, "epever/load")
    rig.pass_(1)
    assert codes(rig, "epever/load") == ["not_found"]


@pytest.mark.parametrize(
    ("topic", "result"),
    [
        ("relay", None),
        ("", None),
        ("/pump", None),
        ("relay/", None),
        ("Relay/pump", None),
        ("relay/Water pump", None),
        ("relay/pump/x", "relay/pump"),
        ("relay/pump/x/y/z", "relay/pump"),
        ("relay/pump/", "relay/pump"),
        ("epever/load/x", "epever/load"),
        ("a" * 65 + "/x", None),
    ],
)
def test_a_malformed_topic_is_answered_where_it_can_and_told(
    rig: Rig, topic: str, result: str | None
) -> None:
    start = len(rig.bus.published)
    send(rig, topic, name="a")
    sent = rig.bus.published[start:]
    assert [p.topic for p in sent] == [*([] if result is None else [f"camper/result/{result}"]), ME]
    answer = json.loads(sent[-1].payload)
    assert (answer["code"], answer["id"]) == ("invalid", "a")
    assert answer["actual"] == ("OFF" if result == "relay/pump" else None)
    assert "a command goes to camper/set/<device>/<entity>" in rig.journal.problems["commands"]
    assert rig.journal.counters["refused_malformed_commands"] == 1
    rig.pass_(599)
    assert "commands" in rig.journal.problems
    rig.pass_(2)
    assert rig.problems == {}


def test_set_without_anything_behind_it_is_malformed_too(rig: Rig) -> None:
    rig.receive("camper/set")
    assert rig.journal.counters["refused_malformed_commands"] == 1


def set_aside(
    rig: Rig, topic: str, error: Exception | None, payload: bytes = b'{"value": "ON", "id": "a"}'
) -> None:
    message = Message(topic, payload, 1, retain=False, mid=1, generation=1, response_topic=ME)
    rig.controller.set_aside(message, error)


@pytest.mark.parametrize(("error", "name"), [(None, None), (KeyError("planted"), "a")])
def test_a_command_for_a_relay_that_is_set_aside_is_answered_and_one_that_may_kill_is_not_read(
    rig: Rig, error: Exception | None, name: str | None
) -> None:
    set_aside(rig, "camper/set/relay/pump", error)
    (answer,) = answers(rig, "relay/pump")
    assert (answer["code"], answer["id"], answer["actual"]) == ("internal", name, None)
    assert ("planted" if error else "ended twice") in answer["message"]
    assert len(rig.bus.on(ME)) == 1


def test_a_command_for_another_that_is_set_aside_is_its_owners_to_answer(rig: Rig) -> None:
    set_aside(rig, "camper/set/plug/load", None)
    set_aside(rig, "camper/set/nobody/x", None)
    set_aside(rig, "camper/set/a/b/c/d", None)
    owner_answers(rig, "plug/load")
    rig.pass_(2 * LONGEST_S)
    assert answers(rig, "plug/load") == []
    assert codes(rig, "nobody/x") == ["not_found"]
    assert [json.loads(one)["code"] for one in rig.bus.on(ME)] == ["not_found", "not_found"]


def test_a_request_that_is_set_aside_is_answered_and_all_else_is_not(rig: Rig) -> None:
    set_aside(rig, "camper/request/controller/log", None)
    set_aside(rig, "camper/state/shunt", None)
    (answer,) = rig.bus.on(ME)
    assert json.loads(answer)["error"]["code"] == "internal"


def test_a_command_that_failed_while_it_was_obeyed_is_not_waited_for_by_who_asks_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("planted")

    payload = b'{"value": "ON", "id": "a"}'
    message = Message("camper/set/relay/pump", payload, 1, retain=False, mid=1, generation=1)
    with monkeypatch.context() as patch:
        patch.setattr(rig.controller._outputs, "take", fail)
        with pytest.raises(KeyError) as raised:
            rig.controller.handle(message)
    rig.controller.set_aside(message, raised.value)
    rig.controller.handle(message)
    assert codes(rig, "relay/pump") == ["internal", "internal"]
    send(rig, "relay/pump", name="b")
    assert codes(rig, "relay/pump")[2:] == [None]
