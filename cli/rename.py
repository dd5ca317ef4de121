"""`boondock rename`."""

import re
import tomllib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from typer import Argument, Option

from bus import state_files
from bus.messages import from_iso, to_iso
from bus.topics import ID, STATISTICIAN, Topics
from cli import terminal
from cli.asking import Asker
from cli.backup import HouseFiles
from cli.broker.rights import COLLECTORS
from cli.house import Config, Json, complete_devices
from cli.terminal import CommandError
from config import load
from config.mistakes import ConfigError


def rename(
    old: Annotated[
        str, Argument(metavar="DEVICE", autocompletion=complete_devices, help="A device, or device.entity.")
    ],
    new: Annotated[str, Argument(metavar="NEW", help="What it is to be called.")],
    *,
    edit: Annotated[bool, Option("--edit", help="Change boondock.toml; the old one is kept.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a device or an entity be called otherwise; history, statistics and Home Assistant follow."""
    done = rename_device(HouseFiles.of(config), old, new, datetime.now(UTC), edit=edit)
    terminal.told(done, as_json=as_json)


def replace(
    old: Annotated[
        str, Argument(metavar="DEVICE", autocompletion=complete_devices, help="The device that was replaced.")
    ],
    new: Annotated[
        str | None, Argument(metavar="NEW", help="The device that takes its place and its name.")
    ] = None,
    *,
    at: Annotated[
        str | None, Option(metavar="TIME", help="When, such as 2026-11-20T11:00:00Z; default: now.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let the history of a device go on with new hardware; its counters add nothing at the change."""
    where = HouseFiles.of(config)
    try:
        moment = None if at is None else from_iso(at)
    except ValueError as error:
        raise CommandError(f"--at: {error}; write it as 2026-11-20T11:00:00Z") from error
    terminal.told(replace_device(where, old, new, moment), as_json=as_json)


_NEXT = "sudo boondock broker --reload; sudo systemctl restart boondock.target"

T = TypeVar("T")


class _OwnedDevice(msgspec.Struct):
    device: str
    where: str


class _Info(msgspec.Struct):
    now: str


class _Summary(msgspec.Struct):
    entities: list[str] = []
    more_entities: int = 0


class _About(msgspec.Struct):
    entities: dict[str, msgspec.Raw] = {}


def _has(where: HouseFiles, device: str) -> bool:
    """Whether boondock.toml has a device."""
    return device in where.settings.device or device in where.settings.imports


def rename_device(
    where: HouseFiles, old: str, new: str, now: datetime, *, edit: bool = False
) -> Iterator[str]:
    """Let a device, or an entity given as device.entity, be called otherwise; yields what was done.

    Raises CommandError, OSError.
    """
    if "." in old or "." in new:
        yield _entity(where, old, new)
        return
    if not ID.match(new):
        raise CommandError(f"{new!r} is no name: allowed are a to z, 0 to 9 and _")
    if old == new:
        raise CommandError(f"{old} is called so already")
    if _has(where, old):
        if _has(where, new):
            raise CommandError(f"{where.config} has both {old} and {new}: two devices cannot be one")
        yield from _in_file(where, old, new, now, edit=edit)
        return
    owner = _owners(where)
    if old in owner and new in owner:
        raise CommandError(f"there is a {new} already; if it is to take the place of {old}: boondock replace")
    if old in owner:
        yield _called(where, owner[old], old, new)
    elif _described(where, old) is not None:
        raise CommandError(f"other software publishes {old}: rename it there first, then ask again")
    yield _moved(where, "device_rename", {"device": old, "to": new})


def _in_file(where: HouseFiles, old: str, new: str, now: datetime, *, edit: bool) -> Iterator[str]:
    if edit:
        yield from edit_file(where.config, where.secrets, old, new, now)
    else:
        yield f"{old} stands in {where.config}; change these lines, or let --edit do it:"
        yield from map(str, changed_lines(where.config.read_text(encoding="utf-8"), old, new))
        yield from (f"{a} -> {b.name}" for a, b in renamed_secrets(where.secrets, old, new))
    yield f"then: {_NEXT}; boondock rename {old} {new}"


def _entity(where: HouseFiles, old: str, new: str) -> str:
    for name in (old, new):
        if name.count(".") != 1 or not all(map(ID.match, name.split("."))):
            raise CommandError(f"{name!r} is no entity: write device.entity, both times")
    device, _, entity = old.partition(".")
    about = _described(where, device)
    if about is not None and entity in about.entities:
        raise CommandError(
            f"{device} still calls it {entity}, so it would come again: rename it at its device first"
            " (only to show another name, ask for set_metadata)"
        )
    return _moved(where, "entity_rename", {"entity": old, "to": new})


def replace_device(where: HouseFiles, old: str, new: str | None, at: int | None) -> Iterator[str]:
    """Let the history of a device go on with other hardware, and its counters from where they were.

    `new` is the device that takes its place and its name; None: `old` has been it since `at` (ms; None: now).
    Yields what was done. Raises CommandError.
    """
    if new is not None:
        at = yield from _take_over(where, old, new)
    params: dict[str, object] = {"device": old} if at is None else {"device": old, "at": at}
    summary = _ask(where, STATISTICIAN, "device_replaced", params, _Summary)
    since = "now" if at is None else to_iso(at)
    yield f"another device counts since {since}: {', '.join(summary.entities)}"


def _take_over(where: HouseFiles, old: str, new: str) -> Generator[str, None, int]:
    """Give a device the name of another, whose history goes on; returns since when it counts, ms."""
    for name in (old, new):
        if _has(where, name):
            raise CommandError(
                f"{name} stands in {where.config}: give [device.{old}] the settings of the new one,"
                f" restart, then: boondock replace {old} --at TIME"
            )
    if old == new:
        raise CommandError(f"for other hardware under the same name: boondock replace {old}")
    owner = _owners(where)
    if new not in owner:
        there = ", ".join(sorted(owner)) or "none"
        raise CommandError(f"there is no {new} that was added over MQTT; there are: {there}")
    if old in owner:
        _ask(where, owner[old], "device_remove", {"device": old}, msgspec.Raw)
        yield f"{owner[old]} reads the old {old} no more"
    # Between the last reading of the one and the first of the other under this name.
    at = from_iso(_ask(where, STATISTICIAN, "info", {}, _Info).now)
    yield f"should this be broken off: boondock replace {old} --at {to_iso(at)}"
    yield _called(where, owner[new], new, old)
    return at


def _owners(where: HouseFiles) -> dict[str, str]:
    """Ask which collector has each device that was added over MQTT. Raises CommandError."""
    with Asker(where.settings.broker, service=None) as asker:
        online = [one for one in COLLECTORS if asker.is_online(one)]
    found: dict[str, str] = {}
    for service in online:
        with Asker(where.settings.broker, service=service) as asker:
            for page in asker.pages("devices", {}, list[_OwnedDevice]):
                found |= {one.device: service for one in page if one.where == "mqtt"}
    return found


def _described(where: HouseFiles, device: str) -> _About | None:
    """Read what is retained of a device; None if nothing is. Raises CommandError."""
    topic = Topics(where.settings.broker.base).about(device)
    with Asker(where.settings.broker, topic, service=None) as asker:
        about = asker.last(topic)
    return msgspec.json.decode(about, type=_About) if about else None


def _called(where: HouseFiles, service: str, old: str, new: str) -> str:
    _ask(where, service, "device_rename", {"device": old, "to": new}, msgspec.Raw)
    return f"{service} calls {old} {new} now"


def _moved(where: HouseFiles, verb: str, params: dict[str, object]) -> str:
    summary = _ask(where, STATISTICIAN, verb, params, _Summary)
    return f"its history goes on as {', '.join(summary.entities)}"


def _ask(where: HouseFiles, service: str, verb: str, params: dict[str, object], kind: type[T]) -> T:
    with Asker(where.settings.broker, service=service) as asker:
        return next(asker.pages(verb, params, kind))


# Keys whose texts are names of devices, and those whose texts are device.entity.
_OF_DEVICES = ("device", "devices")
_OF_ENTITIES = ("source", "only_if", "feedback", "commands")


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line that holds the name, by its number from 1."""

    number: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.old.strip()}  ->  {self.new.strip()}"


def changed_lines(text: str, old: str, new: str) -> Iterator[ChangedLine]:
    """Find the lines to change: tables, names of devices, and device.entity in quotes."""
    word, of = re.escape(old), ""
    table = re.compile(rf"^(\s*\[\s*device\s*\.\s*[\"']?){word}(?=[\"']?\s*[\].])")
    entity = re.compile(rf"([\"']){word}(?=\.[a-z0-9_]+\s*([<>=!\"']|$))")
    named = re.compile(rf"([\"']){word}(?=\1)")
    key = re.compile(r"^\s*([A-Za-z0-9_.-]+)\s*=")
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if found := key.match(line):
            # A list may go on over several lines.
            of = found[1]
        elif line.lstrip().startswith("["):
            of = ""
        changed = table.sub(rf"\g<1>{new}", line)
        if of in _OF_ENTITIES:
            changed = entity.sub(rf"\g<1>{new}", changed)
        if of in _OF_DEVICES:
            changed = named.sub(rf"\g<1>{new}", changed)
        if changed != line:
            yield ChangedLine(number, line, changed)


def with_name(text: str, old: str, new: str) -> str:
    """Write the file with the other name. Raises CommandError if it cannot be had by changing lines."""
    found = {line.number: line.new for line in changed_lines(text, old, new)}
    rows = text.splitlines(keepends=True)
    for number, line in found.items():
        end = rows[number - 1][len(rows[number - 1].rstrip("\r\n")) :]
        rows[number - 1] = line + end
    fresh = "".join(rows)
    tables = tomllib.loads(fresh)
    imported = [one.get("device") for one in tables.get("import", [])]
    if (
        old in tables.get("device", {})
        or old in imported
        or new not in (*tables.get("device", {}), *imported)
    ):
        raise CommandError(f"{old} is written in another way than usual: change it to {new} by hand")
    return fresh


def edit_file(path: Path, secrets: Path, old: str, new: str, now: datetime) -> list[str]:
    """Change the file and the names of its secret files; keep the old one. Raises CommandError, OSError."""
    text = path.read_text(encoding="utf-8")
    fresh = with_name(text, old, new)
    moved = renamed_secrets(secrets, old, new)
    copy = replace_kept(path, fresh.encode(), now)
    for one, other in moved:
        one.replace(other)
    try:
        load.load(path)
    except ConfigError as error:
        for one, other in moved:
            other.replace(one)
        copy.replace(path)
        raise CommandError(f"nothing was changed, for then {str(error).splitlines()[0]}") from error
    return [f"changed {path}; the old one is {copy.name}"] + [f"moved {a} to {b.name}" for a, b in moved]


def replace_kept(path: Path, content: bytes, now: datetime, *, private: bool = False) -> Path:
    """Write a user's file anew, `private` for its owner alone; return the copy of the old. Raises OSError."""
    found = path.stat()
    mode, owner = found.st_mode & 0o777, (found.st_uid, found.st_gid)
    copy = path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%S}")
    state_files.write(copy, path.read_bytes(), mode=mode, owner=owner)
    state_files.write(path, content, mode=0o600 if private else mode, owner=owner)
    return copy


def renamed_secrets(secrets: Path, old: str, new: str) -> list[tuple[Path, Path]]:
    """Pair the secret files of a device with what they are to be called."""
    start = f"device__{old}__"
    if not secrets.is_dir():
        return []
    found = [one for one in sorted(secrets.iterdir()) if one.name.lower().startswith(start)]
    return [(one, one.with_name(f"device__{new}__{one.name[len(start) :]}")) for one in found]
