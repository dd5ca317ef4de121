"""`boondock check`: mistakes of the settings, and whether the broker lets us in."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.health import VERSION
from cli import check, doctor
from cli.machine import UNIT, Finding, Machine
from config.model import Broker, Settings
from tests import command
from tests.broker import Mosquitto
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "0123456789abcdef0123456789abcdef"
DEVICE = f"""\
[device.shunt]
kind = "victron_battery_monitor"
address = "C0:11:22:33:44:55"
key = "{KEY}"
"""


def boondock(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a folder."""
    return command.boondock(folder, *arguments, **{"BOONDOCK_SECRETS": str(folder / "secrets")} | variables)


def written(folder: Path, text: str) -> Path:
    """A configuration file."""
    file = folder / "boondock.toml"
    file.write_text(text)
    return file


def test_a_good_file_is_called_good_with_what_is_in_it(tmp_path: Path) -> None:
    file = written(tmp_path, DEVICE + "[relay.pump]\npin = 4\n[broker]\nport = 1884\nbase = 'van'\n")
    done = boondock("check", "--config", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: good. Broker 127.0.0.1:1884, base topic van; shunt; pump.\n"


def test_the_demo_is_good() -> None:
    done = boondock("check", "--config", "tests/emulators/demo.toml")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_as_it_comes_is_nobodys_van() -> None:
    done = boondock("check", "--config", "config/example.toml")
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        f"config/example.toml line {line}: device.{name}.address: this is config/example.toml's address, "
        "which nobody has; write the address of your device, or remove its table"
        for name, line in (("smartshunt", _line("01")), ("mppt", _line("02")))
    ]


def _line(end: str) -> int:
    """The line of the example's address that ends so."""
    lines = (ROOT / "config" / "example.toml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if f'EE:{end}"' in line)


def test_a_wrong_file_is_told_line_by_line_and_ends_with_78(tmp_path: Path) -> None:
    file = written(tmp_path, "[broker]\nport = 0\n[brokre]\n")
    done = boondock("check", "--config", str(file))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        f"{file} line 2: broker.port: 0 is not allowed; allowed: greater than or equal to 1",
        f"{file} line 3: brokre: there is no such setting; did you mean broker?",
    ]


@pytest.mark.parametrize(
    ("text", "key", "wrong", "allowed"),
    [
        (
            DEVICE.replace("battery_monitor", "batery_monitor"),
            "device.shunt.kind",
            "there is no kind 'victron_batery_monitor'",
            "did you mean victron_battery_monitor? docs/devices.md lists all kinds",
        ),
        (
            DEVICE.replace('address = "C0:11:22:33:44:55"\n', ""),
            "device.shunt.address",
            "it is missing",
            "AA:BB:CC:DD:EE:FF",
        ),
        (
            DEVICE.replace(f'key = "{KEY}"\n', ""),
            "device.shunt.key",
            "it is missing",
            "32 hexadecimal digits, here or in the secret file device__shunt__key",
        ),
    ],
)
def test_what_only_the_kind_of_device_knows_is_checked_too(
    tmp_path: Path, text: str, key: str, wrong: str, allowed: str
) -> None:
    file = written(tmp_path, text)
    done = boondock("check", "--config", str(file))
    line = 2 if key.endswith("kind") else 1
    said = allowed if allowed.startswith("did") else f"allowed: {allowed}"
    assert (done.returncode, done.stderr) == (78, f"{file} line {line}: {key}: {wrong}; {said}\n")


def test_a_step_for_an_entity_the_device_does_not_have_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, DEVICE + "steps = { volts = 1.0, voltage = 0.1 }\n")
    done = boondock("check", "--config", str(file))
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{file} line 5: device.shunt.steps.volts: there is no such entity; allowed: ")
    assert "voltage" in line


def test_several_devices_with_mistakes_are_all_told(tmp_path: Path) -> None:
    file = written(tmp_path, '[device.a]\nkind = "x"\n[device.b]\nkind = "victron_solar_charger"\n')
    done = boondock("check", "--config", str(file))
    keys = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert keys == ["device.a.kind", "device.b.address", "device.b.key"]


def test_a_key_in_its_secret_file_is_found(tmp_path: Path) -> None:
    written(tmp_path, DEVICE.replace(f'key = "{KEY}"\n', ""))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "device__shunt__key").write_text(KEY)
    done = boondock("check", folder=tmp_path)
    assert done.returncode == 0
    assert KEY not in done.stdout


def test_without_config_it_reads_the_file_the_processes_would(tmp_path: Path) -> None:
    written(tmp_path, "[broker]\nport = 2000\n")
    assert "127.0.0.1:2000" in boondock("check", folder=tmp_path).stdout
    other = tmp_path / "other.toml"
    other.write_text("[broker]\nport = 3000\n")
    assert "127.0.0.1:3000" in boondock("check", folder=tmp_path, BOONDOCK_CONFIG=str(other)).stdout


def test_a_file_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = boondock("check", folder=tmp_path)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith("boondock.toml: No such file or directory; allowed: ")


def test_the_version_is_told() -> None:
    done = boondock("--version")
    assert (done.returncode, done.stdout) == (0, f"boondock {VERSION}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command; next: boondock --help"),
        (["chekc"], "there is no command 'chekc'; did you mean check? boondock --help lists them"),
        (["check", "--confg", "x"], "No such option: --confg (Possible options: --config, --json); next: "),
        (["export"], "Missing option '--entity'; next: boondock export --help"),
        (
            ["log", "--limit", "0"],
            "Invalid value for '--limit': Input should be greater than or equal to 1; next: ",
        ),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_with_the_next_step(arguments: list[str], said: str) -> None:
    done = boondock(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"boondock: {said}")


def test_fifteen_mistakes_of_all_sorts_are_named_at_once() -> None:
    done = boondock("check", "--config", "tests/cli/many_mistakes.toml")
    assert done.returncode == 78
    keys = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert sorted(keys) == sorted(
        [
            "broker.port",
            "broker.base",
            "broker.hots",
            "storage.outbox_rows",
            "device.House",
            "device.House.address",
            "device.House.key",
            "device.mppt.key",
            "device.mppt.steps.voltag",
            "device.fridge.kind",
            "device.epever.port",
            "device.epever.pin",
            "device.epever.cron",
            "relay.pump.pin",
            "relay.heater.pin",
        ]
    )


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
    (found,) = check.reach_broker(Machine(root), settings)
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
    found = list(doctor.look(Settings(broker=nowhere), nowhere, installed=False, data=None))
    assert [one.subject for one in found] == ["broker"]
    assert not found[0].ok
