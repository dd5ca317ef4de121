"""Meters of three kinds on their ports, from the wire to the database; energy that survives the process."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.collector.test_meters import CAPTURES
from tests.emulators.meters import OpticalMeter, p1
from tests.emulators.vedirect import Cable, Talker
from tests.journeys.house import House

E350 = CAPTURES["optical"]["landis_gyr_e350"]
SETTINGS = """\
[publish]
heartbeat = 1
[statistician]
commit_interval = 0.2
[device.house]
kind = "p1_meter"
port = "{p1}"
every = 0.5
energy = true
[device.roof]
kind = "sml_meter"
port = "{sml}"
every = 0.5
[device.cellar]
kind = "iec62056_meter"
port = "{asked}"
"""
COLLECTOR = "collector_serial"


def meter_time(at: datetime) -> str:
    """A time of a P1 meter, which is an hour ahead in winter."""
    return f"{at + timedelta(hours=1):%y%m%d%H%M%S}W"


NOW = datetime.now(tz=UTC).replace(microsecond=0)
READ_AT = NOW - timedelta(minutes=7)
TELEGRAM = p1(
    (
        "/ISk5\\2MT382-1000",
        "",
        f"0-0:1.0.0({meter_time(NOW)})",
        "1-0:1.8.1(000004.426*kWh)",
        "1-0:1.8.2(000002.399*kWh)",
        "1-0:1.7.0(36.000*kW)",
        "1-0:2.7.0(00.000*kW)",
        "0-1:24.1.0(003)",
        f"0-1:24.2.1({meter_time(READ_AT)})(00012.345*m3)",
    )
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        said = {"p1": TELEGRAM, "sml": bytes.fromhex(CAPTURES["sml"]["holley"]["hex"])}
        paths = {}
        for name, data in said.items():
            cable = Cable()
            stack.callback(cable.pull)
            stack.enter_context(Talker(cable.write, data, period=0.2))
            paths[name] = cable.path
        data = E350["data"].removesuffix("\x03").encode()
        paths["asked"] = stack.enter_context(OpticalMeter(E350["identification"], data)).path
        house = stack.enter_context(House(tmp_path_factory.mktemp("meters"), SETTINGS.format(**paths)))
        house.start("statistician", COLLECTOR)
        yield house


EXPECTED: dict[str, dict[str, float]] = {
    "house": {"grid_power": 36_000, "grid_import_energy": 6825, "gas": 12.345},
    "roof": {"grid_power": 137, "grid_import_energy": 4_499_896.2, "frequency": 50},
    "cellar": {"grid_import_energy": 61_561_289, "grid_export_energy": 10_490, "grid_voltage_l1": 241},
}


@pytest.mark.parametrize("device", EXPECTED)
def test_telegrams_become_readings_and_rows(house: House, device: str) -> None:
    topic = f"camper/state/{device}"
    message = house.client.wait(
        lambda m: m.topic == topic and EXPECTED[device].items() <= json.loads(m.payload).items()
    )
    reading = json.loads(message.payload)
    watermark = f"camper/watermark/{reading['stream']}"
    house.client.wait(lambda m: m.topic == watermark and int(m.payload) >= reading["seq"])
    stored = house.stored()
    for entity, value in EXPECTED[device].items():
        assert stored[device, entity][-1][1] == value


def test_gas_is_stored_at_the_time_at_which_its_meter_was_read(house: House) -> None:
    (first, *_) = house.stored()["house", "gas"]
    assert first == (round(READ_AT.timestamp() * 1000), 12.345)


def test_its_energy_goes_on_when_the_process_starts_again(house: House) -> None:
    """36 kW are 10 Wh a second; the first minute is on disk when the process ends."""
    first = house.state("house")["seq"]
    assert isinstance(first, int)
    house.client.wait(
        lambda m: m.topic == "camper/state/house" and json.loads(m.payload).get("seq", 0) >= first + 6
    )
    about = json.loads(house.client.latest("camper/about/house") or b"")
    assert about["entities"]["grid_power_energy"]["role"] == "grid"
    house.end(COLLECTOR, signal.SIGTERM)
    kept = json.loads((house.folder / "state" / f"{COLLECTOR}-energy.json").read_text())
    into = kept["powers"]["house.grid_power"]["into"]
    assert into >= 5
    seen = len(house.client.messages)
    house.start(COLLECTOR)
    message = house.client.wait(
        lambda m: m.topic == "camper/state/house" and b"grid_power_energy" in m.payload, since=seen
    )
    assert json.loads(message.payload)["grid_power_energy"] == pytest.approx(into, abs=0.001)
