"""Memory and CPU of the Bluetooth collector with twelve devices, each heard once a second."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.footprint import memory
from bench.measure import cpu_s, page, table
from tests.emulators import senders, victron
from tests.journeys.house import House

_KEY = bytes(range(16))
_SETTLE_S = 5
_COLLECTOR = "collector_ble"
# From an address and the second: data by company or service.
Says = Callable[[str, int], Mapping[int | str, bytes]]


@dataclass(frozen=True, slots=True)
class _Device:
    kind: str
    says: Says
    key: bool = False


def _shunt(address: str, second: int) -> Mapping[int | str, bytes]:
    del address
    says = victron.BatteryMonitor(voltage=13.0 + second % 50 / 100, current=-second % 7)
    return {victron.COMPANY: victron.battery_monitor(says, _KEY, second & 0xFFFF)}


def _charger(address: str, second: int) -> Mapping[int | str, bytes]:
    del address
    says = victron.SolarCharger(power=second % 300, current=second % 20)
    return {victron.COMPANY: victron.solar_charger(says, _KEY, second & 0xFFFF)}


def _tag(address: str, second: int) -> Mapping[int | str, bytes]:
    return {senders.RUUVI: senders.ruuvi_5(address, second % 30, 45.0, 101_300, sequence=second & 0x7FFF)}


def _gas(address: str, second: int) -> Mapping[int | str, bytes]:
    return {senders.MOPEKA: senders.mopeka(address, 50 + second % 200)}


def _thermometer(address: str, second: int) -> Mapping[int | str, bytes]:
    device = senders.BtHomeDevice(address, _KEY, counter=second)
    device.packet = second
    return {senders.BTHOME: device.says(senders.temperature(second % 30), senders.battery(87))}


_VICTRON = (
    _Device("victron_battery_monitor", _shunt, key=True),
    _Device("victron_solar_charger", _charger, key=True),
)
_SENDERS = (_Device("ruuvi", _tag), _Device("mopeka", _gas), _Device("bthome", _thermometer, key=True))
# 2026-11-28, on the machine of bench/RESULTS.md, by a collector that read nothing but Victron's records.
_BEFORE = ("12 of Victron, before other makers were read", "28.5", "29.1", "0.70")
_HOUSES = {"12 of Victron": _VICTRON * 6, "6 of Victron, 6 others": (*_VICTRON * 3, *_SENDERS * 2)}


def _settings(devices: tuple[_Device, ...]) -> str:
    tables = (
        f'[device.d{n}]\nkind = "{one.kind}"\naddress = "{_address(n)}"\n'
        + (f'key = "{_KEY.hex()}"\n' if one.key else "")
        for n, one in enumerate(devices)
    )
    return "\n".join(tables)


def _address(number: int) -> str:
    return f"C0:11:22:33:44:{number:02X}"


def measure(seconds: int) -> str:
    """Measure each house idle, and then for so many seconds of work."""
    rows = [_BEFORE, *((name, *_measured(name, its, seconds)) for name, its in _HOUSES.items())]
    sys.stderr.write("\n")
    head = ("devices", "idle, PSS MB", "working, PSS MB", "CPU ms a frame")
    remark = "Each device is heard once a second, through a real D-Bus and bleak; BlueZ itself is emulated."
    return page(table(head, rows), remark)


def _measured(name: str, devices: tuple[_Device, ...], seconds: int) -> tuple[str, str, str]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="radio"))
        house = stack.enter_context(House(Path(folder), _settings(devices)))
        house.start("statistician", _COLLECTOR)
        pid = house.pids()[_COLLECTOR]
        time.sleep(_SETTLE_S)
        idle, before = memory(pid), cpu_s(pid)
        for second in range(1, seconds + 1):
            for number, one in enumerate(devices):
                said = one.says(_address(number), second)
                companies = {key: data for key, data in said.items() if isinstance(key, int)}
                services = {key: data for key, data in said.items() if isinstance(key, str)}
                house.bluez.advertise(_address(number), companies, services=services)
            sys.stderr.write(f"\r{name}: {second} of {seconds} s …")
            time.sleep(1)
        spent, working = cpu_s(pid) - before, memory(pid)
    frames = seconds * len(devices)
    return f"{idle.pss:.1f}", f"{working.pss:.1f}", f"{spent / frames * 1000:.2f}"
