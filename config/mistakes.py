"""Mistakes in the configuration, as its owner reads them."""

from dataclasses import dataclass


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
    """The configuration cannot be used; `mistakes` says why, one line each."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
