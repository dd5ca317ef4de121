"""Captured Victron records, each also cut at every byte and with every bit flipped."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    Value,
    WrongKeyError,
    WrongKindError,
)
from tests.collector.kinds import Ble, ble_kind
from tests.emulators.victron import seal
from tests.emulators.victron_records import TWINS

_FILE = Path(__file__).parents[2] / "captures" / "victron_ble_vectors.json"
_VECTORS = json.loads(_FILE.read_text())["vectors"]
_READABLE = [vector for vector in _VECTORS if "expected" in vector]
_KINDS = {
    "AcCharger": "victron_ac_charger",
    "BatteryMonitor": "victron_battery_monitor",
    "BatterySense": "victron_battery_sense",
    "DcDcConverter": "victron_dc_dc_converter",
    "DcEnergyMeter": "victron_dc_energy_meter",
    "LynxSmartBMS": "victron_lynx_bms",
    "MultiRS": "victron_multi_rs",
    "SmartBatteryProtect": "victron_smart_battery_protect",
    "SmartLithium": "victron_smart_lithium",
    "SolarCharger": "victron_solar_charger",
    "VEBus": "victron_ve_bus",
}
_NAMES = {
    "ac_in_state": "ac_input",
    "active_ac_in": "ac_input",
    "active_ac_in_power": "ac_in_power",
    "active_ac_out_power": "ac_out_power",
    "alarm_reason": "alarm",
    "balancer_status": "balancer",
    "battery_charging_current": "current",
    "battery_current": "current",
    "battery_temperature": "temperature",
    "battery_voltage": "voltage",
    "consumed_ah": "consumed_charge",
    "error": "ve_bus_error",
    "error_code": "charger_error",
    "external_device_load": "load_current",
    "output_current1": "current",
    "output_current2": "current_2",
    "output_current3": "current_3",
    "output_voltage1": "voltage",
    "output_voltage2": "voltage_2",
    "output_voltage3": "voltage_3",
    "remaining_mins": "time_remaining",
    "solar_power": "power",
    "warning_reason": "warning",
}
# Bits, which victron-ble gives as one number; test_victron_alarms.py is about them.
_BITS = {"alarm_flags", "aux_mode", "bms_flags", "error_flags", "io_status"}
_WORDS = {"NO_ALARM": "OFF", "NO_REASON": "none", "UNKNOWN": None}
Vector = dict[str, str]


def _kind(vector: Vector) -> Ble:
    return ble_kind(_KINDS[vector["device"]])


def _frame(vector: Vector) -> tuple[bytes, bytes]:
    """The advertisement and its key."""
    if "raw" in vector:
        return bytes.fromhex(vector["raw"]), bytes.fromhex(vector["key"])
    # Captures of these were published without their frame.
    key, layout = bytes(range(16)), TWINS[_KINDS[vector["device"]]]
    plain = bytes.fromhex(vector["decrypted"])
    return seal(plain, key, readout_type=layout.readout_type, model_id=layout.model_id, iv=1), key


def _ours(device: str, name: str, value: object) -> Value:
    """What victron-ble says, in our units and words."""
    if name in ("alarm", "alarm_reason", "warning_reason"):
        return "OFF" if value in (None, "NO_ALARM") else "ON"
    if isinstance(value, str):
        return _WORDS.get(value, value.lower())
    if value is None or not isinstance(value, int | float):
        return None
    if name == "remaining_mins":
        return value * 60
    if (device, name) == ("MultiRS", "yield_today"):
        return round(value * 1000)
    return -value if (device, name) == ("LynxSmartBMS", "consumed_ah") else value


def check(decoded: Decoded, of: Ble) -> None:
    """Values the contract allows: known entities, no NaN, words from the list."""
    rows = decoded.rows or of.rows
    for name, value in decoded.values.items():
        entity = rows[name].entity
        if isinstance(value, str):
            assert value in (entity.options or ("ON", "OFF")), name
        elif value is not None:
            assert math.isfinite(value), name
    required = {name for name, row in rows.items() if not row.optional} - {"rssi"}
    assert required <= decoded.values.keys()


_each = pytest.mark.parametrize(
    "vector", _READABLE, ids=lambda vector: f"{vector['device']}-{vector['decrypted']}"
)


@_each
def test_a_captured_record_says_what_victron_ble_says(vector: dict[str, str | dict[str, object]]) -> None:
    device, expected = str(vector["device"]), vector["expected"]
    assert isinstance(expected, dict)
    of = ble_kind(_KINDS[device])
    decoded = of.decode(*_frame(vector))  # type: ignore[arg-type] # expected is not read there
    check(decoded, of)
    assert decoded.unknown == ()
    assert decoded.model == expected.get("model_name", decoded.model)
    for name in expected.keys() - _BITS - {"model_name", "cell_voltages"}:
        ours = decoded.values.get(_NAMES.get(name, name))
        assert ours == _ours(device, name, expected[name]), name
    cells = expected.get("cell_voltages", [])
    assert isinstance(cells, list)
    assert [decoded.values.get(f"cell_{n}_voltage") for n in range(1, len(cells) + 1)] == cells


def test_there_are_captures_of_all_kinds_but_two_and_a_wrong_key() -> None:
    assert {vector["device"] for vector in _READABLE} == set(_KINDS)
    assert len(_READABLE) < len(_VECTORS)


def test_the_captured_wrong_key_is_named() -> None:
    (vector,) = [vector for vector in _VECTORS if vector.get("error") == "AdvertisementKeyMismatchError"]
    with pytest.raises(WrongKeyError, match="VictronConnect"):
        _kind(vector).decode(*_frame(vector))


@_each
def test_a_record_cut_anywhere_is_bad(vector: Vector) -> None:
    raw, key = _frame(vector)
    for length in range(len(raw)):
        with pytest.raises(BadRecordError):
            _kind(vector).decode(raw[:length], key)


@_each
def test_any_flipped_bit_gives_values_or_a_decode_error(vector: Vector) -> None:
    raw, key = _frame(vector)
    of = _kind(vector)
    survived = 0
    for bit in range(len(raw) * 8):
        flipped = (int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little")
        try:
            decoded = of.decode(flipped, key)
        except DecodeError:
            continue
        check(decoded, of)
        survived += 1
    # Most flips only change a value; if none survived, this test would have checked nothing.
    assert survived > len(raw) * 2


@_each
def test_bytes_after_the_layout_change_nothing(vector: Vector) -> None:
    raw, key = _frame(vector)
    of = _kind(vector)
    assert of.decode(raw + b"\x5a" * 9, key) == of.decode(raw, key)


@_each
def test_another_kind_is_named_before_the_key_is_tried(vector: Vector) -> None:
    raw, _ = _frame(vector)
    for device, name in _KINDS.items():
        if device != vector["device"]:
            with pytest.raises(WrongKindError, match=r"^configured as .*, but it is a "):
                ble_kind(name).decode(raw, bytes(16))


def test_the_wrong_kind_is_told_in_victrons_words() -> None:
    (raw,) = [vector["raw"] for vector in _READABLE if vector["device"] == "SolarCharger"]
    with pytest.raises(WrongKindError, match="configured as battery monitor, but it is a solar charger"):
        ble_kind("victron_battery_monitor").decode(bytes.fromhex(raw), bytes(16))


_OWNERS = json.loads((_FILE.parent / "victron_ble_owners.json").read_text())["vectors"]


@pytest.mark.parametrize("owner", _OWNERS, ids=lambda owner: str(owner["kind"]))
@pytest.mark.parametrize("name", ["its own", "victron"])
def test_what_an_owner_captured_says_what_the_app_showed(owner: dict[str, Any], name: str) -> None:
    key, number = bytes(range(16)), int(owner["record"], 16)
    sealed = seal(
        bytes.fromhex(owner["plain"]), key, readout_type=number, model_id=int(owner["model_id"], 16), iv=1
    )
    of = ble_kind(owner["kind"] if name == "its own" else name)
    decoded = of.decode(sealed, key)
    check(decoded, of)
    assert owner["expected"].items() <= decoded.values.items()
