"""What install and uninstall do with answers, a boondock.toml, an interruption, and each other."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.install import alone, main, plan, steps
from cli.install.plan import ANSWERS, ELSEWHERE, EXISTING, OWN, SECRETS, SETTINGS, Plan, Source
from cli.install.steps import COMMAND, STEPS, Context
from cli.terminal import CommandError, Report, guarded
from tests.cli.install.machine import TOML, Machine

KEY = "0123456789abcdef0123456789abcdef"
# The last line of the installation changes the machine; the answers before it do not.
ANSWERED = ["", "", "", "", "2", "shunt", "c0:11:22:33:44:55", KEY, "", "", "y"]


@pytest.fixture
def house(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which root installs."""
    monkeypatch.setattr(main, "System", lambda: machine)
    monkeypatch.setattr(main, "refuse_unfit", lambda _system: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr("builtins.input", lambda _prompt: pytest.fail("nothing is asked"))
    return machine


def answering(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    left = iter(answers)
    monkeypatch.setattr("builtins.input", lambda _prompt: next(left))


def install(house: Machine, *, yes: bool = False) -> tuple[int, Report]:
    report = Report()
    return main.install(house.source, report, yes=yes), report


def test_the_answers_are_installed_and_the_secrets_stand_in_their_files_alone(
    house: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, ANSWERED)
    assert install(house)[0] == 0
    secret = house.at(f"{SECRETS}/device__shunt__key")
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (f"{KEY}\n", 0o600)
    others = [one for one in house.root.rglob("*") if one.is_file() and one != secret]
    assert [one for one in others if KEY.encode() in one.read_bytes()] == []
    said = capsys.readouterr().out
    assert (KEY in said, "c0:11:22:33:44:55" in said) == (False, True)
    assert "[device.shunt]" in house.at(SETTINGS).read_text()


@pytest.mark.parametrize("failing", ["setup", "sysusers", "restart boondock.target"])
def test_an_installation_that_ended_goes_on_with_its_answers(
    house: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    answering(monkeypatch, ANSWERED)
    house.failing = failing
    with pytest.raises(CommandError, match=failing):
        install(house)
    monkeypatch.setattr("builtins.input", lambda _prompt: pytest.fail("nothing is asked again"))
    house.failing = ""
    assert install(house)[0] == 0
    assert re.search("answers of before|it is kept, and decides", capsys.readouterr().out)
    assert house.at(f"{SECRETS}/device__shunt__key").read_text() == f"{KEY}\n"
    assert json.loads(house.at(ANSWERS).read_text())["secrets"] == {}
    capsys.readouterr()
    assert install(house)[0] == 0
    assert "nothing was changed" in capsys.readouterr().out


def test_yes_takes_the_file_of_the_clone_and_says_where_there_is_none(house: Machine) -> None:
    with pytest.raises(CommandError, match=r"boondock\.toml, which does not exist\nnext: copy"):
        install(house, yes=True)
    assert not house.at(ANSWERS).exists()
    (house.source / "boondock.toml").write_text(TOML)
    assert install(house, yes=True)[0] == 0
    assert house.at(SETTINGS).read_text() == TOML


def test_a_changed_file_restarts_what_runs_and_an_unchanged_one_nothing(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    for text, restarts in ((TOML, 0), (f"{TOML}\n# mine\n", 1)):
        house.at(SETTINGS).write_text(text)
        house.ran.clear()
        install(house)
        assert house.ran.count("systemctl restart boondock.target") == restarts
        assert house.ran[-1].endswith(f"status --wait {main.STATUS_WAIT_S if restarts else 0}")
        assert house.at(SETTINGS).read_text() == text


def test_a_house_that_stands_still_is_started(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    house.run("systemctl", "stop", "boondock.target")
    house.ran.clear()
    install(house)
    assert house.ran.count("systemctl restart boondock.target") == 1


def test_readings_that_do_not_come_are_a_failure_with_the_next_step(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    house.failing = "cli.install status"
    code, report = install(house, yes=True)
    assert code == 1
    assert report.failed is not None
    assert "journalctl" in report.next[0]


@pytest.mark.parametrize(
    ("chosen", "now", "stays"),
    [
        (OWN, EXISTING, OWN),
        (EXISTING, OWN, EXISTING),
        (ELSEWHERE, OWN, OWN),
        (OWN, ELSEWHERE, ELSEWHERE),
        (None, EXISTING, EXISTING),
    ],
)
def test_which_broker_of_this_machine_was_chosen_stays_chosen(
    house: Machine, monkeypatch: pytest.MonkeyPatch, chosen: str | None, now: str, stays: str
) -> None:
    monkeypatch.setattr(plan, "broker_of", lambda _settings, _system: now)
    known = None if chosen is None else Plan("", "", TOML, chosen, {"a": "b"})
    file = house.source / "boondock.toml"
    file.write_text(TOML)
    made = main.of_file(house, file, house.source, house.source, known)
    assert (made.broker, made.secrets) == (stays, {} if known is None else {"a": "b"})


@pytest.mark.parametrize(("content", "why"), [(b"\xff\xfe", "cannot be read"), (b"[x", "boondock.toml: ")])
def test_a_file_that_cannot_be_read_is_told(house: Machine, content: bytes, why: str) -> None:
    (house.source / "boondock.toml").write_bytes(content)
    with pytest.raises(CommandError, match=re.escape(why)):
        install(house, yes=True)
    assert house.ran == []


@pytest.mark.parametrize("do", [main.uninstall, lambda report: main.install(Path(), report)])
def test_nobody_but_root_changes_the_machine(
    house: Machine, monkeypatch: pytest.MonkeyPatch, do: Callable[[Report], int]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="this changes the system: sudo "):
        do(Report())
    assert house.ran == []


def test_two_commands_never_change_the_machine_at_once(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    for do in (lambda: install(house, yes=True), lambda: main.uninstall(Report())):
        with alone(house), pytest.raises(CommandError, match="is going on\nnext: wait"):
            do()
        install(house, yes=True)
    assert house.at(COMMAND).exists()


def test_uninstall_keeps_what_is_the_users_and_the_next_installation_finds_it(
    house: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    data = house.at("/var/lib/boondock-statistician/statistics.db")
    data.parent.mkdir()
    data.write_text("rows")
    stamp = house.at("/var/lib/systemd/timers/stamp-boondock-backup.timer")
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    assert main.uninstall(Report(), dry_run=True) == 0
    assert house.at(COMMAND).exists()
    assert main.uninstall(Report()) == 0
    assert not house.at(COMMAND).exists()
    assert (data.read_text(), house.at(SETTINGS).read_text()) == ("rows", TOML)
    capsys.readouterr()
    assert install(house)[0] == 0
    assert "it is kept, and decides" in capsys.readouterr().out
    assert main.uninstall(Report(), purge=True) == 0
    # The folder of passwords was made by the installation before the last.
    gone = (data, stamp, house.at(SETTINGS), house.at(ANSWERS), house.at("/etc/credstore"))
    assert [one.exists() for one in gone] == [False] * 5
    with pytest.raises(CommandError, match="nothing is installed here"):
        main.uninstall(Report())


def test_what_cannot_be_given_back_keeps_the_data_even_in_a_purge(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    house.failing = "userdel"
    report = Report()
    assert main.uninstall(report, purge=True) == 1
    assert "could be given back" in str(report.failed)
    assert house.at(SETTINGS).exists()
    house.failing = ""
    assert main.uninstall(Report(), purge=True) == 0
    assert not house.at(SETTINGS).exists()


@pytest.mark.parametrize("wants", [True, False])
def test_the_next_steps_are_a_table_and_a_restart_stands_in_it_if_a_wire_needs_it(
    house: Machine, *, wants: bool
) -> None:
    context = Context(house.context(uart=wants).plan, house)
    lines = main._next(context, well=True)[2:]
    assert ("  sudo reboot" in "\n".join(lines)) is wants
    assert len({re.match(r"  \S.*?  +(?=\S)", line).end() for line in lines}) == 1  # type: ignore[union-attr]  # it has two columns
    assert max(map(len, lines)) <= 100
    if wants:
        house.at("/dev").mkdir()
        house.at("/dev/serial0").touch()
        assert not main.restart_needed(context)


def test_an_update_brings_units_in_line_without_a_restart_of_its_own(house: Machine) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    house.ran.clear()
    release = house.at("/opt/boondock/releases") / Source(house.source).name()
    (release / "systemd/boondock.target").write_text("[Unit]\n# of another version\n")
    assert main.apply(release, Report()) == 0
    assert "of another version" in house.at("/etc/systemd/system/boondock.target").read_text()
    assert not [one for one in house.ran if "restart" in one or "start" in one.split()]
    # The update starts it then; nothing is left to do for an installation.
    context = Context(main.of_file(house, house.at(SETTINGS), release, release, None), house)
    assert steps.do_steps(STEPS, context, lambda _: None) == 0


@pytest.mark.parametrize("well", [True, False])
def test_another_version_that_runs_well_here_is_updated_and_not_installed_over(
    house: Machine, capsys: pytest.CaptureFixture[str], *, well: bool
) -> None:
    (house.source / "boondock.toml").write_text(TOML)
    install(house, yes=True)
    old = house.at("/opt/boondock/current").readlink()
    (house.source / "pyproject.toml").write_text('version = "1.2.4"\n')
    house.ran.clear()
    house.failing = "" if well else f"{old}/.venv/bin/python -I -m cli.install status"
    assert install(house)[0] == 0
    updating = f"{old}/.venv/bin/python -I -m cli update {house.source}"
    assert (updating in house.ran) is well
    assert well or "but not well" in capsys.readouterr().out
    house.failing = f"cli update {house.source}"
    (house.source / "pyproject.toml").write_text('version = "1.2.5"\n')
    with pytest.raises(CommandError, match="update"):
        install(house)
    assert house.at("/opt/boondock/current").readlink().name.startswith("1.2.4")


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(_report: Report) -> int:
        raise KeyboardInterrupt

    assert guarded(ends) == 130
    assert "run the same command again" in capsys.readouterr().err
