"""What outputs cost: readings a second, CPU a reading, the memory of a forwarder with file and webhook."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from bench.footprint import memory
from bench.measure import Goal, Spread, cpu_s, goals, page, progress, table
from bus.messages import from_iso
from tests.broker import Mosquitto
from tests.journeys.test_outputs import Van, fill, van

GOAL_MB = 25.0
_SETTLE_S = 2.0
_BATCH = 1000
_KINDS = {
    "file, CSV": 'kind = "file"\npath = "{folder}/{name}.csv"',
    "file, JSON lines": 'kind = "file"\npath = "{folder}/{name}.jsonl"',
    "webhook": 'kind = "webhook"\nurl = "http://127.0.0.1:{port}/"',
    "influx": 'kind = "influx"\nurl = "http://127.0.0.1:{port}/"\nbucket = "van"',
    "samples, CSV": 'kind = "file"\npath = "{folder}/{name}.csv"\nrecords = ["samples"]\ninterval = 1',
}


@dataclass(frozen=True, slots=True)
class _Load:
    """What is sent: so many readings, the newest of `newest` ms; `port` is the server's."""

    port: int
    count: int
    newest: int


class _Takes(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read it and forget it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _server() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Takes)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def measure(*, quick: bool, rounds: int) -> str:
    """Send the same readings by each kind in turn; return the tables."""
    count = 3_000 if quick else 100_000
    rates: dict[str, list[float]] = {what: [] for what in _KINDS}
    costs: dict[str, list[float]] = {what: [] for what in _KINDS}
    with tempfile.TemporaryDirectory(prefix="bench") as name, _server() as port:
        folder = Path(name)
        progress(f"outputs: storing {count} readings")
        newest = from_iso(fill(folder / "statistics.db", count)[-1].partition("@")[2])
        load = _Load(port, count, newest)
        broker = Mosquitto(folder).start()
        try:
            with van(folder, broker, "") as house:
                for number in range(rounds):
                    for what, settings in _KINDS.items():
                        progress(f"outputs: {what}, round {number + 1} of {rounds}")
                        rate, cost = _run(house, {what: settings}, load)
                        rates[what].append(rate)
                        costs[what].append(cost)
                both = {what: _KINDS[what] for what in ("file, JSON lines", "webhook")}
                progress("outputs: memory with file and webhook")
                pss: list[float] = []
                _run(house, both, load, pss)
        finally:
            broker.stop()
    rows = [(what, Spread.of(rates[what]), Spread.of(costs[what])) for what in _KINDS]
    remark = (
        f"{count} readings of 3 entities through broker and statistician, batches of at most {_BATCH},"
        f" {rounds} rounds; the statistician is left as much time as it needs. CPU is the forwarder's alone."
    )
    head = ("output", "readings/s", "CPU a reading, µs")
    goal = Goal("PSS MB with file and webhook, after all was sent", pss[0], GOAL_MB)
    return page(table(head, rows), remark, goals([goal]))


def _run(
    house: Van, kinds: dict[str, str], load: _Load, pss: list[float] | None = None
) -> tuple[float, float]:
    """Send all by these kinds with a fresh forwarder; return readings a second and µs of CPU a reading.

    The seconds are from the first batch on. `pss` gets the memory at the end, MB.
    """
    names = {what: f"bench_{time.monotonic_ns()}" for what in kinds}
    tables = [
        f'[[output]]\nname = "{names[what]}"\nstart = "all"\nbatch = {_BATCH}\n'
        + text.format(folder=house.folder, name=names[what], port=load.port)
        for what, text in kinds.items()
    ]
    house.say("\n".join(tables))
    forwarder = house.forwarder = house.spawn("forwarder")
    places = [house.folder / "run" / "outputs" / f"{name}.json" for name in names.values()]
    house.until(lambda: all(place.exists() for place in places), "nothing was sent")
    began, cpu = time.perf_counter(), cpu_s(forwarder.pid)
    # A sample is of a second that is over.
    house.until(
        lambda: all((_sent(place) or 0) >= load.newest - 1000 for place in places), "not all was sent"
    )
    seconds, spent = time.perf_counter() - began, cpu_s(forwarder.pid) - cpu
    if pss is not None:
        time.sleep(_SETTLE_S)
        pss.append(memory(forwarder.pid).pss)
    forwarder.terminate()
    forwarder.wait()
    house.forwarder = None
    return load.count / seconds, spent / load.count * 1e6


def _sent(place: Path) -> int | None:
    found = json.loads(place.read_text(encoding="utf-8"))["ts"]
    return None if found is None else int(found)
