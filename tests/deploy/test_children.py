"""How a run looks after its processes, and which port and directories it takes."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import broker, places
from scripts.broker import BrokerError
from scripts.children import Child, Program, Van
from tests.deploy.started import ENDS_WITHIN, eventually


class Watched:
    """A van whose processes are Python one-liners, and what it said."""

    def __init__(self, logs: Path) -> None:
        self.said: list[str] = []
        self.van = Van(logs, self.said.append)

    def start(self, code: str, name: str = "sample", rank: int = 0) -> Child:
        """Start a process that runs this code."""
        return self.van.start(Program(name, [sys.executable, "-u", "-c", code], dict(os.environ), rank))

    def ends(self, child: Child) -> int | None:
        """Wait until it has ended; return what the van's look says."""
        assert eventually(lambda: not child.is_up())
        return self.van.watch()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.van.stop()


def test_a_process_that_dies_is_told_with_its_last_lines_and_planned_again(watched: Watched) -> None:
    child = watched.start("import sys; [print('line', n) for n in range(20)]; sys.exit(3)")
    assert watched.ends(child) is None
    assert watched.said[0] == "sample ended with status 3 and starts again in 3 s; its last lines:"
    assert watched.said[1:] == [f"  line {n}" for n in range(10, 20)]
    assert child.restart_at is not None


def test_a_process_that_ends_well_has_nothing_to_do_and_is_left_in_peace(watched: Watched) -> None:
    child = watched.start("print('nothing to read')")
    other = watched.start("import time; time.sleep(60)")
    assert watched.ends(child) is None
    assert watched.said == []
    assert watched.van.children == [other]


def test_a_process_that_dies_again_and_again_waits_longer_up_to_half_a_minute(watched: Watched) -> None:
    child = watched.start("raise SystemExit(75)")
    assert [child.plan_restart() for _ in range(5)] == [3.0, 6.0, 12.0, 24.0, 30.0]


def test_a_planned_process_starts_when_its_time_has_come(watched: Watched) -> None:
    child = watched.start("print('ended'); raise SystemExit(1)")
    assert watched.ends(child) is None
    child.restart_at = time.monotonic()
    watched.van.watch()
    assert child.restart_at is None
    assert eventually(lambda: child.output() == "ended\n")


def test_a_wrong_configuration_ends_the_van_with_its_mistakes(watched: Watched) -> None:
    child = watched.start("print('broker.port: 0 is not allowed'); raise SystemExit(78)")
    assert watched.ends(child) == 78
    assert watched.said[-1] == "broker.port: 0 is not allowed"


def test_warnings_reach_the_screen_and_the_rest_stays_in_the_log(watched: Watched) -> None:
    child = watched.start("print('INFO a: fine'); print('WARNING a: low'); import time; time.sleep(60)")
    assert eventually(lambda: "low" in child.output())
    watched.van.watch()
    assert watched.said == ["sample: WARNING a: low"]


def test_the_end_comes_even_if_a_process_refuses(watched: Watched) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    children = [watched.start(deaf, f"deaf{rank}", rank) for rank in range(3)]
    assert eventually(lambda: all(child.output() for child in children))
    began = time.monotonic()
    watched.van.stop()
    assert time.monotonic() - began < ENDS_WITHIN
    assert [child.status() for child in children] == [-signal.SIGKILL] * 3


def test_who_publishes_ends_before_what_carries(watched: Watched, tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        f"def end(*_):\n    open({str(order)!r}, 'a').write(NAME + ' ')\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up')\ntime.sleep(60)"
    )
    started = [
        watched.start(f"NAME='{name}'\n{code}", name, rank)
        for name, rank in (("broker", 2), ("collector", 0))
    ]
    assert eventually(lambda: all(child.output() for child in started))
    watched.van.stop()
    assert order.read_text() == "collector broker "


def test_a_taken_port_is_passed_over_but_refused_when_asked_for() -> None:
    with socket.create_server((broker.HOST, 0)) as server:
        taken = server.getsockname()[1]
        assert not broker.is_free(taken)
        with pytest.raises(BrokerError, match=f"port {taken} is taken"):
            broker.choose_port(taken)
    assert broker.choose_port(taken) == taken


def test_without_a_wish_the_first_free_port_from_1883_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "is_free", lambda port: port > 1884)
    assert broker.choose_port(None) == 1885


def test_the_broker_listens_on_the_loopback_only() -> None:
    rendered = broker.render(1999).splitlines()
    assert [line for line in rendered if line.startswith("listener")] == ["listener 1999 127.0.0.1"]


def test_a_killed_run_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    killed = tmp_path / f"{places.PREFIX}killed"
    killed.mkdir()
    living = tmp_path / f"{places.PREFIX}living"
    living.mkdir()
    lock = places._lock(living)
    assert lock is not None
    places.sweep(tmp_path)
    assert (killed.exists(), living.exists()) == (False, True)
    os.close(lock)
