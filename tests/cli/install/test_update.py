"""An update goes back by itself, and going back loses nothing."""

import json
import signal
import time
from pathlib import Path

import pytest

from cli.install import System, status, update
from cli.install.plan import PENDING
from cli.install.status import ServiceState, State
from cli.install.update import COPY, DATABASE, HOLD, Update
from cli.terminal import CommandError
from config.model import Settings

WELL = State(services=[ServiceState("statistician", "ok", "online")], reached=True)
SICK = State(
    services=[ServiceState("controller", "wrong", "failed")], faults=["controller: failed"], reached=True
)


class House(System):
    """A machine in a folder; `ran` are the commands, `states` how the house looks, one after the other."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ran: list[tuple[tuple[str, ...], str, bool]] = []
        self.states = [WELL]
        self.said: list[str] = []
        # Part of the command that fails.
        self.failing = ""
        self.only_the_new_fails = False
        for name in ("1", "2"):
            folder = root / "opt/boondock/releases" / name
            folder.mkdir(parents=True)
            (folder / ".ready").touch()
        self.switch("1")
        for file, text in ((DATABASE, "old data"), (f"{DATABASE}-wal", "old log")):
            self.at(file).parent.mkdir(parents=True, exist_ok=True)
            self.at(file).write_text(text)
        self.at(HOLD).parent.mkdir(parents=True)

    def switch(self, name: str) -> None:
        """Let `current` be a release."""
        link = self.root / "opt/boondock/current"
        link.unlink(missing_ok=True)
        link.symlink_to(self.root / "opt/boondock/releases" / name)

    def run(self, *argv: str, live: bool = False, env: object = None) -> None:
        """Note a command; the new version migrates the database when it starts."""
        del live, env
        words = " ".join(argv)
        if argv[:2] == ("systemctl", "start") and self.at(PENDING).exists():
            # As the statistician's unit does.
            self.at(HOLD).touch()
        held = self.at(HOLD).exists()
        release = (self.root / "opt/boondock/current").readlink().name
        self.ran.append((argv[-2:] if "systemctl" in argv else argv[-1:], release, held))
        fails = self.failing and self.failing in words
        if fails and (release == "2" or not self.only_the_new_fails):
            raise CommandError(f"{words} failed")
        if argv[:2] == ("systemctl", "start") and release == "2":
            self.at(DATABASE).write_text("migrated")
            self.at(f"{DATABASE}-wal").unlink(missing_ok=True)
            self.at(f"{DATABASE}-shm").write_text("new")

    def succeeds(self, *argv: str) -> bool:
        """Run it."""
        self.run(*argv)
        return True


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(tmp_path)
    now = [0.0]

    def look(_settings: Settings) -> State:
        states = made.states
        found: State = states.pop(0) if len(states) > 1 else states[0]
        return found

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(status, "look", look)
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(update, "unpacked", lambda _system, source, _work: source)
    monkeypatch.setattr(update, "Source", lambda folder: type("S", (), {"name": lambda _: folder.name})())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return made


def go(house: House, *, resume: bool = False) -> int:
    source = None if resume else house.root / "opt/boondock/releases/2"
    return Update(house, Settings(), house.said.append).go(source, resume=resume)


def stands(house: House) -> tuple[str, str]:
    current = (house.root / "opt/boondock/current").readlink().name
    return current, house.at(DATABASE).read_text()


def nothing_left(house: House) -> bool:
    return not any(house.at(one).exists() for one in (PENDING, HOLD, COPY))


def test_a_good_version_stays(house: House) -> None:
    assert go(house) == 0
    assert stands(house) == ("2", "migrated")
    assert nothing_left(house)


def test_watermarks_wait_from_before_the_start_until_it_is_well(house: House) -> None:
    go(house)
    start = next(one for one in house.ran if one[0] == ("start", "boondock.target"))
    assert start == (("start", "boondock.target"), "2", True)
    assert nothing_left(house)


def test_a_version_that_never_gets_well_goes_back_with_its_data(house: House) -> None:
    house.states = [SICK]
    assert go(house) == 1
    assert stands(house) == ("1", "old data")
    assert house.at(f"{DATABASE}-wal").read_text() == "old log"
    assert not house.at(f"{DATABASE}-shm").exists()
    assert nothing_left(house)
    assert "controller: failed" in "\n".join(house.said)
    assert not (house.root / "opt/boondock/releases/2").exists(), "it would only take room"


def test_a_version_that_ends_again_and_again_goes_back(house: House) -> None:
    again = [
        State(services=[ServiceState("controller", "ok", f"online, restarted {n} times")], reached=True)
        for n in range(200)
    ]
    house.states = again
    assert go(house) == 1
    assert stands(house) == ("1", "old data")


def test_a_version_that_is_well_late_stays(house: House) -> None:
    house.states = [*[SICK] * 40, WELL]
    assert go(house) == 0
    assert stands(house) == ("2", "migrated")


@pytest.mark.parametrize("failing", ["cli.install apply", "systemctl start"])
def test_what_fails_on_the_way_goes_back(house: House, failing: str) -> None:
    house.failing, house.only_the_new_fails = failing, True
    assert go(house) == 1
    assert stands(house) == ("1", "old data")
    assert nothing_left(house)


def test_settings_that_it_does_not_take_are_told_before_anything_stops(house: House) -> None:
    house.failing = "cli check"
    with pytest.raises(CommandError, match="nothing was changed"):
        go(house)
    assert stands(house) == ("1", "old data")
    assert not [one for one in house.ran if "systemctl" in one[0]]


def test_no_room_for_the_copy_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "_RESERVE", 10**18)
    assert go(house) == 1
    assert stands(house) == ("1", "old data")
    assert "MB are free" in "\n".join(house.said)
    assert nothing_left(house)


def test_the_same_version_is_told(house: House) -> None:
    house.switch("2")
    assert go(house) == 0
    assert not [one for one in house.ran if "systemctl" in one[0]]


@pytest.mark.parametrize(
    ("stage", "states", "expected"),
    [
        # Before the switch, after it, and while it was taken back.
        ("before", [SICK], ("1", "old data")),
        ("after", [WELL], ("2", "migrated")),
        ("after", [SICK], ("1", "old data")),
        ("back", [WELL], ("1", "old data")),
    ],
)
def test_after_a_power_cut_it_is_decided(
    house: House, stage: str, states: list[State], expected: tuple[str, str]
) -> None:
    releases = house.root / "opt/boondock/releases"
    if stage != "before":
        copy = house.at(COPY)
        copy.mkdir(parents=True)
        for name in ("statistics.db", "statistics.db-wal"):
            (copy / name).write_bytes((house.at(DATABASE).parent / name).read_bytes())
        (copy / "whole").touch()
        house.at(DATABASE).write_text("migrated")
        house.switch("2")
    pending = {"from": str(releases / "1"), "to": str(releases / "2"), "back": stage == "back"}
    house.at(PENDING).parent.mkdir(parents=True, exist_ok=True)
    house.at(PENDING).write_text(json.dumps(pending))
    house.states = states
    assert go(house, resume=True) == 0
    assert stands(house) == expected
    assert nothing_left(house)


def test_a_half_copy_is_not_put_back(house: House) -> None:
    house.at(COPY).mkdir(parents=True)
    (house.at(COPY) / "statistics.db").write_text("half")
    made = Update(house, Settings(), print)
    made._restore_database()
    assert stands(house) == ("1", "old data")
