"""The verb read: one device now, raw and decoded; and what it says where that cannot be."""

import json
from pathlib import Path

import pytest

from collector.devices.description import BadRecordError
from collector.listening import LastFrames
from collector.polling import Answered
from collector.read import AskNow, shown
from collector.transports.radio import Advertisement
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import KEY, BleHouse, Json
from tests.collector.test_scan_lines import PORT, ScriptedLine, _kinds, bus_of
from tests.emulators import senders, victron

__all__ = ["_kinds"]  # the kind `meter` of those tests

METER = {"house": Device(kind="meter", port=PORT, unit=2)}
SHUNT = "C0:11:22:33:44:55"
BATTERY = {"shunt": Device(kind="victron_battery_monitor", address=SHUNT, key=KEY.hex())}


def read(house: object, device: str) -> Json:
    """The answer, after as many turns as a poll takes."""
    before = len(house.answers("read"))  # type: ignore[attr-defined]  # either house
    house.send("read", json.dumps({"device": device}).encode())  # type: ignore[attr-defined]  # either house
    for _ in range(10):
        house.turn()  # type: ignore[attr-defined]  # either house
        if told := house.answers("read")[before:]:  # type: ignore[attr-defined]  # either house
            return told[0]
    raise AssertionError("no answer to read")


def test_a_device_on_a_line_is_asked_at_once_and_its_values_are_published(
    tmp_path: Path, time: FakeTime
) -> None:
    wire = ScriptedLine({2: 7})
    house = bus_of(tmp_path, time, wire, METER)
    read(house, "house")
    asked = wire.requests
    wire.units[2] = 8
    answer = read(house, "house")
    assert answer["status"] == "ok", answer
    assert answer["data"]["values"] == {"power": 8.0}
    assert answer["data"]["raw"] == [{"asked": "registers(2, 4, 0, 1)", "answer": "[8]"}]
    assert wire.requests == asked + 1, "one question, no more"
    time.pass_(2)
    house.service.tick(time.monotonic_s)
    assert house.rig.said("house")[-1]["power"] == 8.0


def test_a_device_that_answers_nonsense_shows_its_problem(tmp_path: Path, time: FakeTime) -> None:
    house = bus_of(tmp_path, time, ScriptedLine({2: BadRecordError("noise")}), METER)
    answer = read(house, "house")
    assert (answer["status"], answer["data"]["values"], answer["data"]["problem"]) == ("ok", {}, "noise")


def test_what_a_job_of_another_verb_brought_is_not_kept(tmp_path: Path, time: FakeTime) -> None:
    house = bus_of(tmp_path, time, ScriptedLine({2: 7}), METER)
    verb = AskNow(house.rig.source, house.rig.readings)
    verb.take(Answered(object(), None, None, 0.0))
    assert verb._answers == {}


def test_a_device_of_others_is_refused_with_the_names_of_ours(tmp_path: Path, time: FakeTime) -> None:
    house = bus_of(tmp_path, time, ScriptedLine({2: 7}), METER)
    told = "device: there is no 'hause' here; this collector reads house"
    assert house.refusal("read", device="hause") == ("not_found", told)


def test_of_the_radio_it_is_the_last_frame_heard(tmp_path: Path, time: FakeTime) -> None:
    house = BleHouse(tmp_path, time, BATTERY)
    told = "shunt was not heard since the start: is it in range?"
    assert house.refusal("read", device="shunt") == ("offline", told)
    frame = victron.battery_monitor(victron.BatteryMonitor(voltage=12.5), KEY, iv=7)
    house.hear(SHUNT, voltage=13.2)
    house.hear_bytes(SHUNT, frame, rssi=-70)
    house.hear_bytes("C0:11:22:33:44:66", frame)
    time.pass_(4)
    data = house.data("read", device="shunt")
    assert data["raw"] == [{"asked": f"advertisement of {SHUNT}, -70 dBm", "answer": frame.hex()}]
    assert data["values"]["voltage"] == 12.5
    time.pass_(60)
    later = house.data("read", device="shunt")
    assert data["ts"] == later["ts"], "when it was heard, not when it was asked"


def test_of_strangers_on_the_air_nothing_is_kept(tmp_path: Path, time: FakeTime) -> None:
    frames = LastFrames(BleHouse(tmp_path, time, BATTERY).readings)
    for number in range(3):
        frames.take(
            Advertisement(
                f"C0:11:22:33:55:0{number}", {victron.COMPANY: b"\x10"}, None, -60, time.monotonic_s
            )
        )
    frames.take(Advertisement(SHUNT, {victron.COMPANY: b"\x10"}, None, -60, time.monotonic_s))
    assert list(frames._frames) == [SHUNT]


def test_of_the_radio_a_frame_under_another_key_says_so(tmp_path: Path, time: FakeTime) -> None:
    house = BleHouse(tmp_path, time, BATTERY)
    house.hear(SHUNT, key=bytes(16))
    data = house.data("read", device="shunt")
    assert (data["values"], bool(data["problem"])) == ({}, True)


def test_of_the_radio_a_frame_that_may_be_heard_once_can_be_read_again(
    tmp_path: Path, time: FakeTime
) -> None:
    house = BleHouse(tmp_path, time, {"fridge": Device(kind="bthome", address=SHUNT, key=KEY.hex())})
    frame = senders.BtHomeDevice(SHUNT, KEY).says(senders.temperature(4.5))
    house.hear_frames(SHUNT, {senders.BTHOME: frame})
    house.hear_frames(SHUNT, {victron.COMPANY: b"\x10"})
    for _ in range(2):
        data = house.data("read", device="fridge")
        assert data["values"] == {"temperature": 4.5, "rssi": -61}
        assert data["raw"][0]["answer"] == frame.hex()
    assert [reading["temperature"] for reading in house.said("fridge")] == [4.5]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x01\xff", "01ff"),
        (b"", "(nothing)"),
        ((1, 258), "[1 258]"),
        ({0xE7: b"\x00", 0xE0: None}, "{231: 00, 224: None}"),
        ([{"V": "13200"}], "[{V: 13200}]"),
        (True, "True"),
    ],
)
def test_what_a_line_gave_is_shown_as_text(value: object, text: str) -> None:
    assert shown(value) == text
