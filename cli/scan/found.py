"""What a scan finds, and how it is shown: a table, the lines for boondock.toml, the next steps."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from cli import output

_KEY = "VictronConnect shows the key: Settings, Product info, Instant readout via Bluetooth"

Value = str | int | None


class Guess(msgspec.Struct):
    """What it may be."""

    kind: str
    profile: str | None = None
    confidence: str | None = None
    model: str | None = None


class Found(msgspec.Struct):
    """Whatever is found; what does not apply is absent. `advice` is a command or a page."""

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
    guesses: list[Guess] = []
    note: str | None = None
    bus: int | None = None
    kinds: list[str] = []
    usb: str | None = None
    advice: str | None = None


def lines(found: Sequence[Found]) -> Iterator[str]:
    """A table for people, the lines for boondock.toml, and what to do next."""
    if not found:
        yield "Nothing answered."
        return
    rows = [[cell or "-" for cell in row(one)] for one in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    tables = list(_tables([one for one in found if not one.configured]))
    if tables:
        yield "\n# For boondock.toml, if they are yours:"
        yield from tables
    if steps := list(dict.fromkeys(one.advice for one in found if one.advice and not one.configured)):
        yield "\n# Next:"
        yield from steps


def row(found: Found) -> list[str]:
    """What it is, in cells for people; a name from the air may hold anything."""
    if found.port is not None:
        place = [found.port, found.usb or ""]
        if found.unit is not None:
            place = [f"unit {found.unit}", f"{found.baudrate} baud" if found.baudrate else ""]
        guess = found.guesses[0] if found.guesses else None
        what = [found.note or found.what or "unknown", ""]
        if guess is not None:
            what = [_title(guess), ", ".join(filter(None, (guess.model, found.note)))]
        cells = [*place, *what]
    elif found.bus is not None:
        cells = [found.address or "", " or ".join(found.kinds) or "unknown"]
    else:
        signal = "" if found.rssi is None else f"{found.rssi} dBm"
        cells = [found.address or "", signal, found.name or "", found.model or found.what or ""]
    ours = found.configured if isinstance(found.configured, str) else ", ".join(found.configured or ())
    return [output.plain(cell) for cell in (*cells, f"is {ours}" if ours else "new")]


def _title(guess: Guess) -> str:
    name = f"{guess.kind} {guess.profile}" if guess.profile else guess.kind
    return f"{name} ({guess.confidence})" if guess.confidence else name


def _tables(found: Sequence[Found]) -> Iterator[str]:
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


def _toml(key: str, value: Value, found: Found) -> str:
    # A chip's address is a number; JSON's escapes are also TOML's.
    return str(value) if key == "address" and found.bus is not None else json.dumps(value)


def _id(name: str, taken: set[str]) -> str:
    base = "_".join(re.findall(r"[a-z0-9]+", name.lower())) or "device"
    names = (base if number == 1 else f"{base}_{number}" for number in count(1))
    found = next(one for one in names if one not in taken)
    taken.add(found)
    return found
