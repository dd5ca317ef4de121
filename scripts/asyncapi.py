"""Writes docs/asyncapi.json: python -m scripts.asyncapi. A test compares.

Topics, payloads, parameters and answers are the code's. Words and examples are those of docs/contract.md,
docs/requests.md and docs/registry.md.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import msgspec
from msgspec import Struct

from bus import access_log
from bus.about import About
from bus.commands import LARGEST, LONGEST_ID, Switch
from bus.health import VERSION, Health
from bus.messages import (
    LONGEST_TEXT,
    MOST_SEQS,
    ON,
    Alarm,
    ClockQuality,
    PageLayout,
    Result,
    Statistics,
)
from bus.request_server import Answer
from bus.requests import ENVELOPE
from bus.topics import ID, Topics, Verb
from cli.broker.rights import COLLECTORS, CONTROLLER
from collector.device_store import Which
from collector.form import MEANINGS, OF_SCANS, KindEntry
from collector.listening import Advertiser, Listen
from collector.read import Now
from collector.registry import Entry, Registry, verbs
from collector.scan import AskBus, Chip, ScanProgress
from collector.scan.modbus import AskUnits, FoundUnit
from scripts.contract_pages import (
    CONTRACT,
    DOCS,
    REGISTRY,
    REQUESTS,
    ContractError,
    Json,
    examples,
    meanings,
    prose,
    rows,
    sent,
)
from statistician.service import VERBS

PAGE = DOCS / "asyncapi.json"

_TIME = {"type": "string", "format": "date-time"}
_WORD = {"type": "string", "pattern": f"^{ID.pattern.removesuffix(chr(92) + 'Z')}$"}
_WHOLE = {"type": "integer", "minimum": 0, "maximum": MOST_SEQS - 1}
_READING: Json = {
    "type": "object",
    "properties": {
        "ts": _TIME,
        "clock": {"type": "string", "enum": list(get_args(ClockQuality))},
        "stream": {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$"},
        "seq": _WHOLE,
        "after": _WHOLE,
        "late": {"type": "boolean"},
        "device": _WORD,
        "last_reset": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    },
    "propertyNames": _WORD,
    "additionalProperties": {"type": ["number", "string", "boolean", "null"], "maxLength": LONGEST_TEXT},
}
_COMMAND: Json = {
    "type": "object",
    "properties": {
        "value": {"type": ["string", "number", "boolean"]},
        "for": {"type": "number", "exclusiveMinimum": 0},
        "id": {"type": "string", "maxLength": LONGEST_ID},
        "not_after": _TIME,
        "from": {"type": "string", "maxLength": LONGEST_ID},
    },
    "required": ["value"],
}
_OF_ENVELOPE: Mapping[str, Json] = {
    "id": {"type": ["string", "integer", "null"], "maxLength": 64},
    "transaction": {"type": ["string", "integer", "null"], "maxLength": 64},
    "reply_to": {"type": ["string", "null"]},
    "cursor": {"type": ["string", "null"]},
    "from": {"type": ["string", "null"], "maxLength": 64},
}

# By the word of the example in docs/contract.md: what it is, and the section that explains its keys.
_STRUCTS: Mapping[str, type[Struct]] = {
    "about": About,
    "result": Result,
    "statistics": Statistics,
    "health": Health,
    "page": PageLayout,
    "alarm": Alarm,
}
_EXPLAINED = {
    "about": "About: what a device is",
    "reading": "State: what a device says",
    "command": "Set and result: commands",
    "health": "Service and health",
}
_PLAIN: Mapping[str, tuple[str, Json, list[str]]] = {
    "value": ("One value, plain; None: it is unknown", {"type": "string"}, ["13.21", "None", ON]),
    "availability": (
        "Whether the device or the service is there",
        {"type": "string", "enum": ["online", "offline"]},
        ["online"],
    ),
    "watermark": (
        "All seq up to this one are final; -1: the stream is refused",
        {"type": "string", "pattern": r"^(-1|\d+)$"},
        ["4711"],
    ),
    "switch": (
        "A command as one word or number",
        {"type": "string", "maxLength": LARGEST},
        [*map(str, Switch), "21.5"],
    ),
}
# What stands on each topic of the contract's table, by its verb and number of levels.
_SAID: Mapping[tuple[str, int], tuple[str, ...]] = {
    (Verb.ABOUT, 1): ("about",),
    (Verb.STATE, 1): ("reading",),
    (Verb.STATE, 2): ("value",),
    (Verb.BACKLOG, 2): ("backlog",),
    (Verb.AVAILABILITY, 1): ("availability",),
    (Verb.SET, 2): ("command", "switch"),
    (Verb.RESULT, 2): ("result",),
    (Verb.STATISTICS, 2): ("statistics",),
    (Verb.WATERMARK, 1): ("watermark",),
    (Verb.RESPONSE, 2): ("answer",),
    (Verb.SERVICE, 1): ("availability",),
    (Verb.HEALTH, 1): ("health",),
    (Verb.PAGE, 0): ("page",),
    (Verb.ALARM, 1): ("alarm",),
}
# Those whose examples are no JSON of docs/contract.md.
_OTHERS = (*_PLAIN, "command", "answer")
_PARAMETERS: Mapping[str, Json] = {
    "device": {"description": "Id of a device", "examples": ["mppt"]},
    "entity": {"description": "Id of an entity of the device", "examples": ["voltage"]},
    "alarm": {"description": "Id of an alarm of boondock.toml", "examples": ["battery_low"]},
    "service": {"description": "Name of a process", "examples": ["statistician", "collector_ble"]},
    "collector": {"description": "The collector that reads the device", "enum": list(COLLECTORS)},
    "stream": {"description": "The numbered readings of a service", "examples": ["collector_ble-7f3a91"]},
    "period": {"enum": ["5minute", "hour"], "description": "How long a row is"},
    "verb": {"description": "What was asked for", "examples": ["history"]},
}
# What verbs answer with; the data of all others are only shown by their examples.
_ENTRY = ("device_add", "device_update", "device_rename", "entity_enable", "entity_disable")
_ANSWERS: Mapping[str, Any] = {
    "devices": list[Entry],
    **dict.fromkeys(_ENTRY, Entry),
    "kinds": list[KindEntry],
    "read": Now,
    "log": list[access_log.Entry],
}
_FOUND = (Advertiser, FoundUnit, Chip)
_SCANS = (Listen, AskUnits, AskBus)
# The word of an example in docs/registry.md that is not its verb.
_CALLED = {"modbus": "device_scan", "i2c": "device_scan", "scan": "device_scan"}


def document() -> Json:
    """Make the whole document. Raises ContractError."""
    schemas, data = _schemas()
    messages, channels, operations = dict(_messages()), dict(_channels()), dict(_operations())
    for verb, service, params in _verbs():
        name = f"{service}_{verb}"
        messages[f"{name}_request"] = _request(verb, service, params, schemas)
        # The statistician has verbs of the same name, whose data have no type.
        its = data.get(verb) if service == "collector" or verb == "log" else None
        messages[f"{name}_answer"] = _answer(verb, service, its)
        channels[name] = _channel(
            Topics()
            .request("x", verb)
            .replace("/x/", "/{collector}/" if service == "collector" else f"/{service}/"),
            [f"{name}_request"],
            _said_of(verb, service),
        )
        channels["answer"]["messages"][f"{name}_answer"] = _ref("messages", f"{name}_answer")
        operations[name] = _asked(name, f"Ask {service} for {verb}")
    return {
        **_HEAD,
        "channels": channels,
        "operations": operations,
        "components": {"schemas": dict(sorted(schemas.items())), "messages": messages},
    }


_HEAD: Json = {
    "asyncapi": "3.1.0",
    "info": {
        "title": "Boondock",
        "version": VERSION,
        "description": "docs/contract.md as a document for programs. The base topic `camper` is a setting. "
        "The house is the application: it sends what devices say, and receives commands and requests.",
        "license": {"name": "MIT"},
    },
    "defaultContentType": "application/json",
    "servers": {
        "local": {"host": "127.0.0.1:1883", "protocol": "mqtt", "protocolVersion": "5.0"},
        "lan": {
            "host": "van.local:8883",
            "protocol": "secure-mqtt",
            "protocolVersion": "5.0",
            "security": [{"type": "userPassword"}],
        },
    },
}


def _asked(name: str, summary: str) -> Json:
    """Write the operation of a verb, and where its answer goes."""
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": summary,
        "bindings": _mqtt(0, retain=False),
        "reply": {
            "address": {
                "location": "$message.payload#/reply_to",
                "description": "With MQTT 5 the Response Topic; else camper/response/<service>/<verb>",
            },
            "channel": {"$ref": "#/channels/answer"},
            "messages": [{"$ref": f"#/channels/answer/messages/{name}_answer"}],
        },
    }


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schemas() -> tuple[Json, Json]:
    """Write the schemas of all payloads, with the words of the contract, and those of answers by verb."""
    made, schemas = _components([*_ANSWERS.values(), *_STRUCTS.values(), Answer, ScanProgress, *_FOUND])
    schemas |= {"Reading": _READING, "Command": _COMMAND}
    envelope = {"type": "object", "properties": dict(_OF_ENVELOPE)}
    schemas["Envelope"] = _with_words(envelope, meanings(REQUESTS, ""))
    found = {"type": "array", "items": {"anyOf": [_ref("schemas", one.__name__) for one in _FOUND]}}
    scan = {"type": "object", "properties": {"found": found}, "required": ["found"]}
    for kind, heading in _EXPLAINED.items():
        name = _STRUCTS[kind].__name__ if kind in _STRUCTS else kind.capitalize()
        schemas[name] = _with_words(schemas[name], meanings(CONTRACT, heading))
    schemas["Entity"] = _with_words(schemas["Entity"], meanings(CONTRACT, _EXPLAINED["about"]))
    return schemas, {**dict(zip(_ANSWERS, made, strict=False)), "device_scan": scan}


def _components(types: list[Any]) -> tuple[list[Json], Json]:
    """Write the schemas of types, and those that they refer to, by name."""
    made, named = msgspec.json.schema_components(
        types,
        schema_hook=lambda _: {"description": "any JSON"},
        ref_template="#/components/schemas/{name}",
    )
    return [_as_draft_7(one) for one in made], {name: _as_draft_7(one) for name, one in named.items()}


def _as_draft_7(schema: Any) -> Any:  # noqa: ANN401 — JSON of any form
    """Write what JSON Schema 2020-12 says of tuples as the draft 7 that AsyncAPI reads has it."""
    if isinstance(schema, list):
        return [_as_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: _as_draft_7(one) for key, one in schema.items()}
    if "prefixItems" in whole:
        whole["additionalItems"] = whole.pop("items", True)
        whole["items"] = whole.pop("prefixItems")
    return whole


def _with_words(schema: Json, words: Mapping[str, str]) -> Json:
    properties = {
        key: {**one, **({"description": words[key]} if key in words and "$ref" not in one else {})}
        for key, one in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _channel(address: str | None, said: list[str], about: str) -> Json:
    named = re.findall(r"{(\w+)}", address or "")
    return {
        "address": address,
        "description": about,
        **(
            {"parameters": {one: _PARAMETERS.get(one, {"description": "An id"}) for one in named}}
            if named
            else {}
        ),
        "messages": {one: _ref("messages", one) for one in said},
    }


def _kind_of(address: str) -> tuple[str, tuple[str, ...]]:
    """Return the name of a topic's channel and the messages on it. Raises ContractError."""
    if not address.startswith("camper/"):
        return "discovery" if "{device}" in address else "discovery_house", ("discovery",)
    topic = Topics().parse(re.sub(r"{\w+}", "x", address))
    levels = address.count("{")
    said = _SAID.get((topic.verb, levels))
    if said is None:
        raise ContractError(f"{address}: no message for it; name one in _SAID of scripts/asyncapi.py")
    return str(topic.verb) if said != ("value",) else "value", said


def _channels() -> Iterator[tuple[str, Json]]:
    for address, payload, _, _, writer in rows():
        if Topics().is_below(Verb.REQUEST, address):
            # Each verb has a channel of its own.
            continue
        name, said = _kind_of(address)
        yield name, _channel(address, list(said), f"{payload}. Written by: {writer}.")
    yield "answer", _channel(None, [], "Where the request asks for its answer, below camper/response/")


def _mqtt(qos: int, *, retain: bool) -> Json:
    return {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}}


def _operations() -> Iterator[tuple[str, Json]]:
    for address, payload, qos, retain, _ in rows():
        if Topics().is_below(Verb.REQUEST, address):
            continue
        name, _said = _kind_of(address)
        received = {"reply": {"channel": {"$ref": "#/channels/result"}}} if name == Verb.SET else {}
        yield (
            name,
            {
                "action": "receive" if received else "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": payload,
                "bindings": _mqtt(qos, retain=retain),
                **received,
            },
        )


def _messages() -> Iterator[tuple[str, Json]]:
    of_contract = dict(examples(CONTRACT))
    for kind in dict.fromkeys(one for said in _SAID.values() for one in said if one not in _OTHERS):
        struct = _STRUCTS.get(kind)
        schema = "Reading" if struct is None else struct.__name__
        yield kind, _message(kind, _ref("schemas", schema), [of_contract[kind]])
    said = [payload for topic, payload in sent(CONTRACT) if Topics().is_below(Verb.SET, topic)]
    commands = [json.loads(one) for one in said if one.startswith("{")]
    yield "command", _message("command", _ref("schemas", "Command"), commands)
    for kind, (summary, plain, given) in _PLAIN.items():
        yield kind, {**_message(kind, plain, given), "summary": summary, "contentType": "text/plain"}
    discovery = {"type": "object", "required": ["device", "origin", "components"]}
    yield "discovery", {**_message("discovery", discovery, []), "summary": "Home Assistant's own format"}
    progress = [one for word, one in examples(REGISTRY) if word == "progress"]
    errors = [one for page in (REQUESTS, REGISTRY) for word, one in examples(page) if word == "error"]
    yield "answer", _message("answer", _ref("schemas", "Answer"), [*progress, *errors])


def _message(name: str, payload: Json, given: list[Any]) -> Json:
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "payload": payload,
        **({"examples": [{"payload": one} for one in given]} if given else {}),
    }


def _verbs() -> Iterator[tuple[str, str, list[type[Struct]]]]:
    """List all verbs: name, service, types of its parameters."""
    for name, row in sorted(VERBS.items()):
        yield name, "statistician", [row.params]
    of_collectors: dict[str, list[type[Struct]]] = {"device_scan": [*_SCANS], "read": [Which]}
    of_collectors |= {name: [one.params] for name, one in verbs(object.__new__(Registry)).items()}
    for name, params in sorted(of_collectors.items()):
        yield name, "collector", params
    for service in ("statistician", CONTROLLER, "collector"):
        yield "log", service, [access_log.Wanted]


def _page(service: str) -> str:
    return REQUESTS if service == "statistician" else REGISTRY


def _said_of(verb: str, service: str) -> str:
    """Read what a page says of a verb first. Raises ContractError."""
    page, heading = (CONTRACT, "Access log") if verb == "log" else (_page(service), verb)
    found = re.search(rf"^### {heading}\n\n(.+?)(?:\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ContractError(f"no section ### {verb} of {service}")
    return prose(" ".join(found[1].split()))


def _request(verb: str, service: str, params: list[type[Struct]], schemas: Json) -> Json:
    """Write a request: the parameters of its verb, and the keys that every request may have."""
    envelope = {key: _ref("schemas", f"Envelope/properties/{key}") for key in ENVELOPE}
    made, found = _components(params)
    forms = [found.pop(one["$ref"].rpartition("/")[2]) for one in made]
    if service == "collector":
        words = {key: one.text for key, one in {**MEANINGS, **OF_SCANS}.items()}
        forms = [_with_words(form, words) for form in forms]
    forms = [{**form, "properties": {**form["properties"], **envelope}} for form in forms]
    schemas |= found
    asked = ((Topics().parse(to), text) for to, text in sent(_page(service)))
    given = [json.loads(text) for to, text in asked if to.part == verb and to.name.startswith(service)]
    payload = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return _message(f"{service}_{verb}_request", payload, given)


def _answer(verb: str, service: str, data: Json | None) -> Json:
    """Write the answer to a verb: its examples, and its data where they have a type."""
    given = [one for word, one in examples(_page(service)) if _CALLED.get(word, word) == verb]
    payload = _ref("schemas", "Answer")
    if data is not None:
        ok = {"properties": {"status": {"const": "ok"}}}
        payload = {"allOf": [payload], "if": ok, "then": {"properties": {"data": data}}}
    return _message(f"{service}_{verb}_answer", payload, given)


def text() -> str:
    """Write the whole file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the file."""
    PAGE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(DOCS.parent)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
