"""The subflow of docs/node-red-flow.json, in a real Node-RED, with somebody else's flow around it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.journeys.house import House
from tests.journeys.test_node_red import NOW, Air, demo_settings, flow, function
from tests.node.installed import Installed, installed
from tests.node.node_red import NodeRed

pytestmark = pytest.mark.nodered

REQUEST = "subflow:boondock_request"
SHORT = [{"name": "SECONDS", "type": "num", "value": "0.2"}]
SPREAD = "return { ...msg, ...msg.payload };"
ANSWER = """\
const { payload, error, mine } = msg;
return { ...msg, payload: { payload, error, mine, told: flow.get("told") || [] } };"""
PROGRESS = 'flow.set("told", [...(flow.get("told") || []), msg.payload]);'
_PATHS = ("ask", "briefly")
# Two requests, one of them without patience: POST a question, read the answer.
ASKING: list[dict[str, Any]] = [
    {"id": "tab", "type": "tab", "label": "Test"},
    *({"id": f"{n}_in", "type": "http in", "method": "post", "url": f"/{n}", "wires": [[n]]} for n in _PATHS),
    *({"id": n, "type": "function", "func": SPREAD, "wires": [[f"{n}_request"]]} for n in _PATHS),
    {"id": "ask_request", "type": REQUEST, "wires": [["answer"], ["answer"], ["progress"]]},
    {"id": "briefly_request", "type": REQUEST, "wires": [["answer"], ["answer"], []], "env": SHORT},
    {"id": "answer", "type": "function", "func": ANSWER, "wires": [["out"]]},
    {"id": "progress", "type": "function", "func": PROGRESS, "wires": []},
    {"id": "out", "type": "http response", "wires": []},
]


class Desk(NamedTuple):
    """A house, and Node-RED on its broker."""

    house: House
    red: NodeRed


@pytest.fixture(scope="module")
def programs() -> Installed:
    return installed()


@pytest.fixture(scope="module")
def desk(programs: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("node_red")
    (folder / "red").mkdir()
    with ExitStack() as stack:
        house = stack.enter_context(House(folder, demo_settings()))
        house.start("statistician", "controller", "collector_ble")
        stack.enter_context(Air(house))
        house.state("mppt")
        red = stack.enter_context(NodeRed(folder / "red", programs))
        # A node without a place on the canvas counts as a configuration.
        mine = [{"z": "tab", "x": 0, "y": 0, **node} if node["id"] != "tab" else node for node in ASKING]
        # Of our flow what a request needs, as somebody keeps it who deletes the rest.
        ours = [
            n for n in flow(house.broker.port) if n["id"].startswith(("boondock_request", "boondock_broker"))
        ]
        red.deploy([*ours, *mine])
        # A deployed flow starts a moment after the answer.
        red.says("Connected to broker")
        yield Desk(house, red)


def test_the_subflow_asks_and_gives_the_answer(desk: Desk) -> None:
    answer = desk.red.ask("/ask", {"verb": "latest", "params": {"entity": "mppt.power"}, "mine": 7})
    (latest,) = answer["payload"]
    assert (latest["entity"], answer["mine"], "error" in answer) == ("mppt.power", 7, False)
    answer = desk.red.ask("/ask", {"verb": "log", "service": "controller"})
    assert isinstance(answer["payload"], list)
    sent = [json.loads(m.payload) for m in desk.house.client.messages if m.topic.endswith("/latest")]
    assert {"id", "reply_to", "from", "entity"} == set(sent[-1])
    assert desk.red.complaints() == []


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"verb": "latest", "params": {"entity": "mppt.pwer"}}, "not_found", "no entity 'mppt.pwer'"),
        ({"verb": "nonsense"}, "not_found", "no verb 'nonsense'"),
        ({"verb": "devices", "service": "collector_tcp"}, "not_found", "no service collector_tcp"),
        ({"verb": "latest", "params": {"nonsense": 1}}, "invalid", "nonsense"),
        ({"verb": "latest", "params": [1]}, "invalid", "msg.params"),
        ({"verb": "a/b"}, "invalid", "msg.verb"),
        ({}, "invalid", "msg.verb"),
    ],
)
def test_the_subflow_says_why_there_is_no_answer(
    desk: Desk, asked: dict[str, Any], code: str, text: str
) -> None:
    answer = desk.red.ask("/ask", asked)
    assert answer["error"]["code"] == code
    assert text in answer["error"]["message"]
    assert answer["payload"] == f"{code}: {answer['error']['message']}"


def test_the_subflow_tells_when_nobody_answers(desk: Desk) -> None:
    # It says that it is there, so nobody answers for it.
    desk.house.client.publish("camper/service/mute", "online", retain=True)
    answer = desk.red.ask("/briefly", {"verb": "info", "service": "mute"})
    assert answer["payload"] == "timeout: no answer within 0.2 s: is mute running?"
    assert answer["error"]["code"] == "timeout"


def test_the_subflow_follows_the_pages(desk: Desk) -> None:
    entities = {f"entity_{number:03}_{'x' * 40}": {"name": "N" * 20} for number in range(600)}
    desk.house.client.publish(
        "camper/about/crowd", json.dumps({"name": "Crowd", "entities": entities}), retain=True
    )
    values = json.dumps(dict.fromkeys(entities, 1.0))
    desk.house.client.publish("camper/state/crowd", values)
    asked = {"verb": "latest", "params": {"device": "crowd"}}
    answer = desk.red.ask("/ask", asked)
    topics = [m.topic for m in desk.house.client.messages if m.topic.startswith("camper/response/nodered/")]
    assert topics.count(topics[-1]) > 1, "or one page would do"
    assert [one["entity"] for one in answer["payload"]] == sorted(f"crowd.{one}" for one in entities)
    # Rows of several pages, too.
    rows = desk.red.ask(
        "/ask", {"verb": "history", "params": {"entity": "smartshunt.voltage", "limit": 1000}}
    )
    assert rows["payload"]["columns"] == ["ts", "value"]
    desk.house.client.publish("camper/about/crowd", "", retain=True)


def test_the_subflow_tells_how_far_a_long_request_is(desk: Desk) -> None:
    asked = {"verb": "device_scan", "service": "collector_ble", "params": {"seconds": 2}}
    answer = desk.red.ask("/ask", asked)
    assert {one["configured"] for one in answer["payload"]["found"]} >= {"smartshunt", "mppt"}
    assert answer["told"]
    assert all(set(one) == {"done", "of", "found"} for one in answer["told"])


FIRST = {"rows": [1, 2], "units": {"a": "V"}, "entity": "a", "columns": ["ts"]}
OF_EACH = {"rows": {"a": [1], "b": [2]}, "units": {"a": "V", "b": "W"}, "count": {"a": 1}}


@pytest.mark.parametrize(
    ("pages", "whole"),
    [
        ([[1, 2], [3]], [1, 2, 3]),
        ([FIRST, {"rows": [3], "entity": "a", "columns": ["ts"]}], {**FIRST, "rows": [1, 2, 3]}),
        (
            [OF_EACH, {"rows": {"b": [3], "c": [4]}, "units": {"c": "A"}, "count": {"a": 1}}],
            {
                "rows": {"a": [1], "b": [2, 3], "c": [4]},
                "units": {"a": "V", "b": "W", "c": "A"},
                "count": {"a": 1},
            },
        ),
    ],
)
def test_the_pages_of_an_answer_become_one(programs: Installed, pages: list[Any], whole: object) -> None:
    environment = {"SERVICE": "statistician", "SECONDS": 10, "PAGES": 50}
    messages: list[dict[str, Any]] = [{"verb": "latest", "mine": 1}]
    for number, data in enumerate(pages, 1):
        more = {"next": f"page {number}"} if number < len(pages) else {}
        answer = {"status": "ok", "data": data, **more}
        messages.append({"topic": "camper/response/nodered/1", "payload": answer})
    # Too late, and another's.
    messages += [{"topic": f"camper/response/nodered/{one}", "payload": {"status": "ok"}} for one in (1, "x")]
    steps = [{"now": NOW, "env": environment, "msg": message} for message in messages]
    first, *others = function(programs, "boondock_request_fn", steps)
    assert json.loads(first[0]["payload"]) == {
        "id": "1",
        "reply_to": "camper/response/nodered/1",
        "from": "node-red",
    }
    assert json.loads(others[0][0]["payload"])["cursor"] == "page 1"
    assert others[len(pages) - 1] == [None, {"verb": "latest", "mine": 1, "payload": whole}, None, None]
    assert others[len(pages) :] == [None, None]


def test_the_time_begins_anew_with_each_page_and_each_word(programs: Installed) -> None:
    environment = {"SERVICE": "statistician", "SECONDS": 10, "PAGES": 50}
    told = {"topic": "camper/response/nodered/1", "payload": {"status": "progress", "data": {"done": 1}}}
    page = {"topic": "camper/response/nodered/1", "payload": {"status": "ok", "data": [1], "next": "more"}}
    last = {"topic": "camper/response/nodered/1", "payload": {"status": "ok", "data": [2]}}
    times: list[tuple[float, dict[str, Any] | None]] = [
        *((0, {"verb": "info"}), (9, told), (18, page), (27.9, None), (28, None), (29, last))
    ]
    steps = [
        {"now": NOW + 1000 * second, "env": environment, **({} if message is None else {"msg": message})}
        for second, message in times
    ]
    _, progress, _, waiting, gone, late = function(programs, "boondock_request_fn", steps)
    assert progress == [None, None, None, {"verb": "info", "payload": {"done": 1}}]
    assert waiting == []
    assert [one[2]["error"]["code"] for one in gone] == ["timeout"]
    assert late is None


def test_too_many_pages_are_an_error(programs: Installed) -> None:
    environment = {"SERVICE": "statistician", "SECONDS": 10, "PAGES": 2}
    page = {"topic": "camper/response/nodered/1", "payload": {"status": "ok", "data": [1], "next": "more"}}
    messages = [{"verb": "latest"}, page, page]
    steps = [{"now": NOW, "env": environment, "msg": message} for message in messages]
    last = function(programs, "boondock_request_fn", steps)[-1]
    assert last[2]["error"]["code"] == "limit"
