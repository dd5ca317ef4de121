"""What a run takes from a boondock.toml of one's own besides the broker: where everything is kept."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from config.model import Settings
from scripts.children import ROOT
from scripts.places import CannotStartError, Places

_UNSAID = Settings()


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the database is, what outlives a run, and what need not."""

    database: Path
    state: Path
    runtime: Path

    @classmethod
    def of(cls, places: Places) -> Self:
        """Keep everything where the run keeps its own."""
        return cls(places.data / "statistics.db", places.data / "state", places.runtime)

    @classmethod
    def as_said(cls, settings: Settings, places: Places, *, data: bool) -> Self:
        """Follow the settings where they name a place, but for `data` (--data). Raises CannotStartError."""
        kept, storage, asked = cls.of(places), settings.storage, settings.statistician.database
        if asked != _UNSAID.statistician.database and not data:
            kept = replace(kept, database=ROOT / asked)
        if storage.state != _UNSAID.storage.state and not data:
            kept = replace(kept, state=ROOT / storage.state)
        if storage.runtime != _UNSAID.storage.runtime:
            kept = replace(kept, runtime=ROOT / storage.runtime)
        _make(kept.database.parent, "[statistician] database")
        _make(kept.state, "[storage] state")
        _make(kept.runtime, "[storage] runtime")
        return kept


def _make(folder: Path, setting: str) -> None:
    wrong = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        wrong = error.strerror
    if wrong is None and not os.access(folder, os.W_OK | os.X_OK):
        wrong = "this user may not write there"
    if wrong is not None:
        raise CannotStartError(
            f"{setting}: {folder}: {wrong}; name another place, or keep all with --data DIR"
        )


def left_out(settings: Settings, *, own: bool) -> Iterator[str]:
    """Say what the file asks for and a run does not do; `own`: it starts the broker itself."""
    tables = [name for name, said in (("[lan]", settings.lan.listen), ("[user]", settings.user)) if said]
    if tables and own:
        yield (
            f"{' and '.join(tables)}: for the installed house, by `boondock broker`; "
            "the broker of this run is for this machine alone, without passwords"
        )
    if settings.broker.username is not None and own:
        yield "[broker] username: not needed here; the broker of this run asks for none"
