"""What all tables of the settings share."""

from typing import Annotated, ClassVar

from annotated_types import Gt, Le

Seconds = Annotated[float, Gt(0), Le(31_536_000)]


class Table:
    """A table of boondock.toml; a key it does not know is a mistake."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
