"""`boondock phone` at a real broker: a login of its own, what is printed, and that a revoked one is out."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import command
from tests.lan import ADDRESS
from tests.ports import free_port
from tests.secured import SecuredBroker, open_folder
from tests.websocket import Connack, connect

PORT = free_port()
CLOSED = f"[page]\nenabled = true\nwebsockets = {PORT}\n"
OPEN = f"{CLOSED}listen = ['{ADDRESS}']\nname = 'van.test'\n"


class House:
    """A broker as `boondock broker` sets it up, and the command that lets phones in."""

    def __init__(self, folder: Path, page: str) -> None:
        self.broker = SecuredBroker(folder, page)
        self.broker.start()

    def phone(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What the command says."""
        places = ["--config", str(self.broker.config), "--out", str(self.broker.out)]
        places += ["--secrets", str(self.broker.secrets)]
        none = str(self.broker.folder / "no-secrets")
        return command.boondock(self.broker.folder, "phone", *places, *arguments, BOONDOCK_SECRETS=none)

    def let_in(self, *arguments: str) -> dict[str, str]:
        """What programs are told; it must succeed."""
        done = self.phone(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def house(folder: Path) -> Iterator[House]:
    made = House(folder, OPEN)
    yield made
    made.broker.stop()


def login(said: dict[str, str]) -> tuple[str, str]:
    found = parse_qs(urlsplit(said["address"]).fragment)
    return found["user"][0], found["password"][0]


def test_a_phone_gets_a_login_of_its_own_that_ends_when_it_is_revoked(house: House) -> None:
    anna = house.let_in("Anna's phone")
    assert anna["address"].startswith("https://van.test/#user=phone_anna_s_phone&password=")
    assert anna["role"] == "operator"
    ben = house.let_in("ben", "--role", "viewer")
    assert ben["role"] == "viewer"
    for said in (anna, ben):
        assert connect(PORT, login(said)) is Connack.ACCEPTED
    # Asked for again it is the same one; another role is the same login.
    assert house.let_in("ben") == ben
    assert login(house.let_in("ben", "--role", "operator")) == login(ben)
    assert json.loads(house.phone("--list", "--json").stdout)["phones"] == {
        "anna_s_phone": "operator",
        "ben": "operator",
    }
    done = house.phone("--revoke", "anna's phone")
    assert done.returncode == 0, done.stderr
    assert connect(PORT, login(anna)) is Connack.REFUSED
    assert connect(PORT, login(ben)) is Connack.ACCEPTED
    text = house.broker.config.read_text()
    assert "anna" not in text
    assert "[user.phone_ben]" in text
    # The name may be had again, with another password.
    assert login(house.let_in("anna's phone")) != login(anna)


def test_what_a_viewer_may_do_is_in_the_acl(house: House) -> None:
    house.let_in("ben", "--role", "viewer")
    acl = (house.broker.out / "acl").read_text().split("user phone_ben\n")[1].split("\nuser ")[0]
    assert "topic read camper/state/+" in acl
    assert "camper/set" not in acl


def test_it_says_what_to_do_on_the_phone(house: House) -> None:
    said = house.phone("anna").stdout
    assert "http://van.test/ca.crt" in said
    for word in ("Certificate Trust Settings", "CA certificate", "▄", f"https://{ADDRESS}/#user=phone_anna&"):
        assert word in said
    assert "sudo boondock phone --revoke anna" in said
    (sha,) = [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("SHA-256")]
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", house.broker.out / "ca.crt"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sha in shown


def test_without_tls_it_says_who_can_read_it(folder: Path) -> None:
    house = House(folder, f"{OPEN}tls = false\n")
    said = house.phone("anna").stdout
    assert "not encrypted" in said
    assert "ca.crt" not in said
    assert "http://van.test/#user=phone_anna&password=" in said
    house.broker.stop()


@pytest.mark.parametrize(
    ("page", "arguments", "words"),
    [
        ("", ("anna",), "the page is not switched on; next: sudo boondock configure page"),
        (CLOSED, ("anna",), "for this machine alone; next: sudo boondock configure page"),
        (OPEN, ("--revoke", "operator"), "there is no phone operator; there are: none"),
        (OPEN, (), "next: sudo boondock phone NAME"),
    ],
    ids=["none", "closed", "unknown", "nameless"],
)
def test_what_cannot_be_is_one_line(folder: Path, page: str, arguments: tuple[str, ...], words: str) -> None:
    house = House(folder, page)
    before = house.broker.config.read_text()
    done = house.phone(*arguments)
    house.broker.stop()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line
    assert house.broker.config.read_text() == before
