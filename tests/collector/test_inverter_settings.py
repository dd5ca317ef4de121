"""Settings of inverters over Modbus TCP, at pymodbus's server: each is read, written and read back."""

from dataclasses import dataclass

import pytest

from bus.commands import Switch, Wanted
from collector.devices.description import RefusedError, UnfitError
from collector.devices.modbus.device import make
from collector.devices.modbus.models import shipped
from collector.transports.modbus_tcp import ModbusTcp
from config.model import Device
from tests.emulators.modbus_tcp import HOST, ModbusServer, Unit


@dataclass(frozen=True)
class Setting:
    """What registers say before and after a command."""

    profile: str
    entity: str
    before: dict[int, int]
    said: object
    wanted: Wanted
    after: dict[int, int]


HUAWEI = {37046: 0, 37047: 5000, 37048: 0, 37049: 5000} | dict.fromkeys(range(47075, 47088), 0)
HUAWEI |= {47076: 2500, 47078: 5000, 47081: 1000, 47082: 120}
GOODWE = {45356: 80, 47509: 0, 47510: 10_000}
DEYE = {108: 100, 109: 120, 142: 2}
SUNGROW = {13073: 9610, 13086: 0x55}
SETTINGS = (
    Setting("huawei_sun2000", "battery_charge_power_limit", HUAWEI, 2500, 5000, {47075: 0, 47076: 5000}),
    Setting("huawei_sun2000", "battery_discharge_power_limit", HUAWEI, 5000, 0, {47077: 0, 47078: 0}),
    Setting("huawei_sun2000", "battery_charge_cutoff", HUAWEI, 100, 95.5, {47081: 955}),
    Setting("huawei_sun2000", "battery_discharge_cutoff", HUAWEI, 12, 20, {47082: 200}),
    Setting("huawei_sun2000", "charge_from_grid", HUAWEI, "OFF", Switch.ON, {47087: 1}),
    Setting("goodwe", "battery_discharge_depth", GOODWE, 80, 50, {45356: 50}),
    Setting("goodwe", "grid_export_limited", GOODWE, "OFF", Switch.TOGGLE, {47509: 1}),
    Setting("goodwe", "grid_export_limit", GOODWE, 10_000, 0, {47510: 0}),
    Setting("growatt", "power_limit", {3: 255}, None, 60, {3: 60}),
    Setting("growatt", "power_limit", {3: 60}, 60, 100, {3: 100}),
    Setting("deye_sg04lp3", "battery_charge_current_limit", DEYE, 100, 0, {108: 0}),
    Setting("deye_sg04lp3", "battery_discharge_current_limit", DEYE, 120, 240, {109: 240}),
    Setting("deye_sg04lp3", "work_mode", DEYE, "zero_export_to_ct", "export_first", {142: 0}),
    Setting("sungrow_sh", "grid_export_limit", SUNGROW, 9610, 0, {13073: 0}),
    Setting("sungrow_sh", "grid_export_limited", SUNGROW, "off", "on", {13086: 0xAA}),
)


def at(port: int, line: ModbusTcp, one: Setting, wanted: Wanted) -> object:
    device = make(Device(kind="modbus", port=f"tcp://{HOST}:{port}", unit=1, profile=one.profile))
    told = device._told(line, one.entity)
    assert told is not None
    assert told[0] == one.said
    return device.switch(line, one.entity, wanted)[one.entity]


@pytest.mark.parametrize("one", SETTINGS, ids=lambda one: f"{one.profile} {one.entity} {one.wanted}")
def test_a_setting_is_read_written_and_read_back(one: Setting) -> None:
    with ModbusServer({1: Unit(holding=one.before, input={0: 0})}) as server:
        line = ModbusTcp(HOST, server.port)
        told = at(server.port, line, one, one.wanted)
        found = {address: line.registers(1, 3, address, 1)[0] for address in one.before}
        line.close()
    assert told == {"TOGGLE": "ON"}.get(str(one.wanted), one.wanted)
    assert found == one.before | one.after


def test_a_battery_takes_no_more_than_it_is_made_for() -> None:
    one = SETTINGS[0]
    with ModbusServer({1: Unit(holding=one.before, input={0: 0})}) as server:
        line = ModbusTcp(HOST, server.port)
        with pytest.raises(UnfitError, match="value 5001: allowed is 0 to 5000"):
            at(server.port, line, one, 5001)
        line.close()


def test_a_setting_that_a_model_lacks_is_refused_in_words() -> None:
    with ModbusServer({1: Unit(holding={0: 0}, input={0: 0})}) as server:
        line = ModbusTcp(HOST, server.port)
        device = make(Device(kind="modbus", port=f"tcp://{HOST}:{server.port}", unit=1, profile="growatt"))
        with pytest.raises(RefusedError, match=r"no such address \(exception 2\)"):
            device.switch(line, "power_limit", 60)
        line.close()


def test_every_setting_of_a_shipped_profile_is_written_in_some_test() -> None:
    written = {(one.profile, one.entity) for one in SETTINGS}
    settings = {
        (profile.name, key)
        for profile in shipped()
        for key, row in profile.rows().items()
        if row.write is not None and profile.name != "epever_tracer"
    }
    assert settings == written


def test_without_its_rating_a_battery_takes_nothing() -> None:
    one = SETTINGS[0]
    lacks = {address: word for address, word in one.before.items() if address > 40_000}
    with ModbusServer({1: Unit(holding=lacks, input={0: 0})}) as server:
        line = ModbusTcp(HOST, server.port)
        with pytest.raises(UnfitError, match="does not say its battery_charge_power_rating"):
            at(server.port, line, one, 100)
        line.close()
