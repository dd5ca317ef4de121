"""Reads and validates the settings with pydantic; config/load.py runs this in a child of its own."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config import rules
from config.mistakes import ConfigError, Mistake
from config.model import (
    Ble,
    Broker,
    Clock,
    Controller,
    Device,
    Publish,
    Relay,
    Settings,
    Statistician,
    Storage,
)

PREFIX = "BOONDOCK_"
# Variables that steer the reading itself and are no settings.
STEERING = ("BOONDOCK_CONFIG", "BOONDOCK_SECRETS")
_SECRET_WORDS = ("key", "password")


class _Source(BaseSettings):
    """The settings as pydantic sees them: environment over secret files over boondock.toml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    broker: Broker = Broker()
    storage: Storage = Storage()
    clock: Clock = Clock()
    publish: Publish = Publish()
    ble: Ble = Ble()
    device: dict[str, Device] = {}
    statistician: Statistician = Statistician()
    controller: Controller = Controller()
    relay: dict[str, Relay] = {}


def read(path: Path, secrets: Path | None) -> Settings:
    """The settings from a file, secret files and the environment. Raises ConfigError with every mistake."""
    tables = _parse(path)

    class Source(_Source):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — pydantic's signature
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — pydantic's signature
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = NestedSecretsSettingsSource(
                file_secret_settings,
                secrets_dir=secrets,
                secrets_dir_missing="ok",
                secrets_prefix="",
                secrets_nested_delimiter="__",
            )
            return env_settings, files, InitSettingsSource(settings_cls, init_kwargs=tables)

    try:
        source = Source()
    except ValidationError as error:
        raise ConfigError([_mistake(path, detail, os.environ) for detail in error.errors()]) from error
    settings = Settings(**{f.name: getattr(source, f.name) for f in fields(Settings)})
    if mistakes := rules.check(settings, str(path)):
        raise ConfigError(mistakes)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        allowed = "a readable file; config/example.toml is one to start from"
        raise ConfigError([Mistake(str(path), "", error.strerror or str(error), allowed)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(str(path), "", f"this is no TOML: {error}", "https://toml.io")]) from error


def _mistake(path: Path, detail: ErrorDetails, environ: Mapping[str, str]) -> Mistake:
    # Parts with brackets are pydantic's, not the owner's.
    location = [str(part) for part in detail["loc"] if not set(str(part)) & set("[]()")]
    key = ".".join(location)
    variable = PREFIX + "__".join(location).upper()
    where = f"environment {variable}" if variable in environ else str(path)
    return Mistake(where, key, _wrong(detail, location), _allowed(detail, location))


def _wrong(detail: ErrorDetails, location: list[str]) -> str:
    if detail["type"] == "missing":
        return "it is missing"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such setting"
    if location and location[-1] in _SECRET_WORDS:
        return "this is not allowed"
    return f"{detail['input']!r} is not allowed"


def _allowed(detail: ErrorDetails, location: list[str]) -> str:
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1)
        return f"did you mean {close[0]}?" if close else ", ".join(known)
    if detail["type"] == "missing":
        return f"a value for {location[-1]}"
    text = detail["msg"].split(", unable")[0]
    for start in ("Input should be ", "Value should be "):
        text = text.removeprefix(start)
    return text[0].lower() + text[1:]


def _known(location: list[str]) -> list[str]:
    """The keys of the table at a location."""
    table: Any = Settings
    for part in location:
        found = {f.name: f.type for f in fields(table)} if is_dataclass(table) else {}
        table = found.get(part, next(reversed(get_args(table)), None))
    return [f.name for f in fields(table)] if is_dataclass(table) else []
