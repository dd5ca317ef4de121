"""scripts/setup where apt only takes notes: what a start and a machine get, and how a failure is told."""

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
        files = ("scripts/setup", "scripts/steps.sh", "scripts/run", "scripts/page")
        for name in (*files, "pyproject.toml", "requirements.lock", "requirements-page.lock"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "mosquitto" / "page").mkdir(parents=True)
        for name in ("build.mjs", "package.json", "package-lock.json"):
            shutil.copy(ROOT / "mosquitto" / "page" / name, self.root / "mosquitto" / "page" / name)
        for place in os.get_exec_path():
            for program in Path(place).glob("*"):
                if program.name != "umockdev-run" and not (self._bin / program.name).is_symlink():
                    (self._bin / program.name).symlink_to(program)
        self.program("apt-cache", "exit 1")
        # A Node.js that builds a page of one word, and an npm that notes what it is asked for.
        self.program("node", 'case "$1" in *build.mjs) echo built >"$3" ;; esac')
        self.program("npm", f'echo "$@" >> "{folder}/npm"; mkdir -p node_modules')
        self.program("sudo", '[ "$1" = -n ] || [ "$1" = -- ] && shift; exec "$@"')
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

    def program(self, name: str, body: str) -> None:
        """A program of the machine that does as this line of the shell says."""
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def lacks(self, program: str) -> None:
        """A program that the machine has not."""
        (self._bin / program).unlink(missing_ok=True)

    def apt_ends_with(self, status: int) -> None:
        """From now on."""
        self.program("apt-get", f'echo "$@" >> "{self._notes}"; exit {status}')

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


# A Python that makes environments of itself and whose pip says what the file SAID holds; COMPILED is 1 on a
# machine that has no wheels.
PYTHON = """#!/bin/sh
for last; do :; done
case "$*" in
    *version_info*) echo 3.11.2 ;;
    *maxsize*) exit "$COMPILED" ;;
    *Python.h*) exit 1 ;;
    *"-m venv"*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
    *"install --require-hashes"*) cat "$SAID"; exit 1 ;;
esac
"""


def set_up(checkout: Checkout, folder: Path, said: str, *mode: str, compiled: bool = False) -> str:
    """What a first set-up says whose installation of Python packages fails with these words."""
    python = folder / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / "said").write_text(said)
    shutil.rmtree(checkout.root / ".venv")
    done = checkout.run(
        "setup", *mode, PYTHON=str(python), SAID=str(folder / "said"), COMPILED=str(int(compiled))
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


@needs_setup
@pytest.mark.parametrize(
    ("known", "compiled", "wanted"),
    [("mosquitto chromium", False, True), ("mosquitto", False, False), ("mosquitto chromium", True, False)],
    ids=["there is one", "not in this system", "nothing drives it"],
)
def test_the_tests_get_a_browser_where_it_can_be_had(
    checkout: Checkout, tmp_path: Path, known: str, *, compiled: bool, wanted: bool
) -> None:
    shutil.copy(ROOT / "requirements-dev.lock", checkout.root)
    checkout.lacks("chromium")
    checkout.program("apt-cache", f'case " {known} " in *" $2 "*) exit 0 ;; esac; exit 1')
    set_up(checkout, tmp_path, "", "dev", compiled=compiled)
    assert (" chromium" in checkout.asked_of_apt()) is wanted


@needs_setup
@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "df -h"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "df -h"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid",
            "timedatectl",
        ),
        ("E: Release file for http://x/InRelease is not valid yet (invalid for another 5d)", "timedatectl"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt)", "wait until"),
        ("E: dpkg was interrupted, you must manually run 'sudo dpkg --configure -a'", "dpkg --configure"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "PIP_CONFIG_FILE=/dev/null",
        ),
        ("gcc: fatal error: Killed signal terminated program cc1", "swap"),
        (
            "error: command 'gcc' failed: No such file or directory",
            "--reinstall gcc g++ libc6-dev python3-dev",
        ),
        ("error: command 'arm-linux-gnueabihf-gcc' failed: No such file or directory", "--reinstall gcc"),
        (
            "unable to execute 'g++': No such file or directory\nerror: command 'g++' failed",
            "--reinstall gcc",
        ),
        ("msgspec/_core.c:2:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("/usr/bin/ld: cannot find crt1.o: No such file or directory", "libc6-dev"),
        (
            "sh: 1: cc: Permission denied\n  ERROR: Failed building wheel for pycryptodome",
            "--reinstall gcc",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x'", "chown"),
        ("Temporary failure resolving 'deb.debian.org'", "Internet"),
        (
            "NewConnectionError: Failed to establish a new connection: [Errno -2] Name or service not known",
            "Internet",
        ),
        ("urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.", "Internet"),
        ("File has unexpected size (346968 != 368052). Mirror sync in progress?", "wait a few minutes"),
        ("ERROR: something that nobody has seen before, resolver or not", "the end of that file"),
        ("", "the end of that file"),
    ],
)
def test_a_failure_is_told_by_its_kind(checkout: Checkout, tmp_path: Path, said: str, advice: str) -> None:
    told = set_up(checkout, tmp_path, said)
    (line,) = [line for line in told.splitlines() if line.startswith("setup: next: ")]
    assert advice in line
    assert ("Internet" in line) is (advice == "Internet")


@needs_setup
def test_an_earlier_steps_words_are_no_cause(checkout: Checkout, tmp_path: Path) -> None:
    told = set_up(checkout, tmp_path, "No space left on device\n== another step\nConnection refused\n")
    assert "df -h" not in told
    assert "Internet" in told


@needs_setup
def test_a_machine_without_ready_packages_gets_a_compiler_and_is_told_so(
    checkout: Checkout, tmp_path: Path
) -> None:
    for name in ("gcc", "g++"):
        checkout.lacks(name)
    assert "are compiled now" in set_up(checkout, tmp_path, "", compiled=True)
    asked = checkout.asked_of_apt()
    assert all(f" {name}" in asked for name in ("gcc", "g++", "python3-dev")), asked


@needs_setup
def test_a_machine_with_ready_packages_gets_none(checkout: Checkout, tmp_path: Path) -> None:
    for name in ("gcc", "g++"):
        checkout.lacks(name)
    assert "are compiled now" not in set_up(checkout, tmp_path, "")
    assert checkout.asked_of_apt() == ""
