"""The page of scripts/run: its address comes first, its key alone lets in, and a house runs without it."""

import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cli import page
from cli.broker import files
from config.model import Broker
from scripts import places, served
from scripts.broker import render
from tests.deploy.started import Started
from tests.ports import free_port
from tests.websocket import Connack, connect

ENDS = "Ctrl-C ends everything."
HTML = '<meta name="boondock-base" content="camper">\n<meta name="boondock-ws" content="">\n'


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that was built, where this process looks for it."""
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "index.html").write_text(HTML)
    (folder / "sw.js").write_text("// worker\n")
    monkeypatch.setattr(page, "BUILT", folder)
    return folder


@pytest.fixture
def somewhere(tmp_path: Path) -> Iterator[places.Places]:
    with places.prepare(tmp_path / "data") as made:
        yield made


def shown(run: Started) -> tuple[str, str, str]:
    """Place, user and password of the address that a run prints."""
    (line,) = [line for line in run.text().splitlines() if line.startswith("  page  ")]
    found = urlsplit(line.split()[1])
    login = parse_qs(found.fragment)
    return found.netloc, login["user"][0], login["password"][0]


@pytest.mark.skipif(page.why_missing() is not None, reason="scripts/page has not run here")
def test_its_address_comes_first_and_only_its_login_opens_the_websocket(
    start: Callable[..., Started],
) -> None:
    run = start("--port", str(free_port()))
    assert run.shows(ENDS), run.text()
    assert run.text().splitlines()[1].startswith("  page  ")
    place, user, password = shown(run)
    with urllib.request.urlopen(f"http://{place}/", timeout=10) as answer:
        assert b'name="boondock-base" content="camper"' in answer.read()
    number = int(place.rpartition(":")[2])
    assert connect(number, login=(user, password)) is Connack.ACCEPTED
    assert connect(number, login=(user, "other")) is Connack.REFUSED
    assert connect(number) is Connack.REFUSED
    # A second run beside it has a port of its own, and the same key: a page that is open finds the next run.
    other = start("--port", str(free_port()))
    assert other.shows(ENDS), other.text()
    assert shown(other)[0] != place
    run.ends(signal.SIGINT)


def test_where_the_page_was_not_built_the_run_says_why_and_what_to_do(
    built: Path, somewhere: places.Places
) -> None:
    (built / "index.html").unlink()
    assert "next: ./scripts/page" in str(served.prepare(somewhere, Broker(), "2.0").why)
    (built / "failed").write_text(
        "Node.js could not be fetched; next: check it, then: ./scripts/page\nsums\n"
    )
    made = served.prepare(somewhere, Broker(), "2.0")
    assert made == served.Page("Node.js could not be fetched; next: check it, then: ./scripts/page")
    assert "websockets" not in render(1999, made.listener)


def test_the_copy_is_told_the_base_topic_and_the_key_stays(
    built: Path, somewhere: places.Places, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    made = served.prepare(somewhere, Broker(base="vans/ours"), "2.0", key)
    text = (somewhere.served / "www" / "index.html").read_text()
    assert text == HTML.replace("camper", "vans/ours")
    assert (somewhere.served / "www" / "sw.js").read_text() == (built / "sw.js").read_text()
    assert key.stat().st_mode & 0o777 == 0o600
    again = served.prepare(somewhere, Broker(base="vans/ours"), "2.0", key)
    assert urlsplit(str(again.address)).fragment == urlsplit(str(made.address)).fragment
    assert f"http_dir {somewhere.served}/www" in made.listener
    assert "allow_anonymous false" in made.listener


def test_a_folder_that_keeps_no_key_gets_a_new_one_each_time(
    built: Path, somewhere: places.Places, tmp_path: Path
) -> None:
    assert built.exists()
    (tmp_path / "file").touch()
    keys = {served.prepare(somewhere, Broker(), "2.0", tmp_path / "file" / "key").address for _ in range(2)}
    assert len({urlsplit(str(one)).fragment for one in keys}) == 2


def test_a_mosquitto_that_serves_no_files_beside_a_websocket_gets_a_server_of_its_own(
    built: Path, somewhere: places.Places, tmp_path: Path
) -> None:
    assert built.exists()
    made = served.prepare(somewhere, Broker(), files.VERSIONS[1], tmp_path / "key")
    port = urlsplit(str(made.address)).port
    assert made.server[-1] == str(port)
    (websocket,) = [line.split()[1] for line in made.listener.splitlines() if line.startswith("listener ")]
    assert websocket != str(port)
    assert "http_dir" not in made.listener
    html = (somewhere.served / "www" / "index.html").read_text()
    assert f'<meta name="boondock-ws" content="{websocket}">' in html


def test_two_runs_that_start_at_once_choose_two_ports(
    built: Path, somewhere: places.Places, tmp_path: Path
) -> None:
    assert built.exists()
    first = served.prepare(somewhere, Broker(), "2.0", tmp_path / "key")
    second = served.prepare(somewhere, Broker(), "2.0", tmp_path / "key")
    assert urlsplit(str(first.address)).port != urlsplit(str(second.address)).port


def test_no_free_port_leaves_the_page_out(
    built: Path, somewhere: places.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built.exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(served, "FIRST", taken.getsockname()[1])
        monkeypatch.setattr(served, "_TRIED", 1)
        assert "all taken" in str(served.prepare(somewhere, Broker(), "2.0").why)
