"""Conditions on what other devices say, as the owner writes them: `fresh_water.level > 5`. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

Operator = Literal["<", "<=", ">", ">=", "==", "!="]

ALLOWED = "device.entity, one of < <= > >= == !=, a number or a word: fresh_water.level > 5"
_CONDITION = re.compile(r"\s*([a-z0-9_]+)\.([a-z0-9_]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_EQUALITY = ("==", "!=")


@dataclass(frozen=True, slots=True)
class Condition:
    """What an entity of a device must be; a word is compared whatever its case."""

    device: str
    entity: str
    operator: Operator
    wanted: float | str

    @property
    def source(self) -> str:
        """The entity as settings name it."""
        return f"{self.device}.{self.entity}"

    def __str__(self) -> str:
        wanted = self.wanted if isinstance(self.wanted, str) else f"{self.wanted:g}"
        return f"{self.source} {self.operator} {wanted}"


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """A condition from its text. Raises ValueError saying what is wrong with it."""
    found = _CONDITION.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition")
    device, entity, operator, wanted = found.groups()
    if _NUMBER.match(wanted):
        return Condition(device, entity, cast("Operator", operator), float(wanted))
    if not _WORD.match(wanted):
        raise ValueError(f"{text!r}: {wanted} is neither a number nor a word")
    if operator not in _EQUALITY:
        raise ValueError(f"{text!r}: {wanted} is a word, which has no {operator}")
    return Condition(device, entity, cast("Operator", operator), wanted)
