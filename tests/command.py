"""Runs `boondock` as a user does, in a process of its own; it is forked from one that has it loaded."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from cli import app
from cli.__main__ import main
from config import source

# What a command loads when it is used.
assert source
for _name in app.COMMANDS:
    app.one(_name)
_SECONDS = 120
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def boondock(
    folder: Path, *words: str, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with `given` on standard input; nothing of BOONDOCK_* but `variables` is set."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("BOONDOCK_")}
    environment = kept | variables
    with tempfile.TemporaryDirectory() as work:
        files = [Path(work) / name for name in ("in", "out", "err")]
        for file in files:
            file.write_text(given if file.name == "in" else "", encoding="utf-8")
        process = _FORKS.Process(target=_run, args=(words, folder, environment, files))
        process.start()
        process.join(_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, _SECONDS, *(one.read_text() for one in files[1:]))
        out, err = (one.read_text(encoding="utf-8") for one in files[1:])
        return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(words: tuple[str, ...], folder: Path, environment: Mapping[str, str], files: list[Path]) -> None:
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[:] = ["boondock", *words]
    sys.exit(main())
