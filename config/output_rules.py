"""What a type cannot say of outputs and of who is told of alarms: what each kind needs and takes."""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

from config.model import Notify, Output, Settings
from config.server_rules import Wrong, wrong_server

_ID = re.compile(r"[a-z0-9_]{1,64}\Z")
_PATTERN = re.compile(r"[a-z0-9_*]+\Z")
_QUIET = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_URL = re.compile(r"https?://[^\s/]+", re.IGNORECASE)
# What every kind takes.
_ALL = ("kind", "records", "entities", "devices", "start", "interval", "cron", "batch")
_TEXT = ("format", "template", "columns")
_HTTP = ("url", "headers", "username", "password", "token", "timeout", "tls_ca", "verify")


class Rule(NamedTuple):
    """What an output of a kind needs, and what else it takes, beside what all take."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()


RULES: dict[str, Rule] = {
    "stdout": Rule((), _TEXT),
    "file": Rule(("path",), (*_TEXT, "latest", "rotate_mb", "rotate_daily", "keep", "gzip", "sync")),
    "webhook": Rule(("url",), (*_HTTP, *_TEXT, "method", "sign")),
    "gcloud": Rule(("project", "topic"), ("credentials", "template", "columns", "timeout", "url")),
    "signed": Rule((), (*_HTTP, "path")),
    "mqtt": Rule(("url",), ("username", "password", "topic", "retain", "timeout", "tls_ca", "template")),
    "influx": Rule(("url",), (*_HTTP, "org", "bucket", "measurement")),
    "prometheus": Rule(("path",)),
}
_SAYS = {
    "path": "the whole path of a file",
    "url": "the address, such as https://example.org/readings",
    "project": "the id of the Google Cloud project",
    "topic": "the name of the Pub/Sub topic",
}


def wrong_outputs(settings: Settings) -> Iterator[Wrong]:
    """Find what is wrong with outputs, and with who is told of alarms."""
    found = [(f"output.{name}", name, _wrong_output(one)) for name, one in settings.output.items()]
    found += [(f"notify.{name}", name, _wrong_notify(one, settings)) for name, one in settings.notify.items()]
    for table, name, mistakes in found:
        if not _ID.match(name):
            yield table, "this is no id", "a-z, 0-9 and _, at most 64 of them"
        for key, what, meant in mistakes:
            yield f"{table}.{key}", what, meant
    yield from _shared(settings)


def _shared(settings: Settings) -> Iterator[Wrong]:
    """Find files that two outputs would write: each would take the other's lines for torn ones."""
    owners: dict[str, str] = {}
    for name, output in settings.output.items():
        for key in ("path", "latest"):
            path = getattr(output, key)
            if path is not None and owners.setdefault(path, name) != name:
                yield f"output.{name}.{key}", f"output {owners[path]} writes there", "another file"


def _wrong_output(output: Output) -> Iterator[Wrong]:
    rule = RULES[output.kind]
    for field in fields(Output):
        said = getattr(output, field.name) not in (None, (), {})
        if field.name in rule.needs and not said:
            yield field.name, "it is missing", _SAYS[field.name]
        elif said and field.name not in (*_ALL, *rule.needs, *rule.takes):
            yield field.name, f"an output of kind {output.kind} has none", "take it out"
    yield from _wrong_choice(output)
    yield from wrong_server(output)
    if output.interval is not None and output.cron is not None:
        yield "cron", "there is an interval already", "one of the two"
    yield from _wrong_shape(output)
    if "samples" in output.records:
        if len(output.records) > 1:
            yield "records", "samples do not go with others", "an output of its own for them"
        if output.interval is None and output.cron is None:
            yield "interval", "it is missing: samples are taken at fixed times", "seconds, or cron"
    for key in ("path", "latest", "tls_ca", "credentials"):
        path = getattr(output, key)
        if path is not None and not path.startswith("/"):
            yield key, f"{path!r} is no whole path", "a file, such as /media/usb/log.csv"


def _wrong_shape(output: Output) -> Iterator[Wrong]:
    """Find what is wrong with columns and with the template of a smart meter."""
    if output.template == "hems":
        if output.records != ("samples",):
            yield "records", "the template hems is of samples", 'records = ["samples"]'
        if len(output.devices) != 1 or "*" in output.devices[0] or output.entities:
            yield "devices", "the template hems is of one meter", 'its id, such as devices = ["meter"]'
        if output.columns:
            yield "columns", "the template hems has its own", "take it out"
    elif output.columns and "samples" not in output.records:
        yield "columns", "only samples have columns", 'records = ["samples"]'
    for name, entity in output.columns.items():
        if not name or name == "timestamp" or not name.isprintable() or set(name) & set(',"'):
            yield "columns", f"{name!r} is no name of a column", "letters without comma and quotation mark"
        if not _is_entity(entity, _ID):
            yield f"columns.{name}", f"{entity!r} is no entity", "device.entity, such as smartshunt.soc"


def _is_entity(name: str, part: re.Pattern[str]) -> bool:
    """Say whether a name is two of `part` with a point between."""
    parts = name.split(".")
    return len(parts) == 2 and all(map(part.match, parts))


def _wrong_choice(output: Output) -> Iterator[Wrong]:
    for name in output.devices:
        if not _PATTERN.match(name):
            yield "devices", f"{name!r} is no id", "ids of devices; * stands for any text"
    for name in output.entities:
        if not _is_entity(name, _PATTERN):
            yield "entities", f"{name!r} is no entity", "device.entity; * stands for any text"
    if output.kind == "signed" and (output.path is None) == (output.url is None):
        yield "url", "a signed output goes to a backend or to a file", "one of url and path"
    if output.url is not None and output.kind == "gcloud" and not _URL.match(output.url):
        yield "url", "this is no address", "one that begins with https:// or http://"


def _wrong_notify(notify: Notify, settings: Settings) -> Iterator[Wrong]:
    if notify.quiet is not None and not _QUIET.match(notify.quiet):
        yield "quiet", f"{notify.quiet!r} is no time of day", "two times, such as 22:00-07:00"
    if "://" not in notify.url:
        yield "url", "this is no address", "one as Apprise writes it, such as ntfy://van-of-mine"
    for key in ("alarms", "always"):
        for name in getattr(notify, key):
            if "*" not in name and name not in settings.alarm:
                yield key, f"there is no alarm {name!r}", "ids of [alarm.<id>] tables; * stands for any text"
