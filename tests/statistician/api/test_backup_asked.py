"""Copies that clients ask for: one serves all who wait, and the card is not worn by asking."""

import threading
from pathlib import Path

import msgspec
import pytest

from bus.messages import to_iso
from statistician.store import backup as backups
from statistician.upkeep import BackUp
from tests.statistician.rig import MINUTE, AskingRig, Json

PATIENCE = 20.0
TEN_MINUTES = 10 * MINUTE


@pytest.fixture
def rig(tmp_path: Path) -> AskingRig:
    rig = AskingRig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    rig.reading("van", {"volt": 12.0})
    rig.commit()
    return rig


def answers(rig: AskingRig) -> list[Json]:
    """All answers so far."""
    return [msgspec.json.decode(one.payload) for one in rig.answers.published]


def finish(rig: AskingRig) -> None:
    """Let the copy that is being made, if any, come to its end."""
    rig.settle()
    # The desk is the last in a turn: what it asks for begins with the next.
    rig.settle()
    backup = rig.service._upkeep._backup
    if backup is not None:
        assert backup.wait(PATIENCE)
    rig.settle()


def ask(rig: AskingRig) -> Json:
    """Ask for a copy, and wait for the answer."""
    before = len(rig.answers.published)
    rig.send("backup", b"{}")
    finish(rig)
    (answer,) = answers(rig)[before:]
    return answer


@pytest.mark.parametrize(
    ("later", "made"),
    [(0, 1), (1, 1), (TEN_MINUTES - 1, 1), (TEN_MINUTES, 2), (-1, 2), (-365 * 24 * 60 * MINUTE, 2)],
    ids=["at once", "soon", "a moment too early", "in time", "the clock went back", "by a year"],
)
def test_a_copy_may_be_asked_for_every_ten_minutes(rig: AskingRig, later: int, made: int) -> None:
    first = rig.now
    assert ask(rig)["status"] == "ok"
    rig.now += later
    answer = ask(rig)
    assert rig.journal.counters["backups"] == made
    if made == 2:
        assert answer["status"] == "ok"
        return
    error = answer["error"]
    assert (answer["status"], error["code"]) == ("error", "limit")
    assert error["message"].endswith(f"the next is possible at {to_iso(first + TEN_MINUTES)}")


def test_a_refusal_does_not_put_off_the_next_copy(rig: AskingRig) -> None:
    ask(rig)
    for _ in range(9):
        rig.now += MINUTE
        assert ask(rig)["error"]["code"] == "limit"
    rig.now += MINUTE
    assert ask(rig)["status"] == "ok"


def test_whoever_asks_while_a_copy_is_made_gets_that_one(
    rig: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    verify = backups.verify

    def held(copy: Path) -> str | None:
        assert go_on.wait(PATIENCE)
        return verify(copy)

    monkeypatch.setattr(backups, "verify", held)
    for _ in range(2):
        rig.send("backup", b"{}")
        rig.settle()
    rig.now += MINUTE
    rig.send("backup", b"{}")
    rig.settle()
    assert answers(rig) == []
    go_on.set()
    finish(rig)
    finish(rig)
    copies = backups.kept(rig.store.backups, rig.path)
    assert [one["data"]["file"] for one in answers(rig)] == [str(copy) for copy in copies] * 3
    assert rig.journal.counters["backups"] == 1, "and no second one was made for nobody"


def test_the_copy_of_the_night_serves_who_asks_and_does_not_count(
    rig: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(backups, "verify", lambda _copy: None if go_on.wait(PATIENCE) else "late")
    rig.service.handle(BackUp())
    rig.settle()
    rig.send("backup", b"{}")
    rig.settle()
    go_on.set()
    finish(rig)
    assert [one["status"] for one in answers(rig)] == ["ok"]
    assert rig.journal.counters["backups"] == 1
    rig.now += 1
    assert ask(rig)["status"] == "ok"
    assert rig.journal.counters["backups"] == 2


def test_one_that_failed_counts_as_well_for_it_may_have_written_as_much(
    rig: AskingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(backups, "verify", lambda _copy: "row missing")
        assert ask(rig)["error"]["code"] == "internal"
    assert ask(rig)["error"]["code"] == "limit"
    rig.now += TEN_MINUTES
    assert ask(rig)["status"] == "ok"
