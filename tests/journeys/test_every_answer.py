"""On the real processes: one answer to each command, a broker that hangs, the access log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.client import Client
from tests.journeys import house as journey
from tests.journeys.house import PATIENCE, ROOT, House, secured_house
from tests.journeys.test_relays import LAMP, PUMP, Van

AFTER_S = 3.0
VAN = f"""
[relay.pump]
pin = {PUMP}
broker_loss = "off"
broker_loss_after = {AFTER_S}
[relay.lamp]
pin = {LAMP}
"""
SETTINGS = """
[controller]
pins = "simulated"
[relay.pump]
pin = 27
[[import]]
device = "plug"
topic = "tele/plug"
entities.switch = { path = "POWER", command_topic = "cmnd/plug/POWER" }
[import.entities.target]
path = "T"
unit = "°C"
range = [5, 30]
command_step = 0.5
command_topic = "cmnd/plug/T"
"""
PROCESSES = ("statistician", "controller", "collector_mqtt")


@pytest.fixture
def van(tmp_path: Path, broker: Mosquitto) -> Iterator[Van]:
    van = Van(tmp_path, broker, VAN)
    yield van
    van.close()


def test_a_broker_that_hangs_turns_off_what_its_loss_must_in_that_time(van: Van) -> None:
    van.start()
    for relay in ("pump", "lamp"):
        assert van.ask(relay, value="ON", id=relay)["actual"] == "ON"
    os.kill(van.broker.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        while van.board.level(PUMP) != "low" and time.monotonic() - stopped < PATIENCE:
            time.sleep(0.02)
        took = time.monotonic() - stopped
    finally:
        os.kill(van.broker.pid, signal.SIGCONT)
    # The broker was last heard up to a ping before; a busy machine looks later.
    assert AFTER_S - 1.0 <= took <= AFTER_S + 5.0
    assert van.board.level(LAMP) == "high"
    van.state(pump="OFF", lamp="ON")
    assert van.ask("pump", value="ON", id="again")["actual"] == "ON", "it is there again"


def test_what_a_stranger_says_retained_and_without_a_time_counts_at_once_but_not_what_was_kept(
    tmp_path: Path, broker: Mosquitto
) -> None:
    van = Van(tmp_path, broker)
    van.client.publish("camper/state/shunt", '{"voltage": 11.0}', retain=True)
    van.start()
    assert van.ask("pump", value="ON", id="a")["status"] == "ok"
    van.state(battery_guard="OFF")
    van.client.publish("camper/state/shunt", '{"voltage": 11.4}', retain=True)
    van.state(battery_guard="ON")
    van.close()


@pytest.fixture(autouse=True)
def with_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that brings in what other software says is one that a house may start."""
    monkeypatch.setitem(journey.PROCESSES, "collector_mqtt", ("collector", "mqtt"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SETTINGS) as house:
        house.start(*PROCESSES)
        house.client.publish("tele/plug", '{"POWER": "OFF", "T": 20}')
        house.client.wait(lambda m: m.topic == "camper/state/plug" and b"OFF" in m.payload)
        yield house


def ask(house: House, topic: str, payload: str, name: str) -> dict[str, object]:
    """Ask, and return the answer to this Response Topic."""
    me = f"camper/response/{name}"
    house.client.publish(topic, payload, response_topic=me)
    found: dict[str, object] = json.loads(house.client.wait(lambda m: m.topic == me).payload)
    return found


def test_every_command_and_request_has_one_answer(house: House) -> None:
    wanted = {
        "relay/pump": "ok",
        "relay/x": "not_found",
        "nobody/x": "not_found",
        "plug/x": "not_found",
        "relay": "invalid",
        "relay/pump/x": "invalid",
        "Relay/pump": "invalid",
    }
    for number, (target, code) in enumerate(wanted.items()):
        answer = ask(house, f"camper/set/{target}", '{"state": "ON", "from": "anna"}', f"c{number}")
        assert (answer["code"] or "ok") == code, target
    for number, (target, code) in enumerate({"nobody/info": "not_found", "controller": "invalid"}.items()):
        answer = ask(house, f"camper/request/{target}", '{"id": 1}', f"r{number}")
        assert answer["error"]["code"] == code  # type: ignore[index]  # an object
    # Whoever would answer a second time has had its time.
    ask(house, "camper/set/nobody/last", "ON", "last")
    heard = [m.topic for m in house.client.messages if m.topic.startswith("camper/response/")]
    assert sorted(heard) == sorted({*heard})
    house.kill("collector_mqtt")
    assert ask(house, "camper/set/plug/switch", '"ON"', "gone")["code"] == "offline"
    answer = ask(house, "camper/request/collector_mqtt/devices", "{}", "gone2")
    assert answer["error"]["code"] == "offline"  # type: ignore[index]  # an object


def test_a_number_goes_to_the_device_and_what_it_obeyed_is_noted(house: House) -> None:
    device = Client(house.broker.port, "cmnd/plug/T")
    house.client.publish("camper/set/plug/target", '{"value": "21.5", "from": "node_red"}')
    assert device.wait(lambda m: m.topic == "cmnd/plug/T").payload == b"21.5"
    device.publish("tele/plug", '{"T": 21.5}')
    device.close()
    result = house.client.wait(lambda m: m.topic == "camper/result/plug/target")
    assert json.loads(result.payload)["actual"] == 21.5
    answer = ask(house, "camper/request/controller/log", "{}", "log")
    shown = json.dumps(answer["data"])
    for one in ('"what": "plug.target"', '"value": "21.5"', '"from": "node_red"'):
        assert one in shown


def test_behind_an_acl_too_and_the_command_shows_what_was_changed(tmp_path: Path) -> None:
    processes = ("statistician", "controller")
    with secured_house(tmp_path, SETTINGS, *processes) as house:
        house.start(*processes)
        assert ask(house, "camper/set/nobody/x", "ON", "a")["code"] == "not_found"
        assert ask(house, "camper/set/relay", "ON", "b")["code"] == "invalid"
        answer = ask(house, "camper/request/nobody/info", "{}", "c")
        assert answer["error"]["code"] == "not_found"  # type: ignore[index]  # an object
        assert ask(house, "camper/set/relay/pump", "1.0", "phone")["status"] == "ok"
        assert ask(house, "camper/set/relay/pump", "2", "d")["status"] == "error"
        (tmp_path / "secrets").mkdir(exist_ok=True)
        user, password = house.broker.login("admin")  # type: ignore[attr-defined]  # a secured one
        (tmp_path / "secrets" / "broker__password").write_text(password)
        environment = os.environ | {
            "BOONDOCK_CONFIG": str(tmp_path / "boondock.toml"),
            "BOONDOCK_SECRETS": str(tmp_path / "secrets"),
            "BOONDOCK_BROKER__PORT": str(house.broker.port),
            "BOONDOCK_BROKER__USERNAME": user,
        }
        shown = subprocess.run(
            [sys.executable, "-m", "cli", "log", "--limit", "5"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stdout.splitlines()
        text = "controller  relay.pump  ON  by camper/response/phone"
        assert [line.split("  ", 1)[1] for line in shown] == [text]
        assert "relay.pump: ON by camper/response/phone" in house.log("controller")


def test_a_client_of_an_older_protocol_hears_it_on_the_result_topic(
    broker: Mosquitto, tmp_path: Path
) -> None:
    van = Van(tmp_path, broker, VAN)
    van.start()
    client = Client(broker.port, "camper/result/+/+")
    client.publish("camper/set/nobody/x", "ON")
    answer = json.loads(client.wait(lambda m: m.topic == "camper/result/nobody/x").payload)
    assert answer["code"] == "not_found"
    client.close()
    van.close()
