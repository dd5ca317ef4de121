"""Devices over MQTT: added, changed, removed while the collector runs, kept, and their keys never said."""

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.events import Connected, Sent
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import KEY, BleHouse, Json

ADDRESS = "C0:11:22:33:44:77"
SECRET = KEY.hex()
SHUNT = {"device": "shunt", "kind": "victron_battery_monitor", "address": ADDRESS, "key": SECRET}
FILED = {"mppt": Device(kind="victron_solar_charger", address="C0:11:22:33:44:66", key="f" * 32)}


@pytest.fixture
def house(tmp_path: Path, time: FakeTime) -> BleHouse:
    return BleHouse(tmp_path, time, FILED)


def devices(house: BleHouse) -> dict[str, Json]:
    return {entry["device"]: entry for entry in house.data("devices")}


def file_of(house: BleHouse) -> Path:
    return house.folder / "state" / "collector_ble-devices.json"


def test_a_device_that_is_added_is_read_from_then_on(house: BleHouse) -> None:
    house.hear(ADDRESS)
    assert house.said("shunt") == []
    entry = house.data("device_add", **SHUNT, name="House battery")
    assert (entry["where"], entry["online"], entry["settings"]) == (
        "mqtt",
        False,
        {"address": ADDRESS, "key": "set"},
    )
    assert json.loads(house.bus.on("camper/about/shunt")[-1])["name"] == "House battery"
    house.hear(ADDRESS)
    assert house.said("shunt")[-1]["voltage"] == 13.2
    assert devices(house)["shunt"]["online"] is True


def test_it_is_there_after_a_restart_and_its_file_is_private(house: BleHouse) -> None:
    house.data("device_add", **SHUNT, steps={"voltage": 0.5}, disabled=["consumed_charge"])
    before = devices(house)["shunt"]
    assert stat.S_IMODE(file_of(house).stat().st_mode) == 0o600
    house.start(FILED)
    assert devices(house)["shunt"] == before
    house.hear(ADDRESS)
    assert house.said("shunt")[-1]["voltage"] == 13.2
    assert "consumed_charge" not in house.said("shunt")[-1]


def test_the_list_tells_the_file_s_devices_from_the_others(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    listed = devices(house)
    assert {name: entry["where"] for name, entry in listed.items()} == {
        "mppt": "boondock.toml",
        "shunt": "mqtt",
    }
    assert listed["mppt"]["settings"] == {"address": "C0:11:22:33:44:66", "key": "set"}
    assert listed["mppt"]["entities"]["power"] is True


def test_the_list_comes_in_pages(house: BleHouse) -> None:
    for number in range(60):
        house.data(
            "device_add",
            **{**SHUNT, "device": f"shunt_{number:02}", "address": f"C0:00:00:00:00:{number:02X}"},
        )
    page = house.ask("devices")
    found = [entry["device"] for entry in page["data"]]
    while "next" in page:
        page = house.ask("devices", cursor=page["next"])
        found += [entry["device"] for entry in page["data"]]
    assert found == sorted(found)
    assert len(found) == 61


def test_an_update_changes_what_is_named_and_keeps_the_rest(house: BleHouse) -> None:
    house.data("device_add", **SHUNT, name="Shunt", heartbeat=20)
    house.hear(ADDRESS)
    before = len(house.bus.published)
    entry = house.data("device_update", device="shunt", name="House battery", heartbeat=None)
    assert entry["name"] == "House battery"
    assert entry["settings"] == {"address": ADDRESS, "key": "set"}
    assert entry["online"] is True, "it is the same device"
    told = [p.topic for p in house.bus.published[before:]]
    assert told == ["camper/about/shunt", "camper/response/collector_ble/device_update"]
    house.pass_(61)
    assert house.said("shunt")[-1]["voltage"] is None, "its silence is noticed as before"


def test_another_address_is_another_device(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    house.hear(ADDRESS)
    house.data("device_update", device="shunt", address="C0:11:22:33:44:88")
    assert "camper/state/shunt" not in house.retained()
    assert "camper/availability/shunt" not in house.retained()
    house.hear(ADDRESS, voltage=12.0)
    assert "camper/state/shunt" not in house.retained()
    house.hear("C0:11:22:33:44:88", voltage=12.5)
    assert json.loads(house.retained()["camper/state/shunt"])["voltage"] == 12.5


def test_a_new_key_is_taken_at_once(house: BleHouse) -> None:
    house.data("device_add", **{**SHUNT, "key": "ee" * 16})
    for _ in range(3):
        house.hear(ADDRESS)
    assert "key" in devices(house)["shunt"]["problem"]
    assert devices(house)["shunt"]["online"] is False
    house.data("device_update", device="shunt", key=SECRET)
    house.hear(ADDRESS)
    assert devices(house)["shunt"]["problem"] is None
    assert devices(house)["shunt"]["online"] is True


def test_an_entity_is_switched_off_and_on(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    house.hear(ADDRESS)
    assert house.retained()["camper/state/shunt/soc"] == b"80.0"
    assert house.data("entity_disable", device="shunt", entity="soc")["entities"]["soc"] is False
    assert "camper/state/shunt/soc" not in house.retained()
    assert "soc" not in json.loads(house.retained()["camper/about/shunt"])["entities"]
    house.pass_(2)
    house.hear(ADDRESS, voltage=13.5)
    assert "soc" not in house.said("shunt")[-1]
    house.start(FILED)
    assert devices(house)["shunt"]["entities"]["soc"] is False
    assert house.data("entity_enable", device="shunt", entity="soc")["entities"]["soc"] is True
    house.hear(ADDRESS)
    assert house.retained()["camper/state/shunt/soc"] == b"80.0"


def test_a_removed_device_leaves_nothing_behind(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    house.hear(ADDRESS)
    assert {t for t in house.retained() if "shunt" in t} >= {
        "camper/about/shunt",
        "camper/state/shunt",
        "camper/state/shunt/voltage",
        "camper/availability/shunt",
    }
    assert house.data("device_remove", device="shunt") == {"removed": "shunt"}
    assert [t for t in house.retained() if "shunt" in t] == []
    assert house.bus.on("camper/availability/shunt")[-2:] == [b"offline", b""]
    assert list(devices(house)) == ["mppt"]
    house.hear(ADDRESS)
    house.service.handle(Connected(2))
    house.pass_(60)
    assert [t for t in house.retained() if "shunt" in t] == [], (
        "not by what still waited for the statistician"
    )
    assert any(b'"shunt"' in payload for payload in house.bus.backlog()), "which gets it all the same"
    house.start(FILED)
    house.service.handle(Connected(1))
    assert [t for t in house.retained() if "shunt" in t] == []


def test_what_a_broker_out_of_reach_did_not_hear_is_cleared_when_it_is_back(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    house.hear(ADDRESS)
    house.bus.answer = Sent.LATER
    house.send("device_remove", b'{"device":"shunt"}')
    house.turn()
    house.bus.answer = Sent.YES
    house.pass_(2)
    assert "camper/about/shunt" in house.retained()
    house.service.handle(Connected(2))
    assert [t for t in house.retained() if "shunt" in t] == []


def test_what_vanished_from_the_file_meanwhile_is_cleared_at_the_next_start(house: BleHouse) -> None:
    house.hear_bytes("C0:11:22:33:44:66", b"\x10\x02")
    house.pass_(1)
    house.pass_(6)
    house.start({})
    assert house.bus.on("camper/about/mppt") == [b""]
    assert house.bus.on("camper/state/mppt/power") == [b""]
    house.pass_(1)
    house.pass_(6)
    house.start({})
    assert house.bus.published == [], "once is enough"


def test_an_entity_that_was_disabled_in_the_file_meanwhile_is_cleared(house: BleHouse) -> None:
    house.pass_(1)
    house.pass_(6)
    house.start({"mppt": Device(**{**vars_of(FILED["mppt"]), "disabled": ("power",)})})
    assert house.bus.on("camper/state/mppt/power") == [b""]
    assert house.bus.on("camper/state/mppt/voltage") == []


def vars_of(device: Device) -> dict[str, Json]:
    return {name: getattr(device, name) for name in ("kind", "address", "key")}


@pytest.mark.parametrize(
    "verb", ["device_update", "device_remove", "entity_enable", "entity_disable", "device_add"]
)
def test_the_file_s_devices_are_read_only_and_say_so(house: BleHouse, verb: str) -> None:
    more = {"entity": "power"} if verb.startswith("entity") else {"kind": "x"} if verb == "device_add" else {}
    assert house.refusal(verb, device="mppt", **more) == (
        "denied",
        "mppt stands in boondock.toml: change it there",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": "Shunt!"}, ("device: this is no id", "a-z")),
        ({"device": "relay"}, ("device", "controller")),
        ({"kind": "toaster"}, ("kind", "'toaster'", "victron_battery_monitor")),
        ({"kind": None}, ("kind: this field is needed", "victron_solar_charger")),
        ({"kind": "integral"}, ("kind", "statistician")),
        ({"key": None}, ("key: it is missing",)),
        ({"key": "abc"}, ("key: it has 3 characters", "32 hexadecimal digits")),
        ({"key": 12}, ("key", "str")),
        ({"address": "C0:11:22:33:44:66"}, ("address: device.mppt has it already",)),
        ({"address": "nowhere"}, ("address", "AA:BB:CC:DD:EE:FF")),
        ({"heartbeat": 0}, ("heartbeat", "> 0")),
        ({"steps": {"voltage": -1}}, ("steps", ">= 0")),
        ({"steps": {"volts": 1}}, ("steps.volts", "there is no such entity", "voltage")),
        ({"disabled": ["volts"]}, ("disabled.volts", "voltage")),
        ({"pin": 4}, ("pin", "has no such setting")),
        ({"baud": 4}, ("baud", "there is no such field", "baudrate")),
        ({"source": "a.b"}, ("source", "there is no such field")),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_what_is_allowed(
    house: BleHouse, change: dict[str, Json], words: tuple[str, ...]
) -> None:
    code, text = house.refusal("device_add", **{**SHUNT, **change})
    assert code == "invalid"
    assert all(word in text for word in words), text
    assert list(devices(house)) == ["mppt"]
    assert not file_of(house).exists()


def test_a_device_of_another_collector_is_sent_there(
    house: BleHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.registry.transport", lambda *_: "serial")
    code, text = house.refusal("device_add", **SHUNT)
    assert (code, "collector_serial" in text) == ("invalid", True)


def test_what_does_not_exist_is_not_found(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    assert house.refusal("device_remove", device="shunts") == (
        "not_found",
        "device: there is no 'shunts'; added over MQTT: shunt",
    )
    code, text = house.refusal("entity_disable", device="shunt", entity="volts")
    assert (code, "voltage" in text) == ("not_found", True)
    code, text = house.refusal("device_add", **SHUNT)
    assert (code, "device_update" in text) == ("invalid", True)


def test_a_damaged_file_is_set_aside_and_told(house: BleHouse, caplog: pytest.LogCaptureFixture) -> None:
    house.data("device_add", **SHUNT)
    damaged = file_of(house).read_bytes()[:-20]
    file_of(house).write_bytes(damaged)
    with caplog.at_level(logging.ERROR):
        house.start(FILED)
    assert "was damaged" in house.journal.problems["registry"]
    assert "was damaged" in caplog.text
    assert file_of(house).with_name("collector_ble-devices.json.damaged").read_bytes() == damaged
    house.data("device_add", **SHUNT)
    house.start(FILED)
    assert "registry" not in house.journal.problems
    assert "shunt" in devices(house)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 40, b"[]", b'{"devices": 3}', b"\xff\xfe", b'{"devices": [1]}', b"[" * 100_000]
)
def test_no_content_of_the_file_stops_the_process(house: BleHouse, content: bytes) -> None:
    file_of(house).parent.mkdir(exist_ok=True)
    file_of(house).write_bytes(content)
    house.start(FILED)
    assert list(devices(house)) == ["mppt"]
    assert "registry" in house.journal.problems


def test_one_entry_that_cannot_be_read_does_not_spoil_the_others(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    file = json.loads(file_of(house).read_text())
    file["devices"] |= {
        "odd": {"kind": 7, "key": SECRET},
        "gone": {"kind": "toaster"},
        "Bad Id": {"kind": "victron_battery_monitor", "address": "C0:11:22:33:44:99", "key": SECRET},
    }
    file_of(house).write_text(json.dumps(file))
    house.start(FILED)
    assert {name: bool(entry["problem"]) for name, entry in devices(house).items()} == {
        "mppt": False,
        "shunt": False,
        "odd": True,
        "gone": True,
        "Bad Id": True,
    }
    house.hear(ADDRESS)
    assert house.said("shunt")
    for name in ("odd", "gone", "Bad Id"):
        house.data("device_remove", device=name)
    assert sorted(devices(house)) == ["mppt", "shunt"]
    assert [p for p in house.journal.problems if p.startswith("registry")] == []


def test_the_file_wins_over_a_device_that_was_added_before(house: BleHouse) -> None:
    house.data("device_add", **SHUNT)
    filed = {"shunt": Device(kind="victron_battery_monitor", address="C0:11:22:33:44:99", key=SECRET)}
    house.start(filed)
    assert "boondock.toml has shunt now" in house.journal.problems["registry.shunt"]
    assert devices(house)["shunt"]["where"] == "boondock.toml"
    assert devices(house)["shunt"]["settings"]["address"] == "C0:11:22:33:44:99"
    house.data("device_remove", device="shunt")
    assert "camper/about/shunt" in house.retained(), "the file's stays"
    assert house.refusal("device_remove", device="shunt")[0] == "denied"
    assert "registry.shunt" not in house.journal.problems


def test_a_disk_that_refuses_changes_nothing(house: BleHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.data("device_add", **SHUNT)
    before = file_of(house).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for verb, params in (
        ("device_remove", {"device": "shunt"}),
        ("device_update", {"device": "shunt", "name": "x"}),
        ("device_add", {**SHUNT, "device": "other", "address": "C0:11:22:33:44:99"}),
    ):
        code, text = house.refusal(verb, **params)
        assert (code, "No space left" in text) == ("internal", True)
    assert file_of(house).read_bytes() == before
    assert sorted(devices(house)) == ["mppt", "shunt"]
    house.hear(ADDRESS)
    assert house.said("shunt")


def misplaced() -> list[Callable[[BleHouse], object]]:
    """Everything a client may do with a key, right and wrong."""
    return [
        lambda h: h.ask("device_add", **SHUNT),
        lambda h: h.ask("devices"),
        lambda h: h.ask("device_update", device="shunt", key=SECRET.upper()),
        lambda h: h.ask("device_update", device="shunt", key=SECRET + "0"),
        lambda h: h.ask("device_update", device="shunt", key=[SECRET]),
        lambda h: h.ask("device_update", device="shunt", address=SECRET),
        lambda h: h.ask("device_update", device="shunt", kind=SECRET),
        lambda h: h.ask("device_update", device="shunt", pull=SECRET),
        lambda h: h.ask("device_update", device="shunt", **{SECRET: 1}),
        lambda h: h.ask("device_update", device=SECRET, key=SECRET),
        lambda h: h.ask("device_add", **{**SHUNT, "device": SECRET}),
        lambda h: h.ask("device_add", **{**SHUNT, "steps": {SECRET: 1}}),
        lambda h: h.ask("device_remove", device=SECRET),
        lambda h: h.ask("entity_disable", device="shunt", entity=SECRET),
        lambda h: h.send("device_add", SECRET.encode()),
        lambda h: h.send("device_add", b'{"key": "' + SECRET.encode()),
        lambda h: h.ask("device_add", **{**SHUNT, "device": "b", "route_b_password": "Passw0rd1234"}),
        lambda h: h.ask("device_update", device="shunt", kind="Passw0rd1234", route_b_id="Passw0rd1234"),
        lambda h: h.hear(ADDRESS, key=b"\xff" * 16),
        lambda h: h.ask("device_remove", device="shunt"),
    ]


def test_a_key_is_never_said(house: BleHouse, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = b""
    for act in misplaced():
        act(house)
        house.turn()
        said += house.health()
    house.data("device_add", **SHUNT)
    said += b"".join(p.payload for p in house.bus.published)
    file_of(house).write_bytes(file_of(house).read_bytes()[:-3])
    house.start(FILED)
    said += house.health() + b"".join(p.payload for p in house.bus.published)
    text = (said + caplog.text.encode() + str(house.readings.get("shunt")).encode()).lower()
    assert SECRET.encode() not in text
    assert b"passw0rd1234" not in text


def test_another_name_is_the_same_device_and_nothing_of_the_old_one_stays(house: BleHouse) -> None:
    house.data("device_add", **SHUNT, name="Shunt", heartbeat=20)
    house.hear(ADDRESS)
    entry = house.data("device_rename", device="shunt", to="house_battery")
    assert (entry["device"], entry["name"], entry["settings"]["heartbeat"]) == (
        "house_battery",
        "Shunt",
        20.0,
    )
    assert not [topic for topic in house.retained() if "/shunt" in topic]
    house.hear(ADDRESS, voltage=12.5)
    assert json.loads(house.retained()["camper/state/house_battery"])["voltage"] == 12.5
    assert set(devices(house)) == {"mppt", "house_battery"}
    house.start(FILED)
    assert set(devices(house)) == {"mppt", "house_battery"}


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("shunt", "to: there is a shunt already"),
        ("mppt", "to: there is a mppt already"),
        ("Shunt 2", "this is no id"),
        ("relay", "belongs to the controller"),
        ("", "this is no id"),
    ],
)
def test_a_name_that_cannot_be_is_refused(house: BleHouse, to: str, sentence: str) -> None:
    house.data("device_add", **SHUNT)
    code, text = house.refusal("device_rename", device="shunt", to=to)
    assert (code, sentence in text) == ("invalid", True), text
    assert house.refusal("device_rename", device="mppt", to="roof")[0] == "denied"
    assert set(devices(house)) == {"mppt", "shunt"}
