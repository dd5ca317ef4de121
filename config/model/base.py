"""What all tables of boondock.toml share: their frame, and the bounds of their values."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

Seconds = Annotated[float, Gt(0), Le(31_536_000)]
Held = Annotated[float, Ge(0), Le(604_800)]
Days = Annotated[int, Ge(1), Le(36_500)]
# What a value is in the energy flow of the house; docs/contract.md says each.
Role = Literal["battery", "starter", "solar", "grid", "charger", "alternator", "generator", "load", "tank"]


def key_of(name: str) -> str:
    """Name the key of a field in the file: `for` is a word of Python, so its field is `for_`."""
    return name.rstrip("_")


class Table:
    """A table of boondock.toml; a key it does not know is a mistake."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, str | Callable[[str], str]]] = {
        "extra": "forbid",
        "alias_generator": key_of,
    }
