"""docs/clients.md, line by line, against the real processes on a real Mosquitto with WebSockets."""

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators import demo
from tests.emulators.van import Van
from tests.journeys.house import PATIENCE, ROOT, House
from tests.node.installed import installed
from tests.ports import free_port

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
LISTENER = "listener {} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
VOLTAGE = re.compile(r"1\d\.\d+")


class Rig:
    """The demo van and the port of its WebSockets."""

    def __init__(self, house: House, websockets: int) -> None:
        self.house = house
        self.websockets = websockets

    def pump(self, value: str) -> None:
        """Put the pump somewhere and wait until it is there."""
        name = secrets.token_hex(8)
        # An answer to the program before may still be under way.
        self.house.client.publish("camper/set/relay/pump", json.dumps({"value": value, "id": name}))
        answer = self.house.client.wait(
            lambda m: m.topic == "camper/result/relay/pump" and json.loads(m.payload)["id"] == name
        )
        assert json.loads(answer.payload)["actual"] == value


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    settings = (ROOT / "tests" / "emulators" / "demo.toml").read_text(encoding="utf-8")
    # The van is heard once, and the clients may have to be installed first.
    settings += "\n[publish]\nmin_interval = 0\ntimeout = 3600\n[statistician]\ncommit_interval = 0.2\n"
    port = free_port()
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("clients")
        broker = Mosquitto(folder, extra=LISTENER.format(port))
        house = stack.enter_context(House(folder, settings, broker=broker))
        house.start("statistician", "controller", "collector_ble")
        demo.advertise(house.bluez, Van(seed=1, start_hour=12.0).moment, 1)
        house.client.on("camper/state/smartshunt/voltage")
        yield Rig(house, port)


def run(line: str, rig: Rig) -> str:
    """What a line of the page prints, run as it stands but for the port."""
    program, *arguments = shlex.split(line)
    command = [program, "-p", str(rig.house.broker.port), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def test_the_lines_for_a_shell(rig: Rig) -> None:
    value, switch, state, rr_5, rr_311, ask, feed = LINES
    rig.pump("OFF")
    assert VOLTAGE.fullmatch(run(value, rig))
    since = len(rig.house.client.messages)
    assert run(switch, rig) == ""
    rig.house.client.wait(lambda m: m.topic == "camper/state/relay/pump" and m.payload == b"ON", since=since)
    assert run(state, rig) == "ON"
    assert json.loads(run(rr_5, rig))["actual"] == "OFF"
    answer = json.loads(run(rr_311, rig))
    assert (answer["actual"], answer["until"] is not None) == ("ON", True)
    (latest,) = json.loads(run(ask, rig))["data"]
    assert (latest["entity"], latest["unit"]) == ("smartshunt.voltage", "V")
    found = json.loads(run(feed, rig))["data"]
    assert {one["entity"].partition(".")[0] for one in found["changes"]} <= {"smartshunt"}
    again = json.loads(run(feed.replace('"start": 0', f'"after": "{found["after"]}"'), rig))["data"]
    assert not [one for one in again["changes"] if one in found["changes"]]


def test_the_fields_for_a_phone(rig: Rig) -> None:
    fields = dict(re.findall(r"^\| (a \w+ \| [^|]+?) \| `?([^`|]+?)`? \|$", PAGE, re.MULTILINE))
    rig.pump("OFF")
    value, state = fields["a value | topic to subscribe"], fields["a switch | topic to subscribe (state)"]
    phone = Client(rig.house.broker.port, value, state, protocol=MQTTProtocolVersion.MQTTv311)
    try:
        assert VOLTAGE.fullmatch(phone.on(value).decode())
        assert phone.on(state) == b"OFF"
        for wish in ("on", "off"):
            since = len(phone.messages)
            payload = fields[f"a switch | payload for {wish}"]
            phone.publish(fields["a switch | topic to publish"], payload)
            assert phone.on(state, since=since).decode() == payload
    finally:
        phone.close()
    about = json.loads(rig.house.client.on("camper/about/smartshunt"))
    assert about["entities"]["voltage"]["unit"] == fields["a value | unit"]


def program(rig: Rig, folder: Path, name: str, broker: str) -> list[list[str]]:
    """Run a program of the page with the broker's place put in; returns what it printed, parted at blanks."""
    (source,) = re.findall(rf"```js {name}\n(.*?)```", PAGE, re.DOTALL)
    place = 'const broker = "mqtt://127.0.0.1:1883";'
    assert place in source
    programs = installed()
    file = folder / f"{name}.js"
    file.write_text(source.replace(place, f"const broker = {json.dumps(broker)};"), encoding="utf-8")
    rig.pump("OFF" if name == "mqtt5" else "ON")
    done = subprocess.run(
        [programs.node, file],
        env=os.environ | {"NODE_PATH": str(programs.modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [line.split(" ", 1) for line in done.stdout.splitlines()]


@pytest.mark.nodered
@pytest.mark.parametrize("scheme", ["mqtt", "ws"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [("mqtt5", ("camper/response/me", "ON")), ("mqtt311", ("camper/result/relay/pump", "OFF"))],
)
def test_mqtt_js(rig: Rig, tmp_path: Path, name: str, expected: tuple[str, str], scheme: str) -> None:
    topic, actual = expected
    port = rig.websockets if scheme == "ws" else rig.house.broker.port
    said = dict(program(rig, tmp_path, name, f"{scheme}://127.0.0.1:{port}"))
    assert VOLTAGE.fullmatch(said["camper/state/smartshunt/voltage"])
    answer = json.loads(said[topic])
    assert (answer["status"], answer["actual"]) == ("ok", actual)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive its test, nor holds it up: it is killed when it says nothing."""
    limit = threading.Timer(PATIENCE, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


@pytest.mark.nodered
def test_the_page_in_a_browser(rig: Rig, tmp_path: Path) -> None:
    (page,) = re.findall(r"```html\n(.*?)```", PAGE, re.DOTALL)
    place = 'const broker = "wss://van.local:8884";'
    assert place in page
    file = tmp_path / "page.html"
    file.write_text(
        page.replace(place, f'const broker = "ws://127.0.0.1:{rig.websockets}";'), encoding="utf-8"
    )
    programs = installed()
    bundle = programs.modules / "mqtt" / "dist" / "mqtt.min.js"
    command = [programs.node, ROOT / "tests" / "node" / "page.js", bundle, file]
    rig.pump("OFF")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with ended(process):
        assert process.stdin is not None
        assert process.stdout is not None
        shown: dict[str, Any] = {}
        lines = map(json.loads, process.stdout)

        def until(expected: dict[str, str]) -> None:
            while not expected.items() <= shown.items():
                element, text = next(lines, (None, None))
                assert element is not None, shown
                shown[element] = text

        until({"pump": "Pump is OFF"})
        process.stdin.write("pump\n")
        process.stdin.flush()
        until({"pump": "Pump is ON", "answer": "done"})
        assert VOLTAGE.fullmatch(shown["voltage"])


def test_the_program_in_python(rig: Rig, tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    place = 'client.connect("127.0.0.1", 1883)'
    assert place in source
    file = tmp_path / "client.py"
    file.write_text(source.replace(place, f'client.connect("127.0.0.1", {rig.house.broker.port})'))
    rig.pump("OFF")
    with ended(subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        said: dict[str, str] = {}
        for line in process.stdout:
            topic, _, payload = line.strip().partition(" ")
            said[topic] = payload
            if len(said) == 2:
                break
    assert VOLTAGE.fullmatch(said["camper/state/smartshunt/voltage"])
    assert json.loads(said["camper/result/relay/pump"])["actual"] == "ON"
