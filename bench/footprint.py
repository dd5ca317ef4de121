"""PSS of the broker and each process: idle and connected, then working on the demo van."""

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from bench.measure import Goal, goals, page, table
from tests.emulators import demo
from tests.emulators.van import Van
from tests.emulators.vedirect import Cable, SmartShunt, Talker
from tests.journeys.house import PROCESSES, ROOT, House

GOAL_MB = 80.0
_SETTLE_S = 5
_FIVE = {
    "statistician": ("statistician",),
    "controller": ("controller",),
    "collector_ble": ("collector", "ble"),
    "collector_serial": ("collector", "serial"),
    "collector_host": ("collector", "host"),
}
_SETTINGS = """
[device.smartshunt]
kind = "victron_battery_monitor"
address = "{smartshunt[address]}"
key = "{smartshunt[key]}"

[device.mppt]
kind = "victron_solar_charger"
address = "{mppt[address]}"
key = "{mppt[key]}"

[device.shunt]
kind = "vedirect"
port = "{port}"

[device.pi]
kind = "raspberry_pi"

[controller]
pins = "simulated"

[relay.pump]
pin = 27
"""
# What each of ours has before it does anything of its own.
_FRAME = "import bus.publisher, config.load, time; print(flush=True); time.sleep(3600)"


@dataclass(frozen=True, slots=True)
class Memory:
    """MB of a process by the kernel's smaps_rollup: its share of all, and of that what is no file's."""

    pss: float
    anonymous: float


def memory(pid: int) -> Memory:
    """Of a running process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", rollup, re.MULTILINE))
    return Memory(*(int(found[key]) * 1024 / 1e6 for key in ("Pss", "Pss_Anon")))


def measure(seconds: int) -> str:
    """Measure every process twice: connected with nothing on the air, and after `seconds` of work."""
    cable = Cable()
    van = tomllib.loads((ROOT / "tests" / "emulators" / "demo.toml").read_text(encoding="utf-8"))["device"]
    settings = _SETTINGS.format(**van, port=cable.path)
    with ExitStack() as stack:
        stack.callback(cable.pull)
        stack.enter_context(patch.dict(PROCESSES, _FIVE))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="footprint"))
        house = stack.enter_context(House(Path(folder), settings))
        house.start(*_FIVE)
        _wait(_SETTLE_S, "idle, connected")
        idle = _look(house)
        stack.enter_context(Talker(cable.write, SmartShunt(), period=1.0))
        emulated = Van(seed=1)
        for second in range(1, seconds + 1):
            demo.advertise(house.bluez, emulated.step(1.0), second)
            _wait(1, f"working, {second} of {seconds} s")
        working = _look(house)
        with _frame() as pid:
            frame = memory(pid)
    sys.stderr.write("\n")
    return _report(idle, working, frame)


@contextmanager
def _frame() -> Iterator[int]:
    """Start a process with what all of ours import."""
    with subprocess.Popen([sys.executable, "-c", _FRAME], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def _wait(seconds: int, what: str) -> None:
    sys.stderr.write(f"\r{what} …")
    time.sleep(seconds)


def _look(house: House) -> dict[str, Memory]:
    return {name: memory(pid) for name, pid in house.pids().items()}


def _report(idle: dict[str, Memory], working: dict[str, Memory], frame: Memory) -> str:
    rows = [
        (name, *(f"{mb:.1f}" for mb in (one.pss, one.anonymous, working[name].pss)))
        for name, one in idle.items()
    ]
    total, anonymous = sum(m.pss for m in idle.values()), sum(m.anonymous for m in idle.values())
    rows.append(("all", f"{total:.1f}", f"{anonymous:.1f}", f"{sum(m.pss for m in working.values()):.1f}"))
    head = ("process", "idle, PSS MB", "of it anonymous", "working, PSS MB")
    own = {name: m.anonymous - frame.anonymous for name, m in idle.items() if name != "mosquitto"}
    largest = sorted(own, key=lambda name: -own[name])
    remark = (
        f"The broker and five services. Python with bus and config alone has {frame.anonymous:.1f} MB"
        f" anonymous; beyond that come {', '.join(f'{name} {own[name]:.1f}' for name in largest)}."
    )
    why = f"{frame.anonymous * len(own):.0f} MB are the interpreter and what all import, {len(own)} times"
    return page(table(head, rows), remark, goals([Goal("idle, PSS MB", total, GOAL_MB, why=why)]))
