"""Durable ingest (commit, then acknowledge) against paho doing nothing, and against a peer's recorder."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench import peer_homeassistant
from bench.measure import Goal, Spread, cpu_s, goals, page, progress, table
from bench.traffic import DEVICES, STREAM, TOPICS, about
from tests.broker import Mosquitto
from tests.client import Client
from tests.journeys.house import ROOT

_PATIENCE = 60.0
# Nothing is dropped, so that both receive the same.
_BROKER = "max_queued_messages 0\nmax_queued_bytes 0\n"
_BURST = 5000
# How much of a core a process must be busy to be what the others wait for.
_BUSY = 0.85


@dataclass(frozen=True, slots=True)
class Run:
    """One round: messages/s, the consumer's CPU in µs a message, and the share of a core of each process."""

    rate: float
    cpu_us: float
    busy: dict[str, float]


def measure(*, quick: bool, rounds: int, peer: str | None) -> str:
    """Run `rounds` interleaved rounds and return the tables; `peer` may be homeassistant."""
    messages = 1000 if quick else 30_000
    trivial, durable = [], []
    size = 0
    for number in range(1, rounds + 1):
        progress(f"ingest, round {number} of {rounds}: {messages} messages to paho, then to the statistician")
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            trivial.append(_Round(Path(folder), messages).sink())
            last = _Round(Path(folder), messages)
            durable.append(last.statistician())
            size = last.packet
    head = ("consumer", "messages/s", "consumer CPU µs/message", "busy: publisher", "broker", "consumer")
    rows = [_row("paho, does nothing", trivial), _row("statistician, commit then acknowledge", durable)]
    rate, cpu = _rates(durable).over(_rates(trivial)), _cpus(durable).over(_cpus(trivial))
    found = [
        Goal("rate, share of paho's", rate.median, 0.8, at_least=True, why=_bottleneck(durable)),
        Goal("CPU a message, times paho's", cpu.median, 1.15, why=_extra(trivial, durable)),
    ]
    remark = (
        f"{rounds} rounds of {messages} readings of two values, QoS 1, packets of {size} bytes, a publisher"
        f" on a bare socket. Rate ratio {rate}, CPU ratio {cpu}. Busy is the share of a core;"
        f" {os.cpu_count()} cores carry all three processes. {_bottleneck(durable)}"
    )
    against = _against(rounds, quick=quick) if peer else "Not run with --peer homeassistant."
    return page(table(head, rows), remark, goals(found), against)


def _row(name: str, runs: list[Run]) -> tuple[object, ...]:
    shares = [Spread.of(run.busy[who] for run in runs) for who in ("publisher", "broker", "consumer")]
    return (name, _rates(runs), _cpus(runs), *shares)


def _rates(runs: list[Run]) -> Spread:
    return Spread.of(run.rate for run in runs)


def _cpus(runs: list[Run]) -> Spread:
    return Spread.of(run.cpu_us for run in runs)


def _bottleneck(runs: list[Run]) -> str:
    shares = {who: Spread.of(run.busy[who] for run in runs).median for who in runs[0].busy}
    busiest = max(shares, key=lambda who: shares[who])
    if shares[busiest] < _BUSY:
        return "None of the three is busy all the time: they wait for each other."
    return f"The {busiest} is what the others wait for."


def _extra(trivial: list[Run], durable: list[Run]) -> str:
    extra = _cpus(durable).median - _cpus(trivial).median
    return f"queue, decode, accumulate and commit take {extra:.0f} µs a message more"


class _Round:
    """A fresh broker, one consumer, one publisher."""

    def __init__(self, folder: Path, messages: int, *, values: int = 2) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._messages = messages
        self._values = values
        self.packet = 0
        self._broker = Mosquitto(self._folder, extra=_BROKER)

    def sink(self) -> Run:
        """Let paho receive."""
        self._broker.start()
        command = [sys.executable, "-m", "bench.sink", str(self._broker.port), str(self._messages)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as consumer:
            try:
                stdout = _pipe(consumer.stdout)
                _expect(stdout.readline(), "ready")
                return self._publish(consumer.pid, lambda: _expect(stdout.readline(), "done"))
            finally:
                consumer.terminate()
                self._broker.stop()

    def statistician(self) -> Run:
        """Let the real process receive into a fresh database; every state must be in it."""
        self._broker.start()
        client = Client(self._broker.port, TOPICS.watermark(STREAM), TOPICS.service("statistician"))
        (self._folder / "boondock.toml").touch()
        environment = os.environ | {
            "BOONDOCK_CONFIG": str(self._folder / "boondock.toml"),
            "BOONDOCK_BROKER__PORT": str(self._broker.port),
            "BOONDOCK_STATISTICIAN__DATABASE": str(self._folder / "statistics.db"),
            "BOONDOCK_STORAGE__STATE": str(self._folder / "state"),
            "BOONDOCK_CLOCK__TRUSTED": "true",
        }
        log = (self._folder / "statistician.log").open("wb")
        with subprocess.Popen(
            [sys.executable, "-m", "statistician"], cwd=ROOT, env=environment, stdout=log, stderr=log
        ) as consumer:
            try:
                client.wait(lambda m: m.payload == b"online", patience=_PATIENCE)
                for device in range(DEVICES):
                    client.publish(*about(device), retain=True)
                run = self._publish(consumer.pid, lambda: self._all_committed(client))
            finally:
                consumer.terminate()
                consumer.wait()
                client.close()
                self._broker.stop()
                log.close()
        self._check()
        return run

    def _all_committed(self, client: Client) -> None:
        last = str(self._messages).encode()
        client.wait(lambda m: m.topic == TOPICS.watermark(STREAM) and m.payload == last, patience=_PATIENCE)

    def _check(self) -> None:
        database = sqlite3.connect(self._folder / "statistics.db")
        (stored,) = database.execute("SELECT count(*) FROM states").fetchone()
        database.close()
        if stored != self._messages * self._values:
            raise RuntimeError(f"{stored} states are stored, not {self._messages * self._values}")

    def _publish(self, consumer: int, wait: Callable[[], None]) -> Run:
        arguments = [str(self._broker.port), str(self._messages), str(self._values)]
        with subprocess.Popen(
            [sys.executable, "-m", "bench.publisher", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as publisher:
            orders = _pipe(publisher.stdin)
            self.packet = int(json.loads(_pipe(publisher.stdout).readline())["packet"])
            pids = {"publisher": publisher.pid, "broker": self._broker.pid, "consumer": consumer}
            before = {who: cpu_s(pid) for who, pid in pids.items()}
            began = time.perf_counter()
            orders.write("go\n")
            orders.flush()
            wait()
            took = time.perf_counter() - began
            spent = {who: cpu_s(pid) - before[who] for who, pid in pids.items()}
            orders.write("end\n")
            orders.flush()
        return Run(
            rate=self._messages / took,
            cpu_us=spent["consumer"] / self._messages * 1e6,
            busy={who: seconds / took for who, seconds in spent.items()},
        )


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise RuntimeError(f"the consumer said {line!r}, not {word}")


def _against(rounds: int, *, quick: bool) -> str:
    """Home Assistant's own recorder on a burst of states, in its own environment, no MQTT; ours with."""
    states = 500 if quick else _BURST
    try:
        recorder = peer_homeassistant.Recorder()
    except peer_homeassistant.UnavailableError as error:
        return f"Home Assistant's recorder could not be measured: {error}"
    theirs, ours = [], []
    for number in range(1, rounds + 1):
        progress(f"recorder, round {number} of {rounds}: a burst of {states} states")
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            theirs.append(recorder.burst(Path(folder), states))
            ours.append(_Round(Path(folder), states, values=1).statistician())
    rate = _rates(ours).over(Spread.of(burst.rate for burst in theirs))
    cpu = Spread.of(burst.cpu_us for burst in theirs).over(_cpus(ours))
    rows = [
        (
            f"Home Assistant {recorder.version} recorder, in process, no MQTT",
            Spread.of(burst.rate for burst in theirs),
            Spread.of(burst.cpu_us for burst in theirs),
        ),
        ("statistician, over MQTT", _rates(ours), _cpus(ours)),
    ]
    found = [
        Goal("states/s, times the recorder's", rate.median, 4, at_least=True, why="ours pays for MQTT too"),
        Goal(
            "the recorder's CPU a state, times ours",
            cpu.median,
            5,
            at_least=True,
            why="ours pays for MQTT too",
        ),
    ]
    head = (f"burst of {states} states", "states/s", "CPU µs/state")
    return page(table(head, rows), f"Rate ratio {rate}, CPU ratio {cpu}.", goals(found))
