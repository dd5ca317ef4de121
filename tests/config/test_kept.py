"""Settings that were found good are kept until something changes that they were made of."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from collector.checking import find_mistakes
from config import kept, load
from config.model import Settings
from tests.config.conftest import Machine

FILE = '[broker]\nport = 1884\nbase = "van"\n'
INVERTER = '[device.inverter]\nkind = "modbus"\nport = "/dev/ttyUSB0"\nprofile = "{}"\n'
SHIPPED = Path(__file__).parents[2] / "collector" / "profiles" / "sdm630.toml"


@pytest.fixture
def folder(machine: Machine, tmp_path: Path) -> Path:
    """The state folder of the process, which is told where its files are."""
    machine.says(FILE)
    (folder := tmp_path / "state").mkdir()
    machine.env(
        BOONDOCK_STORAGE__STATE=str(folder),
        BOONDOCK_CONFIG=str(machine.file),
        BOONDOCK_SECRETS=str(machine.secrets),
    )
    return folder


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """One more for each time that settings are validated."""
    done: list[Path | None] = []
    real = load.examine

    def examine(path: Path | None = None, check: load.Check | None = None) -> load.Examined:
        done.append(path)
        return real(path, check)

    monkeypatch.setattr(load, "examine", examine)
    return done


def test_a_second_start_validates_nothing_and_has_the_same_settings(
    folder: Path, validations: list[Path | None]
) -> None:
    first = load.load_or_exit()
    assert load.load_or_exit() == first == load.load()
    assert first.broker.port == 1884
    # The last line asked for a validation, as the command line does.
    assert len(validations) == 2
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


CHANGES: Mapping[str, Callable[[Machine], object]] = {
    "the file": lambda its: its.says(FILE + "[publish]\nheartbeat = 5\n"),
    "a .env that is new": lambda its: (its.file.parent / ".env").write_text("BOONDOCK_BROKER__PORT=1900\n"),
    "a variable": lambda its: its.env(BOONDOCK_BROKER__BASE="boat"),
    "a secret file that is new": lambda its: its.secret("publish__heartbeat", "7"),
    "the secret file": lambda its: its.secret("broker__host", "van"),
    "a secret file that is gone": lambda its: (its.secrets / "broker__host").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_settings_were_made_of_is_read_anew_once_it_changes(
    machine: Machine, folder: Path, validations: list[Path | None], change: Callable[[Machine], object]
) -> None:
    assert not list(folder.iterdir())
    machine.secret("broker__host", "boat")
    before = load.load_or_exit()
    change(machine)
    after = load.load_or_exit()
    assert after == load.load()
    assert after != before
    assert len(validations) == 3


def test_a_profile_of_the_owner_is_read_anew_once_it_changes(
    machine: Machine, folder: Path, validations: list[Path | None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = folder.parent / "mine.toml"
    mine.write_bytes(SHIPPED.read_bytes())
    machine.says(INVERTER.format(mine))
    load.load_or_exit(find_mistakes)
    load.load_or_exit(find_mistakes)
    assert len(validations) == 1
    mine.write_text("[[block]]\n")
    with pytest.raises(SystemExit):
        load.load_or_exit(find_mistakes)
    assert str(mine) in capsys.readouterr().err


def test_what_one_check_found_good_is_not_good_for_another(
    machine: Machine, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.says(INVERTER.format("of_nobody"))
    load.load_or_exit()
    assert len(list(folder.iterdir())) == 1
    with pytest.raises(SystemExit):
        load.load_or_exit(find_mistakes)
    assert "of_nobody" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 1, "settings with a mistake were kept"


def test_settings_with_a_warning_are_read_anew_and_warn_again(
    machine: Machine, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.secret("brokre__password", "secret")
    for _ in range(2):
        load.load_or_exit()
        assert "brokre__password" in capsys.readouterr().err
    assert not list(folder.iterdir())


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _of_another_program(file: Path) -> None:
    file.write_text('{"made_of": 1}')


def _of_an_older_program(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"settings":{', b'"settings":{"unheard_of":1,"broker":7,'))


@pytest.mark.parametrize("damage", [_cut, _empty, _of_another_program, _of_an_older_program])
def test_a_damaged_file_is_made_again(
    folder: Path, validations: list[Path | None], damage: Callable[[Path], None]
) -> None:
    before = load.load_or_exit()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    damage(file)
    assert load.load_or_exit() == before
    assert file.read_bytes() == whole
    assert len(validations) == 2


def test_another_version_of_the_program_reads_them_anew(
    folder: Path, validations: list[Path | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load.load_or_exit()
    (code := tmp_path / "code").mkdir()
    (code / "rules.py").write_text("a = 1\n")
    monkeypatch.setattr(kept, "_ROOT", code)
    load.load_or_exit()
    os.utime(code / "rules.py", ns=(1, 1))
    load.load_or_exit()
    load.load_or_exit()
    assert len(validations) == 3
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("state", ["", "state", "/nonexistent/state"])
def test_without_a_folder_of_its_own_each_start_reads_them(
    machine: Machine, validations: list[Path | None], state: str
) -> None:
    machine.says(FILE)
    machine.env(BOONDOCK_CONFIG=str(machine.file), BOONDOCK_SECRETS=str(machine.secrets))
    if state:
        machine.env(BOONDOCK_STORAGE__STATE=state)
    first: Settings = load.load_or_exit()
    assert load.load_or_exit() == first
    assert len(validations) == 2
