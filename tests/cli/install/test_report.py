"""With --json standard output is one object, however a command ends; all else is on standard error."""

import json
import subprocess
import sys

import pytest

from cli.errors import SettingsError
from cli.install.report import Report, guarded
from cli.install.system import InstallError, System
from tests.cli.test_check import boondock
from tests.house import ROOT


def well(report: Report) -> int:
    report.say("== software")
    report.say("  run scripts/setup")
    System().run(sys.executable, "-c", "print('from a child')", live=True)
    report.ask("Waiting …")
    report.advise(["", "Next:", "  sudo boondock status"])
    return 0


def broken(report: Report) -> int:
    report.say("  file /a")
    report.say("  run false")
    raise InstallError("false failed\nno room\nnext: make room\nnext: start again")


def interrupted(_: Report) -> int:
    raise KeyboardInterrupt


def wrong_settings(_: Report) -> int:
    raise SettingsError("boondock.toml: a: b")


def refused_file(_: Report) -> int:
    raise PermissionError(13, "Permission denied", "/etc/x")


@pytest.mark.parametrize(
    ("do", "code", "said"),
    [
        (
            well,
            0,
            {"ok": True, "done": ["run scripts/setup"], "failed": None, "next": ["sudo boondock status"]},
        ),
        (
            broken,
            1,
            {
                "ok": False,
                "done": ["file /a"],
                "failed": "false failed\nno room",
                "next": ["make room", "start again"],
            },
        ),
        (
            interrupted,
            130,
            {
                "ok": False,
                "done": [],
                "failed": "interrupted",
                "next": ["run the same command again, it goes on from here"],
            },
        ),
        (wrong_settings, 78, {"ok": False, "done": [], "failed": "boondock.toml: a: b", "next": []}),
        (
            refused_file,
            1,
            {"ok": False, "done": [], "failed": "[Errno 13] Permission denied: '/etc/x'", "next": []},
        ),
    ],
)
def test_one_object_says_what_was_done_what_failed_and_what_is_next(
    do: object, code: int, said: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert guarded(do, as_json=True) == code  # type: ignore[arg-type]  # parametrized
    out, err = capfd.readouterr()
    assert json.loads(out) == said
    assert out.count("\n") == 1
    assert (do is not well) is ("boondock: " in err)
    assert (do is well) is ("from a child" in err)


def test_for_people_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(well) == 0
    assert capfd.readouterr().out.splitlines() == [
        "== software",
        "  run scripts/setup",
        "from a child",
        "Waiting …",
        "",
        "Next:",
        "  sudo boondock status",
    ]


@pytest.mark.parametrize("words", [("install",), ("update", "/nowhere"), ("uninstall",)])
def test_a_command_that_may_not_says_so_in_json(words: tuple[str, ...]) -> None:
    code = (
        "import os, sys; from cli import app, install; import cli.install.main, cli.install.commands\n"
        "os.geteuid = lambda: 1000\n"
        f"sys.exit(app.run([*{words!r}, '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], said["done"]) == (1, False, []), done.stderr
    assert said["failed"].startswith("this changes the system: sudo ")


def test_a_dry_run_shows_its_steps_in_json() -> None:
    done = boondock("install", "--dry-run", "--json", "--yes")
    said = json.loads(done.stdout)
    assert said["ok"] is (done.returncode == 0)
    assert said["failed"] or any(line.startswith("copy ") for line in said["done"])
