"""VE.Direct HEX on a real pseudo terminal: from commands to the settings of a device."""

import pytest

from tests.collector.victron.hex_rig import Start, says, until
from tests.emulators.vedirect import Mppt, Phoenix
from tests.emulators.vedirect_hex import (
    INVERTER_REGISTERS,
    MPPT_REGISTERS,
    NOT_ALLOWED,
    READ_ONLY,
    HexDevice,
    un16,
)

GET, SET = 7, 8


def test_a_setting_is_written_read_back_and_told(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device, allow_write=True)
    says(rig, charge_current_limit=15.0)
    until(rig, lambda: rig.about("van")["charge_current_limit"]["range"] == [0, 15])
    about = rig.about("van")
    assert (about["charge_current_limit"]["command"], about["charge_current_limit"]["step"]) == (True, 0.1)
    assert about["absorption_voltage"]["range"] == [8.0, 17.4]
    rig.set("van", "charge_current_limit", "10")
    (result,) = rig.results("van", "charge_current_limit")
    assert (result["status"], result["actual"]) == ("ok", 10)
    assert device.questions(SET) == [b":8F0ED0064000C\n"]
    assert rig.said("van")[-1]["charge_current_limit"] == 10
    rig.set("van", "charge_current_limit", "12")
    assert "its memory wears" in str(rig.results("van", "charge_current_limit")[-1]["message"])
    rig.run(301, step=30.0)
    rig.set("van", "charge_current_limit", "12.5")
    assert rig.results("van", "charge_current_limit")[-1]["actual"] == 12.5
    assert device.registers[0xEDF0] == un16(12.5, 0.1)


def test_an_inverter_is_not_sent_into_hibernation(start: Start) -> None:
    device = HexDevice(INVERTER_REGISTERS, Phoenix())
    rig = start(device, allow_write=True)
    says(rig, shutdown_below=9.3, mode="inverter")
    rig.set("van", "mode", "hibernate")
    assert "ends hibernation" in str(rig.results("van", "mode")[-1]["message"])
    assert device.questions(SET) == []


def test_a_range_that_cannot_be_is_not_taken(start: Start) -> None:
    device = HexDevice(INVERTER_REGISTERS | {0x0231: un16(245, 0.01), 0x0232: un16(210, 0.01)}, Phoenix())
    rig = start(device, allow_write=True)
    says(rig, ac_voltage_set_point=230)
    until(rig, lambda: rig.about("van")["shutdown_below"]["range"] == [9.2, 17.3])
    assert rig.about("van")["ac_voltage_set_point"]["range"] == [90, 260]


def test_a_command_before_the_device_was_heard_is_refused(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device, allow_write=True)
    rig.set("van", "charge_current_limit", "10")
    result = rig.results("van", "charge_current_limit")[-1]
    assert (result["code"], "not heard yet" in str(result["message"])) == ("hardware", True)
    assert device.questions(SET) == []


def test_a_setting_that_is_so_already_is_not_written(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device, allow_write=True)
    says(rig, absorption_voltage=14.4)
    rig.set("van", "absorption_voltage", "14.4")
    assert rig.results("van", "absorption_voltage")[-1]["actual"] == 14.4
    assert device.questions(SET) == []


def test_nothing_is_written_without_leave(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, load_mode="automatic")
    for entity, wanted in (("load_mode", "on"), ("charger", "OFF"), ("float_voltage", "13.5")):
        rig.set("van", entity, wanted)
        result = rig.results("van", entity)[-1]
        assert (result["code"], "allow_write" in str(result["message"])) == ("denied", True)
    assert device.questions(SET) == []


@pytest.mark.parametrize(
    ("entity", "wanted", "register", "turns"),
    [
        ("load_mode", "on", 0xEDAB, (b"\x01", b"\x04")),
        ("load_mode", "off", 0xEDAB, (b"\x01", b"\x00")),
        ("charger", "OFF", 0x0200, (b"\x01", b"\x04")),
        ("charger", "TOGGLE", 0x0200, (b"\x04", b"\x01")),
        ("charger", "TOGGLE", 0x0200, (b"\x00", b"\x01")),
        ("charger", "ON", 0x0200, (b"\x04", b"\x01")),
        ("float_voltage", "13.65", 0xEDF6, (un16(13.8, 0.01), un16(13.65, 0.01))),
    ],
)
def test_a_choice_a_switch_and_a_number_reach_their_register(
    start: Start, entity: str, wanted: str, register: int, turns: tuple[bytes, bytes]
) -> None:
    before, after = turns
    device = HexDevice(MPPT_REGISTERS | {register: before}, Mppt())
    rig = start(device, allow_write=True)
    says(rig, charger_temperature=31.5)
    until(rig, lambda: entity in rig.about("van"))
    rig.set("van", entity, wanted)
    result = rig.results("van", entity)[-1]
    assert result["status"] == "ok", result
    assert device.registers[register] == after
    assert len(device.questions(SET)) == 1


@pytest.mark.parametrize(
    ("wanted", "register", "after"), [("off", 0x0200, b"\x04"), ("eco", 0x0200, b"\x05")]
)
def test_an_inverter_obeys(start: Start, wanted: str, register: int, after: bytes) -> None:
    device = HexDevice(INVERTER_REGISTERS, Phoenix())
    rig = start(device, allow_write=True)
    says(rig, ac_voltage_set_point=230, shutdown_below=9.3, low_voltage_alarm_until=12.5, mode="inverter")
    until(rig, lambda: rig.about("van")["shutdown_below"]["range"] == [9.2, 17.3])
    assert rig.about("van")["ac_voltage_set_point"]["range"] == [210, 245]
    rig.set("van", "mode", wanted)
    assert rig.results("van", "mode")[-1]["actual"] == wanted
    assert device.registers[register] == after


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(NOT_ALLOWED, "the value is not allowed"), (READ_ONLY, "does not take this now"), (0x40, "0x40")],
)
def test_what_the_device_refuses_is_a_sentence(start: Start, flags: int, sentence: str) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.refuses[0xEDF7] = flags
    rig = start(device, allow_write=True)
    says(rig, absorption_voltage=14.4)
    rig.set("van", "absorption_voltage", "14.2")
    result = rig.results("van", "absorption_voltage")[-1]
    assert (result["code"], "Absorption voltage" in str(result["message"])) == ("hardware", True)
    assert sentence in str(result["message"])


def test_a_device_that_does_not_take_it_is_told(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.keeps.add(0xEDF7)
    rig = start(device, allow_write=True)
    says(rig, absorption_voltage=14.4)
    rig.set("van", "absorption_voltage", "14.2")
    assert "stays 14.4" in str(rig.results("van", "absorption_voltage")[-1]["message"])


def test_a_number_out_of_the_devices_range_is_refused_before_it_is_sent(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device, allow_write=True)
    says(rig, absorption_voltage=14.4, system_voltage=12, largest_charge_current=15)
    for entity, wanted in (("absorption_voltage", "28.8"), ("charge_current_limit", "15.1")):
        rig.set("van", entity, wanted)
        assert rig.results("van", entity)[-1]["code"] == "invalid"
    assert device.questions(SET) == []


def test_a_command_that_nobody_answers_says_why(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device, allow_write=True)
    says(rig, load_mode="automatic")
    device.mute = True
    rig.set("van", "load_mode", "on")
    result = rig.results("van", "load_mode")[-1]
    assert (result["code"], "no answer to VE.Direct HEX" in str(result["message"])) == ("hardware", True)
