"""What people see and write in the terminal: times, and the report of what a command did."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cli.install import System
from cli.terminal import CommandError, Report, SettingsError, age, duration, guarded, span
from tests.cli.test_check import boondock
from tests.house import ROOT

BERLIN = ZoneInfo("Europe/Berlin")
# A Wednesday, 14:30 in Berlin.
NOW = datetime(2026, 11, 18, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("now", "2026-11-18T14:30", "2026-11-18T14:30"),
        ("today", "2026-11-18T00:00", "2026-11-19T00:00"),
        (" Yesterday ", "2026-11-17T00:00", "2026-11-18T00:00"),
        ("this week", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("last week", "2026-11-09T00:00", "2026-11-16T00:00"),
        ("this month", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("last month", "2026-10-01T00:00", "2026-11-01T00:00"),
        ("this year", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("last year", "2025-01-01T00:00", "2026-01-01T00:00"),
        ("90m", "2026-11-18T13:00", "2026-11-18T13:00"),
        ("7d", "2026-11-11T14:30", "2026-11-11T14:30"),
        ("2 weeks ago", "2026-11-04T14:30", "2026-11-04T14:30"),
        ("9:05", "2026-11-18T09:05", "2026-11-18T09:05"),
        ("09:05:30", "2026-11-18T09:05:30", "2026-11-18T09:05:30"),
        ("2026-11-10", "2026-11-10T00:00", "2026-11-11T00:00"),
        ("2026-11-10 06:15", "2026-11-10T06:15", "2026-11-10T06:15"),
        ("2026-11-10T06:15:00Z", "2026-11-10T07:15", "2026-11-10T07:15"),
    ],
)
def test_what_people_write_is_understood_in_their_zone(text: str, begin: str, end: str) -> None:
    wanted = tuple(datetime.fromisoformat(one).replace(tzinfo=BERLIN).astimezone(UTC) for one in (begin, end))
    assert tuple(one.astimezone(UTC) for one in span(text, NOW, BERLIN)) == wanted


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_a_day_has_the_hours_of_its_zone(day: str, hours: int) -> None:
    begin, end = span(day, NOW, BERLIN)
    assert end.astimezone(UTC) - begin.astimezone(UTC) == timedelta(hours=hours)


def test_a_day_counts_back_in_days_over_a_change_of_clocks() -> None:
    monday = datetime(2026, 10, 26, 0, 30, tzinfo=BERLIN)
    begin, end = span("yesterday", monday.astimezone(UTC), BERLIN)
    assert (begin.isoformat(), end.isoformat()) == ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "25:00", "7", "-3d", "9999-12-31", "0001-01-01x", "d"]
)
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(CommandError, match="is no time; allowed: now, today"):
        span(text, NOW, BERLIN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("30s", 30),
        ("10m", 600),
        ("10 min", 600),
        ("1h30m", 5400),
        ("2 hours", 7200),
        ("7 days", 604_800),
        ("1d 12h", 129_600),
    ],
)
def test_a_length_of_time_is_understood(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "ten", "10x", "1h30", "1e9", "99999d", "m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is no length of time; allowed: 90"):
        duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


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
    raise CommandError("false failed\nno room\nnext: make room\nnext: start again")


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
        "import os, sys; from cli import app; import cli.install.main, cli.install.commands\n"
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
