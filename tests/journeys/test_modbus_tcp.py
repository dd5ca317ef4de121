"""Inverters on Modbus TCP, served by pymodbus, from their registers to the database row."""

import json
from collections.abc import Iterator

import pytest

from tests.collector.profile_cases import CASES, HOLDING
from tests.emulators import sunspec
from tests.emulators.modbus_tcp import HOST, ModbusServer, Unit
from tests.journeys.house import PROCESSES, House

HUAWEI = CASES[0]
SERVICE = "collector_tcp"


def registers() -> dict[int, int]:
    """The document's registers, 0 between: blocks are read whole."""
    known = {a + n: w for a, run in HUAWEI.words[HOLDING].items() for n, w in enumerate(run)}
    runs = (range(first, first + 125) for first in (30000, 32000, 32125, 37000, 37125, 37750))
    return {a: known.get(a, 0) for run in runs for a in run} | known


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    chain = sunspec.chain(40000, [sunspec.common("Fake", "Inv10k", "SN0001"), sunspec.inverter()])
    units = {1: Unit(holding=registers()), 2: Unit(holding=chain)}
    with pytest.MonkeyPatch.context() as patch, ModbusServer(units) as server:
        patch.setitem(PROCESSES, SERVICE, ("collector", "tcp"))
        port = f'port = "tcp://{HOST}:{server.port}"\nevery = 1\n'
        settings = (
            "[statistician]\ncommit_interval = 0.2\n"
            f'[device.sun]\nkind = "modbus"\nprofile = "huawei_sun2000"\n{port}'
            f'[device.shed]\nkind = "sunspec"\nunit = 2\n{port}'
        )
        with House(tmp_path_factory.mktemp("modbus"), settings) as house:
            house.start("statistician", SERVICE)
            yield house


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("sun", {"pv_power": 2355, "battery_power": 1500, "grid_power": -1000, "status": "power_limited"}),
        ("shed", {"pv_power": 2850, "power": 2765, "voltage_l1": 230.1, "status": "producing"}),
    ],
)
def test_registers_become_a_reading_and_rows(
    house: House, device: str, expected: dict[str, float | str]
) -> None:
    reading = house.state(device)
    assert {entity: reading[entity] for entity in expected} == expected
    assert house.client.on(f"camper/availability/{device}") == b"online"
    topic = f"camper/watermark/{reading['stream']}"
    house.client.wait(lambda m: m.topic == topic and int(m.payload) >= int(str(reading["seq"])))
    stored = house.stored()
    for entity, value in expected.items():
        assert stored[(device, entity)][0][1] == value


@pytest.mark.parametrize(("device", "model"), [("sun", "SUN2000-6KTL-M1"), ("shed", "Inv10k")])
def test_its_about_names_the_model_and_the_units(house: House, device: str, model: str) -> None:
    topic = f"camper/about/{device}"
    message = house.client.wait(
        lambda m: m.topic == topic and b'"pv_power"' in m.payload and b"model" in m.payload
    )
    about = json.loads(message.payload)
    assert about["model"] == model
    assert about["entities"]["pv_power"] == {
        "name": "PV power",
        "unit": "W",
        "device_class": "power",
        "state_class": "measurement",
        "precision": 0,
        "role": "solar",
    }
