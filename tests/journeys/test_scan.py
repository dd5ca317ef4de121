"""From a bus nobody knows to readings: `boondock scan`, then what it found is added over MQTT."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.emulators.epever import Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.journeys.house import ROOT, House

SERVICE = "collector_serial"
SCAN = f"camper/request/{SERVICE}/device_scan"


def test_a_scanned_controller_is_added_and_read_while_its_bus_is_scanned_again(tmp_path: Path) -> None:
    tracer = Tracer.simulated()
    with Slave({1: tracer, 3: Tracer.simulated()}) as bus, House(tmp_path, "") as house:
        (tmp_path / "boondock.toml").write_text('[collector]\nrun = ["serial"]\n')
        house.start(SERVICE)
        out, _ = scan(house, bus.port, "1-2", "--baudrate", "115200").communicate(timeout=60)
        (found,) = tomllib.loads(out[out.index("# For boondock.toml") :])["device"].values()
        assert (found["kind"], found["unit"], found["port"]) == ("epever_tracer", 1, bus.port)

        answer = asked(house, "device_add", {"device": "roof", "every": 0.5, **found})
        assert answer["status"] == "ok", answer
        assert house.state("roof")["voltage"] == 13.2

        seen = len(house.client.messages)
        again = scan(house, bus.port, "1-3")
        house.client.wait(lambda m: m.topic == SCAN, since=seen)
        tracer.show(Weather(voltage=13.9))
        out, _ = again.communicate(timeout=60)
        assert "is roof" in out
        assert "unit 3" in out
        told = [bytes(m.payload) for m in house.client.messages[seen:]]
        new = next(n for n, text in enumerate(told) if b'"voltage":13.9' in text)
        end = next(n for n, text in enumerate(told) if b'"status":"ok"' in text)
        assert new < end, "the controller kept its turns"
        assert house.client.latest("camper/availability/roof") == b"online"


def asked(house: House, verb: str, params: dict[str, object]) -> dict[str, object]:
    """The answer to a request."""
    house.client.publish(f"camper/request/{SERVICE}/{verb}", json.dumps(params))
    answer: dict[str, object] = json.loads(house.client.on(f"camper/response/{SERVICE}/{verb}"))
    return answer


def scan(house: House, port: str, units: str, *more: str) -> subprocess.Popen[str]:
    """The command as a user runs it."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "BOONDOCK_CONFIG": str(house.folder / "boondock.toml"),
        "BOONDOCK_SECRETS": str(house.folder / "secrets"),
        "BOONDOCK_BROKER__PORT": str(house.broker.port),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "scan", "modbus", "--port", port, "--units", units, *more],
        cwd=house.folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_scan_ends_when_whoever_asked_for_it_is_killed(tmp_path: Path) -> None:
    with Slave({1: Tracer.simulated()}) as bus, House(tmp_path, "") as house:
        (tmp_path / "boondock.toml").write_text('[collector]\nrun = ["serial"]\n')
        house.start(SERVICE)
        first = scan(house, bus.port, "1-247", "--baudrate", "115200")
        house.client.wait(lambda m: b'"status":"progress"' in m.payload)
        # Whoever listens to everything would hear the answer.
        house.client.close()
        first.kill()
        first.wait(10)
        second = {}
        for _ in range(20):
            process = scan(house, bus.port, "1", "--baudrate", "115200")
            out, _ = process.communicate(timeout=60)
            second = {"out": out, "code": process.returncode}
            if process.returncode == 0:
                break
        assert second["code"] == 0, "the port was free long before 247 units were asked"
        assert "epever_tracer" in str(second["out"])
