"""An error that nobody expected in one entity's arithmetic: its row is missing and told, others are made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.messages import Value
from statistician.arithmetic import algorithm
from tests.statistician.rig import MINUTE, START, Rig

POISON = 666.0


def fail_at(method: str, patch: pytest.MonkeyPatch) -> None:
    """Let the means fail at a value."""
    original: Callable[..., None] = getattr(algorithm._Mean, method)

    def failing(self: algorithm._Mean, *args: Value) -> None:
        if POISON in args:
            raise KeyError("planted")
        original(self, *args)

    patch.setattr(algorithm._Mean, method, failing)


@pytest.mark.parametrize("method", ["_add", "_weigh"])
@pytest.mark.parametrize("restart", [False, True])
def test_one_entity_spoils_only_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, *, restart: bool
) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", good="measurement", bad="measurement", sum="total")
    rig.reading("van", {"good": 1.0, "bad": POISON if restart or method == "_weigh" else 1.0, "sum": 1.0})
    rig.commit()
    fail_at(method, monkeypatch)
    if restart:
        rig.crash()
    # Weights are taken when the next value comes, or when the period closes.
    values = {"good": 2.0, "sum": 2.0} | ({"bad": POISON} if method == "_add" else {})
    rig.reading("van", values)
    rig.run_until(START + 11 * MINUTE)
    assert len(rig.rows("good")) == len(rig.rows("sum")) == 2
    assert "van.bad has no row" in rig.journal.problems["rows"]
    assert rig.journal.counters["rows_spoiled"] > 0
    monkeypatch.undo()
    # A better version makes good what is still to be made.
    rig.crash()
    rig.run_until(START + 16 * MINUTE)
    assert rig.rows("bad")[-1].start == START + 10 * MINUTE


def test_a_late_reading_that_spoils_a_correction_lets_others_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", good="measurement", bad="measurement")
    rig.reading("van", {"good": 1.0, "bad": 1.0})
    rig.run_until(START + 11 * MINUTE)
    fail_at("_add", monkeypatch)
    rig.reading("van", {"good": 3.0, "bad": POISON}, ts=START + MINUTE)
    rig.now += 60_000
    rig.settle()
    assert rig.rows("good")[0].row.max == 3.0
    assert rig.rows("bad")[0].row.max == 1.0
    assert "van.bad has no row" in rig.journal.problems["rows"]
    rig.now += 60_000
    rig.settle()
    assert rig.store.statistics.dirty() == {}
