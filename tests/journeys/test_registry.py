"""A device added over MQTT: read at once, kept over a restart, gone without a trace when it is removed."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage

from tests.client import Client
from tests.emulators import victron
from tests.journeys.house import COMPANY, House

ADDRESS = "C0:11:22:33:44:55"
KEY = bytes(range(16))
SETTINGS = """
[publish]
timeout = 5
[statistician]
commit_interval = 0.2
[device.mppt]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
"""
SERVICE = "collector_ble"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SETTINGS) as house:
        house.start("statistician", SERVICE)
        yield house


def ask(house: House, verb: str, **params: object) -> dict[str, object]:
    """The answer to a request, over the broker."""
    seen = len(house.client.messages)
    house.client.publish(f"camper/request/{SERVICE}/{verb}", json.dumps(params))
    answer: dict[str, object] = json.loads(house.client.on(f"camper/response/{SERVICE}/{verb}", since=seen))
    assert answer["status"] == "ok", answer
    return answer


def hear(house: House, iv: int, volts: float) -> None:
    record = victron.battery_monitor(victron.BatteryMonitor(voltage=volts), KEY, iv=iv)
    assert house.bluez.advertise(ADDRESS, {COMPANY: record}, name="SmartShunt")


def voltage(house: House, volts: float) -> dict[str, object]:
    """The reading with this voltage, once it is there."""

    def matches(message: MQTTMessage) -> bool:
        if message.topic != "camper/state/shunt" or not message.payload:
            return False
        return bool(json.loads(message.payload).get("voltage") == volts)

    reading: dict[str, object] = json.loads(house.client.wait(matches).payload)
    return reading


def retained(house: House) -> set[str]:
    """What a client that comes now is given of the shunt; the last retained topic of all ends it."""
    late = Client(house.broker.port, "camper/#")
    try:
        late.publish("camper/response/late", "all")
        late.on("camper/response/late")
        return {m.topic for m in late.messages if m.retain and "shunt" in m.topic}
    finally:
        late.close()


def test_a_device_comes_stays_and_goes_over_mqtt(house: House) -> None:
    hear(house, 1, 13.0)
    shunt = {"device": "shunt", "kind": "victron_battery_monitor", "address": ADDRESS, "key": KEY.hex()}
    ask(house, "device_add", **shunt, name="House battery")
    hear(house, 2, 13.2)
    reading = voltage(house, 13.2)
    house.client.wait(
        lambda m: (
            m.topic == f"camper/watermark/{reading['stream']}" and int(m.payload) >= int(str(reading["seq"]))
        )
    )

    assert house.end(SERVICE, signal.SIGTERM) == 0
    house.start(SERVICE)
    hear(house, 3, 13.4)
    voltage(house, 13.4)
    listed = ask(house, "devices")["data"]
    assert [(one["device"], one["where"]) for one in listed] == [("mppt", "boondock.toml"), ("shunt", "mqtt")]  # type: ignore[attr-defined]  # plain JSON
    assert {"camper/about/shunt", "camper/state/shunt", "camper/availability/shunt"} <= retained(house)

    ask(house, "device_remove", device="shunt")
    assert {t for t in retained(house) if "statistics" not in t} == set()
    house.kill(SERVICE)
    house.broker.kill()
    house.broker.start()
    house.start(SERVICE)
    hear(house, 4, 13.6)
    assert [one["device"] for one in ask(house, "devices")["data"]] == ["mppt"]  # type: ignore[attr-defined]  # plain JSON
    assert retained(house) == set()

    said = b"".join(bytes(m.payload) for m in house.client.messages if "/request/" not in m.topic)
    assert KEY.hex().encode() not in said + house.log(SERVICE).encode()
    house.client.publish("camper/request/statistician/info", "{}")
    house.client.on("camper/response/statistician/info")
    assert "set aside" not in house.log("statistician"), "emptied topics are no dead letters"


def test_a_device_that_left_the_file_while_the_process_was_down_is_cleared(house: House) -> None:
    house.client.on("camper/about/mppt")
    assert house.end(SERVICE, signal.SIGTERM) == 0
    (house.folder / "boondock.toml").write_text(SETTINGS.split("[device.mppt]", maxsplit=1)[0])
    house.start(SERVICE)
    house.client.wait(lambda m: m.topic == "camper/about/mppt" and not m.payload)
