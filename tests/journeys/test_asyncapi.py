"""All that a running demo says on the broker, and answers, is as docs/asyncapi.json has it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt import client as mqtt

from cli.broker.rights import COLLECTORS
from tests.client import Client
from tests.deploy.started import Started
from tests.ports import free_port
from tests.test_asyncapi import DOCUMENT, wrong

Json = Any
DEVICES = ("smartshunt", "epever", "inverter", "shore_meter", "fridge", "shore", "pi", "outside", "relay")
OF_STATISTICIAN: dict[str, Json] = {
    "info": {},
    "entities": {},
    "latest": {},
    "history": {"entity": "smartshunt.voltage"},
    "statistics": {"entities": ["smartshunt.voltage"], "period": "5minute"},
    "metadata": {},
    "validate": {},
    "fixes": {},
    "dead_letters": {},
    "set_metadata": {"entity": "smartshunt.voltage", "name": "V", "dry_run": True},
    "log": {},
    "nonsense": {},
}
ME = "camper/response/asyncapi"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client that has seen the demo do what it does, and has asked all services."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    started = Started(folder, "--port", str(port))
    assert started.shows("Ctrl-C ends everything."), started.text()
    client = Client(port, "camper/#", "homeassistant/#")
    try:
        for device in DEVICES:
            client.wait(lambda m, d=device: m.topic == f"camper/state/{d}")  # type: ignore[misc]  # a bound default
        for number, payload in enumerate(('{"value": "ON", "for": 5, "id": "a"}', "off", '"tea"')):
            client.publish("camper/set/relay/pump", payload, response_topic=f"{ME}/command-{number}")
        for verb, params in OF_STATISTICIAN.items():
            ask(client, "statistician", verb, params)
        ask(client, "controller", "log", {})
        for collector in COLLECTORS:
            for verb, params in {
                "devices": {},
                "kinds": {},
                "log": {},
                "device_add": {"device": "x"},
            }.items():
                ask(client, collector, verb, params)
        ask(client, "collector_ble", "device_scan", {"seconds": 2})
        ask(client, "collector_i2c", "device_scan", {})
        ask(client, "collector_serial", "read", {"device": "epever"})
        client.publish("camper/page", json.dumps({"hidden": ["sun"]}), retain=True)
        yield client
    finally:
        client.close()
        started.process.terminate()
        started.process.wait(40)


def ask(client: Client, service: str, verb: str, params: Json) -> None:
    """Ask a service, and wait for the answer."""
    me = f"{ME}/{service}/{verb}"
    client.publish(f"camper/request/{service}/{verb}", json.dumps(params), response_topic=me)
    client.wait(lambda m: m.topic == me and json.loads(m.payload)["status"] != "progress")


def fits(address: str, topic: str) -> bool:
    """Whether a topic is one of a channel's."""
    wanted, levels = address.split("/"), topic.split("/")
    if len(wanted) != len(levels):
        return False
    return all(one == level or "{" in one for one, level in zip(wanted, levels, strict=True))


def channel_of(topic: str) -> Json:
    """The channel of the document that a topic belongs to."""
    if topic.startswith(f"{ME}/c") and "command" in topic:
        return DOCUMENT["channels"]["result"]
    if topic.startswith(ME):
        service, verb = topic.removeprefix(f"{ME}/").split("/")
        name = f"{'collector' if service in COLLECTORS else service}_{verb}_answer"
        messages = DOCUMENT["channels"]["answer"]["messages"]
        return {"messages": {name: None} if name in messages else {"answer": None}}
    found = [one for one in DOCUMENT["channels"].values() if one["address"] and fits(one["address"], topic)]
    # One that is spelt out before one with parameters.
    return min(found, key=lambda one: one["address"].count("{"))


def problem(message: mqtt.MQTTMessage) -> str | None:
    """Why a message is none that its channel has."""
    if not message.payload:
        return None  # whoever empties a retained topic says nothing
    text = message.payload.decode()
    reasons = []
    for name in channel_of(message.topic)["messages"]:
        plain = DOCUMENT["components"]["messages"][name].get("contentType") == "text/plain"
        reason = wrong(name, text if plain else json.loads(text)) if plain or text[:1] in "[{" else "no JSON"
        if reason is None:
            return None
        reasons.append(f"{name}: {reason}")
    return f"{message.topic} {text[:300]}: {'; '.join(reasons)}"


def test_all_that_a_house_says_is_as_the_document_has_it(heard: Client) -> None:
    asked = ("camper/request/statistician/nonsense",)
    messages = [m for m in heard.messages if m.topic not in asked]
    assert [text for text in map(problem, messages) if text is not None] == []
    kinds = {m.topic.split("/")[1] for m in messages}
    assert kinds >= {"about", "state", "availability", "set", "result", "request", "response", "service"}
    assert kinds >= {"health", "page", "device", "watermark"}
    assert len(messages) > 300


def test_a_message_of_another_form_is_noticed(heard: Client) -> None:
    count = len(heard.messages)
    for topic, payload in {
        "camper/about/x": '{"name": 7}',
        "camper/availability/x": "yes",
        "camper/page": '{"order": 1}',
        f"{ME}/statistician/info": '{"id": null, "status": "fine", "data": {}}',
        "camper/request/statistician/history": "{}",
    }.items():
        heard.publish(topic, payload)
        message = heard.wait(lambda m, t=topic: m.topic == t, since=count)  # type: ignore[misc]  # a bound default
        assert problem(message) is not None, topic
