"""The bridge of docs/broker-elsewhere.md: a house here, Home Assistant there, the link cut."""

import json
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bus.messages import OFFLINE, ONLINE
from bus.topics import Topics
from scripts.broker import wait_until
from tests.broker import Mosquitto
from tests.client import Client
from tests.house import ROOT
from tests.journeys.house import House
from tests.ports import free_port

PAGE = (ROOT / "docs" / "broker-elsewhere.md").read_text(encoding="utf-8")
TOPICS = Topics()
LINK = "camper/bridge/van"
SETTINGS = '[controller]\npins = "simulated"\n[relay.pump]\npin = 17\n'
PASSWORD, HOME = "a-password", ("home_assistant", "another")


def block(name: str) -> str:
    """A block of the page."""
    found = re.search(rf"^```text {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


class Link:
    """The network between the two brokers: it can be cut and mended."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._wires: list[socket.socket] = []
        self.up = True
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if not self.up:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._wires += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    @staticmethod
    def _carry(near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError, ValueError), near, far:
            while True:
                for wire in select.select([near, far], [], [])[0]:
                    data = wire.recv(65536)
                    if not data:
                        return
                    (far if wire is near else near).sendall(data)

    def cut(self) -> None:
        """End what is there and let nothing through."""
        self.up = False
        for wire in self._wires:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        self._wires.clear()

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self._listening.close()


class There:
    """Home Assistant's broker: users, an ACL as the page has it, TLS."""

    def __init__(self, folder: Path, acl: str) -> None:
        self.tls = free_port()
        self.certificate = folder / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command += ["-keyout", str(folder / "key"), "-out", str(folder / "crt"), "-days", "2"]
        subprocess.run(command, check=True, capture_output=True)
        self.certificate.write_text((folder / "crt").read_text() + (folder / "key").read_text())
        for flags, (user, password) in ((["-c"], ("boondock", PASSWORD)), ([], HOME)):
            subprocess.run(
                ["mosquitto_passwd", "-b", *flags, str(folder / "users"), user, password], check=True
            )
        (folder / "acl").write_text(f"{acl}\nuser {HOME[0]}\ntopic readwrite #\n")
        extra = f"password_file {folder}/users\nacl_file {folder}/acl\n"
        extra += f"listener {self.tls} 127.0.0.1\nsocket_domain ipv4\n"
        extra += f"certfile {self.certificate}\nkeyfile {self.certificate}\n"
        self.broker = Mosquitto(folder, extra=extra)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    made = There(tmp_path, block("acl"))
    made.broker.start()
    yield made
    made.broker.stop()


@pytest.fixture
def link(there: There) -> Iterator[Link]:
    made = Link(there.tls)
    yield made
    made.close()


@pytest.fixture
def house(tmp_path: Path, there: There, link: Link) -> Iterator[House]:
    """A house on a broker with the page's bridge, but for the addresses."""
    bridge = block("bridge")
    for said, here in (
        ("homeassistant.local:8883", f"localhost:{link.port}"),
        ("the-password", PASSWORD),
        ("/etc/boondock/homeassistant-ca.crt", str(there.certificate)),
        ("restart_timeout 5 30", "restart_timeout 1 1"),
    ):
        assert said in bridge, said
        bridge = bridge.replace(said, here)
    folder = tmp_path / "here"
    folder.mkdir()
    with House(folder, SETTINGS, broker=Mosquitto(folder, extra=bridge)) as house:
        house.start("statistician", "controller")
        yield house


def pump(client: Client) -> str | None:
    """What a client was last told of the pump."""
    found = json.loads(client.latest(TOPICS.state("relay")) or b"{}").get("pump")
    return None if found is None else str(found)


def test_home_assistant_sees_and_switches_the_van_and_knows_when_it_cannot(
    house: House, there: There, link: Link
) -> None:
    home = Client(there.broker.port, "camper/#", "homeassistant/#", login=HOME)
    found = json.loads(home.on("homeassistant/device/camper_relay/config"))
    follows = {one["topic"] for one in found["availability"]}
    assert follows == {TOPICS.availability("relay"), TOPICS.service("controller")}
    assert {home.on(topic) for topic in follows} == {ONLINE}
    assert home.on(LINK) == b"1"
    home.publish(TOPICS.set("relay", "pump"), "ON")
    assert json.loads(home.on(TOPICS.result("relay", "pump")))["actual"] == "ON"
    assert becomes(home, "ON")

    since = len(home.messages)
    link.cut()
    assert home.on(LINK, since=since) == b"0"
    home.publish(TOPICS.set("relay", "pump"), "ON")
    house.client.publish(TOPICS.set("relay", "pump"), "OFF")
    assert becomes(house.client, "OFF"), "on board it is obeyed"
    assert pump(home) == "ON", "there nobody knows yet"

    since = len(home.messages)
    link.up = True
    assert home.on(LINK, since=since) == b"1"
    assert becomes(home, "OFF"), "what changed meanwhile is told"
    house.client.publish(TOPICS.set("relay", "other"), "ON")
    house.client.on(TOPICS.result("relay", "other"))
    assert pump(house.client) == "OFF", "what was commanded meanwhile is not obeyed later"

    since = len(home.messages)
    house.kill("controller")
    assert home.on(TOPICS.service("controller"), since=since) == OFFLINE
    # Home Assistant has started: the house says everything again.
    since = len(home.messages)
    house.start("controller")
    home.publish("homeassistant/status", "online")
    home.on("homeassistant/device/camper_relay/config", since=since)
    home.close()


def becomes(client: Client, word: str) -> bool:
    """Whether a client is told that the pump is so."""
    return wait_until(lambda: pump(client) == word, lambda: False, 30)


def test_the_acl_for_the_other_broker_directly_is_enough(tmp_path: Path) -> None:
    there = There(tmp_path, block("acl direct"))
    secrets = tmp_path / "house" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "broker__password").write_text(PASSWORD)
    variables = {"BOONDOCK_BROKER__USERNAME": "boondock"}
    settings = f"[broker]\nhost = 'localhost'\ntls_ca = '{there.certificate}'\n{SETTINGS}"
    names = ("statistician", "controller")
    with House(
        tmp_path / "house",
        settings,
        broker=there.broker,
        login=HOME,
        variables={name: variables | {"BOONDOCK_BROKER__PORT": str(there.tls)} for name in names},
    ) as house:
        house.start(*names)
        house.client.publish(TOPICS.set("relay", "pump"), "ON")
        assert becomes(house.client, "ON"), house.log("controller")
        home = Client(there.broker.port, "homeassistant/#", login=HOME)
        home.on("homeassistant/device/camper_relay/config")
        home.close()
