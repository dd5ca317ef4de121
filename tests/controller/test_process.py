"""The real `python -m controller` on a real Mosquitto, with relays that are simulated and nothing else."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Mosquitto
from tests.client import Client

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICE = "camper/service/controller"
STATE = "camper/state/relay"
RESULT = "camper/result/relay/pump"


class Van:
    """Starts and ends the process; `client` sees all that is said."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.client = Client(broker.port, "camper/#")
        self._log = (folder / "controller.log").open("wb")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
        self._environment = kept | {
            "BOONDOCK_CONFIG": str(ROOT / "tests" / "emulators" / "demo.toml"),
            "BOONDOCK_BROKER__PORT": str(broker.port),
            "BOONDOCK_STORAGE__RUNTIME": str(folder / "run"),
            "BOONDOCK_STORAGE__STATE": str(folder / "state"),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.since = 0

    def start(self) -> "subprocess.Popen[bytes]":
        """Start and wait until it is online; what was said earlier no longer counts."""
        self.since = len(self.client.messages)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller"], cwd=ROOT, env=self._environment, stderr=self._log
        )
        self.client.wait(lambda m: (m.topic, m.payload) == (SERVICE, b"online"), since=self.since)
        return self.process

    def state(self, *, patience: float = 5.0) -> dict[str, Any]:
        """The first state said since the start."""
        found: dict[str, Any] = json.loads(self.client.on(STATE, patience=patience, since=self.since))
        return {key: found[key] for key in ("household_power", "pump")}

    def command(self, relay: str, word: str, name: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.client.publish(f"camper/set/relay/{relay}", json.dumps({"value": word, "id": name}))
        topic = f"camper/result/relay/{relay}"
        found: dict[str, Any] = json.loads(self.client.on(topic, since=self.since))
        assert found["id"] == name
        return found

    def close(self) -> None:
        """End all of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client.close()
        self._log.close()


@pytest.fixture
def van(tmp_path: Path, broker: Mosquitto) -> Iterator[Van]:
    van = Van(tmp_path, broker)
    yield van
    van.close()


def test_on_is_answered_with_on_and_the_state_is_there_before_the_answer(van: Van) -> None:
    van.start()
    assert van.command("pump", "ON", "a")["actual"] == "ON"
    said = [m for m in van.client.messages[van.since :] if m.topic in (STATE, RESULT)]
    assert said[-1].topic == RESULT
    assert json.loads(said[-2].payload)["pump"] == "ON"
    assert van.client.latest(f"{STATE}/pump") == b"ON"


def test_the_state_is_true_within_a_second_of_being_online(van: Van) -> None:
    van.start()
    assert van.state(patience=1.0) == {"household_power": "OFF", "pump": "OFF"}
    assert van.client.on("camper/availability/relay", patience=1.0) == b"online"
    about = json.loads(van.client.on("camper/about/relay", patience=1.0))
    assert about["backend"] == "simulated"


def test_a_command_retained_before_the_start_switches_nothing(van: Van) -> None:
    van.client.publish("camper/set/relay/pump", "ON", retain=True)
    van.start()
    # Commands are handled in order: the first answer is that of the second command.
    assert van.command("household_power", "ON", "b")["actual"] == "ON"
    assert json.loads(van.client.latest(STATE) or b"")["pump"] == "OFF"
    van.client.publish("camper/set/relay/pump", json.dumps({"value": "ON", "id": "c"}), retain=True)
    refusal = json.loads(van.client.on(RESULT, since=van.since))
    assert (refusal["id"], refusal["code"], refusal["actual"]) == ("c", "retained", "OFF")


def test_after_kill_9_the_broker_says_offline_and_a_restart_tells_the_truth(van: Van) -> None:
    process = van.start()
    van.command("pump", "ON", "a")
    van.command("household_power", "ON", "b")
    process.kill()
    process.wait()
    van.client.wait(lambda m: (m.topic, m.payload) == (SERVICE, b"offline"), since=van.since)
    van.start()
    # What waits for a statistician is said again, but only the newest reading is retained.
    truth = {"household_power": "ON", "pump": "OFF"}
    newest = van.client.wait(
        lambda m: m.topic == STATE and json.loads(m.payload).items() >= truth.items(), since=van.since
    )
    assert json.loads(newest.payload).items() >= truth.items()
    assert van.command("pump", "TOGGLE", "c")["actual"] == "ON"


def test_sigterm_ends_it_soon_with_offline_said_and_the_pump_off(van: Van) -> None:
    process = van.start()
    van.command("pump", "ON", "a")
    van.command("household_power", "ON", "b")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    van.client.wait(lambda m: (m.topic, m.payload) == (SERVICE, b"offline"), since=van.since)
    said = json.loads(van.client.latest(STATE) or b"")
    assert (said["pump"], said["household_power"]) == ("OFF", "ON"), "each as its exit policy says"
