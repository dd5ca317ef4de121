"""The Raspberry Pi itself, or whatever Linux machine we run on: what its kernel says of it."""

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from bus.about import TOTAL_INCREASING
from collector.devices.description import Decoded, PolledKind, Row, Rows, Values, Wire
from collector.devices.lines import HostLine, HostText, Space
from collector.devices.rows import flag, measured, on_off

_MB = 1_000_000
# /proc/meminfo says kB and means KiB (proc_meminfo(5)).
_KIB = 1024
# Documentation/block/stat.rst: field 7 is write sectors, "the standard UNIX 512-byte sectors".
_SECTORS_WRITTEN = 6
_SECTOR = 512
# raspberrypi.com/documentation/computers/os.html, get_throttled: bits 0 to 3 now, 16 to 19 has occurred.
_FLAGS = (
    ("under_voltage", "Under-voltage"),
    ("frequency_capped", "Frequency capped"),
    ("throttled", "Throttled"),
    ("temperature_limit", "Soft temperature limit"),
)
_OCCURRED = 16
_ALL = (1 << len(_FLAGS)) - 1
_UNDER_VOLTAGE = 1
_FIELD = re.compile(r"(\w+):\s+(\d+) kB")


def _megabytes(name: str, *, optional: bool = True, state_class: str | None = None) -> Row:
    return measured(
        name,
        "MB",
        device_class="data_size",
        state_class=state_class,
        step=10,
        optional=optional,
        diagnostic=True,
    )


ROWS: Rows = {
    "cpu_temperature": measured("CPU temperature", "°C", step=0.5, optional=True),
    **{key: flag(name, "problem", optional=True) for key, name in _FLAGS},
    **{
        f"{key}_since_boot": flag(f"{name} since boot", "problem", optional=True, diagnostic=True)
        for key, name in _FLAGS
    },
    "disk_free": _megabytes("Free disk", optional=False),
    "disk_used": measured("Disk used", "%", step=1),
    "system_disk_free": _megabytes("Free system disk"),
    "system_disk_used": measured("System disk used", "%", step=1, optional=True),
    "card_written": _megabytes("Written to the card since boot", state_class=TOTAL_INCREASING),
    "memory_free": _megabytes("Free memory"),
    "memory_used": measured("Memory used", "%", step=1, optional=True),
    "load": measured("Load", None, precision=2, step=0.1, optional=True),
    "uptime": measured(
        "Uptime", "s", state_class=TOTAL_INCREASING, step=math.inf, optional=True, diagnostic=True
    ),
    "clock_synchronised": flag("Clock synchronised", diagnostic=True),
    "broker": flag("Broker", "connectivity", optional=True, diagnostic=True),
}


@dataclass(frozen=True, slots=True)
class RaspberryPi:
    """The machine; what it does not have is unknown."""

    rows: ClassVar[Rows] = ROWS

    def poll(self, line: HostLine, _now: float) -> Decoded:
        """Read all it says of itself. A broker that is OFF is heard of once it is back."""
        ours, system = line.space()
        values: Values = {
            "cpu_temperature": temperature(line.text(HostText.TEMPERATURE)),
            **_flags(line),
            **_disk("disk", ours),
            **({} if system is None else _disk("system_disk", system)),
            "card_written": written(line.text(HostText.CARD)),
            **memory(line.text(HostText.MEMORY)),
            "load": first_number(line.text(HostText.LOAD)),
            "uptime": first_number(line.text(HostText.UPTIME)),
            "clock_synchronised": on_off(line.clock_synchronised()),
            "broker": on_off(line.broker_up()),
        }
        return Decoded(
            values,
            model=tree_text(line.text(HostText.MODEL)),
            serial_number=tree_text(line.text(HostText.SERIAL_NUMBER)),
            sw_version=pretty_name(line.text(HostText.SYSTEM)),
        )


def _flags(line: HostLine) -> Values:
    firmware = throttled(line.text(HostText.THROTTLED))
    alarm = switch(line.text(HostText.UNDER_VOLTAGE))
    now = None if firmware is None else firmware & _ALL
    if alarm is not None:
        # The kernel's alarm also holds what lasted for less than its two seconds between two looks.
        now = (now or 0) | (_UNDER_VOLTAGE if alarm else 0)
    if now is None:
        return {}
    # That kernel driver clears the firmware's memory as it looks, so we keep our own.
    occurred = line.since_boot(now | (firmware or 0) >> _OCCURRED)
    known = _FLAGS if firmware is not None else _FLAGS[:1]
    return {key: on_off(bool(now >> bit & 1)) for bit, (key, _) in enumerate(known)} | {
        f"{key}_since_boot": on_off(bool(occurred >> bit & 1)) for bit, (key, _) in enumerate(known)
    }


def _disk(name: str, space: Space) -> Values:
    whole = space.used + space.free
    return {
        f"{name}_free": round(space.free / _MB, 1),
        # As df has it: what is kept for root counts as neither.
        f"{name}_used": round(100 * space.used / whole, 1) if whole else None,
    }


def temperature(text: str | None) -> float | None:
    """Return °C of a thermal zone's millidegrees; None if no living machine has it."""
    degrees = None if text is None or not re.fullmatch(r"-?\d{1,7}[ \n]*", text) else int(text) / 1000
    return round(degrees, 1) if degrees is not None and -60 <= degrees <= 150 else None


def throttled(text: str | None) -> int | None:
    """Read the firmware's bits, hexadecimal: drivers/firmware/raspberrypi.c, get_throttled_show."""
    return None if text is None or not re.fullmatch(r"[0-9a-f]{1,8}[ \n]*", text) else int(text, 16)


def switch(text: str | None) -> bool | None:
    """Return a 0 or 1, as alarms of hwmon are (Documentation/hwmon/sysfs-interface.rst)."""
    return {"0": False, "1": True}.get((text or "").strip())


def memory(text: str | None) -> Values:
    """Return free MB and used % of /proc/meminfo; available is what programs can get, caches given up."""
    found = {key: int(number) * _KIB for key, number in _FIELD.findall(text or "")}
    whole, free = found.get("MemTotal"), found.get("MemAvailable")
    if not whole or free is None or free > whole:
        return {"memory_free": None, "memory_used": None}
    return {"memory_free": round(free / _MB, 1), "memory_used": round(100 * (1 - free / whole), 1)}


def first_number(text: str | None) -> float | None:
    """Return what /proc/loadavg (load of the last minute) and /proc/uptime (s) begin with."""
    found = re.match(r"\d{1,12}\.\d\d\b", text or "")
    return float(found[0]) if found else None


def written(text: str | None) -> float | None:
    """Return MB written to the SD card since the machine's start, from its stat file."""
    fields = (text or "").split()
    if len(fields) <= _SECTORS_WRITTEN or not all(re.fullmatch(r"\d{1,20}", f) for f in fields):
        return None
    return round(int(fields[_SECTORS_WRITTEN]) * _SECTOR / _MB, 1)


def tree_text(text: str | None) -> str | None:
    """Return a text of the device tree, which ends with a NUL."""
    return (text or "").strip("\0\n ") or None


def pretty_name(text: str | None) -> str | None:
    """Return the name of the operating system for people (os-release(5))."""
    found = re.search(r"^PRETTY_NAME=(.+)$", text or "", re.MULTILINE)
    return found[1].strip("\"' ") or None if found else None


KIND = PolledKind(
    wire=Wire.HOST,
    name="raspberry_pi",
    title="The computer itself",
    manufacturer="Raspberry Pi",
    rows=ROWS,
    source="Raspberry Pi documentation, get_throttled; Linux, Documentation (proc, hwmon, block/stat)",
    every=30.0,
    make=lambda _settings: RaspberryPi(),
)
