"""One test for each way in which victron-ble 0.9.3 would mislead us, and for what the layouts allow."""

import random
from collections.abc import Callable

import pytest

from collector.devices.description import (
    BadRecordError,
    ImplausibleError,
    Values,
    WrongKeyError,
    WrongKindError,
)
from tests.collector.kinds import ble_kind
from tests.emulators import victron
from tests.emulators.victron import BatteryMonitor, SolarCharger

_KEY = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
_MONITOR = ble_kind("victron_battery_monitor")
_CHARGER = ble_kind("victron_solar_charger")


def _monitor(says: BatteryMonitor) -> Values:
    return _MONITOR.decode(victron.battery_monitor(says, _KEY), _KEY).values


def _charger(says: SolarCharger) -> Values:
    return _CHARGER.decode(victron.solar_charger(says, _KEY), _KEY).values


def test_a_battery_monitor_in_full() -> None:
    says = BatteryMonitor(voltage=13.27, current=-4.567, soc=87.3, consumed=-12.4, minutes=633)
    values = _monitor(says)
    assert values == {
        "voltage": 13.27,
        "current": -4.567,
        "power": -60.6,
        "soc": 87.3,
        "consumed_charge": -12.4,
        "time_remaining": 37_980,
        "alarm": "OFF",
        **{name: "OFF" for name in _MONITOR.rows if name.startswith("alarm_")},
    }


def test_a_solar_charger_in_full() -> None:
    values = _charger(SolarCharger(voltage=13.9, current=5.4, yield_today=320, power=78, load=1.2))
    assert values == {
        "charge_state": "bulk",
        "charger_error": "no_error",
        "voltage": 13.9,
        "current": 5.4,
        "power": 78,
        "yield_today": 320,
        "load_current": 1.2,
    }


def test_two_alarms_at_once_are_both_on() -> None:
    values = _monitor(BatteryMonitor(alarm=0b0010_0100))
    on = {name for name, value in values.items() if value == "ON"}
    assert on == {"alarm", "alarm_low_soc", "alarm_low_temperature"}


@pytest.mark.parametrize(
    ("bit", "name"), list(enumerate(name for name in _MONITOR.rows if name.startswith("alarm_")))
)
def test_each_alarm_bit_has_its_entity(bit: int, name: str) -> None:
    values = _monitor(BatteryMonitor(alarm=1 << bit))
    assert {name for name, value in values.items() if value == "ON"} == {"alarm", name}


def test_the_alarm_bits_stand_in_victrons_order() -> None:
    values = _monitor(BatteryMonitor(alarm=0x01))
    assert values["alarm_low_voltage"] == "ON"
    values = _monitor(BatteryMonitor(alarm=0x80))
    assert values["alarm_mid_voltage"] == "ON"


def test_an_alarm_of_another_kind_of_device_still_is_an_alarm() -> None:
    values = _monitor(BatteryMonitor(alarm=0x0100))
    assert {name for name, value in values.items() if value == "ON"} == {"alarm"}


@pytest.mark.parametrize("bits", [0x3FFFFF, 0x1FFFFF])
def test_current_not_available_is_null_not_minus_one_milliampere(bits: int) -> None:
    # The first is the document's, the second what devices send.
    values = _monitor(BatteryMonitor(raw={"current": bits}))
    assert values["current"] is None
    assert values["power"] is None
    assert values["voltage"] == 13.2


@pytest.mark.parametrize("current", [-0.002, 0.001, 0.0, -2000.0, 2000.0])
def test_currents_beside_not_available_survive(current: float) -> None:
    assert _monitor(BatteryMonitor(current=current))["current"] == current


def test_everything_not_available_is_null() -> None:
    values = _monitor(BatteryMonitor(voltage=None, current=None, soc=None, consumed=None))
    assert [
        name for name, value in values.items() if value is not None and not name.startswith("alarm")
    ] == []
    charger = _charger(
        SolarCharger(state=None, error=None, voltage=None, current=None, yield_today=None, power=None)
    )
    assert set(charger.values()) == {None}
    assert "load_current" not in charger


@pytest.mark.parametrize(
    ("mode", "name", "value"),
    [
        (victron.AUX_STARTER, "starter_voltage", 12.71),
        (victron.AUX_MIDPOINT, "midpoint_voltage", 6.61),
        (victron.AUX_TEMPERATURE, "temperature", 21.35),
        (victron.AUX_TEMPERATURE, "temperature", 0.0),
        (victron.AUX_TEMPERATURE, "temperature", -18.5),
    ],
)
def test_the_aux_input_reports_what_its_mode_says(mode: int, name: str, value: float) -> None:
    values = _monitor(BatteryMonitor(aux_mode=mode, aux=value))
    assert values[name] == value
    assert len(values.keys() & {"starter_voltage", "midpoint_voltage", "temperature"}) == 1


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (victron.AUX_STARTER, "starter_voltage"),
        (victron.AUX_MIDPOINT, "midpoint_voltage"),
        (victron.AUX_TEMPERATURE, "temperature"),
    ],
)
def test_an_aux_value_not_available_is_null(mode: int, name: str) -> None:
    values = _monitor(BatteryMonitor(aux_mode=mode, aux=None))
    assert name in values
    assert values[name] is None


def test_a_temperature_of_absolute_zero_is_a_missing_sensor() -> None:
    values = _monitor(BatteryMonitor(aux_mode=victron.AUX_TEMPERATURE, raw={"aux": 0}))
    assert values["temperature"] is None


def test_no_aux_input_no_aux_entities() -> None:
    values = _monitor(BatteryMonitor(aux_mode=victron.AUX_NONE))
    assert not values.keys() & {"starter_voltage", "midpoint_voltage", "temperature"}


@pytest.mark.parametrize(
    ("says", "unknown"),
    [(SolarCharger(state=77), "charge_state"), (SolarCharger(error=250), "charger_error")],
)
def test_an_unknown_code_is_null_and_the_rest_survives(says: SolarCharger, unknown: str) -> None:
    decoded = _CHARGER.decode(victron.solar_charger(says, _KEY), _KEY)
    assert decoded.unknown == (unknown,)
    assert [name for name, value in decoded.values.items() if value is None] == [unknown]
    assert decoded.values["power"] == 70


def test_codes_become_the_listed_words() -> None:
    values = _charger(SolarCharger(state=252, error=53))
    assert values["charge_state"] == "external_control"
    assert values["charger_error"] == "inverter_output_voltage_a"
    options = _CHARGER.rows["charge_state"].entity.options
    assert options is not None
    assert "not_available" not in options


def test_charging_current_may_be_negative() -> None:
    assert _charger(SolarCharger(current=-3.2, load=4.0))["current"] == -3.2


def test_an_unknown_model_has_no_name() -> None:
    raw = victron.battery_monitor(BatteryMonitor(), _KEY, model_id=0xFFF0)
    assert _MONITOR.decode(raw, _KEY).model is None


def test_a_battery_sense_is_not_a_battery_monitor() -> None:
    raw = victron.battery_monitor(BatteryMonitor(), _KEY, model_id=0xA3A4)
    with pytest.raises(WrongKindError, match="Smart Battery Sense"):
        _MONITOR.decode(raw, _KEY)


def test_other_victron_frames_are_not_records() -> None:
    with pytest.raises(BadRecordError, match="Instant Readout"):
        _MONITOR.decode(b"\x02\x01\x89\xa3", _KEY)


@pytest.mark.parametrize("key", [b"", _KEY[:15], _KEY + b"\x00"])
def test_a_key_of_the_wrong_length_is_a_wrong_key(key: bytes) -> None:
    with pytest.raises(WrongKeyError, match="16 bytes"):
        _MONITOR.decode(victron.battery_monitor(BatteryMonitor(), _KEY), key)


def test_a_wrong_key_error_tells_nothing_of_the_key() -> None:
    with pytest.raises(WrongKeyError) as caught:
        _MONITOR.decode(victron.battery_monitor(BatteryMonitor(), _KEY), bytes.fromhex("5e" * 16))
    assert "5e" not in str(caught.value)


@pytest.mark.parametrize(
    "says",
    [
        BatteryMonitor(voltage=100.01),
        BatteryMonitor(voltage=-0.01),
        BatteryMonitor(soc=100.1),
        BatteryMonitor(current=-2000.1),
        BatteryMonitor(consumed=-10_000.1),
        BatteryMonitor(alarm=0x4000),
        BatteryMonitor(alarm=0x0300),
    ],
)
def test_what_no_battery_monitor_says_is_implausible(says: BatteryMonitor) -> None:
    with pytest.raises(ImplausibleError, match=r"^implausible: "):
        _monitor(says)


@pytest.mark.parametrize(
    "says",
    [
        SolarCharger(voltage=100.01),
        SolarCharger(current=-60.1),
        SolarCharger(current=250.1),
        SolarCharger(power=20_001),
        SolarCharger(yield_today=200_010),
        SolarCharger(state=77, error=250),
    ],
)
def test_what_no_solar_charger_says_is_implausible(says: SolarCharger) -> None:
    with pytest.raises(ImplausibleError, match=r"^implausible: "):
        _charger(says)


def _sealed_monitor(iv: int) -> bytes:
    return victron.battery_monitor(BatteryMonitor(current=-3.1, consumed=-21.0), _KEY, iv)


def _sealed_charger(iv: int) -> bytes:
    return victron.solar_charger(SolarCharger(), _KEY, iv)


@pytest.mark.parametrize(
    ("name", "sealed"),
    [("victron_battery_monitor", _sealed_monitor), ("victron_solar_charger", _sealed_charger)],
)
def test_a_wrong_key_with_the_right_first_byte_is_nearly_always_noticed(
    name: str, sealed: Callable[[int], bytes]
) -> None:
    wrong = _KEY[:1] + random.Random(7).randbytes(15)  # noqa: S311 — noise, not secrets
    passed = 0
    for iv in range(5000):
        try:
            ble_kind(name).decode(sealed(iv), wrong)
        except ImplausibleError:
            continue
        passed += 1
    assert passed <= 15
