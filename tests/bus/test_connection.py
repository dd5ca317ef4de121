"""The connection against a real Mosquitto: birth, last will, replay, sizes, refusals."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bus.connection import Connection
from bus.events import Connected, Disconnected, Link, Message, MqttEvent, Sent, Subscription
from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators.mqtt_wire import Wire, packet, publish, text
from tests.emulators.mqtt_wire import connect as wire_connect

BIRTH = "camper/service/tester"
E = TypeVar("E", bound=MqttEvent)


class Owner:
    """Stands in for a process: one queue, one connection."""

    def __init__(self, port: int, *subscriptions: Subscription, session_s: int = 0) -> None:
        self.events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
        link = Link(host="127.0.0.1", port=port, client_id="tester", session_s=session_s)
        self.connection = Connection(
            link, birth_topic=BIRTH, subscriptions=list(subscriptions), emit=self.events.put
        )
        self.connection.start()

    def next(self, kind: type[E]) -> E:
        """The next event of a kind; others are passed over."""
        while True:
            event = self.events.get(timeout=40)
            if isinstance(event, kind):
                return event


Start = Callable[..., Owner]


@pytest.fixture
def start(broker: Mosquitto) -> Iterator[Start]:
    owners: list[Owner] = []

    def make(*subscriptions: Subscription, session_s: int = 0) -> Owner:
        owner = Owner(broker.port, *subscriptions, session_s=session_s)
        owner.next(Connected)
        owners.append(owner)
        return owner

    yield make
    for owner in owners:
        owner.connection.stop()


def test_birth_and_farewell(broker: Mosquitto, start: Start) -> None:
    client = Client(broker.port, "camper/#")
    owner = start()
    assert client.on(BIRTH) == b"online"
    owner.connection.stop()
    assert client.wait(lambda m: m.topic == BIRTH and m.payload == b"offline").qos == 1
    client.close()


def test_a_killed_process_is_declared_offline_by_the_broker(broker: Mosquitto) -> None:
    client = Client(broker.port, "camper/#")
    code = (
        "import time; from tests.bus.test_connection import Owner; from bus.events import Connected;"
        f"Owner({broker.port}).next(Connected); print('up', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"up\n"
    victim.kill()
    victim.communicate()
    client.wait(lambda m: m.topic == BIRTH and m.payload == b"offline")
    client.close()


def test_a_broker_that_forgot_everything_is_told_again(broker: Mosquitto, start: Start) -> None:
    owner = start(Subscription(filter="camper/set/relay/+", retained=False))
    owner.connection.publish("camper/about/relay", b"{}", retain=True)
    owner.connection.publish("camper/availability/relay", b"online", retain=True)
    owner.connection.publish("camper/about/gone", b"{}", retain=True)
    owner.connection.publish("camper/about/gone", b"", retain=True)
    broker.kill()
    owner.next(Disconnected)
    broker.start()
    assert owner.next(Connected).generation == 2
    client = Client(broker.port, "camper/#")
    client.on("camper/availability/relay")
    assert client.on("camper/about/relay") == b"{}"
    assert client.on(BIRTH) == b"online"
    assert client.latest("camper/about/gone") is None
    client.publish("camper/set/relay/pump", "ON")
    assert owner.next(Message).payload == b"ON", "the subscription came back too"
    client.close()


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Look again and again, for a bounded time."""
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


def test_it_is_no_longer_connected_when_it_says_so(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path).start()
    seen: queue.SimpleQueue[tuple[bool, bool]] = queue.SimpleQueue()

    def emit(event: MqttEvent) -> None:
        seen.put((isinstance(event, Connected), connection.connected))

    link = Link(host="127.0.0.1", port=broker.port, client_id="tester")
    connection = Connection(link, birth_topic=None, subscriptions=[], emit=emit)
    connection.start()
    assert seen.get(timeout=30) == (True, True)
    broker.stop()
    assert seen.get(timeout=30) == (False, False)
    connection.stop()


def test_a_ping_is_answered_by_a_broker_that_lives_and_counts_as_nothing_else_does(
    broker: Mosquitto, start: Start
) -> None:
    client = Client(broker.port, "#")
    owner = start()
    for _ in range(3):
        before = owner.connection.heard
        owner.connection.ping()
        assert wait_until(lambda before=before: owner.connection.heard > before)  # type: ignore[misc]  # a bound default
    # Of QoS 0: an acknowledgement might still be on its way.
    owner.connection.publish("camper/state/x", b"1", qos=0)
    client.on("camper/state/x")
    assert {m.topic for m in client.messages} == {BIRTH, "camper/state/x"}, "nobody sees a ping"
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        before = owner.connection.heard
        owner.connection.ping()
        for number in range(20):
            assert owner.connection.publish("camper/health/x", b"%d" % number, qos=0) is Sent.YES
        # They are on the wire, so whatever counted them by mistake has done so.
        assert wait_until(lambda: not owner.connection._client.want_write())
        assert owner.connection.heard == before
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert wait_until(lambda: owner.connection.heard > before)
    client.close()


def test_offline_is_contradicted_where_online_is_ours_and_nowhere_else(
    broker: Mosquitto, start: Start
) -> None:
    client = Client(broker.port, "camper/#")
    owner = start(Subscription(filter="camper/availability/+", retained=False))
    owner.connection.publish("camper/availability/heard", b"online", retain=True)
    owner.connection.publish("camper/availability/silent", b"offline", retain=True)
    topics = [
        "camper/availability/stranger",
        "camper/availability/silent",
        "camper/availability/heard",
        BIRTH,
    ]
    client.on("camper/availability/silent")
    since = len(client.messages)
    for topic in topics:
        owner.connection.reassert_online(Message(topic, b"online", 1, retain=True, mid=1, generation=1))
        owner.connection.reassert_online(Message(topic, b"offline", 1, retain=True, mid=1, generation=1))
    client.wait(lambda m: m.topic == BIRTH, since=since)
    said = [(m.topic, m.payload) for m in client.messages if m.payload == b"online"]
    assert said == [(topic, b"online") for topic in (BIRTH, topics[2], topics[2], BIRTH)]
    client.close()


def test_what_is_said_once_is_retained_but_not_said_again(broker: Mosquitto, start: Start) -> None:
    owner = start()
    owner.connection.retained.want("camper/availability/shunt", b"")
    assert owner.connection.say_once("camper/availability/shunt", b"offline") is Sent.YES
    assert owner.connection.retained.cleared() == [], "what stands there now must not be cleared on a connect"
    owner.connection.publish("camper/about/relay", b"{}", retain=True)
    client = Client(broker.port, "camper/#")
    assert client.on("camper/availability/shunt") == b"offline"
    client.close()
    broker.kill()
    owner.next(Disconnected)
    assert owner.connection.say_once("camper/availability/shunt", b"offline") is Sent.LATER
    broker.start()
    owner.next(Connected)
    client = Client(broker.port, "camper/#")
    client.on("camper/about/relay")
    assert client.latest("camper/availability/shunt") is None
    client.close()


def test_something_more_is_listened_to_at_once_and_on_every_connect(broker: Mosquitto, start: Start) -> None:
    client = Client(broker.port, BIRTH)
    client.publish("camper/watermark/new", "7", retain=True)
    client.close()
    owner = start(Subscription(filter="camper/set/relay/+", retained=False))
    owner.connection.listen(Subscription(filter="camper/watermark/new"))
    event = owner.events.get(timeout=40)
    assert isinstance(event, Message), "no second birth"
    assert event.payload == b"7"
    broker.kill()
    owner.next(Disconnected)
    broker.start()
    owner.next(Connected)
    client = Client(broker.port, "camper/#")
    client.publish("camper/watermark/new", "8")
    assert owner.next(Message).payload == b"8"
    client.publish("camper/set/relay/pump", "ON")
    assert owner.next(Message).payload == b"ON"
    client.close()


def test_what_is_retained_is_said_again_when_it_is_asked_for(broker: Mosquitto, start: Start) -> None:
    client = Client(broker.port, "camper/#")
    client.publish("camper/about/fridge", "x", retain=True)
    client.on("camper/about/fridge")
    owner = start(Subscription(filter="camper/about/+", as_published=False))
    assert owner.next(Message).retain
    for _ in range(3):
        owner.connection.ask("camper/about/fridge")
        again = owner.next(Message)
        assert (again.topic, again.payload, again.retain) == ("camper/about/fridge", b"x", True)
    client.publish("camper/about/fridge", "y", retain=True)
    assert owner.next(Message).payload == b"y", "what is subscribed to comes as before"
    client.publish("camper/about/other", "z")
    assert owner.next(Message).topic == "camper/about/other", "and once"
    client.close()


def test_a_trial_says_its_birth_and_nothing_else_until_it_is_settled(broker: Mosquitto) -> None:
    client = Client(broker.port, "camper/#")
    client.publish("camper/about/fridge", "x", retain=True)
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    link = Link(host="127.0.0.1", port=broker.port, client_id="tester")
    about, births = Subscription(filter="camper/about/+"), Subscription(filter=BIRTH, retained=False)
    tried = Connection(link, birth_topic=BIRTH, subscriptions=[about, births], emit=events.put)
    assert tried.publish("camper/about/mine", b"{}", retain=True) is Sent.LATER
    tried.start(trial=True)
    assert client.on(BIRTH) == b"online"
    heard = events.get(timeout=40)
    assert isinstance(heard, Message)
    assert (heard.topic, tried.on_trial, tried.connected) == (BIRTH, True, False)
    assert tried.publish("camper/about/mine", b"{}", retain=True) is Sent.LATER
    assert client.latest("camper/about/mine") is None
    tried.settle()
    assert client.on("camper/about/mine") == b"{}"
    seen = [events.get(timeout=40) for _ in range(3)]
    assert {type(one) for one in seen} >= {Connected, Message}
    assert "camper/about/fridge" in {one.topic for one in seen if isinstance(one, Message)}
    tried.stop()
    client.close()


def test_a_process_may_start_before_its_broker(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    owner = Owner(broker.port)
    assert "no broker at 127.0.0.1" in owner.next(Disconnected).reason
    assert owner.connection.publish("camper/about/x", b"{}") is Sent.LATER
    broker.start()
    owner.next(Connected)
    assert owner.connection.publish("camper/about/x", b"{}") is Sent.YES
    owner.connection.stop()
    broker.stop()


def test_what_is_too_large_is_refused_before_it_can_block_the_rest(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, max_packet=2000).start()
    client = Client(broker.port, "camper/#")
    owner = Owner(broker.port)
    owner.next(Connected)
    assert owner.connection.largest == 2000
    assert owner.connection.publish("camper/state/big", b"x" * 2000) is Sent.NEVER
    assert owner.connection.publish("camper/state/fits", b"x" * 1900) is Sent.YES
    assert client.on("camper/state/fits") == b"x" * 1900
    assert owner.connection.oversize == 1
    assert owner.connection.generation == 1, "never disconnected"
    owner.connection.stop()
    client.close()
    broker.stop()


def test_a_publication_the_broker_refuses_is_counted(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite camper/#\n")
    acl.chmod(0o644)
    broker = Mosquitto(tmp_path, extra=f"acl_file {acl}\n").start()
    client = Client(broker.port, "camper/#")
    owner = Owner(broker.port)
    owner.next(Connected)
    owner.connection.publish("forbidden/topic", b"x")
    owner.connection.publish("camper/state/fine", b"x")
    client.on("camper/state/fine")
    while owner.connection.refused == 0:
        owner.connection.publish("camper/state/fine", b"x")
    assert "Not authorized" in str(owner.connection.last_refusal)
    owner.connection.stop()
    client.close()
    broker.stop()


def test_retained_commands_of_the_past_are_not_sent_to_us_and_new_ones_are_marked(
    broker: Mosquitto, start: Start
) -> None:
    client = Client(broker.port)
    client.publish("camper/set/relay/pump", "OLD", retain=True)
    owner = start(Subscription(filter="camper/set/+/+", retained=False))
    client.publish("camper/set/relay/pump", "NEW", retain=True)
    message = owner.next(Message)
    assert (message.payload, message.retain) == (b"NEW", True)
    client.close()


def test_what_was_not_acknowledged_comes_again(broker: Mosquitto) -> None:
    subscription = Subscription(filter="camper/state/+")
    first = Owner(broker.port, subscription, session_s=60)
    first.next(Connected)
    client = Client(broker.port)
    client.publish("camper/state/a", "1")
    client.publish("camper/state/b", "2")
    one, two = first.next(Message), first.next(Message)
    first.connection.acknowledge(one)
    first.connection.stop()
    second = Owner(broker.port, subscription, session_s=60)
    again = second.next(Message)
    assert (again.topic, again.payload) == (two.topic, two.payload)
    second.connection.acknowledge(two)
    assert two.generation == second.connection.generation == 1
    second.connection.stop()
    client.close()


def test_request_properties_reach_the_service(broker: Mosquitto, start: Start) -> None:
    owner = start(Subscription(filter="camper/request/#", retained=False))
    client = Client(broker.port, "camper/response/#")
    client.publish("camper/request/a/b", "{}", response_topic="camper/response/me", correlation=b"\x01")
    message = owner.next(Message)
    assert (message.response_topic, message.correlation) == ("camper/response/me", b"\x01")
    owner.connection.publish("camper/response/me", b"{}", correlation=message.correlation)
    answer = client.wait(lambda m: m.topic == "camper/response/me")
    assert getattr(answer.properties, "CorrelationData", None) == b"\x01"
    client.close()


def test_what_the_broker_has_is_not_kept(start: Start) -> None:
    owner = start()
    for number in range(60):
        assert owner.connection.publish(f"camper/response/page/{number}", b"x" * 48_000) is Sent.YES
    # It waits for the broker's answer to its last word.
    owner.connection.stop()
    # One whose answer came in between may be left over.
    assert len(owner.connection._handed) < 5


def test_a_burst_comes_whole_and_in_order_and_is_acknowledged_together(broker: Mosquitto) -> None:
    owner = Owner(broker.port, Subscription(filter="camper/state/+"))
    owner.next(Connected)
    with Wire(broker.port, wire_connect("speaker")) as wire:
        volley = [publish("camper/state/x", b"%d" % n * (n % 90), qos=n % 2, mid=n + 1) for n in range(3000)]
        assert wire.send(volley)
        found: list[Message] = []
        while len(found) < len(volley):
            # The broker sends no more than it may have under way.
            some = [owner.next(Message)]
            while not owner.events.empty():
                some.append(owner.next(Message))
            owner.connection.acknowledge(*some)
            found += some
        assert wire.settle()
    for qos in (0, 1):
        assert [m.payload for m in found if m.qos == qos] == [
            b"%d" % n * (n % 90) for n in range(qos, 3000, 2)
        ]
    owner.connection.stop()


class FakeBroker:
    """Accepts so many connections (3.2: CONNACK), says something, and hears what comes."""

    def __init__(self, said: bytes, connections: int) -> None:
        self._connections = connections
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(20)
        self.port = self._server.getsockname()[1]
        self._said = said
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for _ in range(self._connections):
            sock, _ = self._server.accept()
            with sock:
                sock.settimeout(20)
                self.heard.append(sock.recv(4096))
                sock.sendall(b"\x20\x03\x00\x00\x00" + self._said)
                # Until the client has had enough.
                while data := sock.recv(4096):
                    self.heard.append(data)

    def close(self) -> None:
        """Accept nobody any more."""
        self._thread.join(20)
        self._server.close()


@pytest.mark.parametrize(
    "said",
    [
        b"\x30\xff\xff\xff\xff\x01",
        b"\x36\x05\x00\x01t\x00\x01",
        b"\x30\x02\x00\x09",
        packet(0x34, text("t") + b"\0\1\0"),
        b"\x00\x00",
        b"\x90\x01\x00",
    ],
)
def test_a_broker_that_speaks_no_mqtt_is_left_and_tried_again(said: bytes) -> None:
    fake = FakeBroker(said, 2)
    owner = Owner(fake.port)
    owner.next(Disconnected)
    # What was half read is not the beginning of the next connection.
    owner.next(Connected)
    owner.connection.stop()
    fake.close()


def test_a_topic_that_is_no_text_is_acknowledged_counted_and_nothing_more() -> None:
    good = packet(0x30, text("camper/state/x") + b"\0" + b"1")
    fake = FakeBroker(packet(0x32, text(b"\xff\xfe") + b"\x01\x02\0" + b"x") + good, 1)
    owner = Owner(fake.port)
    assert owner.next(Message).payload == b"1"
    assert wait_until(lambda: b"\x40\x02\x01\x02" in b"".join(fake.heard))
    assert owner.connection.refused == 1
    owner.connection.stop()
    fake.close()
