"""Bits of Victron records: each has its entity, two at once are both on, and unknown ones are not lost."""

import pytest

from collector.devices.description import Values
from tests.collector.kinds import ble_kind
from tests.emulators.victron_records import TWINS

_KEY = bytes.fromhex("64ba49f1a8562e45197a8e1fe50d7658")
# VE_REG_ALARM_REASON in the order of its bits (VE.Direct-Protocol-3.32.pdf, field AR).
_REASONS = (
    "low_voltage",
    "high_voltage",
    "low_soc",
    "low_starter_voltage",
    "high_starter_voltage",
    "low_temperature",
    "high_temperature",
    "mid_voltage",
    "overload",
    "dc_ripple",
    "low_ac_voltage",
    "high_ac_voltage",
    "short_circuit",
    "bms_lockout",
)
_REASON_FIELDS = (
    ("victron_dc_energy_meter", "alarm"),
    ("victron_inverter", "alarm"),
    ("victron_smart_battery_protect", "alarm"),
    ("victron_smart_battery_protect", "warning"),
)
# VE_REG_DEVICE_OFF_REASON_2 in the order of its bits (VE.Direct-Protocol-3.32.pdf, field OR; velib).
_OFF = (
    "no_input_power",
    "switched_off_switch",
    "switched_off_register",
    "remote_input",
    "protection_active",
    "pay_as_you_go_out_of_credit",
    "bms",
    "engine_shutdown",
    "analysing_input_voltage",
    "low_battery_temperature",
    "no_pv_power",
    "low_battery",
    "low_mains",
    "no_can_sync",
    "not_enough_inverters",
    "active_alarm",
)
_OFF_KINDS = ("victron_dc_dc_converter", "victron_orion_xs", "victron_smart_battery_protect")


def _values(kind: str, **numbers: int) -> Values:
    return ble_kind(kind).decode(TWINS[kind].sealed({}, _KEY, raw=numbers), _KEY).values


def _on(kind: str, **numbers: int) -> set[str]:
    return {name for name, value in _values(kind, **numbers).items() if value == "ON"}


@pytest.mark.parametrize(("kind", "field"), _REASON_FIELDS)
def test_each_reason_is_on_alone_under_its_own_name(kind: str, field: str) -> None:
    rows, named = ble_kind(kind).rows, 0
    for bit, reason in enumerate(_REASONS):
        own = {f"{field}_{reason}"} & rows.keys()
        named += len(own)
        assert _on(kind, **{field: 1 << bit}) == {field} | own
    assert named == sum(name.startswith(f"{field}_") for name in rows)


@pytest.mark.parametrize(("kind", "field"), _REASON_FIELDS)
def test_two_reasons_at_once_are_both_on(kind: str, field: str) -> None:
    assert _on(kind, **{field: 0b100001}) == {field, f"{field}_low_voltage", f"{field}_low_temperature"}
    assert _on(kind) == set()


def test_alarms_and_warnings_of_a_battery_protect_are_kept_apart() -> None:
    on = _on("victron_smart_battery_protect", alarm=0x2001, warning=0x0001)
    assert on == {"alarm", "alarm_low_voltage", "alarm_bms_lockout", "warning", "warning_low_voltage"}


@pytest.mark.parametrize("kind", _OFF_KINDS)
def test_each_off_reason_alone(kind: str) -> None:
    assert _values(kind)["off_reason"] == "none"
    for bit, word in enumerate(_OFF):
        values = _values(kind, off_reason=1 << bit)
        assert values["off_reason"] == word
        assert {name for name, value in values.items() if value == "ON"} == {f"off_reason_{word}"}


@pytest.mark.parametrize("kind", _OFF_KINDS)
def test_several_off_reasons_at_once(kind: str) -> None:
    # A Smart BatteryProtect that is switched off while it protects (keshavdv/victron-ble, pull request 74).
    values = _values(kind, off_reason=0x14)
    assert values["off_reason"] == "several"
    on = {name for name, value in values.items() if value == "ON"}
    assert on == {"off_reason_switched_off_register", "off_reason_protection_active"}


@pytest.mark.parametrize("kind", _OFF_KINDS)
def test_an_off_reason_nobody_has_described_is_unknown(kind: str) -> None:
    decoded = ble_kind(kind).decode(TWINS[kind].sealed({}, _KEY, raw={"off_reason": 1 << 20}), _KEY)
    assert decoded.unknown == ("off_reason",)
    assert decoded.values["off_reason"] is None
    assert _values(kind, off_reason=1 << 20 | 1)["off_reason"] == "several"


@pytest.mark.parametrize(
    ("number", "alarm", "warning"), [(0, "OFF", "OFF"), (1, "OFF", "ON"), (2, "ON", "OFF"), (3, None, None)]
)
def test_the_alarm_of_a_multiplus(number: int, alarm: str | None, warning: str | None) -> None:
    values = _values("victron_ve_bus", alarm=number)
    assert (values["alarm"], values["warning"]) == (alarm, warning)


# github.com/victronenergy/dbus-ble-sensors, src/victron-smartlithium.c; velib, VE_REG_BMS_FLG_*.
_FLAGS = {
    9: {"alarm", "alarm_high_voltage"},
    10: {"warning", "warning_high_voltage"},
    11: {"alarm", "alarm_low_voltage"},
    12: {"warning", "warning_low_voltage"},
    15: {"alarm", "alarm_high_temperature"},
    16: {"warning", "warning_high_temperature"},
    18: {"alarm"},
    20: {"alarm"},
    21: {"warning"},
    22: {"alarm", "alarm_low_temperature"},
    23: {"alarm"},
    24: {"alarm", "alarm_hardware_failure"},
    25: {"allow_to_charge"},
    26: {"allow_to_discharge"},
    27: {"warning"},
    28: {"warning", "warning_contactor"},
    29: {"alarm", "alarm_high_current"},
    30: {"alarm", "alarm_cell_imbalance"},
}


@pytest.mark.parametrize(("bit", "on"), list(_FLAGS.items()))
def test_each_flag_of_a_lithium_battery(bit: int, on: set[str]) -> None:
    assert _on("victron_smart_lithium", flags=1 << bit) == on


def test_flags_and_errors_of_a_lithium_battery_together() -> None:
    assert _on("victron_smart_lithium", flags=0x06000000) == {"allow_to_charge", "allow_to_discharge"}
    on = _on("victron_smart_lithium", flags=1 << 11 | 1 << 12, errors=0b11)
    assert on == {
        "alarm",
        "alarm_low_voltage",
        "warning",
        "warning_low_voltage",
        "error",
        "error_balancer",
        "error_communication",
    }


@pytest.mark.parametrize("bit", range(11))
def test_each_error_of_a_lithium_battery_has_its_entity(bit: int) -> None:
    names = [name for name in ble_kind("victron_smart_lithium").rows if name.startswith("error_")]
    assert _on("victron_smart_lithium", errors=1 << bit) == {"error", names[bit]}


_LYNX_ALARMS = (
    "low_cell_voltage",
    "high_current",
    "high_internal_temperature",
    "contactor",
    "bms_cable",
    "load_disconnect",
    "low_soc",
    None,
    "high_temperature",
)


@pytest.mark.parametrize("pair", [2, 3])
@pytest.mark.parametrize(("index", "name"), list(enumerate(_LYNX_ALARMS)))
def test_each_alarm_of_a_lynx(index: int, name: str | None, pair: int) -> None:
    own = {f"alarm_{name}"} if name else set()
    assert _on("victron_lynx_bms", alarms=pair << 2 * index) == {"alarm"} | own
    values = _values("victron_lynx_bms", alarms=1 << 2 * index)
    assert values["alarm"] == "OFF"
    assert {n for n, v in values.items() if n.startswith("alarm_") and v == "OFF"} == own


def test_alarms_a_lynx_does_not_know_are_null() -> None:
    values = _values("victron_lynx_bms", alarms=0)
    assert {value for name, value in values.items() if name.startswith("alarm")} == {None}


@pytest.mark.parametrize(("pair", "value"), [(0, None), (1, "ON"), (2, "OFF"), (3, "OFF")])
@pytest.mark.parametrize(
    ("shift", "name"), [(2, "allow_to_charge"), (4, "allow_to_discharge"), (6, "external_relay")]
)
def test_the_outputs_of_a_lynx(shift: int, name: str, pair: int, value: str | None) -> None:
    assert _values("victron_lynx_bms", io=pair << shift)[name] == value


def test_the_captured_lynx_is_well() -> None:
    on = _on("victron_lynx_bms", io=5525, alarms=5205)
    assert on == {"allow_to_charge", "allow_to_discharge"}
    values = _values("victron_lynx_bms", io=5525, alarms=5205)
    assert values["external_relay"] == "OFF"
    assert values["alarm_low_cell_voltage"] == "OFF"
