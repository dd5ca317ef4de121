"""The demo's van must be a van: its devices agree, its days repeat, its records decode."""

import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.collector.kinds import ble_kind
from tests.emulators import demo, demo_i2c, demo_serial, demo_tcp
from tests.emulators.dbus import PrivateBus
from tests.emulators.van import AWNING, FRESH_CAPACITY, WASTE_CAPACITY, ChargeState, Switches, Van
from tests.rounds import some

_WEEK = 7 * 24 * 60


@pytest.mark.parametrize("seed", some((1, 2, 3), (1,)))
def test_a_week_is_consistent(seed: int) -> None:
    van = Van(seed=seed)
    states = set()
    for _ in range(_WEEK):
        moment = van.step(60.0)
        battery, solar, shore = moment.battery, moment.solar, moment.shore
        states.add(solar.state)
        # What the three chargers give goes into the battery or the loads.
        folding = moment.folding.power / solar.power * solar.current if solar.power else 0.0
        given = solar.current + folding + shore.current
        assert given - moment.load / solar.voltage == pytest.approx(battery.current, abs=0.02)
        assert 0.0 <= shore.current <= 15.01
        assert 0.0 <= moment.household.fridge < 6.0
        assert battery.voltage == solar.voltage
        assert 11.0 < battery.voltage < 14.6
        assert 10.0 < battery.soc <= 100.0
        assert battery.consumed == pytest.approx((battery.soc - 100.0) * 1.05)
        assert 0.0 <= solar.power <= 320.0
        assert solar.power == 0.0 or 6.0 < moment.hour < 18.0
        assert battery.minutes is None or 0 < battery.minutes <= 14_400
    assert states == set(ChargeState)


def test_the_yield_is_the_sum_of_the_power_and_begins_anew_at_midnight() -> None:
    van = Van(seed=4, start_hour=0.0)
    energy = 0.0
    for _ in range(6 * 60 * 23):
        energy += van.step(10.0).solar.power * 10.0 / 3600.0
    assert energy > 100.0
    assert van.moment.solar.yield_today == pytest.approx(energy)
    assert van.step(3700.0).solar.yield_today == 0.0


def test_shore_power_is_plugged_in_at_night_and_what_it_gives_is_counted() -> None:
    van = Van(seed=9, start_hour=12.0)
    counted, energy = van.moment.shore.energy, 0.0
    for _ in range(24 * 60):
        moment = van.step(60.0)
        shore = moment.shore
        # Each of six slices draws a little differently.
        energy += shore.power / 60.0
        assert shore.plugged or 9.0 < moment.hour < 19.51
        assert not shore.plugged or not 9.1 < moment.hour < 19.49
        assert (shore.voltage > 200.0) is (shore.power > 0.0) is shore.plugged
        # The charger loses some and needs some.
        assert shore.power >= shore.current * moment.battery.voltage
    assert shore.energy - counted == pytest.approx(energy, rel=0.02)
    assert shore.energy - counted > 300.0


def test_the_pump_moves_water_until_one_tank_is_empty_or_the_other_full() -> None:
    van = Van(seed=10, start_hour=12.0)
    before = van.step(60.0).household
    van.switches = Switches(pump=True)
    pumping = van.step(60.0)
    after = pumping.household
    assert pumping.load > 65.0
    assert before.fresh - after.fresh == pytest.approx(7.2)
    assert after.waste - before.waste == pytest.approx(0.9 * 7.2)
    dry = van.step(3600.0)
    assert (dry.household.fresh, dry.household.waste) == (0.0, WASTE_CAPACITY)
    assert dry.load < pumping.load
    van.switches = Switches()
    morning = van.step(21 * 3600.0).household
    assert (morning.fresh, morning.waste) == (FRESH_CAPACITY, 0.0)


def test_what_is_switched_on_is_drawn_from_the_battery() -> None:
    loads = []
    for switches in (Switches(), Switches(awning=True), Switches(inverter=True)):
        van = Van(seed=11, start_hour=12.0)
        van.switches = switches
        moment = van.step(1.0)
        assert (moment.household.sockets is not None) is switches.inverter
        assert moment.folding.load == (AWNING if switches.awning else 0.0)
        loads.append(moment.load)
    assert loads[1] - loads[0] == pytest.approx(AWNING)
    assert loads[2] - loads[0] == pytest.approx(8 + 62 / 0.9, abs=8)


def test_gas_is_burnt_at_meals_and_the_fridge_is_cold() -> None:
    van = Van(seed=3, start_hour=0.0)
    levels, degrees = [], []
    for _ in range(24 * 60):
        household = van.step(60.0).household
        levels.append(household.gas)
        degrees.append(household.cold)
    assert 0.5 < levels[-1] < levels[0] <= 0.62
    assert levels[0] == levels[7 * 60] > levels[9 * 60], "nobody cooks at night"
    assert all(2.0 < cold < 9.0 for cold in degrees)
    moment = van.moment
    gas = ble_kind("mopeka").device(address=demo.GAS_ADDRESS, calibration=((0, 0), (250, 100)))
    said = gas.decode(demo.gas_record(moment), 0.0)
    assert said is not None
    assert said.values["level"] == pytest.approx(moment.household.gas * 100, abs=0.5)
    fridge = ble_kind("bthome").device(address=demo.FRIDGE_ADDRESS, key=demo.FRIDGE_KEY)
    said = fridge.decode(demo.fridge_record(moment, 7), 0.0)
    assert said is not None
    assert said.values["temperature"] == pytest.approx(moment.household.cold, abs=0.01)


def test_every_wire_says_what_the_van_is(tmp_path: Path) -> None:
    van = Van(seed=12, start_hour=22.0)
    van.switches = Switches(inverter=True)
    moment = van.step(60.0)
    volts = moment.battery.voltage
    assert demo_serial.phoenix(moment).volts == demo_serial.weather(moment).voltage == volts
    assert demo_serial.phoenix(moment).ac_volt_amperes == round(moment.household.sockets or 0)
    assert f"volts={volts:.4f}" in demo_i2c.fridge_line(moment)
    with demo_tcp.Gateway(tmp_path / "port") as gateway:
        gateway.meter.show(moment)
        port = int((tmp_path / "port").read_text())
        with socket.create_connection((demo_tcp.HOST, port), timeout=5) as client:
            # Watts of all phases: two input registers from 52 on.
            client.sendall(bytes.fromhex("0007 0000 0006 01 04 0034 0002"))
            answer = client.recv(100)
    assert answer[:9] == bytes.fromhex("0007 0000 0007 01 04 04")
    assert struct.unpack(">f", answer[9:])[0] == pytest.approx(moment.shore.power)


@pytest.mark.parametrize(
    "wrong", ["", "00", "0007 0001 0006 01 04 0034 0002", "0007 0000 00ff 01", "0007 0000 0001 01"]
)
def test_the_meter_survives_nonsense(tmp_path: Path, wrong: str) -> None:
    with demo_tcp.Gateway(tmp_path / "port"):
        port = int((tmp_path / "port").read_text())
        with socket.create_connection((demo_tcp.HOST, port), timeout=5) as client:
            client.sendall(bytes.fromhex(wrong))
            # It may have hung up already.
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        with socket.create_connection((demo_tcp.HOST, port), timeout=5) as client:
            client.sendall(bytes.fromhex("0001 0000 0006 02 04 0034 0002"))
            # Nobody has this unit: the gateway says so.
            assert client.recv(100) == bytes.fromhex("0001 0000 0003 02 84 0b")


def test_a_sender_shows_ohms_between_those_of_its_table() -> None:
    assert [demo_i2c.sender_ohms(level) for level in (0, 25, 50, 75, 100)] == [
        240.0,
        171.5,
        103.0,
        68.0,
        33.0,
    ]


def test_the_same_seed_is_the_same_van() -> None:
    one, other, third = Van(seed=5), Van(seed=5), Van(seed=6)
    assert [one.step(60.0) for _ in range(50)] == [other.step(60.0) for _ in range(50)]
    assert one.moment != third.step(3000.0)


def test_a_short_day_is_a_whole_day() -> None:
    van = Van(seed=7, day_length=60.0, start_hour=0.0)
    assert max(van.step(1.0).solar.power for _ in range(60)) > 50.0
    assert van.moment.hour == pytest.approx(0.0, abs=0.01)


def test_the_demos_records_decode_to_the_van() -> None:
    moment = Van(seed=8).step(60.0)
    shunt = ble_kind("victron_battery_monitor").decode(
        demo.shunt_record(moment, 3), bytes.fromhex(demo.SHUNT_KEY)
    )
    mppt = ble_kind("victron_solar_charger").decode(demo.mppt_record(moment, 3), bytes.fromhex(demo.MPPT_KEY))
    assert (
        shunt.values["voltage"] == mppt.values["voltage"] == pytest.approx(moment.battery.voltage, abs=0.006)
    )
    charger = ble_kind("victron_ac_charger").decode(
        demo.charger_record(moment, 3), bytes.fromhex(demo.CHARGER_KEY)
    )
    assert charger.values["current"] == pytest.approx(moment.shore.current, abs=0.051)
    assert charger.values["charge_state"] == "bulk"
    assert shunt.values["current"] == pytest.approx(moment.battery.current, abs=0.001)
    assert mppt.values["power"] == pytest.approx(moment.solar.power, abs=0.51)
    assert mppt.values["charge_state"] == moment.solar.state.name.lower()


def test_the_demo_says_when_it_is_ready_and_ends_when_told() -> None:
    with PrivateBus() as bus:
        command = [sys.executable, "-m", "tests.emulators.demo", "--bus-address", bus.address, "--seed", "3"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: C0:FF:EE:00:00:01")
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(10) == 0
