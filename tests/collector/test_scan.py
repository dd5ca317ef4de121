"""device_scan of the radio: what is on the air, told as it is heard."""

from pathlib import Path

import pytest

from bus.events import Message, Unheard
from collector.devices import recognise
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import KEY, TOPICS, BleHouse, Json
from tests.emulators import senders, victron, victron_records

ADDRESS = "C0:11:22:33:44:77"
OTHER = "C0:11:22:33:44:88"


@pytest.fixture
def air(tmp_path: Path, time: FakeTime) -> BleHouse:
    filed = {"shunt": Device(kind="victron_battery_monitor", address=ADDRESS.lower(), key=KEY.hex())}
    return BleHouse(tmp_path, time, filed)


def test_what_is_on_the_air_is_told_as_it_is_heard_and_again_at_the_end(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 5, "id": "mine"}')
    air.pass_(0.2)
    assert air.answers("device_scan") == []
    air.hear(ADDRESS, name="SmartShunt", rssi=-80)
    air.pass_(0.8)
    (first,) = air.answers("device_scan")
    assert (first["id"], first["status"]) == ("mine", "progress")
    assert first["data"] == {
        "done": 0.8,
        "of": 5.0,
        "found": [
            {
                "address": ADDRESS,
                "name": "SmartShunt",
                "what": "battery monitor",
                "model": "SmartShunt 500A/50mV",
                "kind": "victron_battery_monitor",
                "rssi": -80,
                "proposals": [{"kind": "victron_battery_monitor", "settings": {"address": ADDRESS}}],
                "configured": "shunt",
            }
        ],
    }
    air.hear(ADDRESS, rssi=-50)
    air.hear_bytes(OTHER, victron.solar_charger(victron.SolarCharger(), KEY), rssi=-70)
    air.pass_(1)
    assert [found["address"] for found in air.answers("device_scan")[1]["data"]["found"]] == [OTHER]
    air.pass_(4)
    air.turn()
    last = air.answers("device_scan")[-1]
    assert (last["id"], last["status"]) == ("mine", "ok")
    assert [
        (one["address"], one["rssi"], one["kind"], one["configured"]) for one in last["data"]["found"]
    ] == [
        (ADDRESS, -50, "victron_battery_monitor", "shunt"),
        (OTHER, -70, "victron_solar_charger", None),
    ]
    assert len(air.answers("device_scan")) == 3
    (proposal,) = last["data"]["found"][1]["proposals"]
    asked = {"device": "roof", "kind": proposal["kind"], **proposal["settings"], "key": KEY.hex()}
    air.data("device_add", **asked)
    air.hear_bytes(OTHER, victron.solar_charger(victron.SolarCharger(), KEY, iv=2))
    assert air.said("roof"), "which is read as the scan proposed it"
    assert air.said("shunt"), "which was read all the time"


def test_a_scan_while_another_runs_is_refused_and_one_after_it_is_not(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 3, "id": 1}')
    air.turn()
    air.send("device_scan", b'{"seconds": 3, "id": 2}')
    air.send("devices", b"{}")
    for _ in range(3):
        air.turn()
    (refused,) = air.answers("device_scan")
    assert (refused["id"], refused["error"]["code"]) == (2, "busy")
    assert air.answers("devices"), "others are answered meanwhile"
    air.pass_(3)
    air.turn()
    assert air.answers("device_scan")[-1] == {"id": 1, "status": "ok", "data": {"found": []}}
    air.send("device_scan", b'{"seconds": 1, "id": 3}')
    air.turn()
    air.pass_(1)
    assert air.answers("device_scan")[-1] == {"id": 3, "status": "ok", "data": {"found": []}}


def test_progress_goes_where_the_answer_will_go(air: BleHouse) -> None:
    topic = TOPICS.request("collector_ble", "device_scan")
    asked = Message(
        topic,
        b"{}",
        0,
        retain=False,
        mid=1,
        generation=1,
        response_topic="camper/response/me",
        correlation=b"c",
    )
    air.service.handle(asked)
    air.turn()
    air.hear(OTHER)
    air.turn()
    assert [
        (p.correlation, b"progress" in p.payload)
        for p in air.bus.published
        if p.topic == "camper/response/me"
    ] == [(b"c", True)]


def test_a_crowd_is_bounded(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 1}')
    air.turn()
    for number in range(1000):
        air.hear_bytes(f"C0:00:00:00:{number >> 8:02X}:{number & 255:02X}", b"\x10\x02\x89\xa3\x02")
    air.pass_(2)
    assert len(air.answers("device_scan")[-1]["data"]["found"]) == 200


@pytest.mark.parametrize("params", [{"seconds": 0}, {"seconds": 61}, {"seconds": "x"}, {"port": "x"}])
def test_a_wrong_parameter_is_refused(air: BleHouse, params: dict[str, Json]) -> None:
    code, text = air.refusal("device_scan", **params)
    assert (code, next(iter(params)) in text) == ("invalid", True)


@pytest.mark.parametrize(
    ("data", "what", "model", "kind"),
    [
        (
            b"\x10\x02\x89\xa3\x02\xb0\x40\xaf",
            "battery monitor",
            "SmartShunt 500A/50mV",
            "victron_battery_monitor",
        ),
        (b"\x10\x02\x42\xa0\x01", "solar charger", "BlueSolar Charger MPPT 75/15", "victron_solar_charger"),
        (b"\x10\x02\xff\xff\x04", "DC/DC converter", None, "victron_dc_dc_converter"),
        (b"\x10\x02\xa4\xa3\x02", "Smart Battery Sense", "Smart Battery Sense", "victron_battery_sense"),
        (b"\x10\x02\xff\xff\x07", "GX device: not read", None, None),
        (b"\x10\x02\xff\xff\x77", "record type 0x77, which nobody has described", None, None),
    ],
)
def test_a_kind_is_guessed_without_the_key(
    data: bytes, what: str, model: str | None, kind: str | None
) -> None:
    known = recognise(victron.COMPANY, data, OTHER)
    assert known is not None
    assert (known.what, known.kind) == (what, kind)
    assert model is None or known.model == model


@pytest.mark.parametrize("name", sorted(victron_records.TWINS))
def test_a_record_is_recognised_as_the_kind_that_reads_it(name: str) -> None:
    record = victron_records.TWINS[name].sealed({}, KEY)
    known = recognise(victron.COMPANY, record, OTHER)
    assert known is not None
    assert known.kind == name


@pytest.mark.parametrize("data", [b"", b"\x10", b"\x02\x00\x00\x00\x00\x00", b"\x10\x02\x89\xa3"])
def test_a_frame_that_is_no_record_says_so(data: bytes) -> None:
    known = recognise(victron.COMPANY, data, OTHER)
    assert known is not None
    assert "Instant Readout" in known.what
    assert known.kind is None


def test_a_record_after_another_frame_is_what_counts(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 2}')
    air.turn()
    air.hear_bytes(OTHER, b"\x02\x00\x00\x00\x00\x00")
    air.turn()
    air.hear(OTHER)
    air.hear_bytes(OTHER, b"\x02\x00\x00\x00\x00\x00")
    air.turn()
    air.pass_(2)
    told = [one["data"]["found"][0]["kind"] for one in air.answers("device_scan")]
    assert told == [None, "victron_battery_monitor", "victron_battery_monitor"]


def test_senders_of_every_maker_are_found_and_nobody_else(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 2}')
    air.turn()
    frames: list[tuple[int | str, bytes]] = [
        (senders.MOPEKA, senders.mopeka("C0:00:00:00:00:00", 100)),
        (senders.GOBIUS, senders.gobius("C0:00:00:00:00:01", 100)),
        (senders.RUUVI, senders.ruuvi_5("C0:00:00:00:00:02", 20.0, 50.0, 101_300)),
        (senders.BTHOME, senders.BtHomeDevice("C0:00:00:00:00:03", KEY).says(senders.battery(9))),
        (victron.COMPANY, victron_records.SOLARSENSE.sealed({}, KEY)),
        (senders.MOPEKA, b"\x10\x01"),
        (senders.MOPEKA, senders.mopeka("C0:00:00:00:00:00", 100)),
    ]
    for number, (origin, data) in enumerate(frames):
        air.hear_frames(f"C0:00:00:00:00:0{number}", {origin: data}, rssi=-50 - number)
    # One that two makers' data come from: what can be read counts.
    two: dict[int | str, bytes] = {
        senders.RUUVI: b"\x03",
        senders.BTHOME: senders.BtHomeDevice(OTHER).says(senders.battery(9)),
    }
    air.hear_frames(OTHER, two, rssi=-90)
    air.turn()
    air.pass_(2)
    found = air.answers("device_scan")[-1]["data"]["found"]
    assert [one["kind"] for one in found] == [
        "mopeka",
        "gobius",
        "ruuvi",
        "bthome",
        "victron_solarsense",
        "bthome",
    ]
    for one in found:
        (proposal,) = one["proposals"]
        key = {"key": KEY.hex()} if "needs its key" in one["what"] else {}
        name = f"found_{one['kind']}" if one["address"] != OTHER else "found_two"
        air.data("device_add", device=name, kind=proposal["kind"], **proposal["settings"], **key)
    for number, (origin, data) in enumerate(frames[:5]):
        air.hear_frames(f"C0:00:00:00:00:0{number}", {origin: data})
    assert all(air.said(f"found_{kind}") for kind in ("mopeka", "gobius", "ruuvi", "bthome"))
    assert air.said("found_victron_solarsense")


def test_a_scan_that_hears_nothing_gives_signs_and_ends_when_nobody_listens(air: BleHouse) -> None:
    air.send("device_scan", b'{"seconds": 60, "id": 1}')
    for _ in range(10):
        air.pass_(1)
    signs = [one["data"] for one in air.answers("device_scan")]
    assert [(one["done"], one["found"]) for one in signs] == [(2, []), (4, []), (6, []), (8, [])]
    air.service.handle(Unheard(TOPICS.response("collector_ble", "device_scan")))
    air.send("device_scan", b'{"seconds": 1, "id": 2}')
    air.turn()
    air.pass_(1)
    air.turn()
    assert air.answers("device_scan")[-1] == {"id": 2, "status": "ok", "data": {"found": []}}
