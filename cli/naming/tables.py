"""A table of boondock.toml with other values: its lines are changed, all others stay, comments too. Pure."""

import copy
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from config.toml_text import Statement, statements

Texts = Mapping[str, str | None]
"""Values as TOML writes them, by key; None: the key goes."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A statement in its table; `path` is that of the table, None below a [[list]]."""

    statement: Statement
    path: tuple[str, ...] | None

    @property
    def after(self) -> int:
        """The number of lines up to its end."""
        return self.statement.line - 1 + self.statement.text.count("\n")


def with_table(text: str, name: str, values: Texts) -> str:
    """The text with other values in the table [name], which is made where there is none.

    Raises CommandError where that cannot be had by changing lines of that table.
    """
    path = tuple(name.split("."))
    wanted = _wanted(tomllib.loads(text), path, values)
    rows = text.rstrip("\n").split("\n") if text.strip() else []
    found = list(_rows(text))
    mine = [row for row in found if row.path == path]
    lines = _edited(rows, mine, values) if mine else _added(rows, found, path, values)
    fresh = "\n".join(lines) + "\n"
    try:
        right = tomllib.loads(fresh) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise CommandError(f"[{name}] is written in another way than usual; next: change it by hand")
    return fresh


def _wanted(tables: Mapping[str, Any], path: Iterable[str], values: Texts) -> dict[str, Any]:
    """What the file must say afterwards."""
    whole = table = copy.deepcopy(dict(tables))
    for name in path:
        table = table.setdefault(name, {})
    for key, value in values.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = tomllib.loads(f"x = {value}")["x"]
    return whole


def _rows(text: str) -> Iterator[_Row]:
    path: tuple[str, ...] | None = ()
    for one in statements(text):
        if one.is_header:
            path = _path(one.made)
        yield _Row(one, path)


def _path(made: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The path of a header."""
    names: list[str] = []
    inner: Any = made
    while inner:
        if not isinstance(inner, dict):
            return None
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names)


def _edited(rows: list[str], mine: list[_Row], values: Texts) -> list[str]:
    lines: list[str | None] = list(rows)
    left = {key: value for key, value in values.items() if value is not None}
    for row in mine:
        (key, *_) = row.statement.made
        if row.statement.is_header or key not in values:
            continue
        first, last = row.statement.line - 1, row.after
        lines[first:last] = [None] * (last - first)
        if (value := left.pop(key, None)) is not None:
            lines[first] = f"{key} = {value}{_comment(row.statement.text)}"
    end = mine[-1].after
    fresh = [*lines[:end], *(f"{key} = {value}" for key, value in left.items()), *lines[end:]]
    return [line for line in fresh if line is not None]


def _comment(statement: str) -> str:
    """The comment behind a value, with the space before it."""
    line = statement.rstrip("\n")
    for place, letter in enumerate(line):
        if letter == "#" and "\n" not in line:
            before = line[:place]
            try:
                tomllib.loads(before)
            except tomllib.TOMLDecodeError:  # it stands in a text
                continue
            return before[len(before.rstrip()) :] + line[place:]
    return ""


def _added(rows: list[str], found: list[_Row], path: tuple[str, ...], values: Texts) -> list[str]:
    """The table after the last of its kind, or at the end."""
    kin = [row.after for row in found if row.path and row.path[0] == path[0]]
    end = kin[-1] if kin else len(rows)
    table = [
        f"[{'.'.join(path)}]",
        *(f"{key} = {value}" for key, value in values.items() if value is not None),
    ]
    return [*rows[:end], *([""] if end else []), *table, *rows[end:]]
