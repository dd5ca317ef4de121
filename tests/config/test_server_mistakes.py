"""Mistakes in where an output sends to: its address, login, headers and topic; one line each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.urls import HTTP, MQTT, UrlError, parse
from tests.config.conftest import Machine

SECRET = "hunter2-hunter2"  # noqa: S105 — no password of anybody's
ADDRESS = "allowed: one that begins with https:// or http://"
PORT = "its port is no number from 1 to 65535, or its password has a character that must be written as %XX"


def table(kind: str, *lines: str, url: str = "https://example.org/x") -> str:
    where = [] if kind == "prometheus" else [f"url = '{url}'"]
    return "\n".join(["[[output]]", 'name = "out"', f'kind = "{kind}"', *where, *lines])


@pytest.mark.parametrize("kind", ["webhook", "influx", "signed"])
@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("", f"this is no address; {ADDRESS}"),
        ("example.org/readings", f"this is no address; {ADDRESS}"),
        ("ftp://example.org", f"this is no address; {ADDRESS}"),
        ("mqtt://example.org", f"this is no address; {ADDRESS}"),
        ("https:/example.org", f"this is no address; {ADDRESS}"),
        ("https://", "it names no machine"),
        ("https:///readings", "it names no machine"),
        ("https://a..b.\u00e4.org", "it names no machine"),
        ("https://exa mple.org", "it has a space in it"),
        (" https://example.org", "it has a space in it"),
        ("https:\\\\example.org", "it has a backslash in it"),
        ("https://example.org:0", PORT),
        ("https://example.org:99999", PORT),
        ("https://example.org:port", PORT),
        (f"https://van:{SECRET}/1@example.org", PORT),
        (f"https://van:{SECRET}#1@example.org", "what follows a # is never sent; write %23 for a #"),
        ("https://[::1", "it names no machine|its port is no number"),
        ("https://1.2.3.400/", "it names no machine"),
    ],
)
def test_an_address_that_is_none(machine: Machine, kind: str, url: str, line: str) -> None:
    machine.says(table(kind, url=url))
    said = machine.mistakes()
    assert len(said) == 1
    assert any(said[0].startswith(f"output.out.url: {one}") for one in line.split("|")), said
    assert SECRET not in said[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "HTTPS://Example.ORG:443/a/b?c=d&e",
        "http://192.168.1.5:8086",
        "http://[fe80::1%25wlan0]:8086/x",
        "http://user:p%40ss@host_1.local/",
        "https://caf\u00e9.example/\u00fc?q=\u00e4",
    ],
)
def test_an_address_that_is_good(machine: Machine, url: str) -> None:
    machine.says(table("webhook", url=url))
    assert machine.settings().output["out"].url == url


def test_a_broker_is_another_address(machine: Machine) -> None:
    machine.says(table("mqtt", url="https://example.org"))
    assert machine.mistakes() == [
        "output.out.url: this is no address; allowed: one that begins with mqtts:// or mqtt://"
    ]
    machine.says(table("mqtt", url="mqtts://user:pass@example.org:8884"))
    assert machine.settings().output["out"].kind == "mqtt"


@pytest.mark.parametrize(
    ("kind", "lines", "said"),
    [
        ("webhook", ['headers = { "X Van" = "1" }'], "headers: 'X Van' is no name of a header"),
        ("webhook", ['headers = { "" = "1" }'], "headers: '' is no name of a header"),
        ("webhook", [r'headers = { "X\r\nA" = "1" }'], "headers: 'X\\r\\nA' is no name of a header"),
        ("webhook", [r'headers = { X = "a\nB: c" }'], "headers: X has a line end or another control"),
        ("webhook", ['headers = { Content-length = "5" }'], "headers: Content-length is not yours to say"),
        ("influx", ['headers = { Transfer-Encoding = "x" }'], "headers: Transfer-Encoding is not yours"),
        ("webhook", [r'token = "a\nb"'], "token: it has a line end or another control character in it"),
        ("webhook", ['token = ""'], "token: it is empty"),
        ("webhook", ['sign = ""'], "sign: it is empty"),
        ("webhook", ['token = "t"', 'username = "u"'], "token: there is a username or a password already"),
        ("webhook", ['token = "t"', 'headers = { authorization = "x" }'], "headers: Authorization says"),
        ("webhook", ['username = "a:b"'], "username: it has a : in it"),
        ("mqtt", ['password = "p"'], "username: it is missing: there is a password"),
        ("webhook", ["verify = false", 'tls_ca = "/ca"'], "verify: false takes any certificate, so tls_ca"),
        ("mqtt", [r'topic = "a\u0000"'], "topic: it has '\\x00' in it"),
        ("mqtt", ['topic = "vans/#"'], "topic: it has '#' in it, which no topic may have"),
        ("mqtt", ['topic = "vans/+/x"'], "topic: it has '+' in it, which no topic may have"),
        ("mqtt", ['topic = "vans/{devise}"'], "topic: a record has no {devise}; allowed: {device}, {entity}"),
        ("mqtt", ['topic = "vans/{}"'], "topic: a record has no {}; allowed: {device}"),
        ("mqtt", ['topic = "vans/{device"'], "topic: a { or } is alone"),
        ("mqtt", ['topic = ""'], "topic: it is empty, too long or begins with $"),
        ("mqtt", ['topic = "$SYS/x"'], "topic: it is empty, too long or begins with $"),
        (
            "mqtt",
            ['topic = "vans/{device}"', 'records = ["samples"]', "interval = 60"],
            "topic: a sample is of no {device}; allowed: a topic without it",
        ),
        ("influx", ['measurement = ""'], "measurement: '' is no name in InfluxDB"),
        ("influx", ['measurement = "#van"'], "measurement: '#van' is no name in InfluxDB"),
        ("influx", ['measurement = "_van"'], "measurement: '_van' is no name in InfluxDB"),
        ("influx", [r'measurement = "a\nb"'], "measurement: 'a\\nb' is no name in InfluxDB"),
        ("prometheus", ['path = "/run/van.txt"'], "path: node_exporter reads only files that end with .prom"),
        (
            "prometheus",
            ['path = "/run/van.prom"', 'records = ["hour"]'],
            "records: an output of kind prometheus shows the newest readings",
        ),
    ],
)
def test_what_a_server_cannot_be_told(machine: Machine, kind: str, lines: list[str], said: str) -> None:
    url = "mqtts://example.org" if kind == "mqtt" else "https://example.org/x"
    machine.says(table(kind, *lines, url=url))
    found = machine.mistakes()
    assert len(found) == 1, found
    assert found[0].startswith(f"output.out.{said}"), found


@pytest.mark.parametrize("kind", ["webhook", "mqtt"])
def test_what_tls_needs_is_of_no_use_without_it(machine: Machine, kind: str) -> None:
    scheme = {"webhook": "http", "mqtt": "mqtt"}[kind]
    machine.says(table(kind, 'tls_ca = "/ca.pem"', url=f"{scheme}://example.org"))
    assert machine.mistakes() == [
        f"output.out.tls_ca: {scheme}:// is sent without TLS; allowed: {scheme}s:// in url, or take it out"
    ]


def test_the_parts_of_an_address() -> None:
    url = parse("HTTPS://us%3Aer:p%40%2F@Caf\u00e9.Example/\u00fc b?q=%20\u00e4".replace(" ", "%20"), HTTP)
    assert (url.scheme, url.host, url.port) == ("https", "xn--caf-dma.example", 443)
    assert (url.username, url.password) == ("us:er", "p@/")
    assert url.path == "/%C3%BC%20b?q=%20%C3%A4"
    assert (url.place, repr(url)) == ("https://xn--caf-dma.example", "Url('https://xn--caf-dma.example')")
    lan = parse("mqtt://[fe80::1%25wlan0]:1884", MQTT)
    assert (lan.host, lan.port, lan.netloc) == ("fe80::1%wlan0", 1884, "[fe80::1]:1884")
    assert parse("mqtts://broker", MQTT).port == 8883
    assert parse("http://a?b", HTTP).path == "/?b"


@given(st.text())
def test_any_text_is_an_address_or_is_refused_in_words(text: str) -> None:
    for start in ("", "https://", "https://example.org", "https://example.org/"):
        try:
            url = parse(start + text, HTTP)
        except UrlError as error:
            said = error.wrong, error.allowed
            assert all(said)
        else:
            assert url.host.isascii()
            assert url.path.startswith("/")
            assert url.path.isascii() and url.path.isprintable() and " " not in url.path  # noqa: PT018 — as it is sent
