"""[lan]: listeners exactly where asked, TLS that a phone can verify, certificates renewed in time."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.lan import ADDRESS, OTHER, PATIENCE, Lan, listening, openssl, sign
from tests.secured import SecuredBroker, boondock_broker, open_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_without_lan_only_the_loopback_listens(folder: Path) -> None:
    broker = SecuredBroker(folder, "").start()
    try:
        assert listening(broker.pid) == {("127.0.0.1", broker.port)}
    finally:
        broker.stop()


@pytest.fixture
def fresh(folder: Path) -> Iterator[Lan]:
    """One of a test's own, to be changed."""
    made = Lan(folder)
    made.start()
    yield made
    made.broker.stop()


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """One for all who only look at it."""
    with open_folder() as folder:
        made = Lan(folder)
        made.start()
        yield made
        made.broker.stop()


def test_exactly_the_asked_addresses_listen(lan: Lan) -> None:
    assert listening(lan.broker.pid) == {
        ("127.0.0.1", lan.broker.port),
        *((address, port) for address in (ADDRESS, OTHER) for port in (lan.port, lan.websockets)),
    }


@pytest.mark.parametrize("name", [ADDRESS, "van.test", socket.gethostname()])
def test_the_authority_vouches_for_every_name(lan: Lan, name: str) -> None:
    with lan.handshake(name) as sock:
        assert sock.version() == "TLSv1.3"


def test_for_another_name_it_does_not(lan: Lan) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        lan.handshake("other.test")


def test_who_does_not_know_the_authority_is_warned(lan: Lan) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection((ADDRESS, lan.port), PATIENCE) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname=ADDRESS)


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
@pytest.mark.parametrize(("typed", "reason"), [("{}", 0), ("x", 0x87), ("{}x", 0x87)])
def test_a_phone_comes_in_with_its_password_and_only_so(
    lan: Lan,
    transport: str,
    typed: str,
    reason: int,
) -> None:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        protocol=MQTTProtocolVersion.MQTTv5,
        transport=transport,  # type: ignore[arg-type]  # one of the two it allows
    )
    client.tls_set(ca_certs=str(lan.ca))
    user, password = lan.broker.login("viewer")
    client.username_pw_set(user, typed.format(password))
    answers: list[int] = []
    answered = threading.Event()

    def on_connect(_c: mqtt.Client, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
        answers.append(code.value)
        answered.set()

    client.on_connect = on_connect
    client.connect(ADDRESS, lan.port if transport == "tcp" else lan.websockets)
    client.loop_start()
    assert answered.wait(PATIENCE)
    client.disconnect()
    client.loop_stop()
    assert answers[0] == reason


def test_a_browser_can_open_the_websocket(lan: Lan) -> None:
    """A browser offers HTTP/1.1 for it; no other protocol may be chosen over its head."""
    context = ssl.create_default_context(cafile=str(lan.ca))
    context.set_alpn_protocols(["http/1.1"])
    plain = socket.create_connection((ADDRESS, lan.websockets), PATIENCE)
    with context.wrap_socket(plain, server_hostname=ADDRESS) as sock:
        sock.sendall(
            b"GET /mqtt HTTP/1.1\r\nHost: van\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        )
        # RFC 6455, 1.3: the answer to this key.
        answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer


def test_plain_mqtt_gets_no_answer_from_the_network(lan: Lan) -> None:
    with socket.create_connection((ADDRESS, lan.port), PATIENCE) as plain:
        plain.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        try:
            answer = plain.recv(64)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"\x20"), "that would be a CONNACK"


def test_the_fingerprint_is_that_of_the_authority_and_the_code_holds_no_password(lan: Lan) -> None:
    said = lan.broker.setup("--show", "viewer").stdout
    der = ssl.PEM_cert_to_DER_cert(lan.ca.read_text())
    digest = hashlib.sha256(der).hexdigest().upper()
    url = f"mqtts://van.test:{lan.port}?ca_sha256={digest}"
    assert url in said
    assert f"SHA-256   {':'.join(digest[i : i + 2] for i in range(0, 64, 2))}" in said
    assert f"wss://van.test:{lan.websockets}" in said
    assert "█" in said


def test_the_keys_are_for_whom_they_concern(lan: Lan) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in lan.broker.out.iterdir()}
    assert modes["server.pem"] == 0o600
    assert modes["ca.crt"] == 0o644
    assert not list(lan.broker.out.glob("ca.key")), "the broker never sees it"
    assert (lan.broker.secrets / "boondock-ca.key").stat().st_mode & 0o777 == 0o600


def test_what_is_good_is_kept(lan: Lan) -> None:
    before = {path: path.read_bytes() for path in lan.broker.out.iterdir()}
    assert "Nothing changed" in lan.broker.setup().stdout
    assert {path: path.read_bytes() for path in lan.broker.out.iterdir()} == before


def resign(broker: SecuredBroker, days: int) -> None:
    """Replace the certificate by one that ends sooner."""
    pem = broker.out / "server.pem"
    key, certificate = (
        openssl(broker.out, "pkey", "-in", str(pem)),
        sign(broker, days, f"DNS:van.test,IP:{ADDRESS},IP:{OTHER}"),
    )
    pem.write_text(key + certificate)


def test_a_certificate_that_ends_soon_is_renewed_and_shown_after_a_reload(fresh: Lan) -> None:
    authority = fresh.ca.read_bytes()
    resign(fresh.broker, 20)
    assert "a certificate in" in fresh.broker.setup("--dry-run").stdout
    before = fresh.serial()
    fresh.broker.setup("--reload")
    assert fresh.ca.read_bytes() == authority, "phones keep theirs"
    for _ in range(100):
        if (now := fresh.serial()) != before:
            break
    assert now not in (before, 7)
    fresh.handshake("van.test").close()


@pytest.mark.parametrize("broken", ["server.pem", "ca.crt"])
def test_what_is_damaged_is_made_again(fresh: Lan, broken: str) -> None:
    (fresh.broker.out / broken).write_text("nothing")
    fresh.broker.setup()
    fresh.broker.kill()
    fresh.start()
    fresh.handshake().close()


def test_a_new_name_brings_a_new_certificate_and_an_authority_that_may_speak_for_it(fresh: Lan) -> None:
    """Phones keep the authority they have for all that is below .local or a private address."""
    fresh.broker.say(fresh.settings.replace("van.test", "boat.local"))
    before = fresh.ca.read_bytes()
    assert "+++ a certificate in" in fresh.broker.setup().stdout
    assert fresh.ca.read_bytes() == before
    fresh.broker.say(fresh.settings.replace("van.test", "boat.test"))
    assert "the same certificate authority with new dates and names" in fresh.broker.setup().stdout
    fresh.broker.kill()
    fresh.start()
    fresh.handshake("boat.test").close()
    fresh.ca.write_bytes(before)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        fresh.handshake("boat.test")


def test_an_interface_stands_for_its_address(folder: Path) -> None:
    (folder / "boondock.toml").write_text("[lan]\nlisten = ['lo']\n")
    done = boondock_broker(folder / "boondock.toml", folder / "out", folder / "s", "--dry-run")
    assert "+listener 8883 127.0.0.1" in done.stdout.splitlines()
