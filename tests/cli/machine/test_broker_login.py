"""What `boondock check --machine` and `boondock doctor` say of a broker with users, on a real one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import doctor
from cli.machine import broker as looked_at
from cli.machine.finding import Finding
from cli.machine.place import UNIT, Place
from config.model import Broker, Settings
from tests.broker import Mosquitto
from tests.ports import free_port

KEPT = "etc/credstore/boondock-admin-password"


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Broker]:
    """A broker that knows `admin` and nobody else."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "admin", "right"], check=True)
    passwords.chmod(0o644)
    mosquitto = Mosquitto(tmp_path, extra=f"password_file {passwords}\n")
    conf = mosquitto._conf
    conf.write_text(conf.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    mosquitto.start()
    yield Broker(port=mosquitto.port)
    mosquitto.stop()


def look(root: Path, settings: Broker) -> Finding:
    (found,) = looked_at.broker(Place(root), settings)
    return found


def test_an_installed_house_logs_in_with_the_password_that_is_kept_there(
    tmp_path: Path, strict: Broker
) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).write_text("")
    who = f"the broker at 127.0.0.1:{strict.port} refuses who names no user (Not authorized)"
    assert look(tmp_path, strict) == Finding("broker", who, "sudo boondock check --machine")
    (tmp_path / KEPT).parent.mkdir()
    (tmp_path / KEPT).write_text("right\n")
    assert look(tmp_path, strict) == Finding("broker", f"127.0.0.1:{strict.port} lets admin in", ok=True)


def test_without_units_the_login_is_the_files(tmp_path: Path, strict: Broker) -> None:
    found = look(tmp_path, strict)
    assert (found.ok, found.mend) == (
        False,
        "write username below [broker] and the password into the secret file broker__password",
    )


def test_doctor_says_once_that_no_broker_is_there_and_guesses_nothing_from_it() -> None:
    nowhere = Broker(port=free_port())
    found = list(doctor.examine(Settings(broker=nowhere), nowhere, installed=False, data=None))
    assert [one.subject for one in found] == ["broker"]
    assert not found[0].ok
