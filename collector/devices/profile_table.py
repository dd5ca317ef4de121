"""Reads the tables of a profile: every mistake names its place, what is wrong and what is allowed. Pure."""

from collections.abc import Iterator, Mapping
from decimal import Decimal


class ProfileError(Exception):
    """A profile cannot be used: where, what is wrong, what is allowed."""

    def __init__(self, where: str, wrong: str, allowed: str) -> None:
        super().__init__(f"{where}: {wrong}; allowed: {allowed}")
        self.where = where
        self.wrong = wrong
        self.allowed = allowed


class Table:
    """One table of a TOML file; `where` is its name for people. `finish` finds keys that nobody asked for."""

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise ProfileError(where, f"{content!r} is no table", "a table")
        self.where = where
        self._content: Mapping[str, object] = content
        self._asked: list[str] = []

    def wrong(self, key: str, wrong: str, allowed: str) -> ProfileError:
        """The error for a key of this table."""
        return ProfileError(self._name(key), wrong, allowed)

    def finish(self) -> None:
        """Raise ProfileError for a key that means nothing here."""
        for key in self._content:
            if key not in self._asked:
                raise self.wrong(key, "there is no such key", ", ".join(sorted(self._asked)))

    def get(self, key: str) -> object:
        """The value as TOML has it, None if it is missing."""
        self._asked.append(key)
        return self._content.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; must be there without a default."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, _is(value), "a text")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of some words."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(key, _is(value), ", ".join(allowed))
        return value

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        return self._integer(key, value, least, most)

    def maybe_integer(self, key: str, least: int, most: int) -> int | None:
        """A whole number within bounds, None if it is missing."""
        value = self.get(key)
        return None if value is None else self._integer(key, value, least, most)

    def integers(self, key: str, least: int, most: int) -> tuple[int, ...]:
        """A list of whole numbers, or one; empty if it is missing."""
        value = self.get(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        return tuple(self._integer(key, item, least, most) for item in items)

    def maybe_number(self, key: str) -> Decimal | None:
        """A number, None if it is missing."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.wrong(key, _is(value), "a number")
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        if not exact.is_finite():
            raise self.wrong(key, _is(value), "a finite number")
        return exact

    def number(self, key: str, default: Decimal) -> Decimal:
        """A number."""
        value = self.maybe_number(key)
        return default if value is None else value

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, _is(value), "true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if it is missing."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, _is(value), "a list of texts")
        return tuple(value)

    def codes(self, key: str) -> Mapping[int, str] | None:
        """A table of words by number: {0 = "standby", 0x0200 = "on"}; None if it is missing."""
        value = self.get(key)
        if value is None:
            return None
        found: dict[int, str] = {}
        for code, word in Table(self._name(key), value).items():
            try:
                number = int(code, 0)
            except ValueError as error:
                raise self.wrong(key, f"{code!r} is no number", "0, 17, 0x0200, …") from error
            if not isinstance(word, str):
                raise self.wrong(f"{key}.{code}", _is(word), "a word")
            found[number] = word
        if not found:
            raise self.wrong(key, "it is empty", "at least one word")
        return found

    def items(self) -> Iterator[tuple[str, object]]:
        """All that is in it."""
        return iter(self._content.items())

    def table(self, key: str) -> "Table | None":
        """A table within, None if it is missing."""
        value = self.get(key)
        return None if value is None else Table(self._name(key), value)

    def tables(self, key: str, name: str) -> "list[Table]":
        """A list of tables within; each is called by what it has under `name`, or by its place."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, _is(value), "a list of tables")
        found = []
        for place, item in enumerate(value, 1):
            called = item.get(name, place) if isinstance(item, Mapping) else place
            found.append(Table(f"{self._name(key)}[{called}]", item))
        return found

    def _name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def _integer(self, key: str, value: object, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, _is(value), f"a whole number from {least} to {most}")
        return value


def _is(value: object) -> str:
    return "it is missing" if value is None else f"it is {value!r}"
