"""A machine with a configuration file, secret files and an environment of its own."""

import os
from pathlib import Path

import pytest

from config import source
from config.mistakes import ConfigError
from config.model import Settings


class Machine:
    """Writes what the owner would write and reads the settings as the processes' child does."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.file = folder / "boondock.toml"
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        self._patch = patch
        self.says("")

    def says(self, text: str | bytes) -> None:
        """Write boondock.toml."""
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def env(self, **variables: str) -> None:
        """Set variables."""
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def secret(self, name: str, value: str) -> None:
        """Write a secret file."""
        (self.secrets / name).write_text(value)

    def settings(self) -> Settings:
        """What a process would get."""
        return source.read(self.file, self.secrets)

    def mistakes(self) -> list[str]:
        """The lines the owner would read, without the file's name; a good file fails the test."""
        with pytest.raises(ConfigError) as caught:
            self.settings()
        assert str(caught.value) == "\n".join(map(str, caught.value.mistakes))
        return [str(m).removeprefix(f"{self.file}: ") for m in caught.value.mistakes]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in list(os.environ):
        if name.startswith("BOONDOCK_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
    return Machine(tmp_path, monkeypatch)
