"""Writes docs/devices.md from the code: python -m scripts.devices. A test compares the two."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bus.about import Entity
from collector.devices import KINDS
from collector.devices.description import Kind, PolledKind, Row, Tested, Wire
from collector.devices.modbus.models import shipped
from collector.form import MEANINGS, defaults_of
from config.model import INTEGRAL, Settings

PAGE = Path(__file__).parents[1] / "docs" / "devices.md"

_HEAD = """\
# Devices

Every kind of device that Boondock reads; the page is made from the code by `python -m scripts.devices`.
Each device has a table `[device.<id>]` in `boondock.toml`. [config/example.toml](../config/example.toml)
shows examples, and `boondock check` says what is wrong with yours. You can also add devices while
everything runs: [registry.md](registry.md). For devices of other programs see
[bring-your-own.md](bring-your-own.md).

No hardware was at hand when this was written. "Seen on hardware" would mean that somebody has read the
real device with this code and compared the values. "Tested on" says how far you can trust a kind:

- a *capture* was recorded from a real device by others;
- *vectors* are bytes that were published together with what they mean, in a document or with a library;
- a *twin* is an emulator, written byte by byte from the description of the protocol.

A serial port of another machine is `socket://host:2323` (plain bytes over TCP; its speed is set there) or
`rfc2217://host:2217` (the speed is set from here). The second was tested with a server made of pyserial's
own code. If a server does not answer its questions, Boondock gives up after 3 s, or after the seconds of
`?timeout=` behind the number of the port.

A Modbus device on the network is `tcp://host:502`. An inverter with a Solarman data logger (a stick or a box
for its app, LSW-3 and others) is `solarman://host:8899`: the logger passes Modbus on. Boondock asks it for
its serial number. If it does not tell it, write the number of its label as `logger`. Loggers were only
emulated; what real ones answered is in the tests, from reports of others.

Every device may have the settings `name`, `min_interval`, `heartbeat`, `timeout`, `steps` and `disabled`, and
`energy = true`: then each of its powers in W is added up to an energy in Wh (`power` to `power_energy`).
Devices that are asked also have `every` (seconds), `cron` (a crontab line instead) and `jitter`
(seconds). If a device is silent for `timeout`, its values become unknown and its availability `offline`.

Devices that advertise over Bluetooth are heard, never asked. Victron's records (but not those of a
SolarSense) and BTHome with a `key` are encrypted. All others are not: anybody near can read them, or send in
their name. Do not let a rule switch what is dangerous by such a value alone.

A label, a record or an object that stands in no table of ours is counted (`unread.<device>` in health), and
health names it: please report it.

The kinds `bms_…` are asked over a Bluetooth connection. Boondock keeps the connection while it works. Most
batteries take one at a time: while Boondock reads one, the app on your phone does not find it. To use the
app, stop the collector (`sudo systemctl stop boondock-collector@ble`) or remove the device for that time.
While nothing is connected to a battery, `boondock scan ble` finds it. The entities of each cell
(`cell_voltage_1` and so on) and of each sensor are there once the battery has answered. If a SmartShunt or a
BMV measures the same battery, give the battery `role = "none"`: otherwise it counts twice in the energy flow.
Boondock changes nothing in a BMS, for a MOSFET that is switched off can leave you without power.

If a Modbus device hangs on a Renogy BT-1 or BT-2, its `port` is the adapter's Bluetooth address:
`ble://AA:BB:CC:DD:EE:FF`. This was tested with emulated devices only.

Signs: current into the battery is positive, import from the grid is positive, solar power is never
negative.

A *setting* is kept by the device itself, such as a charge voltage. It is only read, unless the table of the
device has `allow_write = true`. Then it obeys commands, as a number, a select or a switch: its range, how
often it may be written, and what it is after the device had no supply stand in the tables below. Write a
setting only if you know what the maker of the battery allows. Each answer has the value that was read back.
No setting was written to a real device yet.
"""
_WORDS = {Tested.TWIN: "twin", Tested.CAPTURE: "capture", Tested.VECTORS: "vectors"}


def page() -> str:
    """Write the whole page."""
    lines = [_HEAD, *_overview()]
    for kind in _sorted():
        lines += _section(kind)
    return "\n".join([*lines, *_appendix()]).rstrip("\n") + "\n"


def _sorted() -> list[Kind]:
    order = list(Wire)
    return sorted(KINDS.values(), key=lambda kind: (order.index(kind.wire), kind.name))


def _over(kind: Kind) -> str:
    return f"{kind.wire.title}, collector {' or '.join(f'`{one}`' for one in kind.wire.collectors)}"


def _overview() -> Iterator[str]:
    yield "| kind | device | read over | tested on | seen on hardware |"
    yield "|---|---|---|---|---|"
    for kind in _sorted():
        seen = "yes" if kind.seen else "no"
        tested = ", ".join(_WORDS[one] for one in kind.tested)
        yield f"| [`{kind.name}`](#{kind.name}) | {kind.title} | {_over(kind)} | {tested} | {seen} |"
    yield f"| `{INTEGRAL}` | energy from the power of another device | the statistician | | |"
    yield ""


def _section(kind: Kind) -> Iterator[str]:
    yield f"## {kind.name}"
    yield ""
    yield f"{kind.title}, read over {_over(kind)}."
    if isinstance(kind, PolledKind):
        yield f"Asked every {kind.every:g} s unless told otherwise."
    yield ""
    yield f"Source of the protocol: {kind.source}. Tested on {' and '.join(kind.tested)}."
    yield ""
    if kind.silence:
        yield f"Silent for {kind.silence:g} s it is offline, unless `timeout` says otherwise."
        yield ""
    yield from (f"- {note}" for note in kind.notes)
    if kind.notes:
        yield ""
    if kind.needs or kind.takes:
        yield from _settings(kind)
    if kind.discovers:
        yield (
            "Which of these it reports is known once it has answered."
            if kind.rows
            else ("What it reports is known once it has answered.")
        )
        yield ""
    yield from _entities(kind.rows)


def _shown(default: object) -> str:
    """Write a default as a person would."""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _settings(kind: Kind) -> Iterator[str]:
    defaults = defaults_of(kind, Settings())
    yield "| setting | |"
    yield "|---|---|"
    for key in kind.needs:
        yield f"| `{key}` | {MEANINGS[key].text} |"
    for key in kind.takes:
        default = f", default {_shown(defaults[key])}" if key in defaults else ""
        yield f"| `{key}` (optional{default}) | {MEANINGS[key].text} |"
    yield ""


def _entities(rows: Mapping[str, Row]) -> Iterator[str]:
    if not rows:
        return
    yield "| entity | name | unit | device class | state class | |"
    yield "|---|---|---|---|---|---|"
    for key, row in rows.items():
        entity = row.entity
        cells = [f"`{key}`", entity.name, entity.unit, entity.device_class, entity.state_class, _notes(row)]
        yield f"| {' | '.join(cell or '' for cell in cells)} |"
    yield ""


def _notes(row: Row) -> str:
    entity: Entity = row.entity
    notes = ["ON or OFF"] if entity.boolean else []
    if entity.options:
        notes.append(", ".join(entity.options))
    if row.write is not None:
        numbers = "" if entity.range is None else f" {entity.range[0]:g} to {entity.range[1]:g}"
        pace = f", once in {row.write.every:g} s" if row.write.every else ""
        notes.append(f"setting{numbers}{pace}; without supply: {row.write.restart}")
    elif entity.command:
        notes.append("obeys commands")
    if row.optional:
        notes.append("where the device has it")
    if entity.diagnostic:
        notes.append("diagnostic")
    if entity.role:
        notes.append(f"role {entity.role}")
    return "; ".join(notes)


def _appendix() -> Iterator[str]:
    """Read the shipped profiles of kind `modbus`."""
    yield "## Profiles of kind modbus"
    yield ""
    yield "Each is a file in [collector/profiles](../collector/profiles). Copy one to write your own, and"
    yield "name its path as `profile`: [profile-format.md](profile-format.md)."
    yield ""
    for profile in (one for one in shipped() if one.about.kind == "modbus"):
        about = profile.about
        seen = "seen on hardware" if about.seen_on_hardware else "never seen on hardware"
        yield f"### {profile.name}"
        yield ""
        yield f"{about.title}, {seen}. Source: {about.source}."
        yield ""
        yield from (f"- {note}" for note in about.notes)
        if about.notes:
            yield ""
        yield from _entities(profile.rows())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(KINDS)} kinds\n")


if __name__ == "__main__":
    main()
