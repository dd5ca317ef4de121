"""Google's client of Pub/Sub for the tests: what requirements-gcloud.lock names, in a folder made once."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[2] / "requirements-gcloud.lock"


@cache
def installed() -> Path:
    """The folder that holds it; skips the test where it cannot be fetched."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    name = f"gcloud-{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:10]}"
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boondock-tests"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / name
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests share one folder
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(folder)
            (folder / "done").touch()
    return folder


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--no-deps", "--require-hashes"]
    command = [*pip, "--target", str(folder), "--requirement", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("Google's client of Pub/Sub cannot be installed: it takes more than 15 minutes")
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        pytest.skip(f"Google's client of Pub/Sub cannot be installed: {reason[-1]}")


def on_path() -> None:
    """Let this process import it; what the tests have themselves comes first."""
    folder = str(installed())
    if folder not in sys.path:
        sys.path.append(folder)
