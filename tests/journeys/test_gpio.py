"""Contacts, a tank and the machine itself, from the pin to the database row, by the real processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client
from tests.emulators.gpio_board import Board
from tests.journeys.house import PATIENCE, PROCESSES, ROOT, House

SETTINGS = """
[publish]
min_interval = 0
[statistician]
commit_interval = 0.2
[device.shore]
kind = "gpio_input"
name = "Shore power"
pin = 22
device_class = "plug"
every = 0.05
debounce = 0.1
[device.waste]
kind = "tank_switches"
levels = { "25" = 5, "50" = 6 }
capacity = 60.0
every = 0.05
debounce = 0.1
[device.pi]
kind = "raspberry_pi"
every = 1.0
"""


class Inputs(House):
    """A house whose board is a twin."""

    def __init__(self, folder: Path, backend: str) -> None:
        super().__init__(folder, SETTINGS)
        self.backend = backend
        self.board = Board(folder / "board", backend)

    def said(self, device: str, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first reading of a device that matches."""
        topic = f"camper/state/{device}"
        message = self.client.wait(lambda m: m.topic == topic and matches(json.loads(m.payload)))
        found: dict[str, Any] = json.loads(message.payload)
        return found

    def wait_for_outbox(self, text: bytes) -> None:
        """Wait until a reading with this text waits in the machine's outbox, or on its disk."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in payload for payload in self._outbox()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} did not come")
            time.sleep(0.05)

    def _outbox(self) -> Iterator[bytes]:
        for folder in ("run", "state"):
            path = self.folder / folder / "collector_host.outbox"
            if path.exists():
                database = sqlite3.connect(path)
                for (payload,) in database.execute("SELECT payload FROM outbox").fetchall():
                    yield payload if isinstance(payload, bytes) else payload.encode()
                database.close()

    def on_disk(self, reading: dict[str, Any]) -> None:
        """Wait until the statistician has a reading on disk."""
        topic = f"camper/watermark/{reading['stream']}"
        self.client.wait(lambda m: m.topic == topic and int(m.payload) >= reading["seq"])


@pytest.fixture(params=["rpi", "gpiod"])
def house(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Inputs]:
    inputs = Inputs(tmp_path, request.param)
    for name, value in inputs.board.environment.items():
        monkeypatch.setenv(name, value)
    for transport in ("gpio", "host"):
        monkeypatch.setitem(PROCESSES, f"collector_{transport}", ("collector", transport))
    with inputs:
        yield inputs


def test_a_contact_and_a_tank_become_rows(house: Inputs) -> None:
    board = house.board
    board.wire(22, "low")
    house.start("statistician", "collector_gpio")
    assert house.said("shore", lambda r: r["input"] == "ON")["clock"] == "ok"
    about = json.loads(house.client.on("camper/about/shore"))
    assert about["name"] == "Shore power"
    assert about["entities"]["input"]["device_class"] == "plug"
    assert house.client.on("camper/availability/shore") == b"online"
    board.wire(22, None)
    house.on_disk(house.said("shore", lambda r: r["input"] == "OFF"))
    assert [value for _, value in house.stored()["shore", "input"]][:2] == ["ON", "OFF"]

    assert house.said("waste", lambda r: r["level"] == 0)["volume"] == 0
    board.wire(6, "low")
    assert house.said("waste", lambda r: r["level"] is None)["switch_50"] == "ON"
    health = house.client.wait(
        lambda m: m.topic == "camper/health/collector_gpio" and b"which one is stuck?" in m.payload
    )
    pins = json.loads(health.payload)["facts"]["pins"]
    assert pins.startswith("simulated: ")
    assert ("RPi.GPIO" in pins) is (house.backend == "rpi")
    board.wire(5, "low")
    full = house.said("waste", lambda r: r["level"] == 50)
    assert full["volume"] == 30
    house.on_disk(full)
    levels = [value for _, value in house.stored()["waste", "level"]]
    assert (levels[0], levels[-1]) == (0, 50)
    assert board.pins() == {str(pin): {"function": "in", "pull": "up"} for pin in (22, 5, 6)}
    assert house.end("collector_gpio", signal.SIGTERM) == 0
    assert {pin["pull"] for pin in board.pins().values()} == {"off"}


def test_the_machine_becomes_rows(house: Inputs) -> None:
    house.start("statistician", "collector_host")
    reading = house.said("pi", lambda r: r.get("broker") == "ON")
    house.on_disk(reading)
    stored = house.stored()
    for entity in ("disk_free", "disk_used", "clock_synchronised"):
        assert stored["pi", entity][0][1] is not None
    entities = json.loads(house.client.on("camper/about/pi"))["entities"]
    assert entities["disk_free"]["unit"] == "MB"
    # The broker goes and comes back: that it was away is heard of afterwards.
    house.client.close()
    house.broker.kill()
    house.wait_for_outbox(b'"broker":"OFF"')
    house.broker.start()
    house.client = Client(house.broker.port, "camper/#")
    later = house.said("pi", lambda r: r["broker"] == "ON" and r["seq"] > reading["seq"] + 1)
    house.on_disk(later)
    # It is unknown until the process has been connected once.
    told = [value for _, value in house.stored()["pi", "broker"] if value is not None]
    assert [value for value, _ in groupby(told)][:3] == ["ON", "OFF", "ON"]
    assert house.end("collector_host", signal.SIGTERM) == 0


def test_a_mistake_in_the_pins_ends_the_process_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "boondock.toml").write_text(SETTINGS.replace("plug", "stopper"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "collector", "gpio"],
        cwd=ROOT,
        env=os.environ | {"BOONDOCK_CONFIG": str(tmp_path / "boondock.toml")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "device.shore.device_class" in done.stderr
    assert "plug" in done.stderr
