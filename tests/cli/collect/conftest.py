"""Where the command is typed, and what is plugged in there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.collect.rig import METER, Here, stick_in
from tests.emulators.wisun import Stick


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    folder = tmp_path / "here"
    folder.mkdir()
    return Here(folder, monkeypatch, capfd)


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here) -> Iterator[Stick]:
    (tmp_path / "dev").mkdir()
    with stick_in(tmp_path / "dev", monkeypatch) as stick:
        here.variables |= {**METER, "SERIAL_PORT": stick.port}
        yield stick
