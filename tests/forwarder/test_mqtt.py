"""Records on another broker: a real Mosquitto, and one that does not do what it should."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho

from bus.events import Disconnected
from forwarder.outputs import RefusedError, SendError, TooLargeError
from forwarder.outputs.mqtt import MqttSink
from tests.broker import Mosquitto
from tests.forwarder.rig import AT, REMOVED, SAMPLE, place, row, soc
from tests.ports import free_port
from tests.servers import Speak, certificate, says_nothing, server

Heard = list[tuple[str, bytes, bool]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    made.start()
    yield made
    made.stop()


class Listener:
    """A client of its own that hears all of it."""

    def __init__(self, port: int) -> None:
        self.heard: Heard = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)  # type: ignore[attr-defined]  # paho re-exports it
        self._client.on_message = lambda *said: self.heard.append(
            (said[2].topic, said[2].payload, said[2].retain)
        )
        self._client.connect("127.0.0.1", port)
        self._ready = False
        self._client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        self._client.subscribe("#", 1)
        while not self._ready:
            self._client.loop(0.05)

    def hear(self, count: int) -> Heard:
        """Wait for so many messages."""
        while len(self.heard) < count:
            assert self._client.loop(10) == paho.MQTT_ERR_SUCCESS
        return self.heard


def sink(folder: Path, port: int, **settings: object) -> MqttSink:
    return MqttSink(
        place(folder, "mqtt", **({"url": f"mqtt://127.0.0.1:{port}", "timeout": 10.0} | settings))
    )


def test_each_record_is_a_message_on_its_topic(tmp_path: Path, broker: Mosquitto) -> None:
    listener = Listener(broker.port)
    output = sink(tmp_path, broker.port)
    output.send([soc(), soc("bulk", 1), row(2), REMOVED])
    output.send([SAMPLE])
    output.close()
    heard = listener.hear(5)
    assert [topic for topic, _, _ in heard] == ["boondock/smartshunt/soc"] * 4 + ["boondock/samples"]
    assert [json.loads(payload) for _, payload, _ in heard[:2]] == [
        {"entity": "smartshunt.soc", "ts": "2026-11-21T06:40:10.512Z", "value": 97.5, "unit": "%"},
        {"entity": "smartshunt.soc", "ts": "2026-11-21T06:40:10.513Z", "value": "bulk", "unit": "%"},
    ]
    assert json.loads(heard[2][1])["rev"] == 2
    assert json.loads(heard[3][1])["removed"] == "reading"


def test_a_topic_and_a_text_of_ones_own(tmp_path: Path, broker: Mosquitto) -> None:
    listener = Listener(broker.port)
    output = sink(tmp_path, broker.port, topic="vans/12/{device}/{entity}/{id}", template="{value} {unit}")
    output.send([soc()])
    output.close()
    periods = sink(tmp_path, broker.port, topic="{period}/{key}")
    periods.send([soc(), row(), REMOVED, SAMPLE])
    periods.close()
    first, *others = listener.hear(5)
    assert first == ("vans/12/smartshunt/soc/soc", b"97.5 %", False)
    assert [topic for topic, _, _ in others] == [
        f"reading/smartshunt.soc@{AT}",
        f"hour/smartshunt.soc/hour@{AT}",
        f"reading/smartshunt.soc/removed/reading@{AT}-{AT + 1000}",
        f"sample/@{AT}",
    ]


def test_a_batch_of_any_size_arrives_whole_and_in_order(tmp_path: Path, broker: Mosquitto) -> None:
    listener = Listener(broker.port)
    output = sink(tmp_path, broker.port)
    for start in (0, 1000):
        output.send([soc(float(number), number) for number in range(start, start + 1000)])
    output.close()
    assert [json.loads(payload)["value"] for _, payload, _ in listener.hear(2000)] == list(range(2000))


def test_the_newest_is_retained_if_asked(tmp_path: Path, broker: Mosquitto) -> None:
    output = sink(tmp_path, broker.port, retain=True)
    output.send([soc(), soc(98.0, 1), REMOVED])
    output.close()
    ((_, payload, retained),) = Listener(broker.port).hear(1)
    assert (json.loads(payload)["value"], retained) == (98.0, True)


def test_a_broker_that_is_gone_is_told_and_found_again(tmp_path: Path, broker: Mosquitto) -> None:
    output = sink(tmp_path, broker.port)
    output.send([soc()])
    broker.kill()
    with pytest.raises(SendError) as caught:
        output.send([soc(1.0, 1)])
    with pytest.raises(
        SendError, match=f"no broker at 127.0.0.1:{broker.port}: nothing listens there"
    ) as gone:
        output.send([soc(1.0, 1)])
    assert type(caught.value) is type(gone.value) is SendError
    assert "is the port in url right?" in str(gone.value)
    broker.start()
    listener = Listener(broker.port)
    output.send([soc(1.0, 1)])
    output.close()
    assert json.loads(listener.hear(1)[0][1])["value"] == 1.0


def strict(folder: Path, extra: str = "") -> Mosquitto:
    """A broker that wants a password."""
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "van", "right"], check=True)
    passwords.chmod(0o644)
    made = Mosquitto(folder, extra=f"password_file {passwords}\n{extra}")
    made._conf.write_text(made._conf.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    return made.start()


def test_a_login_is_needed_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    broker = strict(tmp_path)
    sink(tmp_path, broker.port, username="van", password="right").send([soc()])  # noqa: S106 — of this test
    sink(tmp_path, broker.port, url=f"mqtt://van:right@127.0.0.1:{broker.port}").send([soc()])
    with pytest.raises(RefusedError) as caught:
        sink(tmp_path, broker.port, url=f"mqtt://van:wr0ng@127.0.0.1:{broker.port}").send([soc()])
    broker.stop()
    assert str(caught.value) == (
        f"the broker at 127.0.0.1:{broker.port} refused us: Not authorized "
        "(check username and password, and the broker's ACL)"
    )


def test_a_topic_without_a_right_is_told(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("user van\ntopic write vans/12/#\n")
    acl.chmod(0o644)
    broker = strict(tmp_path, f"acl_file {acl}\n")
    url = f"mqtt://van:right@127.0.0.1:{broker.port}"
    sink(tmp_path, broker.port, url=url, topic="vans/12/{device}").send([soc()])
    with pytest.raises(RefusedError, match="refused a publication on vans/13/smartshunt: Not authorized"):
        sink(tmp_path, broker.port, url=url, topic="vans/13/{device}").send([soc()])
    broker.stop()


def test_a_message_that_the_broker_never_takes_is_told(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, max_packet=200)
    broker.start()
    output = sink(tmp_path, broker.port)
    output.send([soc("x" * 10)])
    with pytest.raises(TooLargeError, match="more than the other broker's 200; shorten template"):
        output.send([soc("x" * 300)])
    output.send([soc("x" * 20, 1)])
    output.close()
    broker.stop()


def connack(wire: socket.socket) -> None:
    """Let a client in."""
    wire.recv(1024)
    wire.sendall(bytes([0x20, 3, 0, 0, 0]))


def silent(wire: socket.socket) -> None:
    """Let a client in and confirm nothing."""
    connack(wire)
    says_nothing(wire)


def confirms(wire: socket.socket) -> None:
    """Let a client in and confirm its first publication, whose packet id is 1."""
    connack(wire)
    wire.recv(1024)
    wire.sendall(bytes([0x40, 2, 0, 1]))
    wire.recv(1024)


def cuts(wire: socket.socket) -> None:
    """Let a client in and hang up at the first publication."""
    connack(wire)
    wire.recv(1)


def test_a_broker_that_does_not_confirm_has_nothing(tmp_path: Path) -> None:
    with server(silent) as port:
        output = sink(tmp_path, port, timeout=0.4)
        with pytest.raises(SendError, match=r"did not confirm in 0\.4 s"):
            output.send([soc()])
        assert not output._connection.connected, "until it is tried again"
    with server(cuts) as port, pytest.raises(SendError, match="was cut"):
        sink(tmp_path, port).send([soc()])


def test_a_server_that_says_nothing_is_left(tmp_path: Path) -> None:
    with server(says_nothing) as port, pytest.raises(SendError, match=r"does not answer in 0\.4 s"):
        sink(tmp_path, port, timeout=0.4).send([soc()])


def test_a_server_that_hangs_up_later_is_told_at_once(tmp_path: Path) -> None:
    ways: list[Speak] = [confirms, lambda wire: wire.close()]

    def speak(wire: socket.socket) -> None:
        ways.pop(0)(wire)

    with server(speak) as port:
        output = sink(tmp_path, port, interval=300.0)
        output.send([soc()])
        # paho tries again after a second.
        output._timeout = 0.8
        with pytest.raises(SendError, match="it hangs up before it answers; does it want mqtts:// in url"):
            output.send([soc(1.0, 1)])


def test_a_name_that_is_none_and_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SendError, match="nobody knows this name here; check url, and whether"):
        sink(tmp_path, 1, url="mqtt://van.invalid").send([soc()])
    with pytest.raises(RefusedError, match=r"^url: this is no address; one that begins with mqtts"):
        sink(tmp_path, 1, url="http://example.org")


def test_nothing_is_kept_of_what_nobody_waits_for(tmp_path: Path) -> None:
    output = sink(tmp_path, 1)
    output._hear(Disconnected("gone"))
    assert output._events.empty()


def test_a_rare_output_keeps_no_connection(tmp_path: Path, broker: Mosquitto) -> None:
    output, often = sink(tmp_path, broker.port, interval=300.0), sink(tmp_path, broker.port, interval=60.0)
    for each in (output, often):
        each.send([soc()])
    assert (output._connection.connected, often._connection.connected) == (False, True)
    output.send([soc(1.0, 1)])
    output.close()
    often.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes the certificates")
def test_tls_is_checked(tmp_path: Path) -> None:
    pem, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "van")
    pem.chmod(0o644)
    tmp_path.chmod(0o755)
    port = free_port()
    extra = f"listener {port} 127.0.0.1\ncertfile {pem}\nkeyfile {pem}\n"
    broker = Mosquitto(tmp_path, extra=extra).start()
    url = f"mqtts://localhost:{port}"
    output = sink(tmp_path, port, url=url, tls_ca=str(pem))
    output.send([soc()])
    output.close()
    for tls_ca, word in (
        (str(other), f"not from the authority in tls_ca \\({other}\\)"),
        (None, "not from an authority that this machine knows"),
    ):
        with pytest.raises(SendError, match=word):
            sink(tmp_path, port, url=url, tls_ca=tls_ca).send([soc()])
    with pytest.raises(SendError, match="does it want mqtts:// in url"):
        sink(tmp_path, port).send([soc()])
    with pytest.raises(SendError, match=r"this port speaks no TLS|is this its port for MQTT with TLS"):
        sink(tmp_path, broker.port, url=f"mqtts://localhost:{broker.port}", tls_ca=str(pem)).send([soc()])
    broker.stop()
