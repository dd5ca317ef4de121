"""Reads and validates the settings with pydantic; config/load.py runs this in a child of its own."""

import difflib
import os
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config import rules
from config.mistakes import ConfigError, Mistake, UnreadableError, unsaid
from config.model import (
    Backup,
    BatteryGuard,
    Ble,
    Broker,
    Clock,
    Collector,
    Controller,
    Device,
    Lan,
    Publish,
    Relay,
    Settings,
    Statistician,
    Storage,
    User,
)
from config.model_import import Import

PREFIX = "BOONDOCK_"
# Variables that steer the reading itself and are no settings.
STEERING = ("BOONDOCK_CONFIG", "BOONDOCK_SECRETS")
_ROUNDS = 3
# [[import]] in the file and in mistakes; as a word of Python it can be no field.
_IMPORT, _IMPORTS = "import", "imports"
_SECRET_WORDS = ("key", "password", "route_b_id", "route_b_password")


class _Environment(EnvSettingsSource):
    """Takes only tables for JSON: a key or password of digits is a text, not a number."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 — pydantic's signature
        decoded = super().decode_complex_value(field_name, field, value)
        return decoded if isinstance(decoded, dict) else value


class _SecretFiles(NestedSecretsSettingsSource, _Environment):
    """The same of secret files."""


class _Source(BaseSettings):
    """The settings as pydantic sees them: environment over secret files over boondock.toml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    broker: Broker = Broker()
    lan: Lan = Lan()
    user: dict[str, User] = {}
    storage: Storage = Storage()
    clock: Clock = Clock()
    publish: Publish = Publish()
    ble: Ble = Ble()
    collector: Collector = Collector()
    device: dict[str, Device] = {}
    imports: dict[str, Import] = {}
    statistician: Statistician = Statistician()
    backup: Backup = Backup()
    controller: Controller = Controller()
    relay: dict[str, Relay] = {}
    battery_guard: BatteryGuard | None = None


def read(path: Path, secrets: Path | None) -> Settings:
    """The settings from a file, secret files and the environment. Raises ConfigError with every mistake."""
    tables = _parse(path)
    misnamed = _name_imports(tables, str(path))
    if strangers := _strangers():
        raise ConfigError(strangers)

    class Source(_Source):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — pydantic's signature
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — _Environment stands for it
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — pydantic's signature
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = _SecretFiles(
                file_secret_settings,
                secrets_dir=secrets,
                secrets_dir_missing="ok",
                secrets_prefix="",
                secrets_nested_delimiter="__",
            )
            return _Environment(settings_cls), files, InitSettingsSource(settings_cls, init_kwargs=tables)

    try:
        settings, details = _without_mistakes(Source, tables)
    except OSError as error:
        wrong, allowed = error.strerror or str(error), "a readable file"
        raise UnreadableError([Mistake(str(error.filename or secrets), "", wrong, allowed)]) from error
    except SettingsError as error:
        # A whole table in one variable or secret file; the text names the table and holds no value.
        allowed = f"a variable a setting, such as {PREFIX}BROKER__PORT, or a secret file of that name"
        raise ConfigError([Mistake("environment and secret files", "", str(error), allowed)]) from error
    found = [*misnamed, *(_mistake(path, secrets, detail) for detail in details)]
    if settings is not None:
        more = rules.check(settings, str(path))
        found += unsaid([replace(m, where=_where(path, secrets, m.key.split("."))) for m in more], found)
    if found or settings is None:
        raise ConfigError(found, settings)
    return settings


def _without_mistakes(
    source: type[_Source], tables: dict[str, Any]
) -> tuple[Settings | None, list[ErrorDetails]]:
    """The settings without what is wrong, and what is wrong; None if variables or secret files are."""
    first: list[ErrorDetails] = []
    for _ in range(_ROUNDS):
        try:
            return _settings(source()), first
        except ValidationError as error:
            # What is missing after the first round is so because we took it out.
            first = first or error.errors()
            _prune(tables, error.errors())
    return None, first


def _settings(source: _Source) -> Settings:
    return Settings(**{f.name: getattr(source, f.name) for f in fields(Settings)})


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        allowed = "a readable file; config/example.toml is one to start from"
        raise UnreadableError([Mistake(str(path), "", error.strerror or str(error), allowed)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(str(path), "", f"this is no TOML: {error}", "https://toml.io")]) from error


def _name_imports(tables: dict[str, Any], where: str) -> list[Mistake]:
    """Give the [[import]] tables the names of their devices, as other tables have; what cannot be named."""
    found = []
    if _IMPORTS in tables:
        del tables[_IMPORTS]
        found.append(Mistake(where, _IMPORTS, "there is no such setting", "did you mean [[import]]?"))
    listed = tables.pop(_IMPORT, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return [*found, Mistake(where, _IMPORT, "this is no list of tables", "[[import]], once a device")]
    named = tables[_IMPORTS] = {}
    for number, one in enumerate(listed):
        name = one.pop("device", None)
        if not isinstance(name, str):
            key = f"{_IMPORT}.{number}.device"
            found.append(Mistake(where, key, "it is missing", "the id of the device"))
        elif name in named:
            key = f"{_IMPORT}.{name}.device"
            found.append(Mistake(where, key, "another [[import]] is this device", "one table a device"))
        else:
            named[name] = one
    return found


def _strangers() -> list[Mistake]:
    """Variables of ours that name no table; pydantic would pass over them in silence."""
    found = []
    for variable in sorted(os.environ):
        table = variable.removeprefix(PREFIX).split("__")[0].lower()
        known = [name for name in _known([]) if name != _IMPORTS]
        if variable.startswith(PREFIX) and variable not in STEERING and table not in known:
            nearest = _nearest(table, known)
            found.append(Mistake(f"environment {variable}", table, "there is no such setting", nearest))
    return found


def _mistake(path: Path, secrets: Path | None, detail: ErrorDetails) -> Mistake:
    # Parts with brackets are pydantic's, not the owner's.
    location = [str(part) for part in detail["loc"] if not set(str(part)) & set("[]()")]
    where = _where(path, secrets, location)
    key = ".".join([_IMPORT, *location[1:]] if location[0] == _IMPORTS else location)
    return Mistake(where, key, _wrong(detail, location), _allowed(detail, location))


def _where(path: Path, secrets: Path | None, location: list[str]) -> str:
    """What the owner must correct: the variable, the secret file, or boondock.toml, in their order."""
    name = "__".join(location)
    if PREFIX + name.upper() in os.environ:
        return f"environment {PREFIX}{name.upper()}"
    if secrets is not None and (secrets / name).is_file():
        return str(secrets / name)
    return str(path)


def _wrong(detail: ErrorDetails, location: list[str]) -> str:
    if detail["type"] == "missing":
        return "it is missing"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such setting"
    if detail["type"] in ("dataclass_type", "dict_type"):
        # The value may hold secrets.
        return "this is no table"
    if location and location[-1] in _SECRET_WORDS:
        return "this is not allowed"
    return f"{detail['input']!r} is not allowed"


def _allowed(detail: ErrorDetails, location: list[str]) -> str:
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return _nearest(location[-1], _known(location[:-1]))
    if detail["type"] == "missing":
        return f"a value for {location[-1]}"
    if detail["type"] in ("dataclass_type", "dict_type"):
        return f"a table, such as [{'.'.join(location)}]"
    text = detail["msg"].split(", unable")[0]
    for start in ("Input should be ", "Value should be "):
        text = text.removeprefix(start)
    return text[0].lower() + text[1:]


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else ", ".join(known)


def _known(location: list[str]) -> list[str]:
    """The keys of the table at a location."""
    table: Any = Settings
    for part in location:
        found = {f.name: f.type for f in fields(table)} if is_dataclass(table) else {}
        table = found.get(part, next(reversed(get_args(table)), None))
        if isinstance(table, UnionType):
            # A table that may be absent.
            table = next((kind for kind in get_args(table) if is_dataclass(kind)), table)
    return [f.name for f in fields(table)] if is_dataclass(table) else []
