"""How the threads of lines end: together, without holding up a request, and never unnoticed."""

import threading
import time as real_time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType

import pytest

from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Owned, Readings
from collector.devices.description import Decoded, LineError, PolledKind, Rows, Wire
from collector.devices.lines import Line
from collector.polling import Job, PollingSource, Worker, WorkerGone
from collector.schedule import Cadence, Reporter
from config.model import Device
from tests.clock import FakeTime
from tests.fake_bus import FakeBus

_LONG_S = 10.0


class Stuck:
    """A line whose device does not answer before `answer` is set; `then` is done as it closes."""

    def __init__(self, then: Callable[[], object] = bool) -> None:
        self.asked, self.answer, self.closed = threading.Event(), threading.Event(), threading.Event()
        self._then = then

    def open(self) -> None:
        """At once."""

    def close(self) -> None:
        """At once."""
        self.closed.set()
        self._then()

    def ask(self) -> str:
        """Wait for the answer."""
        self.asked.set()
        self.answer.wait(_LONG_S)
        return "answered"


class Quiet:
    """A device on such a line."""

    rows: Rows = MappingProxyType({})

    def poll(self, line: Stuck, _now: float) -> Decoded:
        """Ask it."""
        line.ask()
        return Decoded({})


KIND = PolledKind(
    wire=Wire.MODBUS,
    name="quiet",
    title="",
    manufacturer="",
    rows={},
    source="this file",
    every=1.0,
    make=lambda _: Quiet(),
)


def device(name: str) -> Owned:
    """A device on a line of its own."""
    reporter = Reporter(Cadence(1.0, 1.0, 1.0), {}, 0.0)
    return Owned(name, Device(kind="quiet"), KIND, reporter, {}, Quiet())


@pytest.fixture
def lines() -> Iterator[dict[str, Stuck]]:
    """Two lines; the first device answers once the second's line is closed."""
    first = Stuck()
    both = {"first": first, "second": Stuck(then=first.answer.set)}
    yield both
    for line in both.values():
        line.answer.set()


@pytest.fixture
def source(tmp_path: Path, time: FakeTime, lines: dict[str, Stuck]) -> PollingSource:
    """Reads both, and waits for the first."""
    journal = Journal()
    outbox = Outbox(tmp_path / "run", tmp_path / "disk", "collector_serial")
    publisher = Publisher(FakeBus(), Topics(), outbox, time.clock, journal)
    readings = Readings(publisher, clock=time.clock, journal=journal)

    def line_of(owned: Owned) -> tuple[str, Callable[[], Line]]:
        return owned.id, lambda: lines[owned.id]

    found = PollingSource(readings, line_of, emit=SimpleQueue[object]().put)
    for name in lines:
        readings.add(device(name))
        owned = readings.get(name)
        assert owned is not None
        found.add(owned)
    lines["second"].answer.set()
    found.tick(time.monotonic_s)
    assert lines["first"].asked.wait(_LONG_S)
    return found


def test_lines_end_together_so_that_one_that_waits_does_not_keep_the_others(
    source: PollingSource, lines: dict[str, Stuck]
) -> None:
    before = real_time.perf_counter()
    source.stop()
    assert real_time.perf_counter() - before < 4, "the second was not told before the first had ended"
    assert [line.closed.is_set() for line in lines.values()] == [True, True]


def test_a_device_is_removed_while_its_line_waits_for_an_answer(
    source: PollingSource, lines: dict[str, Stuck]
) -> None:
    before = real_time.perf_counter()
    source.remove("first")
    assert real_time.perf_counter() - before < 4, "the requests of others would wait as long"
    assert not lines["first"].closed.is_set()
    lines["first"].answer.set()
    source.stop()
    assert lines["first"].closed.is_set()


def test_what_waits_for_a_line_that_ends_fails_instead_of_being_done() -> None:
    line, events = Stuck(), SimpleQueue[object]()
    worker = Worker("left", line, emit=events.put, monotonic=lambda: 0.0)
    worker.start()
    worker.do(Job(lambda _line, _now: line.ask(), lambda why, _now: why))
    worker.do(Job(lambda _line, _now: "switched", lambda why, _now: why))
    assert line.asked.wait(_LONG_S)
    worker.stop()
    line.answer.set()
    assert worker.join(_LONG_S)
    assert events.get(timeout=_LONG_S) == "answered"
    assert isinstance(events.get(timeout=_LONG_S), LineError)


def test_a_worker_that_dies_says_so_even_if_its_line_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)

    def refuse() -> None:
        raise OSError(9, "Bad file descriptor")

    events = SimpleQueue[object]()
    worker = Worker("left", Stuck(then=refuse), emit=events.put, monotonic=lambda: 0.0)
    worker.start()

    def lose(_line: Line, _now: float) -> object:
        raise LineError("the cable was pulled")

    worker.do(Job(lose, lambda why, _now: why))
    assert isinstance(events.get(timeout=_LONG_S), WorkerGone)
