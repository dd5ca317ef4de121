"""The demo's van must be a van: its two devices agree, its days repeat, its records decode."""

import os
import signal
import subprocess
import sys

import pytest

from collector.devices.registry import ble_kind
from tests.emulators import demo
from tests.emulators.dbus import PrivateBus
from tests.emulators.van import ChargeState, Van

_WEEK = 7 * 24 * 60


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_week_is_consistent(seed: int) -> None:
    van = Van(seed=seed)
    states = set()
    for _ in range(_WEEK):
        moment = van.step(60.0)
        battery, solar = moment.battery, moment.solar
        states.add(solar.state)
        # What the MPPT gives goes into the battery or the loads.
        assert solar.current - moment.load / solar.voltage == pytest.approx(battery.current, abs=0.02)
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
    assert energy > 200.0
    assert van.moment.solar.yield_today == pytest.approx(energy)
    assert van.step(3700.0).solar.yield_today == 0.0


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
