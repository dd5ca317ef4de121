"""A battery's BMS over Bluetooth beside a Victron shunt on the one radio, with the real collector."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.deploy.started import eventually
from tests.emulators import bms, victron
from tests.emulators.bms import Cells, Daly, Jbd
from tests.journeys.house import COMPANY, House

ADDRESS, OTHER, SHUNT = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02", "C0:11:22:33:44:55"
KEY = bytes(range(16))
SETTINGS = f"""
[device.pack]
kind = "bms_jbd"
address = "{ADDRESS}"
every = 0.5
heartbeat = 1.0
min_interval = 0.1
[device.shunt]
kind = "victron_battery_monitor"
address = "{SHUNT}"
key = "{KEY.hex()}"
[statistician]
commit_interval = 0.2
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SETTINGS) as house:
        yield house


def test_a_battery_and_a_shunt_share_the_radio(house: House) -> None:
    twin = Jbd(Cells(current=-7.5))
    house.bluez.place(ADDRESS, twin)
    house.start("statistician", "collector_ble")
    reading = house.state("pack")
    assert (reading["battery_current"], reading["cell_voltage_4"]) == (-7.5, 3.302)
    says = victron.battery_monitor(victron.BatteryMonitor(voltage=13.2), KEY, iv=1)
    assert house.bluez.advertise(SHUNT, {COMPANY: says})
    assert house.state("shunt")["voltage"] == 13.2
    about = json.loads(house.client.latest("camper/about/pack") or b"{}")
    assert about["service"] == "collector_ble"
    assert about["entities"]["cell_voltage_1"]["unit"] == "V"
    # A collector that is killed leaves the connection with BlueZ; the next one uses it.
    house.end("collector_ble", signal.SIGKILL)
    assert house.bluez.is_connected(ADDRESS)
    twin.says = Cells(current=3.0)
    house.start("collector_ble")
    assert eventually(lambda: _newest(house.client)["battery_current"] == 3.0)
    # At a proper end the phone may have it.
    house.end("collector_ble", signal.SIGTERM)
    assert not house.bluez.is_connected(ADDRESS)


def _newest(client: Client) -> dict[str, object]:
    said: dict[str, object] = json.loads(client.latest("camper/state/pack") or b"{}")
    return said


def ask(house: House, verb: str, **params: object) -> dict[str, object]:
    """The answer to a request, over the broker."""
    seen = len(house.client.messages)
    house.client.publish(f"camper/request/collector_ble/{verb}", json.dumps(params))
    topic = f"camper/response/collector_ble/{verb}"
    answer: dict[str, object] = json.loads(house.client.on(topic, since=seen))
    assert answer["status"] == "ok", answer
    return answer


def test_a_battery_is_added_read_and_removed_over_mqtt(house: House) -> None:
    house.bluez.place(OTHER, Daly())
    house.start("statistician", "collector_ble")
    ask(house, "device_add", device="other", kind="bms_daly", address=OTHER)
    assert house.state("other")["battery_soc"] == 76
    answer = json.dumps(ask(house, "read", device="other"))
    assert '"battery_voltage": 13.2' in answer
    assert '"ask(d2030000003ed7b9)"' in answer, "with the bytes"
    assert house.bluez.is_connected(OTHER)
    ask(house, "device_remove", device="other")
    assert eventually(lambda: not house.bluez.is_connected(OTHER))


def test_a_scan_proposes_each_family(house: House) -> None:
    for number, (_, twin) in enumerate(bms.every()):
        house.bluez.place(f"A4:C1:38:00:01:0{number}", twin)
    house.start("collector_ble")
    house.client.publish("camper/request/collector_ble/device_scan", json.dumps({"seconds": 2}))
    answer = house.client.wait(
        lambda m: m.topic == "camper/response/collector_ble/device_scan" and b'"status":"ok"' in m.payload
    )
    found = {one["address"]: one for one in json.loads(answer.payload)["data"]["found"]}
    for number, (kind, twin) in enumerate(bms.every()):
        address = f"A4:C1:38:00:01:0{number}"
        assert found[address]["name"] == twin.name
        assert found[address]["proposals"] == [{"kind": kind, "settings": {"address": address}}]
