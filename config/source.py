"""Reads and validates the settings with pydantic; config/load.py runs this in a child of its own."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config import env_file, presets, rules, secret_files, sentences, toml_text
from config.addresses import normal
from config.env_file import EnvFile
from config.mistakes import ConfigError, Mistake, UnreadableError, unsaid
from config.model import Settings
from config.sentences import NAMED, known, nearest

PREFIX = "BOONDOCK_"
# Variables that steer the reading itself and are no settings.
STEERING = ("BOONDOCK_CONFIG", "BOONDOCK_SECRETS")
_ROUNDS = 3
# [[import]] in the file and in mistakes; as a word of Python it can be no field.
_IMPORT, _IMPORTS = "import", "imports"
# Lists of tables in the file: the field, the key that names one of them, and what that is.
_LISTS = {
    _IMPORT: (_IMPORTS, "device", "the id of the device"),
    "output": ("output", "name", "an id of its own, such as log"),
    "notify": ("notify", "name", "an id of its own, such as phone"),
}


class _Environment(EnvSettingsSource):
    """Reads JSON only where a setting is a list or a table: a key or password of digits is a text."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 — pydantic's signature
        whole = field is not None and field is self.settings_cls.model_fields.get(field_name)
        return super().decode_complex_value(field_name, field, value) if whole else value

    def explode_env_vars(
        self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]
    ) -> dict[str, Any]:
        texts = super().explode_env_vars(field_name, field, env_vars)
        return {key: _from_json([field_name, key], value) for key, value in texts.items()}


def _from_json(location: list[str], value: object) -> object:
    """Read a list or a table from JSON; what is no JSON stays the text it is."""
    if isinstance(value, dict):
        return {key: _from_json([*location, key], one) for key, one in value.items()}
    if not isinstance(value, str) or (wanted := sentences.container(location)) is None:
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, wanted) else value


class _Texts(_Environment):
    """The same of variables that stand in files; `texts` by their names in small letters."""

    def __init__(self, settings_cls: type[BaseSettings], texts: Mapping[str, str], prefix: str) -> None:
        super().__init__(settings_cls, env_prefix=prefix)
        self.env_vars = texts


def _read_env(config: Path) -> EnvFile:
    """Read the `.env` of a file: beside it; of one that systemd handed over, in /etc/boondock.

    Raises UnreadableError.
    """
    place = config.parent / env_file.NAME
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials is not None and config.parent == Path(credentials) and not place.exists():
        place = env_file.INSTALLED
    example = f"{PREFIX}BROKER__PORT=1883"
    return env_file.read(place, lambda name: name.upper().startswith(PREFIX), example)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where settings come from, the first that has one counts: environment, .env, secret files, the file."""

    path: Path
    env: EnvFile
    secrets: Mapping[str, secret_files.SecretFile]

    def place(self, location: list[str]) -> tuple[str, int]:
        """Find what the owner must correct, and its line if that is known already."""
        lines = {key.upper(): line for key, line in self.env.lines.items()}
        # A list or a table may stand whole in one variable.
        for end in range(len(location), 0, -1):
            name = "__".join(location[:end])
            variable = PREFIX + name.upper()
            if variable in os.environ:
                return f"environment {variable}", 0
            if variable in lines:
                return str(self.env.path), lines[variable]
            if name in self.secrets:
                return str(self.secrets[name].path), 0
        return str(self.path), 0

    def at(self, mistake: Mistake) -> Mistake:
        """Give the mistake its place."""
        where, line = self.place(mistake.key.split("."))
        return replace(mistake, where=where, line=line)


# The tables as pydantic takes fields.
_TABLES: dict[str, Any] = {
    f.name: (f.type, f.default if f.default_factory is MISSING else Field(default_factory=f.default_factory))
    for f in fields(Settings)
}


def read(path: Path, *secrets: Path) -> Settings:
    """Read the settings from a file, `.env` beside it, secret files of some folders and the environment.

    Raises ConfigError with every mistake.
    """
    tables = _parse(path)
    misnamed = _name_lists(tables, str(path))
    misnamed += [Mistake(str(path), *wrong) for wrong in presets.fill(tables.get(_IMPORTS))]
    try:
        files = secret_files.read(secrets)
    except OSError as error:
        wrong, allowed = error.strerror or str(error), "a readable file"
        raise UnreadableError([Mistake(str(error.filename or secrets), "", wrong, allowed)]) from error
    env = _read_env(path)
    ids = _ids(tables, env)
    files = {name: one for name, one in files.items() if _stray(one, ids) is None}
    origin = _Origin(path, env, files)
    if strangers := [*origin.env.mistakes, *_strangers(origin)]:
        raise ConfigError(strangers)
    source = _made(origin, tables)
    try:
        settings, details = _without_mistakes(source, tables)
    except SettingsError as error:
        # A whole table in one variable or secret file; the text names the table and holds no value.
        allowed = f"a variable a setting, such as {PREFIX}BROKER__PORT, or a secret file of that name"
        raise ConfigError([Mistake("environment and secret files", "", str(error), allowed)]) from error
    found = [*misnamed, *_unusable(files.values()), *_once(_mistake(origin, detail) for detail in details)]
    if settings is not None:
        found += unsaid([origin.at(m) for m in rules.check(settings, str(path))], found)
    if found or settings is None:
        raise ConfigError(found, settings)
    return settings


def _made(origin: _Origin, tables: dict[str, Any]) -> type[BaseSettings]:
    """Make the settings as pydantic sees them: environment over .env over secret files over boondock.toml."""
    dotenv = {name.lower(): text for name, text in origin.env.variables.items()}
    secret = {name: one.text for name, one in origin.secrets.items() if one.text is not None}

    class Source(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — pydantic's signature
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — _Environment stands for it
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — _Texts stands for it
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — the same
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                _Environment(settings_cls),
                _Texts(settings_cls, dotenv, PREFIX),
                _Texts(settings_cls, secret, ""),
                InitSettingsSource(settings_cls, init_kwargs=tables),
            )

    return create_model("Source", __base__=Source, **_TABLES)


def _once(found: Iterable[Mistake]) -> Iterator[Mistake]:
    """Leave out repetitions: that a table has no id is told once, not for each of its settings."""
    told = set()
    for one in found:
        table = one.key.partition(".")[0]
        if one.wrong != sentences.NO_ID or table not in told:
            yield one
        if one.wrong == sentences.NO_ID:
            told.add(table)


def _unusable(files: Iterable[secret_files.SecretFile]) -> Iterator[Mistake]:
    """Secret files that are there and say nothing."""
    for one in files:
        if one.text is None and not one.hidden:
            yield Mistake(str(one.path), one.name.replace("__", "."), one.wrong, one.allowed)


def _without_mistakes(
    source: type[BaseSettings], tables: dict[str, Any]
) -> tuple[Settings | None, list[ErrorDetails]]:
    """Read the settings without what is wrong, and what is wrong; None if variables or secret files are."""
    first: list[ErrorDetails] = []
    for _ in range(_ROUNDS):
        try:
            return _settings(source()), first
        except ValidationError as error:
            # What is missing after the first round is so because we took it out.
            first = first or error.errors()
            _prune(tables, error.errors())
    return None, first


def _settings(source: BaseSettings) -> Settings:
    settings = Settings(**{f.name: getattr(source, f.name) for f in fields(Settings)})
    devices = {
        name: replace(device, address=normal(device.address)) if isinstance(device.address, str) else device
        for name, device in settings.device.items()
    }
    return replace(settings, device=devices)


def _prune(tables: dict[str, Any], details: list[ErrorDetails]) -> None:
    """Remove what is wrong from the tables, and tables that lack something."""
    for detail in details:
        table: Any = tables
        path = [str(part) for part in detail["loc"]]
        for part in path[:-1]:
            if not isinstance(table, dict) or not isinstance(table.get(part), dict):
                break
            holder, table = table, table[part]
            if detail["type"] == "missing" and part == path[-2]:
                holder.pop(part)
        if isinstance(table, dict):
            # A wrong item of a list takes the list with it.
            table.pop(next((part for part in path if part in table), ""), None)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        allowed = "a readable file; config/example.toml is one to start from"
        raise UnreadableError([Mistake(str(path), "", error.strerror or str(error), allowed)]) from error
    try:
        text = toml_text.decode(data, path.name)
    except toml_text.TextError as error:
        raise ConfigError([Mistake(str(path), "", error.wrong, error.allowed, error.line)]) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = toml_text.mistakes(text, str(path))
        raise ConfigError(
            found or [Mistake(str(path), "", f"this is no TOML: {error}", "https://toml.io")]
        ) from error


def lines(path: Path) -> dict[str, int]:
    """Find the line of every table and setting of a file; none if it is no TOML."""
    try:
        text = toml_text.decode(path.read_bytes(), path.name)
        tomllib.loads(text)
    except (OSError, toml_text.TextError, tomllib.TOMLDecodeError):
        # Whoever asked has told that already.
        return {}
    return toml_text.lines(text)


def _name_lists(tables: dict[str, Any], where: str) -> list[Mistake]:
    """Name the tables of lists such as [[import]] as other tables are; return what cannot be named."""
    found = []
    if _IMPORTS in tables:
        del tables[_IMPORTS]
        found.append(Mistake(where, _IMPORTS, "there is no such setting", "did you mean [[import]]?"))
    for table, (field_name, key, what) in _LISTS.items():
        if table in tables:
            tables[field_name], mistakes = _named(tables.pop(table), table, key, what)
            found += [Mistake(where, *mistake) for mistake in mistakes]
    return found


def _named(
    listed: object, table: str, key: str, what: str
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Return the tables of a list by their names, and what is wrong with those that have none."""
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return {}, [(table, "this is no list of tables", f"[[{table}]], each with {key}, {what}")]
    named: dict[str, Any] = {}
    found = []
    for number, one in enumerate(listed):
        name = one.pop(key, None)
        if not isinstance(name, str):
            found.append((f"{table}.{number}.{key}", "it is missing", what))
        elif name in named:
            found.append((f"{table}.{name}.{key}", f"another [[{table}]] has it", f"one table a {key}"))
        else:
            named[name] = one
    return named, found


def _strangers(origin: _Origin) -> Iterator[Mistake]:
    """Variables and secret files that name no table; pydantic would pass over them in silence."""
    tables = _tables()
    named = [(f"environment {name}", 0, name) for name in sorted(os.environ)]
    named += [(str(origin.env.path), line, name) for name, line in origin.env.lines.items()]
    for where, line, name in named:
        table = name.upper().removeprefix(PREFIX).split("__")[0].lower()
        if not name.upper().startswith(PREFIX) or table in tables:
            continue
        if name not in STEERING:
            yield Mistake(where, table, "there is no such setting", nearest(table, tables), line)
        elif line:
            wrong = "this says where the settings are, before .env is read"
            yield Mistake(where, name, wrong, "put it into the environment", line)


def strays(path: Path, *secrets: Path) -> list[Mistake]:
    """Secret files that nothing asks for, and folders of them that cannot be read."""
    found = [
        Mistake(str(folder), "", "you may not read it", "run the command with sudo")
        for folder in secrets
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK) and len(secrets) == 1
    ]
    try:
        ids = _ids(_parse(path), _read_env(path))
        files = secret_files.read(secrets)
    except (ConfigError, OSError):
        # Told already, as what is wrong.
        return found
    for one in files.values():
        if (meant := _stray(one, ids)) is not None:
            name = one.name.split("__")
            subject = ".".join(name[:2] if name[0] in ids else name[:1])
            found.append(Mistake(str(one.path), subject, "no setting has this name; it is not used", meant))
        elif one.hidden:
            found.append(Mistake(str(one.path), one.name.replace("__", "."), one.wrong, one.allowed))
    return found


def _tables() -> list[str]:
    return [name for name in known([]) if name != _IMPORTS]


def _ids(tables: dict[str, Any], env: EnvFile) -> dict[str, set[str]]:
    """List the devices, users and relays that the file, the environment and .env name."""
    found: dict[str, set[str]] = {}
    for table in NAMED:
        held = tables.get(table)
        found[table] = set(held) if isinstance(held, dict) else set()
        start = f"{PREFIX}{table}__".upper()
        names = [name.upper() for name in (*os.environ, *env.variables)]
        found[table] |= {n.removeprefix(start).split("__")[0].lower() for n in names if n.startswith(start)}
    return found


def _stray(one: secret_files.SecretFile, ids: Mapping[str, set[str]]) -> str | None:
    """Guess what the name of a secret file that nothing asks for should be; None: it is asked for."""
    table, name = one.name.split("__")[:2]
    if table not in (tables := _tables()):
        close = difflib.get_close_matches(table, tables, n=1)
        return f"did you mean {one.name.replace(table, close[0], 1)}?" if close else "remove it"
    if table not in ids or name in ids[table]:
        return None
    close = difflib.get_close_matches(name, sorted(ids[table]), n=1)
    return f"did you mean {one.name.replace(name, close[0], 1)}?" if close else "remove it"


def _mistake(origin: _Origin, detail: ErrorDetails) -> Mistake:
    # Parts with brackets are pydantic's, not the owner's.
    location = [str(part) for part in detail["loc"] if not set(str(part)) & set("[]()")]
    where, line = origin.place(location)
    key = ".".join([_IMPORT, *location[1:]] if location[0] == _IMPORTS else location)
    allowed = sentences.allowed(detail["type"], detail["input"], detail["msg"], location)
    if where != str(origin.path) and detail["type"] in sentences.NO_TABLE:
        allowed = 'JSON, such as {"a": 1}, or a variable for each of its settings'
    return Mistake(where, key, sentences.wrong(detail["type"], detail["input"], location), allowed, line)
