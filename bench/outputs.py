"""What outputs cost: readings a second, CPU and memory; against a program that reads the database itself."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from bench.footprint import memory
from bench.measure import Goal, Spread, cpu_s, goals, page, progress, table
from tests.broker import Mosquitto
from tests.client import Client
from tests.journeys.test_outputs import Van, fill

_READINGS = 50_000
_GOAL_MB = 25.0
_POLL_S = 0.02
_REMARK = (
    "Each output alone, from a database of these readings, on loopback; what it sends to only counts them."
    " CPU is the forwarder's from the moment it is online, and beside it the statistician's. The reader is a"
    " loop of sqlite3 and csv in one process, without a broker and without a place that is kept."
)
_READER = """
import csv, sqlite3, sys, time
began = time.process_time()
with open(sys.argv[2], "w", newline="") as file:
    write = csv.writer(file).writerow
    rows = sqlite3.connect(sys.argv[1]).execute(
        "SELECT device, entity.entity, ts, value FROM states"
        " JOIN entity ON entity.id = states.entity ORDER BY ts")
    for row in rows:
        write(row)
print(time.process_time() - began)
"""


class Counter:
    """A web server that counts lines, or records of our JSON, and keeps nothing."""

    def __init__(self) -> None:
        self.taken = 0
        counter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                counter.taken += body.count(b'"ts":') or len(body.splitlines())
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class Case:
    """An output by its settings, and how many readings have come."""

    name: str
    settings: str
    taken: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: seconds in all, CPU of the forwarder and of the statistician, MB when it is done."""

    took: float
    cpu: float
    statistician: float
    pss: float


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def _cases(folder: Path, broker: Mosquitto) -> Iterator[list[Case]]:
    web = Counter()
    listener = Client(broker.port, "bench/#")
    files = {name: folder / f"{name}.txt" for name in ("csv", "jsonl", "signed")}
    said = [
        (
            "file, csv",
            f'kind = "file"\npath = "{files["csv"]}"\nformat = "csv"',
            lambda: _lines(files["csv"]),
        ),
        ("file, jsonl", f'kind = "file"\npath = "{files["jsonl"]}"', lambda: _lines(files["jsonl"])),
        ("webhook", f'kind = "webhook"\nurl = "{web.url}/readings"', lambda: web.taken),
        ("influx", f'kind = "influx"\nurl = "{web.url}"\nbucket = "van"', lambda: web.taken),
        (
            "mqtt",
            f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{broker.port}"\ntopic = "bench/{{device}}/{{entity}}"',
            lambda: len(listener.messages),
        ),
    ]
    try:
        yield [Case(*one) for one in said]
    finally:
        listener.close()
        web.close()


def measure(*, quick: bool, rounds: int) -> str:
    """Measure every output, then file and webhook together; return the tables."""
    count = 2_000 if quick else _READINGS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        broker = Mosquitto(folder).start()
        stack.callback(broker.stop)
        progress(f"outputs: storing {count} readings")
        fill(folder / "statistics.db", count)
        cases = stack.enter_context(_cases(folder, broker))
        found: dict[str, list[Cost]] = {case.name: [] for case in cases}
        reader = []
        for number in range(rounds):
            reader.append(_read_it_itself(folder))
            for case in cases:
                progress(f"outputs: {case.name}, round {number + 1} of {rounds}")
                found[case.name].append(_run(folder / f"{case.name}-{number}", folder, broker, [case], count))
        progress("outputs: file and webhook together")
        both = _run(folder / "both", folder, broker, [cases[0], cases[2]], count)
    return _report(found, Spread.of(reader), both, count)


def _read_it_itself(folder: Path) -> float:
    command = [sys.executable, "-c", _READER, str(folder / "statistics.db"), str(folder / "reader.csv")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _run(home: Path, data: Path, broker: Mosquitto, cases: list[Case], count: int) -> Cost:
    """Run a statistician on the readings, and a forwarder until each output has them all."""
    home.mkdir()
    # As the units have it.
    os.environ["MALLOC_ARENA_MAX"] = "1"
    (home / "statistics.db").write_bytes((data / "statistics.db").read_bytes())
    tables = [f'[[output]]\nname = "o{n}"\nstart = "all"\n{case.settings}\n' for n, case in enumerate(cases)]
    for path in data.glob("*.txt"):
        path.unlink()
    van = Van(home, broker, "\n".join(tables))
    statistician = van.spawn("statistician")
    try:
        van.client.wait(lambda m: m.topic.endswith("/statistician") and m.payload == b"online")
        forwarder = van.forwarder = van.spawn("forwarder")
        van.client.wait(lambda m: m.topic.endswith("/forwarder") and m.payload == b"online")
        before = [case.taken() for case in cases]
        began, cpu, asked = time.monotonic(), cpu_s(forwarder.pid), cpu_s(statistician.pid)
        while any(case.taken() - at < count for case, at in zip(cases, before, strict=True)):
            if forwarder.poll() is not None:
                raise RuntimeError((home / "forwarder.log").read_text(encoding="utf-8"))
            time.sleep(_POLL_S)
        took = time.monotonic() - began
        return Cost(
            took, cpu_s(forwarder.pid) - cpu, cpu_s(statistician.pid) - asked, memory(forwarder.pid).pss
        )
    finally:
        for process in (van.forwarder, statistician):
            if process is not None:
                process.terminate()
                process.wait()
        van.client.close()


def _report(found: dict[str, list[Cost]], reader: Spread, both: Cost, count: int) -> str:
    def micro(seconds: Spread) -> Spread:
        return Spread.of(one / count * 1e6 for one in seconds.values)

    rows = []
    for name, costs in found.items():
        cpu = Spread.of(one.cpu for one in costs)
        asked = Spread.of(one.statistician for one in costs)
        rate = Spread.of(count / one.took for one in costs)
        memories = Spread.of(one.pss for one in costs)
        rows.append((name, rate, micro(cpu), micro(asked), cpu.over(reader), memories))
    head = (
        *("output", "readings/s", "CPU a reading, µs", "of the statistician, µs"),
        *("CPU against the reader", "PSS, MB"),
    )
    told = f"The reader: {micro(reader)} µs a reading. File and webhook together: {both.pss:.1f} MB."
    return page(
        table(head, rows),
        _REMARK,
        told,
        goals([Goal("forwarder with file and webhook, PSS MB", both.pss, _GOAL_MB)]),
    )
