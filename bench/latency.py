"""From a command to the state a client sees, through the pin: against an echo in C on the same broker."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.commands import DEVICE, RELAY, SETTINGS, workplace
from bench.measure import Goal, Spread, goals, page, progress, table
from bench.quick_client import QuickClient
from bench.traffic import TOPICS
from bus.messages import OFF, ON
from bus.topics import Verb
from tests.client import Client
from tests.journeys.house import House

_SOURCE = Path(__file__).parent / "echo.c"
_ECHO = "echo"
# So far apart that each finds all processes asleep, as a hand on a switch does.
_PAUSE_S = 0.005
# The outbox sends 400 states ahead of the statistician's watermark, fewer than we make in five seconds.
_OFTEN = "[statistician]\ncommit_interval = 0.5\n"


class UnavailableError(Exception):
    """The echo cannot be built here; the text says what is missing."""


def build(folder: Path) -> Path:
    """Compile the echo. Raises UnavailableError."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise UnavailableError("there is no C compiler: install gcc and libmosquitto-dev")
    program = folder / "echo"
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-o", str(program), str(_SOURCE), "-lmosquitto"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[0]
        raise UnavailableError(f"the echo in C does not compile, libmosquitto-dev may be missing: {why}")
    return program


@contextmanager
def _echo(program: Path, port: int) -> Iterator[None]:
    """Start the echo; it is subscribed when this returns."""
    arguments = [str(port), TOPICS.set(DEVICE, _ECHO), TOPICS.state(_ECHO)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("the echo did not start")
            yield
        finally:
            process.terminate()


def measure(*, quick: bool, rounds: int) -> str:
    """Run `rounds` interleaved rounds and return the table."""
    count = 50 if quick else 1000
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with workplace() as folder, House(folder, SETTINGS + _OFTEN) as house:
        house.client.close()
        house.client = Client(house.broker.port, TOPICS.below(Verb.SERVICE))
        house.start("statistician", "controller")
        hindrance = ""
        program = None
        try:
            program = build(folder)
        except UnavailableError as error:
            hindrance = str(error)
        client = QuickClient(house.broker.port)
        words = itertools.cycle((ON, OFF))
        for number in range(1, rounds + 1):
            progress(f"latency, round {number} of {rounds}: {count} commands each")
            ours.append(_round(client, islice(words, count), RELAY, TOPICS.state(DEVICE), _shows))
            if program is not None:
                with _echo(program, house.broker.port):
                    theirs.append(_round(client, islice(words, count), _ECHO, TOPICS.state(_ECHO), _equals))
        client.close()
    return _report(ours, theirs, count, hindrance)


def _round(
    client: QuickClient, commands: Iterator[str], entity: str, state: str, seen: Callable[[str, bytes], bool]
) -> list[float]:
    """Milliseconds from each command to the state that shows it."""
    client.subscribe(state)
    found = []
    for word in commands:
        time.sleep(_PAUSE_S)
        took = client.time(TOPICS.set(DEVICE, entity), word.encode(), lambda p, w=word: seen(w, p))  # type: ignore[misc]  # a bound default
        found.append(took * 1000)
    return found


def _shows(word: str, payload: bytes) -> bool:
    return bool(json.loads(payload)[RELAY] == word)


def _equals(word: str, payload: bytes) -> bool:
    return payload == word.encode()


def _percentile(rounds: list[list[float]], share: float) -> Spread:
    return Spread.of(sorted(times)[int(len(times) * share)] for times in rounds)


def _report(ours: list[list[float]], theirs: list[list[float]], count: int, hindrance: str) -> str:
    head = ("command → state seen", "p50 ms", "p99 ms")
    halves, tails = (_percentile(ours, share) for share in (0.5, 0.99))
    rows: list[tuple[object, ...]] = [("controller: command, pin, pin read back, state", halves, tails)]
    if not theirs:
        return page(table(head, rows), f"Not compared: {hindrance}.")
    rows.append(("echo in C (libmosquitto), no pin", *(_percentile(theirs, share) for share in (0.5, 0.99))))
    ratio = halves.over(_percentile(theirs, 0.5))
    rows.append(("ratio", ratio, tails.over(_percentile(theirs, 0.99))))
    remark = (
        f"{len(ours)} interleaved rounds of {count} commands each, QoS 1 all the way,"
        f" {_PAUSE_S * 1000:.0f} ms apart, pins simulated, the client on a bare socket. The state is JSON"
        " with stream and seq, in the outbox before it goes out; the echo only sends back what it got."
    )
    why = "Python's share: two threads, JSON, the outbox's commit, the answer and the plain value besides"
    return page(table(head, rows), remark, goals([Goal("p50, times the echo's", ratio.median, 3, why=why)]))
