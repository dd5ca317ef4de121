"""Users in a Mosquitto that was here before: added, known, and taken out: its files are as they were."""

import pytest

from cli.broker import hashes, verifies
from cli.broker.files import BrokerUsers
from cli.install import texts
from cli.terminal import CommandError
from config.model import Settings
from tests.cli.install.machine import Machine

USERS, RIGHTS = "/etc/mosquitto/users", "/etc/mosquitto/rights"


@pytest.fixture
def house(machine: Machine) -> Machine:
    machine.with_mosquitto()
    conf = machine.at(texts.CONF)
    conf.write_text(f"{conf.read_text()}acl_file {RIGHTS}\n")
    machine.at(RIGHTS).write_text("user anna\ntopic readwrite #\n")
    return machine


def vault(house: Machine) -> list[str]:
    return sorted(one.name for one in house.at("/etc/credstore").glob("*"))


@pytest.mark.parametrize(
    ("users", "rights"),
    [
        (b"anna:$7$101$x$y\n", b"user anna\ntopic readwrite #\n"),
        (b"anna:$7$101$x$y\r\n", b"user anna\r\ntopic readwrite #\r\n"),
        (b"j\xfcrgen:x\n", b"# f\xfcr Anna\nuser anna\n"),
        (b"", b""),
        (b"viewer:x\n", b"user viewer\ntopic read #\n"),
        (b"anna:x\n", b"\n\nuser anna\n\n\n"),
        (b"anna:x\n# mine", b"user anna\r\ntopic read #"),
        (b"anna:x\r\nb:y\r", b"user anna\ntopic read #\r"),
    ],
)
def test_their_files_are_given_back_byte_by_byte(house: Machine, users: bytes, rights: bytes) -> None:
    house.at(USERS).write_bytes(users)
    house.at(USERS).chmod(0o640)
    house.at(RIGHTS).write_bytes(rights)
    mine = BrokerUsers(house, Settings())
    assert not mine.there()
    mine.add()
    assert house.at(USERS).read_bytes().endswith(users)
    assert house.at(RIGHTS).read_bytes().startswith(rights)
    assert house.at(USERS).stat().st_mode & 0o777 == 0o640
    assert BrokerUsers(house, Settings()).there()
    assert house.ran == [f"systemctl reload {texts.MOSQUITTO}"]
    BrokerUsers(house, Settings()).remove()
    assert (house.at(USERS).read_bytes(), house.at(RIGHTS).read_bytes()) == (users, rights)
    assert vault(house) == []


def test_each_process_gets_a_password_that_its_unit_finds(house: Machine) -> None:
    BrokerUsers(house, Settings()).add()
    known = hashes(house.at(USERS).read_text())
    assert {"anna", "boondock_controller", "boondock_statistician", "viewer", "admin"} <= set(known)
    password = house.at("/etc/credstore/boondock-controller-password").read_text().strip()
    assert verifies(known["boondock_controller"], password)
    assert "user boondock_controller" in house.at(RIGHTS).read_text()


def test_a_user_of_the_same_name_who_was_here_first_stays_with_all_he_has(house: Machine) -> None:
    house.at(USERS).write_text("viewer:theirs\n")
    mine = BrokerUsers(house, Settings())
    assert mine.left_out == ["viewer"]
    mine.add()
    assert "boondock-viewer-password" not in vault(house)
    assert "viewer:theirs" in house.at(USERS).read_text()
    assert BrokerUsers(house, Settings()).left_out == ["viewer"], "also the second time"


def test_what_somebody_changed_meanwhile_stays(house: Machine) -> None:
    BrokerUsers(house, Settings()).add()
    for path, line in ((USERS, "berta:x\n"), (RIGHTS, "user berta\n")):
        house.at(path).write_text(house.at(path).read_text() + line)
    BrokerUsers(house, Settings()).remove()
    assert house.at(USERS).read_text() == "anna:x\nberta:x\n"
    assert house.at(RIGHTS).read_text() == "user anna\ntopic readwrite #\nuser berta\n"


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ("listener 1883\nallow_anonymous true\n", "asks for no passwords"),
        (
            f"password_file {USERS}\nper_listener_settings true\n",
            "cannot be given users .*\nnext: add a user",
        ),
        (f"password_file {USERS}\nplugin /x.so\n", "a plugin decides"),
    ],
)
def test_where_users_cannot_be_added_it_is_told(house: Machine, conf: str, why: str) -> None:
    house.at(texts.CONF).write_text(conf)
    with pytest.raises(CommandError, match=why):
        BrokerUsers(house, Settings())
    assert house.at(USERS).read_text() == "anna:x\n"


def test_a_file_without_an_end_of_its_last_line_keeps_its_users(house: Machine) -> None:
    house.at(USERS).write_text("anna:x")
    BrokerUsers(house, Settings()).add()
    assert {"anna", "boondock_controller"} <= set(hashes(house.at(USERS).read_text()))
