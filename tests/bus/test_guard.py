"""An error that nobody expected, in a message, a timer or the work that is due: it ends nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.events import Connected, Link, Message
from bus.inbox import Handling
from bus.process import EXIT_RESTART, Process, RestartError
from bus.topics import Topics
from config.model import Broker
from tests.clock import Machine


class Service:
    """Takes notes; `faults` says what fails."""

    def __init__(self) -> None:
        self.faults: list[Callable[[object], bool]] = []
        self.handled: list[object] = []
        self.aside: list[tuple[Message, Exception | None]] = []
        self.ticks = 0
        self.closed = False

    def handle(self, event: object) -> None:
        """Fail, or take note of it."""
        if any(fails(event) for fails in self.faults):
            raise KeyError("planted")
        self.handled.append(event)

    def tick(self, now: float) -> float:
        """Fail, or count."""
        del now
        self.ticks += 1
        self.handle("tick")
        return 0.0

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Keep both."""
        self.aside.append((message, error))

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def waiting(self) -> int | None:
        """Nothing waits."""
        return None


class Running:
    """A process whose loop the test turns, and what it acknowledged."""

    def __init__(self, machine: Machine, folder: Path, patch: pytest.MonkeyPatch) -> None:
        link = Link.of(Broker(), "idle", "part")
        self.process = Process(
            "idle",
            link=link,
            topics=Topics(),
            clock=machine.process(),
            subscriptions=[],
            acknowledge=True,
            runtime=folder,
            fatal=(ZeroDivisionError,),
        )
        self.service = Service()
        self.acknowledged: list[Message] = []
        patch.setattr(self.process.connection, "acknowledge", self.acknowledged.append)
        patch.setattr(self.process.connection, "start", lambda: None)
        patch.setattr(self.process.connection, "stop", lambda: None)

    def deliver(self, *events: object) -> None:
        """Let events come and be handled."""
        for event in events:
            self.process.emit(event)
        self.process._work(self.service)


def message(number: int) -> Message:
    return Message("camper/state/van", b"%d" % number, 1, retain=False, mid=number, generation=1)


@pytest.fixture
def running(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    return Running(machine, tmp_path, monkeypatch)


def test_one_message_that_fails_is_told_and_kept_and_the_others_are_handled(
    running: Running, tmp_path: Path
) -> None:
    running.service.faults.append(lambda event: event == message(2))
    running.deliver(*(message(number) for number in range(5)))
    assert [e for e in running.service.handled if isinstance(e, Message)] == [
        message(n) for n in (0, 1, 3, 4)
    ]
    assert running.acknowledged == [message(number) for number in range(5)]
    journal = running.process.journal
    assert (journal.counters["faults"], journal.counters["set_aside_messages"]) == (1, 1)
    assert "camper/state/van: a message was set aside" in journal.problems["set_aside"]
    assert "KeyError('planted')" in journal.problems["fault"]
    ((aside, error),) = running.service.aside
    assert (aside, repr(error)) == (message(2), "KeyError('planted')")
    assert b'"camper/state/van"' in (tmp_path / "idle.set_aside").read_bytes()


def test_an_event_that_fails_ends_nothing(running: Running) -> None:
    running.service.faults.append(lambda event: isinstance(event, Connected))
    running.deliver(Connected(1), message(1))
    assert message(1) in running.service.handled


def test_work_that_fails_goes_on_later_and_after_five_errors_in_a_row_the_process_begins_anew(
    running: Running,
) -> None:
    running.service.faults.append(lambda event: event == "tick" and running.service.ticks != 4)
    running.deliver(message(1), message(2))
    assert message(2) in running.service.handled
    for number in range(3, 50):
        running.process.emit(message(number))
    code = running.process.run(running.service)
    # Three errors, one success, five errors.
    assert (code, running.service.ticks) == (EXIT_RESTART, 9)
    assert running.service.closed


@pytest.mark.parametrize(("error", "suspected"), [(RestartError("x"), True), (ZeroDivisionError(), False)])
def test_what_only_a_new_start_can_cure_ends_it(
    running: Running, machine: Machine, tmp_path: Path, error: Exception, *, suspected: bool
) -> None:
    def fail(event: object) -> bool:
        if event == message(1):
            raise error
        return False

    running.service.faults.append(fail)
    running.process.emit(message(1))
    assert running.process.run(running.service) == EXIT_RESTART
    with pytest.MonkeyPatch.context() as patch:
        again = Running(machine, tmp_path, patch)
        assert again.process.in_hand.handling_of(message(1)) is (
            Handling.ALONE if suspected else Handling.NORMAL
        )
        again.process.in_hand.begin(message(2))
        again.process.in_hand.handled()
        again.service.faults.append(fail)
        again.process.emit(message(1))
        assert again.process.run(again.service) == EXIT_RESTART
        third = Running(machine, tmp_path, patch)
        assert third.process.in_hand.handling_of(message(1)) is (
            Handling.ASIDE if suspected else Handling.NORMAL
        )


def test_a_message_that_ended_the_process_twice_is_not_handled(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        running = Running(machine, tmp_path, monkeypatch)
        # It dies here: nothing is said to the marks.
        running.process.in_hand.begin(message(1))
        running.process.in_hand.failed()
    running = Running(machine, tmp_path, monkeypatch)
    running.deliver(message(1), message(2))
    assert [one for one in running.service.handled if one != "tick"] == [message(2)]
    assert running.acknowledged == [message(1), message(2)]
    assert "ended twice" in running.process.journal.problems["set_aside"]
    assert running.service.aside == [(message(1), None)]
