"""A real forwarder on a real statistician: killed at any moment, nothing is missing or out of order."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bus.messages import to_iso
from statistician.records import Batch, EntityRecord, State
from statistician.store import Store
from tests.broker import Mosquitto
from tests.client import Client
from tests.deploy.started import eventually
from tests.house import ROOT
from tests.journeys.house import secured_house

PATIENCE = 120.0
ENTITIES = ("soc", "voltage", "power")
# An hour before, so that no period has to be closed meanwhile.
BEGAN = int(time.time()) * 1000 - 3_600_000


def fill(database: Path, count: int) -> list[str]:
    """Store so many readings of three entities; returns their keys, in the order of the feed."""
    store = Store(database)
    entities = {
        n: EntityRecord(id=n, device="van", entity=name, first=BEGAN) for n, name in enumerate(ENTITIES, 1)
    }
    said = [State(BEGAN + n // 3 * 10, n % 3 + 1, float(n), None) for n in range(count)]
    store.commit(Batch(entities=entities))
    for at in range(0, count, 5000):
        store.commit(Batch(states=said[at : at + 5000]))
    store.close()
    return [f"van.{ENTITIES[one.entity - 1]}@{to_iso(one.ts)}" for one in said]


class Server:
    """A web server that keeps the keys of what it takes, and refuses every seventh request."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        requests = 0
        keys = self.keys

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                nonlocal requests
                requests += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                good = requests % 7 != 0
                if good:
                    keys.extend(f"{one['entity']}@{one['ts']}" for one in body["records"])
                self.send_response(204 if good else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class Van:
    """A broker, a statistician, and a forwarder that is killed."""

    def __init__(self, folder: Path, broker: Mosquitto, settings: str) -> None:
        self.folder, self._port = folder, broker.port
        self.say(settings)
        self.client = Client(broker.port, "camper/service/+", "camper/health/forwarder")
        self.forwarder: subprocess.Popen[bytes] | None = None

    def say(self, settings: str) -> None:
        """Write the settings that the next process reads."""
        text = f"[broker]\nport = {self._port}\n{settings}"
        (self.folder / "boondock.toml").write_text(text, encoding="utf-8")

    def spawn(self, *module: str) -> subprocess.Popen[bytes]:
        """Start a process of the house."""
        environment = os.environ | {
            "BOONDOCK_CONFIG": str(self.folder / "boondock.toml"),
            "BOONDOCK_SECRETS": str(self.folder / "secrets"),
            "BOONDOCK_STATISTICIAN__DATABASE": str(self.folder / "statistics.db"),
            "BOONDOCK_STORAGE__RUNTIME": str(self.folder / "run"),
            "BOONDOCK_STORAGE__STATE": str(self.folder / "state"),
            "BOONDOCK_CLOCK__TRUSTED": "true",
        }
        log = (self.folder / f"{module[0]}.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-m", *module], cwd=ROOT, env=environment, stdout=log, stderr=log
        )

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                log = (self.folder / "forwarder.log").read_text(encoding="utf-8")
                raise TimeoutError(f"{what}: {log[-3000:]}")
            time.sleep(0.01)


@contextmanager
def van(folder: Path, broker: Mosquitto, settings: str) -> Iterator[Van]:
    one = Van(folder, broker, settings)
    statistician = one.spawn("statistician")
    try:
        one.client.wait(lambda m: m.topic.endswith("/statistician") and m.payload == b"online")
        yield one
    finally:
        for process in (one.forwarder, statistician):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
        one.client.close()


def keys_of(path: Path) -> list[str]:
    if not path.exists():
        return []
    # A line may be half written at this moment.
    lines = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return [f"{one['entity']}@{one['ts']}" for one in map(json.loads, lines)]


SETTINGS = """
[[output]]
name = "log"
kind = "file"
path = "{folder}/log.jsonl"
start = "all"
batch = {batch}

[[output]]
name = "backend"
kind = "webhook"
url = "http://127.0.0.1:{port}/readings"
start = "all"
batch = {batch}
"""


def killed(folder: Path, broker: Mosquitto, *, count: int, kills: int) -> None:
    """Kill a forwarder so often on its way through so many readings, and compare what came."""
    dice = random.Random(count)  # noqa: S311 — dice
    wanted = fill(folder / "statistics.db", count)
    known, batch = set(wanted), count // 400 + 38
    server = Server()
    log = folder / "log.jsonl"
    try:
        with van(folder, broker, SETTINGS.format(folder=folder, port=server.port, batch=batch)) as one:
            for kill in range(1, kills + 1):
                one.forwarder = one.spawn("forwarder")
                # Somewhere in its share of the readings, by the slower of the two or by the faster.
                share = count * (kill - dice.random()) / (kills + 1)
                if kill % 2:
                    one.until(lambda s=share: len(server.keys) >= s, "the server got nothing")  # type: ignore[misc]  # a bound default
                else:
                    one.until(lambda s=share: log.exists() and log.stat().st_size >= 60 * s, "no file")  # type: ignore[misc]  # a bound default
                one.forwarder.kill()
                one.forwarder.wait()
            one.forwarder = one.spawn("forwarder")
            one.until(lambda: known.issubset(server.keys), "the server has not all")
            one.until(lambda: known.issubset(keys_of(log)), "the file has not all")
    finally:
        server.close()
    for found in (server.keys, keys_of(log)):
        # The statistician adds that nothing is known since.
        keys = [key for key in found if key in known]
        assert list(dict.fromkeys(keys)) == wanted
        # A kill repeats at most the batch in flight.
        assert len(keys) - count <= batch * kills


def test_a_forwarder_that_is_killed_loses_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    killed(tmp_path, broker, count=5_000, kills=5)


@pytest.mark.long
def test_of_100_000_readings_none_is_lost_in_50_kills(tmp_path: Path, broker: Mosquitto) -> None:
    killed(tmp_path, broker, count=100_000, kills=50)


LOG = '[[output]]\nname = "log"\nkind = "file"\npath = "{folder}/log.jsonl"\nstart = "all"\n'


def test_with_the_rights_of_its_user_it_goes_on_after_the_broker_was_away(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    settings = f"[statistician]\ncommit_interval = 0.2\n{LOG.format(folder=tmp_path)}"
    wanted = fill(tmp_path / "statistics.db", 100)
    with secured_house(tmp_path, settings, "statistician", "forwarder") as house:
        house.start("statistician", "forwarder")
        assert eventually(lambda: set(wanted) <= set(keys_of(log))), house.log("forwarder")
        since = len(house.client.messages)
        house.broker.kill()
        house.broker.start()
        house.client.on("camper/service/forwarder", since=since)
        house.client.on("camper/service/statistician", since=since)
        house.client.publish("camper/state/van", '{"soc": 4711}')
        assert eventually(lambda: b'"value":4711' in log.read_bytes()), house.log("forwarder")

        def well() -> bool:
            health = json.loads(house.client.latest("camper/health/forwarder") or b"")
            return not health["problems"] and not health["counters"]["refused_publications"]

        assert eventually(well), house.client.latest("camper/health/forwarder")
