"""Senders in the collector's service: values piece by piece, how long silence is none, what health says."""

import json
from pathlib import Path

import pytest

from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import KEY, TOPICS, BleHouse
from tests.emulators import senders

ADDRESS = "C0:11:22:33:44:77"
BTHOME = Device(kind="bthome", address=ADDRESS)


def test_what_comes_in_two_frames_is_no_news_when_it_comes_again(tmp_path: Path, time: FakeTime) -> None:
    house = BleHouse(tmp_path, time, {"door": BTHOME})
    sender = senders.BtHomeDevice(ADDRESS)
    for _ in range(10):
        for one in (senders.temperature(20.0), senders.battery(90)):
            house.hear_frames(ADDRESS, {senders.BTHOME: sender.says(one)})
        house.pass_(1.0)
    assert [sorted(one.keys() & {"temperature", "battery"}) for one in house.said("door")] == [
        ["temperature"],
        ["battery"],
    ]
    house.hear_frames(ADDRESS, {senders.BTHOME: sender.says(senders.temperature(21.0))})
    house.pass_(1.0)
    assert house.said("door")[-1]["temperature"] == 21.0
    entities = json.loads(house.bus.on(TOPICS.about("door"))[-1])["entities"]
    assert list(entities) == ["rssi", "temperature", "battery"], "all that it ever sent"


def test_two_presses_are_two_readings(tmp_path: Path, time: FakeTime) -> None:
    house = BleHouse(tmp_path, time, {"door": BTHOME})
    sender = senders.BtHomeDevice(ADDRESS)
    for _ in range(2):
        frame = sender.says(senders.button(1))
        for _ in range(5):
            house.hear_frames(ADDRESS, {senders.BTHOME: frame})
        house.pass_(2.0)
    said = [(one["button"], one["button_events"]) for one in house.said("door")]
    assert said == [("press", 1), ("press", 2)]
    assert house.journal.counters["repeated_frames"] == 8


@pytest.mark.parametrize(
    ("device", "said", "silence"),
    [
        (Device(kind="mopeka", address=ADDRESS), (senders.MOPEKA, senders.mopeka(ADDRESS, 100)), 600),
        (
            Device(kind="mopeka", address=ADDRESS, timeout=30),
            (senders.MOPEKA, senders.mopeka(ADDRESS, 9)),
            30,
        ),
        (BTHOME, (senders.BTHOME, senders.BtHomeDevice(ADDRESS).says(senders.battery(9))), 3600),
    ],
)
def test_a_sender_may_be_silent_longer_than_others(
    tmp_path: Path, time: FakeTime, device: Device, said: tuple[int | str, bytes], silence: float
) -> None:
    house = BleHouse(tmp_path, time, {"one": device})
    house.hear_frames(ADDRESS, dict([said]))
    house.pass_(silence - 1)
    assert house.bus.on(TOPICS.availability("one")) == [b"online"]
    house.pass_(1.0)
    assert house.bus.on(TOPICS.availability("one")) == [b"online", b"offline"]
    assert json.loads(house.bus.on(TOPICS.about("one"))[-1])["expire_after"] == 2 * max(silence, 30)


@pytest.mark.parametrize(
    ("key", "frame", "why"),
    [
        (None, senders.BtHomeDevice(ADDRESS, KEY), "it is encrypted: write its key"),
        ("00" * 16, senders.BtHomeDevice(ADDRESS, KEY), "the key is not this device's"),
        (KEY.hex(), senders.BtHomeDevice(ADDRESS), "without encryption, as anybody could"),
    ],
)
def test_what_is_wrong_with_a_key_stands_in_health(
    tmp_path: Path, time: FakeTime, key: str | None, frame: senders.BtHomeDevice, why: str
) -> None:
    house = BleHouse(tmp_path, time, {"one": Device(kind="bthome", address=ADDRESS, key=key)})
    for _ in range(3):
        house.hear_frames(ADDRESS, {senders.BTHOME: frame.says(senders.temperature(20.0))})
    assert why in house.journal.problems["device.one"]
    assert house.said("one") == []


def test_an_object_that_nobody_reads_is_named_once_and_counted(tmp_path: Path, time: FakeTime) -> None:
    house = BleHouse(tmp_path, time, {"one": BTHOME})
    for number in range(5):
        frame = bytes([0x40, 0, number]) + senders.temperature(20.0 + number) + b"\xee\x01"
        house.hear_frames(ADDRESS, {senders.BTHOME: frame})
        house.pass_(1.0)
    assert house.journal.facts["unread.one"] == "object 0xee"
    assert house.journal.counters["unread.one"] == 5
    assert [one["temperature"] for one in house.said("one")] == [20.0, 21.0, 22.0, 23.0, 24.0]
    assert house.journal.problems == {}
