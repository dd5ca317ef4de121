"""The compose file: valid by its specification, closed to the network, about programs that exist."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.device import TRANSPORTS
from scripts.programs import SERVICES

Compose = dict[str, dict[str, Any]]
ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PROCESSES = (
    "statistician",
    "controller",
    "forwarder",
    *(f"collector-{transport}" for transport in TRANSPORTS),
)


@pytest.fixture(scope="module")
def compose() -> Compose:
    loaded: Compose = yaml.safe_load(FILE.read_text())
    return loaded


def test_the_specification_accepts_it() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(FILE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_runs_the_broker_and_every_process(compose: Compose) -> None:
    assert sorted(compose["services"]) == sorted(["mosquitto", *PROCESSES])
    assert sorted(name.replace("-", "_") for name in PROCESSES) == sorted(SERVICES)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_command_starts_what_scripts_run_starts(compose: Compose, name: str) -> None:
    command = compose["services"][name]["command"]
    assert command == ["python", "-m", *SERVICES[name.replace("-", "_")]]
    assert importlib.util.find_spec(f"{command[2]}.__main__")


def test_only_the_loopback_is_published(compose: Compose) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any("network_mode" in service for service in compose["services"].values())


def test_every_container_is_restarted_checked_and_without_capabilities(compose: Compose) -> None:
    for name, service in compose["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service, name


def test_collectors_that_not_everyone_needs_are_chosen_by_their_profile(compose: Compose) -> None:
    for transport in TRANSPORTS:
        profiles = compose["services"][f"collector-{transport}"].get("profiles")
        assert profiles == (None if transport == "ble" else [transport])


def test_what_the_image_copies_exists(compose: Compose) -> None:
    recipe = compose["services"]["controller"]["build"]["dockerfile_inline"]
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", recipe, re.MULTILINE) for word in line.split()]
    assert {"bus", "config", *(argv[0] for argv in SERVICES.values())} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source


def test_the_broker_template_has_the_line_that_is_replaced(compose: Compose) -> None:
    script = compose["services"]["mosquitto"]["command"][-1]
    found = re.match(r"sed 's/(.*?)/", script)
    assert found
    template = (ROOT / "mosquitto" / "mosquitto.conf").read_text()
    assert len(re.findall(found[1], template, re.MULTILINE)) == 1


@pytest.mark.parametrize("name", PROCESSES)
def test_the_health_check_asks_for_the_process_of_its_container(compose: Compose, name: str) -> None:
    *_, code, service = compose["services"][name]["healthcheck"]["test"]
    compile(code, "healthcheck", "exec")
    assert service == name.replace("-", "_")


def test_waiting_readings_outlive_their_container(compose: Compose) -> None:
    assert compose["volumes"]["runtime"]["driver_opts"]["type"] == "tmpfs"
    for name in PROCESSES:
        assert "runtime:/run/boondock" in compose["services"][name]["volumes"], name


def test_all_read_the_newest_stored_time_and_the_statistician_alone_writes_it(compose: Compose) -> None:
    assert "clock" in compose["volumes"]
    for name in PROCESSES:
        service = compose["services"][name]
        place = service["environment"]["BOONDOCK_CLOCK__FOLDER"]
        rights = "" if name == "statistician" else ":ro"
        assert f"clock:{place}{rights}" in service["volumes"], name
