"""Kill -9 in the middle of work, 50 times with --all: no reading lost, no row wrong, no database damaged."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bus import about as about_message
from bus.about import About, Entity
from bus.messages import from_iso, of_device, to_iso
from bus.outbox import Outbox
from bus.topics import Topics
from statistician.arithmetic import DAY, HOUR
from statistician.store.schema import SCHEMA_VERSION
from tests.broker import Mosquitto
from tests.client import Client
from tests.house import ROOT
from tests.journeys.doomed import KEEP_DAYS
from tests.rounds import rounds
from tests.statistician.test_migrations import version_1

PATIENCE = 60.0
FIRST = from_iso("2026-11-10T06:00:00Z")
# So that some days pass, whatever the number of deaths.
EVERY_MS = rounds(244_000, 61_000)
CLASSES = {"volt": "measurement", "energy": "total_increasing", "flow": "total"}
TOPICS = Topics()
COLUMNS = "mean, min, max, state, sum, sum_increase, sum_decrease, coverage"
# What it is at when it dies, and how often; the migrations come on top.
DEATHS = {"ingest": rounds(2, 12), "compile": rounds(2, 12), "purge": rounds(2, 8), "backup": rounds(2, 8)}
MIGRATIONS = rounds(3, 10)


Rows = dict[tuple[str, str, int], tuple[float | None, ...]]


class Van:
    """A publisher with a real outbox, a broker, and the process that dies."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.database = folder / "s.db"
        self.port = broker.port
        self.client = Client(broker.port, "camper/#")
        self.outbox = Outbox(folder / "run", folder / "state", "ble")
        self.lines: list[dict[str, str | float | None]] = []
        self.began = time.monotonic()
        self.seen = 0
        self.process: subprocess.Popen[bytes] | None = None
        entities = {key: Entity(name=key, state_class=kind) for key, kind in CLASSES.items()}
        about = about_message.encode(About(name="Van", service="ble", entities=entities))
        self.client.publish(TOPICS.about("van"), about, retain=True)
        self.set_clock(FIRST)

    def set_clock(self, now: int) -> None:
        """Let the process see another time, never half of it."""
        fresh = self.folder / "now.part"
        fresh.write_text(str(now))
        fresh.replace(self.folder / "now")

    @property
    def seconds(self) -> float:
        """A time that runs ten times as fast, for what waits for a pause."""
        return (time.monotonic() - self.began) * 10

    def measure(self, dice: random.Random, count: int) -> None:
        """Take readings, minutes apart; the counters go on, fall now and then, and are away at times."""
        for _ in range(count):
            ts = FIRST + len(self.lines) // len(CLASSES) * EVERY_MS
            values = {
                # Few values, so that many repeat one before: what is left out must be no news.
                "volt": float(dice.randint(11, 13)) if dice.random() < 0.95 else None,
                "energy": float(len(self.lines) % 997),
                "flow": round(dice.uniform(-50.0, 50.0), 1),
            }
            moment = to_iso(ts)
            self.lines += [{"entity": f"van.{key}", "ts": moment, "value": v} for key, v in values.items()]
            payload = json.dumps({"ts": moment, "clock": "ok", **values}).encode()
            row = self.outbox.append(TOPICS.state("van"), payload, self.seconds)
            self.outbox.sent_live(row)
            # One in twenty is lost on its way.
            if dice.random() < 0.95:
                self.client._client.publish(row.topic, row.payload, qos=1)
            self.set_clock(ts)
        self.flow()

    def flow(self) -> None:
        """Send what the window lets through; take the watermarks that came."""
        messages = self.client.messages
        while self.seen < len(messages):
            message = messages[self.seen]
            self.seen += 1
            if message.topic == TOPICS.watermark(self.outbox.stream) and message.payload:
                self.outbox.watermark(self.outbox.stream, int(message.payload), self.seconds)
            elif message.topic == TOPICS.service("statistician"):
                online = message.payload == b"online"
                self.outbox.statistician(online=online, kept=False, now=self.seconds)
        for row in self.outbox.next(400, self.seconds):
            topic = TOPICS.backlog("ble", row.stream)
            self.client._client.publish(topic, of_device("van", row.payload), qos=1)
            self.outbox.sent(row)

    def start(self) -> None:
        """Start the process and wait until it says where it stands."""
        since = len(self.client.messages)
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.journeys.doomed", str(self.folder), str(self.port)]
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        online = TOPICS.service("statistician")
        self.client.wait(lambda m: m.topic == online and m.payload == b"online", since=since)

    def until(self, came: Callable[[], bool], why: str) -> None:
        """Go on sending until something came about."""
        deadline = time.monotonic() + PATIENCE
        while not came():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{why}\n{(self.folder / 'log').read_text()[-3000:]}")
            self.flow()
            with self.client._news:
                self.client._news.wait(0.001)

    def heard(self, prefix: str) -> Callable[[], bool]:
        """Whether something new came on a topic."""
        since = len(self.client.messages)
        return lambda: any(m.topic.startswith(prefix) for m in self.client.messages[since:])

    def newest_hour(self) -> int | None:
        """Start of the hour that was said last, ms."""
        said = self.client.latest(TOPICS.statistics("van", "hour"))
        return None if said is None else from_iso(json.loads(said)["start"])

    def awaits_correction(self) -> bool:
        """Whether rows are still to be made again for what came late."""
        with closing(sqlite3.connect(self.database)) as database:
            return bool(database.execute("SELECT count(*) FROM dirty").fetchone()[0])

    def kill(self) -> None:
        """No goodbye; what is left must be whole."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(PATIENCE) == -signal.SIGKILL
        self.process = None
        with closing(sqlite3.connect(self.database)) as database:
            assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]

    def end(self) -> None:
        """SIGTERM."""
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0
            self.process = None


@pytest.fixture
def van(tmp_path: Path, broker: Mosquitto) -> Iterator[Van]:
    van = Van(tmp_path, broker)
    yield van
    if van.process is not None:
        van.process.kill()
    van.client.close()
    van.outbox.close()


def die(van: Van, dice: random.Random, kind: str) -> None:
    """One life: readings come, and in the middle of `kind` the process is killed."""
    copies = van.folder / "backups"
    if kind == "backup":
        for copy in copies.glob("*"):
            copy.unlink()
    van.start()
    mark, rows = (
        van.heard(TOPICS.watermark(van.outbox.stream)),
        van.heard(TOPICS.statistics("van", "5minute")),
    )
    van.measure(dice, dice.randint(40, 140))
    # What comes after `keep_days` changes no row: nothing waits for as long.
    van.until(mark, "no watermark")
    if kind == "compile":
        van.until(rows, "no statistics")
    elif kind == "backup":
        van.until(lambda: any(copies.glob("*")), "no copy was begun")
    # Somewhere in what follows.
    for _ in range(dice.randint(0, 25)):
        van.measure(dice, 1)
    van.kill()


def stored(path: Path) -> tuple[set[tuple[str, int, object]], Rows]:
    """States by entity and time, and rows by entity, period and start."""
    with closing(sqlite3.connect(path)) as database:
        states = database.execute(
            "SELECT entity.entity, ts, value FROM states JOIN entity ON entity.id = states.entity"
        ).fetchall()
        rows: Rows = {}
        for table in ("statistics_5minute", "statistics_hour"):
            sql = f"SELECT e.entity, start, {COLUMNS} FROM {table} JOIN entity AS e ON e.id = {table}.entity"  # noqa: S608 — ours
            for entity, start, *row in database.execute(sql):
                rows[entity, table, start] = tuple(v if v is None else round(v, 6) for v in row)
    return set(states), rows


def test_deaths_at_work(van: Van, tmp_path: Path) -> None:
    dice = random.Random(20261121)  # noqa: S311 — no secret
    deaths = [kind for kind, times in DEATHS.items() for _ in range(times)]
    dice.shuffle(deaths)
    for kind in deaths:
        die(van, dice, kind)
    van.start()
    van.measure(dice, 10)
    van.until(lambda: not van.outbox.waiting, "the outbox is never empty")
    end = FIRST + len(van.lines) // len(CLASSES) * EVERY_MS
    end += HOUR - end % HOUR
    van.set_clock(end + 15_000)
    # Not just any hour: what came late has earlier ones said again.
    van.until(lambda: van.newest_hour() == end - HOUR, "the last hour is not compiled")
    van.until(lambda: not van.awaits_correction(), "the corrections never end")
    copies = van.folder / "backups"
    van.until(lambda: any(copies.glob("*Z.db")), "no copy is ever whole")
    van.end()
    declared = [{"entity": f"van.{key}", "state_class": kind} for key, kind in CLASSES.items()]
    text = "".join(json.dumps(line) + "\n" for line in [*declared, *van.lines, {"end": to_iso(end)}])
    peace = tmp_path / "peace.db"
    command = [
        sys.executable,
        "-m",
        "statistician",
        "replay",
        "-",
        "--database",
        str(peace),
        "--keep-days",
        "60",
    ]
    subprocess.run(command, cwd=ROOT, input=text.encode(), stdout=subprocess.DEVNULL, check=True)
    (states, rows), (all_states, all_rows) = stored(van.database), stored(peace)
    assert len(all_states) > 100 * len(deaths)
    kept = end - KEEP_DAYS * DAY
    assert {s for s in all_states if s[1] >= kept} <= states
    # Beside them only what repeats the value in force: it was news while nobody knew that.
    for entity, ts, value in states - all_states:
        assert max((s for s in all_states if s[0] == entity and s[1] < ts), key=lambda s: s[1])[2] == value
    wanted = {
        key: row
        for key, row in all_rows.items()
        if key in rows or key[1] == "statistics_hour" or key[2] >= kept
    }
    assert rows == wanted
    assert min(s[1] for s in states) > FIRST


def test_deaths_while_the_file_is_brought_up(tmp_path: Path, broker: Mosquitto) -> None:
    dice = random.Random(7)  # noqa: S311 — no secret
    path = version_1(tmp_path / "s.db", states=60_000)
    (tmp_path / "now").write_text(str(FIRST))
    command = [sys.executable, "-m", "tests.journeys.doomed", str(tmp_path), str(broker.port)]
    fresh = path.read_bytes()
    versions = set()
    for _ in range(MIGRATIONS):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        assert process.stderr is not None
        # Killed in between, it goes on from the last whole step.
        assert b"from version" in process.stderr.readline()
        # Between nothing and all of it: about as long as the whole takes.
        process.stderr.close()
        for _ in range(dice.randint(0, 400)):
            path.stat()
        process.kill()
        process.wait(PATIENCE)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            assert database.execute("SELECT count(*) FROM states").fetchone() == (60_060,)
            ((version,),) = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        versions.add(version)
        if version == str(SCHEMA_VERSION):
            path.write_bytes(fresh)
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
    assert versions
