"""Mistakes in the configuration, as its owner reads them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from config.model import Settings

# Settings whose values are shown to nobody.
SECRETS = ("key", "password", "route_b_id", "route_b_password", "url", "token", "sign", "headers")
# What is allowed may also be said as a question or as a step.
_STEP = re.compile(r"(did you mean|write|save|remove|copy|run|take|put|give) ")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong setting: the file (or variable) it stands in, its key, what is wrong, what is allowed.

    `line` and `column` count from 1 (0: not known); `shown` is the line itself, without secrets.
    """

    where: str
    key: str
    wrong: str
    allowed: str
    line: int = 0
    column: int = 0
    shown: str = ""

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line else ""
        column = f", column {self.column}" if self.column else ""
        key = f": {self.key}" if self.key else ""
        allowed = self.allowed if _STEP.match(self.allowed) else f"allowed: {self.allowed}"
        text = f"{self.where}{line}{column}{key}: {self.wrong}; {allowed}"
        mark = f"\n    {self.shown}\n    {' ' * (self.column - 1)}^" if self.shown else ""
        return text + mark


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` says why, one line each.

    `partial` are the settings without what is wrong, for whoever looks for more; None if there are no such.
    """

    def __init__(self, mistakes: list[Mistake], partial: Settings | None = None) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
        self.partial = partial


class UnreadableError(ConfigError):
    """The file cannot be read now: not there yet, not allowed, on a disk that is not mounted yet."""


def unsaid(found: Iterable[Mistake], said: Iterable[Mistake]) -> list[Mistake]:
    """Keep mistakes that do not come from those `said`: about none of their keys, nor a table above one."""
    keys = [f"{mistake.key}." for mistake in said]
    return [m for m in found if not any(key.startswith(f"{m.key}.") for key in keys)]
