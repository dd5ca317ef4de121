"""scripts/setup where apt only takes notes: what the demo gets, and what a van of one's own never gets."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BED = "umockdev python3-gi gir1.2-umockdev-1.0"
needs_setup = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("mosquitto", "mosquitto_sub", "dbus-daemon", "flock")),
    reason="scripts/setup has not run here",
)


class Checkout:
    """A copy of the project that is set up but for umockdev; apt only notes what it was told."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "boondock"
        self._bin = folder / "bin"
        self._notes = folder / "apt"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / ".venv" / "bin").mkdir(parents=True)
        self._bin.mkdir()
        for name in ("scripts/setup", "scripts/run", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.root / name)
        for place in os.get_exec_path():
            for program in Path(place).glob("*"):
                if program.name != "umockdev-run" and not (self._bin / program.name).is_symlink():
                    (self._bin / program.name).symlink_to(program)
        self._program("apt-cache", "exit 1")
        self._program("sudo", '[ "$1" = -n ] || [ "$1" = -- ] && shift; exec "$@"')
        self.apt_ends_with(0)
        python = self.root / ".venv" / "bin" / "python"
        python.write_text('#!/bin/sh\necho "python $*"\n')
        python.chmod(0o755)
        self._stamp()

    def _stamp(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        sums = [
            f"{hashlib.sha256((self.root / name).read_bytes()).hexdigest()}  {name}\n"
            for name in ("pyproject.toml", "requirements.lock")
        ]
        stamp = self.root / ".venv" / "stamp-run"
        stamp.write_text("".join([f"{self.root} python {version}\n", *sums]))

    def _program(self, name: str, body: str) -> None:
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def apt_ends_with(self, status: int) -> None:
        """From now on."""
        self._program("apt-get", f'echo "$@" >> "{self._notes}"; exit {status}')

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run one of the scripts."""
        kept = {key: word for key, word in os.environ.items() if not key.startswith("BOONDOCK_")}
        own = {"PATH": str(self._bin), "PYTHON": sys.executable}
        program, *options = command
        return subprocess.run(
            ["bash", self.root / "scripts" / program, *options],
            env=kept | own | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked_of_apt(self) -> str:
        """What apt was told so far."""
        return self._notes.read_text() if self._notes.exists() else ""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@needs_setup
def test_the_demo_gets_what_emulates_an_i2c_bus(checkout: Checkout) -> None:
    done = checkout.run("run")
    assert done.returncode == 0, done.stderr
    assert BED in checkout.asked_of_apt()
    assert "python -P -m scripts.supervise" in done.stdout


@needs_setup
@pytest.mark.parametrize("how", ["option", "joined", "variable", "file"])
def test_ones_own_van_does_not(checkout: Checkout, how: str) -> None:
    options = {"option": ["--config", "mine.toml"], "joined": ["--config=mine.toml"]}.get(how, [])
    environment = {"BOONDOCK_CONFIG": "mine.toml"} if how == "variable" else {}
    if how == "file":
        (checkout.root / "boondock.toml").touch()
    done = checkout.run("run", *options, **environment)
    assert done.returncode == 0, done.stderr
    assert checkout.run("setup").returncode == 0
    assert checkout.asked_of_apt() == ""


@needs_setup
def test_a_demo_that_cannot_have_it_runs_all_the_same_and_asks_no_more(checkout: Checkout) -> None:
    checkout.apt_ends_with(100)
    done = checkout.run("run")
    assert done.returncode == 0, done.stderr
    assert "python -P -m scripts.supervise" in done.stdout
    asked = checkout.asked_of_apt()
    assert BED in asked
    assert checkout.run("run").returncode == 0
    assert checkout.asked_of_apt() == asked


@needs_setup
def test_an_unknown_word_is_refused(checkout: Checkout) -> None:
    done = checkout.run("setup", "production")
    assert (done.returncode, "scripts/setup [demo|dev]" in done.stderr) == (1, True)
