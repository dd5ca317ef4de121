"""The conditions of relays, alarms and rules: their words, read from text.

`fresh_water.level > 5`, `fridge silent for 10 min`, `fresh_water.level falls by 10 in 5 min`,
`problem statistician.backup`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from config.model import Alarm, Rule, Settings

Operator = Literal["<", "<=", ">", ">=", "==", "!="]
Way = Literal["changes", "rises", "falls"]

CONDITION_ALLOWED = (
    "device.entity, one of < <= > >= == !=, a number or a word: fresh_water.level > 5; or fridge silent for"
    " 10 min; or fresh_water.level falls by 10 in 5 min; or problem statistician.backup"
)
_COMPARISON = re.compile(r"\s*([a-z0-9_]+)\.([a-z0-9_]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*\Z")
_SILENCE = re.compile(r"\s*([a-z0-9_]+)(?:\.([a-z0-9_]+))?\s+silent\s+for\s+(\S.*)\Z")
_CHANGE = re.compile(r"\s*([a-z0-9_]+)\.([a-z0-9_]+)\s+(changes|rises|falls)\s+by\s+(\S+)\s+in\s+(\S.*)\Z")
_PROBLEM = re.compile(r"\s*problem\s+([a-z0-9_]+)(?:\.([a-z0-9_.]+))?\s*\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)?\s*\Z", re.ASCII)
_EQUALITY = ("==", "!=")
_SECONDS = {None: 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 31_536_000


@dataclass(frozen=True, slots=True)
class Comparison:
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


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was heard of a device, or of one of its entities, for so many seconds."""

    device: str
    entity: str | None
    seconds: float

    @property
    def source(self) -> str:
        """The device or entity as settings name it."""
        return self.device if self.entity is None else f"{self.device}.{self.entity}"

    def __str__(self) -> str:
        return f"{self.source} silent for {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Change:
    """A number moved by at least so much within so many seconds; up, down, or either way."""

    device: str
    entity: str
    way: Way
    by: float
    seconds: float

    @property
    def source(self) -> str:
        """The entity as settings name it."""
        return f"{self.device}.{self.entity}"

    def __str__(self) -> str:
        return f"{self.source} {self.way} by {self.by:g} in {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Problem:
    """The health of a service names a problem; without a subject any problem."""

    service: str
    subject: str | None

    def __str__(self) -> str:
        return f"problem {self.service}" + ("" if self.subject is None else f".{self.subject}")


Condition = Comparison | Silence | Change | Problem


@lru_cache(maxsize=256)
def parse_condition(text: str) -> Condition:
    """Read a condition from its text. Raises ValueError saying what is wrong with it."""
    if found := _PROBLEM.match(text):
        return Problem(found[1], found[2])
    if found := _SILENCE.match(text):
        return Silence(found[1], found[2], _seconds(text, found[3]))
    if found := _CHANGE.match(text):
        if not _NUMBER.match(found[4]) or float(found[4]) <= 0:
            raise ValueError(f"{text!r}: {found[4]} is no number above 0")
        return Change(found[1], found[2], cast("Way", found[3]), float(found[4]), _seconds(text, found[5]))
    return parse_comparison(text)


@lru_cache(maxsize=256)
def parse_comparison(text: str) -> Comparison:
    """Read a condition that compares a value. Raises ValueError saying what is wrong with it."""
    found = _COMPARISON.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition")
    device, entity, operator, wanted = found.groups()
    if _NUMBER.match(wanted):
        return Comparison(device, entity, cast("Operator", operator), float(wanted))
    if not _WORD.match(wanted):
        raise ValueError(f"{text!r}: {wanted} is neither a number nor a word")
    if operator not in _EQUALITY:
        raise ValueError(f"{text!r}: {wanted} is a word, which has no {operator}")
    return Comparison(device, entity, cast("Operator", operator), wanted)


def _seconds(text: str, said: str) -> float:
    found = _TIME.match(said)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"{text!r}: {said.strip()} is no time; allowed are 30 s, 10 min, 2 h, 1 d")
    return seconds


def texts(said: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the conditions of a setting that holds one or several."""
    return (said,) if isinstance(said, str) else said


def automations(settings: Settings) -> dict[str, Alarm | Rule]:
    """Return all alarms and rules by their tables: `alarm.<id>`, `rule.<id>`."""
    found: dict[str, Alarm | Rule] = {f"alarm.{name}": one for name, one in settings.alarm.items()}
    return found | {f"rule.{name}": one for name, one in settings.rule.items()}


def title_of(name: str, table: Alarm | Rule) -> str:
    """Return what people call an alarm or a rule: its name, else its id in words."""
    return table.name or name.replace("_", " ").capitalize()
