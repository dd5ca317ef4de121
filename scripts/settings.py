"""Writes docs/reference.md from the model: python -m scripts.settings. A test compares the two."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le

from config.model import (
    Availability,
    Backup,
    BatteryGuard,
    Ble,
    Broker,
    Clock,
    Collector,
    Controller,
    Device,
    Import,
    ImportEntity,
    Lan,
    Publish,
    Relay,
    Statistician,
    Storage,
    User,
)
from scripts.devices import SETTINGS as OF_KINDS

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"

_HEAD = """\
# Every setting

Made from the code by `python -m scripts.settings`. [config/example.toml](../config/example.toml) shows the
settings in place; [settings.md](settings.md) says where they may stand, and how to find what is wrong with
them. A process reads them when it starts.
"""

TABLES: Mapping[str, tuple[type, str, Mapping[str, str]]] = {
    "[broker]": (
        Broker,
        "The Mosquitto that all processes talk through.",
        {
            "host": "name or address",
            "port": "its port",
            "base": "first level, or levels, of every topic; two houses on one broker need two",
            "username": "as whom we log in; none where the broker asks for none",
            "password": "best in the secret file `broker__password`",
            "tls_ca": "certificate of the authority that vouches for the broker; with it TLS is used",
        },
    ),
    "[lan]": (
        Lan,
        "Lets the local network in, with TLS and a password ([security.md](security.md)).",
        {
            "listen": "IPv4 addresses or interfaces of this machine",
            "port": "for MQTT",
            "websockets": "for pages in a browser; none without it",
            "names": "further names of this machine, for its certificate",
            "days": "how long the certificate lasts",
            "certificate": "a file of another authority instead, such as Let's Encrypt's fullchain.pem",
            "private_key": "its key",
        },
    ),
    "[user.<name>]": (
        User,
        "One more user of the broker, besides viewer, operator and admin.",
        {
            "role": "what it may: look, also switch, everything, or speak for devices of its own",
            "topics": "topics of others that it reads and writes",
            "devices": "those it speaks for",
            "commands": "what it obeys, device.entity",
        },
    ),
    "[storage]": (
        Storage,
        "Where readings wait until the statistician has them on disk.",
        {
            "runtime": "folder in memory, which survives the death of every process",
            "state": "folder on disk, for when the statistician is away, and for relays",
            "outbox_rows": "readings that may wait; beyond it the oldest are dropped and counted",
            "outbox_mb": "the same in MB",
            "card_mb_a_day": "what you let be written to the card, MB a day; `boondock doctor` compares",
        },
    ),
    "[clock]": (
        Clock,
        "What the machine knows of the time.",
        {
            "trusted": "true where a clock chip keeps the time by itself",
            "folder": "of the newest stored time, for all processes; default: `state` of `[storage]`",
        },
    ),
    "[publish]": (
        Publish,
        "For all devices; each device may say otherwise.",
        {
            "min_interval": "seconds between two readings of a device, at least",
            "heartbeat": "an unchanged device is still reported this often, seconds",
            "timeout": "silence beyond it makes a device offline and its values unknown, seconds",
            "scalars": "also a plain value per entity, for phone apps",
            "discovery": "announce all devices to Home Assistant; false takes them back",
        },
    ),
    "[ble]": (
        Ble,
        "The Bluetooth adapter.",
        {
            "adapter": "its name: `bluetoothctl list`",
            "mode": "passive saves a little power, and needs bluetoothd with --experimental",
            "watchdog": "hearing nothing at all for so long restarts the scanner, seconds",
        },
    ),
    "[collector]": (
        Collector,
        "Which collectors run.",
        {"run": "those that run without a device in the file, so that some can be added over MQTT"},
    ),
    "[device.<id>]": (
        Device,
        "One device. [devices.md](devices.md) lists every kind with what it needs and reports.",
        {
            **OF_KINDS,
            "kind": "what it is",
            "name": "for people",
            "min_interval": "as under `[publish]`, for this device",
            "heartbeat": "the same",
            "timeout": "the same",
            "steps": "by entity, how far a value must move to be worth a reading",
            "disabled": "entities that are not published",
            "every": "seconds between two polls; each kind has its own default",
            "cron": "a crontab line instead, in the machine's time zone",
            "jitter": "up to so many seconds later, so that not all come at once",
            "source": "of an `integral`: device.entity in W",
            "max_gap": "of an `integral`: a longer silence adds nothing, seconds",
            "sign": "of an `integral`: which watts count",
        },
    ),
    "[[import]]": (
        Import,
        "A device that publishes in its own format; [bring-your-own.md](bring-your-own.md) has examples.",
        {
            "topic": "where it says its values, without wildcards",
            "topics": "the same, several",
            "name": "for people",
            "manufacturer": "for people",
            "model": "for people",
            "timeout": "seconds of silence until it is offline",
            "time": "path of its own time: RFC 3339, or seconds or ms since 1970",
            "retained": "true: what the broker kept of it counts as said now",
            "availability": "where it says whether it is there",
            "entities": "its values, each a table of its own",
        },
    ),
    "availability of [[import]]": (
        Availability,
        "Where its publisher says whether the device is there.",
        {
            "topic": "where",
            "path": "where in the JSON; without it the whole payload",
            "online": "its word for being there",
            "offline": "its word for being away",
        },
    ),
    "[import.entities]": (
        ImportEntity,
        "One value of such a device.",
        {
            "path": "where it stands in the JSON; without it the whole payload",
            "topic": "where it is said, if elsewhere than the others",
            "topics": "the same, several",
            "name": "for people",
            "unit": "the device's; kW, kWh, mA and the like become ours",
            "device_class": "Home Assistant's word, such as temperature",
            "state_class": "what the statistics make of it",
            "precision": "decimals shown, in our unit",
            "scale": "its value times this",
            "offset": "and plus this",
            "step": "how far it must move to be worth a reading, in our unit",
            "on": "its words for ON",
            "off": "its words for OFF",
            "map": "our words for its words",
            "options": "all words it may have",
            "diagnostic": "of interest only when something is wrong",
            "command_topic": "where it takes commands",
            "payload_on": "what to send for ON",
            "payload_off": "what to send for OFF",
            "range": "least and greatest number it takes, in our unit",
            "command_step": "how far those are apart",
        },
    ),
    "[statistician]": (
        Statistician,
        "The database.",
        {
            "database": "its file",
            "commit_interval": "seconds; a power cut may cost this much, the card is written this often",
            "keep_days": "days that states and 5-minute rows are kept; hourly rows are kept for ever",
            "keep_days_at_least": "on a full disk the oldest go earlier, but never younger ones than this",
            "backups": "folder of the daily copies, best on another disk; default: beside the database",
        },
    ),
    "[backup]": (
        Backup,
        "The nightly backup of everything ([update-backup-restore.md](update-backup-restore.md)).",
        {
            "to": "its folder, best on a USB disk or on another machine",
            "keep": "how many are kept",
            "at": "when, in local time",
            "mounted": "only if a disk is mounted there; default: so below /media, /mnt and /run/media",
        },
    ),
    "[controller]": (
        Controller,
        "The relays together.",
        {
            "name": "for people",
            "pins": "how the board's pins are reached; simulated switches none",
            "chip": "the chip they are on, by path, name or label; default: that of a Raspberry Pi's header",
        },
    ),
    "[relay.<id>]": (
        Relay,
        "One output. [relays.md](relays.md) explains each policy with examples.",
        {
            "pin": "BCM number",
            "name": "for people",
            "active_low": "true: the board switches on when the pin is low, as most do",
            "boot": "how it stands when the controller starts",
            "exit": "what happens when the controller is stopped",
            "max_on": "seconds after which it turns off",
            "min_off": "seconds of rest before it may turn on again",
            "broker_loss": "what happens when the broker is away",
            "broker_loss_after": "seconds since it was last heard",
            "only_if": "conditions, all of which must hold",
            "only_if_within": "seconds after which what was heard no longer counts",
            "only_if_enforce": "also turn it off when a condition stops to hold",
            "never_with": "relays that are never on at the same time",
            "feedback": "device.entity that is ON while the load really is",
            "feedback_pin": "an input of the board (BCM number) that tells the same",
            "feedback_pull": "the input's resistor",
            "feedback_active_low": "true: a contact to ground",
            "feedback_within": "ms in which it must follow",
        },
    ),
    "[battery_guard]": (
        BatteryGuard,
        "Turns a relay off before the battery is empty; without this table there is no guard.",
        {
            "relay": "which",
            "source": "device.entity: a voltage or a state of charge",
            "disconnect_below": "in the unit of the source",
            "disconnect_after": "seconds it must have been below",
            "reconnect_above": "in the unit of the source",
            "reconnect_after": "seconds it must have been above",
            "restore": "turn the relay on again if it was on",
        },
    ),
}


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD]
    for title, (table, about, meanings) in TABLES.items():
        lines += [f"## {title}", "", about, "", "| setting | allowed | default | |", "|---|---|---|---|"]
        lines += _rows(table, meanings)
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _rows(table: type, meanings: Mapping[str, str]) -> Iterator[str]:
    hints = get_type_hints(table, include_extras=True)
    for one in fields(table):
        cells = (f"`{one.name}`", _allowed(hints[one.name]), _default(one), meanings[one.name])
        yield "| " + " | ".join(cells) + " |"


def _allowed(hint: Any) -> str:  # noqa: ANN401 — a type
    """Return what a type allows, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{_allowed(args[0])}{_bounds(args[1:])}"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_allowed(one) for one in args if one is not NoneType))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in args)
    if origin is tuple:
        return f"a list: {_allowed(args[0])}"
    if origin is dict:
        return f"a table: {_allowed(args[1])}"
    words = {str: "text", bool: "`true`, `false`", int: "whole number", float: "number"}
    return words.get(hint, "a table")


def _bounds(found: tuple[object, ...]) -> str:
    least = next((f"{one.ge:.15g}" for one in found if isinstance(one, Ge)), None)
    above = next((f"above {one.gt:.15g}" for one in found if isinstance(one, Gt)), None)
    most = next((f"{one.le:.15g}" for one in found if isinstance(one, Le)), None)
    start = f", {above}" if above else f", {least}"
    return start + (f" to {most}" if most else "")


def _default(one: "Field[Any]") -> str:
    if one.default is MISSING and one.default_factory is MISSING:
        return "needed"
    value = one.default_factory() if one.default_factory is not MISSING else one.default
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:g}`"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(TABLES)} tables\n")


if __name__ == "__main__":
    main()
