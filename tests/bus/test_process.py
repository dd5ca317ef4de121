"""What every process tells of itself, whatever it does; and of two with one name, which of them leaves."""

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest
from paho.mqtt.client import MQTTMessage

from bus.clock import Clock
from bus.events import Link, Message, Sent
from bus.inbox import OF_ONE
from bus.process import AGAIN_S, HEALTH_EVERY_S, PATIENCE_S, Duplicates, Process, Step
from bus.topics import Topics
from config.model import Broker
from scripts.broker import wait_until
from tests.broker import Mosquitto
from tests.client import PATIENCE, Client
from tests.clock import NOON_MS, Machine


class Idle:
    """A service that does nothing."""

    def handle(self, event: object) -> None:
        """Nothing comes."""

    def tick(self, now: float) -> float:
        """Nothing is due."""
        del now
        return 0.0

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Nothing comes."""

    def close(self) -> None:
        """Nothing is open."""

    def waiting(self) -> int | None:
        """Nothing waits."""
        return None


def test_health_says_where_the_time_comes_from(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    house = machine.process()
    link = Link.of(Broker(), "idle", "part")
    process = Process("idle", link=link, topics=Topics(), clock=house, subscriptions=[])
    told: list[dict[str, dict[str, str]]] = []

    def publish(_topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        del qos, retain
        told.append(json.loads(payload))

    monkeypatch.setattr(process.connection, "publish", publish)

    def health() -> tuple[str, list[str]]:
        machine.pass_(2)
        house.poll()
        process._work(Idle())
        return told[-1]["facts"]["clock"], list(told[-1]["problems"])

    assert health()[0].startswith("estimated since the start, from the machine")
    machine.store(NOON_MS + 3_600_000, boot_id="another")
    assert health()[0].startswith("estimated since the start, from the newest stored time")
    machine.anchor.write_bytes(b"{")
    assert health()[1] == ["clock"]
    machine.synced = True
    assert health() == ("synchronised", [])
    count = len(told)
    assert health()[0] == "synchronised"
    assert len(told) == count, "only what changed is told at once"


class Working(Idle):
    """A service whose every turn takes long, and which notes how many pings there were by its end."""

    def __init__(self, machine: Machine, heard: Callable[[], int]) -> None:
        self._machine = machine
        self._heard = heard
        self.turns: list[int] = []

    def tick(self, now: float) -> float:
        """Take 20 s."""
        del now
        self._machine.pass_(20)
        self.turns.append(self._heard())
        return 0.0


def test_the_loop_that_works_is_the_one_that_tells_the_watchdog(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        pings = 0

        def heard() -> int:
            nonlocal pings
            try:
                while True:
                    pings += manager.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return pings

        house = machine.process()
        link = Link.of(Broker(), "idle", "part")
        process = Process("idle", link=link, topics=Topics(), clock=house, subscriptions=[])
        service = Working(machine, heard)
        for _ in range(6):
            house.poll()
            process._work(service)
    # One at the start, then one each 30 s at least; while a turn lasts, however long, there is none.
    assert service.turns == [0, 1, 1, 2, 2, 3]


def test_the_younger_of_two_on_a_broker_leaves_it_with_a_sentence_and_comes_back_when_the_other_is_gone(
    machine: Machine, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    house = machine.process()
    topic = "camper/service/idle"
    client = Client(broker.port, topic, "camper/about/+")
    made = [_named(instance, broker.port, house) for instance in ("1-old", "2-young")]
    for one in made:
        one.connection.start()
        client.wait(lambda m, i=one: says(m) == i.connection._link.instance)  # type: ignore[misc]  # a bound default
    # Each hears that it is connected, itself and whoever comes after it.
    _take(made[0], 3)
    _take(made[1], 2)
    for turn in range(9):
        machine.pass_(2)
        for one in made:
            one._look_after(Idle(), machine.boottime)
        if made[1]._duplicates.away:
            break
        for one in made:
            # At first only the older has heard of the other.
            _take(one, 2 if turn else 1)
    old, young = made
    assert [one._duplicates.away for one in made] == [False, True]
    assert (
        "another idle is on this broker with the base topic camper: give each house a [broker] base"
        in caplog.text
    )
    assert _go_on(lambda: "broker" in young.journal.problems, machine, old, young)
    assert "was on this broker first: this one stays off it" in young.journal.problems["broker"]
    assert young.connection.publish("camper/about/idle", b"{}", retain=True) is Sent.LATER
    # A will that comes after all is contradicted by the older.
    assert _go_on(lambda: client.latest(topic) == b"online", machine, old, young)
    for _ in range(3):
        machine.pass_(31)
        assert _go_on(lambda: young.connection.on_trial, machine, young)
        assert _go_on(lambda: not young.connection.on_trial, machine, old, young)
    assert _go_on(lambda: client.latest(topic) == b"online", machine, old, young)
    assert client.latest("camper/about/idle") is None
    assert "instance" in old.journal.problems

    old.connection.stop()
    machine.pass_(31)
    assert _go_on(lambda: young.connection.on_trial, machine, young)
    _go_on(lambda: False, machine, young, seconds=1)
    machine.pass_(6)
    assert _go_on(lambda: young.connection.connected and not young.journal.problems, machine, young)
    about = Client(broker.port, "camper/about/idle")
    assert about.on("camper/about/idle") == b"{}", "what it had to say is said now"
    about.close()
    for one in made:
        one.connection.stop()
    client.close()


def test_a_flood_is_told_and_over_when_it_is_over(machine: Machine) -> None:
    process = _named("x", 1, machine.process())
    request = Message("camper/request/idle/info", b"{}", 0, retain=False, mid=0, generation=1)
    for _ in range(100):
        process.emit(request)
    machine.pass_(40)
    process._look_after(Idle(), machine.boottime)
    assert "a client sends without pause" in process.journal.problems["flood"]
    assert process.journal.counters["dropped_requests"] == 100 - OF_ONE
    machine.pass_(HEALTH_EVERY_S)
    process._look_after(Idle(), machine.boottime)
    assert "flood" not in process.journal.problems


def says(message: MQTTMessage) -> str | None:
    """Which process a birth is of."""
    return dict(getattr(message.properties, "UserProperty", ())).get("instance")


def _named(instance: str, port: int, clock: Clock) -> Process:
    link = Link.of(Broker(port=port), "idle", instance, instance=instance)
    return Process("idle", link=link, topics=Topics(), clock=clock, subscriptions=[])


def _go_on(true: Callable[[], bool], machine: Machine, *processes: Process, seconds: float = 20) -> bool:
    """Let processes take what comes, until something is true; False if it does not become so."""

    def look() -> bool:
        for one in processes:
            with suppress(Empty):
                while True:
                    one._dispatch(Idle(), one._inbox.get())
            one._look_after(Idle(), machine.boottime)
        return true()

    return wait_until(look, lambda: False, seconds)


def _take(process: Process, count: int) -> None:
    for _ in range(count):
        process._dispatch(Idle(), process._inbox.get(timeout=PATIENCE))


OLD, YOUNG = "000000000000100-aa", "000000000000200-bb"


def talk(seconds: int, *, stops: str | None = None, after: float = 0.0) -> tuple[Duplicates, Duplicates]:
    """Both of them, told each other's word each second that it is due; `stops` says no more after a time."""
    old, young = Duplicates(OLD), Duplicates(YOUNG)
    for now in range(seconds):
        for one, other in ((young, old), (old, young)):
            silent = one.mine == stops and now > after
            if (now == 0 or one.due(now)) and not silent and not one.lost:
                other.hear(one.mine, now)
                one.hear(one.mine, now)
    return old, young


def test_the_younger_leaves_within_ten_seconds_and_the_older_stays() -> None:
    assert PATIENCE_S + AGAIN_S <= 10
    old, young = talk(int(PATIENCE_S))
    assert (old.lost, young.lost) == (False, False)
    old, young = talk(int(PATIENCE_S) + 2)
    assert (old.lost, young.lost) == (False, True)


@pytest.mark.parametrize("dead", [OLD, YOUNG])
def test_what_a_dead_one_left_behind_ends_nobody(dead: str) -> None:
    old, young = talk(600, stops=dead, after=PATIENCE_S - AGAIN_S)
    left = young if dead == OLD else old
    assert (left.lost, left.present(599)) == (False, False)


def test_its_own_word_is_no_rival() -> None:
    alone = Duplicates(OLD)
    for now in range(200):
        alone.hear(OLD, now)
    assert (alone.present(200), alone.due(200), alone.lost) == (False, False, False)


def test_two_rivals_one_after_the_other_are_not_one_that_stays() -> None:
    young = Duplicates(YOUNG)
    for now in range(0, 60, 2):
        young.hear(f"00000000000010{now // 6}-cc", now)
        assert not young.lost


def test_one_that_is_heard_again_after_an_hour_begins_anew() -> None:
    young = Duplicates(YOUNG)
    for now in (0, 3_600, 3_610):
        young.hear(OLD, now)
    assert (young.present(3_611), young.lost) == (True, False)


def test_words_with_long_pauses_between_them_are_not_one_that_stays() -> None:
    young = Duplicates(YOUNG)
    for now in range(0, 300, int(PATIENCE_S) + 1):
        young.hear(OLD, now)
        assert not young.lost


def test_who_is_not_answered_is_silent_soon_until_the_other_speaks() -> None:
    one = Duplicates(YOUNG)
    one.hear(OLD, 0)
    assert [now for now in range(20) if one.due(now)] == [0, 2, 4, 6, 8]
    one.hear(OLD, 30)
    assert one.due(30)
    assert one.present(80), "health tells of it until what stays away has looked again"


def test_they_do_not_shout_at_each_other() -> None:
    one = Duplicates(YOUNG)
    said = 0
    for now in range(50):
        one.hear(OLD, now)
        said += one.due(now)
    assert said == 50 / AGAIN_S


def test_who_left_looks_every_half_minute_and_comes_back_once_nobody_answers() -> None:
    young = Duplicates(YOUNG)
    young.leave(100)
    assert {young.step(now, there=False) for now in range(100, 130)} == {Step.WAIT}
    assert (young.step(130, there=False), young.step(131, there=True)) == (Step.LOOK, Step.WAIT)
    young.hear(OLD, 132)
    assert (young.step(132, there=True), young.step(133, there=False)) == (Step.LEAVE, Step.WAIT)
    assert young.step(162, there=False) is Step.LOOK
    # The broker is away for an hour: that is no silence of the other.
    assert {young.step(now, there=False) for now in range(163, 3_763)} == {Step.WAIT}
    assert [young.step(now, there=True) for now in range(3_763, 3_769)] == [Step.WAIT] * 5 + [Step.ENTER]
    assert not young.away
