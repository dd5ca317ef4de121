"""The name of a device in boondock.toml: which lines hold it, and the file with another name in them."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bus import state_files
from cli.asking import AskError
from config import load
from config.mistakes import ConfigError

# Keys whose texts are names of devices, and those whose texts are device.entity.
_OF_DEVICES = ("device", "devices")
_OF_ENTITIES = ("source", "only_if", "feedback", "commands")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds the name, by its number from 1."""

    number: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.old.strip()}  ->  {self.new.strip()}"


def lines(text: str, old: str, new: str) -> Iterator[Line]:
    """The lines to change: tables, names of devices, and device.entity in quotes."""
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
            yield Line(number, line, changed)


def changed(text: str, old: str, new: str) -> str:
    """The file with the other name. Raises AskError if it cannot be had by changing lines."""
    found = {line.number: line.new for line in lines(text, old, new)}
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
        raise AskError(f"{old} is written in another way than usual: change it to {new} by hand")
    return fresh


def edit(path: Path, secrets: Path, old: str, new: str, now: datetime) -> list[str]:
    """Change the file and the names of its secret files; the old one is kept. Raises AskError, OSError."""
    text = path.read_text(encoding="utf-8")
    fresh = changed(text, old, new)
    moved = secret_files(secrets, old, new)
    copy = replace_kept(path, fresh.encode(), now)
    for one, other in moved:
        one.replace(other)
    try:
        load.load(path)
    except ConfigError as error:
        for one, other in moved:
            other.replace(one)
        copy.replace(path)
        raise AskError(f"nothing was changed, for then {str(error).splitlines()[0]}") from error
    return [f"changed {path}; the old one is {copy.name}"] + [f"moved {a} to {b.name}" for a, b in moved]


def replace_kept(path: Path, content: bytes, now: datetime, *, private: bool = False) -> Path:
    """Write a user's file anew, `private` for its owner alone; return the copy of the old. Raises OSError."""
    found = path.stat()
    mode, owner = found.st_mode & 0o777, (found.st_uid, found.st_gid)
    copy = path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%S}")
    state_files.write(copy, path.read_bytes(), mode=mode, owner=owner)
    state_files.write(path, content, mode=0o600 if private else mode, owner=owner)
    return copy


def secret_files(secrets: Path, old: str, new: str) -> list[tuple[Path, Path]]:
    """The secret files of a device, and what they are to be called."""
    start = f"device__{old}__"
    if not secrets.is_dir():
        return []
    found = [one for one in sorted(secrets.iterdir()) if one.name.lower().startswith(start)]
    return [(one, one.with_name(f"device__{new}__{one.name[len(start) :]}")) for one in found]
