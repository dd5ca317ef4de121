"""What values are in the energy flow of the house, and what devices tell of themselves."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from bus.about import ROLES, Entity, decode
from collector.device import own
from collector.devices import KINDS
from collector.devices.description import Decoded, Row
from collector.devices.imported import row_of
from collector.devices.modbus.models import shipped
from collector.devices.rows import with_role
from collector.devices.victron import vedirect
from collector.devices.victron.ble import decode_any
from collector.devices.victron.labels import ROWS
from collector.devices.victron.products import Family
from collector.importing import owned_imports
from config.load import load
from config.mistakes import ConfigError
from config.model import Device, Import, ImportEntity, Settings
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators import victron
from tests.emulators.vedirect import Mppt, SmartShunt

KEY = bytes(range(16))


def _all() -> Iterator[tuple[str, Mapping[str, Row]]]:
    yield from ((name, kind.rows) for name, kind in KINDS.items() if name != "vedirect")
    yield from ((f"vedirect {family.name}", rows) for family, rows in ROWS.items())
    yield from ((profile.name, profile.rows()) for profile in shipped())


TABLES = dict(_all())
# Inputs of an inverter that tells no sum.
PARTS = {("sma", "pv_power_2")}


@pytest.mark.parametrize("name", TABLES)
def test_role_and_class_say_exactly_which_value_it_is(name: str) -> None:
    entities = {
        key: row.entity
        for key, row in TABLES[name].items()
        if row.entity.role is not None and (name, key) not in PARTS
    }
    assert {one.role for one in entities.values()} <= set(ROLES)
    said = Counter((one.role, one.device_class, one.unit, one.daily) for one in entities.values())
    assert [twice for twice, count in said.items() if count > 1] == []


@pytest.mark.parametrize(
    ("table", "key", "role"),
    [
        ("victron_battery_monitor", "soc", "battery"),
        ("victron_battery_monitor", "power", "battery"),
        ("victron_battery_monitor", "time_remaining", "battery"),
        ("victron_battery_monitor", "starter_voltage", "starter"),
        ("victron_battery_monitor", "midpoint_voltage", None),
        ("victron_solar_charger", "power", "solar"),
        ("victron_solar_charger", "yield_today", "solar"),
        ("victron_solar_charger", "load_current", "load"),
        ("victron_ac_charger", "power", "charger"),
        ("victron_orion_xs", "power", "alternator"),
        ("victron_dc_dc_converter", "input_voltage", "starter"),
        ("victron_inverter", "ac_apparent_power", "load"),
        ("victron_multi_rs", "ac_in_power", "grid"),
        ("victron_ve_bus", "ac_out_power", "load"),
        ("victron_dc_energy_meter", "power", None),
        ("victron_lynx_bms", "soc", "battery"),
        ("victron_smart_lithium", "voltage", "battery"),
        ("victron_smart_battery_protect", "output_voltage", "load"),
        ("vedirect MONITOR", "energy_charged", "battery"),
        ("vedirect MONITOR", "energy_discharged", None),
        ("vedirect SOLAR", "yield_total", "solar"),
        ("vedirect SOLAR", "yield_yesterday", None),
        ("vedirect OTHER", "power", None),
        ("epever_tracer", "load_power", "load"),
        ("epever_tracer", "pv_energy_today", "solar"),
        ("epever_tracer", "power", None),
        ("sungrow_sh", "grid_import_energy", "grid"),
        ("sungrow_sh", "grid_export_energy", None),
        ("sungrow_sh", "battery_discharge_energy", None),
        ("sungrow_sh", "pv_voltage_1", None),
        ("sma", "pv_power_1", "solar"),
        ("route_b_meter", "grid_power", "grid"),
        ("route_b_meter", "current_r", None),
        ("tank_sender", "level", "tank"),
        ("tank_switches", "volume", "tank"),
        ("ina219", "power", None),
    ],
)
def test_what_a_value_is_in_the_house(table: str, key: str, role: str | None) -> None:
    assert TABLES[table][key].entity.role == role


@pytest.mark.parametrize(
    ("kind", "role", "roles"),
    [
        ("ina219", "load", {"power": "load", "current": "load", "voltage": "load"}),
        ("ina219", None, {"power": None}),
        # A second monitor, at the starter battery, or at one that has no part in the house.
        (
            "victron_battery_monitor",
            "starter",
            {"soc": "starter", "power": "starter", "consumed_charge": None, "rssi": None},
        ),
        ("victron_battery_monitor", "none", {"soc": None, "power": None, "starter_voltage": "starter"}),
        ("victron_dc_energy_meter", "alternator", {"power": "alternator", "starter_voltage": "starter"}),
        ("victron_dc_energy_meter", "load", {"meter_type": None, "alarm": "load", "alarm_low_voltage": None}),
    ],
)
def test_its_owner_says_what_a_device_measures(
    kind: str, role: str | None, roles: dict[str, str | None]
) -> None:
    entities = {key: row.entity for key, row in KINDS[kind].rows.items()}
    found = with_role(entities, role)
    assert {key: found[key].role for key in roles} == roles


def test_about_says_the_role_of_the_settings(tmp_path: Path, time: FakeTime) -> None:
    rig = Rig(tmp_path, time, {"fridge": Device(kind="ina219", role="load")}, "i2c")
    (about,) = map(json.loads, rig.bus.on("camper/about/fridge"))
    assert about["entities"]["power"]["role"] == "load"


def test_a_role_that_is_none_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "boondock.toml"
    file.write_text('[device.fridge]\nkind = "ina219"\nrole = "frigde"\n')
    with pytest.raises(ConfigError, match=r"device\.fridge\.role.*load"):
        load(file)


def test_an_import_says_the_role_of_an_entity() -> None:
    one = ImportEntity(path="p", unit="W", role="generator")
    assert row_of("power", one).entity.role == "generator"
    (owned,) = owned_imports(Settings(imports={"gen": Import(model="EU22i", entities={"power": one})}), 0.0)
    assert owned.about().model == "EU22i"


def test_a_stranger_may_say_it_and_a_wrong_one_is_told() -> None:
    about = decode(b'{"name": "x", "model_id": "m", "entities": {"e": {"name": "y", "role": "load"}}}')
    assert (about.entities["e"], about.model_id) == (Entity(name="y", role="load"), "m")
    with pytest.raises(ValueError, match=r"entities\.e\.role 'lood': allowed are battery, starter, .*, tank"):
        decode(b'{"name": "x", "entities": {"e": {"name": "y", "role": "lood"}}}')


def _abouts(kind: str, decoded: Sequence[Decoded], disabled: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """Return what about says of the device after each of these, and whether that changed."""
    owned = own(Settings(), "dev", Device(kind=kind, disabled=disabled), 0.0)
    found = []
    for one in decoded:
        changed = owned.learn(one)
        about = owned.about()
        keys = ("manufacturer", "model", "model_id", "serial_number", "sw_version")
        found.append({key: getattr(about, key) for key in keys} | {"changed": changed})
    return found


def test_a_serial_number_that_comes_later_is_said_once() -> None:
    fields = dict(Mppt().main())
    parts = [{key: text for key, text in fields.items() if key not in ("FW", "SER#")}, fields, fields]
    first, second, third = _abouts("vedirect", [vedirect.decode(one) for one in parts])
    assert (first["model_id"], first["serial_number"], first["sw_version"]) == (fields["PID"], None, None)
    assert second["serial_number"] == fields["SER#"]
    assert second["sw_version"] is not None
    assert (second["changed"], third["changed"]) == (True, False)
    assert second | {"changed": False} == third


def test_a_serial_number_that_its_owner_switched_off_is_not_said() -> None:
    (found,) = _abouts("vedirect", [vedirect.decode(Mppt().main())], disabled=("serial_number",))
    assert found["serial_number"] is None
    assert found["sw_version"] is not None


def test_a_monitor_that_measures_something_else_has_no_battery() -> None:
    monitor = vedirect.decode(SmartShunt().main())
    assert monitor.rows == ROWS[Family.MONITOR]
    meter = vedirect.decode({**SmartShunt().main(), "MON": "6"})
    assert meter.rows is not None
    assert {row.entity.role for row in meter.rows.values()} == {None, "starter"}


def test_a_victron_advertisement_names_its_model_id() -> None:
    frame = victron.battery_monitor(victron.BatteryMonitor(), KEY)
    (found,) = _abouts("victron_battery_monitor", [decode_any(frame, KEY)])
    assert found["model_id"] == f"0x{int.from_bytes(frame[2:4], 'little'):04X}"


def test_a_version_that_changes_is_said_again() -> None:
    told = [Decoded({}, sw_version=version) for version in ("1.61", "1.61", "1.62")]
    found = _abouts("raspberry_pi", [Decoded({}), *told])
    assert [(one["sw_version"], one["changed"]) for one in found] == [
        *((None, False), ("1.61", True)),
        *(("1.61", False), ("1.62", True)),
    ]
