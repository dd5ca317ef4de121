"""[lan]: nobody without a password keeps others out; which TLS; whom the authority may vouch for."""

import queue
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bus.connection import Connection
from bus.events import Connected, Link, Message, Subscription
from tests.emulators.mqtt_wire import Wire, connect, publish
from tests.lan import ADDRESS, PATIENCE, Lan, openssl, sign
from tests.secured import boondock_broker, open_folder

NFT = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin")
# Forward-secret and authenticated, with a key on a curve as ours: RFC 5289, RFC 7905.
GOOD = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}


@contextmanager
def started() -> Iterator[Lan]:
    with open_folder() as folder:
        made = Lan(folder)
        made.start()
        yield made
        made.broker.stop()


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """One for all who only look at it."""
    with started() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Lan]:
    """One of a test's own, to be changed."""
    with started() as made:
        yield made


def comes_in(lan: Lan, transport: str = "tcp") -> bool:
    """Whether a phone with its password is let in."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        protocol=MQTTProtocolVersion.MQTTv5,
        transport=transport,  # type: ignore[arg-type]  # one of the two it allows
    )
    client.tls_set(ca_certs=str(lan.ca))
    client.username_pw_set(*lan.broker.login("viewer"))
    entered = threading.Event()
    client.on_connect = lambda _c, _u, _f, code, _p: None if code.is_failure else entered.set()
    try:
        client.connect(ADDRESS, lan.port if transport == "tcp" else lan.websockets)
    except OSError:
        return False
    client.loop_start()
    found = entered.wait(PATIENCE)
    client.disconnect()
    client.loop_stop()
    return found


def silent(_lan: Lan, port: int) -> socket.socket:
    return socket.create_connection((ADDRESS, port), PATIENCE)


def half_a_handshake(lan: Lan, port: int) -> socket.socket:
    """The first bytes of a ClientHello of 512 bytes, and nothing more."""
    sock = silent(lan, port)
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return sock


def without_connect(lan: Lan, port: int) -> socket.socket:
    """TLS is up, and then not a byte of MQTT."""
    context = ssl.create_default_context(cafile=str(lan.ca))
    return context.wrap_socket(silent(lan, port), server_hostname=ADDRESS)


def half_a_connect(lan: Lan, port: int) -> socket.socket:
    """A CONNECT that promises more than it sends."""
    sock = without_connect(lan, port)
    sock.sendall(b"\x10\x7f\x00\x04MQTT")
    return sock


def test_a_service_hears_all_of_a_burst_over_tls(lan: Lan) -> None:
    events: queue.SimpleQueue[object] = queue.SimpleQueue()
    user, password = lan.broker.login("admin")
    link = Link(
        host=ADDRESS,
        port=lan.port,
        client_id="tester",
        username=user,
        password=password,
        tls_ca=str(lan.ca),
    )
    everything = Subscription(filter="camper/state/+", qos=0)
    connection = Connection(link, birth_topic=None, subscriptions=[everything], emit=events.put)
    connection.start()
    while not isinstance(events.get(timeout=PATIENCE), Connected):
        pass
    sizes = [number * 37 % 5000 for number in range(600)]
    with Wire(lan.broker.port, connect("speaker", lan.broker.login("admin"))) as wire:
        assert wire.send(publish("camper/state/x", bytes(size)) for size in sizes)
        assert wire.settle()
    found: list[int] = []
    while len(found) < len(sizes):
        event = events.get(timeout=PATIENCE)
        found += [len(event.payload)] if isinstance(event, Message) else []
    assert found == sizes
    connection.stop()


@pytest.mark.parametrize("open_one", [silent, half_a_handshake, without_connect, half_a_connect])
def test_who_says_nothing_keeps_nobody_out(lan: Lan, open_one: object) -> None:
    assert callable(open_one)
    with ExitStack() as held:
        for number in range(120):
            held.enter_context(open_one(lan, lan.websockets if number % 2 else lan.port))
        assert comes_in(lan)
        assert comes_in(lan, "websockets")
        with socket.create_connection(("127.0.0.1", lan.broker.port), PATIENCE) as here:
            here.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
            assert here.recv(4) == b"\x20\x02\x00\x05", "this machine is answered: not without a password"


def test_all_that_the_network_may_take_leaves_this_machine_its_own(lan: Lan) -> None:
    conf = (lan.broker.out / "mosquitto.conf").read_text()
    most = [int(line.split()[1]) for line in conf.splitlines() if line.startswith("max_connections")]
    unit = (Path(__file__).parents[3] / "systemd" / "boondock-mosquitto.service").read_text()
    (files,) = (int(line.split("=")[1]) for line in unit.splitlines() if line.startswith("LimitNOFILE="))
    assert len(most) == 4, "two addresses, two ports each"
    assert 400 <= sum(most) <= files - 300


def no_firewall() -> str:
    """Why a network of its own with rules cannot be had here; empty if it can."""
    if NFT is None:
        return "no nft: apt install nftables"
    tried = subprocess.run(
        ["unshare", "-n", NFT, "list", "ruleset"], capture_output=True, text=True, check=False, timeout=20
    )
    return "" if tried.returncode == 0 else f"no network of its own: {tried.stderr.strip()}"


@pytest.mark.skipif(bool(no_firewall()), reason=no_firewall() or "-")
def test_one_address_does_not_take_the_connections_of_all(fresh: Lan) -> None:
    """In a network of its own: the rules are loaded twice, as by two starts, and are gone without [lan]."""
    rules = fresh.broker.out / "lan.nft"
    script = f"""
import socket, subprocess
def nft(*words): return subprocess.run(["{NFT}", *words], check=True, capture_output=True, text=True).stdout
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
nft("-f", "{rules}"), nft("-f", "{rules}")
here = socket.create_server(("{ADDRESS}", {fresh.port}), backlog=256)
def open_from(address):
    held = []
    try:
        for _ in range(60):
            held.append(socket.create_connection(("{ADDRESS}", {fresh.port}), 5, source_address=(address, 0)))
    except ConnectionRefusedError: pass
    return held
one = open_from("127.0.0.77")
two = open_from("127.0.0.78")
print(len(one), len(two))
one.pop().close()
print(len(open_from("127.0.0.77")))
"""
    done = subprocess.run(
        ["unshare", "-n", shutil.which("python3") or "python3", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.splitlines()[:1] == ["20 20"], done.stdout + done.stderr
    fresh.broker.say("")
    fresh.broker.setup()
    loaded = f"{NFT} -f {rules} && {NFT} list ruleset"
    left = subprocess.run(
        ["unshare", "-n", "sh", "-c", loaded], capture_output=True, text=True, check=True, timeout=20
    )
    assert left.stdout == ""


def suites() -> set[str]:
    """All that OpenSSL knows for versions before 1.3, unsafe ones included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {one["name"] for one in context.get_ciphers() if not one["name"].startswith("TLS_")}


def agreed(lan: Lan, port: int, ciphers: set[str]) -> str | None:
    """What the broker chooses of these with TLS 1.2; None if it wants none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(lan.ca))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{':'.join(ciphers)}:@SECLEVEL=0")
    try:
        with context.wrap_socket(silent(lan, port), server_hostname=ADDRESS) as sock:
            cipher = sock.cipher()
    except OSError:  # refused, or the broker closed
        return None
    return None if cipher is None else cipher[0]


@pytest.mark.parametrize("port", ["port", "websockets"])
def test_of_tls_1_2_only_forward_secret_and_authenticated_suites(lan: Lan, port: str) -> None:
    where, known = getattr(lan, port), suites()
    assert known > GOOD
    assert {agreed(lan, where, {name}) for name in GOOD} == GOOD
    assert agreed(lan, where, known - GOOD) is None


@pytest.mark.parametrize("port", ["port", "websockets"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_of_tls_are_refused(lan: Lan, port: str) -> None:
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(lan.ca))
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        with silent(lan, getattr(lan, port)) as plain, pytest.raises(OSError):  # noqa: PT011 — an alert or a reset
            context.wrap_socket(plain, server_hostname=ADDRESS)


def shown(lan: Lan, certificate: str, name: str) -> None:
    """A handshake with a server of this certificate, by a name. Raises SSLError if it is refused."""
    pem = lan.broker.folder / "other.pem"
    pem.write_text(openssl(lan.broker.out, "pkey", "-in", "server.pem") + certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(lan.ca))
    asking = client.wrap_bio(theirs, ours, server_hostname=name)
    answering = server.wrap_bio(ours, theirs, server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ("DNS:van.test", "van.test"),
        ("DNS:page.van.test", "page.van.test"),
        ("DNS:other.local", "other.local"),
        ("IP:10.1.2.3", "10.1.2.3"),
        ("IP:172.31.0.1", "172.31.0.1"),
        ("IP:192.168.44.5", "192.168.44.5"),
        ("IP:169.254.7.7", "169.254.7.7"),
        ("IP:fd12::1", "fd12::1"),
        ("IP:fe80::1", "fe80::1"),
    ],
)
def test_the_authority_may_vouch_for_the_house(lan: Lan, names: str, asked: str) -> None:
    shown(lan, sign(lan.broker, 90, names), asked)


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ("DNS:bank.example", "bank.example"),
        ("DNS:van.test,DNS:bank.example", "van.test"),
        ("DNS:*.bank.example", "my.bank.example"),
        ("DNS:evilvan.test", "evilvan.test"),
        ("DNS:local.example", "local.example"),
        ("IP:8.8.8.8", "8.8.8.8"),
        ("IP:172.32.0.1", "172.32.0.1"),
        ("IP:2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_authority_may_vouch_for_nobody_else(lan: Lan, names: str, asked: str) -> None:
    """Whoever steals its key reads no other traffic of the phones that trust it."""
    certificate = sign(lan.broker, 90, names)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shown(lan, certificate, asked)
    with pytest.raises(subprocess.CalledProcessError):
        openssl(lan.broker.out, "verify", "-CAfile", "ca.crt", given=certificate)


def test_the_limit_is_critical_so_that_who_does_not_know_it_refuses(lan: Lan) -> None:
    said = openssl(lan.broker.out, "x509", "-noout", "-ext", "nameConstraints", "-in", "ca.crt")
    assert "X509v3 Name Constraints: critical" in said
    assert {"DNS:local", "DNS:van.test", "IP:127.0.0.0/255.0.0.0"} <= {
        line.strip() for line in said.splitlines()
    }


def replace_authority(lan: Lan, days: int, *, limits: bool = True) -> bytes:
    """Sign the authority's certificate anew with its own key, as long ago, or as an earlier version did."""
    (lan.broker.out / "old.ext").write_text("basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n")
    asked = ["x509", "-in", "ca.crt", "-signkey", str(lan.broker.secrets / "boondock-ca.key")]
    bare = [] if limits else ["-clrext", "-extfile", "old.ext"]
    old = openssl(lan.broker.out, *asked, *bare, "-days", str(days)).encode()
    lan.ca.write_bytes(old)
    return old


@pytest.mark.parametrize(("days", "limits"), [(3650, False), (899, True)])
def test_an_authority_is_renewed_and_phones_keep_theirs(fresh: Lan, days: int, *, limits: bool) -> None:
    """One that may vouch for everybody, and one that comes near its end."""
    old = replace_authority(fresh, days, limits=limits)
    assert "the same certificate authority" in fresh.broker.setup("--dry-run").stdout
    assert fresh.ca.read_bytes() == old
    said = fresh.broker.setup("--again", "certificate").stdout
    assert "Phones keep the authority they have" in said
    new = fresh.ca.read_bytes()
    assert new != old
    assert "Nothing changed" in fresh.broker.setup().stdout
    fresh.broker.kill()
    fresh.start()
    for phones in (new, old):
        fresh.ca.write_bytes(phones)
        fresh.handshake("van.test").close()


def test_an_authority_that_lasts_is_left_alone(fresh: Lan) -> None:
    old = replace_authority(fresh, 901)
    fresh.broker.setup()
    assert fresh.ca.read_bytes() == old


def test_phones_must_be_given_the_new_authority_before_theirs_ends(fresh: Lan) -> None:
    replace_authority(fresh, 300)
    done = fresh.broker.setup()
    end = openssl(
        fresh.broker.out, "x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", "ca-before.crt"
    )
    day = end.partition("=")[2].split()[0]
    assert f"need the new one, {fresh.ca}, by {day}" in done.stderr


def test_without_its_key_there_is_a_new_authority(fresh: Lan) -> None:
    before = fresh.ca.read_bytes()
    (fresh.broker.secrets / "boondock-ca.key").unlink()
    assert "a certificate authority in" in fresh.broker.setup().stdout
    assert fresh.ca.read_bytes() != before
    fresh.broker.kill()
    fresh.start()
    fresh.handshake().close()


def test_what_is_good_is_made_again_on_wish(fresh: Lan) -> None:
    authority, serial = fresh.ca.read_bytes(), fresh.serial()
    said = fresh.broker.setup("--again", "certificate", "--reload").stdout
    assert f"Port {fresh.websockets} has the new certificate after systemctl restart" in said
    deadline = time.monotonic() + PATIENCE
    while fresh.serial() == serial:
        assert time.monotonic() < deadline
    assert fresh.ca.read_bytes() == authority
    fresh.broker.setup("--again", "authority")
    assert fresh.ca.read_bytes() != authority
    fresh.handshake("van.test").close()


def test_an_address_of_the_internet_is_permitted_where_the_house_has_it(tmp_path: Path) -> None:
    config = tmp_path / "boondock.toml"
    config.write_text("[lan]\nlisten = ['0.0.0.0']\nnames = ['203.0.113.7']\n")
    done = boondock_broker(config, tmp_path / "out", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    said = openssl(tmp_path / "out", "x509", "-noout", "-ext", "nameConstraints", "-in", "ca.crt")
    assert "IP:203.0.113.7/255.255.255.255" in said
    openssl(tmp_path / "out", "verify", "-CAfile", "ca.crt", "server.pem")
