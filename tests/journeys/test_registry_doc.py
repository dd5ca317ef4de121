"""docs/registry.md, line by line, against a real Mosquitto and a real collector."""

import json
import re
import shlex
from collections.abc import Iterator

import msgspec
import pytest

from collector import scan
from collector.device_store import SECRETS
from collector.scan import modbus as scan_modbus
from tests.client import Client
from tests.emulators import victron
from tests.journeys.house import COMPANY, ROOT, House
from tests.page_lines import Json, Page, run, shape

PAGE = Page(ROOT / "docs" / "registry.md")
PLACES = {"collector_serial": scan_modbus.FoundUnit, "collector_i2c": scan.Chip}
ASKED = {"collector_serial": scan_modbus.AskUnits, "collector_i2c": scan.AskBus}
SETTINGS = """
[device.mppt]
kind = "victron_solar_charger"
name = "Solar charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("page"), SETTINGS) as house:
        house.start("collector_ble")
        _hear(house)
        yield house


def _hear(house: House) -> None:
    """Have the radio hear the solar charger, so that it can be read."""
    for iv in range(400):
        record = victron.solar_charger(victron.SolarCharger(), bytes.fromhex("ff" * 16), iv=iv)
        house.bluez.advertise("C0:11:22:33:44:66", {COMPANY: record})
        try:
            house.client.wait(lambda m: m.topic == "camper/state/mppt", patience=0.05)
        except TimeoutError:
            continue
        return
    raise AssertionError("the solar charger is not heard")


def option(line: str, name: str) -> str:
    words = shlex.split(line)
    return words[words.index(name) + 1]


def shown(value: Json) -> Json:
    """Entities are shown in part, a problem may be there or not."""
    return shape(value, ("entities", "problem"))


def test_the_examples_are_answered_as_printed(house: House) -> None:
    for line, verb, expected in PAGE.examples:
        assert f"/{verb} " in line
        answer = run(line, house.broker.port)
        assert answer["status"] == "ok", (line, answer)
        assert shown(answer) == shown(expected), line
        if isinstance(expected["data"], dict) and "entities" in expected["data"]:
            assert expected["data"]["entities"].items() <= answer["data"]["entities"].items()
            assert expected["data"]["settings"] == answer["data"]["settings"]
    said = b"".join(bytes(m.payload) for m in house.client.messages if "/request/" not in m.topic)
    assert b"0123456789abcdef" not in said


def test_the_pair_for_older_clients(house: House) -> None:
    assert PAGE.ask_by_pair(house.broker.port)["id"] == 7


def test_the_error_example(house: House) -> None:
    line = "mosquitto_rr -V 5 -t camper/request/collector_ble/device_remove -e camper/response/me -m"
    assert run(f"""{line} '{{"device": "mppt"}}'""", house.broker.port) == PAGE.printed("error")


def test_the_scan_example(house: House) -> None:
    (listen,) = re.findall(r"```sh\n(mosquitto_sub [^\n]+)\n```", PAGE.text)
    (ask,) = re.findall(r"```sh scan\n([^\n]+)\n```", PAGE.text)
    client = Client(house.broker.port, option(listen, "-t"))
    try:
        client.publish(option(ask, "-t"), option(ask, "-m"))
        record = victron.battery_monitor(victron.BatteryMonitor(), bytes(16))
        told = None
        for iv in range(400):
            house.bluez.advertise(
                "C0:11:22:33:44:55", {COMPANY: record[:5] + bytes([iv % 256]) + record[6:]}, name="SmartShunt"
            )
            try:
                told = client.wait(lambda m: b'"progress"' in m.payload, patience=0.05)
                break
            except TimeoutError:
                continue
        assert told is not None
        last = client.wait(lambda m: b'"ok"' in m.payload)
    finally:
        client.close()
    assert shown(json.loads(told.payload)) == shown(PAGE.printed("progress"))
    assert shown(json.loads(last.payload)) == shown(PAGE.printed("device_scan"))


@pytest.mark.parametrize("line", re.findall(r"```sh other\n([^\n]+)\n```", PAGE.text))
def test_the_scans_of_other_collectors_are_understood(line: str) -> None:
    service = option(line, "-t").split("/")[2]
    assert msgspec.json.decode(option(line, "-m"), type=ASKED[service])
    (found,) = PAGE.printed({"collector_serial": "modbus", "collector_i2c": "i2c"}[service])["data"]["found"]
    assert msgspec.to_builtins(msgspec.convert(found, type=PLACES[service])) == found


def test_every_line_is_tried_by_one_of_these_tests() -> None:
    assert len(PAGE.lines) == len(PAGE.examples) + 2 + 2 + 2


def test_the_verbs_of_the_page_are_those_of_a_collector(house: House) -> None:
    line = "mosquitto_rr -V 5 -t camper/request/collector_ble/nonsense -e camper/response/me -m '{}'"
    text = run(line, house.broker.port)["error"]["message"]
    assert set(PAGE.verbs) == set(text.split("there are ")[1].split(", "))


def test_every_secret_and_every_parameter_of_a_scan_is_named() -> None:
    parameters = [name for asked in ASKED.values() for name in asked.__struct_fields__]
    for name in (*SECRETS, *parameters, "seconds"):
        assert f"`{name}`" in PAGE.text, name
