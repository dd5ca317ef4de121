"""Advertisements that real Victron devices sent, from the air to the database row."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.house import COMPANY, House

CAPTURES = Path(__file__).parents[1] / "captures" / "victron_ble_vectors.json"
KINDS = {"BatteryMonitor": "victron_battery_monitor", "SolarCharger": "victron_solar_charger"}
# The published names of the fields, our entities, and the factor between their units.
FIELDS: dict[str, dict[str, tuple[str, int | None]]] = {
    "BatteryMonitor": {
        "voltage": ("voltage", 1),
        "current": ("current", 1),
        "soc": ("soc", 1),
        "consumed_ah": ("consumed_charge", 1),
        "remaining_mins": ("time_remaining", 60),
    },
    "SolarCharger": {
        "battery_voltage": ("voltage", 1),
        "battery_charging_current": ("current", 1),
        "solar_power": ("power", 1),
        "yield_today": ("yield_today", 1),
        "charge_state": ("charge_state", None),
        "charger_error": ("charger_error", None),
        "external_device_load": ("load_current", 1),
    },
}


@dataclass(frozen=True)
class Vector:
    """One published advertisement; `expected` by our entities, None if its key is wrong."""

    number: int
    kind: str
    key: str
    raw: bytes
    expected: dict[str, float | str | None] | None
    model: str | None

    @property
    def device(self) -> str:
        """Its id in the journey's configuration."""
        return f"vector_{self.number}"

    @property
    def address(self) -> str:
        """Its address in the journey's air."""
        return f"C0:00:00:00:00:{self.number:02X}"


def vectors() -> list[Vector]:
    published = json.loads(CAPTURES.read_text())["vectors"]
    return [
        Vector(
            number,
            KINDS[v["device"]],
            v["key"],
            bytes.fromhex(v["raw"]),
            _expected(v["device"], v["expected"]) if "expected" in v else None,
            v.get("expected", {}).get("model_name"),
        )
        for number, v in enumerate(published)
        if v["device"] in KINDS
    ]


def _expected(device: str, fields: dict[str, float | str | None]) -> dict[str, float | str | None]:
    out: dict[str, float | str | None] = {}
    for name, (entity, factor) in FIELDS[device].items():
        value = fields[name]
        if isinstance(value, str):
            out[entity] = value.lower()
        else:
            out[entity] = None if value is None else value * (factor or 1)
    return out


GOOD = [v for v in vectors() if v.expected is not None]
WRONG_KEY = [v for v in vectors() if v.expected is None]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    tables = [
        f'[device.{v.device}]\nkind = "{v.kind}"\naddress = "{v.address}"\nkey = "{v.key}"\n'
        for v in vectors()
    ]
    settings = "[publish]\ntimeout = 5\n[statistician]\ncommit_interval = 0.2\n" + "\n".join(tables)
    with House(tmp_path_factory.mktemp("vectors"), settings) as house:
        house.start("statistician", "collector_ble")
        for vector in vectors():
            assert house.bluez.advertise(vector.address, {COMPANY: vector.raw})
        yield house


def test_there_are_vectors_of_both_kinds_and_one_with_a_wrong_key() -> None:
    assert {v.kind for v in GOOD} == set(KINDS.values())
    assert len(WRONG_KEY) == 1


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v.kind)
def test_an_advertisement_becomes_a_reading(house: House, vector: Vector) -> None:
    reading = house.state(vector.device)
    assert vector.expected is not None
    for entity, value in vector.expected.items():
        assert (
            reading[entity] == pytest.approx(value) if isinstance(value, float) else reading[entity] == value
        )
    assert reading["rssi"] == -60
    assert reading["clock"] == "ok"
    assert house.client.on(f"camper/availability/{vector.device}") == b"online"
    plain = house.client.on(f"camper/state/{vector.device}/voltage")
    assert float(plain) == pytest.approx(reading["voltage"])


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v.kind)
def test_its_about_names_the_model(house: House, vector: Vector) -> None:
    topic = f"camper/about/{vector.device}"
    message = house.client.wait(lambda m: m.topic == topic and b"model" in m.payload)
    about = json.loads(message.payload)
    assert about["model"] == vector.model
    assert about["entities"]["voltage"]["unit"] == "V"


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v.kind)
def test_it_becomes_rows_of_the_database(house: House, vector: Vector) -> None:
    reading = house.state(vector.device)
    stream = reading["stream"]
    topic = f"camper/watermark/{stream}"
    house.client.wait(lambda m: m.topic == topic and int(m.payload) >= int(str(reading["seq"])))
    stored = house.stored()
    assert vector.expected is not None
    for entity, value in vector.expected.items():
        assert stored[(vector.device, entity)][0][1] == (
            pytest.approx(value) if isinstance(value, float | int) else value
        )


@pytest.mark.parametrize("vector", WRONG_KEY, ids=lambda v: v.kind)
def test_a_wrong_key_is_a_named_problem_not_a_vanished_device(house: House, vector: Vector) -> None:
    subject = f"device.{vector.device}"
    message = house.client.wait(
        lambda m: m.topic == "camper/health/collector_ble" and subject in json.loads(m.payload)["problems"]
    )
    health = json.loads(message.payload)
    assert "key" in health["problems"][subject]
    assert vector.key not in message.payload.decode()
    assert house.client.on(f"camper/about/{vector.device}")
    assert house.client.on(f"camper/availability/{vector.device}") == b"offline"
    assert house.client.latest(f"camper/state/{vector.device}") is None


def test_no_key_is_ever_said(house: House) -> None:
    said = b"".join(bytes(m.payload) for m in house.client.messages) + house.log("collector_ble").encode()
    for vector in vectors():
        assert vector.key.encode() not in said
