"""`boondock rename` and `boondock replace`: who owns a device, and what is asked of whom."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from bus.messages import from_iso, to_iso
from bus.topics import ID, STATISTICIAN, Topics
from cli.asking import Asker, AskError
from cli.broker_rights import COLLECTORS
from cli.house import load_settings
from cli.naming import toml
from config import load, secret_files
from config.model import Settings

_NEXT = "sudo boondock broker --reload; sudo systemctl restart boondock.target"

T = TypeVar("T")


class _Device(msgspec.Struct):
    device: str
    where: str


class _Info(msgspec.Struct):
    now: str


class _Summary(msgspec.Struct):
    entities: list[str] = []
    more_entities: int = 0


class _About(msgspec.Struct):
    entities: dict[str, msgspec.Raw] = {}


@dataclass(frozen=True, slots=True)
class Where:
    """The settings of the house, their file and its secret files."""

    settings: Settings
    config: Path
    secrets: Path

    @classmethod
    def of(cls, config: Path | None) -> "Where":
        """Return those of a file, or of the one that the processes use. Raises SettingsError."""
        return cls(load_settings(config), config or load.find(), secret_files.places()[0])

    def has(self, device: str) -> bool:
        """Whether boondock.toml has a device."""
        return device in self.settings.device or device in self.settings.imports


def rename(where: Where, old: str, new: str, now: datetime, *, edit: bool = False) -> Iterator[str]:
    """Let a device, or an entity given as device.entity, be called otherwise; yields what was done.

    Raises AskError, OSError.
    """
    if "." in old or "." in new:
        yield _entity(where, old, new)
        return
    if not ID.match(new):
        raise AskError(f"{new!r} is no name: allowed are a to z, 0 to 9 and _")
    if old == new:
        raise AskError(f"{old} is called so already")
    if where.has(old):
        if where.has(new):
            raise AskError(f"{where.config} has both {old} and {new}: two devices cannot be one")
        yield from _in_file(where, old, new, now, edit=edit)
        return
    owner = _owners(where)
    if old in owner and new in owner:
        raise AskError(f"there is a {new} already; if it is to take the place of {old}: boondock replace")
    if old in owner:
        yield _called(where, owner[old], old, new)
    elif _described(where, old) is not None:
        raise AskError(f"other software publishes {old}: rename it there first, then ask again")
    yield _moved(where, "device_rename", {"device": old, "to": new})


def _in_file(where: Where, old: str, new: str, now: datetime, *, edit: bool) -> Iterator[str]:
    if edit:
        yield from toml.edit(where.config, where.secrets, old, new, now)
    else:
        yield f"{old} stands in {where.config}; change these lines, or let --edit do it:"
        yield from map(str, toml.lines(where.config.read_text(encoding="utf-8"), old, new))
        yield from (f"{a} -> {b.name}" for a, b in toml.secret_files(where.secrets, old, new))
    yield f"then: {_NEXT}; boondock rename {old} {new}"


def _entity(where: Where, old: str, new: str) -> str:
    for name in (old, new):
        if name.count(".") != 1 or not all(map(ID.match, name.split("."))):
            raise AskError(f"{name!r} is no entity: write device.entity, both times")
    device, _, entity = old.partition(".")
    about = _described(where, device)
    if about is not None and entity in about.entities:
        raise AskError(
            f"{device} still calls it {entity}, so it would come again: rename it at its device first"
            " (only to show another name, ask for set_metadata)"
        )
    return _moved(where, "entity_rename", {"entity": old, "to": new})


def replace(where: Where, old: str, new: str | None, at: int | None) -> Iterator[str]:
    """Let the history of a device go on with other hardware, and its counters from where they were.

    `new` is the device that takes its place and its name; None: `old` has been it since `at` (ms; None: now).
    Yields what was done. Raises AskError.
    """
    if new is not None:
        at = yield from _take_over(where, old, new)
    yield _replaced(where, old, at)


def _replaced(where: Where, device: str, at: int | None) -> str:
    params: dict[str, object] = {"device": device} if at is None else {"device": device, "at": at}
    summary = _ask(where, STATISTICIAN, "device_replaced", params, _Summary)
    since = "now" if at is None else to_iso(at)
    return f"another device counts since {since}: {', '.join(summary.entities)}"


def _take_over(where: Where, old: str, new: str) -> Generator[str, None, int]:
    """Give a device the name of another, whose history goes on; returns since when it counts, ms."""
    for name in (old, new):
        if where.has(name):
            raise AskError(
                f"{name} stands in {where.config}: give [device.{old}] the settings of the new one,"
                f" restart, then: boondock replace {old} --at TIME"
            )
    if old == new:
        raise AskError(f"for other hardware under the same name: boondock replace {old}")
    owner = _owners(where)
    if new not in owner:
        there = ", ".join(sorted(owner)) or "none"
        raise AskError(f"there is no {new} that was added over MQTT; there are: {there}")
    if old in owner:
        _ask(where, owner[old], "device_remove", {"device": old}, msgspec.Raw)
        yield f"{owner[old]} reads the old {old} no more"
    # Between the last reading of the one and the first of the other under this name.
    at = from_iso(_ask(where, STATISTICIAN, "info", {}, _Info).now)
    yield f"should this be broken off: boondock replace {old} --at {to_iso(at)}"
    yield _called(where, owner[new], new, old)
    return at


def _owners(where: Where) -> dict[str, str]:
    """The collector of each device that was added over MQTT. Raises AskError."""
    with Asker(where.settings.broker, service=None) as asker:
        online = [one for one in COLLECTORS if asker.is_online(one)]
    found: dict[str, str] = {}
    for service in online:
        with Asker(where.settings.broker, service=service) as asker:
            for page in asker.pages("devices", {}, list[_Device]):
                found |= {one.device: service for one in page if one.where == "mqtt"}
    return found


def _described(where: Where, device: str) -> _About | None:
    """What is retained of a device; None if nothing is. Raises AskError."""
    topic = Topics(where.settings.broker.base).about(device)
    with Asker(where.settings.broker, topic, service=None) as asker:
        about = asker.last(topic)
    return msgspec.json.decode(about, type=_About) if about else None


def _called(where: Where, service: str, old: str, new: str) -> str:
    _ask(where, service, "device_rename", {"device": old, "to": new}, msgspec.Raw)
    return f"{service} calls {old} {new} now"


def _moved(where: Where, verb: str, params: dict[str, object]) -> str:
    summary = _ask(where, STATISTICIAN, verb, params, _Summary)
    return f"its history goes on as {', '.join(summary.entities)}"


def _ask(where: Where, service: str, verb: str, params: dict[str, object], kind: type[T]) -> T:
    with Asker(where.settings.broker, service=service) as asker:
        return next(asker.pages(verb, params, kind))
