"""PSS of the broker and each process: idle and connected, then working on the demo van."""

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.emulators import demo
from tests.emulators.van import Van
from tests.journeys.house import PROCESSES, ROOT, House

GOAL_MB = 80.0
_SETTLE_S = 5


def pss_mb(pid: int) -> float:
    """Proportional set size of a process in MB, from the kernel's smaps_rollup."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"process {pid} has no Pss")
    return int(found[1]) * 1024 / 1e6


def measure(seconds: int) -> str:
    """A table of every process, twice: connected with nothing on the air, and after `seconds` of work."""
    settings = (ROOT / "tests" / "emulators" / "demo.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="footprint") as folder, House(Path(folder), settings) as house:
        house.start(*PROCESSES)
        _wait(_SETTLE_S, "idle, connected")
        idle = _look(house)
        van = Van(seed=1)
        for second in range(1, seconds + 1):
            demo.advertise(house.bluez, van.step(1.0), second)
            _wait(1, f"working, {second} of {seconds} s")
        working = _look(house)
    sys.stderr.write("\n")
    return _table(idle, working)


def _wait(seconds: int, what: str) -> None:
    sys.stderr.write(f"\r{what} …")
    time.sleep(seconds)


def _look(house: House) -> dict[str, float]:
    return {name: pss_mb(pid) for name, pid in house.pids().items()}


def _table(idle: dict[str, float], working: dict[str, float]) -> str:
    lines = ["| process | idle, PSS MB | working, PSS MB |", "|---|---|---|"]
    lines += [f"| {name} | {idle[name]:.1f} | {working[name]:.1f} |" for name in idle]
    total, busy = sum(idle.values()), sum(working.values())
    lines.append(f"| all | {total:.1f} | {busy:.1f} |")
    services = len(idle) - 1
    lines += [
        "",
        f"Goal: at most {GOAL_MB:.0f} MB idle for the broker and five services; here with {services}.",
    ]
    return "\n".join(lines)
