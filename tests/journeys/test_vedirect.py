"""A SmartShunt and an MPPT on their cables, from the wire to the database row."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.emulators.vedirect import Cable, Mppt, Product, SmartShunt, Talker
from tests.emulators.vedirect_hex import MPPT_REGISTERS, HexDevice
from tests.journeys.house import House

PRODUCTS: dict[str, Product] = {"shunt": SmartShunt(), "mppt": Mppt()}
EXPECTED: dict[str, dict[str, float | str]] = {
    "shunt": {
        "voltage": 12.84,
        "current": -5.25,
        "power": -67.41,
        "soc": 87.3,
        "time_remaining": 74_400.0,
        "energy_discharged": 45_670.0,
    },
    "mppt": {
        "voltage": 13.42,
        "power": 58.0,
        "charge_state": "bulk",
        "charger_error": "no_error",
        "load_current": 0.7,
        "yield_today": 310.0,
    },
}
MODELS = {"shunt": "SmartShunt 500A/50mV", "mppt": "SmartSolar Charger MPPT 75/15"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        settings = "[publish]\nheartbeat = 2\n[statistician]\ncommit_interval = 0.2\n"
        for name, product in PRODUCTS.items():
            cable = Cable()
            stack.callback(cable.pull)
            stack.enter_context(Talker(cable.write, product, period=0.3))
            settings += f'[device.{name}]\nkind = "vedirect"\nport = "{cable.path}"\n'
        charger = stack.enter_context(HexDevice(MPPT_REGISTERS, Mppt(), period=0.3))
        settings += f'[device.charger]\nkind = "vedirect"\nport = "{charger.path}"\nallow_write = true\n'
        house = stack.enter_context(House(tmp_path_factory.mktemp("vedirect"), settings))
        house.start("statistician", "collector_serial")
        yield house


@pytest.mark.parametrize("device", PRODUCTS)
def test_blocks_become_readings_and_rows(house: House, device: str) -> None:
    topic = f"camper/state/{device}"
    # The first reading may be from before the second block came.
    message = house.client.wait(
        lambda m: m.topic == topic and EXPECTED[device].items() <= json.loads(m.payload).items()
    )
    reading = json.loads(message.payload)
    assert reading["clock"] == "ok"
    assert house.client.on(f"camper/availability/{device}") == b"online"
    watermark = f"camper/watermark/{reading['stream']}"
    house.client.wait(lambda m: m.topic == watermark and int(m.payload) >= reading["seq"])
    stored = house.stored()
    for entity, value in EXPECTED[device].items():
        assert stored[device, entity][-1][1] == value


@pytest.mark.parametrize("device", PRODUCTS)
def test_its_about_names_the_model_and_what_the_device_has(house: House, device: str) -> None:
    topic = f"camper/about/{device}"
    message = house.client.wait(lambda m: m.topic == topic and b"model" in m.payload)
    about = json.loads(message.payload)
    assert about["model"] == MODELS[device]
    assert about["manufacturer"] == "Victron Energy"
    assert ("starter_voltage" in about["entities"]) == (device == "shunt")
    assert "midpoint_voltage" not in about["entities"]


def test_a_setting_goes_from_a_client_to_the_charger_and_back(house: House) -> None:
    def newest(value: float) -> None:
        house.client.wait(
            lambda m: (
                m.topic == "camper/state/charger"
                and json.loads(m.payload).get("charge_current_limit") == value
            )
        )

    newest(15.0)
    house.client.publish("camper/set/charger/charge_current_limit", b"7.5")
    result = house.client.wait(lambda m: m.topic == "camper/result/charger/charge_current_limit")
    assert json.loads(result.payload) | {"status": "ok", "actual": 7.5} == json.loads(result.payload)
    newest(7.5)
