"""A crowd of clients, then a broker that dies again and again: what is lost, and how long commands take."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from bench.commands import AGAIN_S, SETTINGS, Commander, Given, Stream, workplace
from bench.crowd import device_of
from bench.measure import Goal, cpu_s, goals, page, progress, table
from bench.traffic import TOPICS
from bus.topics import Verb
from tests.client import Client
from tests.journeys.house import ROOT, House

_CLIENTS, _RATE, _RESTARTS = 200, 2000, 20
_IDLE_COMMANDS = 300
_PATIENCE_S = 120.0
_TELL_EVERY_S = 10
_COMMAND_EVERY_S = 0.1
_UP_S = 2.0
_SHORT_OF = 0.98


@dataclass(frozen=True, slots=True)
class Phase:
    """What came of a phase: readings made and kept; seconds, also until the last was on disk; commands."""

    made: int
    kept: int
    took: float
    settled: float
    given: Given
    busy: dict[str, float]


def measure(*, quick: bool, seconds: int) -> str:
    """Measure an idle house, a loaded one, and one whose broker is killed; return the tables."""
    clients, rate, restarts = (20, 200, 2) if quick else (_CLIENTS, _RATE, _RESTARTS)
    seconds = 3 if quick else seconds
    with workplace() as folder, House(folder, SETTINGS) as house:
        # All that the crowd says is more than this process should hear while it measures.
        house.client.close()
        house.client = Client(house.broker.port, TOPICS.below(Verb.SERVICE))
        house.start("statistician", "controller")
        commander = Commander(house.broker.port)
        try:
            progress("load: commands to an idle house")
            idle = Given()
            for _ in range(20 if quick else _IDLE_COMMANDS):
                time.sleep(_COMMAND_EVERY_S / 2)
                commander.give(idle)
            loaded = _loaded(house, commander, Crowd(house, 0, clients, rate), seconds)
            storm = _storm(house, commander, Crowd(house, clients, clients, rate // 4), restarts)
        finally:
            commander.close()
    return _report(idle, loaded, storm, clients=clients, rate=rate, restarts=restarts)


class Crowd:
    """The clients, in a process of their own."""

    def __init__(self, house: House, first: int, clients: int, rate: int) -> None:
        self._house = house
        self._devices = [device_of(number) for number in range(first, first + clients)]
        arguments = [str(n) for n in (house.broker.port, first, clients, rate)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.crowd", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._told: dict[str, int] = {}
        self._made: list[int] | None = None
        self._listen_once()
        self._ear = threading.Thread(target=self._listen)
        self._ear.start()

    def _listen_once(self) -> None:
        line = self._process.stdout.readline() if self._process.stdout else ""
        found = json.loads(line or "null")
        if isinstance(found, dict):
            self._told = found
        else:
            self._made = found

    def _listen(self) -> None:
        while self._process.poll() is None and self._made is None:
            self._listen_once()

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self._told.items())

    def drain(self) -> int:
        """No more; wait until all is on disk. Returns how many readings were made; ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.write("stop\n")
            self._process.stdin.flush()
        self._ear.join(_PATIENCE_S)
        self._process.kill()
        self._process.wait()
        if self._made is None:
            raise TimeoutError(f"the crowd still waits for the statistician: {self}")
        return sum(self._made)

    def kept(self) -> int:
        """How many of the readings are in the database, each once, without a hole from the first."""
        database = sqlite3.connect(f"file:{self._house.database}?mode=ro", uri=True)
        found = database.execute(
            "SELECT device, count(DISTINCT value), min(value), max(value) FROM states"
            " JOIN entity ON entity.id = states.entity WHERE entity.entity = 'v' GROUP BY device"
        ).fetchall()
        database.close()
        for device, count, least, most in found:
            if (least, most) != (1, count):
                progress(f"{device}: {count} of {least:g} to {most:g}")
        return sum(count for device, count, _, _ in found if device in self._devices)


def _loaded(house: House, commander: Commander, crowd: Crowd, seconds: int) -> Phase:
    pids = house.pids() | {"crowd": crowd.pid}
    before = {who: cpu_s(pid) for who, pid in pids.items()}
    stream = Stream(commander, _COMMAND_EVERY_S)
    began = time.perf_counter()
    for second in range(seconds):
        time.sleep(max(0.0, began + second + 1 - time.perf_counter()))
        if second % _TELL_EVERY_S == 0 or second == seconds - 1:
            progress(f"load, {second + 1} of {seconds} s: {crowd}")
    took = time.perf_counter() - began
    busy = {who: (cpu_s(pid) - before[who]) / took for who, pid in pids.items()}
    given = stream.stop()
    made = crowd.drain()
    return Phase(made, crowd.kept(), took, time.perf_counter() - began - took, given, busy)


def _storm(house: House, commander: Commander, crowd: Crowd, restarts: int) -> Phase:
    stream = Stream(commander, _COMMAND_EVERY_S)
    began = time.perf_counter()
    for number in range(1, restarts + 1):
        time.sleep(_UP_S)
        progress(f"load, the broker is killed, {number} of {restarts}: {crowd}")
        house.broker.kill()
        house.broker.start()
    took = time.perf_counter() - began
    given = stream.stop()
    made = crowd.drain()
    return Phase(made, crowd.kept(), took, time.perf_counter() - began - took, given, {})


def _report(idle: Given, loaded: Phase, storm: Phase, *, clients: int, rate: int, restarts: int) -> str:
    reached = loaded.made / loaded.took
    head = ("commands while", "answered", "given again", "p50 ms", "p99 ms", "p99, times idle")
    rows = [
        (
            name,
            g.answered,
            g.again,
            *(f"{g.percentile(share):.2f}" for share in (0.5, 0.99)),
            f"{_ratio(g, idle):.2f}",
        )
        for name, g in (
            ("idle", idle),
            (f"{reached:.0f} messages/s", loaded.given),
            ("restarts", storm.given),
        )
    ]
    phases = [
        (name, phase.made, phase.kept, f"{phase.took:.0f}", f"{phase.settled:.1f}")
        for name, phase in ((f"{clients} clients", loaded), (f"broker killed {restarts} times", storm))
    ]
    shares = ", ".join(f"{who} {share:.2f}" for who, share in loaded.busy.items())
    remark = (
        f"Readings of {clients} clients, each with its stream, QoS 1, through the real statistician; while"
        f" the broker was killed, {rate // 4} a second. A command not answered within {AGAIN_S:.0f} s is"
        f" given again with its id. Busy under load, shares of a core: {shares}."
    )
    commands = [idle, loaded.given, storm.given]
    found = [
        Goal(
            "messages/s", reached, rate * _SHORT_OF, at_least=True, why="the crowd itself could send no more"
        ),
        Goal("readings lost", loaded.made - loaded.kept + storm.made - storm.kept, 0),
        Goal("commands without an answer", sum(g.unanswered for g in commands), 0),
        Goal("commands obeyed twice or not", sum(g.wrong for g in commands), 0),
        Goal("p99 of a command under load, times idle", _ratio(loaded.given, idle), 10),
    ]
    figures = table(("readings of", "made", "in the database", "in s", "s until the last was there"), phases)
    return page(table(head, rows), figures, remark, goals(found))


def _ratio(given: Given, idle: Given) -> float:
    return given.percentile(0.99) / idle.percentile(0.99)
