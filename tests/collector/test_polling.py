"""Asking devices in turn: on time, one question each, lines that break and come back, threads that end."""

import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue

import pytest

from bus.about import MEASUREMENT, Entity
from bus.process import EXIT_RESTART, Stop
from collector import devices as kinds
from collector.device import Owned
from collector.devices.description import (
    BadRecordError,
    Decoded,
    Earlier,
    LineError,
    NoAnswerError,
    PolledKind,
    Row,
    Wire,
)
from collector.devices.lines import Line
from collector.polling import Job, Worker, WorkerGone
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig

ROWS: Mapping[str, Row] = {
    "power": Row(entity=Entity(name="Power", unit="W", device_class="power", state_class=MEASUREMENT)),
    "extra": Row(entity=Entity(name="Extra"), optional=True),
}


class ScriptedLine:
    """A line whose devices answer what the test says, or fail as it says."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.broken: LineError | None = None
        self.answers: dict[str, Decoded | Exception] = {}
        self.asked: list[str] = []

    def open(self) -> None:
        """Count it, or break."""
        if self.broken:
            raise self.broken
        self.opened += 1

    def close(self) -> None:
        """Count it."""
        self.closed += 1


class Toy:
    """A device that reads its answer from the wire by its name."""

    rows = ROWS

    def __init__(self, name: str) -> None:
        self._name = name

    def poll(self, line: ScriptedLine, _now: float) -> Decoded:
        """Give the answer of the wire."""
        line.asked.append(self._name)
        if line.broken:
            raise line.broken
        answer = line.answers[self._name]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = PolledKind(
        wire=Wire.MODBUS,
        name="toy",
        title="A toy",
        manufacturer="Nobody",
        rows=ROWS,
        source="this file",
        takes=("port",),
        every=10.0,
        make=lambda device: Toy(str(device.name)),
    )
    monkeypatch.setattr(kinds, "KINDS", {"toy": kind})
    monkeypatch.setattr(kinds, "_WIRES", {"toy": kinds.MODBUS})


@pytest.fixture
def wires() -> dict[str, ScriptedLine]:
    return {"left": ScriptedLine(), "right": ScriptedLine()}


@pytest.fixture
def rig(tmp_path: Path, time: FakeTime, wires: dict[str, ScriptedLine]) -> Rig:
    def line_of(device: Owned) -> tuple[str, Callable[[], Line]]:
        name = str(device.settings.port)
        return name, lambda: wires[name]

    devices = {
        name: Device(kind="toy", name=name, port=port)
        for name, port in (("one", "left"), ("two", "left"), ("far", "right"))
    }
    for wire in wires.values():
        wire.answers = {name: Decoded({"power": 5.0}) for name in devices}
    return Rig(tmp_path, time, devices, "serial", line_of)


def test_every_device_is_asked_on_time_and_told(rig: Rig, wires: dict[str, ScriptedLine]) -> None:
    rig.run(31)
    assert wires["left"].asked == ["one", "two"] * 4
    assert wires["left"].opened == 1
    assert rig.said("one")[-1]["power"] == 5.0
    assert rig.online("far") is True
    assert rig.about("one").keys() == {"power"}


def test_a_device_that_keeps_silent_does_not_hurt_its_neighbour_and_is_asked_ever_less(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    rig.run(11)
    wires["left"].answers["one"] = NoAnswerError("unit 1 does not answer")
    wires["left"].asked.clear()
    rig.run(600)
    assert rig.online("one") is False
    assert rig.said("one")[-1]["power"] is None
    assert rig.problem("one") == "unit 1 does not answer"
    assert (rig.online("two"), rig.problem("two")) == (True, None)
    assert wires["left"].asked.count("two") >= 59
    assert 15 <= wires["left"].asked.count("one") <= 25
    wires["left"].answers["one"] = Decoded({"power": 6.0})
    rig.run(41)
    assert (rig.online("one"), rig.problem("one")) == (True, None)
    wires["left"].asked.clear()
    rig.run(30)
    assert wires["left"].asked.count("one") == 3, "as often as ever"


def test_one_bad_answer_is_no_problem_yet(rig: Rig, wires: dict[str, ScriptedLine]) -> None:
    rig.run(11)
    wires["left"].answers["one"] = BadRecordError("checksum")
    rig.run(10)
    assert rig.problem("one") is None
    assert rig.online("one") is True
    assert rig.journal.counters["failed_polls.one"] == 1
    rig.run(20)
    assert rig.problem("one") == "checksum"


def test_a_broken_line_is_told_at_once_tried_ever_later_and_comes_back(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    rig.run(11)
    wires["left"].broken = LineError("left was lost")
    rig.run(10)
    assert rig.problem("one") == rig.problem("two") == "left was lost"
    rig.run(600)
    assert (rig.online("one"), rig.online("far")) == (False, True)
    assert rig.problem("far") is None
    wires["left"].broken = None
    rig.run(71)
    assert (rig.online("one"), rig.online("two")) == (True, True)
    assert rig.problem("one") is None
    assert wires["left"].opened == 2


def test_the_back_off_of_a_line_is_capped(time: FakeTime) -> None:
    wire = ScriptedLine()
    wire.broken = LineError("gone")
    tries: list[float] = []

    class Counted(ScriptedLine):
        def open(self) -> None:
            tries.append(time.monotonic_s)
            raise LineError("gone")

    worker = Worker("x", Counted(), emit=lambda _event: None, monotonic=lambda: time.monotonic_s)
    for _ in range(2000):
        worker.attempt(Job(lambda _line, _now: None, lambda why, _at: why))
        time.pass_(0.5)
    pauses = [b - a for a, b in pairwise(tries)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32]
    assert set(pauses[6:]) == {60}


def test_what_a_device_remembers_is_said_with_its_own_time_and_not_as_what_is_now(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    noon = rig.time.wall_ms
    wires["left"].answers["one"] = Decoded(
        {"power": 7.0}, earlier=(Earlier(noon - 3_600_000, {"power": 3.0}),)
    )
    rig.run(1)
    assert [(r["ts"], r["power"]) for r in rig.said("one")] == [("2026-11-21T12:00:00.500Z", 7.0)]
    assert [(r["ts"], r["power"]) for r in rig.remembered("one")] == [("2026-11-21T11:00:00.000Z", 3.0)]
    assert rig.bus.on("camper/state/one/power") == [b"7"], "no earlier value"


def test_a_value_that_waits_while_the_clock_is_set_goes_out_with_the_right_time(rig: Rig) -> None:
    rig.run(25)
    rig.time.wall_ms += 5 * 3_600_000
    rig.run(6)
    assert [r["ts"][11:] for r in rig.said("one")] == ["12:00:00.500Z", "17:00:20.500Z"]  # type: ignore[index]  # a text


def test_why_a_value_is_unknown_stands_in_health_until_it_is_known(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    wires["left"].answers["one"] = Decoded({"power": None}, reasons={"power": "saturated"})
    rig.run(1)
    assert rig.journal.problems == {"entity.one.power": "saturated"}
    wires["left"].answers["one"] = Decoded({"power": 2.0})
    rig.run(10)
    assert rig.journal.problems == {}


def test_rows_that_only_the_device_knows_replace_those_of_the_kind(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    rows = {**ROWS, "phase": Row(entity=Entity(name="Phase"))}
    wires["left"].answers["one"] = Decoded({"power": 1.0, "extra": "x"}, model="M2", rows=rows)
    rig.run(1)
    assert rig.about("one").keys() == {"power", "extra", "phase"}


def test_a_question_that_is_still_open_is_not_asked_again(rig: Rig, wires: dict[str, ScriptedLine]) -> None:
    rig.service.tick(rig.time.pass_(0.5))
    rig.service.tick(rig.time.pass_(10))
    assert wires["left"].asked == ["one", "two"], "their answers wait in the queue"
    assert rig.journal.counters["skipped_polls.one"] == 1


def test_a_removed_device_is_asked_no_more_and_its_line_closed_when_it_was_the_last(
    rig: Rig, wires: dict[str, ScriptedLine]
) -> None:
    rig.run(1)
    rig.service.remove("one")
    assert wires["left"].closed == 0
    rig.service.remove("two")
    assert wires["left"].closed == 1
    wires["left"].asked.clear()
    rig.run(30)
    assert wires["left"].asked == []
    assert rig.online("far") is True


def test_an_answer_that_comes_after_its_device_was_removed_is_passed_over(rig: Rig) -> None:
    rig.service.tick(rig.time.pass_(0.5))
    rig.service.remove("one")
    rig.tick(rig.time.pass_(0.5))
    assert rig.said("one") == []
    assert rig.online("two") is True


def test_a_worker_that_dies_of_our_fault_ends_the_process_for_a_new_start(rig: Rig) -> None:
    rig.service.handle(WorkerGone("the thread of left died"))
    assert rig.emitted == [Stop(EXIT_RESTART, "the thread of left died")]
    assert rig.journal.problems["worker"] == "the thread of left died"


def test_a_worker_does_its_jobs_in_order_on_a_thread_of_its_own_and_closes_the_line() -> None:
    events: SimpleQueue[object] = SimpleQueue()
    wire = ScriptedLine()
    worker = Worker("left", wire, emit=events.put, monotonic=lambda: 0.0)
    worker.start()

    def job(number: int) -> Job:
        return Job(lambda _line, _now: (number, threading.current_thread().name), lambda why, _: why)

    for number in range(3):
        worker.do(job(number))
    assert [events.get(timeout=5) for _ in range(3)] == [(0, "left"), (1, "left"), (2, "left")]
    worker.stop()
    assert worker.join(5)
    assert (wire.opened, wire.closed) == (1, 1)


def test_a_thread_that_dies_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    events: SimpleQueue[object] = SimpleQueue()
    worker = Worker("left", ScriptedLine(), emit=events.put, monotonic=lambda: 0.0)
    worker.start()

    def fault(_line: Line, _now: float) -> object:
        raise ZeroDivisionError

    worker.do(Job(fault, lambda why, _: why))
    gone = events.get(timeout=5)
    assert isinstance(gone, WorkerGone)
    assert "left" in gone.message
