"""A message that ends the statistician, whatever it is: it does so twice at most, nothing else is lost."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.client import Client
from tests.house import ROOT
from tests.rounds import some

PATIENCE = 60.0
INNOCENT = 20


class Patient:
    """The statistician, started again whenever it ends, as the service manager does."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        # Beside the folder, whose disk may be read-only.
        self._log = folder.with_name(f"{folder.name}.log")
        self.client = Client(broker.port, "camper/#")
        self._command = [sys.executable, "-m", "tests.journeys.poisoned", str(folder), str(broker.port)]
        self.deaths = 0
        self.start()
        # From now on readings wait for it at the broker.
        self.client.wait(lambda m: m.topic == "camper/service/statistician" and m.payload == b"online")

    def start(self) -> None:
        """Start it; it may end before it is heard."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=log)

    def look(self) -> None:
        """Start it again if it has ended."""
        if self.process.poll() is not None:
            self.deaths += 1
            self.start()

    def kill(self) -> None:
        """Kill it from outside."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.start()

    def say(self, value: float | str, *, retain: bool = False) -> None:
        """Send one reading."""
        self.client.publish("camper/state/fridge", json.dumps({"value": value}), retain=retain)

    def stored(self, sql: str = "SELECT value FROM states WHERE entity > 0") -> set[object]:
        """What is on disk."""
        with closing(sqlite3.connect(f"file:{self.folder / 's.db'}?mode=ro", uri=True)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'states'").fetchone() is None:
                return set()
            return {row[0] for row in database.execute(sql)}

    def until_stored(self, numbers: set[object]) -> None:
        """Wait, and start it again where it ends, until these numbers are on disk."""
        self.until(lambda: numbers <= self.stored())

    def until(self, came: Callable[[], bool]) -> None:
        """Wait, and start it again where it ends, until something came about."""
        deadline = time.monotonic() + PATIENCE
        while not came():
            assert time.monotonic() < deadline, self.log()[-3000:]
            self.look()
            with self.client._news:
                self.client._news.wait(0.02)

    def problem(self, subject: str) -> str:
        """What health says about a subject, once it says something."""
        message = self.client.wait(
            lambda m: m.topic == "camper/health/statistician" and subject in json.loads(m.payload)["problems"]
        )
        return str(json.loads(message.payload)["problems"][subject])

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text()

    def end(self) -> int:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.client.close()
        return code


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    broker = Mosquitto(tmp_path).start()
    patient = Patient(tmp_path, broker)
    yield patient
    if patient.process.poll() is None:
        patient.process.kill()
        patient.process.wait(PATIENCE)
    broker.stop()


LETTERS = "SELECT CAST(payload AS TEXT) FROM dead_letter"


# How often it may end the process. A kill says nothing about a message: it must be alone in hand at two.
MOST = {
    "take crash": 2,
    "take fail": 0,
    "feed fail": 0,
    "take kill": 2,
    "commit fail": 2,
    "commit crash": 2,
    "commit kill": 3,
}


# Each stage, each way to end, once each; a retained message comes again by itself.
QUICK = {("feed fail", False), ("take crash", False), ("take crash", True), ("commit kill", False)}


@pytest.mark.parametrize("case", some(product(MOST, (False, True)), QUICK), ids=str)
def test_a_poison_ends_it_twice_at_most(patient: Patient, case: tuple[str, bool]) -> None:
    poison, retained = case
    for number in range(INNOCENT):
        patient.say(float(number))
    patient.say(poison, retain=retained)
    for number in range(INNOCENT, 2 * INNOCENT):
        patient.say(float(number))
    patient.until_stored({float(number) for number in range(2 * INNOCENT)})
    patient.say(1000.0)
    patient.until_stored({1000.0})
    assert patient.deaths <= MOST[poison]
    assert patient.stored(LETTERS) == {json.dumps({"value": poison})}
    assert poison.startswith("feed") or poison not in patient.stored()
    assert "camper/state/fridge: a message was set aside" in patient.problem("set_aside")
    deaths = patient.deaths
    patient.kill()
    patient.say(1001.0)
    patient.until_stored({1001.0})
    assert patient.deaths == deaths
    assert patient.end() == 0


def test_kills_in_the_middle_of_traffic_set_nothing_aside(patient: Patient) -> None:
    sent = 0
    for _ in range(4):
        for number in range(sent, sent + 60):
            patient.say(float(number))
        sent += 60
        patient.kill()
    patient.until_stored({float(number) for number in range(sent)})
    assert patient.stored(LETTERS) == set()
    assert patient.end() == 0
