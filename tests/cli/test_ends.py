"""How a command ends: quietly when nobody reads, in one line when it may not, and never with a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.app import COMMANDS
from cli.terminal import CommandError, SettingsError, sentence
from tests.broker import Mosquitto
from tests.cli.test_check import ROOT
from tests.cli.test_export import boondock
from tests.rounds import pairs, some
from tests.statistician.asked import statistician

VOLTAGE = "mppt.voltage"
LONG = ("--period", "5minute", "--start", "2026-11-20T06:00:00Z", "--format", "jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ends")


@pytest.fixture(scope="module", autouse=True)
def broker(folder: Path) -> Iterator[Mosquitto]:
    with statistician(folder) as running:
        yield running


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $B is the command; its exit code is that of $B."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
    variables = {
        "PYTHONPATH": str(ROOT),
        "BOONDOCK_SECRETS": str(folder / "secrets"),
        "BOONDOCK_CONFIG": str(folder / "boondock.toml"),
        "B": f"{sys.executable} -m cli",
    }
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    some(
        (
            f"export --entity {VOLTAGE} {' '.join(LONG)}",
            f"export --entity {VOLTAGE} --json --period 5minute",
            "--help",
            "export --help",
            "version --json",
            "log",
            f"stats {VOLTAGE} --period hour --from 2026-11-20",
            f"history {VOLTAGE} --from 2026-11-20 --to 2026-11-20 --limit 1000",
        ),
        # One of each: many lines, help, JSON, a table.
        (f"export --entity {VOLTAGE} {' '.join(LONG)}", "--help", "version --json", "log"),
    ),
)
def test_it_ends_quietly_when_nobody_reads(folder: Path, command: str) -> None:
    done = shell(folder, f"$B {command} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.stderr, done.returncode in (0, 141)) == ("", True), done.stderr
    assert shell(folder, f"$B {command} | head -n 1 >/dev/null; exit 0").stderr == ""


def test_a_long_export_says_141_when_its_reader_goes(folder: Path) -> None:
    done = shell(
        folder, f"$B export --entity {VOLTAGE} {' '.join(LONG)} | (exec <&-); exit ${{PIPESTATUS[0]}}"
    )
    assert (done.stderr, done.returncode) == ("", 141)


def test_a_full_disk_is_told_in_one_line(folder: Path) -> None:
    for command in (
        "version --json",
        f"export --entity {VOLTAGE}",
        "export --entity mppt.voltage -o /dev/full",
    ):
        done = shell(folder, f"$B {command} > /dev/full")
        assert done.returncode == 1, command
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr


def test_without_an_output_at_all_nothing_breaks(folder: Path) -> None:
    done = shell(folder, "$B version --json >&-; $B log >&-")
    assert "Traceback" not in done.stderr


def test_a_target_that_is_a_folder_is_told_in_one_line(folder: Path) -> None:
    done = boondock(folder, "export", "--entity", VOLTAGE, "-o", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"boondock export: Is a directory: {folder}\n"


# Becomes another user once all is imported: that one may read neither the settings nor the secrets.
NOBODY = """
import contextlib, encodings.idna, io, os, sys
from config import source
from cli import app
for name in app.COMMANDS:
    app.one(name)
import cli.broker
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    # What a command line loads is loaded now: the checkout may be root's alone, too.
    app.run([sys.argv[1], "--help"])
    app.run([sys.argv[1], "--no-such-option"])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(app.run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize(
    ("closed", "command"),
    pairs(
        ("boondock.toml", "secrets/broker__password", "secrets", "."),
        (("log",), ("export", "--entity", VOLTAGE), ("watch", "--seconds", "0")),
    ),
)
def test_who_may_not_read_is_told_in_one_line(tmp_path: Path, closed: str, command: tuple[str, ...]) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "boondock.toml").write_text("[broker]\nport = 1\n")
    (tmp_path / "secrets" / "broker__password").write_text("x\n")
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (tmp_path / closed).chmod(0o700 if (tmp_path / closed).is_dir() else 0o600)
    variables = {
        "BOONDOCK_CONFIG": str(tmp_path / "boondock.toml"),
        "BOONDOCK_SECRETS": str(tmp_path / "secrets"),
    }
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, *command],
        cwd=ROOT,
        env=os.environ | variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    tmp_path.chmod(0o755)
    assert "Traceback" not in done.stderr, done.stderr
    assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1), done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_failure_is_one_line_with_the_next_step(name: str) -> None:
    said = sentence(name, PermissionError(13, "Permission denied", "/etc/boondock/x"))
    assert said == f"boondock {name}: Permission denied: /etc/boondock/x; next: sudo boondock {name} …"
    assert sentence(name, CommandError("no")) == f"boondock {name}: no"
    assert sentence(name, SettingsError("a: b")) == "a: b"
