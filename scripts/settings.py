"""Writes docs/reference.md from the model: python -m scripts.settings. A test compares the two."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le

from collector.form import MEANINGS
from config.model import (
    Alarm,
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
    KeepAlive,
    Lan,
    Notify,
    Output,
    Page,
    Publish,
    Relay,
    Rule,
    Statistician,
    Storage,
    User,
    key_of,
)

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"

_HEAD = """\
# Every setting

Made from the code by `python -m scripts.settings`. [config/example.toml](../config/example.toml) shows the
settings in place; [settings.md](settings.md) says where they may stand, and how to find what is wrong with
them. A process reads them when it starts.
"""

_ROLES = "[contract.md](contract.md#roles-what-a-value-is-in-the-house)"
TABLES: Mapping[str, tuple[type, str, Mapping[str, str]]] = {
    "[broker]": (
        Broker,
        "The Mosquitto that all processes talk through.",
        {
            "host": "name or address",
            "port": "its port",
            "base": "first level, or levels, of every topic; two houses on one broker need two",
            "username": "our user at the broker; leave it out if the broker needs none",
            "password": "best in the secret file `broker__password`",
            "tls_ca": "file with the authority of the broker's certificate; switches TLS on",
        },
    ),
    "[lan]": (
        Lan,
        "Lets phones and other machines in, with TLS and a password ([security.md](security.md)).",
        {
            "listen": "IPv4 addresses or interfaces of this machine",
            "port": "for MQTT",
            "websockets": "for pages in a browser; none without it",
            "names": "more names of this machine, for its certificate",
            "days": "how long the certificate lasts",
            "certificate": "a file of another authority instead, such as Let's Encrypt's fullchain.pem",
            "private_key": "its key",
        },
    ),
    "[page]": (
        Page,
        "The page for the browser, served by nginx ([page.md](page.md)).",
        {
            "enabled": "whether there is one",
            "listen": "who may open it, as in `[lan]`; without it only this machine",
            "port": "without it 443, without TLS 80, for this machine alone 8080",
            "tls": "false: everybody on the network can read what a phone sends, the password too",
            "name": "what phones call it; a name that ends in .local is announced on the network",
            "websockets": "the port of the broker behind it, for this machine alone",
        },
    ),
    "[user.<name>]": (
        User,
        "One more user of the broker, besides viewer, operator and admin.",
        {
            "role": "what it may do: read; read and switch; everything; or publish devices of its own",
            "topics": "other topics that it may read and write",
            "devices": "the devices for which it may publish, and nobody else",
            "commands": "which of their entities obey commands, device.entity",
        },
    ),
    "[storage]": (
        Storage,
        "Where readings wait until the statistician has written them to disk.",
        {
            "runtime": "folder in memory; it is still there when a process ends",
            "state": "folder on disk, for when the statistician is away, and for relays",
            "outbox_rows": "how many readings may wait; of more the oldest are dropped and counted",
            "outbox_mb": "the same in MB",
            "card_mb_a_day": "`boondock doctor` warns if more MB than this are written to the card in a day",
        },
    ),
    "[clock]": (
        Clock,
        "What the machine knows of the time.",
        {
            "trusted": "true if a clock chip keeps the time while the machine is off",
            "folder": "where the newest stored time is written; default: `state` of `[storage]`",
        },
    ),
    "[publish]": (
        Publish,
        "For all devices; a device may have its own values.",
        {
            "min_interval": "shortest time between two readings of a device, seconds",
            "heartbeat": "longest time between two readings, if nothing changes, seconds",
            "timeout": "after so many seconds of silence a device is offline and its values are unknown",
            "scalars": "also publish each value alone, for phone apps",
            "discovery": "announce all devices to Home Assistant; false deletes them there",
            "details": "announce also what is about the devices themselves: signal strength, each alarm",
        },
    ),
    "[ble]": (
        Ble,
        "The Bluetooth adapter.",
        {
            "adapter": "its name: `bluetoothctl list`",
            "mode": "passive saves a little power, and needs bluetoothd with --experimental",
            "watchdog": "if nothing at all is heard for so many seconds, the scanner is restarted",
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
        {name: meaning.text for name, meaning in MEANINGS.items()},
    ),
    "[[import]]": (
        Import,
        "A device that publishes in its own format; [bring-your-own.md](bring-your-own.md) has examples.",
        {
            "preset": "a ready-made table that this one fills and overrides",
            "prefix": "of a preset: where the topics of the device begin",
            "portal": "of a preset: VRM portal id of a Victron GX",
            "instance": "of a preset: number or id of the device, or its channel",
            "topic": "where it publishes its values, without wildcards",
            "topics": "the same, several",
            "name": "for people",
            "manufacturer": "for people",
            "model": "for people",
            "timeout": "seconds of silence until it is offline",
            "time": "path of its own time: RFC 3339, or seconds or ms since 1970",
            "retained": "true: retained values count as measured now; false: they are ignored",
            "availability": "where it publishes whether it is online",
            "keep_alive": "what is published for it, again and again, so that it goes on",
            "entities": "its values, each a table of its own",
        },
    ),
    "availability of [[import]]": (
        Availability,
        "Where its publisher says whether the device is online.",
        {
            "topic": "where",
            "path": "where in the JSON; without it the whole payload",
            "online": "its word for online",
            "offline": "its word for offline",
        },
    ),
    "keep_alive of [[import]]": (
        KeepAlive,
        "What its publisher wants to hear, or it falls silent.",
        {"topic": "where", "payload": "what", "every": "seconds between two times"},
    ),
    "[import.entities]": (
        ImportEntity,
        "One value of such a device.",
        {
            "path": "where it stands in the JSON; without it the whole payload",
            "topic": "its topic, if it is another than that of the device",
            "topics": "the same, several",
            "name": "for people",
            "unit": "the device's; kW, kWh, mA and the like become ours",
            "device_class": "Home Assistant's word, such as temperature",
            "state_class": "what the statistics make of it",
            "precision": "decimals shown, in our unit",
            "scale": "its value times this",
            "offset": "and plus this",
            "step": "how much it must change for a new reading, in our unit",
            "on": "its words for ON",
            "off": "its words for OFF",
            "map": "our words for the device's words",
            "options": "all words it may have",
            "diagnostic": "it is about the device itself, not about what it measures",
            "role": f"what it is in the energy flow of the house ({_ROLES})",
            "command_topic": "where it takes commands",
            "payload_on": "what to send for ON",
            "payload_off": "what to send for OFF",
            "range": "smallest and largest number that it takes, in our unit",
            "command_step": "the step between two numbers, in our unit",
        },
    ),
    "[statistician]": (
        Statistician,
        "The database.",
        {
            "database": "its file",
            "commit_interval": "the card is written every so many seconds; a power cut may cost this much",
            "keep_days": "days that states and 5-minute rows are kept; hourly rows are kept for ever",
            "keep_days_at_least": "on a full disk the oldest go earlier, but never before so many days",
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
            "pin": "BCM number, or the number on the chip",
            "chip": "the kernel's name of the chip that its pins are on, such as mcp23017; else the board",
            "name": "for people",
            "active_low": "true: the board switches on when the pin is low, as most do",
            "boot": "what it does when the controller starts: off, on, or as it was",
            "exit": "what happens when the controller is stopped",
            "max_on": "seconds after which it turns off",
            "min_off": "seconds of rest before it may turn on again",
            "broker_loss": "what happens when the broker is away",
            "broker_loss_after": "seconds for which the broker must have been away",
            "only_if": "conditions; if one is not met, ON is refused",
            "only_if_within": "a value older than so many seconds does not count",
            "only_if_enforce": "also turn it off when a condition is no longer met",
            "never_with": "relays that are never on at the same time",
            "feedback": "device.entity that is ON while the load really has power",
            "feedback_pin": "an input of the board (BCM number) that says the same",
            "feedback_pull": "the input's resistor",
            "feedback_active_low": "true: a contact to ground",
            "feedback_within": "the load must follow within so many ms",
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
            "restore": "true: then also turn the relay on again, if it was on before",
        },
    ),
    "[alarm.<id>]": (
        Alarm,
        "What you want to be told. [alarms.md](alarms.md) has examples, and every form of a condition.",
        {
            "when": "one condition, or a list of which all must hold",
            "for": "seconds that they must have held",
            "until": "conditions that end it; without them it ends when `when` no longer holds",
            "until_for": "seconds that these must have held",
            "within": "a value older than so many seconds is unknown, and changes nothing",
            "name": "as people read it",
            "text": "what to do; without it the conditions are told",
        },
    ),
    "[rule.<id>]": (
        Rule,
        "Switches a relay by itself. What the relay allows counts above all.",
        {
            "output": "which relay: `relay.pump`; one rule a relay",
            "when": "on: one condition, or a list of which all must hold",
            "for": "seconds that they must have held",
            "until": "off: conditions; without them it is off when `when` no longer holds",
            "until_for": "seconds that these must have held",
            "within": "a value older than so many seconds is unknown, and changes nothing",
            "min_on": "seconds that it stays on at least",
            "min_off": "seconds that it stays off at least",
            "override": "a command of a person to the relay or the rule counts for so many seconds",
            "name": "as people read it",
        },
    ),
    "[[output]]": (
        Output,
        "Where readings or statistics are sent. [outputs.md](outputs.md) says what each kind takes.",
        {
            "kind": "where to",
            "records": "what: every reading, samples of all values at fixed times, or statistics",
            "entities": "only these: device.entity, `*` for any text",
            "devices": "only these devices; without both, all",
            "start": "where a new output begins: with what is new, or with all that is kept",
            "interval": "seconds between two times it sends; without it, at once",
            "cron": "the times as a crontab line, in place of `interval`",
            "batch": "so many records together at most",
            "format": "how text looks",
            "template": "`hems`, the shape of a Japanese smart-meter log, or a text with {names}",
            "columns": "of samples: column = device.entity",
            "path": "whole path of the file",
            "latest": "one more file, with the newest values alone",
            "rotate_mb": "begin a new file beyond so many MB",
            "rotate_daily": "begin a new file each day, local time",
            "keep": "so many old files",
            "gzip": "pack old files",
            "sync": "when it is put on the card: after each batch, once a minute, or when the system likes",
            "url": "address; with a token in it best in the secret file `output__<name>__url`",
            "method": "of HTTP",
            "headers": "more headers of HTTP",
            "username": "user at the other side",
            "password": "best in the secret file `output__<name>__password`",
            "token": "for `Authorization: Bearer`, InfluxDB's `Token`; best in a secret file",
            "sign": "secret of an HMAC-SHA256 signature of each request; best in a secret file",
            "timeout": "seconds for one answer",
            "tls_ca": "file with the authority of the other side's certificate",
            "verify": "false: take any certificate, which protects from nobody",
            "project": "Google Cloud project",
            "topic": "Pub/Sub topic; of an MQTT output the topic of each record, with {device} and {entity}",
            "credentials": "file of a service account",
            "retain": "let the other broker keep the newest",
            "org": "organisation in InfluxDB 2",
            "bucket": "bucket, or database",
            "measurement": "name of the measurement",
        },
    ),
    "[[notify]]": (
        Notify,
        "Who is told of alarms; `name` is its id. [alarms.md](alarms.md) has examples.",
        {
            "url": "a service as Apprise writes it; best in the secret file `notify__<name>__url`",
            "alarms": "ids of alarms, `*` for any text",
            "quiet": "hours without messages, local time, such as `22:00-07:00`",
            "always": "alarms that are told in quiet hours, too",
            "repeat": "seconds after which it is said again, until somebody acknowledges",
            "after": "seconds an alarm must have stood without being acknowledged: for the second person",
            "resolve": "also tell the end of an alarm",
            "most_an_hour": "so many messages an hour at most",
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
        key = key_of(one.name)
        cells = (f"`{key}`", _allowed(hints[one.name]), _default(one), meanings[key])
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
