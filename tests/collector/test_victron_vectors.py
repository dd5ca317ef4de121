"""Captured Victron records, each also cut at every byte and with every bit flipped."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    Kind,
    WrongKeyError,
    WrongKindError,
)
from collector.devices.registry import ble_kind

_FILE = Path(__file__).parents[1] / "captures" / "victron_ble_vectors.json"
_VECTORS = json.loads(_FILE.read_text())["vectors"]
_READABLE = [vector for vector in _VECTORS if "expected" in vector]
_KINDS = {
    "BatteryMonitor": ble_kind("victron_battery_monitor"),
    "SolarCharger": ble_kind("victron_solar_charger"),
}
_NAMES = {
    "consumed_ah": "consumed_charge",
    "battery_voltage": "voltage",
    "battery_charging_current": "current",
    "solar_power": "power",
    "external_device_load": "load_current",
    "remaining_mins": "time_remaining",
}


def _check(decoded: Decoded, of: Kind) -> None:
    """Values the contract allows: known entities, no NaN, words from the list."""
    for name, value in decoded.values.items():
        entity = of.rows[name].entity
        if isinstance(value, str):
            assert value in (entity.options or ("ON", "OFF")), name
        elif value is not None:
            assert math.isfinite(value), name
    required = {name for name, row in of.rows.items() if not row.optional} - {"rssi"}
    assert required <= decoded.values.keys()


@pytest.mark.parametrize("vector", _READABLE, ids=lambda vector: vector["raw"])
def test_a_captured_record_says_what_victron_ble_says(
    vector: dict[str, str | dict[str, float | str]],
) -> None:
    of = _KINDS[str(vector["device"])]
    expected = vector["expected"]
    assert isinstance(expected, dict)
    decoded = of.decode(bytes.fromhex(str(vector["raw"])), bytes.fromhex(str(vector["key"])))
    _check(decoded, of)
    assert decoded.model == expected.pop("model_name")
    assert decoded.unknown == ()
    assert expected.pop("alarm", "NO_ALARM") == "NO_ALARM"
    assert expected.pop("aux_mode", "DISABLED") == "DISABLED"
    for name, value in expected.items():
        ours = decoded.values.get(_NAMES.get(name, name))
        assert ours == (value.lower() if isinstance(value, str) else value), name


def test_there_are_captures_of_both_kinds_and_a_wrong_key() -> None:
    assert {vector["device"] for vector in _READABLE} == set(_KINDS)
    assert len(_READABLE) < len(_VECTORS)


def test_the_captured_wrong_key_is_named() -> None:
    (vector,) = [vector for vector in _VECTORS if vector.get("error") == "AdvertisementKeyMismatchError"]
    with pytest.raises(WrongKeyError, match="VictronConnect"):
        _KINDS[vector["device"]].decode(bytes.fromhex(vector["raw"]), bytes.fromhex(vector["key"]))


@pytest.mark.parametrize("vector", _READABLE, ids=lambda vector: vector["raw"])
def test_a_record_cut_anywhere_is_bad(vector: dict[str, str]) -> None:
    raw, key = bytes.fromhex(vector["raw"]), bytes.fromhex(vector["key"])
    for length in range(len(raw)):
        with pytest.raises(BadRecordError):
            _KINDS[vector["device"]].decode(raw[:length], key)


@pytest.mark.parametrize("vector", _READABLE, ids=lambda vector: vector["raw"])
def test_any_flipped_bit_gives_values_or_a_decode_error(vector: dict[str, str]) -> None:
    raw, key = bytes.fromhex(vector["raw"]), bytes.fromhex(vector["key"])
    of = _KINDS[vector["device"]]
    survived = 0
    for bit in range(len(raw) * 8):
        flipped = (int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little")
        try:
            decoded = of.decode(flipped, key)
        except DecodeError:
            continue
        _check(decoded, of)
        survived += 1
    # Most flips only change a value; if none survived, this test would have checked nothing.
    assert survived > len(raw) * 2


@pytest.mark.parametrize("vector", _READABLE, ids=lambda vector: vector["raw"])
def test_bytes_after_the_layout_change_nothing(vector: dict[str, str]) -> None:
    raw, key = bytes.fromhex(vector["raw"]), bytes.fromhex(vector["key"])
    of = _KINDS[vector["device"]]
    assert of.decode(raw + b"\x5a" * 9, key) == of.decode(raw, key)


@pytest.mark.parametrize("vector", _READABLE, ids=lambda vector: vector["raw"])
def test_the_other_kind_is_named_before_the_key_is_tried(vector: dict[str, str]) -> None:
    (other,) = [of for device, of in _KINDS.items() if device != vector["device"]]
    with pytest.raises(WrongKindError) as caught:
        other.decode(bytes.fromhex(vector["raw"]), bytes(16))
    assert "battery monitor" in str(caught.value)
    assert "solar charger" in str(caught.value)


@pytest.mark.parametrize("name", ["victron_battery_monitor", "victron_solar_charger"])
@given(noise=st.binary(max_size=40), key=st.binary(max_size=20), framed=st.booleans())
def test_noise_never_raises_anything_else(name: str, noise: bytes, key: bytes, framed: bool) -> None:  # noqa: FBT001 — hypothesis names its arguments
    of = ble_kind(name)
    readout = b"\x02" if name == "victron_battery_monitor" else b"\x01"
    raw = b"\x10\x02\x89\xa3" + readout + b"\x01\x00" + key[:1] + noise if framed else noise
    try:
        decoded = of.decode(raw, key)
    except DecodeError:
        return
    _check(decoded, of)
