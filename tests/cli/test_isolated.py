"""Files in the current folder that are named like our modules, or like a library, replace none of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import PACKAGES
from tests.journeys.house import ROOT
from tests.rounds import some

OURS = (*PACKAGES, "mosquitto")
LIBRARIES = ("typer", "rich", "paho", "msgspec", "pydantic", "json", "secrets", "time")
# One of ours, one that we install, one of Python's.
QUICK = ("config", "typer", "json")
# As pip writes it.
SCRIPT = """\
#!{python}
import sys
from cli.__main__ import main
if __name__ == '__main__':
    sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder full of traps; each ends the command."""
    made = tmp_path / "traps"
    made.mkdir()
    (made / "boondock.toml").write_text("[relay.pump]\npin = 4\n")
    return made


def trap(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(f"raise SystemExit('the trap {name}')\n")


def run(folder: Path, *command: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
    environment = kept | {"PYTHONPATH": path, "BOONDOCK_SECRETS": str(folder / "none")}
    return subprocess.run(
        [*command, "check", "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_well(done: subprocess.CompletedProcess[str]) -> bool:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return '"good":true' in done.stdout


def script(folder: Path) -> str:
    file = folder.parent / "boondock"
    file.write_text(SCRIPT.format(python=sys.executable))
    file.chmod(0o755)
    return str(file)


# Python itself takes the package that it is told to run from the current folder.
@pytest.mark.parametrize("name", some((name for name in (*OURS, *LIBRARIES) if name != "cli"), QUICK))
def test_the_module_runs_from_a_folder_with_such_a_file(folder: Path, name: str) -> None:
    trap(folder, name)
    assert is_well(run(folder, sys.executable, "-m", "cli"))


def test_the_module_runs_from_a_folder_with_all_of_them(folder: Path) -> None:
    trap(folder, *OURS, *LIBRARIES)
    assert is_well(run(folder, sys.executable, "-P", "-m", "cli"))


def test_the_script_runs_from_a_folder_with_all_of_them(folder: Path) -> None:
    trap(folder, *OURS, *LIBRARIES)
    assert is_well(run(folder, script(folder)))


@pytest.mark.parametrize("path", [f":{ROOT}", f"{ROOT}:", f".:{ROOT}"])
def test_the_script_runs_where_pythonpath_names_the_current_folder(folder: Path, path: str) -> None:
    trap(folder, *(name for name in OURS if name != "cli"), "typer", "msgspec", "paho")
    assert is_well(run(folder, script(folder), path=path))


def test_a_folder_that_was_removed_is_no_failure(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f"cd {gone} && rmdir {gone} && {sys.executable} -m cli version"
    done = subprocess.run(
        ["bash", "-c", shell],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()[:1], done.stderr) == (0, ["boondock"], "")
