"""docs/contract.md says what the code does: every topic, line and example is tried."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from bus import about, health, messages
from bus.commands import Code, as_switch, parse
from bus.topics import Topic, Topics, Verb
from statistician.watermarks import device_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
# With what every process that answers requests does.
STATISTICIAN = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / "statistician").rglob("*.py"),
        ROOT / "bus" / "request_server.py",
        ROOT / "bus" / "process.py",
    )
)
TOPICS = Topics()


def blocks(word: str) -> list[str]:
    return re.findall(rf"```{word}\n(.*?)```", PAGE, re.DOTALL)


def lines() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.strip()]


def option(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


def example(kind: str) -> bytes:
    (found,) = blocks(f"json {kind}")
    return found.encode()


def test_every_verb_has_its_row() -> None:
    rows = re.findall(r"^\| `(camper/[^`]+)` \|.*\| (\d) \| (yes|no|never) \|", PAGE, re.MULTILINE)
    spelt = {re.sub(r"<[a-z]+>", "x", topic) for topic, _, _ in rows}
    assert {TOPICS.parse(topic).verb for topic in spelt} == set(Verb)
    assert TOPICS.parse("camper/state/x/x") in {TOPICS.parse(topic) for topic in spelt}


@pytest.mark.parametrize("line", lines(), ids=" ".join)
def test_every_line_names_a_topic_of_the_contract(line: list[str]) -> None:
    assert line[0] in ("mosquitto_sub", "mosquitto_pub", "mosquitto_rr", "boondock")
    if line[0] == "boondock":
        return
    topic = option(line, "-t")
    if topic in ("camper/#", TOPICS.discovery("x").replace("camper_x", "+")):
        return
    found = TOPICS.parse(topic.replace("+", "any"))
    assert isinstance(found, Topic)
    if line[0] != "mosquitto_sub":
        assert "+" not in topic
        assert ("-r" in line) == (found.verb in (Verb.ABOUT, Verb.STATE)), "commands are never retained"


@pytest.mark.parametrize(
    "line", [line for line in lines() if line[0] not in ("mosquitto_sub", "boondock")], ids=" ".join
)
def test_every_payload_to_send_is_understood(line: list[str]) -> None:
    payload = option(line, "-m").encode()
    match TOPICS.parse(option(line, "-t")).verb:
        case Verb.SET:
            assert as_switch(parse(payload).value)
        case Verb.ABOUT:
            assert about.decode(payload).entities
        case Verb.STATE:
            assert messages.decode_reading(payload).values
        case Verb.REQUEST:
            assert isinstance(json.loads(payload), dict)
        case verb:
            pytest.fail(f"nobody reads {verb}")
    if line[0] == "mosquitto_rr":
        assert TOPICS.is_response(option(line, "-e"))


def test_the_about_example() -> None:
    described = about.decode(example("about"))
    assert json.loads(about.encode(described)) == json.loads(example("about"))
    for field in (*msgspec.structs.fields(about.About), *msgspec.structs.fields(about.Entity)):
        assert f"`{field.name}`" in PAGE or f'"{field.name}"' in PAGE, field.name


def test_the_reading_example() -> None:
    reading = messages.decode_reading(example("reading"))
    assert json.loads(messages.encode_reading(reading)) == json.loads(example("reading"))
    for key in messages.RESERVED:
        assert f"`{key}`" in PAGE, key


@pytest.mark.parametrize(
    ("kind", "struct"),
    [
        ("result", messages.Result),
        ("statistics", messages.Statistics),
        ("health", health.Health),
        ("page", messages.PageLayout),
        ("alarm", messages.Alarm),
    ],
)
def test_the_other_examples(kind: str, struct: type[msgspec.Struct]) -> None:
    decoded = msgspec.json.decode(example(kind), type=struct)
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example(kind))
    assert set(json.loads(example(kind))) == {field.name for field in msgspec.structs.fields(struct)}


def test_the_backlog_example() -> None:
    sent = example("backlog")
    reading = messages.decode_reading(sent)
    assert device_of(TOPICS.parse(TOPICS.backlog("collector_ble", "collector_ble-7f3a91")), reading) == "mppt"
    assert json.loads(messages.of_device("mppt", messages.encode_reading(reading))) == json.loads(sent)


def test_every_field_of_an_aggregate_is_named() -> None:
    for field in msgspec.structs.fields(messages.Aggregate):
        assert f"`{field.name}`" in PAGE, field.name


def names(after: str, before: str) -> set[str]:
    """What the rows of a table name in their first cell."""
    table = PAGE.split(after)[1].split(before)[0]
    return set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))))


def test_the_counters_of_the_statistician_are_all_there() -> None:
    counted = set(re.findall(r'journal\.count\(\s*f?"(\w+)', STATISTICIAN))
    assert "readings_" in counted
    counted |= {f"readings_{quality}" for quality in get_args(messages.ClockQuality) if quality != "ok"}
    assert names("has counted since its start", "Its problems") == counted - {"readings_"}


def test_the_problems_of_the_statistician_are_all_there() -> None:
    told = set(re.findall(r'problem\(\s*f?"([\w.]+)', STATISTICIAN))
    told |= set(re.findall(r'f"((?:clock|counter|energy|last_reset|stream|value)\.)\{', STATISTICIAN))
    assert {name.split("<")[0] for name in names("Its problems", "\n## ")} == told


def test_the_codes_are_the_closed_list() -> None:
    table = PAGE.split("with one of these codes:")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [str(code) for code in Code]


def test_the_keys_of_a_command_are_all_there() -> None:
    table = PAGE.split("or JSON:")[1].split("Every command")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {
        "value",
        "for",
        "id",
        "not_after",
        "from",
    }
    full = parse(b'{"value":"ON","for":1,"id":"x","not_after":"2026-11-21T06:40:10Z","from":"me"}')
    assert None not in dataclasses.astuple(full)
