"""Ruuvi, Mopeka, Gobius and BTHome: published bytes, twins, both ends of each number, and hostile bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices import KINDS, ORIGINS, recognise
from collector.devices.description import BadRecordError, BleKind, Decoded, DecodeError, SettingError
from collector.devices.senders.tanks import MEDIA
from config.model import Device
from tests.collector.kinds import ADDRESS, Ble, ble_kind
from tests.collector.victron.test_vectors import check
from tests.emulators import senders
from tests.home_assistant import faults

CAPTURES = Path(__file__).parents[1] / "captures"
VECTORS = json.loads((CAPTURES / "ble_senders.json").read_text())["vectors"]
NAMES = ("bthome", "gobius", "mopeka", "ruuvi")
FRAMES = {
    "bthome": senders.BtHomeDevice(ADDRESS).says(senders.temperature(21.5), senders.button(1)),
    "gobius": senders.gobius(ADDRESS, 120),
    "mopeka": senders.mopeka(ADDRESS, 200),
    "ruuvi": senders.ruuvi_5(ADDRESS, 21.5, 45.0, 101_300),
}
TANK: dict[str, Any] = {"calibration": ((0, 0), (250, 100)), "capacity": 20.0}


def said(name: str, frame: bytes, **settings: object) -> Decoded:
    """What a new device says first."""
    found = ble_kind(name).device(**settings).decode(frame, 0.0)
    assert found is not None
    return found


def hold(decoded: Decoded, name: str) -> None:
    """Only what the contract allows."""
    found = ble_kind(name)
    check(decoded, found)
    for row in (decoded.rows or found.rows).values():
        assert list(faults(row.entity)) == []


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['kind']}, {vector['of']}")
def test_published_bytes_say_what_was_published_with_them(vector: dict[str, Any]) -> None:
    settings: dict[str, Any] = {key: vector[key] for key in vector.keys() & {"address", "key"}}
    settings |= TANK if vector["kind"] == "mopeka" else {}
    decoded = said(vector["kind"], bytes.fromhex(vector["data"]), **settings)
    hold(decoded, vector["kind"])
    assert vector["expected"].items() <= decoded.values.items()
    if vector["of"].endswith("invalid"):
        assert decoded.values == vector["expected"], "nothing of what it cannot measure"


def test_every_kind_that_advertises_is_heard_and_recognised_by_its_own_file() -> None:
    for name, kind in KINDS.items():
        if isinstance(kind, BleKind):
            assert kind.origin in ORIGINS, name
    for name, frame in FRAMES.items():
        known = recognise(ble_kind(name).kind.origin, frame, ADDRESS)
        assert known is not None
        assert known.kind == name


@pytest.mark.parametrize(("celsius", "percent", "pascal"), [(-40.0, 0.0, 50_000), (85.0, 100.0, 115_534)])
def test_a_ruuvitag_measures_what_its_twin_does(celsius: float, percent: float, pascal: int) -> None:
    decoded = said("ruuvi", senders.ruuvi_5(ADDRESS, celsius, percent, pascal))
    hold(decoded, "ruuvi")
    values = decoded.values
    assert (values["temperature"], values["humidity"], values["pressure"]) == (celsius, percent, pascal / 100)
    assert decoded.model == "RuuviTag"


def test_a_ruuvi_air_that_is_heard_in_e1_is_not_heard_in_format_6() -> None:
    air = ble_kind("ruuvi").device()
    old, new = senders.ruuvi_6(ADDRESS, 20.0, lux=100.0), senders.ruuvi_e1(ADDRESS, 20.0, lux=100.0)
    first = air.decode(old, 0.0)
    assert first is not None
    assert first.values["illuminance"] == pytest.approx(100.0, rel=0.03)
    second = air.decode(new, 1.0)
    assert second is not None
    assert second.values["illuminance"] == 100.0
    assert air.decode(old, 2.0) is None, "the same, coarser"
    assert air.decode(old, 62.0) is not None, "E1 does not come any more"


def test_what_a_ruuvi_measured_once_becomes_null_and_is_not_left_out() -> None:
    tag = ble_kind("ruuvi").device()
    tag.decode(senders.ruuvi_5(ADDRESS, 21.5, 45.0, 101_300), 0.0)
    later = tag.decode(bytes.fromhex("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF"), 1.0)
    assert later is not None
    assert (later.values["temperature"], later.values["pressure"]) == (None, None)


@pytest.mark.parametrize("frame", [b"\x03" + bytes(13), b"\x08" + bytes(23)])
def test_a_format_of_ruuvi_that_is_not_read_is_named(frame: bytes) -> None:
    with pytest.raises(DecodeError, match=f"data format {frame[0]:#04x} of Ruuvi is not read"):
        said("ruuvi", frame)
    known = recognise(senders.RUUVI, frame, ADDRESS)
    assert known is not None
    assert (known.kind, "not read" in known.what) == (None, True)


@pytest.mark.parametrize("celsius", [-40, 0, 20, 60])
@pytest.mark.parametrize("millimetres", [0, 100, 250, 2000])
def test_a_mopeka_knows_the_height_of_the_gas_whatever_its_temperature(
    celsius: int, millimetres: int
) -> None:
    decoded = said("mopeka", senders.mopeka(ADDRESS, millimetres, celsius=celsius), **TANK)
    hold(decoded, "mopeka")
    assert decoded.values["distance"] == pytest.approx(millimetres, abs=2)
    assert decoded.values["level"] == pytest.approx(min(100, millimetres / 2.5), abs=1)
    assert decoded.values["volume"] == pytest.approx(min(20, millimetres / 12.5), abs=0.2)
    assert decoded.values["temperature"] == celsius


def test_the_medium_is_the_models_unless_the_owner_says_another() -> None:
    raw = senders.mopeka(ADDRESS, 250, hardware=0x08)
    # 20 °C are 60 of the sensor's degrees; the coefficients are mopeka-iot-ble's.
    per_us = {
        "propane": 0.573045 - 0.002822 * 60 - 0.00000535 * 3600,
        "butane": 0.573045 + 0.03615 + (0.000815 - 0.002822) * 60 - 0.00000535 * 3600,
        "water": 0.600592 + 0.003124 * 60 - 0.00001368 * 3600,
        "fuel": 0.7373417462 - 0.001978229885 * 60 + 0.00000202162 * 3600,
        "air": 0.153096 + 0.000327 * 60 - 0.000000294 * 3600,
    }
    assert per_us.keys() == MEDIA.keys()
    echo = int.from_bytes(raw[3:5], "little") & 0x3FFF
    for medium, factor in per_us.items():
        assert said("mopeka", raw, medium=medium).values["distance"] == round(echo * factor)
    for hardware, medium in ((0x03, "propane"), (0x05, "water"), (0x0A, "air"), (0x12, "air")):
        values = said("mopeka", senders.mopeka(ADDRESS, 250, hardware=hardware)).values
        assert values["distance"] == round(echo * per_us[medium])


def test_an_echo_of_no_quality_is_unknown_and_told_when_it_stays_so() -> None:
    sensor = ble_kind("mopeka").device(**TANK)
    for n in range(1, 12):
        decoded = sensor.decode(senders.mopeka(ADDRESS, 120, quality=0), float(n))
        assert decoded is not None
        assert [decoded.values[key] for key in ("distance", "level", "volume")] == [None] * 3
        assert (decoded.values["quality"], decoded.values["temperature"]) == (0, 20)
        assert bool(decoded.reasons) is (n >= 10), "one echo is lost soon while the van moves"
    again = sensor.decode(senders.mopeka(ADDRESS, 120, quality=1), 20.0)
    assert again is not None
    assert (again.reasons, again.values["distance"]) == ({}, 120)


def test_a_tank_without_a_table_says_how_far_and_no_share() -> None:
    for name in ("mopeka", "gobius"):
        device = ble_kind(name).device()
        assert {"level", "volume"}.isdisjoint(device.rows)
        decoded = device.decode(FRAMES[name], 0.0)
        assert decoded is not None
        assert {"level", "volume"}.isdisjoint(decoded.values)
        assert "volume" not in ble_kind(name).device(calibration=TANK["calibration"]).rows


def test_a_sensor_on_top_of_a_tank_has_a_falling_table() -> None:
    table = ((400, 0), (30, 100))
    for millimetres, level in ((400, 0), (215, 50), (30, 100), (10, 100), (900, 0)):
        decoded = said("gobius", senders.gobius(ADDRESS, millimetres), calibration=table, capacity=60.0)
        hold(decoded, "gobius")
        assert (decoded.values["level"], decoded.values["volume"]) == (level, level * 0.6)
    assert (decoded.values["distance"], decoded.values["temperature"]) == (900, 18)
    assert (decoded.model, decoded.sw_version) == ("Gobius C", "1.2.3")


@pytest.mark.parametrize(("starting", "why"), [(True, "starting"), (False, "failed")])
def test_a_gobius_without_a_value_says_why(starting: bool, why: str) -> None:  # noqa: FBT001 — as parametrized
    decoded = said("gobius", senders.gobius(ADDRESS, None, starting=starting), **TANK)
    assert [decoded.values[key] for key in ("distance", "level", "volume")] == [None] * 3
    assert why in decoded.reasons["level"]


@pytest.mark.parametrize("name", ["gobius", "mopeka"])
def test_data_of_another_address_is_refused_and_is_no_tank_in_the_scan(name: str) -> None:
    other = "C0:11:22:33:44:56"
    with pytest.raises(BadRecordError, match="another device, with the address …33:44:55"):
        said(name, FRAMES[name], address=other)
    assert recognise(ble_kind(name).kind.origin, FRAMES[name], other) is None


def test_a_mopeka_of_unknown_hardware_is_named_in_the_scan_and_refused() -> None:
    frame = senders.mopeka(ADDRESS, 100, hardware=0x7E)
    with pytest.raises(DecodeError, match="hardware 0x7e of Mopeka is not known"):
        said("mopeka", frame)
    known = recognise(senders.MOPEKA, frame, ADDRESS)
    assert known is not None
    assert (known.kind, known.what) == (None, "tank sensor of Mopeka, hardware 0x7e: not read")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"medium": "milk"}, "medium"),
        ({"capacity": 20.0}, "capacity"),
        ({"calibration": ((10, 0),)}, "calibration"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], field: str) -> None:
    kind = ble_kind("mopeka").kind
    with pytest.raises(SettingError) as caught:
        kind.make(Device(kind="mopeka", address=ADDRESS, **settings))
    assert caught.value.field == field


def _survives(of: Ble, frame: bytes, **settings: object) -> bool:
    settings |= TANK if of.name in ("gobius", "mopeka") else {}
    try:
        decoded = of.device(**settings).decode(frame, 0.0)
    except DecodeError:
        return False
    assert decoded is not None
    check(decoded, of)
    return True


@pytest.mark.parametrize("name", NAMES)
@given(noise=st.binary(max_size=60), key=st.sampled_from(["", "00" * 16]))
def test_noise_never_raises_anything_else(name: str, noise: bytes, key: str) -> None:
    settings = {"key": key} if name == "bthome" else {}
    _survives(ble_kind(name), noise, **settings)
    recognise(ble_kind(name).kind.origin, noise, ADDRESS)


@pytest.mark.parametrize("name", NAMES)
@given(noise=st.binary(max_size=255), head=st.sampled_from([5, 6, 0xC5, 0xE1, 0x40, 0x44, 0x42, 0x41]))
def test_noise_behind_a_good_head_never_raises_anything_else(name: str, noise: bytes, head: int) -> None:
    _survives(ble_kind(name), bytes([head]) + noise)


@pytest.mark.parametrize("name", NAMES)
def test_any_cut_or_flipped_bit_gives_values_or_a_decode_error(name: str) -> None:
    of, frame = ble_kind(name), FRAMES[name]
    for length in range(len(frame)):
        _survives(of, frame[:length])
    flipped = [
        (int.from_bytes(frame, "little") ^ 1 << bit).to_bytes(len(frame), "little")
        for bit in range(len(frame) * 8)
    ]
    # Most only change a value; if none survived, this test would have checked nothing.
    assert sum(_survives(of, one) for one in flipped) > len(frame)
