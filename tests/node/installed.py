"""Node.js and what is tested on it, from the lock beside this file, kept in the virtual environment."""

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json")
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Installed:
    """The Node.js to run and the folder of its modules."""

    node: Path
    modules: Path


def installed() -> Installed:
    """Install once and return what there is; skips the test where npm is missing or there is no Node.js."""
    npm, machine = shutil.which("npm"), _MACHINES.get(platform.machine())
    if npm is None or machine is None or not sys.platform.startswith("linux"):
        pytest.skip("needs npm on a 64-bit Linux: the clients under test run on Node.js")
    digest = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in _FILES)).hexdigest()
    folder = Path(sys.prefix) / f"node-{digest[:12]}"
    with (Path(sys.prefix) / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests share one environment
        if not (folder / "done").exists():
            _install(npm, folder)
    modules = folder / "node_modules"
    return Installed(modules / f"node-linux-{machine}" / "bin" / "node", modules)


def _install(npm: str, folder: Path) -> None:
    for old in folder.parent.glob("node-????????????"):
        shutil.rmtree(old)
    folder.mkdir()
    for name in _FILES:
        shutil.copy(_HERE / name, folder)
    # Scripts of packages do not run: none of these needs one.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed in {folder}:\n{done.stdout}{done.stderr}")
    (folder / "done").touch()
