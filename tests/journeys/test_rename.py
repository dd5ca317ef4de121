"""Devices that get another name or other hardware: history goes on, and nothing of the old name is left."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.backup import HouseFiles
from cli.rename import rename_device, replace_device
from cli.terminal import CommandError
from config import load
from tests.client import Client
from tests.emulators import victron
from tests.journeys.house import COMPANY, House
from tests.rounds import some

KEY = bytes(range(16))
OLD, NEW = "C0:11:22:33:44:01", "C0:11:22:33:44:02"
NOW = datetime(2026, 11, 28, tzinfo=UTC)
SETTINGS = """
[publish]
min_interval = 0
[statistician]
commit_interval = 0.2
[device.roof]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:03"
key = "ffffffffffffffffffffffffffffffff"
"""


class Van(House):
    """A house with solar chargers that are added over MQTT."""

    iv = 0

    def ask(self, service: str, verb: str, **params: object) -> object:
        """The data of an answer."""
        since = len(self.client.messages)
        self.client.publish(f"camper/request/{service}/{verb}", json.dumps(params))
        answer = json.loads(self.client.on(f"camper/response/{service}/{verb}", since=since))
        assert answer["status"] == "ok", answer
        return answer["data"]

    def add(self, name: str, address: str) -> None:
        """Add a charger."""
        charger = {"kind": "victron_solar_charger", "address": address, "key": KEY.hex()}
        self.ask("collector_ble", "device_add", device=name, **charger)

    def hear(self, name: str, address: str, wh: float) -> None:
        """A charger tells its yield, and that is on the statistician's disk."""
        self.iv += 1
        record = victron.solar_charger(victron.SolarCharger(yield_today=wh), KEY, iv=self.iv)
        since = len(self.client.messages)
        assert self.bluez.advertise(address, {COMPANY: record})
        topic = f"camper/state/{name}"
        said = self.client.wait(
            lambda m: (
                m.topic == topic and m.payload != b"" and json.loads(m.payload).get("yield_today") == wh
            ),
            since=since,
        )
        reading = json.loads(said.payload)
        mark = f"camper/watermark/{reading['stream']}"
        self.client.wait(lambda m: m.topic == mark and m.payload != b"" and int(m.payload) >= reading["seq"])

    @property
    def where(self) -> HouseFiles:
        """What the command knows of it."""
        settings = load.load(self.folder / "boondock.toml")
        return HouseFiles(settings, self.folder / "boondock.toml", self.folder / "secrets")

    def yields(self) -> dict[str, list[float]]:
        """What is stored of each device's yield."""
        stored = self.stored().items()
        return {
            device: [float(v) for _, v in rows if isinstance(v, int | float)]
            for (device, entity), rows in stored
            if entity == "yield_today"
        }

    def names(self, word: str) -> set[str]:
        """The retained topics of a device."""
        late = Client(self.broker.port, "camper/#", "homeassistant/#")
        try:
            late.publish("camper/response/late", "all")
            late.on("camper/response/late")
            return {m.topic for m in late.messages if m.retain and word in m.topic}
        finally:
            late.close()


@pytest.fixture
def van(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Van]:
    with Van(tmp_path, SETTINGS) as van:
        monkeypatch.setenv("BOONDOCK_BROKER__PORT", str(van.broker.port))
        monkeypatch.setenv("BOONDOCK_SECRETS", str(tmp_path / "secrets"))
        van.start("statistician", "collector_ble")
        yield van


def test_a_device_of_mqtt_goes_on_under_its_new_name(van: Van) -> None:
    van.add("shunt", OLD)
    van.hear("shunt", OLD, 100)
    van.hear("shunt", OLD, 110)
    told = list(rename_device(van.where, "shunt", "sunny", NOW))
    assert told[0] == "collector_ble calls shunt sunny now"
    assert "sunny.yield_today" in told[1]
    van.hear("sunny", OLD, 120)
    assert van.yields() == {"sunny": [100, 110, 120]}
    assert van.names("shunt") == set()
    assert {"camper/about/sunny", "homeassistant/device/camper_sunny/config"} <= van.names("sunny")
    van.end("collector_ble", signal.SIGTERM)
    van.start("collector_ble")
    van.hear("sunny", OLD, 130)
    assert van.names("shunt") == set()


def test_new_hardware_takes_the_name_and_its_counter_adds_nothing(van: Van) -> None:
    van.add("shunt", OLD)
    van.hear("shunt", OLD, 100)
    van.hear("shunt", OLD, 110)
    last = van.stored()["shunt", "yield_today"][-1][0]
    van.add("other", NEW)
    van.hear("other", NEW, 5000)
    told = list(replace_device(van.where, "shunt", "other", None))
    assert told[0] == "collector_ble reads the old shunt no more"
    van.hear("shunt", NEW, 5030)
    van.bluez.advertise(OLD, {COMPANY: victron.solar_charger(victron.SolarCharger(), KEY, iv=99)})
    assert van.yields() == {"shunt": [100, 110, 5030], "other": [5000]}
    assert {topic for topic in van.names("other") if "statistics" not in topic} == set()
    fixes = van.ask("statistician", "fixes")
    assert isinstance(fixes, list)
    assert [(one["verb"], one["params"]["device"]) for one in fixes] == [("device_replaced", "shunt")]
    first = next(ts for ts, value in van.stored()["shunt", "yield_today"] if value == 5030)
    assert last < fixes[0]["params"]["at"] <= first
    listed = van.ask("collector_ble", "devices")
    assert isinstance(listed, list)
    assert {one["device"]: one["settings"]["address"] for one in listed}["shunt"] == NEW


@pytest.mark.parametrize("after", some((0, 1, 2), (1,)))
def test_it_goes_on_where_it_was_broken_off(van: Van, after: int) -> None:
    van.add("shunt", OLD)
    van.hear("shunt", OLD, 100)
    van.add("other", NEW)
    van.hear("other", NEW, 5000)
    steps = replace_device(van.where, "shunt", "other", None)
    for _ in range(after):
        next(steps)
    list(replace_device(van.where, "shunt", "other", None))
    van.hear("shunt", NEW, 5030)
    assert van.yields()["shunt"] == [100, 5030]


def test_what_cannot_be_is_one_sentence_and_changes_nothing(van: Van) -> None:
    van.add("shunt", OLD)
    van.add("other", NEW)
    van.hear("shunt", OLD, 100)
    before = van.yields()
    for old, new, sentence in (
        ("shunt", "other", "there is a other already"),
        ("shunt", "roof", "there is a roof already"),
        ("shunt", "Sunny", "is no name"),
        ("shunt", "shunt", "called so already"),
        ("shunt", "relay", "belongs to the controller"),
        ("nothing", "sunny", "there is no device"),
        ("shunt.voltage", "volts", "write device.entity"),
        ("shunt.voltage", "shunt.volts", "still calls it voltage"),
    ):
        with pytest.raises(CommandError, match=sentence):
            list(rename_device(van.where, old, new, NOW))
    for old, new, sentence in (
        ("shunt", "roof", "roof stands in"),
        ("shunt", "absent", "there is no absent"),
        ("shunt", "shunt", "under the same name"),
    ):
        with pytest.raises(CommandError, match=sentence):
            list(replace_device(van.where, old, new, None))
    assert van.yields() == before
    van.hear("shunt", OLD, 110)
