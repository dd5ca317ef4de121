"""docs/reference.md says what the model does, of every setting."""

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import get_args, get_type_hints

import pytest

from config.model import Settings, key_of
from scripts import settings


def test_the_page_is_the_one_that_the_model_makes() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run: python -m scripts.settings"


@pytest.mark.parametrize("title", settings.TABLES)
def test_every_setting_has_a_meaning_and_no_other_has(title: str) -> None:
    table, _, meanings = settings.TABLES[title]
    assert set(meanings) == {key_of(one.name) for one in fields(table)}


def _tables(hint: object) -> set[type]:
    """The tables that a type leads to."""
    found = {hint} if isinstance(hint, type) and is_dataclass(hint) else set()
    for one in get_args(hint) if not found else get_type_hints(hint).values():
        found |= (
            _tables(one) if not isinstance(one, UnionType) else {t for a in get_args(one) for t in _tables(a)}
        )
    return found


def test_every_table_is_on_the_page() -> None:
    assert {table for table, _, _ in settings.TABLES.values()} == _tables(Settings) - {Settings}
