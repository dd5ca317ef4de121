"""docs/asyncapi.json is what the code makes; its schemas take what the contract shows, and nothing else."""

import copy
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bus.about import About, Entity
from bus.messages import RESERVED
from bus.requests import ENVELOPE
from bus.topics import Topics, Verb
from cli.broker.rights import COLLECTORS
from collector.registry import Registry, verbs
from scripts import asyncapi
from scripts.contract_pages import CONTRACT, REGISTRY, REQUESTS, ContractError, examples, meanings
from statistician.service import VERBS
from tests.node.installed import installed

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "asyncapi.json"
DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
MESSAGES: Mapping[str, Any] = DOCUMENT["components"]["messages"]

Json = Any


def wrong(name: str, payload: Json) -> str | None:
    """Why a message of the document does not take a payload."""
    # In a list, for a reference takes the place of its neighbours.
    whole = {"allOf": [MESSAGES[name]["payload"]], "components": DOCUMENT["components"]}
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(whole).iter_errors(payload))
    return None if error is None else error.message


def test_the_file_is_the_one_that_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == asyncapi.text(), "run: python -m scripts.asyncapi"


@pytest.mark.nodered
@pytest.mark.parametrize("broken", [None, "$ref", "address", "action"])
def test_asyncapi_s_own_parser_reads_it_without_complaint(broken: str | None, tmp_path: Path) -> None:
    programs = installed()
    document = copy.deepcopy(DOCUMENT)
    if broken == "$ref":
        document["channels"]["about"]["messages"]["about"]["$ref"] += "x"
    elif broken == "address":
        del document["channels"]["about"]["parameters"]
        document["channels"]["about"]["address"] = 7
    elif broken == "action":
        document["operations"]["about"]["action"] = "publish"
    path = tmp_path / "asyncapi.json"
    path.write_text(json.dumps(document))
    command: list[str | Path] = [programs.node, ROOT / "tests" / "node" / "asyncapi.js", path]
    environment = os.environ | {"NODE_PATH": str(programs.modules)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout == f"{DOCUMENT['asyncapi']}\n") == (broken is None), done.stdout


def test_every_topic_of_the_contract_has_its_channel() -> None:
    channels = [one["address"] for one in DOCUMENT["channels"].values() if one["address"]]
    known = {Topics().parse(re.sub(r"{\w+}", "x", one)) for one in channels if one.startswith("camper/")}
    assert {topic.verb for topic in known} == set(Verb)
    assert Topics().discovery("x").replace("_x/", "_{device}/") in channels
    for verb, levels in asyncapi._SAID:
        assert (verb, levels) in {
            (Verb(one.split("/")[1]), one.count("{")) for one in channels if one.startswith("camper/")
        }


def test_every_verb_can_be_asked_and_is_answered() -> None:
    asked = {one["address"] for one in DOCUMENT["channels"].values() if one["address"]}
    of_collectors = (*verbs(object.__new__(Registry)), "device_scan", "read", "log")
    wanted = {f"camper/request/statistician/{verb}" for verb in (*VERBS, "log")} | {
        "camper/request/controller/log"
    }
    wanted |= {f"camper/request/{{collector}}/{verb}" for verb in of_collectors}
    assert {one for one in asked if one.startswith("camper/request/")} == wanted
    replies = [
        one["reply"]["messages"]
        for one in DOCUMENT["operations"].values()
        if "messages" in one.get("reply", {})
    ]
    assert len(replies) == len(wanted)
    collector = DOCUMENT["channels"]["collector_devices"]["parameters"]["collector"]
    assert collector["enum"] == list(COLLECTORS)


def shown() -> Iterator[tuple[str, Json]]:
    """Every example of the pages, with its message."""
    for word, payload in examples(CONTRACT):
        yield word, payload
    for page, service in ((REQUESTS, "statistician"), (REGISTRY, "collector")):
        for word, payload in examples(page):
            if word in ("error", "progress"):
                yield "answer", payload
            else:
                yield f"{service}_{asyncapi._CALLED.get(word, word)}_answer", payload


@pytest.mark.parametrize(("name", "payload"), [*shown()], ids=str)
def test_every_example_of_the_pages_is_taken(name: str, payload: Json) -> None:
    assert wrong(name, payload) is None
    assert payload in [one["payload"] for one in MESSAGES[name]["examples"]]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_of_the_document_is_taken(name: str) -> None:
    for one in MESSAGES[name].get("examples", []):
        assert wrong(name, one["payload"]) is None, one
    without = {"discovery", "statistician_log_request", "statistician_log_answer"}
    without |= {"controller_log_request"}
    assert "examples" in MESSAGES[name] or name in without, "an example belongs to every message"


ABOUT = {"name": "x", "entities": {"t": {"name": "T"}}}
READING = {"ts": "2026-11-21T06:40:10.512Z", "clock": "ok", "voltage": 13.2}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("about", {"entities": {}}),
        ("about", {**ABOUT, "entities": {"t": {"unit": "V"}}}),
        ("about", {**ABOUT, "entities": {"t": {"name": "T", "range": [1]}}}),
        ("about", {**ABOUT, "entities": {"t": {"name": "T", "range": [1, 2, 3]}}}),
        ("about", {**ABOUT, "expire_after": "60"}),
        ("reading", {**READING, "clock": "fine"}),
        ("reading", {**READING, "seq": -1}),
        ("reading", {**READING, "seq": 1.5}),
        ("reading", {**READING, "seq": 2**53}),
        ("reading", {**READING, "Voltage": 13.2}),
        ("reading", {**READING, "voltage": {"value": 13.2}}),
        ("reading", {**READING, "text": "x" * 1025}),
        ("availability", "yes"),
        ("watermark", "-2"),
        ("command", {"for": 30}),
        ("command", {"value": "ON", "for": 0}),
        ("command", {"value": {"on": True}}),
        ("result", {"id": None, "status": "ok"}),
        ("page", {"hidden": "sun"}),
        ("page", {"names": {"sun": 1}}),
        ("health", {"version": "1"}),
        ("answer", {"id": None, "status": "fine", "data": {}}),
        ("collector_devices_answer", {"id": None, "status": "ok", "data": {}}),
        ("collector_devices_answer", {"id": None, "status": "ok", "data": [{"device": "x"}]}),
        ("collector_device_scan_answer", {"id": None, "status": "ok", "data": {"found": [{}]}}),
        ("collector_devices_request", {"device": "x"}),
        ("collector_device_add_request", {"device": "x", "heartbeat": -1}),
        ("collector_device_scan_request", {"seconds": 10, "bus": 1}),
        ("statistician_history_request", {}),
        ("statistician_history_request", {"entity": "a.b", "points": 0}),
        ("statistician_history_request", {"entity": "a.b", "from": "x" * 65}),
        ("statistician_history_request", {"entity": "a.b", "nonsense": 1}),
        ("statistician_log_request", {"limit": 0}),
    ],
)
def test_what_the_contract_forbids_is_refused(name: str, payload: Json) -> None:
    assert wrong(name, payload) is not None


def test_the_keys_are_explained_in_the_words_of_the_contract() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["About"]["properties"]["expire_after"]["description"].startswith("after how many seconds")
    explained = {key for key, one in schemas["Reading"]["properties"].items() if "description" in one}
    assert explained == set(RESERVED)
    said = {key for key, one in schemas["Envelope"]["properties"].items() if "description" in one}
    assert said == set(ENVELOPE)
    for struct in (About, Entity):
        assert set(struct.__struct_fields__) == set(schemas[struct.__name__]["properties"])
    with pytest.raises(ContractError, match="no section 'Nonsense'"):
        meanings(CONTRACT, "Nonsense")
