"""Secret files from systemd's credentials and a folder, and what is wrong with them."""

from pathlib import Path

import pytest

from collector.checking import find_doubts, find_mistakes
from config import load, secret_files
from tests.config.conftest import Machine

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32
SHUNT = '[device.shunt]\nkind = "victron_battery_monitor"\naddress = "C0:11:22:33:44:55"\n'


@pytest.fixture
def credentials(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A unit's credentials folder; /etc/boondock/secrets is the machine's folder of secrets."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    machine.env(CREDENTIALS_DIRECTORY=str(folder))
    monkeypatch.setattr(secret_files, "FOLDER", machine.secrets)
    return folder


def _key(machine: Machine) -> str | None:
    return load.load(machine.file, find_mistakes).device["shunt"].key


def test_what_systemd_loads_with_the_folder_is_found_by_its_longer_name(
    machine: Machine, credentials: Path
) -> None:
    machine.says(SHUNT)
    (credentials / "secrets_device__shunt__key").write_text(KEY)
    assert _key(machine) == KEY


def test_a_credential_of_its_own_goes_before_that_of_the_folder(machine: Machine, credentials: Path) -> None:
    machine.says('[broker]\nusername = "boondock_collector_ble"')
    (credentials / "secrets_broker__password").write_text("of the admin")
    assert [load.load(machine.file).broker.password] == ["of the admin"]
    (credentials / "broker__password").write_text("of the collector")
    assert [load.load(machine.file).broker.password] == ["of the collector"]


def test_credentials_do_not_hide_the_folder_and_go_before_it(machine: Machine, credentials: Path) -> None:
    machine.says(SHUNT)
    machine.secret("device__shunt__key", OTHER)
    assert _key(machine) == OTHER
    (credentials / "secrets_device__shunt__key").write_text(KEY)
    assert _key(machine) == KEY


def test_a_folder_that_is_roots_alone_is_passed_over(
    machine: Machine, credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.says(SHUNT)
    (credentials / "secrets_device__shunt__key").write_text(KEY)

    def refuse(folder: Path) -> list[Path]:
        if folder == machine.secrets:
            raise PermissionError(13, "Permission denied", str(folder))
        return [credentials / "secrets_device__shunt__key"]

    # Root, as whom these tests may run, may read everything.
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert _key(machine) == KEY


def test_a_file_that_is_roots_alone_in_the_folder_that_nobody_named_is_a_warning(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_files, "FOLDER", machine.secrets)
    machine.secret("broker__password", "x")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "broker__password":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    # Root, as whom these tests may run, may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = load.examine(machine.file, find_mistakes)
    assert found.mistakes == []
    assert list(map(str, found.warnings)) == [
        (
            f"{machine.secrets / 'broker__password'}: broker.password: it cannot be read: Permission denied; "
            "run the command with sudo"
        )
    ]


@pytest.mark.parametrize("text", [f"{KEY}\n", f"{KEY}\r\n", f"\ufeff{KEY}", f"  {KEY}\t\n\n", KEY.upper()])
def test_what_an_editor_adds_does_no_harm(machine: Machine, text: str) -> None:
    machine.says(SHUNT)
    machine.secret("device__shunt__key", text)
    assert (machine.settings().device["shunt"].key or "").lower() == KEY


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "the file is empty; allowed: one line, the secret itself"),
        (b" \n", "the file is empty; allowed: one line, the secret itself"),
        (f"{KEY}\n{KEY}\n".encode(), "the file has 2 lines; allowed: one line, the secret itself"),
        (
            KEY.encode("utf-16"),
            (
                "this file is not UTF-8 but UTF-16, as some editors on Windows save it; "
                "save it as UTF-8, or run: iconv -f UTF-16 -t UTF-8 {} > new.toml"
            ),
        ),
        (
            f'key = "{KEY}"'.encode(),
            "it has 40 characters, also an =; write its 32 digits alone, without a name and quotes",
        ),
        (
            KEY[:-1].encode() + b"O",
            (
                "it has 32 characters, but character 32 is the letter O (probably the digit 0); "
                "allowed: 32 hexadecimal digits, 0-9 and a-f"
            ),
        ),
    ],
)
def test_a_secret_file_that_cannot_be_right_is_told(machine: Machine, text: bytes, sentence: str) -> None:
    machine.says(SHUNT)
    place = machine.secrets / "device__shunt__key"
    place.write_bytes(text)
    assert machine.mistakes() == [f"{place}: device.shunt.key: {sentence.replace('{}', str(place))}"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "devices__shunt__key",
            "devices: no setting has this name; it is not used; did you mean device__shunt__key?",
        ),
        (
            "device__shnt__key",
            "device.shnt: no setting has this name; it is not used; did you mean device__shunt__key?",
        ),
        ("device__boiler__key", "device.boiler: no setting has this name; it is not used; remove it"),
        ("wifi__password", "wifi: no setting has this name; it is not used; remove it"),
    ],
)
def test_a_name_that_no_setting_has_is_a_warning(machine: Machine, name: str, sentence: str) -> None:
    machine.env(BOONDOCK_SECRETS=str(machine.secrets))
    machine.says(SHUNT)
    machine.secret("device__shunt__key", KEY)
    machine.secret(name, KEY)
    found = load.examine(machine.file, find_mistakes, find_doubts)
    assert found.mistakes == []
    assert list(map(str, found.warnings)) == [f"{machine.secrets / name}: {sentence}"]


def test_a_slip_in_the_last_part_of_a_name_is_a_mistake(machine: Machine) -> None:
    machine.says(SHUNT)
    machine.secret("device__shunt__kye", KEY)
    place = machine.secrets / "device__shunt__kye"
    assert machine.mistakes() == [f"{place}: device.shunt.kye: there is no such setting; did you mean key?"]
