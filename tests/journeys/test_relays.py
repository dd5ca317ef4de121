"""Relays by the real controller on twins of both libraries: killed, cut off, sent old or doubled commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from bus.messages import to_iso
from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators.gpio_board import Board
from tests.journeys.house import PATIENCE, ROOT
from tests.rounds import some

PUMP, LAMP, FRIDGE, AUX, HEATER, WARM = 27, 17, 22, 23, 24, 25
SETTINGS = f"""
[relay.pump]
pin = {PUMP}
boot = "off"
broker_loss = "off"
broker_loss_after = 0.5
[relay.lamp]
pin = {LAMP}
active_low = true
boot = "restore"
exit = "keep"
only_if = ["fresh_water.level > 5"]
[relay.fridge]
pin = {FRIDGE}
boot = "restore"
exit = "keep"
feedback_pin = {AUX}
feedback_within = 300
[relay.heater]
pin = {HEATER}
boot = "restore"
exit = "keep"
feedback_pin = {WARM}
feedback_within = 60000
[battery_guard]
relay = "fridge"
source = "shunt.voltage"
disconnect_below = 11.8
disconnect_after = 0
reconnect_above = 12.8
reconnect_after = 0
restore = true
"""
SERVICE, STATE = "camper/service/controller", "camper/state/relay"


def _now() -> str:
    return to_iso(time.time_ns() // 1_000_000)


class Van:
    """A broker, a board and the controller process."""

    def __init__(
        self, folder: Path, broker: Mosquitto, settings: str = SETTINGS, *, backend: str = "rpi"
    ) -> None:
        self.broker = broker
        self.board = Board(folder / "board", backend)
        self.client = Client(broker.port, "camper/#")
        (folder / "boondock.toml").write_text(settings, encoding="utf-8")
        self._log = (folder / "controller.log").open("ab")
        path = os.pathsep.join((self.board.environment["PYTHONPATH"], str(ROOT)))
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
        self._environment = (
            kept
            | self.board.environment
            | {
                "PYTHONPATH": path,
                "BOONDOCK_CONFIG": str(folder / "boondock.toml"),
                "BOONDOCK_SECRETS": str(folder / "secrets"),
                "BOONDOCK_BROKER__PORT": str(broker.port),
                "BOONDOCK_STORAGE__RUNTIME": str(folder / "run"),
                "BOONDOCK_STORAGE__STATE": str(folder / "state"),
                "BOONDOCK_CLOCK__TRUSTED": "true",
            }
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.since = 0
        self.started = _now()

    def start(self) -> None:
        """Start and wait until it is online; what was said earlier no longer counts."""
        self.since = len(self.client.messages)
        self.started = _now()
        command = [sys.executable, "-m", "controller"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=self._log)
        self.client.wait(lambda m: (m.topic, m.payload) == (SERVICE, b"online"), since=self.since)

    def kill(self) -> None:
        """SIGKILL, and wait until the broker has noticed."""
        assert self.process is not None
        since = len(self.client.messages)
        self.process.kill()
        self.process.wait(PATIENCE)
        self.client.wait(lambda m: (m.topic, m.payload) == (SERVICE, b"offline"), since=since)

    def say(self, device: str, **values: float) -> None:
        """Another device says something now."""
        reading: dict[str, object] = {"ts": _now(), **values}
        self.client.publish(f"camper/state/{device}", json.dumps(reading), retain=True)

    def send(self, relay: str, **command: object) -> None:
        """Send a command."""
        self.client.publish(f"camper/set/relay/{relay}", json.dumps(command))

    def answer(self, relay: str, name: str) -> dict[str, Any]:
        """The answer to the command of an id."""
        topic = f"camper/result/relay/{relay}"
        message = self.client.wait(lambda m: m.topic == topic and json.loads(m.payload)["id"] == name)
        found: dict[str, Any] = json.loads(message.payload)
        return found

    def ask(self, relay: str, **command: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.send(relay, **command)
        return self.answer(relay, str(command["id"]))

    def state(self, *, patience: float = PATIENCE, **wanted: str) -> None:
        """Wait until the state topic says so; what was measured before the start does not count."""

        def is_it(message: MQTTMessage) -> bool:
            if message.topic != STATE:
                return False
            reading = json.loads(message.payload)
            return bool(reading["ts"] >= self.started and reading.items() >= wanted.items())

        self.client.wait(is_it, patience=patience, since=self.since)

    def close(self) -> None:
        """End all of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.client.close()
        self._log.close()


BACKENDS = ("rpi", "gpiod")


@pytest.fixture(params=some(BACKENDS, ("rpi",)))
def van(tmp_path: Path, broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[Van]:
    van = Van(tmp_path, broker, backend=request.param)
    yield van
    van.close()


@pytest.mark.parametrize("van", BACKENDS, indirect=True)
def test_killed_while_on_each_relay_does_as_its_policy_says_without_a_glitch(van: Van) -> None:
    van.say("fresh_water", level=50)
    van.start()
    assert [van.board.edges(pin) for pin in (PUMP, LAMP, FRIDGE)] == [["low"], ["high"], ["low"]]
    van.client.publish("camper/set/relay/pump", "ON")
    van.state(pump="ON")
    assert van.ask("lamp", value="ON", id="l")["actual"] == "ON"
    van.board.wire(AUX, "low")
    assert van.ask("fridge", value="ON", id="f")["status"] == "ok"
    van.kill()
    assert [van.board.level(pin) for pin in (PUMP, LAMP, FRIDGE)] == ["high", "low", "high"]
    van.start()
    van.state(patience=1.0, pump="OFF", lamp="ON", fridge="ON")
    assert van.board.edges(PUMP) == ["low", "high", "low"]
    assert van.board.edges(LAMP) == ["high", "low"], "it never let go"
    assert van.board.edges(FRIDGE) == ["low", "high"], "it never let go"


def test_commands_sent_while_it_was_away_are_not_obeyed_on_its_return(van: Van) -> None:
    van.start()
    van.kill()
    van.send("pump", value="ON", id="old")
    van.send("pump", value="ON", id="late", not_after="2026-01-01T00:00:00Z")
    van.start()
    # Commands come in order: when this one is answered, older ones would have been.
    assert van.ask("fridge", value="OFF", id="now")["status"] == "ok"
    ids = {
        json.loads(m.payload)["id"]
        for m in van.client.messages
        if m.topic.startswith("camper/result/") and m.topic.endswith("/pump")
    }
    assert ids == set()
    assert van.board.edges(PUMP) == ["low"]


def test_a_command_that_the_broker_held_back_too_long_is_refused_as_expired(van: Van) -> None:
    van.start()
    assert van.process is not None
    van.process.send_signal(signal.SIGSTOP)
    soon = _now()
    van.send("pump", value="ON", id="held", not_after=soon)
    while _now() <= soon:
        """The clock moves on by itself."""
    van.process.send_signal(signal.SIGCONT)
    assert van.answer("pump", "held")["code"] == "expired"
    assert van.board.edges(PUMP) == ["low"]


@pytest.mark.parametrize("dup", [True, False], ids=["with DUP", "as a new packet"])
@pytest.mark.parametrize(
    ("relay", "pin", "moved"),
    [("pump", PUMP, ["low", "high", "low"]), ("lamp", LAMP, ["high", "low"])],
    ids=["boots off", "boots as it was"],
)
def test_a_toggle_that_comes_again_after_a_kill_is_answered_and_moves_nothing(
    van: Van, relay: str, pin: int, moved: list[str], *, dup: bool
) -> None:
    van.say("fresh_water", level=50)
    van.start()
    publish = _text(f"camper/set/relay/{relay}".encode()) + b"\x00\x07" + b'{"value":"TOGGLE","id":"tap"}'
    with _stubborn(van.broker.port) as send:
        send(_packet(0x32, publish))
        assert van.answer(relay, "tap")["actual"] == "ON"
        van.kill()
        van.start()
        send(_packet(0x3A if dup else 0x32, publish))
    again = van.client.on(f"camper/result/relay/{relay}", since=van.since)
    assert json.loads(again) == van.answer(relay, "tap"), "the first one"
    assert van.ask("fridge", value="OFF", id="after")["status"] == "ok"
    assert van.board.edges(pin) == moved


def test_a_toggle_whose_controller_was_killed_before_its_answer_is_never_obeyed_again(van: Van) -> None:
    van.start()
    van.send("heater", value="TOGGLE", id="tap")
    # On its pin, but its load does not follow yet.
    van.state(heater="ON")
    for _ in range(2):
        van.kill()
        van.start()
        van.send("heater", value="TOGGLE", id="tap")
        answer = json.loads(van.client.on("camper/result/relay/heater", since=van.since))
        assert (answer["code"], answer["actual"], answer["id"]) == ("internal", "ON", "tap")
    assert van.board.edges(HEATER) == ["low", "high"]
    assert van.board.level(HEATER) == "high"


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text


def _packet(first_byte: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([first_byte, len(body)]) + body


@contextmanager
def _stubborn(port: int) -> Iterator[Callable[[bytes], None]]:
    """A client on the bare wire: sends the packets it is told to, and sees the PUBACK of packet 7."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as wire:
        wire.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\x02\x00\x3c" + _text(b"stubborn")))
        assert wire.recv(4) == b"\x20\x02\x00\x00", "accepted"

        def send(packet: bytes) -> None:
            wire.sendall(packet)
            assert wire.recv(4) == b"\x40\x02\x00\x07", "acknowledged"

        yield send


def test_a_command_that_a_client_sends_again_with_dup_moves_once(van: Van) -> None:
    """A client that saw no PUBACK sends its packet again with DUP set [MQTT-3.3.1-1]."""
    van.start()
    publish = _text(b"camper/set/relay/pump") + b"\x00\x07" + b'{"value":"TOGGLE","id":"tap"}'
    with _stubborn(van.broker.port) as send:
        for first_byte in (0x32, 0x3A, 0x3A):
            send(_packet(first_byte, publish))
    assert van.ask("fridge", value="OFF", id="after")["status"] == "ok"
    assert van.board.edges(PUMP) == ["low", "high"]
    answers = [m.payload for m in van.client.messages if m.topic == "camper/result/relay/pump"]
    assert len(answers) == 3
    assert len(set(answers)) == 1


def test_a_broker_that_dies_turns_off_what_its_loss_must(van: Van) -> None:
    van.say("fresh_water", level=50)
    van.start()
    assert van.ask("pump", value="ON", id="p")["actual"] == "ON"
    assert van.ask("lamp", value="ON", id="l")["actual"] == "ON"
    van.broker.kill()
    deadline = time.monotonic() + PATIENCE
    while van.board.level(PUMP) != "low" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (van.board.level(PUMP), van.board.level(LAMP)) == ("low", "low")
    van.since = len(van.client.messages)
    van.broker.start()
    van.state(pump="OFF", lamp="ON")


def test_an_empty_battery_disconnects_survives_a_kill_and_gives_back(van: Van) -> None:
    van.board.wire(AUX, "low")
    van.start()
    assert van.ask("fridge", value="ON", id="a")["status"] == "ok"
    van.say("shunt", voltage=11.4)
    van.state(fridge="OFF", battery_guard="ON")
    van.board.wire(AUX, None)
    refusal = van.ask("fridge", value="ON", id="b")
    assert (refusal["code"], refusal["actual"]) == ("interlock", "OFF")
    van.kill()
    van.start()
    van.state(patience=1.0, fridge="OFF", battery_guard="ON")
    van.board.wire(AUX, "low")
    van.say("shunt", voltage=13.0)
    van.state(fridge="ON", battery_guard="OFF")
    assert van.board.edges(FRIDGE) == ["low", "high", "low", "high"]


def test_water_that_runs_out_turns_the_relay_off_and_a_load_that_does_not_follow_is_told(van: Van) -> None:
    van.say("fresh_water", level=50)
    van.start()
    assert van.ask("lamp", value="ON", id="a")["status"] == "ok"
    van.say("fresh_water", level=3)
    van.state(lamp="OFF")
    assert van.ask("lamp", value="ON", id="b")["message"] == "fresh_water.level > 5 does not hold: it is 3"
    answer = van.ask("fridge", value="ON", id="c")
    assert (answer["code"], answer["actual"]) == ("hardware", "OFF")
    van.state(fridge="OFF", fridge_fault="ON")
