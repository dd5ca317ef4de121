"""The demo van: a device of every transport is there soon, obeys, and comes back when its hardware does."""

import json
import os
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.topics import Topics
from collector.device import TRANSPORTS
from config.model import Broker
from scripts import demo_van, places, programs
from tests.client import Client
from tests.deploy.started import ENDS_WITHIN, Started, eventually
from tests.emulators import demo_hardware, demo_i2c
from tests.ports import free_port

TOPICS = Topics()
SOON = 30.0
DEMO = tomllib.loads(programs.DEMO.read_text(encoding="utf-8"))
I2C = frozenset(demo_van.DEVICES["I2C"])
ONLINE = b"online"


def expected() -> set[str]:
    """All devices of the demo that this machine can emulate."""
    every = {*DEMO["device"], *(table["device"] for table in DEMO["import"]), "relay"}
    return every - I2C if demo_i2c.missing() else every


class Demo:
    """A demo that runs, and a client that listens to it."""

    def __init__(self, run: Started, port: int) -> None:
        self.run = run
        self.client = Client(port, "camper/#")

    def online(self) -> set[str]:
        """The devices that are, by what they said last."""
        said = {m.topic: m.payload for m in self.client.messages}
        return {one for one in expected() if said.get(TOPICS.availability(one)) == ONLINE}

    def becomes(self, device: str, entity: str, true: Callable[[float | str], bool]) -> bool:
        """Wait until an entity's newest value is like this."""

        def is_so() -> bool:
            said = json.loads(self.client.latest(TOPICS.state(device)) or b"{}").get(entity)
            return said is not None and true(said)

        return eventually(is_so)

    def switch(self, device: str, entity: str, word: str) -> None:
        """Command, and hear what stands on the pin or in the device."""
        since = len(self.client.messages)
        self.client.publish(TOPICS.set(device, entity), word)
        answer = json.loads(self.client.on(TOPICS.result(device, entity), since=since))
        assert answer["actual"] == word, answer


@pytest.fixture
def demo(start: Callable[..., Started]) -> Iterator[Demo]:
    port = free_port()
    run = start("--port", str(port))
    assert run.shows("Ctrl-C ends everything."), run.text()
    demo = Demo(run, port)
    yield demo
    demo.client.close()


def test_a_device_of_every_transport_is_online_soon_and_the_van_obeys(demo: Demo) -> None:
    began = time.monotonic()
    assert eventually(lambda: demo.online() == expected()), (expected() - demo.online(), demo.run.text())
    assert time.monotonic() - began < SOON
    assert json.loads(demo.client.on(TOPICS.about("relay")))["backend"] == "simulated"
    assert demo.becomes("shore_meter", "grid_power", lambda watts: float(watts) > 50)
    assert demo.becomes("shore", "input", lambda word: word == "ON")
    assert demo.becomes("inverter", "ac_voltage", lambda volts: volts == 0)
    demo.switch("relay", "household_power", "ON")
    assert demo.becomes("inverter", "ac_voltage", lambda volts: volts == 230)
    demo.switch("epever", "load", "ON")
    assert demo.becomes("epever", "load_power", lambda watts: watts == 26)
    demo.switch("relay", "pump", "ON")
    if "fresh_water" in expected():
        assert demo.becomes("fresh_water", "volume", lambda litres: float(litres) < 69)
    demo.switch("relay", "pump", "OFF")
    assert demo.run.ends(signal.SIGTERM) < ENDS_WITHIN
    assert demo.run.process.returncode == 0
    assert demo.run.processes() == []
    assert list(demo.run.temporary.iterdir()) == []


def test_hardware_that_dies_comes_back_at_the_same_places(demo: Demo) -> None:
    assert eventually(lambda: demo.online() == expected()), (expected() - demo.online(), demo.run.text())
    demo.switch("epever", "load", "ON")
    os.kill(_hardware(demo.run), signal.SIGKILL)
    assert demo.run.shows("hardware ended with SIGKILL"), demo.run.text()
    since = len(demo.client.messages)
    wires = {"smartshunt", "inverter", "epever", "shore_meter", *(I2C & expected())}

    def not_again() -> set[str]:
        told = {m.topic for m in demo.client.messages[since:]}
        return {one for one in wires if one not in demo.online() or TOPICS.state(one) not in told}

    # A new one, then.
    assert demo.becomes("epever", "load", lambda word: word == "OFF"), demo.run.text()
    assert eventually(lambda: not not_again()), (not_again(), demo.run.text())


def test_the_meters_go_on_where_they_ended(start: Callable[..., Started], tmp_path: Path) -> None:
    port, kept = free_port(), str(tmp_path / "kept")
    file = tmp_path / "kept" / "state" / "demo-counters.json"
    registers = {str(register): 9e9 for register in range(0x3304, 0x3314, 2)}
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"meter": 130_250.0, "yield": 480.0, "epever": registers}))
    run = start("--port", str(port), "--data", kept)
    assert run.shows("Ctrl-C ends everything."), run.text()
    demo = Demo(run, port)
    assert demo.becomes("shore_meter", "grid_import_energy", lambda wh: 130_250 <= float(wh) < 130_500), (
        run.text()
    )
    assert demo.becomes("epever", "pv_energy_total", lambda wh: 2_500_000 <= float(wh) < 2_501_000), (
        run.text()
    )
    assert demo.becomes("mppt", "yield_today", lambda wh: 480 <= float(wh) < 520), run.text()
    first = next(
        json.loads(m.payload) for m in demo.client.messages if m.topic == TOPICS.state("shore_meter")
    )
    assert first["grid_import_energy"] >= 130_250, "nothing lower was ever said"
    demo.client.close()
    run.ends(signal.SIGINT)
    assert run.process.returncode == 0, run.text()
    assert (tmp_path / "kept" / "statistics.db").exists()
    after = json.loads(file.read_text())
    assert after["meter"] > 130_250
    assert after["epever"].keys() == registers.keys()


def _hardware(run: Started) -> int:
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_text().split("\0")
            ours = run.mark in (entry / "environ").read_bytes() if entry.name.isdecimal() else False
        except OSError:
            continue  # it ended while we looked, or is no process
        if ours and "tests.emulators.demo" in line and "setpriv" not in line[0]:
            return int(entry.name)
    raise AssertionError("there is no hardware")


@pytest.fixture
def somewhere(tmp_path: Path) -> places.Places:
    """Places in which the hardware has said where its TCP port is."""
    made = places.Places(tmp_path, tmp_path / "run", tmp_path / "data", tmp_path / "logs", tmp_path)
    demo_van.folder(made).mkdir(parents=True)
    (demo_van.folder(made) / demo_hardware.MODBUS).write_text("4711", encoding="ascii")
    return made


def services(somewhere: places.Places) -> dict[str, dict[str, str]]:
    """The environment of each service of a demo."""
    found = programs.the_services(somewhere, programs.DEMO, Broker(), demo=True)
    return {program.name: dict(program.env) for program in found}


def test_each_service_sees_only_the_hardware_of_its_own(somewhere: places.Places) -> None:
    (demo_van.folder(somewhere) / demo_hardware.I2C).mkdir()
    found = services(somewhere)
    assert {name.removeprefix("collector_") for name in found} >= set(TRANSPORTS)

    def who_has(variable: str, text: str) -> set[str]:
        return {name for name, env in found.items() if text in env.get(variable, "")}

    assert who_has("LD_PRELOAD", "umockdev") == who_has("UMOCKDEV_DIR", "i2c") == {"collector_i2c"}
    assert who_has("PYTHONPATH", "gpio_board") == {"collector_gpio", "controller"}
    assert who_has("DBUS_SYSTEM_BUS_ADDRESS", str(somewhere.runtime)) == {"collector_ble"}
    assert who_has("BOONDOCK_DEVICE__SHORE_METER__PORT", ":4711") == set(found)


def test_a_machine_without_umockdev_runs_the_rest_and_says_what_it_lacks(
    somewhere: places.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_i2c, "PYTHON", somewhere.temporary / "python3")
    assert set(programs.SERVICES) - set(services(somewhere)) == {"collector_i2c"}
    assert "python3" in (demo_van.missing(somewhere) or "")


def test_ones_own_van_has_real_hardware(somewhere: places.Places) -> None:
    found = programs.the_services(somewhere, programs.DEMO, Broker(), demo=False)
    emulated = {"LD_PRELOAD", "UMOCKDEV_DIR", "TWIN_GPIO_BOARD", "BOONDOCK_CONTROLLER__PINS"}
    assert [program.name for program in found if emulated & (program.env.keys() - os.environ.keys())] == []
    assert {program.name for program in found} == set(programs.SERVICES)


def test_the_screen_names_every_device_of_the_demo() -> None:
    named = {device for devices in demo_van.DEVICES.values() for device in devices}
    assert named == {*DEMO["device"], *(table["device"] for table in DEMO["import"])}
