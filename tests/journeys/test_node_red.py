"""docs/node-red-flow.json in a real Node-RED with its dashboard, from the press of a button to the relay."""

import itertools
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

from tests.emulators import demo
from tests.emulators.van import Van
from tests.journeys.house import ROOT, House
from tests.node.dashboard import Dashboard
from tests.node.installed import Installed, installed
from tests.node.node_red import NodeRed

pytestmark = pytest.mark.nodered

FLOW = ROOT / "docs" / "node-red-flow.json"
SETTINGS = """
[publish]
min_interval = 0
heartbeat = 1
[statistician]
commit_interval = 0.2
"""
ON = '{"value": "ON", "id": "%s"}'


Matches = Callable[[Any], bool]


class Air:
    """The demo van's advertisements, five a second; the battery is as full as the test says."""

    def __init__(self, house: House) -> None:
        self.soc: float | None = None
        self._house = house
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._advertise)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _advertise(self) -> None:
        moment = Van(seed=1, start_hour=12.0).moment
        for iv in itertools.count(1):
            battery = moment.battery if self.soc is None else replace(moment.battery, soc=self.soc)
            demo.advertise(self._house.bluez, replace(moment, battery=battery), iv & 0xFFFF)
            if self._stop.wait(0.2):
                return


class RequestServer(NamedTuple):
    """A house, Node-RED on its broker, and a user before the dashboard."""

    house: House
    air: Air
    red: NodeRed
    screen: Dashboard


def flow(port: int, **environment: str) -> list[dict[str, Any]]:
    """The flow as it stands, but for the broker's port and some of its environment."""
    nodes: list[dict[str, Any]] = json.loads(FLOW.read_text(encoding="utf-8"))
    for node in nodes:
        if node["type"] == "mqtt-broker":
            node["port"] = str(port)
        for variable in node.get("env", []):
            variable["value"] = environment.get(variable["name"], variable["value"])
    return nodes


@pytest.fixture(scope="module")
def programs() -> Installed:
    return installed()


@pytest.fixture(scope="module")
def desk(programs: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RequestServer]:
    folder = tmp_path_factory.mktemp("node_red")
    (folder / "red").mkdir()
    with ExitStack() as stack:
        house = stack.enter_context(House(folder, demo_settings()))
        house.start("statistician", "controller", "collector_ble")
        air = stack.enter_context(Air(house))
        house.state("smartshunt")
        red = stack.enter_context(NodeRed(folder / "red", programs))
        # Two readings of the heartbeat, instead of five minutes.
        red.deploy(flow(house.broker.port, LOW_MINUTES="0.02"))
        yield RequestServer(house, air, red, stack.enter_context(Dashboard(red.port)))


def demo_settings() -> str:
    """The demo van's, faster."""
    return (ROOT / "tests" / "emulators" / "demo.toml").read_text(encoding="utf-8") + SETTINGS


def relay(house: House, name: str, value: str, since: int) -> None:
    """Wait until a relay's state is told."""
    house.client.wait(
        lambda m: m.topic == "camper/state/relay" and json.loads(m.payload)[name] == value, since=since
    )


def labelled(text: str) -> Matches:
    """A button with this in its label."""
    return lambda message: text in message["ui_update"]["label"]


def beginning(text: str) -> Matches:
    """A text that begins so."""
    return lambda message: message["payload"].startswith(text)


def drawing(series: str) -> Matches:
    """Points of this series."""
    return lambda message: series in {point["series"] for point in message["payload"]}


def tiles(message: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What the tiles show: by device's and entity's name."""
    found = {}
    for tile in message["payload"]:
        found[tile["name"]] = {entity["name"]: entity["text"] for entity in tile["entities"]}
    return found


def test_every_node_of_the_flow_is_known(desk: RequestServer) -> None:
    used = {node["type"] for node in flow(0) if not node["type"].startswith("subflow")} - {"tab"}
    assert used <= desk.red.types()
    assert desk.red.complaints() == []


def test_every_device_has_a_tile_and_a_stranger_too(desk: RequestServer) -> None:
    since = len(desk.screen.events)
    temperature = {"name": "Inside", "unit": "°C", "precision": 1, "state_class": "measurement"}
    about = {"name": "Fridge", "entities": {"temperature": temperature}}
    desk.house.client.publish("camper/about/fridge", json.dumps(about), retain=True)
    desk.house.client.publish("camper/state/fridge", '{"temperature": 4.46}', retain=True)
    shown = desk.screen.shows(
        "boondock_tiles", lambda m: tiles(m).get("Fridge") == {"Inside": "4.5 °C"}, since=since
    )
    choice = {"label": "Fridge: Inside", "value": "fridge.temperature"}
    desk.screen.shows("boondock_entity", lambda m: choice in m["ui_update"]["options"], since=since)
    names = tiles(shown)
    assert set(names) >= {"Fridge", "House battery", "Solar charger", "Relays"}
    assert names["House battery"]["State of charge"].endswith(" %")
    assert names["Relays"]["Water pump"] in {"ON", "OFF"}
    desk.house.client.publish("camper/about/fridge", "", retain=True)
    desk.house.client.publish("camper/state/fridge", "", retain=True)
    desk.screen.shows("boondock_tiles", lambda m: "Fridge" not in tiles(m), since=len(desk.screen.events))
    assert desk.red.complaints() == []


def test_the_button_switches_the_pump_and_shows_what_the_state_says(desk: RequestServer) -> None:
    for wish, label in (("ON", "is ON: switch off"), ("OFF", "is OFF: switch on")):
        since, heard = len(desk.screen.events), len(desk.house.client.messages)
        desk.screen.press("boondock_button")
        answer = json.loads(desk.house.client.on("camper/result/relay/pump", since=heard))
        assert (answer["status"], answer["actual"]) == ("ok", wish)
        assert answer["id"].startswith("nodered-")
        desk.screen.shows("boondock_button", labelled(label), since=since)
        desk.screen.shows("boondock_pump_answer", beginning(f"{wish}: "), since=since)
    assert desk.red.complaints() == []


def test_the_button_follows_who_else_switches(desk: RequestServer) -> None:
    for wish, colour in (("ON", "#2e7d32"), ("OFF", "#616161")):
        since = len(desk.screen.events)
        desk.house.client.publish("camper/set/relay/pump", wish)
        shown = desk.screen.shows("boondock_button", labelled(f"is {wish}:"), since=since)
        assert (shown["enabled"], shown["ui_update"]["buttonColor"]) == (True, colour)
        assert not any(event[0] == "msg-input:boondock_pump_answer" for event in desk.screen.events[since:])


def test_a_day_of_an_entity_is_asked_for_and_drawn(desk: RequestServer) -> None:
    for entity, unit in (("mppt.power", "W"), ("smartshunt.soc", "%")):
        since = len(desk.screen.events)
        desk.screen.choose("boondock_entity", entity)
        drawn = desk.screen.shows("boondock_chart", drawing(f"{entity} ({unit})"), since=since)
        assert drawn["action"] == "replace"
        assert all(isinstance(point["y"], int | float) for point in drawn["payload"])
    desk.screen.choose("boondock_entity", "smartshunt.socks")
    desk.screen.shows("boondock_chart_text", beginning("not_found: "))
    assert desk.red.complaints() == []


def test_a_low_battery_switches_off_and_says_so(desk: RequestServer) -> None:
    house, since = desk.house, len(desk.screen.events)
    heard = len(house.client.messages)
    for name in ("pump", "household_power"):
        house.client.publish(f"camper/set/relay/{name}", ON % name)
        relay(house, name, "ON", heard)
    heard = len(house.client.messages)
    desk.air.soc = 15.0
    for name in ("pump", "household_power"):
        relay(house, name, "OFF", heard)
    told = desk.screen.shows("boondock_notice", lambda _: True, since=since)
    assert told["payload"] == "Battery at 15 %: switched off pump, household_power"
    assert desk.red.complaints() == []


def function(programs: Installed, node: str, steps: list[dict[str, Any]]) -> list[Any]:
    """What a function node of the flow returns for each step."""
    harness: list[str | Path] = [programs.node, ROOT / "tests" / "node" / "function.js", FLOW, node]
    given = "\n".join(map(json.dumps, steps))
    done = subprocess.run(harness, input=given, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


ONLINE = ("camper/availability/relay", "online")
PRESS = ("button", "press")


def state(seq: int, pump: str | None) -> tuple[str, dict[str, Any]]:
    """A reading of the relays."""
    return "camper/state/relay", {"stream": "a", "seq": seq, "pump": pump}


@pytest.mark.parametrize(
    ("messages", "wish"),
    [
        ([state(1, "ON"), ONLINE, PRESS], "OFF"),
        ([state(1, "OFF"), ONLINE, PRESS], "ON"),
        ([ONLINE, PRESS], None),
        ([state(1, "ON"), ONLINE, state(2, None), PRESS], None),
        # A second press before the state moved repeats the wish; it does not undo it.
        ([state(1, "OFF"), ONLINE, PRESS, PRESS], "ON"),
    ],
)
def test_what_a_press_sends(
    programs: Installed, messages: list[tuple[str, object]], wish: str | None
) -> None:
    steps = [{"now": NOW, "env": {}, "msg": {"topic": topic, "payload": said}} for topic, said in messages]
    command, button, _ = function(programs, "boondock_pump_fn", steps)[-1]
    if wish is None:
        assert (command, button["enabled"]) == (None, False)
    else:
        sent = json.loads(command["payload"])
        assert (sent["value"], sent["not_after"]) == (wish, "2026-11-18T11:06:50.000Z")


NOW = 1_795_000_000_000
MINUTE = 60
EVERY_20_S = range(0, 5 * MINUTE + 1, 20)
FIVE_LOW_MINUTES = [(t, 19.9) for t in EVERY_20_S]
THEN = 5 * MINUTE


@pytest.mark.parametrize(
    ("readings", "fired"),
    [
        (FIVE_LOW_MINUTES, [300]),
        (FIVE_LOW_MINUTES[:-1], []),
        ([(t, 20.0) for t in EVERY_20_S], []),
        # A moment above it, and the five minutes begin again.
        ([*FIVE_LOW_MINUTES[:-1], (290, 20.0), (300, 19.0)], []),
        # Not heard for longer than a device may be silent: what was before does not count.
        ([(0, 15.0), (THEN, 15.0)], []),
        ([(0, 15.0), (60, 15.0), (150, 15.0), (240, 15.0), (300, 15.0)], [300]),
        # Unknown, or not said: no reason to switch.
        ([(t, None) for t in EVERY_20_S], []),
        ([(t, "absent") for t in EVERY_20_S], []),
        # Once is enough: who switches it on again at 22 % is not overruled at 19 %.
        (
            [
                *FIVE_LOW_MINUTES,
                *((THEN + t, 22.0) for t in EVERY_20_S[1:]),
                *((900 + t, 19.0) for t in EVERY_20_S),
            ],
            [300],
        ),
        ([*FIVE_LOW_MINUTES, (THEN + 20, 25.0), *((340 + t, 19.0) for t in EVERY_20_S)], [300, 640]),
        # The clock is set, forwards and back.
        ([(0, 15.0), (20, 15.0), (9_000_000, 15.0), (9_000_020, 15.0)], []),
        ([(9_000_000, 15.0), (0, 15.0), (20, 15.0)], []),
        ([(t, 15.0, "retained") for t in EVERY_20_S], []),
        # What another program's device has remembered.
        ([*FIVE_LOW_MINUTES[:-1], (290, 80.0, "late"), (300, 19.0)], [300]),
        ([(t, 15.0, "late") for t in EVERY_20_S], []),
    ],
)
def test_when_a_low_battery_switches_off(
    programs: Installed, readings: list[tuple[Any, ...]], fired: list[int]
) -> None:
    environment = {"LOW_SOC": 20, "LOW_SOC_AGAIN": 25, "LOW_MINUTES": 5, "LOW_RELAYS": "pump"}
    steps = []
    for second, soc, *marks in readings:
        payload = ({"late": True} if "late" in marks else {}) | ({} if soc == "absent" else {"soc": soc})
        message = {"payload": payload, "retain": "retained" in marks}
        steps.append({"now": NOW + second * 1000, "env": environment, "msg": message})
    answers = function(programs, "boondock_low_fn", steps)
    assert len(answers) == len(readings)
    assert [
        second for (second, *_), answer in zip(readings, answers, strict=True) if answer and answer[0]
    ] == fired
    for (command,) in (answer[0] for answer in answers if answer and answer[0]):
        assert command["topic"] == "camper/set/relay/pump"
        assert json.loads(command["payload"])["value"] == "OFF"


def test_the_flow_file_can_be_imported_by_anyone() -> None:
    nodes = flow(0)
    ids = [node["id"] for node in nodes]
    subflows = {f"subflow:{node['id']}" for node in nodes if node["type"] == "subflow"}
    assert {node["type"] for node in nodes if node["type"].startswith("subflow:")} == subflows != set()
    assert len(set(ids)) == len(ids)
    for node in nodes:
        assert {target for wires in node.get("wires", []) for target in wires} <= set(ids)
    assert not any("credentials" in node for node in nodes)
    page = (ROOT / "docs" / "node-red.md").read_text(encoding="utf-8")
    printed = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]+?)`? \|", page, re.MULTILINE))
    assert printed == {v["name"]: v["value"] for node in nodes for v in node.get("env", [])}
    assert Path(FLOW).stat().st_size < 40_000
