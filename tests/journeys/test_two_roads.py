"""The statistician dies, hangs or stores nothing: the house sees and switches; afterwards all is stored."""

import itertools
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage

from bus.messages import from_iso
from bus.outbox import WINDOW
from tests.emulators import victron
from tests.journeys.house import COMPANY, House
from tests.rounds import some

KEY = bytes(range(16))
ADDRESS = "C0:00:00:00:00:01"
STATE, SERVICE = "camper/state/shunt", "camper/service/statistician"
# Seconds that a watermark may stand still.
STANDS_STILL = 10.0
# Seconds until the backlog flows once the statistician is there.
FLOWS_WITHIN = 5.0
SETTINGS = f"""
[publish]
min_interval = 0
scalars = false
[controller]
pins = "simulated"
[relay.fridge]
pin = 17
[relay.pump]
pin = 27
only_if = ["shunt.voltage > 11"]
[battery_guard]
relay = "fridge"
source = "shunt.voltage"
disconnect_below = 11.8
disconnect_after = 0
reconnect_above = 12.8
reconnect_after = 0
[device.shunt]
kind = "victron_battery_monitor"
address = "{ADDRESS}"
key = "{KEY.hex()}"
"""


class Van(House):
    """A house with a battery monitor; each reading has a current that no other has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SETTINGS)
        self.said: list[float] = []
        # Readings that were in a database that is lost.
        self.forgotten = 0
        self._iv = itertools.count(1)

    def read(self, count: int, voltage: float = 13.0) -> None:
        """Take readings, and see that each is live."""
        for _ in range(count):
            since = len(self.client.messages)
            current = round(0.5 + len(self.said) * 0.5, 2)
            monitor = victron.BatteryMonitor(current=current, voltage=voltage)
            record = victron.battery_monitor(monitor, KEY, iv=next(self._iv) & 0xFFFF)
            assert self.bluez.advertise(ADDRESS, {COMPANY: record})
            self.said.append(current)
            text = f'"current":{current}'.encode()
            self.client.wait(lambda m, t=text: m.topic == STATE and t in m.payload, patience=20, since=since)  # type: ignore[misc]  # a bound default

    def relay(self, relay: str, value: str) -> dict[str, str]:
        """Command a relay; returns the answer."""
        since = len(self.client.messages)
        self.client.publish(f"camper/set/relay/{relay}", value)
        answer: dict[str, str] = json.loads(self.client.on(f"camper/result/relay/{relay}", since=since))
        return answer

    def sees_and_switches(self) -> None:
        """Live readings move on, guard and conditions follow them."""
        self.read(WINDOW + 50)
        assert self.relay("fridge", "ON")["status"] == self.relay("pump", "ON")["status"] == "ok"
        self.read(1, voltage=10.0)
        self.tells(fridge="OFF", pump="OFF", battery_guard="ON")
        assert self.relay("pump", "ON")["code"] == "interlock"
        self.read(1, voltage=13.2)
        self.tells(battery_guard="OFF")
        assert self.relay("pump", "ON")["status"] == "ok"

    def tells(self, **values: str) -> None:
        """Wait until the relays' newest reading says this."""
        self.client.wait(
            lambda m: m.topic == "camper/state/relay" and values.items() <= json.loads(m.payload).items(),
            since=self.client.messages.index(self._newest(STATE)),
        )

    def _newest(self, topic: str) -> MQTTMessage:
        return next(m for m in reversed(self.client.messages) if m.topic == topic)

    def stores_all(self) -> None:
        """Wait until the outbox is empty; all that was said is in the database, and no old value was live."""
        newest = json.loads(self._newest(STATE).payload)
        topic = f"camper/watermark/{newest['stream']}"
        self.client.wait(lambda m: m.topic == topic and m.payload != b"" and int(m.payload) >= newest["seq"])
        said = [json.loads(payload) for payload in self.payloads(STATE)[self.forgotten :]]
        # Of two in one millisecond the last counts.
        wanted = {from_iso(one["ts"]): one["current"] for one in said}
        assert wanted.items() - dict(self.stored()["shunt", "current"]).items() == set()
        for device in ("shunt", "relay"):
            seqs = [json.loads(p)["seq"] for p in self.payloads(f"camper/state/{device}")]
            assert seqs == sorted(seqs), "an old reading was said as the present one"

    def payloads(self, topic: str) -> list[bytes]:
        """All that was said on a topic."""
        return [bytes(m.payload) for m in self.client.messages if m.topic == topic]

    def backlog(self, since: int = 0) -> list[MQTTMessage]:
        """What the collector sent again."""
        return [
            m for m in self.client.messages[since:] if m.topic.startswith("camper/backlog/collector_ble/")
        ]


@pytest.fixture
def van(tmp_path: Path) -> Iterator[Van]:
    with Van(tmp_path) as van:
        van.start("statistician", "controller", "collector_ble")
        van.read(3)
        yield van


def kill(van: Van) -> None:
    """Without a goodbye."""
    since = len(van.client.messages)
    van.kill("statistician")
    van.client.wait(lambda m: m.topic == SERVICE and m.payload == b"offline", since=since)


def forgets_the_watermarks(van: Van) -> None:
    """The broker's memory goes too."""
    kill(van)
    van.broker.kill()
    van.broker.start()


def forgets_the_stream(van: Van) -> None:
    """And its database is another."""
    forgets_the_watermarks(van)
    van.forgotten = len(van.payloads(STATE))
    for path in van.folder.glob("statistics.db*"):
        shutil.move(path, van.folder / f"lost-{path.name}")


@pytest.mark.parametrize(
    "end", some((kill, forgets_the_watermarks, forgets_the_stream), (kill, forgets_the_stream))
)
def test_a_dead_statistician_holds_up_nothing_and_gets_all_when_it_is_back(
    van: Van, end: Callable[[Van], None]
) -> None:
    end(van)
    since = len(van.client.messages)
    van.sees_and_switches()
    assert van.backlog(since) == [], "nobody would take it"
    since = len(van.client.messages)
    van.start("statistician")
    came = van.client.wait(lambda m: m.topic == SERVICE and m.payload == b"online", since=since)
    first = van.client.wait(lambda m: m.topic.startswith("camper/backlog/collector_ble/"), since=since)
    assert first.timestamp - came.timestamp < FLOWS_WITHIN
    assert json.loads(first.payload)["device"] == "shunt"
    assert not any(m.retain for m in van.backlog())
    van.stores_all()


def test_a_stopped_statistician_holds_up_nothing(van: Van) -> None:
    process = van._running["statistician"]
    process.send_signal(signal.SIGSTOP)
    try:
        van.sees_and_switches()
    finally:
        process.send_signal(signal.SIGCONT)
    van.stores_all()


def test_a_statistician_that_cannot_store_holds_up_nothing(van: Van) -> None:
    with closing(sqlite3.connect(van.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        van.sees_and_switches()
        other.execute("ROLLBACK")
    van.stores_all()


def test_in_a_healthy_house_nothing_is_sent_twice(van: Van) -> None:
    for _ in range(3):
        since = len(van.client.messages)
        van.read(10)
        first = van.client.messages[since].timestamp
        van.stores_all()
        # Only what waited is sent again: on a busy machine the statistician itself may be late.
        late = van.client.messages[-1].timestamp - first > STANDS_STILL
        again = [m.payload for m in van.backlog(since)]
        assert late or again == []
    assert not (van.folder / "state" / "collector_ble.outbox").exists()
