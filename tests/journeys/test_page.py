"""nginx as we configure it before a real Mosquitto: page, gzip, ETag, WebSocket, TLS, and who is refused."""

import gzip
import http.client
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import page
from cli.install import which
from cli.page import nginx
from config import load
from tests.lan import listening
from tests.ports import free_port
from tests.secured import SecuredBroker, open_folder
from tests.websocket import Connack, connect

HTML = '<meta name="boondock-base" content="camper"><meta name="boondock-ws" content="">' + "battery " * 500
ADDRESS = "127.0.0.2"
PATIENCE = 10.0
pytestmark = pytest.mark.skipif(
    which("nginx") is None, reason="nginx is not installed: run scripts/setup dev"
)


class Site:
    """A broker and nginx before it, as the unit starts it."""

    def __init__(self, folder: Path, table: str) -> None:
        self.port = free_port()
        ports = f"port = {self.port}\nwebsockets = {free_port()}\n"
        self.broker = SecuredBroker(folder, f"[page]\nenabled = true\n{ports}{table}")
        self.settings = load.load(self.broker.config)
        pem = self.broker.out / "server.pem"
        conf = nginx.prepare(self.settings, folder / "site", pem, self.broker.out / "ca.crt")
        self.broker.start()
        self._process = subprocess.Popen([str(which("nginx")), "-e", "stderr", "-p", str(folder), "-c", conf])
        self.host = ADDRESS if self.settings.page.is_open else "127.0.0.1"
        end = time.monotonic() + PATIENCE
        behind = ("127.0.0.1", self.settings.page.websockets)
        # Of the broker the websockets come last.
        while (self.host, self.port) not in listening(self._process.pid) or behind not in listening(
            self.broker.pid
        ):
            assert self._process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        self.context = None
        if self.settings.page.encrypted:
            self.context = ssl.create_default_context(cafile=str(self.broker.out / "ca.crt"))

    def get(self, path: str = "/", **headers: str) -> http.client.HTTPResponse:
        """Ask for a file."""
        link = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        if self.context:
            link = http.client.HTTPSConnection(self.host, self.port, timeout=PATIENCE, context=self.context)
        link.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return link.getresponse()

    def log_in(self, user: str, password: str | None = None, more: str = "") -> Connack:
        """Log in through nginx."""
        login = self.broker.login(user) if password is None else (user, password)
        return connect(self.port, login, host=self.host, context=self.context, more=more)

    def stop(self) -> None:
        """End both."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self.broker.stop()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Site]]:
    built = tmp_path / "built"
    built.mkdir()
    monkeypatch.setattr(page, "BUILT", built)
    monkeypatch.setenv("BOONDOCK_SECRETS", str(tmp_path / "none"))
    (built / "index.html").write_text(HTML)
    for name in ("manifest.webmanifest", "sw.js", "icon.svg", "icon-180.png", "icon-512.png"):
        (built / name).write_text("x")
    sites: list[Site] = []
    with open_folder() as folder:

        def one(table: str = "") -> Site:
            sites.append(Site(folder, table))
            return sites[-1]

        yield one
        for started in sites:
            started.stop()


def test_the_page_comes_packed_and_once_only(site: Callable[..., Site]) -> None:
    here = site()
    answer = here.get(Accept_Encoding="gzip")
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(answer.read()).decode() == HTML
    assert here.get().read().decode() == HTML
    tag = str(here.get().getheader("ETag"))
    assert here.get(If_None_Match=tag).status == 304
    assert answer.getheader("Cache-Control") == "no-cache"
    assert "frame-ancestors 'none'" in str(answer.getheader("Content-Security-Policy"))


def test_each_file_is_said_to_be_what_it_is(site: Callable[..., Site]) -> None:
    here = site()
    found = {name: here.get(f"/{name}").getheader("Content-Type") for name in page.BESIDE}
    assert found == {
        "manifest.webmanifest": "application/manifest+json",
        "sw.js": "text/javascript",
        "icon.svg": "image/svg+xml",
        "icon-180.png": "image/png",
        "icon-512.png": "image/png",
    }
    for outside in ("/../nginx.conf", "/announced", "/www/", "/%2e%2e/nginx.conf"):
        assert here.get(outside).status in (400, 404), outside


def test_mqtt_goes_through_and_only_with_a_password(site: Callable[..., Site]) -> None:
    here = site()
    assert here.log_in("viewer") is Connack.ACCEPTED
    assert here.log_in("viewer", "other") is Connack.REFUSED
    assert connect(here.port) is Connack.REFUSED
    # Nor behind nginx: the broker's own port is for this machine, and asks for one, too.
    direct = here.settings.page.websockets
    assert connect(direct) is Connack.REFUSED
    assert {place for place, port in listening(here.broker.pid) if port == direct} == {"127.0.0.1"}
    assert here.get("/mqtt").status == 426


def test_a_browser_that_another_site_sends_is_refused(site: Callable[..., Site]) -> None:
    here = site()
    own = f"Origin: http://127.0.0.1:{here.port}\r\n"
    assert here.log_in("viewer", more=own) is Connack.ACCEPTED
    for origin in ("http://evil.test", "null", f"http://127.0.0.1:{here.port + 1}", "https://127.0.0.1"):
        with pytest.raises(ConnectionError, match="403"):
            here.log_in("viewer", more=f"Origin: {origin}\r\n")


def test_what_a_browser_says_besides_does_not_fill_the_brokers_headers(site: Callable[..., Site]) -> None:
    here = site()
    assert (
        here.log_in("viewer", more=f"User-Agent: {'x' * 3000}\r\nCookie: {'y' * 3000}\r\n")
        is Connack.ACCEPTED
    )


def test_the_network_comes_in_by_tls_with_the_houses_own_authority(site: Callable[..., Site]) -> None:
    here = site(f"listen = ['{ADDRESS}']\nname = 'van.test'\n")
    assert here.get().read().decode() == HTML
    assert here.log_in("operator") is Connack.ACCEPTED
    authority = here.get("/ca.crt")
    assert authority.getheader("Content-Type") == "application/x-x509-ca-cert"
    assert authority.read() == (here.broker.out / "ca.crt").read_bytes()
    names = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", here.broker.out / "server.pem"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:van.test" in names
    assert f"IP Address:{ADDRESS}" in names
    with pytest.raises(ConnectionError, match="400"):
        connect(here.port, host=ADDRESS)


def test_plain_is_what_the_owner_chose_and_makes_no_certificate(site: Callable[..., Site]) -> None:
    here = site(f"listen = ['{ADDRESS}']\ntls = false\n")
    assert here.get().status == 200
    assert here.log_in("operator") is Connack.ACCEPTED
    assert not (here.broker.out / "server.pem").exists()
    assert str(here.port) in (here.broker.out / "lan.nft").read_text()


def test_doctor_finds_the_page_and_says_when_it_is_gone(site: Callable[..., Site]) -> None:
    here = site()
    (good,) = page.look(f"http://127.0.0.1:{here.port}/", "start it")
    assert good.ok
    here.broker.kill()
    (finding,) = page.look(f"http://127.0.0.1:{here.port}/", "start it")
    assert (finding.ok, finding.mend) == (False, "start it")
    assert "its WebSocket" in finding.text
    assert "502" in finding.text
    (nothing,) = page.look(f"http://127.0.0.1:{free_port()}/", "start it")
    assert "the page does not come" in nothing.text


def test_a_door_to_the_authority_is_beside_the_usual_tls_port_alone(tmp_path: Path) -> None:
    file = tmp_path / "boondock.toml"
    file.write_text(f"[page]\nenabled = true\nlisten = ['{ADDRESS}']\n")
    text = nginx.render(load.load(file), tmp_path, tmp_path / "server.pem")
    assert f"listen {ADDRESS}:443 ssl;" in text
    assert f"listen {ADDRESS}:80;" in text
    assert "location = /ca.crt" in text
    file.write_text(f"[page]\nenabled = true\nlisten = ['{ADDRESS}']\ntls = false\n")
    plain = nginx.render(load.load(file), tmp_path, tmp_path / "server.pem")
    assert f"listen {ADDRESS}:80;" in plain
    assert "ssl" not in plain.replace("ssl_", "")
    assert "/ca.crt" not in plain
    file.write_text(f"[page]\nenabled = true\nlisten = ['{ADDRESS}']\ntls = false\nport = 443\n")
    assert ":80;" not in nginx.render(load.load(file), tmp_path, tmp_path / "server.pem")


@pytest.mark.parametrize("missing", ["page", "settings"])
def test_the_unit_ends_where_only_a_person_can_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setattr(page, "BUILT", tmp_path)
    for name in ("RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path))
    file = tmp_path / "boondock.toml"
    file.write_text("[page]\nenabled = 7\n")
    monkeypatch.setenv("BOONDOCK_CONFIG", str(file))
    if missing == "settings":
        (tmp_path / "index.html").write_text(HTML)
    assert nginx.main() == load.EXIT_CONFIG
    assert {"page": "scripts/page", "settings": "page.enabled"}[missing] in capsys.readouterr().err


def test_the_unit_tries_again_while_an_interface_has_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "BUILT", tmp_path)
    (tmp_path / "index.html").write_text(HTML)
    for name in ("RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path))
    file = tmp_path / "boondock.toml"
    file.write_text("[page]\nenabled = true\nlisten = ['wlan9']\ntls = false\n")
    monkeypatch.setenv("BOONDOCK_CONFIG", str(file))
    assert nginx.main() == 1
    assert "wlan9 has no IPv4 address now" in capsys.readouterr().err
