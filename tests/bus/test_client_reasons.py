"""What a person reads when the broker refuses, ends or cannot be reached: on real sockets."""

import queue
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bus import client, reach
from bus.connection import Connection
from bus.events import Disconnected, Link, MqttEvent
from scripts.broker import wait_until
from tests.broker import Mosquitto
from tests.ports import free_port
from tests.servers import certificate, says, server, tls_server

# MQTT 5, table 2-6: the codes of CONNACK and DISCONNECT that a server may send to us.
REFUSALS = {
    0x80: "Unspecified error",
    0x86: "Bad user name or password",
    0x87: "Not authorized",
    0x89: "Server busy",
    0x8A: "Banned",
    0x9D: "Server moved",
    0x9F: "Connection rate exceeded",
}
WRONG = "wrong"
ENDINGS = {0x8B: "Server shutting down", 0x8E: "Session taken over", 0x97: "Quota exceeded"}


def first(link: Link) -> MqttEvent:
    """Connect; return the first thing that is told."""
    return told(link, 1)[0]


def told(link: Link, count: int) -> list[MqttEvent]:
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    connection = Connection(link, birth_topic=None, subscriptions=[], emit=events.put)
    connection.start()
    try:
        return [events.get(timeout=30) for _ in range(count)]
    finally:
        connection.stop()


def sentence(link: Link) -> str:
    """Why there is no connection."""
    event = first(link)
    assert isinstance(event, Disconnected), event
    return event.reason


def link(port: int, *, host: str = "127.0.0.1", tls_ca: str | None = None) -> Link:
    return Link(host=host, port=port, client_id="asker", tls_ca=tls_ca)


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_said_by_its_name_and_stays_what_is_said(code: int) -> None:
    # CONNACK: no session, the code, no properties.
    with server(says(bytes([0x20, 3, 0, code, 0]))) as port:
        said = [event.reason for event in told(link(port), 2) if isinstance(event, Disconnected)]
    assert said == [said[0]] * 2, "the end of the socket is no news"
    assert said[0].startswith(f"the broker at 127.0.0.1:{port} refused us: {REFUSALS[code]} (")


@pytest.mark.parametrize("code", ENDINGS)
def test_an_end_with_a_reason_is_told_with_it(code: int) -> None:
    with server(says(bytes([0x20, 3, 0, 0, 0, 0xE0, 2, code, 0]))) as port:
        said = [event.reason for event in told(link(port), 2) if isinstance(event, Disconnected)]
    assert said[0].startswith(f"the broker at 127.0.0.1:{port} ended the connection: {ENDINGS[code]} (")


def test_a_connection_that_is_cut_has_no_invented_reason() -> None:
    with server(says(bytes([0x20, 3, 0, 0, 0]))) as port:
        said = [event.reason for event in told(link(port), 2) if isinstance(event, Disconnected)]
    assert said == [f"the connection to the broker at 127.0.0.1:{port} was cut"]


def test_two_clients_of_one_id_are_told_by_a_real_broker(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path).start()
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    two = [Connection(link(broker.port), birth_topic=None, subscriptions=[], emit=events.put) for _ in "ab"]
    for one in two:
        one.start()
    said = ""
    while "again and again: perhaps another client has our client id" not in said:
        event = events.get(timeout=30)
        said = event.reason if isinstance(event, Disconnected) else said
    assert eventually(lambda: all(one.connected for one in two)), "both, and for good"
    assert not eventually(lambda: not all(one.connected for one in two), 5)
    for one in two:
        one.stop()
    broker.stop()


def eventually(true: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it becomes true within so many seconds."""
    return wait_until(true, lambda: False, seconds)


def test_a_network_that_is_cut_now_and_then_is_no_second_client() -> None:
    cuts = client.Cuts()
    assert {cuts.words(lived) for lived in (1, 1, 60, 1, 1, 3600)} == {"was cut"}
    assert [cuts.words(1) for _ in range(3)][-1].startswith("was cut again and again: ")


def test_a_wrong_password_is_told_by_a_real_broker(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "van", "right"], check=True)
    passwords.chmod(0o644)
    strict = f"password_file {passwords}\n"
    broker = Mosquitto(tmp_path, extra=strict)
    broker._conf.write_text(broker._conf.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    broker.start()
    said = sentence(replace(link(broker.port), username="van", password=WRONG))
    broker.stop()
    assert said == (
        f"the broker at 127.0.0.1:{broker.port} refused us: Not authorized "
        "(check [broker] username and the secret file broker__password, and the broker's ACL)"
    )


def test_nothing_that_listens_and_no_such_name() -> None:
    port = free_port()
    assert sentence(link(port)) == (
        f"no broker at 127.0.0.1:{port}: nothing listens there; is it running, and is [broker] port right?"
    )
    unknown = "nobody knows this name here; check [broker] host, or use the address"
    assert sentence(link(port, host="a..b")) == f"no broker at a..b:{port}: {unknown}"
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert reach.unreachable(link(1, host="van.local"), error) == f"no broker at van.local:1: {unknown}"
    for other, word in (
        (TimeoutError(), "is that machine on"),
        (OSError(113, "No route to host"), "No route"),
    ):
        assert word in reach.unreachable(link(1, host="van.local"), other)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes the certificates")
def test_what_is_wrong_with_tls_is_told(tmp_path: Path) -> None:
    here, elsewhere = certificate(tmp_path, "localhost"), certificate(tmp_path, "van.local")
    with tls_server(here) as port:
        # Trusted, and so far it gets: this server hangs up.
        assert "hangs up before it answers" in sentence(link(port, host="localhost", tls_ca=str(here)))
        assert f"not from the authority in [broker] tls_ca ({elsewhere})" in sentence(
            link(port, host="localhost", tls_ca=str(elsewhere))
        )
        assert "does it want TLS ([broker] tls_ca)?" in sentence(link(port))
    with tls_server(elsewhere) as port:
        assert "for another name than localhost; set [broker] host to" in sentence(
            link(port, host="localhost", tls_ca=str(elsewhere))
        )


def test_a_file_of_authorities_that_is_missing_or_holds_none_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.crt", tmp_path / "empty.crt"
    empty.write_text("this is no certificate")
    with server(says(b"")) as port:
        assert f"[broker] tls_ca: {missing}: No such file" in sentence(link(port, tls_ca=str(missing)))
        assert f"[broker] tls_ca: {empty} holds no certificate" in sentence(link(port, tls_ca=str(empty)))


def test_a_port_without_tls_is_told(tmp_path: Path) -> None:
    trusted = certificate(tmp_path, "localhost")
    with server(says(b"\x20\x03\x00\x00\x00 no TLS at all")) as port:
        assert "this port speaks no TLS" in sentence(link(port, host="localhost", tls_ca=str(trusted)))
    broker = Mosquitto(tmp_path).start()
    said = sentence(link(broker.port, host="localhost", tls_ca=str(trusted)))
    broker.stop()
    assert said.startswith(f"no broker at localhost:{broker.port}"), said
    assert "is this its port for MQTT with TLS, often 8883?" in said


def test_a_file_that_comes_late_is_read(tmp_path: Path) -> None:
    """Trust is looked up at each try: no process must be restarted for a renewed authority."""
    late = tmp_path / "ca.crt"
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    made = certificate(tmp_path, "localhost")
    with tls_server(made) as port:
        connection = Connection(
            link(port, host="localhost", tls_ca=str(late)),
            birth_topic=None,
            subscriptions=[],
            emit=events.put,
        )
        connection.start()
        before = events.get(timeout=30)
        shutil.copy(made, late)
        after = events.get(timeout=30)
        connection.stop()
    assert isinstance(before, Disconnected)
    assert isinstance(after, Disconnected)
    assert ("No such file" in before.reason, "hangs up" in after.reason) == (True, True)


def test_a_publication_without_a_right_is_told_in_words() -> None:
    assert client.words(0x87, "Not authorized", topic=True) == (
        "Not authorized (the broker's ACL gives this user no right to it)"
    )
    assert client.words(0xFE, "New one") == "New one"
