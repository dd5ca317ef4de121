"""The installer runs on a fresh machine, where Python has its own library alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--dry-run",), 1, "the answers ended: nothing was changed"),
        (("--dry-run", "--yes"), 0, "Nothing was changed."),
        (("--uninstall", "--help"), 0, "--purge"),
    ],
)
def test_it_needs_no_library(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    clone = tmp_path / "clone"
    for name in ("cli", "config", "bus", "collector", "scripts", "systemd"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    (clone / "boondock.toml").write_text('[device.pi]\nkind = "raspberry_pi"\n')
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    done = subprocess.run(
        [str(clone / "scripts/install"), *words],
        env={"PATH": os.environ["PATH"], "PYTHON": str(bare)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
