"""Every Victron record against the twin: both ends, "not available", codes, and what is implausible."""

from collections.abc import Mapping

import pytest

from collector.devices.description import Decoded, ImplausibleError, Value
from tests.collector.kinds import ble_kind
from tests.emulators.victron import seal
from tests.emulators.victron_records import TWINS

_KEY = bytes.fromhex("64ba49f1a8562e45197a8e1fe50d7658")
_CASES = [(kind, *case) for kind, layout in TWINS.items() for case in layout.numbers]


def _says(kind: str, /, **values: float | None) -> Decoded:
    return _sends(kind, values)


def _sends(kind: str, values: Mapping[str, float | None], raw: Mapping[str, int] | None = None) -> Decoded:
    return ble_kind(kind).decode(TWINS[kind].sealed(values, _KEY, raw=raw), _KEY)


@pytest.mark.parametrize(("kind", "field", "entity", "values"), _CASES)
def test_a_number_comes_back_as_it_was_sent(
    kind: str, field: str, entity: str, values: tuple[float, ...]
) -> None:
    for value in values:
        assert _says(kind, **{field: value}).values[entity] == value


@pytest.mark.parametrize(("kind", "field", "entity", "values"), _CASES)
def test_a_number_not_available_is_null(
    kind: str, field: str, entity: str, values: tuple[float, ...]
) -> None:
    others = {name: between[len(between) // 2] for name, _, between in TWINS[kind].numbers if name != field}
    # Eight cells at 3.31 V and no total contradict nothing.
    others.pop("voltage", None)
    decoded = _says(kind, **others)
    assert decoded.values.get(entity) is None
    assert _says(kind, **{field: values[0]}).values[entity] is not None


# Elsewhere the field ends where its scale ends.
_BOUNDED = [
    (kind, field, values)
    for kind, field, _, values in _CASES
    if kind == "victron_battery_sense"
    or (kind != "victron_smart_lithium" and field not in ("error", "temperature"))
]


@pytest.mark.parametrize(("kind", "field", "values"), _BOUNDED)
def test_one_step_beyond_is_implausible(kind: str, field: str, values: tuple[float, ...]) -> None:
    per_unit = TWINS[kind].fields[field].per_unit
    end = values[-1] if per_unit > 0 else values[0]
    with pytest.raises(ImplausibleError, match=r"^implausible: "):
        _says(kind, **{field: end + 1 / per_unit})


_STATES = (
    ("victron_ac_charger", "state", "charge_state", 11, "power_supply"),
    ("victron_dc_dc_converter", "state", "charge_state", 3, "bulk"),
    ("victron_orion_xs", "state", "charge_state", 252, "external_control"),
    ("victron_inverter", "state", "device_state", 9, "inverting"),
    ("victron_multi_rs", "state", "device_state", 244, "sustain"),
    ("victron_multi_rs", "state", "device_state", 247, "recondition"),
    ("victron_multi_rs", "state", "device_state", 252, "external_control"),
    ("victron_multi_rs", "error", "charger_error", 200, "internal_dc_voltage_a"),
    ("victron_multi_rs", "ac_input", "ac_input", 2, "not_connected"),
    ("victron_ve_bus", "state", "device_state", 8, "passthru"),
    ("victron_ve_bus", "state", "device_state", 10, "assisting"),
    ("victron_ve_bus", "ac_input", "ac_input", 1, "ac_in_2"),
    ("victron_smart_battery_protect", "state", "device_state", 249, "active"),
    ("victron_smart_battery_protect", "output_state", "output_state", 0, "off"),
    ("victron_smart_battery_protect", "output_state", "output_state", 4, "off"),
    ("victron_smart_battery_protect", "output_state", "output_state", 1, "on"),
    ("victron_smart_battery_protect", "error", "charger_error", 119, "settings"),
    ("victron_smart_lithium", "balancer", "balancer", 2, "balancing"),
    ("victron_smart_lithium", "balancer", "balancer", 0, None),
    ("victron_lynx_bms", "error", "error", 0, "no_error"),
    ("victron_lynx_bms", "error", "error", 36, "atc_atd_failure"),
    ("victron_dc_energy_meter", "meter_type", "meter_type", 0, "battery_monitor"),
    ("victron_dc_energy_meter", "meter_type", "meter_type", -1, "generic_source"),
    ("victron_dc_energy_meter", "meter_type", "meter_type", -9, "solar_charger"),
    ("victron_dc_energy_meter", "meter_type", "meter_type", 8, "water_heater"),
)


@pytest.mark.parametrize(("kind", "field", "entity", "code", "word"), _STATES)
def test_codes_become_words(kind: str, field: str, entity: str, code: int, word: Value) -> None:
    decoded = _says(kind, **{field: code})
    assert decoded.values[entity] == word
    assert decoded.unknown == ()


@pytest.mark.parametrize(
    ("kind", "field", "entity", "code"),
    [
        ("victron_ac_charger", "state", "charge_state", 77),
        ("victron_ac_charger", "error", "charger_error", 250),
        ("victron_dc_dc_converter", "state", "charge_state", 77),
        ("victron_orion_xs", "error", "charger_error", 250),
        ("victron_inverter", "state", "device_state", 77),
        ("victron_multi_rs", "state", "device_state", 200),
        ("victron_ve_bus", "state", "device_state", 200),
        ("victron_smart_battery_protect", "output_state", "output_state", 9),
        ("victron_smart_lithium", "balancer", "balancer", 7),
        ("victron_lynx_bms", "error", "error", 101),
        ("victron_dc_energy_meter", "meter_type", "meter_type", 40),
        ("victron_dc_energy_meter", "meter_type", "meter_type", -40),
    ],
)
def test_an_unknown_code_is_null_and_named_and_the_rest_survives(
    kind: str, field: str, entity: str, code: int
) -> None:
    decoded = _says(kind, **{field: code})
    assert decoded.unknown == (entity,)
    assert decoded.values[entity] is None
    assert decoded.values.keys() == _says(kind).values.keys()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("victron_ac_charger", {"state": 77, "error": 250}),
        ("victron_ac_charger", {"state": 77, "error": 17}),
        ("victron_ac_charger", {"current_1": 70.0, "current_2": 60.1}),
        ("victron_dc_dc_converter", {"state": 77, "error": 33}),
        ("victron_dc_dc_converter", {"output_voltage": -0.01}),
        ("victron_dc_dc_converter", {"off_reason": 0x30000}),
        ("victron_ve_bus", {"state": 77, "error": 3}),
        ("victron_lynx_bms", {"error": 101, "alarms": 2}),
        ("victron_lynx_bms", {"voltage": -0.01}),
        ("victron_dc_energy_meter", {"meter_type": 64}),
        ("victron_dc_energy_meter", {"alarm": 0x8000}),
        ("victron_dc_energy_meter", {"alarm": 0x0180}),
        ("victron_battery_sense", {"current": 1.0}),
        ("victron_battery_sense", {"aux_mode": 0}),
        ("victron_battery_sense", {"alarm": 0x4000}),
        ("victron_inverter", {"alarm": 0x8000}),
        ("victron_inverter", {"alarm": 0x0084}),
        ("victron_smart_battery_protect", {"warning": 0x8000}),
        ("victron_smart_lithium", {"flags": 1 << 31}),
        ("victron_smart_lithium", {"flags": 0b11_0000}),
        ("victron_smart_lithium", {"flags": 1 << 15 | 1 << 22}),
        ("victron_smart_lithium", {"errors": 0x1800}),
        ("victron_smart_lithium", {"voltage": 13.2, **{f"cell_{n}": 3.6 for n in range(1, 5)}}),
    ],
)
def test_what_contradicts_itself_is_implausible(kind: str, values: dict[str, float | None]) -> None:
    with pytest.raises(ImplausibleError, match=r"^implausible: "):
        _says(kind, **values)


@pytest.mark.parametrize(
    ("kind", "values", "watts"),
    [
        ("victron_dc_energy_meter", {"voltage": 12.5, "current": -4.0}, -50.0),
        ("victron_lynx_bms", {"voltage": 26.5, "current": -0.6}, -15.9),
        ("victron_multi_rs", {"voltage": 51.71, "current": -12.8}, -661.89),
        ("victron_orion_xs", {"output_voltage": 13.6, "output_current": 20.5}, 278.8),
        ("victron_ve_bus", {"voltage": 14.45, "current": 23.2}, 335.24),
        ("victron_ve_bus", {"voltage": 14.45}, None),
        ("victron_ve_bus", {"current": 1.0}, None),
    ],
)
def test_power_is_voltage_times_current(
    kind: str, values: dict[str, float | None], watts: float | None
) -> None:
    assert _says(kind, **values).values["power"] == watts


@pytest.mark.parametrize("bits", [0x3FFFFF, 0x1FFFFF])
def test_both_spellings_of_a_current_not_available_are_null(bits: int) -> None:
    values = _sends("victron_dc_energy_meter", {"voltage": 12.0}, {"current": bits}).values
    assert (values["current"], values["power"], values["voltage"]) == (None, None, 12.0)


@pytest.mark.parametrize("field", ["output_voltage", "output_current", "input_voltage", "input_current"])
@pytest.mark.parametrize("bits", [0xFFFF, 0x7FFF])
def test_both_spellings_of_not_available_of_an_orion_xs_are_null(field: str, bits: int) -> None:
    assert _sends("victron_orion_xs", {}, {field: bits}).values[field] is None


@pytest.mark.parametrize(
    ("mode", "entity", "aux", "value"),
    [
        (0, "starter_voltage", 0x7FFF, None),
        (0, "starter_voltage", 0xFFFF, -0.01),
        (0, "starter_voltage", 1271, 12.71),
        (2, "temperature", 0xFFFF, None),
        (2, "temperature", 0, None),
        (2, "temperature", 27315, 0.0),
        (2, "temperature", 25465, -18.5),
    ],
)
def test_the_aux_input_of_a_meter(mode: int, entity: str, aux: int, value: float | None) -> None:
    values = _sends("victron_dc_energy_meter", {}, {"aux_mode": mode, "aux": aux}).values
    assert values.keys() & {"starter_voltage", "temperature"} == {entity}
    assert values[entity] == value


@pytest.mark.parametrize("mode", [1, 3])
def test_a_meter_without_an_aux_input_has_no_entity_for_it(mode: int) -> None:
    values = _sends("victron_dc_energy_meter", {}, {"aux_mode": mode}).values
    assert not values.keys() & {"starter_voltage", "temperature"}


def test_a_small_lithium_battery_has_four_cells_and_a_large_one_eight() -> None:
    four: dict[str, float | None] = {f"cell_{n}": 3.31 for n in range(1, 5)}
    values = _says("victron_smart_lithium", voltage=13.24, **four).values
    assert {name for name in values if name.startswith("cell_")} == {f"cell_{n}_voltage" for n in range(1, 5)}
    values = _says("victron_smart_lithium", cell_7=3.3, **four).values
    assert {n: values[f"cell_{n}_voltage"] for n in range(5, 9)} == {5: None, 6: None, 7: 3.3, 8: None}


@pytest.mark.parametrize(
    ("voltage", "cells"),
    [
        (13.24, (3.31, 3.31, 3.31, 3.31)),
        # One cell is unknown, one is deep below the scale, one above it.
        (13.24, (3.31, 3.31, None, 3.31)),
        (8.5, (2.6, 2.9, 2.9, 2.9)),
        (15.5, (3.86, 3.3, 3.3, 3.3)),
        (26.4, (3.3,) * 8),
        (40.94, ()),
    ],
)
def test_cells_and_voltage_that_fit_are_believed(voltage: float, cells: tuple[float | None, ...]) -> None:
    says: dict[str, float | None] = {f"cell_{n}": cell for n, cell in enumerate(cells, start=1)}
    assert _says("victron_smart_lithium", voltage=voltage, **says).values["voltage"] == voltage


@pytest.mark.parametrize(
    ("voltage", "cells"),
    [
        (15.5, (2.6, 3.3, 3.3, 3.3)),
        (10.0, (3.86, 3.3, 3.3, 3.3)),
        (8.0, (3.31, 3.31, None, 3.31)),
        (13.2, (3.3,) * 8),
    ],
)
def test_cells_and_voltage_that_do_not_fit_are_noise(voltage: float, cells: tuple[float | None, ...]) -> None:
    says: dict[str, float | None] = {f"cell_{n}": cell for n, cell in enumerate(cells, start=1)}
    with pytest.raises(ImplausibleError, match="sum of the cells"):
        _says("victron_smart_lithium", voltage=voltage, **says)


def test_what_an_ac_charger_lacks_has_no_entity() -> None:
    values = _says("victron_ac_charger", voltage_1=13.5, current_1=0.5).values
    assert not values.keys() & {"voltage_2", "current_2", "voltage_3", "current_3", "ac_current"}


def test_a_battery_protect_switched_off_by_its_remote_input() -> None:
    # Published decrypted: github.com/mp-se/victron-receiver, issue 16.
    plain = bytes.fromhex("00000000000000740a0c0008000000ff")
    raw = seal(plain, _KEY, readout_type=0x09, model_id=0xA3B0, iv=1)
    decoded = ble_kind("victron_smart_battery_protect").decode(raw, _KEY)
    said = {
        "device_state": "off",
        "output_state": "off",
        "charger_error": "no_error",
        "input_voltage": 26.76,
        "output_voltage": 0.12,
        "alarm": "OFF",
        "warning": "OFF",
        "off_reason": "remote_input",
        "off_reason_remote_input": "ON",
    }
    assert {name: decoded.values[name] for name in said} == said


def test_a_lynx_with_minutes_left() -> None:
    assert _says("victron_lynx_bms", minutes=633).values["time_remaining"] == 37_980
