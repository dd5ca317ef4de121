"""`boondock scan`: what is on the air or on a bus, and the lines for boondock.toml."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

import msgspec

from cli import output
from cli.asking import Asker
from cli.progress import Progress
from config.model import Broker

Kind = Literal["ble", "modbus", "i2c"]
_TCP = "tcp://"
_KEY = "VictronConnect shows the key: Settings, Product info, Instant readout via Bluetooth"

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; None: as the collector does by itself."""

    what: Kind
    port: str | None = None
    baudrate: int | None = None
    units: str | None = None
    bus: int | None = None
    seconds: float | None = None

    @property
    def transport(self) -> str:
        """Whose collector scans."""
        if self.what != "modbus":
            return self.what
        return "tcp" if (self.port or "").startswith(_TCP) else "serial"

    def params(self) -> dict[str, object]:
        """The request."""
        speeds = None if self.baudrate is None else [self.baudrate]
        asked = {"port": self.port, "baudrates": speeds, "units": self.units, "bus": self.bus}
        return {k: v for k, v in {**asked, "seconds": self.seconds}.items() if v is not None}


class _Guess(msgspec.Struct):
    kind: str
    profile: str | None = None
    confidence: str | None = None
    model: str | None = None


class _Found(msgspec.Struct):
    """Whatever a collector finds; what does not apply is absent."""

    address: str | None = None
    name: str | None = None
    what: str | None = None
    model: str | None = None
    kind: str | None = None
    rssi: int | None = None
    configured: str | list[str] | None = None
    port: str | None = None
    baudrate: int | None = None
    unit: int | None = None
    guesses: list[_Guess] = []
    note: str | None = None
    bus: int | None = None
    kinds: list[str] = []


class _Report(msgspec.Struct):
    found: list[_Found]


class _Step(msgspec.Struct):
    done: float
    of: float
    found: list[_Found]


def scan(broker: Broker, wanted: Wanted, *, as_json: bool) -> None:
    """Scan and print what was found. Raises AskError."""
    transport = wanted.transport
    advice = (
        f'is it running? Without a device in boondock.toml it runs only if collector.run has "{transport}"'
    )
    progress = Progress()

    def told(step: _Step) -> None:
        if progress.shown:
            progress.show(step.done / step.of, f"{step.done:g} of {step.of:g}")
            return
        for found in step.found:
            print("found:", ", ".join(filter(None, _row(found))), file=sys.stderr)

    with Asker(broker, service=f"collector_{transport}", advice=advice) as asker:
        report = asker.watch("device_scan", wanted.params(), _Report, _Step, told)
    progress.done()
    output.show({"found": report.found}, _lines(report.found), as_json=as_json)


def _lines(found: Sequence[_Found]) -> Iterator[str]:
    if not found:
        yield "Nothing answered."
        return
    rows = [[cell or "-" for cell in _row(one)] for one in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    tables = list(_tables([one for one in found if not one.configured]))
    if tables:
        yield "\n# For boondock.toml, if they are yours:"
        yield from tables


def _row(found: _Found) -> list[str]:
    """What it is, in cells for people; a name from the air may hold anything."""
    if found.port is not None:
        place = [f"unit {found.unit}", f"{found.baudrate} baud" if found.baudrate else ""]
        guess = found.guesses[0] if found.guesses else None
        what = [found.note or "unknown"] if guess is None else [_title(guess)]
        cells = [*place, *what, (guess.model if guess else None) or ""]
    elif found.bus is not None:
        cells = [found.address or "", " or ".join(found.kinds) or "unknown"]
    else:
        signal = "" if found.rssi is None else f"{found.rssi} dBm"
        cells = [found.address or "", signal, found.name or "", found.model or found.what or ""]
    ours = found.configured if isinstance(found.configured, str) else ", ".join(found.configured or ())
    return [output.plain(cell) for cell in (*cells, f"is {ours}" if ours else "new")]


def _title(guess: _Guess) -> str:
    name = f"{guess.kind} {guess.profile}" if guess.profile else guess.kind
    return f"{name} ({guess.confidence})" if guess.confidence else name


def _tables(found: Sequence[_Found]) -> Iterator[str]:
    taken: set[str] = set()
    for one in found:
        guess = one.guesses[0] if one.guesses else None
        kind = guess.kind if guess else one.kind or next(iter(one.kinds), None)
        if kind is None:
            continue
        name = _id(one.name or (guess.profile if guess and guess.profile else kind), taken)
        settings: dict[str, Value] = {"kind": kind, "profile": guess.profile if guess else None}
        settings |= {"port": one.port, "baudrate": one.baudrate, "unit": one.unit, "bus": one.bus}
        yield f"\n[device.{name}]"
        for key, value in {**settings, "address": one.address}.items():
            if value is not None:
                yield f"{key} = {_toml(key, value, one)}"
        if one.rssi is not None:
            yield f"# key: best in the secret file device__{name}__key; {_KEY}"
        if len(one.kinds) > 1:
            yield f"# or kind = {' or '.join(map(json.dumps, one.kinds[1:]))}: both use this address"


def _toml(key: str, value: Value, found: _Found) -> str:
    # A chip's address is a number; JSON's escapes are also TOML's.
    return str(value) if key == "address" and found.bus is not None else json.dumps(value)


def _id(name: str, taken: set[str]) -> str:
    base = "_".join(re.findall(r"[a-z0-9]+", name.lower())) or "device"
    names = (base if number == 1 else f"{base}_{number}" for number in count(1))
    found = next(one for one in names if one not in taken)
    taken.add(found)
    return found
