"""The demo's hardware, one van: `python -m tests.emulators.demo --bus-address … --folder …`.

Without a folder there is only the radio. With one there are serial ports, a Modbus TCP meter, an I2C bus, the
pins of a board and a thermometer that speaks MQTT of its own; demo_hardware.py tells what lies in it.
"""

import argparse
import itertools
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.emulators import senders, victron
from tests.emulators.bluez import FakeBluez
from tests.emulators.demo_bms import Packs
from tests.emulators.demo_counters import Counters
from tests.emulators.demo_hardware import Hardware
from tests.emulators.van import BOTTLE_HEIGHT, Moment, Van
from tests.emulators.victron_records import AC_CHARGER

SHUNT_ADDRESS = "C0:FF:EE:00:00:01"
SHUNT_KEY = "0123456789abcdef0123456789abcdef"
SHUNT_NAME = "House battery"
MPPT_ADDRESS = "C0:FF:EE:00:00:02"
MPPT_KEY = "fedcba9876543210fedcba9876543210"
MPPT_NAME = "Solar"
CHARGER_ADDRESS = "C0:FF:EE:00:00:03"
CHARGER_KEY = "00112233445566778899aabbccddeeff"
CHARGER_NAME = "Shore charger"
GAS_ADDRESS = "C0:FF:EE:00:00:04"
FRIDGE_ADDRESS = "C0:FF:EE:00:00:05"
FRIDGE_KEY = "8899aabbccddeeff0011223344556677"

# Phones, earphones, a thermometer: what a campsite's air is full of.
_FOREIGN = (("5A:00:00:00:00:01", 0x004C), ("5A:00:00:00:00:02", 0x0006), ("A4:C1:38:00:00:03", 0x0059))
_PERIOD = 1.0


def shunt_record(moment: Moment, iv: int) -> bytes:
    """The SmartShunt's record of this moment."""
    battery = moment.battery
    says = victron.BatteryMonitor(
        voltage=battery.voltage,
        current=battery.current,
        soc=battery.soc,
        consumed=battery.consumed,
        minutes=battery.minutes,
        aux_mode=victron.AUX_STARTER,
        aux=battery.starter_voltage,
    )
    return victron.battery_monitor(says, bytes.fromhex(SHUNT_KEY), iv)


def mppt_record(moment: Moment, iv: int) -> bytes:
    """The MPPT's record of this moment."""
    solar = moment.solar
    says = victron.SolarCharger(
        state=solar.state,
        voltage=solar.voltage,
        current=solar.current,
        power=solar.power,
        yield_today=solar.yield_today,
    )
    return victron.solar_charger(says, bytes.fromhex(MPPT_KEY), iv)


def charger_record(moment: Moment, iv: int) -> bytes:
    """The shore charger's record of this moment; unplugged its radio is fed by the battery."""
    shore = moment.shore
    says = {
        "state": shore.state,
        "error": 0,
        "voltage_1": moment.battery.voltage,
        "current_1": shore.current,
        "temperature": 24.0 + shore.current,
    }
    return AC_CHARGER.sealed(says, bytes.fromhex(CHARGER_KEY), iv=iv)


def fridge_record(moment: Moment, iv: int) -> bytes:
    """The encrypted frame of the thermometer in the fridge."""
    device = senders.BtHomeDevice(FRIDGE_ADDRESS, bytes.fromhex(FRIDGE_KEY), counter=iv)
    device.packet = iv
    return device.says(senders.temperature(moment.household.cold), senders.battery(87))


def gas_record(moment: Moment) -> bytes:
    """The frame of the sensor below the gas bottle."""
    return senders.mopeka(GAS_ADDRESS, moment.household.gas * BOTTLE_HEIGHT, celsius=19)


def advertise(bluez: FakeBluez, moment: Moment, iv: int) -> None:
    """One round of advertisements, as one second in the van brings them."""
    bluez.advertise(SHUNT_ADDRESS, {victron.COMPANY: shunt_record(moment, iv)}, rssi=-58, name=SHUNT_NAME)
    bluez.advertise(MPPT_ADDRESS, {victron.COMPANY: mppt_record(moment, iv)}, rssi=-67, name=MPPT_NAME)
    bluez.advertise(
        CHARGER_ADDRESS, {victron.COMPANY: charger_record(moment, iv)}, rssi=-71, name=CHARGER_NAME
    )
    bluez.advertise(GAS_ADDRESS, {senders.MOPEKA: gas_record(moment)}, rssi=-64 - iv % 2 * 8)
    fridge = {senders.BTHOME: fridge_record(moment, iv)}
    bluez.advertise(FRIDGE_ADDRESS, {}, services=fridge, rssi=-62, name="ATC_FR1DGE")
    for address, company in _FOREIGN:
        bluez.advertise(address, {company: b"\x10" + iv.to_bytes(2, "little")}, rssi=-80)


def main() -> None:
    """Move the van once a second until SIGTERM or SIGINT."""
    options = _options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    van = Van(seed=options.seed, day_length=options.day_length, start_hour=options.start_hour)
    with ExitStack() as stack:
        bluez = stack.enter_context(FakeBluez(options.bus_address))
        packs = Packs(bluez, van.moment)
        hardware = None
        counters = None if options.counters is None else Counters(options.counters, van)
        ready = f"{SHUNT_ADDRESS} to {FRIDGE_ADDRESS} on {options.bus_address}"
        if options.folder is not None:
            hardware = Hardware(options.folder, options.broker_port, van.moment)
            if counters is not None:
                counters.join(hardware.tracer)
            stack.enter_context(hardware)
            ready += f", the rest in {options.folder}"
        sys.stdout.write(f"ready: {ready}\n")
        sys.stdout.flush()
        began = time.monotonic()
        for tick in itertools.count(1):
            advertise(bluez, van.moment, tick & 0xFFFF)
            # Due times, not pauses: a slow round must not slow the van's clock.
            if stop.wait(max(0.0, began + tick * _PERIOD - time.monotonic())):
                return
            if hardware is not None:
                van.switches = hardware.switches()
            packs.show(van.step(_PERIOD))
            if hardware is not None:
                hardware.show(van.moment, _PERIOD)
            if counters is not None:
                counters.keep()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.demo", description=__doc__)
    parser.add_argument("--bus-address", required=True, help="a D-Bus, e.g. unix:path=/run/demo/bus")
    parser.add_argument("--folder", type=Path, help="where the other devices are found; its path be short")
    parser.add_argument(
        "--broker-port", type=int, help="of this machine; for the device that publishes itself"
    )
    parser.add_argument("--counters", type=Path, metavar="FILE", help="where its meters go on from, and keep")
    parser.add_argument("--seed", type=int, default=1, help="weather and habits")
    parser.add_argument("--day-length", type=float, default=86_400.0, help="real seconds per day")
    parser.add_argument("--start-hour", type=float, default=9.0, help="hour of the day to begin at")
    return parser.parse_args()


if __name__ == "__main__":
    main()
