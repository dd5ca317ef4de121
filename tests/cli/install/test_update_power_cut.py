"""An update that loses its power at any place ends as one that did not, and no reading is lost.

The house is a model: a database with its log as SQLite has them, an outbox that a watermark empties, releases
that migrate. The update runs in earnest, and ends at each of its lines in turn.
"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cli import install
from cli.install import System, changes, status, update
from cli.install.plan import PENDING
from cli.install.status import ServiceState, State
from cli.install.update import COPY, DATABASE, HOLD, Update
from cli.terminal import CommandError
from config.model import Settings
from tests.cli.install.power_cut import PowerCut, lines
from tests.rounds import rounds

RELEASES = "opt/boondock/releases"
TRACED = {update.__file__, changes.__file__, install.__file__}
NAMES = {"well": "2", "sick": "1", "no start": "1", "no units": "1", "no migration": "1"}
"""Which release stands in the end, by what the new one is like."""


def remove(path: Path, *, ignore_errors: bool = False) -> None:
    """shutil.rmtree, a step a file."""
    del ignore_errors
    for one in sorted(path.rglob("*"), reverse=True) if path.exists() else []:
        if one.is_dir():
            one.rmdir()
        else:
            one.unlink()
    if path.exists():
        path.rmdir()


class House(System):
    """A machine in a folder; `fault` says what the new release is like."""

    def __init__(self, root: Path, fault: str) -> None:
        super().__init__(root)
        self.fault = fault
        self.runs = False
        self.measured = 0
        self.outbox: list[int] = []
        self.now = 0.0
        for name in ("1", "2"):
            (root / RELEASES / name).mkdir(parents=True)
            (root / RELEASES / name / ".ready").touch()
        (root / "opt/boondock/current").symlink_to(root / RELEASES / "1")
        for file in (DATABASE, HOLD, PENDING):
            self.at(file).parent.mkdir(parents=True, exist_ok=True)
        self.database = self.at(DATABASE)
        self.log = Path(f"{self.database}-wal")
        self._write(self.database, {"schema": 1, "salt": 0, "rows": []})
        self.units = "1"
        self.boot()

    def _write(self, path: Path, value: object) -> None:
        path.write_text(json.dumps(value))

    @property
    def release(self) -> str:
        """The one that is current."""
        return (self.root / "opt/boondock/current").readlink().name

    def run(self, *argv: str, live: bool = False, env: object = None) -> None:
        """systemctl, the check of the settings, the steps of an update."""
        del live, env
        if argv[:2] == ("systemctl", "stop"):
            self.measure()
            self._stop()
        elif argv[:2] == ("systemctl", "start"):
            if self.release == "2" and self.fault == "no start":
                raise CommandError("systemctl start failed")
            self.boot()
        elif argv[-1] == "apply":
            self.units = Path(argv[0]).parents[2].name
            if self.units == "2" and self.fault == "no units":
                raise CommandError("apply failed")

    def succeeds(self, *argv: str) -> bool:
        """Run it."""
        self.run(*argv)
        return True

    def _stop(self) -> None:
        if self.runs:
            found = self.rows()
            self._write(self.database, found | {"salt": found["salt"] + 1})
            self.log.unlink(missing_ok=True)
        self.runs = False

    def rows(self) -> dict[str, Any]:
        """The database as SQLite reads it: with the log that belongs to it."""
        found: dict[str, Any] = json.loads(self.database.read_text())
        if self.log.exists() and (log := json.loads(self.log.read_text()))["salt"] == found["salt"]:
            found["rows"] = sorted({*found["rows"], *log["rows"]})
        return found

    def boot(self) -> None:
        """Start what is current."""
        if self.runs:
            return
        if self.at(PENDING).exists():
            # As the statistician's unit does.
            self.at(HOLD).touch()
        found = self.rows()
        schema = int(self.release)
        if found["schema"] > schema or (schema == 2 and self.fault == "no migration"):
            return
        self._write(self.database, found | {"schema": schema, "salt": found["salt"] + 1})
        self.log.unlink(missing_ok=True)
        self.runs = True
        self.measure()

    def measure(self) -> None:
        """Take a reading; the statistician stores what waits, a watermark lets the collectors forget it."""
        self.measured += 1
        self.outbox.append(self.measured)
        if self.runs:
            found = self.rows()
            rows = sorted({*found["rows"], *self.outbox})
            self._write(self.log, {"salt": found["salt"], "rows": rows})
            if not self.at(HOLD).exists():
                self.outbox.clear()

    def cut(self) -> None:
        """Lose the power: what is in memory is gone, and so is /run."""
        self.runs = False
        self.at(HOLD).unlink(missing_ok=True)

    def look(self, _settings: Settings) -> State:
        """What `boondock status` sees."""
        self.measure()
        sick = not self.runs or (self.release == "2" and self.fault == "sick")
        state = "wrong" if sick else "ok"
        return State(services=[ServiceState("statistician", state, "online")], reached=not sick)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def new_house(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], House]:
    numbers = count()

    def make(fault: str) -> House:
        made = House(memory / str(next(numbers)), fault)
        monkeypatch.setattr(status, "look", made.look)
        monkeypatch.setattr(time, "sleep", made.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: made.now)
        return made

    monkeypatch.setattr(update, "unpacked", lambda _system, source, _work: source)
    monkeypatch.setattr(update, "Source", lambda folder: type("S", (), {"name": lambda _: folder.name})())
    # A few looks stand for many.
    monkeypatch.setattr(update, "_STEP_S", 40.0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(shutil, "rmtree", remove)
    monkeypatch.setattr("os.sync", lambda: None)
    monkeypatch.setattr("os.fsync", lambda _: None)
    return make


def go(house: House, *, resume: bool = False, cut_after: int | None = None) -> int:
    """Update, or go on with it; returns how many lines ran. Raises PowerCut before line `cut_after`."""
    source = None if resume else house.root / RELEASES / "2"
    updating = Update(house, Settings(), lambda _: None)
    return lines(
        lambda: updating.go(source, resume=resume), TRACED, cut_after=cut_after, codes=(remove.__code__,)
    )


def after_a_cut(house: House, *, cut_after: int | None = None) -> int:
    """Let the machine start again; returns how many lines the decision had."""
    house.cut()
    house.boot()
    return go(house, resume=True, cut_after=cut_after) if house.at(PENDING).exists() else 0


def is_whole(house: House, *expected: str) -> None:
    """Nothing is lost, nothing is left over, and one release stands with its own units and database."""
    house.measure()
    found = house.rows()
    assert house.runs
    assert house.release in expected
    assert (house.units, found["schema"]) == (house.release, int(house.release))
    assert found["rows"] == list(range(1, house.measured + 1)), "a reading is lost"
    assert house.outbox == [], "watermarks wait for ever"
    assert not any(house.at(one).exists() for one in (PENDING, HOLD))


@pytest.mark.parametrize("fault", NAMES)
def test_an_update_ends_as_it_should(new_house: Callable[[str], House], fault: str) -> None:
    house = new_house(fault)
    go(house)
    is_whole(house, NAMES[fault])
    assert not house.at(COPY).exists()


@pytest.mark.parametrize("fault", NAMES)
def test_a_power_cut_at_any_line_loses_nothing(new_house: Callable[[str], House], fault: str) -> None:
    ran = go(new_house(fault))
    assert ran > 100
    step = rounds(3, 1)
    # Most lines are the same ones whatever the fault: without --all each is met with some of the faults.
    for place in range(list(NAMES).index(fault) % step, ran, step):
        house = new_house(fault)
        with pytest.raises(PowerCut):
            go(house, cut_after=place)
        after_a_cut(house)
        # Before the switch the old version goes on.
        is_whole(house, NAMES[fault], "1")


@pytest.mark.parametrize("fault", NAMES)
def test_a_second_power_cut_at_any_line_of_the_decision_loses_nothing(
    new_house: Callable[[str], House], fault: str
) -> None:
    ran = go(new_house(fault))
    for first in range(3, ran, rounds(62, 31)):
        for second in count(first % 5, 5):
            house = new_house(fault)
            with pytest.raises(PowerCut):
                go(house, cut_after=first)
            try:
                after_a_cut(house, cut_after=second)
            except PowerCut:
                after_a_cut(house)
                is_whole(house, NAMES[fault], "1")
                continue
            is_whole(house, NAMES[fault], "1")
            break
