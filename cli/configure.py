"""`boondock configure`."""

import copy
import difflib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

from bus import state_files
from cli.check import examine
from cli.house import Config, Json
from cli.install import System, main, plan
from cli.install.kinds import toml_value
from cli.install.plan import current
from cli.install.questions import Draft, Interview, Read
from cli.install.steps import Context, zone_of
from cli.rename import replace_kept
from cli.terminal import CommandError, Report, SettingsError, guarded
from config import secret_files, toml_repairs
from config.toml_text import Statement, TextError, decode, mistakes, statements

Part = Literal["outputs", "device", "broker", "phone", "zone", "page"]


def configure(
    part: Annotated[Part | None, Argument(help="Default: it asks which.")] = None,
    *,
    yes: Annotated[bool, Option("--yes", help="Ask nothing: take what is found, and each default.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Ask, show what would change, change nothing.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Ask the installer's questions again for one part of boondock.toml, and let the answers work.

    What changes is shown and checked first; comments and order stay, and the old file is kept beside it. An
    installed house restarts what needs it, and readings are awaited.
    """
    system = System()
    return guarded(
        lambda report: ask_again(
            part, Target.of(config, system), system, None if yes else input, report, dry_run=dry_run
        ),
        as_json=as_json,
    )


_MAKE = "next: sudo ./scripts/install asks for all of it; or copy config/example.toml to boondock.toml"


@dataclass(frozen=True, slots=True)
class Target:
    """What is changed: a file, and the folder of its secret files; None: they stand in the file itself.

    `release` is what runs it as services; None: nothing is installed, or this is not its file.
    """

    file: Path
    secrets: Path | None = None
    release: Path | None = None

    @classmethod
    def of(cls, config: Path | None, system: System, clone: Path = main.SOURCE) -> "Target":
        """Choose a file, else that of $BOONDOCK_CONFIG, of the installed house, or of scripts/run."""
        installed, release = system.at(plan.SETTINGS), current(system)
        named = os.environ.get("BOONDOCK_CONFIG")
        file = config or (Path(named) if named else installed if release else clone / "boondock.toml")
        if file == installed and release is not None:
            return cls(file, system.at(plan.SECRETS), release)
        return cls(file, secret_files.places()[0] if "BOONDOCK_SECRETS" in os.environ else None)


@dataclass(slots=True)
class Answered:
    """The text before and after, the secret files that are written, and those that go."""

    old: str
    new: str
    secrets: dict[str, str]
    gone: list[Path]
    # The text holds a secret that was answered.
    private: bool = False

    def lines(self, target: Target) -> Iterator[str]:
        """Show what differs, for people; no secret is shown."""
        old, new = (
            [toml_repairs.masked(line, 1)[0] for line in text.splitlines()] for text in (self.old, self.new)
        )
        yield from difflib.unified_diff(old, new, str(target.file), "as answered", lineterm="", n=1)
        yield from (f"+++ {target.secrets}/{name} (not shown)" for name in self.secrets)
        yield from (f"--- {path}" for path in self.gone)


def ask_again(
    part: str | None, target: Target, system: System, asks: Read | None, report: Report, *, dry_run: bool
) -> int:
    """Ask, show what changes, check it, ask again, write it, let it work; returns the exit code.

    Without `asks` every default is taken. Raises CommandError, CommandError, OSError; nothing was changed
    before the last question.
    """
    if target.release is not None and not dry_run:
        main.need_root("configure")
    crlf, text = read(target)
    talk = Interview(system, asks, report.ask, plan.parsed(text, str(target.file)))
    talk.part(part)
    change = _change(target, text, talk.draft)
    zone = None if talk.zone == zone_of(system) else talk.zone
    shown = [*change.lines(target), *([f"time zone: {zone}"] if zone else [])]
    if not shown:
        report.ask("Nothing changes.")
        return 0
    (report.say if dry_run else report.ask)("\n".join(shown))
    refuse_wrong(target, change)
    if dry_run:
        report.ask("Nothing was changed.")
        return 0
    talk.agree("Change this")
    write(target, change, report, crlf=crlf)
    if target.release is not None:
        known = plan.remembered(system)
        made = main.of_file(system, target.file, target.release, target.release, known)
        made = replace(made, broker=talk.broker or made.broker, time_zone=zone)
        return main.carry_out(Context(made, system), report)
    again = "./scripts/run must be started again: end it with Ctrl-C, if it runs"
    report.advise([f"sudo timedatectl set-timezone {zone}" if zone else again])
    return 0


def read(target: Target) -> tuple[bool, str]:
    """Whether the lines end as on Windows, and the text. Raises CommandError if it cannot be changed."""
    file = target.file
    try:
        raw = file.read_bytes()
        text = decode(raw, str(file))
    except FileNotFoundError:
        raise CommandError(f"there is no {file}\n{_MAKE}") from None
    except PermissionError:
        raise CommandError(f"{file} may be read by root\nnext: sudo boondock configure") from None
    except TextError as error:
        raise CommandError(f"{file}: {error.wrong}\nnext: {error.allowed}") from error
    if wrong := mistakes(text, str(file)):
        raise CommandError(f"{wrong[0]}\nnext: correct it first: boondock check --config {file}")
    return b"\r\n" in raw, text


def _change(target: Target, text: str, draft: Draft) -> Answered:
    """Put the answers into the text. Raises CommandError."""
    tables, secrets = draft.texts(), draft.secrets
    for name, value in draft.secrets.items():
        *table, key = name.split("__")
        # In a file of its own; else here, where only its owner may read.
        held = None if target.secrets is not None else toml_value(value)
        tables.setdefault(".".join(table), {})[key] = held
    new = text
    for name, values in tables.items():
        new = with_table(new, name, values)
    if target.secrets is None:
        return Answered(text, new, {}, [], private=bool(secrets))
    gone = [target.secrets / name for name in sorted(draft.gone)]
    return Answered(text, new, secrets, [path for path in gone if path.exists()])


def refuse_wrong(target: Target, change: Answered) -> None:
    """Raise SettingsError if the new settings are not good; nothing is left behind."""
    candidate = target.file.with_name(f".{target.file.name}.checked")
    with _secrets(target, change):
        try:
            state_files.write(candidate, change.new.encode())
            found = examine(candidate)
        finally:
            candidate.unlink(missing_ok=True)
    if found.mistakes:
        said = "\n".join(map(str, found.mistakes)).replace(str(candidate), str(target.file))
        raise SettingsError(f"{said}\nnothing was changed\nnext: answer otherwise, or correct it by hand")


@contextmanager
def _secrets(target: Target, change: Answered) -> Iterator[None]:
    """Let the settings be read with the secret files as they will be."""
    if target.secrets is None:
        yield
        return
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        with suppress(FileNotFoundError):  # it is made with the first of them
            shutil.copytree(target.secrets, folder, dirs_exist_ok=True)
        for path in change.gone:
            (Path(folder) / path.name).unlink()
        for name, text in change.secrets.items():
            state_files.write(Path(folder) / name, f"{text}\n".encode())
        os.environ["BOONDOCK_SECRETS"] = folder
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def write(target: Target, change: Answered, report: Report, *, crlf: bool) -> None:
    """Write the secret files first, so that the settings never miss one."""
    for name, text in change.secrets.items():
        report.say(f"writing {target.secrets}/{name}")
        assert target.secrets is not None  # noqa: S101 — else it stands in the file
        state_files.write(target.secrets / name, f"{text}\n".encode())
    if change.new != change.old:
        text = change.new.replace("\n", "\r\n") if crlf else change.new
        copy = replace_kept(target.file, text.encode(), datetime.now(UTC), private=change.private)
        report.say(f"changed {target.file}; the old one is {copy.name}")
    for path in change.gone:
        report.say(f"removing {path}")
        path.unlink()


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
    """Give the text other values in the table [name], which is made where there is none.

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


def without_table(text: str, name: str) -> str:
    """Take the table [name] out of the text. Raises CommandError where it is not written as one."""
    path = tuple(name.split("."))
    wanted = copy.deepcopy(tomllib.loads(text))
    table: Any = wanted
    for one in path[:-1]:
        table = table[one]
    del table[path[-1]]
    if not table:
        # The last of its kind leaves no table behind.
        del wanted[path[0]]
    lines: list[str | None] = list(text.split("\n"))
    for row in _rows(text):
        if row.path == path:
            lines[row.statement.line - 1 : row.after] = [None] * (row.after - row.statement.line + 1)
    fresh = re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line is not None))
    if tomllib.loads(fresh) != wanted:
        raise CommandError(f"[{name}] is written in another way than usual; next: take it out by hand")
    return fresh


def _wanted(tables: Mapping[str, Any], path: Iterable[str], values: Texts) -> dict[str, Any]:
    """Say what the file must hold afterwards."""
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
    """Read the path of a header; None of a [[list]]."""
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
    """Cut out the comment behind a value, with the space before it."""
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
    """Add the table after the last of its kind, or at the end."""
    kin = [row.after for row in found if row.path and row.path[0] == path[0]]
    end = kin[-1] if kin else len(rows)
    table = [
        f"[{'.'.join(path)}]",
        *(f"{key} = {value}" for key, value in values.items() if value is not None),
    ]
    return [*rows[:end], *([""] if end else []), *table, *rows[end:]]
