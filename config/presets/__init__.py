"""The shipped tables for [[import]]: each TOML file of this folder is one, with placeholders to fill."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PLACEHOLDERS = ("prefix", "portal", "instance")
"""Settings of an [[import]] that stand in braces in the texts of a preset."""

_FOLDER = Path(__file__).parent
# Levels of a topic: no wildcard, none of them empty.
_LEVELS = re.compile(r"[^+#/\x00-\x1f{}]+(/[^+#/\x00-\x1f{}]+)*\Z")

Table = dict[str, Any]
# Key, what is wrong, what is allowed.
Wrong = tuple[str, str, str]


def shipped() -> tuple[str, ...]:
    """List the names of the presets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load(name: str) -> Table:
    """Read a preset that is shipped."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def fill(imports: object) -> Iterator[Wrong]:
    """Put presets into the tables [[import]] that ask for one; what is wrong with that, by its key.

    `imports` holds them by device, as they were read: of any type until pydantic has looked.
    """
    if not isinstance(imports, dict):
        return
    for device, table in list(imports.items()):
        name = table.get("preset") if isinstance(table, dict) else None
        if not isinstance(name, str):
            continue
        if name not in shipped():
            close = difflib.get_close_matches(name, shipped(), n=1)
            allowed = f"did you mean {close[0]}?" if close else ", ".join(shipped())
            yield f"import.{device}.preset", f"there is no preset {name!r}", allowed
            # All else that is wrong with it follows from that.
            del imports[device]
            continue
        preset = load(name)
        yield from _mistakes(f"import.{device}", table, preset["preset"])
        defaults = preset["preset"].get("defaults", {})
        said = {key: str(table.get(key, defaults.get(key, ""))) for key in PLACEHOLDERS}
        values = {key: value for key, value in said.items() if _LEVELS.match(value)}
        imports[device] = _filled(_merged(preset["import"], table), values)


def _mistakes(key: str, table: Table, about: Table) -> Iterator[Wrong]:
    needs: Mapping[str, str] = about["needs"]
    for name in PLACEHOLDERS:
        value = table.get(name)
        if value is None and name in needs:
            yield f"{key}.{name}", "it is missing", needs[name]
        elif value is not None and name not in {**needs, **about.get("defaults", {})}:
            yield f"{key}.{name}", f"the preset {table['preset']} does not ask for it", "no such line here"
        elif isinstance(value, str) and not _LEVELS.match(value):
            yield f"{key}.{name}", f"{value!r} is no part of a topic", needs.get(name, "levels joined by /")


def _merged(preset: Table, own: Table) -> Table:
    """Return the preset with what the owner says beside it or in its place, entity by entity."""
    whole = {**preset, **own}
    entities = preset.get("entities", {})
    mine = own.get("entities", {})
    if isinstance(mine, dict):
        both = {
            name: {**entities[name], **one} if name in entities and isinstance(one, dict) else one
            for name, one in mine.items()
        }
        whole["entities"] = {**entities, **both}
    return whole


def _filled(part: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401 — as TOML was read
    if isinstance(part, str):
        for key, value in values.items():
            part = part.replace(f"{{{key}}}", value)
        return part
    if isinstance(part, dict):
        return {key: _filled(one, values) for key, one in part.items()}
    return [_filled(one, values) for one in part] if isinstance(part, list) else part
