"""Each change is done once, and given back as it was before."""

import stat
import sys
from pathlib import Path

import pytest

from cli.install import System
from cli.install.changes import PYTHON, Command, File, Folder, Journal, Link, Service, give_back
from cli.terminal import CommandError


class Machine(System):
    """A machine whose units are in a table; `ran` are the commands."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.units: dict[str, list[bool]] = {}
        self.ran: list[str] = []

    def word(self, *argv: str) -> str:
        """Whether a unit is enabled."""
        return "enabled" if self.units.setdefault(argv[2], [False, False])[0] else "disabled"

    def succeeds(self, *argv: str) -> bool:
        """Whether a unit is active, or a command run."""
        if "is-active" in argv:
            return self.units.setdefault(argv[-1], [False, False])[1]
        self.run(*argv)
        return True

    def run(self, *argv: str, live: bool = False, env: object = None) -> None:
        """Note a command; the table follows systemctl."""
        del live, env
        self.ran.append(" ".join(argv))
        verb, unit = argv[1], argv[-1]
        state = self.units.setdefault(unit, [False, False])
        if verb in ("enable", "disable"):
            state[0] = verb == "enable"
        if verb in ("start", "stop") or "--now" in argv:
            state[1] = verb in ("start", "enable")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.json")


def all_back(machine: Machine, journal: Journal, *, purge: bool = False) -> list[str]:
    read = Journal(journal.path)
    return [line for one in reversed(read.records) for line in give_back(machine, one, purge=purge)]


@pytest.mark.parametrize("before", [None, "theirs\n"])
def test_a_file_is_given_back(machine: Machine, journal: Journal, tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "etc" / "x.conf"
    path.parent.mkdir()
    if before is not None:
        path.write_text(before)
    for text in ("first\n", "second\n"):
        change = File(path, text)
        assert not change.done()
        change.do(journal)
        assert change.done()
    assert path.read_text() == "second\n"
    assert all_back(machine, journal) == []
    assert (path.read_text() if path.exists() else None) == before


def test_what_somebody_changed_since_stays(machine: Machine, journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "config.txt"
    path.write_text("a=1\ni2c=off\nz=1\n")
    File(path, "a=1\ni2c=on\nz=1\n").do(journal)
    path.write_text("a=2\ni2c=on\nz=1\nnew=1\n")
    (line,) = all_back(machine, journal)
    assert "changed by somebody" in line
    assert path.read_text() == "a=2\ni2c=off\nz=1\nnew=1\n"


def test_a_file_of_ours_that_somebody_changed_is_set_aside(
    machine: Machine, journal: Journal, tmp_path: Path
) -> None:
    path = tmp_path / "x.conf"
    File(path, "ours\n").do(journal)
    path.write_text("theirs now\n")
    (line,) = all_back(machine, journal)
    assert "x.conf.changed" in line
    assert not path.exists()
    assert (tmp_path / "x.conf.changed").read_text() == "theirs now\n"


def test_the_users_own_file_is_never_in_the_journal(
    machine: Machine, journal: Journal, tmp_path: Path
) -> None:
    change = File(tmp_path / "key", "secret\n", mode=0o600, secret=True, keep=True)
    assert "secret" not in "".join(change.show()).replace("not shown", "")
    change.do(journal)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert not journal.path.exists()
    assert all_back(machine, journal) == []
    assert (tmp_path / "key").exists()


def test_a_mode_that_is_wrong_is_not_done(journal: Journal, tmp_path: Path) -> None:
    change = File(tmp_path / "run", "#!/bin/sh\n", mode=0o755)
    change.do(journal)
    (tmp_path / "run").chmod(0o644)
    assert not change.done()


def test_a_folder_is_given_back_if_it_is_empty(machine: Machine, journal: Journal, tmp_path: Path) -> None:
    for name in ("empty", "full"):
        Folder(tmp_path / name, mode=0o700).do(journal)
    (tmp_path / "full" / "x").touch()
    all_back(machine, journal)
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == ["full"]


def test_a_folder_that_a_file_needed_goes_with_it(machine: Machine, journal: Journal, tmp_path: Path) -> None:
    File(tmp_path / "x.service.d" / "20-broker.conf", "[Service]\n").do(journal)
    assert all_back(machine, journal) == []
    assert not (tmp_path / "x.service.d").exists()


def test_a_link_points_to_the_newest(machine: Machine, journal: Journal, tmp_path: Path) -> None:
    for target in ("a", "b"):
        change = Link(tmp_path / "current", Path(target))
        assert not change.done()
        change.do(journal)
        assert change.done()
    all_back(machine, journal)
    assert not (tmp_path / "current").is_symlink()


@pytest.mark.parametrize("before", [[True, True], [True, False], [False, True], [False, False]])
@pytest.mark.parametrize("on", [True, False])
def test_a_unit_is_as_it_was(machine: Machine, journal: Journal, before: list[bool], *, on: bool) -> None:
    machine.units["mosquitto.service"] = list(before)
    change = Service(machine, "mosquitto.service", on=on)
    if not change.done():
        change.do(journal)
    assert machine.units["mosquitto.service"] == [on, on]
    assert change.done()
    all_back(machine, journal)
    assert machine.units["mosquitto.service"] == before


def test_a_command_is_taken_back_on_purge_alone_if_it_says_so(machine: Machine, journal: Journal) -> None:
    for purge, name in ((True, "data"), (False, "zone")):
        Command(machine, ["x", name], lambda: False, undo=["undo", name], purge=purge).do(journal)
    machine.ran.clear()
    all_back(machine, journal)
    assert machine.ran == ["undo zone"]
    all_back(machine, journal, purge=True)
    assert machine.ran == ["undo zone", "undo zone", "undo data"]


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text("[{")
    with pytest.raises(CommandError, match="cannot be read"):
        Journal(tmp_path / "journal.json")


@pytest.mark.parametrize("inside", [True, False])
def test_what_needs_our_libraries_is_taken_back_by_a_python_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    machine = Machine(tmp_path)
    python = tmp_path / "opt/boondock/releases/0.2.0-abc/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(sys, "prefix", "/the/venv" if inside else sys.base_prefix)
    record = {"kind": "command", "key": "users", "purge": False, "undo": [PYTHON, "-m", "cli.install"]}
    list(give_back(machine, record, purge=False))
    assert machine.ran == [f"{sys.executable if inside else python} -m cli.install"]
