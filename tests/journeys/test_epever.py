"""An Epever Tracer on RS485: from its registers to the database, and from a command to its load output."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.command import boondock
from tests.emulators.epever import BATTERY_TYPE, LOAD_COIL, USER, Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.journeys.house import House

SETTINGS = """
[publish]
timeout = 30
[statistician]
commit_interval = 0.2
[device.epever]
kind = "epever_tracer"
port = "{port}"
every = 1.0
allow_write = true
"""


@dataclass
class Van:
    """The house and the controller in it."""

    house: House
    tracer: Tracer


@pytest.fixture(scope="module")
def van(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Van]:
    tracer = Tracer.simulated(Weather(pv_power=130.0, voltage=13.0, load=26.0, soc=81))
    tracer.holding[BATTERY_TYPE] = USER
    with (
        Slave({1: tracer}) as bus,
        House(tmp_path_factory.mktemp("epever"), SETTINGS.format(port=bus.port)) as house,
    ):
        house.start("statistician", "collector_serial")
        yield Van(house, tracer)


def test_its_registers_become_a_reading(van: Van) -> None:
    reading = van.house.state("epever")
    expected = {"pv_power": 130.0, "voltage": 13.0, "current": 8.0, "power": 104.0, "soc": 81, "load": "ON"}
    assert {entity: reading[entity] for entity in expected} == expected
    assert reading["clock"] == "ok"
    assert van.house.client.on("camper/availability/epever") == b"online"
    assert van.house.client.on("camper/state/epever/load") == b"ON"


def test_its_about_offers_the_load_and_leaves_out_what_it_lacks(van: Van) -> None:
    topic = "camper/about/epever"
    message = van.house.client.wait(lambda m: m.topic == topic and b"pv_energy_total" in m.payload)
    entities = json.loads(message.payload)["entities"]
    assert entities["load"]["command"] is True
    assert "output_short" not in entities


def test_it_becomes_rows_of_the_database(van: Van) -> None:
    reading = van.house.state("epever")
    topic = f"camper/watermark/{reading['stream']}"
    van.house.client.wait(lambda m: m.topic == topic and int(m.payload) >= int(str(reading["seq"])))
    stored = van.house.stored()
    assert stored["epever", "pv_power"][0][1] == 130.0
    assert stored["epever", "charge_state"][0][1] == "boost"


def test_a_command_switches_the_load_and_is_answered_where_it_was_asked(van: Van) -> None:
    client, response = van.house.client, "camper/response/phone"
    van.house.state("epever")
    since = len(client.messages)
    client.publish("camper/set/epever/load", "OFF", response_topic=response, correlation=b"\x00\x07")
    answer = client.wait(lambda m: m.topic == response, since=since)
    assert getattr(answer.properties, "CorrelationData", None) == b"\x00\x07"
    result = json.loads(answer.payload)
    assert (result["status"], result["actual"]) == ("ok", "OFF")
    assert van.tracer.coils[LOAD_COIL] == 0
    topics = [m.topic for m in client.messages[since:]]
    told = next(m for m in client.messages[since:] if m.topic == "camper/state/epever")
    assert json.loads(told.payload)["load"] == "OFF"
    assert topics.index("camper/state/epever") < topics.index(response)


def said(van: Van, *words: str) -> tuple[int, str]:
    """What `boondock set` prints, and its exit code."""
    house = van.house
    done = boondock(
        house.folder,
        *("set", *words),
        BOONDOCK_CONFIG=str(house.folder / "boondock.toml"),
        BOONDOCK_BROKER__PORT=str(house.broker.port),
    )
    return done.returncode, done.stdout + done.stderr


def test_its_settings_are_written_from_the_terminal(van: Van) -> None:
    van.house.client.wait(lambda m: m.topic == "camper/about/epever" and b"boost_voltage" in m.payload)
    assert said(van, "epever.boost_voltage", "14.2") == (0, "epever.boost_voltage is 14.2\n")
    assert [van.tracer.holding[one] for one in (0x9006, 0x9007, 0x9008)] == [1460, 1420, 1380]
    van.house.client.wait(lambda m: m.topic == "camper/state/epever/boost_voltage" and m.payload == b"14.20")
    code, text = said(van, "epever.float_voltage", "14.3")
    assert code != 0
    assert "Boost voltage (14.2) must be at least Float voltage (14.3): change boost_voltage first" in text
    assert said(van, "epever.load_mode", "light") == (0, "epever.load_mode is light\n")
    assert van.tracer.holding[0x903D] == 1
    assert said(van, "epever.load_mode", "manual")[0] != 0, "not twice in a minute"
    van.tracer.holding[0x903D] = 0


def test_what_the_load_drew_comes_back_in_the_next_poll(van: Van) -> None:
    client = van.house.client
    client.publish("camper/set/epever/load", "OFF")
    message = client.wait(
        lambda m: m.topic == "camper/state/epever" and json.loads(m.payload).get("load_power") == 0
    )
    assert json.loads(message.payload)["current"] == 10.0
