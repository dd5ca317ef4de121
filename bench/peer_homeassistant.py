"""Home Assistant's recorder as a peer: installed from the package index into a cache, only when asked."""

import json
import os
import sqlite3
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.measure import progress

# The newest that runs on the Python we support, and what its recorder asks for beside it.
_VERSIONS = {(3, 11): "2024.3.3", (3, 12): "2025.1.4", (3, 13): "2025.11.3"}
_SCRIPT = Path(__file__).with_name("hass_burst.py")
_MANIFEST = (
    "import pathlib, homeassistant.components as c;"
    "print(pathlib.Path(c.__path__[0], 'recorder', 'manifest.json'))"
)


class UnavailableError(Exception):
    """It cannot be installed here; the text says why."""


@dataclass(frozen=True, slots=True)
class Burst:
    """States/s and CPU in µs a state."""

    rate: float
    cpu_us: float


class Recorder:
    """An installed recorder. Raises UnavailableError."""

    def __init__(self) -> None:
        found = _VERSIONS.get((sys.version_info.major, sys.version_info.minor))
        if found is None:
            raise UnavailableError(
                f"no version is known for Python {sys.version_info.major}.{sys.version_info.minor}"
            )
        self.version = found
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        folder = cache / "boondock-bench" / f"homeassistant-{found}"
        self._python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            progress(f"installing Home Assistant {found} into {folder}")
            self._install(folder)

    def _install(self, folder: Path) -> None:
        venv.create(folder, clear=True, with_pip=True)
        self._pip(f"homeassistant=={self.version}")
        listed = self._run(str(self._python), "-c", _MANIFEST).strip()
        manifest = json.loads(Path(listed).read_text(encoding="utf-8"))
        self._pip(*manifest["requirements"])
        (folder / "complete").touch()

    def _pip(self, *packages: str) -> None:
        self._run(str(self._python), "-m", "pip", "install", "--quiet", *packages)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnavailableError(f"`{' '.join(command[1:4])} …` failed: {last}")
        return done.stdout

    def burst(self, folder: Path, states: int) -> Burst:
        """Record a burst of states into a fresh database; every one must be in it."""
        home = folder / "homeassistant"
        home.mkdir()
        wall, cpu = map(float, self._run(str(self._python), str(_SCRIPT), str(home), str(states)).split())
        database = sqlite3.connect(home / "recorder.db")
        (stored,) = database.execute("SELECT count(*) FROM states").fetchone()
        database.close()
        if stored != states:
            raise RuntimeError(f"the recorder stored {stored} states, not {states}")
        return Burst(states / wall, cpu / states * 1e6)
