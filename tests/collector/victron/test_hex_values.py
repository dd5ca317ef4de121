"""VE.Direct HEX on a real pseudo terminal: from a device's registers to its state topic."""

import json
import logging
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.devices.victron.hex_protocol import Command, of_register
from collector.read import listen
from collector.transports.vedirect import VeDirectCable
from tests.collector.victron.hex_rig import Start, says, until
from tests.emulators.vedirect import Mppt, SmartShunt, block
from tests.emulators.vedirect_hex import (
    CHARGER_REGISTERS,
    MONITOR_REGISTERS,
    MPPT_REGISTERS,
    HexDevice,
    told,
    un16,
)

GET, SET = 7, 8


DUMPS = json.loads(
    (Path(__file__).parents[2] / "captures" / "vedirect_dumps.json").read_text(encoding="utf-8")
)


def test_an_mppt_says_by_hex_what_its_text_lacks(start: Start) -> None:
    rig = start(HexDevice(MPPT_REGISTERS, Mppt()))
    says(
        rig,
        voltage=13.42,
        battery_temperature=20.0,
        charger_temperature=31.5,
        solar_current=1.6,
        charge_current_limit=15.0,
        absorption_voltage=14.4,
        float_voltage=13.8,
        equalisation_voltage=16.2,
        battery_type="type_3",
        system_voltage=12,
        load_mode="automatic",
        charger="ON",
    )
    about = rig.about("van")
    assert about["battery_temperature"]["role"] == "battery"
    # Not allowed: values to read.
    assert not any(about[entity].get("command") for entity in about)


def test_a_monitor_says_its_settings(start: Start) -> None:
    rig = start(HexDevice(MONITOR_REGISTERS, SmartShunt()))
    says(
        rig,
        soc=87.3,
        battery_capacity=200,
        charged_voltage=13.2,
        tail_current=4.0,
        charged_detection_time=180,
        charge_efficiency=99,
        peukert_exponent=1.25,
        current_threshold=0.1,
        discharge_floor=20.0,
        shunt_current=500,
    )
    assert all(rig.about("van")[entity]["diagnostic"] for entity in ("battery_capacity", "peukert_exponent"))


def test_values_come_every_ten_seconds_and_settings_every_ten_minutes(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, absorption_voltage=14.4)
    device.asked.clear()
    device.registers[0xEDDB] = un16(35.25, 0.01)
    device.registers[0xEDF7] = un16(14.1, 0.01)
    rig.run(60, step=1.0)
    says(rig, charger_temperature=35.25, absorption_voltage=14.4)
    # Three values six times a minute.
    assert 15 <= len(device.asked) <= 21
    assert device.questions(SET) == []
    rig.run(600, step=50.0)
    says(rig, absorption_voltage=14.1)


def test_what_it_says_unasked_is_a_value_and_is_not_asked_for(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, charger_temperature=31.5)
    device.write(told(0xEDDB, un16(44.5, 0.01)))
    rig.pass_(1.0)
    says(rig, charger_temperature=44.5)


def test_registers_that_it_does_not_have_are_asked_for_once(start: Start) -> None:
    device = HexDevice({0xEDDB: un16(30, 0.01)}, Mppt())
    rig = start(device)
    says(rig, charger_temperature=30.0)
    rig.run(30, step=1.0)
    assert len([frame for frame in device.questions(GET) if frame.startswith(b":7ECED")]) == 1
    assert "battery_temperature" not in rig.about("van")


def test_a_value_that_is_not_available_is_unknown(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, battery_temperature=20.0)
    device.registers[0xEDEC] = b"\xff\xff"
    rig.run(15, step=1.0)
    says(rig, battery_temperature=None)


def test_a_value_that_is_no_longer_answered_becomes_unknown(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, charger_temperature=31.5)
    device.mute = True
    rig.run(60, step=5.0)
    says(rig, charger_temperature=None, voltage=13.42)
    assert rig.online("van")


def test_a_charger_that_speaks_only_hex_is_read(start: Start) -> None:
    device = HexDevice(CHARGER_REGISTERS)
    rig = start(device, allow_write=True, every=5.0, timeout=10)
    says(
        rig,
        voltage=14.38,
        current=21.3,
        power=306.29,
        charge_state="absorption",
        charger_error="no_error",
        off_reason="none",
        charger_temperature=41.25,
        storage_voltage=13.2,
        serial_number="HQ9999CHARGE",
        firmware="1.63",
    )
    about = rig.about("van")
    assert about["current"]["role"] == "charger"
    assert about["charge_current_limit"]["range"] == [0, 50]
    device.registers[0xED8F] = un16(8, 0.1)
    rig.run(12, step=1.0)
    says(rig, current=8.0)
    rig.set("van", "charge_current_limit", "20")
    assert rig.results("van", "charge_current_limit")[-1]["actual"] == 20
    # It falls silent, and is there again.
    device.mute = True
    until(rig, lambda: rig.online("van") is False, 120)
    device.mute = False
    until(rig, lambda: rig.online("van") is True, 120)


def test_a_device_that_begins_to_say_text_is_read_by_that(start: Start) -> None:
    device = HexDevice(CHARGER_REGISTERS, product=0xA053)
    rig = start(device)
    says(rig, voltage=14.38)
    device.talker.says = Mppt()
    says(rig, voltage=13.42, day_number=279)


def test_text_that_pauses_after_a_question_is_waited_for(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.pause = 2.0
    rig = start(device)
    says(rig, charger_temperature=31.5)
    rig.run(12, step=4.0)
    assert rig.journal.counters["failed_polls.van"] == 0
    assert rig.online("van")
    # It was not taken for a device without text: nobody asked for its product.
    assert device.questions(4) == []


def test_text_that_comes_while_an_answer_is_waited_for_is_kept(stack: ExitStack) -> None:
    device = stack.enter_context(HexDevice(MPPT_REGISTERS))
    device.before = b"\r\nChecksum\t\x55" + block({"PID": "0xA053", "V": "1"}) + block({"V": "2"})
    line = VeDirectCable(device.path)
    stack.callback(line.close)
    line.open()
    assert line.ask(of_register(Command.GET, 0xEDDB)).value == un16(31.5, 0.01)
    assert [said["V"] for said in line.blocks(wait=False)] == ["1", "2"]
    assert line.blocks(wait=False) == []


def test_noise_is_not_asked_who_it_is(start: Start) -> None:
    device = HexDevice(CHARGER_REGISTERS, bytes(range(128, 256)))
    rig = start(device, every=5.0)
    until(rig, lambda: "is the baud rate 19200" in (rig.problem("van") or ""))
    assert device.asked == []


def test_a_scan_finds_a_charger_that_says_only_hex(stack: ExitStack) -> None:
    dump = bytes.fromhex(DUMPS["phoenix_smart"]["bytes"])
    device = stack.enter_context(HexDevice({}, dump))
    found = listen(device.path, patience=0.5)
    assert (found.kind, found.model) == ("vedirect", None)
    assert device.asked == []


@pytest.mark.parametrize(
    "before",
    [
        b":7DBED00",
        b":7GG\n",
        b"\xff\x00:\r\n",
        told(0xEDDB, un16(99, 0.01), GET)[:-3] + b"FF\n",
        told(0xEDD5, un16(14, 0.01)) * 3,
        told(0x0001, b"", GET, 1),
        b":4AAAAFD\n",
        b":" + b"A" * 4000,
    ],
    ids=["cut", "no digits", "noise", "check", "unasked", "other", "error", "endless"],
)
def test_an_answer_is_found_among_anything(start: Start, before: bytes) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.before = before
    rig = start(device, allow_write=True)
    says(rig, charger_temperature=31.5, absorption_voltage=14.4)
    rig.set("van", "absorption_voltage", "14.2")
    assert rig.results("van", "absorption_voltage")[-1]["status"] == "ok"
    assert device.registers[0xEDF7] == un16(14.2, 0.01)


def test_a_damaged_answer_is_asked_for_again(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.damaged = 1
    rig = start(device)
    says(rig, battery_temperature=20.0, charger_temperature=31.5)
    assert device.damaged == 0


def test_a_device_that_restarts_in_between_is_read_on(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    rig = start(device)
    says(rig, charger_temperature=31.5)
    device.mute, device.talker.says = True, None
    device.write(b"\r\nPID\t0xA0:7DB")
    rig.pass_(1.0)
    device.mute, device.talker.says = False, Mppt(volts=13.1)
    device.registers[0xEDDB] = un16(20, 0.01)
    says(rig, voltage=13.1, charger_temperature=20.0)
    assert rig.problem("van") is None


def test_a_cable_of_one_direction_is_asked_seldom_and_text_goes_on(start: Start) -> None:
    device = HexDevice(MPPT_REGISTERS, Mppt())
    device.mute = True
    rig = start(device, allow_write=True)
    says(rig, voltage=13.42)
    rig.run(120, step=4.0)
    # Three questions, each twice.
    assert len(device.asked) == 6
    assert rig.online("van")
    assert rig.journal.counters["failed_polls.van"] == 0
    device.mute = False
    rig.run(600, step=20.0)
    says(rig, charger_temperature=31.5)


def test_what_stands_in_no_table_is_counted_and_told_once(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    device = HexDevice({}, Mppt(extra={"HC#": "57825", "T": "21"}))
    rig = start(device)
    says(rig, voltage=13.42)
    device.write(told(0x2031, un16(1)))
    rig.run(5, step=1.0)
    until(rig, lambda: "HEX 0x2031" in rig.journal.facts.get("unread.van", ""))
    assert rig.journal.facts["unread.van"] == "label HC#, label T, HEX 0x2031"
    assert rig.journal.counters["unread.van"] >= 10
    assert sum("nobody reads" in record.getMessage() for record in caplog.records) == 3


def test_only_so_many_strange_names_are_told(start: Start) -> None:
    device = HexDevice({}, Mppt(extra={f"Q{number}": "1" for number in range(40)}))
    rig = start(device)
    says(rig, voltage=13.42)
    rig.run(3, step=1.0)
    assert rig.journal.facts["unread.van"].count("Q") == 16


def test_the_dump_of_an_orion_xs(start: Start) -> None:
    dump = bytes.fromhex(DUMPS["orion_xs"]["bytes"])
    first, second = dump.index(b"\r\nPID"), dump.rindex(b"\r\nPID")
    device = HexDevice({}, dump[first:second])
    device.mute = True
    rig = start(device)
    says(
        rig,
        voltage=13.22,
        current=0.0,
        power=0,
        input_voltage=12.62,
        input_current=0.0,
        input_power=0,
        charge_state="off",
        charger_error="no_error",
        off_reason="several",
        off_reason_no_input_power="ON",
        off_reason_remote_input="ON",
        firmware="1.12",
    )
    device.talker.says = dump[second:]
    says(rig, input_voltage=12.63)
    about = rig.about("van")
    assert (about["input_voltage"]["role"], about["power"]["role"]) == ("starter", "alternator")
    assert rig.journal.facts["unread.van"] == "HEX 0xE000, HEX 0xED56, HEX 0xEE10, HEX 0xEE11"
    assert rig.journal.counters["failed_polls.van"] == 0


def test_the_dump_of_a_blue_smart_charger(start: Start) -> None:
    device = HexDevice({}, bytes.fromhex(DUMPS["ip65"]["bytes"]))
    device.mute = True
    rig = start(device)
    says(rig, voltage=14.2, current=0.8, charge_state="absorption", firmware="3.25", charger_temperature=21.3)
    assert "label HC#" in rig.journal.facts["unread.van"].split(", ")
    assert rig.about("van")["current"]["role"] == "charger"


def test_hex_alone_that_answers_nothing_is_no_device(start: Start) -> None:
    device = HexDevice({}, bytes.fromhex(DUMPS["phoenix_smart"]["bytes"]))
    device.mute = True
    rig = start(device, every=5.0, timeout=10)
    until(rig, lambda: "no whole VE.Direct block" in (rig.problem("van") or ""), 20)
    assert rig.said("van") == []
    device.mute = False
    device.registers |= CHARGER_REGISTERS
    says(rig, voltage=14.38)
