"""`boondock configure` with scripted answers: what changes, what stays, what is refused."""

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.configure import Target, ask_again
from cli.install import System
from cli.terminal import CommandError, Report, SettingsError
from tests import command
from tests.house import ROOT

KEY, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
TOML = f"""\
# My van. Do not lose this line.
[broker]
port = 1883   # as ever

[device.shunt]  # under the seat
kind = "victron_battery_monitor"
address = "C0:11:22:33:44:55"
key = "{KEY}"
steps = {{ voltage = 0.05 }}

[device.grid]
kind = "modbus"
profile = "sdm630"
port = "tcp://192.168.1.40"

[device.energy]
kind = "integral"
source = "grid.grid_power"

# The pump is loud.
[relay.pump]
pin = 17

[controller]
pins = "simulated"
"""


@dataclass
class _Machine(System):
    """A machine below a folder whose commands are only noted."""

    ran: list[str] = field(default_factory=list)
    zone: str = "Etc/UTC"

    def ask(self, *argv: str) -> str:
        if argv[0] == "timedatectl":
            return self.zone
        return "Nothing would change." if "--dry-run" in argv else ""

    def word(self, *argv: str) -> str:
        return (
            "LoadState=loaded" if argv[1] == "show" else "enabled" if "boondock" in argv[-1] else "disabled"
        )

    def succeeds(self, *argv: str) -> bool:
        return "mosquitto.service" not in argv

    def run(self, *argv: str, live: bool = False, env: object = None) -> None:
        del live, env
        self.ran.append(" ".join(argv))
        if argv[:2] == ("timedatectl", "set-timezone"):
            self.zone = argv[2]


@dataclass
class _Clone:
    """A folder with a boondock.toml, and what was said."""

    folder: Path
    machine: _Machine
    report: Report = field(default_factory=Report)
    prompts: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "boondock.toml"

    def target(self) -> Target:
        return Target.of(None, self.machine, self.folder)

    def ask(
        self, part: str | None, *answers: str, dry_run: bool = False, target: Target | None = None
    ) -> int:
        left = iter(answers)

        def read(prompt: str) -> str:
            self.prompts.append(prompt)
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        target = target or self.target()
        code = ask_again(part, target, self.machine, read, self.report, dry_run=dry_run)
        assert list(left) == [], "all answers were asked for"
        return code

    def settings(self) -> dict[str, dict[str, Any]]:
        return tomllib.loads(self.file.read_text())


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Clone:
    monkeypatch.delenv("BOONDOCK_SECRETS", raising=False)
    monkeypatch.delenv("BOONDOCK_CONFIG", raising=False)
    made = _Clone(tmp_path / "clone", _Machine(tmp_path / "machine"))
    made.folder.mkdir()
    made.file.write_text(TOML)
    return made


@pytest.fixture
def house(clone: _Clone, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Clone]:
    """The same, installed."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    root = clone.machine.root
    release = root / "opt/boondock/releases/1"
    release.mkdir(parents=True)
    (release / ".ready").touch()
    shutil.copytree(ROOT / "systemd", release / "systemd")
    (root / "opt/boondock/current").symlink_to(release)
    made = _Clone(root / "etc/boondock", clone.machine)
    (made.folder / "secrets").mkdir(parents=True)
    made.file.write_text(TOML)
    yield made
    assert not list(made.folder.glob(".*")), "nothing is left behind"


def changed(clone: _Clone) -> tuple[list[str], list[str]]:
    old, new = TOML.splitlines(), clone.file.read_text().splitlines()
    return [one for one in old if one not in new], [one for one in new if one not in old]


def test_an_output_is_changed_and_all_else_stays(clone: _Clone, capsys: pytest.CaptureFixture[str]) -> None:
    assert clone.ask("outputs", "2", "27", "y", "") == 0
    assert changed(clone) == (["pin = 17"], ["pin = 27", "active_low = true"])
    (copy,) = clone.folder.glob("boondock.toml.before-*")
    assert copy.read_text() == TOML
    said = capsys.readouterr().out
    assert "-pin = 17\n+pin = 27\n+active_low = true" in said
    assert clone.report.next == ["./scripts/run must be started again: end it with Ctrl-C, if it runs"]


def test_an_output_is_added_with_the_installers_questions(clone: _Clone) -> None:
    assert clone.ask("outputs", "1", "Fan!", "5", "", "-", "") == 0
    assert changed(clone) == ([], ["[relay.fan]", "pin = 5", "active_low = true"])
    assert not any("no pins" in one for one in clone.prompts), "it is said already"


@pytest.mark.parametrize(
    ("part", "answers"),
    [
        ("outputs", ("2", "", "")),
        ("outputs", ("1", "-")),
        ("device", ("2", "", "")),
        ("device", ("3", "", "", "")),
        ("device", ("1", "1")),
        ("broker", ("1",)),
        ("phone", ("n",)),
        ("phone", ("",)),
        ("zone", ("",)),
        (None, ("5", "")),
    ],
)
def test_who_takes_every_default_changes_nothing(
    clone: _Clone, part: str | None, answers: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert clone.ask(part, *answers) == 0
    assert capsys.readouterr().out.endswith("Nothing changes.\n")
    assert [one.name for one in clone.folder.iterdir()] == ["boondock.toml"]
    assert clone.file.read_text() == TOML


def test_a_device_keeps_its_kind_and_what_is_not_asked(
    clone: _Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clone.ask("device", "2", "c0-11-22-33-44-77", OTHER, "") == 0
    shunt = clone.settings()["device"]["shunt"]
    assert shunt["kind"] == "victron_battery_monitor"
    assert (shunt["address"], shunt["key"], shunt["steps"]) == ("C0:11:22:33:44:77", OTHER, {"voltage": 0.05})
    said = capsys.readouterr().out
    assert KEY not in said
    assert OTHER not in said
    assert clone.file.stat().st_mode & 0o777 == 0o600


def test_secrets_go_into_files_where_a_folder_is_named(
    clone: _Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOONDOCK_SECRETS", str(tmp_path / "secrets"))
    assert clone.ask("device", "2", "", OTHER, "") == 0
    assert "key" not in clone.settings()["device"]["shunt"]
    assert (tmp_path / "secrets/device__shunt__key").read_text() == f"{OTHER}\n"
    assert (tmp_path / "secrets/device__shunt__key").stat().st_mode & 0o777 == 0o600
    assert os.environ["BOONDOCK_SECRETS"] == str(tmp_path / "secrets")


def test_a_device_on_the_network_gets_its_port(clone: _Clone) -> None:
    assert clone.ask("device", "3", "192.168.1.41", "", "7", "") == 0
    assert changed(clone) == (
        ['port = "tcp://192.168.1.40"'],
        ['port = "tcp://192.168.1.41"', "unit = 7"],
    )


def test_a_device_without_questions_is_left_to_its_owner(clone: _Clone) -> None:
    with pytest.raises(CommandError, match=r"no questions about energy, of kind integral\nnext: "):
        clone.ask("device", "4")


def test_a_port_that_is_in_use_is_not_offered(clone: _Clone) -> None:
    ports = clone.machine.root / "dev/serial/by-id"
    ports.mkdir(parents=True)
    for name in ("usb-VictronEnergy_A", "usb-VictronEnergy_B"):
        (ports / name).touch()
    clone.file.write_text(
        TOML + '[device.mppt]\nkind = "vedirect"\nport = "/dev/serial/by-id/usb-VictronEnergy_A"\n'
    )
    assert clone.ask("device", "1", "", "", "", "") == 0
    assert clone.settings()["device"]["victron_cable"]["port"] == "/dev/serial/by-id/usb-VictronEnergy_B"


def test_the_broker_moves_elsewhere_and_back(house: _Clone) -> None:
    secret = house.folder / "secrets/broker__password"
    house.ask("broker", "2", "192.0.2.7", "", "van", "s3cret", "-", "", "")
    assert house.settings()["broker"] == {"port": 1883, "host": "192.0.2.7", "username": "van"}
    assert secret.read_text() == "s3cret\n"
    # Again: all is known.
    assert house.ask("broker", *[""] * 7) == 0
    house.ask("broker", "1", "")
    assert house.settings()["broker"] == {}
    assert not secret.exists()
    assert "# My van. Do not lose this line." in house.file.read_text()


def test_phones_come_in_and_go(clone: _Clone) -> None:
    clone.ask("phone", "y", "wlan0, eth0", "")
    assert clone.settings()["lan"] == {"listen": ["wlan0", "eth0"]}
    clone.ask("phone", "n", "")
    assert clone.settings()["lan"] == {}


def test_phones_of_a_broker_elsewhere_are_set_there(clone: _Clone) -> None:
    clone.file.write_text('[broker]\nhost = "10.0.0.2"\n')
    with pytest.raises(CommandError, match=r"10\.0\.0\.2 as it is set up there\nnext: "):
        clone.ask("phone")


def test_the_time_zone_is_the_machines(clone: _Clone) -> None:
    assert clone.ask("zone", "Europe/Oslo", "") == 0
    assert clone.report.next == ["sudo timedatectl set-timezone Europe/Oslo"]
    assert clone.file.read_text() == TOML


def test_an_installed_house_is_restarted_once(house: _Clone) -> None:
    house.ask("outputs", "2", "27", "", "")
    assert changed(house) == (["pin = 17"], ["pin = 27"])
    assert [one for one in house.machine.ran if "restart" in one] == ["systemctl restart boondock.target"]
    assert any("status --wait" in one for one in house.machine.ran), "readings are awaited"
    house.machine.ran.clear()
    house.ask("zone", "Europe/Oslo", "")
    assert [one for one in house.machine.ran if "systemctl restart" in one or "zone" in one] == [
        "timedatectl set-timezone Europe/Oslo",
        "systemctl restart boondock.target",
    ]
    assert house.machine.zone == "Europe/Oslo"


def test_an_installed_house_needs_root_before_any_question(
    house: _Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="sudo boondock configure"):
        house.ask("outputs")
    assert house.prompts == []


@pytest.mark.parametrize(
    ("part", "answers"),
    [(None, ()), ("outputs", ("2",)), ("outputs", ("2", "27", "")), ("outputs", ("2", "27", "", "n"))],
)
def test_answers_that_end_change_nothing(clone: _Clone, part: str | None, answers: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="nothing was changed"):
        clone.ask(part, *answers)
    assert clone.file.read_text() == TOML
    assert [one.name for one in clone.folder.iterdir()] == ["boondock.toml"]


def test_a_dry_run_shows_and_changes_nothing(clone: _Clone) -> None:
    assert clone.ask("outputs", "2", "27", "", dry_run=True) == 0
    assert "+pin = 27" in clone.report.done
    assert [one.name for one in clone.folder.iterdir()] == ["boondock.toml"]
    assert clone.file.read_text() == TOML


def test_settings_that_would_be_wrong_are_refused(clone: _Clone) -> None:
    clone.file.write_text(TOML + "\n[relay.fan]\npin = 27\n")
    with pytest.raises(
        SettingsError, match=r"boondock\.toml line \d+: relay\.\w+\.pin.*\nnothing was changed\nnext: "
    ):
        clone.ask("outputs", "2", "27", "")
    assert "pin = 17" in clone.file.read_text()
    assert [one.name for one in clone.folder.iterdir()] == ["boondock.toml"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"there is no .*boondock\.toml\nnext: "),
        (b"[relay.pump\npin = 17\n", r"boondock\.toml line 1.*\n.*\n.*\nnext: "),
        (b"\xff\xfe[\0r\0]\0", r"not UTF-8 but UTF-16\S*.*\nnext: "),
        (b"[relay.pump]\npin = 17\nname = '\xe4'\n", r"Latin-1\nnext: "),
        (b"[relay.pump]\npin = 17\n[relay.pump]\npin = 18\n", r"is here twice"),
    ],
)
def test_a_file_that_cannot_be_changed_is_told(clone: _Clone, content: bytes | None, said: str) -> None:
    if content is None:
        clone.file.unlink()
    else:
        clone.file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        clone.ask("outputs")
    assert clone.prompts == []


def test_what_is_written_otherwise_is_left_alone(clone: _Clone) -> None:
    clone.file.write_text("relay.pump = { pin = 17 }\n")
    with pytest.raises(CommandError, match="change it by hand"):
        clone.ask("outputs", "2", "27", "")
    assert clone.file.read_text() == "relay.pump = { pin = 17 }\n"


def test_line_ends_of_windows_stay(clone: _Clone) -> None:
    clone.file.write_bytes(TOML.replace("\n", "\r\n").encode())
    clone.ask("outputs", "2", "27", "", "")
    raw = clone.file.read_bytes()
    assert b"\r\npin = 27\r\n" in raw
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_yes_takes_what_is_found_and_says_what_it_cannot_answer(clone: _Clone) -> None:
    ports = clone.machine.root / "dev/serial/by-id"
    ports.mkdir(parents=True)
    (ports / "usb-VictronEnergy_B").touch()
    target = clone.target()
    assert ask_again("device", target, clone.machine, None, clone.report, dry_run=False) == 0
    assert clone.settings()["device"]["victron_cable"]["kind"] == "vedirect"
    with pytest.raises(CommandError, match=r"--yes of which part\?\nnext: "):
        ask_again(None, target, clone.machine, None, clone.report, dry_run=False)
    clone.file.write_text('[broker]\nhost = "10.0.0.2"\nusername = "van"\npassword = "x"\n')
    assert ask_again("broker", target, clone.machine, None, clone.report, dry_run=False) == 0


def test_which_file_is_meant(
    clone: _Clone, house: _Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert house.target().release is not None
    assert Target.of(clone.file, house.machine) == Target(clone.file)
    monkeypatch.setenv("BOONDOCK_CONFIG", str(tmp_path / "named.toml"))
    assert house.target() == Target(tmp_path / "named.toml")
    monkeypatch.delenv("BOONDOCK_CONFIG")
    (house.machine.root / "opt/boondock/current").unlink()
    assert Target.of(None, house.machine, clone.folder) == Target(clone.file)


def test_the_command_asks_on_standard_error_where_json_is_wanted(clone: _Clone) -> None:
    words = ["configure", "outputs", "--config", str(clone.file), "--json"]
    done = command.boondock(ROOT, *words, given="2\n27\n\n\n")
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], said["failed"]) == (0, True, None), done.stderr
    assert said["done"][0].startswith(f"changed {clone.file}; the old one is boondock.toml.before-")
    assert "./scripts/run must be started again" in said["next"][0]
    assert "BCM number of the pin [17]: 27" in done.stderr
