"""boondock.toml as text: its encoding, its statements with their lines, and every mistake of its syntax."""

import codecs
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config import toml_repairs
from config.mistakes import Mistake

_PLACE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)\Z")
_HEADER = re.compile(r"\s*\[+[\w.\"'-]+\]+\s*(#.*)?\Z")
# Of one setting: each more is another look at all before it.
_MOST_LINES = 200
_MOST_TOLD = 20
_OPENS = re.compile(r"'''|\"\"\"|=\s*\[")
_BEGINS = re.compile(r"\s*[\w.-]+\s*=")
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TextError(Exception):
    """The bytes are no text of ours: what is wrong, what to do, and in which line (0: in all)."""

    def __init__(self, wrong: str, allowed: str, line: int = 0) -> None:
        super().__init__(wrong)
        self.wrong, self.allowed, self.line = wrong, allowed, line


def decode(data: bytes, name: str) -> str:
    """Decode a file, without a byte order mark and with plain line ends. Raises TextError."""
    if data.startswith(_WIDE) or data[:64].count(0) > len(data[:64]) // 4:
        raise TextError(
            "this file is not UTF-8 but UTF-16, as some editors on Windows save it",
            f"save it as UTF-8, or run: iconv -f UTF-16 -t UTF-8 {name} > new.toml",
        )
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        letter = data[error.start : error.start + 1].decode("cp1252", "replace")
        raise TextError(
            f"the letter {letter!r} here is not UTF-8 but Windows-1252 or Latin-1",
            f"save the file as UTF-8, or run: iconv -f WINDOWS-1252 -t UTF-8 {name} > new.toml",
            data[: error.start].count(b"\n") + 1,
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, slots=True)
class Statement:
    """A header or a setting: its first line, its text, the tables it makes alone."""

    line: int
    text: str
    made: Mapping[str, Any]

    @property
    def is_header(self) -> bool:
        """Whether it begins a table."""
        return self.text.lstrip().startswith("[")


def statements(text: str) -> list[Statement]:
    """List the statements of a good text, in their order."""
    return [one for one in _statements(text) if isinstance(one, Statement)]


def mistakes(text: str, where: str) -> list[Mistake]:
    """Every mistake of syntax; a name that is there twice only if there is nothing else."""
    found: list[Mistake] = []
    good: list[Statement] = []
    for one in _statements(text):
        if isinstance(one, Statement):
            good.append(one)
        else:
            found.append(_told(one, where))
    if len(found) > _MOST_TOLD:
        wrong = f"{len(found) - _MOST_TOLD} more lines are wrong"
        return [
            *found[:_MOST_TOLD],
            Mistake(where, "", wrong, "run boondock check again when these are right"),
        ]
    return found or list(_twice(good, where))


def lines(text: str) -> dict[str, int]:
    """Find the line of every table and setting of a good text, by its key as mistakes name it."""
    found: dict[str, int] = {}
    table = ""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for one in statements(text):
        paths = list(_paths(one.made))
        if one.is_header:
            table = _table(paths[-1], one, counts)
            found.setdefault(table, one.line)
            continue
        for path in paths:
            found.setdefault(f"{table}.{path}" if table else path, one.line)
        if table.startswith("import.") and isinstance(name := one.made.get("device"), str):
            names.setdefault(table, f"import.{name}")
    # Mistakes call an [[import]] by its device.
    for table, name in names.items():
        named = {k.replace(table, name, 1): n for k, n in found.items() if f"{k}.".startswith(f"{table}.")}
        found = {**named, **found}
    # pydantic takes [Device.x] for [device.x].
    return {name.lower(): line for name, line in found.items()} | found


def _table(path: str, header: Statement, counts: dict[str, int]) -> str:
    """Name the table that a header begins; those of a list are counted from 0."""
    if header.text.lstrip().startswith("[["):
        counts[path] = counts.get(path, -1) + 1
        return f"{path}.{counts[path]}"
    above, _, rest = path.partition(".")
    return f"{above}.{counts[above]}.{rest}" if rest and above in counts else path


def line_of(key: str, known: Mapping[str, int]) -> int:
    """Find the line of a key, else of the first thing in it, else of its table; 0 if there is none."""
    below = [line for name, line in known.items() if name.startswith(f"{key}.")]
    if key not in known and below:
        return min(below)
    while key:
        if key in known:
            return known[key]
        key = key.rpartition(".")[0]
    return 0


@dataclass(frozen=True, slots=True)
class _Broken:
    line: int
    column: int
    text: str
    open: bool


def _statements(text: str) -> Iterator[Statement | _Broken]:
    rows = text.split("\n")
    at = 0
    while at < len(rows):
        held = f"{rows[at]}\n"
        size = 1
        broken = None
        end = min(len(rows), at + _MOST_LINES)
        while (broken := _broken(held, at + 1)) is not None and broken.open and at + size < end:
            held += f"{rows[at + size]}\n"
            size += 1
        if broken is not None:
            column = broken.column if size == 1 else len(rows[at]) + 1
            yield _Broken(at + 1, column, rows[at], broken.open)
            size = _swallowed(rows, at)
        elif held.strip() and not held.lstrip().startswith("#"):
            yield Statement(at + 1, held, tomllib.loads(held))
        at += size


def _swallowed(rows: list[str], at: int) -> int:
    """How many lines the broken one takes with it: those of its list or table, up to what closes it."""
    opened = re.search(r"=\s*([\[{])", rows[at])
    if opened is None:
        return 1
    closes = "]" if opened[1] == "[" else "}"
    for end in range(at, len(rows)):
        if end > at and (_HEADER.match(rows[end]) or (closes == "]" and _BEGINS.match(rows[end]))):
            return end - at
        if rows[end].split("#")[0].rstrip(" ,\t").endswith(closes):
            return end - at + 1
    return len(rows) - at


def _broken(held: str, line: int) -> _Broken | None:
    try:
        tomllib.loads(held)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.match(str(error))
        column = len(held.split("\n", maxsplit=1)[0]) + 1 if place is None else int(place[3])
        # At the end: more lines may close it. A word alone ends there too, but opens nothing.
        is_open = place is None and _OPENS.search(held) is not None
        return _Broken(line, column, held, is_open)
    return None


def _told(broken: _Broken, where: str) -> Mistake:
    repair = toml_repairs.find(broken.text, is_open=broken.open)
    shown, column = toml_repairs.masked(broken.text, broken.column)
    return Mistake(where, "", repair.wrong, repair.allowed, broken.line, column, shown)


def _twice(statements: list[Statement], where: str) -> Iterator[Mistake]:
    """Find the first statement that the ones before it do not allow."""
    held = ""
    first: dict[str, int] = {}
    table = ""
    for one in statements:
        path = list(_paths(one.made))[-1] if one.is_header else one.text.split("=")[0].strip()
        table = path if one.is_header else table
        key = path if one.is_header or not table else f"{table}.{path}"
        if one.text.lstrip().startswith("[["):
            # A new table of the list, which may have all settings of the one before it.
            first = {k: n for k, n in first.items() if not f"{k}.".startswith(f"{key}.")}
        held += one.text
        try:
            tomllib.loads(held)
        except tomllib.TOMLDecodeError:
            before = f": line {first[key]} has it already" if key in first else ""
            name = f"[{key}]" if one.is_header else key
            shown, column = toml_repairs.masked(one.text.split("\n")[0], 1)
            allowed = (
                "write all settings of a table under one header" if one.is_header else "remove one of them"
            )
            yield Mistake(where, "", f"{name} is here twice{before}", allowed, one.line, column, shown)
            return
        first.setdefault(key, one.line)


def _paths(tables: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key below, from the outermost in."""
    for name, value in tables.items():
        path = f"{above}.{name}" if above else name
        yield path
        if isinstance(value, dict):
            yield from _paths(value, path)
