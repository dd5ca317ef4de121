"""`boondock scan`: what collectors find, what is on the serial ports, what is on the local network."""

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from typer import Option

from cli import install, lan, terminal
from cli.asking import Asker
from cli.house import House, Json, talks
from cli.install import Port, System
from cli.lan import Found, Guess, lines, row
from cli.machine import Machine, console
from cli.terminal import CommandError, Progress
from collector.read import Speaker, listen
from config.addresses import NETWORK, TCP


class _ScanReport(msgspec.Struct):
    found: list[Found]
    tried: str | None = None


class _ScanStep(msgspec.Struct):
    done: float
    of: float
    found: list[Found]


def ask_collector(house: House, transport: str, params: Mapping[str, object]) -> _ScanReport:
    """Let the collector of a transport scan; what is None in `params` it decides. Raises CommandError."""
    advice = (
        f'is it running? Without a device in boondock.toml it runs only if collector.run has "{transport}"'
    )
    progress = Progress()

    def told(step: _ScanStep) -> None:
        if progress.shown:
            progress.show(step.done / step.of, f"{step.done:g} of {step.of:g}")
            return
        for found in step.found:
            print("found:", ", ".join(filter(None, row(found))), file=sys.stderr)

    asked = {name: value for name, value in params.items() if value is not None}
    with Asker(house.broker(), service=f"collector_{transport}", advice=advice) as asker:
        report = asker.watch("device_scan", asked, _ScanReport, _ScanStep, told)
    progress.done()
    return report


_AT_ONCE = 8

Listen = Callable[[str], Speaker]


def scan_serial(system: System, devices: Mapping[str, str], hear: Listen = listen) -> list[Found]:
    """Every port; `devices` are the ports of boondock.toml by device. A port in use is never opened."""
    place = Machine(system.root)
    rows = [_seen(place, one, devices) for one in install.ports(system)]
    free = [one for one in rows if one.note is None and not one.configured]
    progress = Progress()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = {pool.submit(hear, str(system.at(one.port or ""))): one for one in free}
        for done, job in enumerate(as_completed(waiting), 1):
            progress.show(done / len(free), f"{done} of {len(free)} ports")
            _told(waiting[job], job.result())
    progress.done()
    return rows


def _seen(place: Machine, port: Port, devices: Mapping[str, str]) -> Found:
    """Look at a port without opening it; `note` says why it must not be opened."""
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
    """Note what was heard: the kind, or what to try next."""
    if said.kind is not None:
        row.guesses = [Guess(said.kind, confidence="certain", model=said.model)]
        return
    row.note = said.note
    if said.is_open and not row.guesses:
        row.advice = f"boondock scan modbus --port {row.port}"


def configured_ports(tables: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Choose the paths of serial ports by device, of the tables [device.…]."""
    found = {name: one.get("port") for name, one in tables.items()}
    return {
        name: str(Path(port)) for name, port in found.items() if isinstance(port, str) and "://" not in port
    }


# Modbus servers of a network that are asked for their units, at most.
_MOST_SERVERS = 8


def scan_lan(house: House, seconds: float, *, every_address: bool) -> list[Found]:
    """Look for devices on the network, and have the collector ask its Modbus servers for their units."""
    found = lan.scan(System(), house.tables("device"), seconds, every_address=every_address)
    servers = [one for one in found if (one.port or "").startswith(TCP) and not one.configured]
    for number, server in enumerate(servers[:_MOST_SERVERS], 1):
        print(f"Asking {server.port} for its units ({number} of {len(servers)}) …", file=sys.stderr)
        try:
            units = ask_collector(house, "tcp", {"port": server.port}).found
        except CommandError as error:
            # The next command stays in its row.
            print(f"{server.port} was not asked: {error}", file=sys.stderr)
            break
        if units:
            at = found.index(server)
            found[at : at + 1] = units
    return found


What = Literal["ble", "modbus", "i2c", "kernel", "serial", "lan"]

_NOTHING: dict[What, str] = {
    "ble": "No known device was heard. Next: switch Instant Readout on in VictronConnect, go nearer, listen"
    " longer (--seconds 60).",
    "modbus": "Next: see docs/wiring.md.",
    "i2c": "No chip answers on this bus. Next: check its four wires, and try another --bus.",
    "serial": "This machine has no serial port. Next: plug the adapter in; ls /dev/serial/by-id shows it.",
    "lan": "Nothing known announces itself by mDNS. Next: --every-address tries the Modbus port of each"
    " address of the own network, too.",
}


@talks
def scan(
    house: House,
    what: What,
    *,
    port: Annotated[str | None, Option(help="Of modbus: /dev/serial/by-id/…, or tcp://192.168.1.41")] = None,
    baudrate: Annotated[
        int | None, Option(help="Of modbus; default: the usual ones, one after the other.")
    ] = None,
    units: Annotated[
        str | None,
        Option(
            metavar="1-10,126",
            help="Of modbus: which to ask, 1 to 247; default: those that makers use. 1-247 takes minutes.",
        ),
    ] = None,
    bus: Annotated[int | None, Option(metavar="1", help="Of i2c; default: 1.")] = None,
    seconds: Annotated[
        float | None,
        Option(min=1, max=60, help="Of ble and lan: how long to listen, 1 to 60; default: 10 and 4."),
    ] = None,
    every_address: Annotated[
        bool,
        Option(
            "--every-address",
            help="Of lan: also try the Modbus port of the 254 addresses around; nothing is sent there.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find devices, and print the lines for boondock.toml, or the next command.

    `ble`, `modbus`, `i2c` and `kernel` (1-Wire, chips with a driver of the kernel) are asked of the
    collectors, which must run. `modbus` also listens for VE.Direct on a port that nobody uses. `serial` lists
    the ports of this machine and listens on those that nobody uses. `lan` listens for mDNS, asks for Solarman
    data loggers, and has the Modbus servers that it finds asked for their units.
    """
    if what == "serial":
        print("Listening for a few seconds …", file=sys.stderr)
        report = _ScanReport(scan_serial(System(), configured_ports(house.tables("device"))))
    elif what == "lan":
        print("Listening for what announces itself …", file=sys.stderr)
        report = _ScanReport(scan_lan(house, seconds or lan.SECONDS, every_address=every_address))
    else:
        transport: str = "host" if what == "kernel" else what
        if what == "modbus":
            if port is None:
                raise CommandError("--port is needed: which port shall be asked?")
            transport = "tcp" if port.startswith(tuple(NETWORK)) else "serial"
        speeds = None if baudrate is None else [baudrate]
        params = {"port": port, "baudrates": speeds, "units": units, "bus": bus, "seconds": seconds}
        report = ask_collector(house, transport, params)
    tried = report.tried or _NOTHING[what]
    shown = {"found": report.found} if report.found else {"found": [], "tried": tried}
    terminal.show(shown, lines(report.found, tried), as_json=as_json)
