"""Commands find the demo that runs, without any option, and do on it all that they promise."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.health import VERSION
from tests import command
from tests.client import Client
from tests.deploy.started import Started
from tests.ports import free_port

Json = Any


class Demo:
    """A demo in a terminal, and another terminal in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        self.port = free_port()
        self.started = Started(folder, "--port", str(self.port))
        assert self.started.shows("Ctrl-C ends everything."), self.started.text()

    def run(self, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """The command as a person types it."""
        variables = {"TMPDIR": str(self.started.temporary), "COLUMNS": "90"}
        return command.boondock(self.folder, *arguments, given=typed or "", **variables)

    def good(self, *arguments: str) -> str:
        """What it prints; it must succeed."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """The one line of a failure."""
        done = self.run(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    client = Client(running.port, "camper/state/+")
    for device in ("smartshunt", "epever", "pi", "relay", "fridge"):
        client.wait(lambda m, d=device: m.topic == f"camper/state/{d}")  # type: ignore[misc]  # a bound default
    client.close()
    yield running
    running.started.process.terminate()
    running.started.process.wait(40)


def test_watch_shows_devices_with_units(demo: Demo) -> None:
    lines = demo.good("watch", "--seconds", "0", "smartshunt.voltage", "relay").splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "relay.household_power",
        "relay.pump",
        "smartshunt.voltage",
    ]
    assert lines[2].endswith(" V")
    told = [
        json.loads(line) for line in demo.good("watch", "--seconds", "0", "--json", "fridge").splitlines()
    ]
    assert {one["entity"]: one["unit"] for one in told}["fridge.voltage"] == "V"


def test_watch_of_nothing_says_so(demo: Demo) -> None:
    assert "nothing of that is known" in demo.refused("watch", "--seconds", "0", "frdge")


def test_an_output_is_switched_and_its_answer_awaited(demo: Demo) -> None:
    assert demo.good("set", "relay.pump", "on", "--for", "5m").startswith("relay.pump is ON until ")
    answer = json.loads(demo.good("set", "relay/pump", "OFF", "--json"))
    assert (answer["status"], answer["actual"], answer["until"]) == ("ok", "OFF", None)
    changes = json.loads(demo.good("log", "--json"))
    assert [one["entry"]["value"] for one in changes][-2:] == ["ON", "OFF"]
    assert "by boondock set" in demo.good("log", "--limit", "1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("relay.pmp", "ON"), "there is no relay 'pmp'; there are: household_power, pump (not_found)"),
        (("relay.pump", "7"), "allowed are ON, OFF, TOGGLE"),
        (("relay", "ON"), "'relay' is no entity; allowed is DEVICE.ENTITY such as relay.pump"),
        (("Relay.Pump", "ON"), "is not an id"),
        (("smartshunt.voltage", "1"), "(not_found)"),
        (("epever.boost_voltage", "14.2"), "allow_write = true of epever allows it (denied)"),
        (("relay.pump", "ON", "--for", "soon"), "'soon' is no length of time; allowed: 90"),
    ],
)
def test_a_refusal_says_why(demo: Demo, arguments: tuple[str, ...], said: str) -> None:
    assert said in demo.refused("set", *arguments)


@pytest.mark.parametrize(
    ("device", "asked", "entity"),
    [
        ("smartshunt", "advertisement of C0:FF:EE:00:00:01", "voltage"),
        ("epever", "registers(1, 4, 12544, 8)", "pv_power"),
        ("inverter", "blocks()", "voltage"),
        ("pi", "text(HostText.MEMORY)", "memory_used"),
        ("shore", "read(", "input"),
    ],
)
def test_a_device_of_every_wire_is_read_now(demo: Demo, device: str, asked: str, entity: str) -> None:
    now = json.loads(demo.good("read", device, "--json"))
    assert entity in now["values"], now
    assert any(one["asked"].startswith(asked) and one["answer"] for one in now["raw"])
    assert f"  {entity}  " in demo.good("read", device)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("relay", "relay is read by no collector but is controller's; next: boondock watch relay"),
        ("outside", "what others publish is on their own topics: boondock watch shows it (denied)"),
        ("shunt", "there is no device 'shunt'; there are: alarm, epever, "),
    ],
)
def test_a_device_that_nobody_can_read_is_told(demo: Demo, device: str, said: str) -> None:
    assert said in demo.refused("read", device)


def test_doctor_looks_at_everything(demo: Demo) -> None:
    done = demo.run("doctor", "--json")
    found = {(one["subject"], one["ok"]) for one in json.loads(done.stdout)["findings"]}
    assert {("broker", True), ("controller", True), ("collector_ble", True)} <= found
    assert {subject for subject, _ in found} >= {"clock", "disk", "card", "statistician"}
    assert done.returncode == (1 if ("", False) in {("", ok) for _, ok in found} else 0)
    assert len(demo.run("doctor").stdout.splitlines()) == len(json.loads(done.stdout)["findings"])


def test_a_dump_has_what_a_report_needs(demo: Demo) -> None:
    target = demo.folder / "report.tar.gz"
    demo.good("dump", "-o", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as bundle:
        names = {name.removeprefix("boondock-dump/") for name in bundle.getnames()}
        health = bundle.extractfile("boondock-dump/broker.txt")
        assert health is not None
        said = health.read().decode()
    assert {"boondock.toml", "versions.txt", "broker.txt", "logs/statistician.log"} <= names
    assert f'camper/health/controller {{"version":"{VERSION}"' in said
    assert "File exists" in demo.refused("dump", "-o", str(target))


def test_a_port_chooses_among_the_runs(demo: Demo) -> None:
    other = demo.run("log", "--port", str(free_port()))
    assert (other.returncode, "no house runs here" in other.stderr) == (78, True), other.stderr
    assert demo.run("log", "--port", str(demo.port)).returncode == 0


def test_a_run_that_has_ended_is_not_found(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "boondock-run-dead").mkdir()
    (tmp_path / "boondock-run-dead" / "lock").touch()
    (running,) = demo.started.temporary.glob("boondock-run-*/running.json")
    (tmp_path / "boondock-run-dead" / "running.json").write_bytes(running.read_bytes())
    done = command.boondock(tmp_path, "log", TMPDIR=str(tmp_path))
    assert done.returncode == 78
    assert done.stderr == (
        "no house runs here, and there is no boondock.toml nor /etc/boondock/boondock.toml;"
        " next: ./scripts/run, or name the broker with --host\n"
    )


def test_a_broker_that_is_named_needs_no_settings(tmp_path: Path) -> None:
    place = ("--host", "127.0.0.1", "--port", str(free_port()))
    done = command.boondock(tmp_path, "log", *place, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.endswith("; next: is it the right one? --host and --port name another\n")
