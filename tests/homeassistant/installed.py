"""Home Assistant for the tests: an interpreter it runs on, and an environment of its own made once."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

# The newest Home Assistant that a Python can take, newest Python first.
_RELEASES = (((3, 13, 2), "2026.2.3"), ((3, 13, 0), "2025.4.4"))
# What the core requires for integrations that the tests do not start: half of the download.
_UNUSED = frozenset(
    {"audioop-lts", "ha-ffmpeg", "hassil", "home-assistant-intents", "mutagen", "numpy", "pymicro-vad"}
    | {"pyspeex-noise", "PyTurboJPEG", "standard-aifc", "standard-telnetlib", "uv"}
)
# The requirement of the MQTT integration, which is not one of the core.
_MQTT = "paho-mqtt==2.1.0"
_ASK = "import sys; print(*sys.version_info[:3])"
_NAMES = (
    "import importlib.metadata as m, re\n"
    "for r in m.requires('homeassistant'): print(re.match(r'[\\w.-]+', r)[0], r)"
)


@cache
def installed() -> Path:
    """The Python with Home Assistant; skips the test where there is none and none can be made."""
    named = os.environ.get("HOMEASSISTANT_PYTHON")
    if named and _run(named, "-c", "import homeassistant.const") is not None:
        return Path(named)
    for python in [named] if named else _interpreters():
        said = _run(python, "-c", _ASK)
        version = tuple(int(part) for part in said.split()) if said else (0,)
        release = next((name for least, name in _RELEASES if least <= version < (3, 14)), None)
        if release is not None:
            return _environment(python, release)
    pytest.skip("needs Python 3.13 on PATH, or HOMEASSISTANT_PYTHON: Home Assistant runs on nothing older")


def _interpreters() -> Iterator[str]:
    found = shutil.which("python3.13")
    if found is not None:
        yield found
    # pyenv's own commands answer for the versions that are switched on only.
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted((str(path) for path in root.glob("versions/3.13.*/bin/python3.13")), reverse=True)


def _environment(python: str, release: str) -> Path:
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boondock-tests"
    cache_folder.mkdir(parents=True, exist_ok=True)
    folder = cache_folder / f"homeassistant-{release}"
    inner = folder / "bin" / "python"
    with (cache_folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests share one environment
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _must(python, "-m", "venv", str(folder))
            _must(
                str(inner),
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--no-compile",
                f"homeassistant=={release}",
            )
            lines = (_run(str(inner), "-c", _NAMES) or "").splitlines()
            needed = [line.split(" ", 1)[1] for line in lines if line.split(" ", 1)[0] not in _UNUSED]
            _must(str(inner), "-m", "pip", "install", "-q", "--no-compile", "--prefer-binary", *needed, _MQTT)
            (folder / "done").touch()
    return inner


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _must(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        pytest.skip(f"Home Assistant cannot be installed: {reason[-1]}")
