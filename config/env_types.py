"""Texts of variables and secret files as the type of their setting wants them."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

# An address of a chip; a radio's has twelve digits.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,2}|[1-9][0-9]{0,2}")
# A good text for each kind of error that pydantic tells of a variable.
_EXAMPLES = {
    "int_parsing": "=5",
    "float_parsing": "=1.5",
    "bool_parsing": "=true",
    "tuple_type": """='["a", "b"]'""",
    "dict_type": """='{"name": 1}', or __NAME=1 after it""",
    "dataclass_type": """='{"name": 1}', or __NAME=1 after it""",
}


def decoded(value: Any, kind: Any) -> Any:  # noqa: ANN401 — what pydantic makes of variables
    """The value with each text that stands for a list or a table decoded; other texts stay as they are."""
    kinds = list(_kinds(kind))
    table = next((one for one in kinds if is_dataclass(one) or get_origin(one) is dict), None)
    if isinstance(value, str) and str not in kinds and any(_is_json(one) for one in kinds):
        value = _json(value)
    if isinstance(value, str) and int in kinds and str in kinds and _NUMBER.fullmatch(value):
        return int(value, 0)
    if not isinstance(value, Mapping) or table is None:
        return value
    if not is_dataclass(table):
        return {name: decoded(one, get_args(table)[1]) for name, one in value.items()}
    types = {one.name: one.type for one in fields(table)}
    return {name: decoded(one, types.get(name, str)) for name, one in value.items()}


def example(kind: str, location: list[str], prefix: str) -> str:
    """What to write instead, after the sentence that says what is allowed; empty where that says it."""
    text = _EXAMPLES.get(kind)
    return "" if text is None else f"; such as {prefix}{'__'.join(location).upper()}{text}"


def _kinds(kind: Any) -> list[Any]:  # noqa: ANN401 — any annotation
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for part in get_args(kind) for one in _kinds(part)]
    return [str] if get_origin(kind) is Literal else [kind]


def _is_json(kind: Any) -> bool:  # noqa: ANN401 — any annotation
    return is_dataclass(kind) or get_origin(kind) in (dict, tuple)


def _json(text: str) -> Any:  # noqa: ANN401 — JSON
    try:
        found = json.loads(text)
    except ValueError:
        # pydantic says what it wants instead.
        return text
    return found if isinstance(found, list | dict) else text
