"""The page as it is built, once for all tests of a run."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "mosquitto" / "page"
_SECONDS = 120


@dataclass(frozen=True)
class Tools:
    """What builds the page: Node.js and the folder of the packages of package-lock.json."""

    node: Path
    packages: Path

    def run(self, *command: str | Path) -> str:
        """Run a script by Node.js and return what it printed. Raises AssertionError if it failed."""
        done = subprocess.run(
            [self.node, *command], cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout


def tools() -> Tools:
    """Find what builds the page; skips the test where something is missing."""
    packages = Path(sys.prefix) / "page" / "node_modules"
    # scripts/page takes back the Node.js that it fetched; Playwright brings one.
    playwright = find_spec("playwright")
    brought = Path(playwright.origin).parent / "driver" / "node" if playwright and playwright.origin else None
    node = shutil.which("node") or brought
    if node is None or not (packages / "esbuild").is_dir():
        pytest.skip(f"needs Node.js, and what scripts/page puts into {packages}")
    return Tools(Path(node), packages)


def build(folder: Path) -> Path:
    """Build the page into a folder as index.html; skips the test where it cannot be built."""
    with_what = tools()
    with_what.run(SOURCE / "build.mjs", with_what.packages, folder / "index.html")
    return folder / "index.html"
