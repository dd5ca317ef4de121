"""Who a command is at a broker with users, and what a refusal tells to do."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bus.topics import Topics
from cli import doctor, house
from cli.asking import Asker
from cli.house import House, kept_password
from cli.terminal import CommandError
from config.model import Broker, Settings
from tests import command
from tests.client import Client
from tests.secured import SecuredBroker, open_folder


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBroker]:
    with open_folder() as folder:
        broker = SecuredBroker(folder, "[user.anna]\nrole = 'operator'\n")
        broker.start()
        client = Client(broker.port, login=broker.login("boondock_controller"))
        client.publish("camper/service/controller", "online", retain=True)
        client.close()
        yield broker
        broker.stop()


def boondock(broker: SecuredBroker, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"BOONDOCK_CONFIG": str(broker.config), "BOONDOCK_SECRETS": "/nowhere"}
    return command.boondock(broker.folder, *arguments, **variables)


COMMANDS = (
    ("log",),
    ("watch", "--seconds", "0"),
    ("set", "relay.pump", "ON"),
    ("read", "mppt"),
    ("history", "mppt.voltage"),
    ("stats", "mppt.voltage"),
    ("export", "--entity", "mppt.voltage"),
    ("scan", "ble"),
    ("fix", "list"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_who_names_no_user_is_told_what_to_do(secured: SecuredBroker, command: tuple[str, ...]) -> None:
    done = boondock(secured, *command)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "refuses who names no user (Not authorized" in done.stderr
    assert "next: run this with sudo, or give --user and --password-file" in done.stderr


def test_a_wrong_password_is_told_with_the_user(secured: SecuredBroker, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("wrong\n")
    done = boondock(secured, "log", "--user", "anna", "--password-file", str(tmp_path / "word"))
    assert (done.returncode, "refuses user anna (" in done.stderr, "next: " in done.stderr) == (1, True, True)


def test_the_password_of_a_file_comes_in_at_a_place_that_is_named(secured: SecuredBroker) -> None:
    word = secured.secrets / "boondock-anna-password"
    place = ("--host", "127.0.0.1", "--port", str(secured.port))
    done = boondock(
        secured, "watch", "--seconds", "0.1", *place, "--user", "anna", "--password-file", str(word)
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--password-file", "/dev/null"), "--password-file: of which user? next: add --user NAME"),
        (("--user", "anna", "--password-file", "/no/file"), "No such file or directory: /no/file"),
    ],
)
def test_half_a_login_is_told(secured: SecuredBroker, options: tuple[str, ...], said: str) -> None:
    done = boondock(secured, "log", *options)
    assert (done.returncode, done.stderr) == (1, f"boondock log: {said}\n")


def test_root_is_admin_in_an_installed_house_and_nowhere_else(
    secured: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "kept_password", lambda user: kept_password(user, secured.secrets))
    monkeypatch.setenv("TMPDIR", str(secured.folder))
    monkeypatch.delenv("BOONDOCK_CONFIG", raising=False)
    _, password = secured.login("admin")
    elsewhere = House(config=secured.config).broker()
    assert (elsewhere.username, elsewhere.password) == (None, None), "a password goes to no broker but ours"
    monkeypatch.setattr(house, "INSTALLED", secured.config)
    broker = House(config=secured.config).broker()
    assert (broker.username, broker.password) == ("admin", password)
    asked = House(config=secured.config, user="anna").broker()
    assert (asked.username, asked.password) == secured.login("anna")
    assert House(config=secured.config, host="other.local").broker().password is None


def test_doctor_tries_every_user_whose_password_it_may_read(secured: SecuredBroker) -> None:
    settings = Settings(broker=Broker(host="127.0.0.1", port=secured.port))
    users = ["boondock_controller", "admin", "viewer"]

    def known(name: str) -> str | None:
        return secured.login(name)[1] if name in users else None

    found = list(doctor.as_each_user(settings, settings.broker, known))
    assert sorted(one.text for one in found) == sorted(f"{user} comes in" for user in users)
    (wrong,) = doctor.as_each_user(settings, settings.broker, {"viewer": "no"}.get)
    assert (wrong.ok, wrong.mend) == (False, "sudo boondock broker --reload, then restart the services")
    assert "refuses user viewer" in wrong.text
    gone = replace(settings.broker, port=1)
    assert not next(doctor.as_each_user(settings, gone, {"viewer": "no"}.get)).ok


def test_a_viewer_who_asks_for_a_change_is_told_so_at_once() -> None:
    with open_folder() as folder:
        broker = SecuredBroker(folder, "")
        broker.start()
        service = Client(broker.port, login=broker.login("boondock_statistician"))
        service.publish(Topics().service("statistician"), "online", retain=True)
        user, password = broker.login("viewer")
        settings = Broker(host="127.0.0.1", port=broker.port, username=user, password=password)
        try:
            with (
                Asker(settings) as asker,
                pytest.raises(CommandError, match=r"Not authorized.*allowed to ask"),
            ):
                list(asker.pages("undo", {"fix": 1}, dict[str, object]))
        finally:
            service.close()
            broker.stop()
