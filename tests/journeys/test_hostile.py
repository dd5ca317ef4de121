"""Thousands of hostile messages to every topic that is heard: nobody dies, nothing wrong is kept."""

import json
import math
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from bus.commands import Code
from tests.client import Client
from tests.emulators.vedirect import Cable, SmartShunt, Talker
from tests.journeys import hostile
from tests.journeys.house import PROCESSES, House
from tests.rounds import rounds

SHOTS = rounds(5_000, 20_000)
VOLLEY = 250
WARM_UP = 16
# Alone on a machine none takes a quarter of a second; here other tests share the cores.
ANSWER_S = 3.0
GROWTH_MB = 10.0
# Of all processes together.
LINES = 500
LONGEST_LINE = 1000
# If they answered each other it would never be quiet.
REST_S = 60.0
QUIET = 30
SETTINGS = """
[publish]
heartbeat = 2
[statistician]
commit_interval = 0.5
[controller]
pins = "simulated"
[relay.pump]
pin = 27
[relay.marked]
pin = 17
[device.solar]
kind = "integral"
source = "shunt.power"
"""
ASKED = {
    "statistician": ("camper/request/statistician/info", "{}"),
    "collector_ble": ("camper/request/collector_ble/devices", "{}"),
    "collector_serial": ("camper/request/collector_serial/devices", "{}"),
    "controller": ("camper/set/relay/marked", "TOGGLE"),
}


class Pulse:
    """Asks every service each second, and reports as a stranger meanwhile; keeps how long answers took."""

    def __init__(self, port: int) -> None:
        self._client = Client(port, "camper/response/pulse/#")
        self.took: dict[str, list[float]] = {name: [] for name in ASKED}
        self.wrong: list[object] = []
        self.values: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._end.wait(0.05):
            turn += 1
            self._report()
            if turn % 5 == 0:
                for service in ASKED:
                    self._ask(service, turn)

    def _report(self) -> None:
        number = len(self.values) + 1
        reading = {"level": number + 0.5, "stream": "marker-1", "seq": number}
        self._client.publish(f"camper/state/{hostile.MARKER}", json.dumps(reading))
        self.values.append(number + 0.5)

    def _ask(self, service: str, turn: int) -> None:
        topic, payload = ASKED[service]
        answer = f"camper/response/pulse/{service}/{turn}"
        since, began = len(self._client.messages), time.monotonic()
        self._client.publish(topic, payload, response_topic=answer)
        try:
            body = json.loads(self._client.on(answer, since=since))
        except TimeoutError:
            self.took[service].append(math.inf)
            return
        # Eight may wait; whoever is the ninth is asked to come again.
        if body["status"] != "ok" and "wait already" not in str(body):
            self.wrong.append(body)
        self.took[service].append(time.monotonic() - began)

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()
        self._thread.join()
        self._client.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        cable = Cable()
        stack.callback(cable.pull)
        stack.enter_context(Talker(cable.write, SmartShunt(), period=0.3))
        device = f'[device.shunt]\nkind = "vedirect"\nport = "{cable.path}"\n'
        house = stack.enter_context(House(tmp_path, SETTINGS + device))
        house.start(*PROCESSES)
        yield house


def memories(house: House) -> dict[str, float]:
    """Resident MB of each of ours."""
    found = {}
    for name, pid in house.pids().items():
        if name != "mosquitto":
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            found[name] = pages * os.sysconf("SC_PAGESIZE") / 1e6
    return found


def dead(house: House) -> list[str]:
    """Who has ended; until somebody waits for it, it is a zombie."""
    stats = {
        name: Path(f"/proc/{pid}/stat").read_text(encoding="ascii") for name, pid in house.pids().items()
    }
    return [name for name, stat in stats.items() if stat.rpartition(") ")[2].startswith("Z")]


def births(house: House) -> int:
    return sum(
        m.payload == b"online" and m.topic.startswith("camper/service/") for m in house.client.messages
    )


def wait_for_rest(house: House) -> None:
    """Wait until no more comes than on a quiet day. Raises TimeoutError when it goes on and on."""
    deadline = time.monotonic() + REST_S
    while time.monotonic() < deadline:
        seen = len(house.client.messages)

        def many(_: object, seen: int = seen) -> bool:
            return len(house.client.messages) - seen > QUIET

        try:
            house.client.wait(many, since=seen, patience=0.4)
        except TimeoutError:
            return
    raise TimeoutError("they answer each other")


def last_words(house: House) -> dict[str, Counter[str]]:
    """Ends every process in peace; the counters of each."""
    for name in PROCESSES:
        assert house.end(name, signal.SIGTERM) == 0, house.log(name)[-2000:]
        house.client.wait(lambda m, t=f"camper/service/{name}": m.topic == t and m.payload == b"offline")  # type: ignore[misc]  # a bound default
    health = {name: house.client.latest(f"camper/health/{name}") or b"" for name in PROCESSES}
    return {name: Counter(json.loads(payload)["counters"]) for name, payload in health.items()}


def refused(house: House) -> tuple[int, int]:
    """Error answers that were seen: to commands, and to requests."""
    bodies = [m for m in house.client.messages if b'"status":"error"' in m.payload]
    results = sum(m.topic.startswith("camper/result/") for m in bodies)
    return results, sum(m.topic.startswith("camper/response/") and b'"data":{}' in m.payload for m in bodies)


def rows(house: House, sql: str, *values: str) -> list[Any]:
    with sqlite3.connect(f"file:{house.database}?mode=ro", uri=True) as database:
        return database.execute(sql, values).fetchall()


def check_what_is_kept(house: House, marked: list[float], letters: int) -> None:
    """The stranger's readings as they were sent; nothing that is no number; dead letters bounded."""
    kept = rows(
        house,
        "SELECT value FROM states JOIN entity ON entity.id = states.entity WHERE device = ? ORDER BY ts",
        hostile.MARKER,
    )
    assert [value for (value,) in kept] == marked
    tables = [name for (name,) in rows(house, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"states", "dead_letter"} <= set(tables)
    for table in tables:
        for row in rows(house, f'SELECT * FROM "{table}"'):  # noqa: S608 — a name of the database's own
            assert all(math.isfinite(value) for value in row if isinstance(value, float)), (table, row)
    assert 0 < rows(house, "SELECT count(*) FROM dead_letter")[0][0] <= letters


def check_counters(house: House, said: dict[str, Counter[str]]) -> None:
    """Each refusal that was answered was counted, and what cannot be answered too."""
    results, answers = refused(house)
    codes = [f"refused_commands_{code}" for code in Code]
    refusals = sum(said[name][code] for name in PROCESSES for code in codes)
    # One to a malformed topic is answered at its Response Topic, if it has one.
    assert SHOTS / 40 < results <= refusals <= results + said["controller"]["refused_malformed_commands"]
    counted = sum(said[name]["refused_requests"] for name in PROCESSES)
    lost = sum(said[name]["dropped_answers"] for name in PROCESSES)
    assert SHOTS / 20 < counted - lost <= answers <= counted
    assert all(said[name]["refused_messages"] for name in ("controller", "collector_serial"))
    assert said["statistician"]["dead_letters"] > SHOTS / 40


def test_hostile_messages(house: House) -> None:
    streams = [str(house.state(device)["stream"]) for device in ("shunt", "relay")]
    pulse, gun = Pulse(house.broker.port), hostile.Gun(house.broker.port)
    born = births(house)
    sizes: list[dict[str, float]] = []

    @seed(20_261_121)
    @settings(max_examples=SHOTS // VOLLEY, deadline=None, database=None, phases=[Phase.generate])
    @given(st.randoms(use_true_random=True))
    def volley(dice: random.Random) -> None:
        gun.fire([hostile.shot(dice.getrandbits(48), streams) for _ in range(VOLLEY)])
        assert dead(house) == []
        sizes.append(memories(house))

    try:
        volley()
        for body in hostile.suicides():
            hostile.throw(house.broker.port, body)
        sizes.append(memories(house))
    finally:
        gun.close()
        pulse.stop()
    wait_for_rest(house)
    assert pulse.wrong == []
    assert len(sizes) > SHOTS // VOLLEY
    assert {name: max(took) for name, took in pulse.took.items() if max(took) > ANSWER_S} == {}
    assert min(len(took) for took in pulse.took.values()) >= rounds(2, 5)
    assert births(house) == born
    growth = {name: size - sizes[WARM_UP][name] for name, size in sizes[-1].items()}
    assert {name: mb for name, mb in growth.items() if mb > GROWTH_MB} == {}
    said = last_words(house)
    check_counters(house, said)
    check_what_is_kept(house, pulse.values, said["statistician"]["dead_letters"])
    assert sum(len(house.log(name).splitlines()) for name in PROCESSES) < LINES
    assert max(len(line) for name in PROCESSES for line in house.log(name).splitlines()) < LONGEST_LINE
