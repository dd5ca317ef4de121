"""Mistakes in the configuration, as its owner reads them."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.model import Settings


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong setting: the file (or variable) it stands in, its key, what is wrong, what is allowed."""

    where: str
    key: str
    wrong: str
    allowed: str

    def __str__(self) -> str:
        place = f"{self.where}: {self.key}" if self.key else self.where
        return f"{place}: {self.wrong}; allowed: {self.allowed}"


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
    """The mistakes that do not come from those `said`: about none of their keys, nor of a table above one."""
    keys = [f"{mistake.key}." for mistake in said]
    return [m for m in found if not any(key.startswith(f"{m.key}.") for key in keys)]
