"""`boondock scan serial`: the serial ports, what they are, who uses them, and what speaks there by itself."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from cli.install import found as wired
from cli.install.found import Port
from cli.install.system import System
from cli.machine.place import Place
from cli.machine.wires import console
from cli.progress import Progress
from cli.scan.found import Found, Guess
from collector.read import Speaker, listen

_AT_ONCE = 8

Listen = Callable[[str], Speaker]


def scan(system: System, devices: Mapping[str, str], hear: Listen = listen) -> list[Found]:
    """Every port; `devices` are the ports of boondock.toml by device. A port in use is never opened."""
    place = Place(system.root)
    rows = [_seen(place, one, devices) for one in wired.ports(system)]
    free = [one for one in rows if one.note is None and not one.configured]
    progress = Progress()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = {pool.submit(hear, str(system.at(one.port or ""))): one for one in free}
        for done, job in enumerate(as_completed(waiting), 1):
            progress.show(done / len(free), f"{done} of {len(free)} ports")
            _told(waiting[job], job.result())
    progress.done()
    return rows


def _seen(place: Place, port: Port, devices: Mapping[str, str]) -> Found:
    """A port without opening it; `note` says why it must not be opened."""
    real = os.path.realpath(place.at(port.path))
    ours = [name for name, path in devices.items() if os.path.realpath(place.at(path)) == real]
    guesses = [Guess(port.kind, confidence="by its name")] if port.kind else []
    row = Found(port=port.path, usb=port.usb, guesses=guesses, configured=ours)
    holder = next(place.holders(port.path), None)
    if holder is not None:
        number, name, line = holder
        ours_too = "collector" in line
        row.note = f"in use by {'a collector' if ours_too else name} (process {number}): not opened"
        # What was added over MQTT stands in no file.
        row.configured = ours or (["a device that was added over MQTT"] if ours_too else [])
    elif (file := console(place, port.path)) is not None:
        row.note = f"Linux uses it as its console ({file}): not opened; docs/wiring.md says how to free it"
    return row


def _told(row: Found, said: Speaker) -> None:
    """What was heard: the kind, or what to try next."""
    if said.kind is not None:
        row.guesses = [Guess(said.kind, confidence="certain", model=said.model)]
        return
    row.note = said.note
    if said.is_open and not row.guesses:
        row.advice = f"boondock scan modbus --port {row.port}"


def ports(tables: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """The paths of serial ports by device, of the tables [device.…]."""
    found = {name: one.get("port") for name, one in tables.items()}
    return {
        name: str(Path(port)) for name, port in found.items() if isinstance(port, str) and "://" not in port
    }
