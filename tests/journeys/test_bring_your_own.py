"""docs/bring-your-own.md, line by line, against a real Mosquitto, collector and statistician."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from tests.client import Client
from tests.journeys.house import PROCESSES, ROOT, House

PAGE = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SETTINGS = "[statistician]\ncommit_interval = 0.2\n" + "\n".join(
    text for kind, _, text in BLOCKS if kind == "toml"
)
SERVICE = "collector_mqtt"

Json = Any


@dataclass(slots=True)
class Walk:
    """The page as it was run: what each line printed, and every message that was seen."""

    house: House
    client: Client
    printed: list[str] = field(default_factory=list)


def holds(found: Json, expected: Json) -> bool:
    """Whether all that is expected is there; more may be."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(k in found and holds(found[k], v) for k, v in expected.items())
    if isinstance(expected, str) and expected.endswith("…"):
        return isinstance(found, str) and found.startswith(expected[:-1])
    return bool(found == expected)


def payload(raw: bytes | bytearray) -> Json:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode()


def run(line: str, folder: Path) -> str:
    """A line of the page in a shell, as it stands; host and port are in mosquitto's own files."""
    environment = os.environ | {"XDG_CONFIG_HOME": str(folder)}
    done = subprocess.run(
        ["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, timeout=40, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch, House(folder, SETTINGS) as house:
        patch.setitem(PROCESSES, SERVICE, ("collector", "mqtt"))
        for program in ("mosquitto_pub", "mosquitto_rr"):
            (folder / program).write_text(f"-h 127.0.0.1\n-p {house.broker.port}\n")
        house.start("statistician", SERVICE)
        client = Client(house.broker.port, "#")
        walk = Walk(house, client)
        try:
            _walk(walk)
            yield walk
        finally:
            client.close()


def _walk(walk: Walk) -> None:
    since = 0
    for (before, *_), (kind, word, text) in pairwise([("", "", ""), *BLOCKS]):
        if kind == "sh":
            # Several blocks may show what one block of lines led to.
            since = since if before == "sh" and word == "" else len(walk.client.messages)
            walk.printed += [run(line, walk.house.folder) for line in text.splitlines()]
        elif kind == "json":
            expected = json.loads(text)

            def shown(message: MQTTMessage, word: str = word, expected: Json = expected) -> bool:
                return message.topic == word and holds(payload(message.payload), expected)

            # What a device is was said when the collector started.
            walk.client.wait(shown, since=0 if "/about/" in word else since)


def test_every_block_of_the_page_is_run_or_compared(walk: Walk) -> None:
    assert {(kind, word) for kind, word, _ in BLOCKS if kind != "json"} == {
        ("toml", ""),
        ("sh", ""),
        ("sh", "ask"),
        ("sh", "command"),
    }
    assert all(word.count("/") >= 2 for kind, word, _ in BLOCKS if kind == "json")
    assert len(walk.printed) == len(re.findall(r"^mosquitto_", PAGE, re.MULTILINE))
    (asked,) = [json.loads(text) for text in walk.printed if text]
    assert asked["status"] == "ok"
    assert "4.5" in json.dumps(asked["data"])


def test_a_stranger_has_rows_with_its_own_times_and_unknowns(walk: Walk) -> None:
    stored = walk.house.stored()
    values = [value for _, value in stored["fridge", "temperature"]]
    # The first by time came last but one: it was dated a quarter of an hour ago.
    assert values == [5.5, 4.5, None, 4.0, None]
    assert [value for _, value in stored["fridge", "door"]] == ["OFF", "ON", None]
    assert not [key for key in stored if key[0] == "cellar"]


def test_imported_devices_have_rows_and_availability(walk: Walk) -> None:
    reading = json.loads(walk.client.latest("camper/state/heater") or b"")
    topic = f"camper/watermark/{reading['stream']}"
    walk.client.wait(lambda m: m.topic == topic and int(m.payload) >= reading["seq"])
    stored = walk.house.stored()
    assert [value for _, value in stored["outside", "battery_voltage"]] == [2.985, None]
    assert stored["plug", "energy"][0][1] == 1956
    assert [value for _, value in stored["heater", "switch"]] == ["OFF", "ON"]
    said = [bytes(m.payload) for m in walk.client.messages if m.topic == "camper/availability/outside"]
    assert said == [b"online", b"offline"]
    assert walk.client.latest("camper/availability/plug") == b"online"


def test_commands_are_passed_on_unretained_and_answered_in_order(walk: Walk) -> None:
    topics = ("cmnd/plug/POWER", "camper/state/plug", "camper/result/plug/switch")
    seen = [m for m in walk.client.messages if m.topic in topics]
    sent = next(n for n, m in enumerate(seen) if m.topic == topics[0])
    assert not seen[sent].retain
    assert [m.topic for m in seen[sent:]] == list(topics), "the state is up to date before the answer"
    assert json.loads(seen[sent + 1].payload)["switch"] == "ON"


def test_the_collector_lists_its_devices_as_those_of_the_file(walk: Walk) -> None:
    line = "mosquitto_rr -V 5 -t camper/request/collector_mqtt/{} -e camper/response/me -m '{}'"
    listed = json.loads(run(line.format("devices", "{}"), walk.house.folder))["data"]
    imported = re.findall(r'^device = "(\w+)"', SETTINGS, re.MULTILINE)
    assert len(imported) == 6
    assert {one["device"]: one["where"] for one in listed} == dict.fromkeys(imported, "boondock.toml")
    asked = line.format("device_add", '{"device": "plug", "kind": "raspberry_pi"}')
    answer = json.loads(run(asked, walk.house.folder))
    assert answer["error"]["code"] == "invalid"
    assert "an [[import]] has this id already" in answer["error"]["message"]


def test_no_process_was_disturbed(walk: Walk) -> None:
    for service in ("statistician", SERVICE):
        assert "Traceback" not in walk.house.log(service)
        assert walk.client.latest(f"camper/service/{service}") == b"online"
