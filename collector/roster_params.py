"""The settings of a device as requests bring them: those of config/model.py, with its bounds, for msgspec."""

import re
from dataclasses import MISSING, fields, replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from config.addresses import normal
from config.model import Device

SECRETS = ("key", "route_b_id", "route_b_password")
"""Settings that are taken and kept, and never said again."""

# Of an integral, which is the statistician's.
_DERIVED = ("source", "max_gap", "sign")
_BOUNDS = ("ge", "gt", "le", "lt")
_NAME = Annotated[str, Meta(max_length=64)]
# Shorter ones are no secrets, and stand in every other word.
_SHORTEST = 4
# What may be a key, or most of one, that stands where it does not belong.
_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{24,}")


class Which(Struct, forbid_unknown_fields=True):
    """Names a device."""

    device: _NAME


class Renamed(Which):
    """Names a device, and what it is to be called."""

    to: _NAME


class Whose(Struct, forbid_unknown_fields=True):
    """Names an entity of a device."""

    device: _NAME
    entity: _NAME


def _bounded(hint: Any) -> Any:  # noqa: ANN401 — a type as `typing` takes it apart
    """The same type with the bounds that pydantic reads said as msgspec reads them."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = {name: getattr(one, name) for one in inner[1:] for name in _BOUNDS if hasattr(one, name)}
        return Annotated[_bounded(inner[0]), Meta(**bounds)]
    if origin is Literal or not inner:
        return hint
    if origin in (Union, UnionType):
        return Union[tuple(_bounded(one) for one in inner)]  # noqa: UP007 — made at run time
    return origin[tuple(one if one is Ellipsis else _bounded(one) for one in inner)]


def _parameters(name: str) -> type[Which]:
    hints = get_type_hints(Device, include_extras=True)
    names = [f.name for f in fields(Device) if f.name not in _DERIVED]
    typed = [(n, Union[_bounded(hints[n]), None, UnsetType], UNSET) for n in names]  # noqa: UP007 — the same
    made = msgspec.defstruct(name, typed, bases=(Which,), kw_only=True, forbid_unknown_fields=True)
    assert issubclass(made, Which)  # noqa: S101 — it stands two lines above
    return made


Settings = _parameters("Settings")
"""A device and any of its settings; one that is not named stays, `null` gives it back its default."""


def changed(asked: Which, before: Device) -> Device:
    """The settings with what was asked for."""
    changes: dict[str, Any] = {}
    for field in fields(Device):
        value = getattr(asked, field.name, UNSET)
        if value is None:
            value = _default(field.name)
        if field.name == "address" and isinstance(value, str):
            value = normal(value)
        if value is not UNSET:
            changes[field.name] = value
    return replace(before, **changes)


def _default(name: str) -> object:
    field = next(f for f in fields(Device) if f.name == name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def said(device: Device) -> dict[str, object]:
    """The settings that differ from their defaults, as JSON has them; secrets included."""
    plain: dict[str, object] = msgspec.to_builtins(device)
    defaults = msgspec.to_builtins(Device(kind=""))
    return {name: value for name, value in plain.items() if value != defaults[name]}


def shown(device: Device) -> dict[str, object]:
    """The same for everybody's eyes: of a secret only that there is one."""
    return {name: "set" if name in SECRETS else value for name, value in said(device).items()}


def masked(text: str, asked: object = None) -> str:
    """The text without secrets, and without what looks like a key that was put in the wrong place."""
    for name in SECRETS:
        secret = getattr(asked, name, None)
        if isinstance(secret, str) and len(secret) >= _SHORTEST:
            text = text.replace(secret, "…")
    return _LIKE_A_KEY.sub("…", text)
