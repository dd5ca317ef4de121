"""The one engine of HTTP, on real servers: those that answer well, and those that do not."""

import itertools
import logging
import shutil
import socket
import struct
import threading
from email.message import Message
from pathlib import Path

import pytest

from config.model import Output
from forwarder.outputs import RefusedError, SendError, TooLargeError
from forwarder.outputs.http import LONGEST_WAIT_S, Http, asked_to_wait
from tests.forwarder.web import Reply, web
from tests.ports import free_port
from tests.servers import Speak, certificate, says, says_nothing, server, tls_server

SECRET = "s3cret-of-mine"  # noqa: S105 — no secret of anybody's
UMLAUT = "geh\u00e4im"
BODY = b'{"records": []}'


def output(url: str, **settings: object) -> Output:
    return Output(kind="webhook", url=url, **settings)  # type: ignore[arg-type]  # what each test says


def http(url: str, **settings: object) -> Http:
    return Http(output(url, **settings))


def failure(url: str, **settings: object) -> SendError:
    """Why it cannot be sent."""
    with pytest.raises(SendError) as caught:
        http(url, **settings).send(BODY, {})
    return caught.value


def test_what_is_sent_arrives_with_its_headers_on_one_connection() -> None:
    with web() as site:
        sender = http(f"http://127.0.0.1:{site.port}/in/put?van=12", headers={"X-Van": "12"})
        site.says(Reply(200, b"thanks"), Reply(202), Reply(204))
        answers = [sender.send(BODY, {"Content-Type": "application/json"}).status for _ in "abc"]
        sender.send(b"more", {"x-van": "13"}, method="PUT")
        sender.close()
    first, *_, last = site.seen
    assert answers == [200, 202, 204]
    assert (first.method, first.path, first.body) == ("POST", "/in/put?van=12", BODY)
    assert (first.headers["X-Van"], first.headers["Content-Type"]) == ("12", "application/json")
    assert first.headers["Host"] == f"127.0.0.1:{site.port}"
    assert (last.method, last.body, last.headers.get_all("X-Van")) == ("PUT", b"more", ["12"])
    assert len({request.client for request in site.seen}) == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    with web() as site:
        sender = http(f"http://127.0.0.1:{site.port}/")
        site.says(Reply(200, b"ok", hang_up=True), Reply(200, b"ok"))
        assert [sender.send(BODY, {}).status for _ in "ab"] == [200, 200]
        sender.close()
    assert len({request.client for request in site.seen}) == 2


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, RefusedError, "400 Bad Request: it cannot read what we send"),
        (401, RefusedError, "check token, or username and password"),
        (403, RefusedError, "we have no right to it"),
        (404, RefusedError, "404 Not Found: there is nothing at this path; check url"),
        (408, SendError, "sent again later"),
        (409, RefusedError, "ask its owner"),
        (413, TooLargeError, "lower batch"),
        (418, RefusedError, "ask its owner"),
        (425, SendError, "sent again later"),
        (429, SendError, "it wants less at once"),
        (499, RefusedError, "499: ask its owner"),
        (500, SendError, "the other side has trouble"),
        (503, SendError, "503 Service Unavailable: the other side has trouble"),
        (599, SendError, "sent again later"),
        (304, RefusedError, "304 Not Modified: ask its owner"),
        (101, RefusedError, "101 Switching Protocols: ask its owner"),
    ],
)
def test_each_status_is_an_error_that_says_what_to_do(status: int, kind: type, word: str) -> None:
    with server(says(f"HTTP/1.1 {status} x\r\nContent-Length: 6\r\n\r\nreason".encode())) as port:
        said = failure(f"http://127.0.0.1:{port}/")
    assert type(said) is kind
    assert str(said).startswith(f"http://127.0.0.1:{port} answers {status}")
    assert word in str(said)
    assert str(said).endswith("reason") == (status not in (304, 101))


def test_what_the_other_side_asks_to_wait_is_told() -> None:
    with web() as site:
        site.says(Reply(429, headers={"Retry-After": "17"}), Reply(503))
        address = f"http://127.0.0.1:{site.port}/"
        assert [failure(address).after for _ in "ab"] == [17.0, None]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", None),
        ("1", 1.0),
        ("900", 900.0),
        ("901", LONGEST_WAIT_S),
        ("9" * 5000, LONGEST_WAIT_S),
        ("-5", None),
        ("\u0665", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2026 07:26:00 GMT", None),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_WAIT_S),
        ("Wed, 99 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date_by_the_clock_of_the_answer(said: str, seconds: float | None) -> None:
    headers = Message()
    headers["Retry-After"] = said
    assert asked_to_wait(headers, 1792567620.0) == seconds
    headers["Date"] = "Wed, 21 Oct 2026 07:27:00 GMT"
    # Ours may be years behind: no clock of a battery of its own.
    assert asked_to_wait(headers, 0.0) == seconds


@pytest.mark.parametrize(
    ("location", "where"),
    [
        (
            "https://elsewhere.example/new",
            "https://elsewhere.example/new; write that address into url, unless",
        ),
        ("/moved/here", "http://127.0.0.1:{port}/moved/here; write that address into url"),
        ("//[::1]:8080/x", "http://[::1]:8080/x; write that address into url, unless"),
        ("?a=1", "http://127.0.0.1:{port}/…?… (… is as in url); write that address into url"),
        (f"https://u:p@b.example/{SECRET}/", "https://b.example/…/ (… is as in url); write that address"),
        ("http://[bad", "an address that cannot be read"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status: int, location: str, where: str) -> None:
    with web() as site:
        site.says(Reply(status, headers={"Location": location}))
        said = failure(f"http://127.0.0.1:{site.port}/{SECRET}")
        count = len(site.seen)
    assert isinstance(said, RefusedError)
    assert where.format(port=site.port) in str(said)
    assert SECRET not in str(said)
    assert count == 1


def test_nobody_reads_a_secret_that_the_other_side_repeats() -> None:
    login = {"username": "van", "password": "pass word"}
    with web() as site:
        for settings in ({"token": SECRET}, login, {"headers": {"X-Key": f"Key {SECRET}"}}, {"sign": SECRET}):
            asked = "/hook/path5ecret?key=query-secret"
            basic = "dmFuOnBhc3Mgd29yZA=="
            repeated = f"{asked} \x00 path5ecret query-secret {SECRET}\n pass word, my%20url {basic}"
            site.says(Reply(403, f"<html><style>a</style><b>no {repeated}</b>{'x' * 300}".encode()))
            said = str(failure(f"http://user:my%20url@127.0.0.1:{site.port}{asked}", **settings))
            assert not [word for word in ("path5ecret", "query-secret", "my url", "my%20url") if word in said]
            assert SECRET not in said or "password" in settings
            assert not [word for word in ("pass word", basic) if word in said and "password" in settings]
            shown = said.partition("it says: ")[2]
            assert shown.startswith("no /hook/…?key=… … …")
            assert (len(shown), shown.isprintable()) == (200, True)


def test_a_login_is_that_of_the_settings_else_of_the_address() -> None:
    with web() as site:
        address = f"http://user:p%40ss@127.0.0.1:{site.port}/"
        http(address).send(BODY, {})
        http(address, username="van", password=UMLAUT).send(BODY, {})
        http(address, token=SECRET).send(BODY, {})
        http(address, token=SECRET, headers={"authorization": "Key abc"}).send(BODY, {})
        Http(output(address, token=SECRET), scheme="Token").send(BODY, {})
    assert [request.headers["Authorization"] for request in site.seen] == [
        "Basic dXNlcjpwQHNz",
        "Basic dmFuOmdlaMOkaW0=",
        f"Bearer {SECRET}",
        "Key abc",
        f"Token {SECRET}",
    ]


def drips(wire: socket.socket) -> None:
    """Answer byte by byte, without end."""
    wire.recv(1024)
    wire.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        wire.sendall(b"X-Drip: a\r\n")


def drips_a_body(wire: socket.socket) -> None:
    """Answer in very small pieces; the last one comes."""
    wire.recv(1024)
    wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire.sendall(b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n")
    says_nothing(wire)


@pytest.mark.parametrize("speak", [drips_a_body, says_nothing])
def test_a_server_that_drips_or_says_nothing_is_left(speak: Speak) -> None:
    seconds = itertools.count(0.0, 0.1)
    with server(speak) as port:
        sender = Http(output(f"http://127.0.0.1:{port}/", timeout=0.5), clock=lambda: next(seconds))
        with pytest.raises(SendError, match=r"did not answer in 0\.5 s; it is sent again later"):
            sender.send(BODY, {})


def test_a_slow_reader_is_left_though_it_reads() -> None:
    seconds = itertools.count(0.0, 0.1)
    with web() as site:
        sender = Http(output(f"http://127.0.0.1:{site.port}/", timeout=5.0), clock=lambda: next(seconds))
        assert sender.send(b"x" * 100_000, {}).taken
        with pytest.raises(SendError, match="did not answer in 5 s"):
            sender.send(b"x" * 5_000_000, {})


def test_headers_without_end_are_refused() -> None:
    with server(drips) as port:
        assert "gives no answer of HTTP" in str(failure(f"http://127.0.0.1:{port}/"))


def test_a_reader_that_stops_reading_is_left() -> None:
    over = threading.Event()

    def stalls(wire: socket.socket) -> None:
        wire.recv(1)
        over.wait(30)

    with server(stalls) as port:
        sender = http(f"http://127.0.0.1:{port}/", timeout=0.3)
        with pytest.raises(SendError, match="did not answer"):
            sender.send(b"x" * 50_000_000, {})
        over.set()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"", "hung up before it answered; it is sent again later; perhaps it wants https:// in url"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "hung up in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "hung up in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "hung up in the middle"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", "hung up in the middle"),
        (b"HTTP/1.1 2", "gives no answer of HTTP"),
        (b"220 mail.example ESMTP\r\n", "gives no answer of HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "gives no answer of HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "gives no answer of HTTP"),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: bytes, word: str) -> None:
    with server(says(answer)) as port:
        said = str(failure(f"http://127.0.0.1:{port}/"))
    assert word in said


def test_a_reset_is_an_error() -> None:
    def resets(wire: socket.socket) -> None:
        wire.recv(1)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(resets) as port:
        assert "hung up" in str(failure(f"http://127.0.0.1:{port}/"))


def test_an_error_that_is_cut_still_says_what_it_is() -> None:
    with server(says(b"HTTP/1.1 404 x\r\nContent-Length: 100\r\n\r\nno such van")) as port:
        said = failure(f"http://127.0.0.1:{port}/")
    assert isinstance(said, RefusedError)
    assert str(said).endswith("it says: no such van")


def test_an_answer_of_any_length_is_read_in_part_only() -> None:
    sent: list[int] = []

    def floods(wire: socket.socket) -> None:
        wire.recv(1024)
        wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20_000):
            wire.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent.append(65536)

    with server(floods) as port:
        assert http(f"http://127.0.0.1:{port}/").send(BODY, {}).taken
    assert len(sent) < 200


def test_who_refuses_before_it_has_read_all_is_heard() -> None:
    def refuses(wire: socket.socket) -> None:
        wire.recv(1024)
        # It closes with much unread: the rest of what we send meets a reset.
        wire.sendall(b"HTTP/1.1 413 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with server(refuses) as port:
        sender = http(f"http://127.0.0.1:{port}/")
        with pytest.raises(TooLargeError):
            sender.send(b"x" * 5_000_000, {})


def test_a_server_that_recovers_gets_what_comes_then() -> None:
    port = free_port()
    sender = http(f"http://127.0.0.1:{port}/")
    with pytest.raises(SendError, match=f"no server at 127.0.0.1:{port}: nothing listens there") as caught:
        sender.send(BODY, {})
    assert not isinstance(caught.value, RefusedError)
    assert "is the port in url right?" in str(caught.value)
    with web() as site:
        site.says(Reply(500), Reply(200))
        sender = http(f"http://127.0.0.1:{site.port}/")
        with pytest.raises(SendError, match="500"):
            sender.send(BODY, {})
        assert sender.send(BODY, {}).status == 200


def test_a_name_that_nobody_knows_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = str(failure(f"http://van.example/{SECRET}"))
    assert said == (
        "no server at van.example:80: nobody knows this name here; check url, and whether there is Internet"
    )


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with web() as site:
        assert http(f"http://127.0.0.1:{site.port}/").send(BODY, {}).status == 204


def test_an_ipv6_address_is_reached() -> None:
    heard: list[bytes] = []

    def speak(wire: socket.socket) -> None:
        heard.append(wire.recv(1024))
        wire.sendall(b"HTTP/1.1 204 x\r\n\r\n")

    try:
        with server(speak, family=socket.AF_INET6) as port:
            http(f"http://[::1]:{port}/x").send(BODY, {})
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert f"Host: [::1]:{port}".encode() in heard[0]


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_name_with_a_dead_address_is_reached_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, web() as site:
        dead = deaf.getsockname()
        # Its queue is full: the next ones get no answer.
        with socket.create_connection(dead), socket.socket() as waiting:
            waiting.settimeout(0)
            waiting.connect_ex(dead)
            resolve(monkeypatch, dead, ("127.0.0.1", site.port))
            assert http("http://van.example/", timeout=0.6).send(BODY, {}).status == 204


def test_of_several_addresses_the_first_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ("127.0.0.1", free_port()), ("255.255.255.255", 1))
    assert "nothing listens there" in str(failure("http://van.example/"))


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes the certificates")


@needs_openssl
def test_tls_is_checked_and_what_is_wrong_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = certificate(tmp_path, "localhost")
    with web(here) as site:
        address = f"https://localhost:{site.port}/"
        assert http(address, tls_ca=str(here)).send(BODY, {}).status == 204
        said = failure(address)
        assert "its certificate is not from an authority that this machine knows: self-signed" in str(said)
        assert "tls_ca takes the file of another" in str(said)
        assert not isinstance(said, RefusedError)
        other = failure(address.replace("localhost", "127.0.0.1"), tls_ca=str(here))
        assert "for another name than 127.0.0.1; set url to a name that it has" in str(other)
        with caplog.at_level(logging.WARNING):
            careless = http(address, verify=False)
            assert [careless.send(BODY, {}).status for _ in "ab"] == [204, 204]
        assert [record.getMessage() for record in caplog.records] == [
            f"https://localhost:{site.port}: verify = false: who is in between can read and change it"
        ]


@needs_openssl
def test_a_certificate_that_is_over_is_told(tmp_path: Path) -> None:
    old = certificate(tmp_path, "localhost", expired=True)
    with tls_server(old) as port:
        said = str(failure(f"https://localhost:{port}/", tls_ca=str(old)))
    assert "its certificate has expired; renew it, or set the clock of this machine" in said


@needs_openssl
def test_an_address_in_a_certificate_counts(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "van", names="IP:127.0.0.1")
    with web(pem) as site:
        assert http(f"https://127.0.0.1:{site.port}/", tls_ca=str(pem)).send(BODY, {}).status == 204


@needs_openssl
def test_a_file_of_authorities_is_named_and_read_again(tmp_path: Path) -> None:
    pem, other, late = certificate(tmp_path, "localhost"), certificate(tmp_path, "van"), tmp_path / "ca.pem"
    with web(pem) as site:
        sender = http(f"https://localhost:{site.port}/", tls_ca=str(late))
        with pytest.raises(SendError, match=f"tls_ca: {late}: No such file"):
            sender.send(BODY, {})
        shutil.copy(other, late)
        with pytest.raises(SendError, match="not from the authority in tls_ca"):
            sender.send(BODY, {})
        late.write_text("this is no certificate")
        with pytest.raises(SendError, match="holds no certificate"):
            sender.send(BODY, {})
        shutil.copy(pem, late)
        assert sender.send(BODY, {}).status == 204


def test_a_port_without_tls_is_told() -> None:
    with server(says(b"HTTP/1.1 400 x\r\n\r\n")) as port:
        assert "this port speaks no TLS" in str(failure(f"https://localhost:{port}/"))


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org/", "http:///x", "http://a b/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match=r"^url: "):
        http(url)
