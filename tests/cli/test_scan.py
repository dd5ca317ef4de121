"""`boondock scan`, as users run it, against a real broker and collectors, real or played."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators import victron
from tests.journeys.house import COMPANY, ROOT, House

KEY = bytes(range(16))
SETTINGS = f"""
[device.shunt]
kind = "victron_battery_monitor"
address = "C0:11:22:33:44:55"
key = "{KEY.hex()}"
"""


def command(port: int, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
    (folder / "cli.toml").write_text(f"[broker]\nport = {port}\n")
    variables = {"PYTHONPATH": str(ROOT), "BOONDOCK_SECRETS": str(folder / "secrets")}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "scan", *arguments, "--config", str(folder / "cli.toml")],
        cwd=folder,
        env=kept | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_air_is_shown_with_lines_to_paste(tmp_path: Path) -> None:
    with House(tmp_path, SETTINGS) as house:
        house.start("collector_ble")
        scan = command(house.broker.port, tmp_path, "ble", "--seconds", "3")
        topic = "camper/request/collector_ble/device_scan"
        house.client.wait(lambda m: m.topic == topic)
        for iv in range(1000):
            shunt = victron.battery_monitor(victron.BatteryMonitor(), KEY, iv=iv)
            roof = victron.solar_charger(victron.SolarCharger(), KEY, iv=iv)
            house.bluez.advertise("C0:11:22:33:44:55", {COMPANY: shunt}, name="Shunt")
            house.bluez.advertise("C0:11:22:33:44:66", {COMPANY: roof}, name="MPPT \x1b[31m roof")
            with suppress(subprocess.TimeoutExpired):
                scan.wait(0.05)
                break
        out, err = scan.communicate(timeout=60)
    assert scan.returncode == 0, err
    assert "found: C0:11:22:33:44:55" in err
    assert "\x1b" not in out + err, "a name from the air cannot paint the terminal"
    assert "is shunt" in out
    table = tomllib.loads(out[out.index("# For boondock.toml") :])
    (device,) = table["device"].values()
    assert device == {"kind": "victron_solar_charger", "address": "C0:11:22:33:44:66"}
    assert KEY.hex() not in out + err


@contextmanager
def played(port: int, service: str, *messages: Mapping[str, object]) -> Iterator[Client]:
    """A collector that answers a scan with these messages."""
    client = Client(port, f"camper/request/{service}/device_scan")

    def answer() -> None:
        asked = json.loads(client.wait(lambda _: True).payload)
        for message in messages:
            client.publish(asked["reply_to"], json.dumps({"id": asked["id"], **message}))

    client.publish(f"camper/service/{service}", "online", retain=True)
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield client
    finally:
        thread.join()
        client.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path).start()
    yield broker
    broker.stop()


UNIT = {
    "port": "tcp://192.168.1.41",
    "baudrate": None,
    "unit": 3,
    "guesses": [
        {"kind": "modbus", "profile": "huawei_sun2000", "confidence": "certain", "model": "SUN2000-6KTL"},
        {"kind": "sunspec", "profile": None, "confidence": "likely"},
    ],
    "proposals": [
        {
            "kind": "modbus",
            "settings": {"profile": "huawei_sun2000", "port": "tcp://192.168.1.41", "unit": 3},
        },
        {"kind": "sunspec", "settings": {"port": "tcp://192.168.1.41", "unit": 3}},
    ],
    "note": None,
    "configured": None,
}


def test_a_modbus_is_shown_with_lines_to_paste(broker: Mosquitto, tmp_path: Path) -> None:
    step = {"status": "progress", "data": {"done": 3, "of": 10, "found": [UNIT]}}
    answer = {"status": "ok", "data": {"found": [UNIT, UNIT | {"unit": 4, "guesses": [], "proposals": []}]}}
    arguments = ("modbus", "--port", "tcp://192.168.1.41", "--units", "1-10")
    with played(broker.port, "collector_tcp", step, answer) as client:
        scan = command(broker.port, tmp_path, *arguments)
        out, err = scan.communicate(timeout=60)
        asked = json.loads(client.messages[0].payload)
    assert (scan.returncode, "found: unit 3" in err) == (0, True), err
    assert (asked["port"], asked["units"]) == ("tcp://192.168.1.41", "1-10")
    assert "SUN2000-6KTL" in out
    assert tomllib.loads(out[out.index("# For boondock.toml") :])["device"] == {
        "huawei_sun2000": {
            "kind": "modbus",
            "profile": "huawei_sun2000",
            "port": "tcp://192.168.1.41",
            "unit": 3,
        }
    }


def test_chips_are_shown_with_a_number_for_an_address(broker: Mosquitto, tmp_path: Path) -> None:
    both, one = (
        [{"kind": kind, "settings": {"bus": 1, "address": at}} for kind in kinds]
        for at, kinds in (("0x48", ("ads1115", "ina219")), ("0x40", ("ina219",)))
    )
    found = [
        {"bus": 1, "address": "0x48", "kinds": ["ads1115", "ina219"], "proposals": both, "configured": []},
        {"bus": 1, "address": "0x40", "kinds": ["ina219"], "proposals": one, "configured": ["fridge"]},
        {"bus": 1, "address": "0x20", "kinds": [], "proposals": [], "configured": []},
    ]
    with played(broker.port, "collector_i2c", {"status": "ok", "data": {"found": found}}):
        scan = command(broker.port, tmp_path, "i2c")
        out, _ = scan.communicate(timeout=60)
    assert "is fridge" in out
    table = tomllib.loads(out[out.index("# For boondock.toml") :])
    assert table["device"] == {"ads1115": {"kind": "ads1115", "bus": 1, "address": 0x48}}


def test_nothing_is_said_with_what_was_tried(broker: Mosquitto, tmp_path: Path) -> None:
    answer = {"status": "ok", "data": {"found": [], "tried": "asked 14 units; next: is the device on?"}}
    with played(broker.port, "collector_serial", answer):
        scan = command(broker.port, tmp_path, "modbus", "--port", "/dev/ttyUSB0")
        out, _ = scan.communicate(timeout=60)
    assert (scan.returncode, out) == (0, "Nothing answered.\nasked 14 units; next: is the device on?\n")
    with played(broker.port, "collector_ble", {"status": "ok", "data": {"found": []}}):
        scan = command(broker.port, tmp_path, "ble", "--json")
        out, _ = scan.communicate(timeout=60)
    assert "switch Instant Readout on" in json.loads(out)["tried"]


def test_what_the_collector_refuses_is_said(broker: Mosquitto, tmp_path: Path) -> None:
    refusal = {"status": "error", "data": {}, "error": {"code": "busy", "message": "a scan is running"}}
    with played(broker.port, "collector_i2c", refusal):
        scan = command(broker.port, tmp_path, "i2c")
        _, err = scan.communicate(timeout=60)
    assert (scan.returncode, err) == (1, "boondock scan: a scan is running (busy)\n")


def test_a_collector_that_does_not_run_is_explained(broker: Mosquitto, tmp_path: Path) -> None:
    client = Client(broker.port)
    client.publish("camper/service/collector_serial", "offline", retain=True)
    client.close()
    scan = command(broker.port, tmp_path, "modbus", "--port", "/dev/ttyUSB0")
    _, err = scan.communicate(timeout=60)
    assert scan.returncode == 1
    assert "collector_serial" in err
    assert 'collector.run has "serial"' in err


def test_a_port_is_asked_for(broker: Mosquitto, tmp_path: Path) -> None:
    scan = command(broker.port, tmp_path, "modbus")
    _, err = scan.communicate(timeout=60)
    assert (scan.returncode, "--port" in err) == (1, True)
