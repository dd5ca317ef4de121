"""Environment over secret files over boondock.toml; the example and the demo are good."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from collector.checking import find_mistakes
from config import load
from config.mistakes import ConfigError
from config.model import Availability, ImportEntity, Settings, key_of
from tests.config.conftest import Machine
from tests.rounds import pairs

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "config" / "example.toml"
DEMO = ROOT / "tests" / "emulators" / "demo.toml"
DEVICE = '[device.shunt]\nkind = "victron_battery_monitor"\n'
FIRST = "1" * 32
SECOND = "2" * 32
THIRD = "3" * 32


def test_an_empty_file_means_the_defaults(machine: Machine) -> None:
    assert machine.settings() == Settings()


def test_the_environment_overrides_the_file(machine: Machine) -> None:
    machine.says('[broker]\nport = 1884\nbase = "van"')
    machine.env(BOONDOCK_BROKER__PORT="1885")
    broker = machine.settings().broker
    assert (broker.port, broker.base) == (1885, "van")


def test_the_environment_reaches_devices_relays_and_steps(machine: Machine) -> None:
    machine.says(DEVICE + "[relay.pump]\npin = 4")
    machine.env(
        BOONDOCK_DEVICE__SHUNT__NAME="House battery",
        BOONDOCK_DEVICE__SHUNT__STEPS__VOLTAGE="0.5",
        BOONDOCK_RELAY__PUMP__ACTIVE_LOW="true",
        BOONDOCK_RELAY__LAMP__PIN="5",
    )
    settings = machine.settings()
    assert settings.device["shunt"].name == "House battery"
    assert settings.device["shunt"].steps == {"voltage": 0.5}
    assert (settings.relay["pump"].active_low, settings.relay["lamp"].pin) == (True, 5)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "BOONDOCK_BROKER__PORT",
            "x",
            "broker.port: 'x' is not allowed; allowed: a whole number, without a unit",
        ),
        ("BOONDOCK_BROKER__PROT", "1", "broker.prot: there is no such setting; did you mean port?"),
        ("BOONDOCK_BROKRE__PORT", "1", "brokre: there is no such setting; did you mean broker?"),
        (
            "BOONDOCK_BROKER__BASE",
            "a b",
            "broker.base: 'a b' is no base topic; allowed: levels of A-Z a-z 0-9 _ - joined by /",
        ),
        (
            "BOONDOCK_DEVICE__SHUNT__KEY",
            "zz",
            "device.shunt.key: it has 2 characters; allowed: 32 hexadecimal digits, 0-9 and a-f",
        ),
    ],
)
def test_a_wrong_variable_is_named(machine: Machine, variable: str, value: str, line: str) -> None:
    machine.says(DEVICE)
    machine.env(**{variable: value})
    assert machine.mistakes() == [f"environment {variable}: {line}"]


def test_a_whole_table_in_one_variable_is_a_mistake_not_a_crash(machine: Machine) -> None:
    machine.env(BOONDOCK_BROKER="xyz")
    (line,) = machine.mistakes()
    assert '"broker"' in line
    assert "xyz" not in line


def test_secret_files_fill_in(machine: Machine) -> None:
    machine.says(DEVICE + '[broker]\nusername = "van"')
    machine.secret("device__shunt__key", FIRST + "\n")
    machine.secret("broker__password", "pass\n")
    settings = machine.settings()
    assert (settings.device["shunt"].key, settings.broker.password) == (FIRST, "pass")


@pytest.mark.parametrize("text", ["12345678", "1e5", "true", "null", '"quoted"', "[1]", "-0.50"])
def test_a_password_or_a_name_that_looks_like_json_stays_a_text(machine: Machine, text: str) -> None:
    machine.says(DEVICE)
    machine.secret("broker__password", text)
    machine.env(BOONDOCK_BROKER__USERNAME=text, BOONDOCK_DEVICE__SHUNT__NAME=text)
    settings = machine.settings()
    said = (settings.broker.password, settings.broker.username, settings.device["shunt"].name)
    assert said == (text, text, text)


@pytest.mark.parametrize("text", ['{"a": 1}', '["a"]', "[]", "{}"])
def test_a_text_with_brackets_stays_a_text(machine: Machine, text: str) -> None:
    machine.env(
        BOONDOCK_BROKER__USERNAME="van", BOONDOCK_BROKER__PASSWORD=text, BOONDOCK_CONTROLLER__NAME=text
    )
    settings = machine.settings()
    assert (settings.broker.password, settings.controller.name) == (text, text)


# As pydantic-settings and python-dotenv document it: JSON where a setting is a list or a table.
JSON: dict[str, tuple[str, Callable[[Settings], object], object]] = {
    "COLLECTOR__RUN": ('["ble", "i2c"]', lambda s: s.collector.run, ("ble", "i2c")),
    "LAN__LISTEN": ('["eth0"]', lambda s: s.lan.listen, ("eth0",)),
    "USER__PHONE__TOPICS": ('["zigbee2mqtt/#"]', lambda s: s.user["phone"].topics, ("zigbee2mqtt/#",)),
    "DEVICE__SHUNT__DISABLED": ('["rssi"]', lambda s: s.device["shunt"].disabled, ("rssi",)),
    "DEVICE__SHUNT__STEPS": ('{"soc": 2}', lambda s: s.device["shunt"].steps, {"soc": 2.0}),
    "DEVICE__SHUNT__STEPS__SOC": ("2", lambda s: s.device["shunt"].steps, {"soc": 2.0}),
    "DEVICE__SHUNT": ('{"name": "7"}', lambda s: s.device["shunt"].name, "7"),
    "RELAY__PUMP__ONLY_IF": ('["shunt.soc > 5"]', lambda s: s.relay["pump"].only_if, ("shunt.soc > 5",)),
    "RELAY__PUMP": ('{"pin": 5}', lambda s: s.relay["pump"].pin, 5),
    "BROKER": ('{"username": "van", "password": "123"}', lambda s: s.broker.password, "123"),
    "PUBLISH__SCALARS": ("FALSE", lambda s: s.publish.scalars, False),
    "PUBLISH__HEARTBEAT": ("2.5", lambda s: s.publish.heartbeat, 2.5),
}


@pytest.mark.parametrize("from_file", [False, True], ids=["environment", ".env"])
@pytest.mark.parametrize("name", JSON)
def test_a_variable_may_hold_a_list_or_a_table(machine: Machine, name: str, from_file: bool) -> None:  # noqa: FBT001 — a parameter of the test
    text, of, expected = JSON[name]
    machine.says(DEVICE + f'key = "{FIRST}"\n[relay.pump]\npin = 17')
    if from_file:
        machine.file.with_name(".env").write_text(f"BOONDOCK_{name}='{text}'\n")
    else:
        machine.env(**{f"BOONDOCK_{name}": text})
    assert of(machine.settings()) == expected


LIST = 'allowed: a list in brackets, such as ["a", "b"]'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("COLLECTOR__RUN", "ble,i2c", f"collector.run: 'ble,i2c' is not allowed; {LIST}"),
        ("COLLECTOR__RUN", "['ble']", f"collector.run: \"['ble']\" is not allowed; {LIST}"),
        ("COLLECTOR__RUN", "", f"collector.run: '' is not allowed; {LIST}"),
        (
            "COLLECTOR__RUN",
            '["blue"]',
            (
                "collector.run.0: 'blue' is not allowed; "
                "allowed: 'ble', 'serial', 'tcp', 'i2c', 'gpio', 'host' or 'mqtt'"
            ),
        ),
        (
            "DEVICE__SHUNT__STEPS",
            "0.5",
            (
                "device.shunt.steps: this is no table; "
                'allowed: JSON, such as {"a": 1}, or a variable for each of its settings'
            ),
        ),
        (
            "DEVICE__SHUNT__STEPS",
            '{"soc": "x"}',
            (
                "device.shunt.steps.soc: 'x' is not allowed; "
                "allowed: a number, without a unit and with a point, such as 1.5"
            ),
        ),
        (
            "BROKER",
            '{"port": "x"}',
            "broker.port: 'x' is not allowed; allowed: a whole number, without a unit",
        ),
    ],
)
def test_a_wrong_list_or_table_is_named_with_its_variable(
    machine: Machine, name: str, text: str, said: str
) -> None:
    machine.says(DEVICE + f'key = "{FIRST}"')
    machine.env(**{f"BOONDOCK_{name}": text})
    assert machine.mistakes() == [f"environment BOONDOCK_{name}: {said}"]


def test_environment_beats_secret_file_beats_configuration(machine: Machine) -> None:
    machine.says(DEVICE + f'key = "{FIRST}"')
    assert machine.settings().device["shunt"].key == FIRST
    machine.secret("device__shunt__key", SECOND)
    assert machine.settings().device["shunt"].key == SECOND
    machine.env(BOONDOCK_DEVICE__SHUNT__KEY=THIRD)
    assert machine.settings().device["shunt"].key == THIRD


def test_a_wrong_secret_file_is_named_and_its_content_is_not(machine: Machine) -> None:
    machine.says(DEVICE)
    machine.secret("device__shunt__key", "hunter2")
    place = machine.secrets / "device__shunt__key"
    assert machine.mistakes() == [
        f"{place}: device.shunt.key: it has 7 characters; allowed: 32 hexadecimal digits, 0-9 and a-f"
    ]


def test_other_files_beside_the_secrets_do_no_harm(machine: Machine) -> None:
    machine.says(DEVICE)
    machine.secret("boondock.toml", "[broker]\nport = 1")
    machine.secret("README", "nothing")
    assert machine.settings().broker.port == 1883


def test_without_a_folder_of_secrets_all_is_well(machine: Machine) -> None:
    machine.secrets.rmdir()
    assert machine.settings() == Settings()


def test_secrets_come_from_boondock_secrets_else_from_systemd(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.says(DEVICE)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "device__shunt__key").write_text(FIRST)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert load.load(machine.file).device["shunt"].key == FIRST
    machine.secret("device__shunt__key", SECOND)
    monkeypatch.setenv("BOONDOCK_SECRETS", str(machine.secrets))
    assert load.load(machine.file).device["shunt"].key == SECOND


def test_the_file_is_the_one_named_else_the_one_here(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.says("[broker]\nport = 2000")
    monkeypatch.chdir(tmp_path)
    assert load.load().broker.port == 2000
    other = tmp_path / "other.toml"
    other.write_text("[broker]\nport = 3000")
    monkeypatch.setenv("BOONDOCK_CONFIG", str(other))
    assert load.load().broker.port == 3000


def test_load_passes_every_mistake_through_its_child(machine: Machine) -> None:
    machine.says("[broker]\nport = 0\n[relay.pump]\n")
    with pytest.raises(ConfigError) as caught:
        load.load(machine.file)
    assert sorted(m.key for m in caught.value.mistakes) == ["broker.port", "relay.pump.pin"]
    assert {m.where for m in caught.value.mistakes} == {str(machine.file)}


def test_load_passes_every_setting_through_its_child(machine: Machine) -> None:
    machine.says(EXAMPLE.read_text())
    assert load.load(machine.file) == machine.settings()


def test_a_child_that_crashes_does_not_live_on_as_a_second_process(machine: Machine) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom config import load, source\n"
        "from config.mistakes import ConfigError\n"
        "def crash(*_): raise KeyError('planted')\n"
        "source.read = crash\n"
        "try:\n    load.load(Path('x.toml'))\n"
        "except ConfigError as error:\n    print('mistake', error)\n"
        "except KeyError:\n    print('a second process')\n"
    )
    done = _python("-c", code, config=machine.file)
    assert done.stdout == "mistake x.toml: it could not be read; allowed: see the lines above\n"
    assert "KeyError: 'planted'" in done.stderr


@pytest.mark.parametrize("path", [EXAMPLE, DEMO])
def test_the_example_and_the_demo_are_good(machine: Machine, path: Path) -> None:
    machine.says(path.read_text())
    settings = machine.settings()
    assert settings.device
    assert settings.relay


def _every_setting() -> list[tuple[str, str]]:
    """Table and key of all the model knows; a table of devices or relays stands for each of them."""
    found = []
    for table in dataclasses.fields(Settings):
        kinds = [kind for kind in (*get_args(table.type), table.type) if dataclasses.is_dataclass(kind)]
        found += [(table.name, key_of(field.name)) for field in dataclasses.fields(kinds[0])]
    # As the file calls it: a word of Python can be no field.
    return [("import" if name == "imports" else name, key) for name, key in found]


@pytest.mark.parametrize(("table", "key"), _every_setting())
def test_the_example_mentions_every_setting_in_its_table(table: str, key: str) -> None:
    tables = re.split(r"^(?:# )?\[+", EXAMPLE.read_text(), flags=re.MULTILINE)
    mine = [text for text in tables if re.match(rf"{table}[\].]", text)]
    # A secret is mentioned by the name of its file.
    said = rf"^(# )?{key} =|{table}__{key}\b|\A{table}\.{key}\]"
    assert any(re.search(said, text, re.MULTILINE) for text in mine)


@pytest.mark.parametrize(
    "key", [field.name for kind in (ImportEntity, Availability) for field in dataclasses.fields(kind)]
)
def test_the_example_mentions_every_setting_within_an_import(key: str) -> None:
    _, *mine = re.split(r"^# \[\[import", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert any(re.search(rf"\b{key} = ", text.split("\n\n")[0]) for text in mine)


def test_the_comments_of_the_example_hold_the_defaults_or_good_values(machine: Machine) -> None:
    lines = EXAMPLE.read_text().splitlines()
    uncommented = [line.removeprefix("# ") if re.match(r"# (\w+ = |\[)", line) else line for line in lines]
    machine.says("\n".join(uncommented))
    settings = machine.settings()
    assert settings.broker.username is not None
    assert set(settings.imports) == {"thermo", "boiler", "kettle", "gx_battery"}
    assert settings.imports["kettle"].entities["power"].path == "ENERGY.Power"
    assert find_mistakes(dataclasses.replace(settings, device={}), "example.toml") == []


def _python(*arguments: str, config: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BOONDOCK_")}
    environment = kept | {"BOONDOCK_CONFIG": str(config), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=config.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_reading_the_settings_leaves_pydantic_out_of_the_process(machine: Machine) -> None:
    code = (
        "import sys\nfrom config import load\n"
        "print(load.load().broker.port, [m for m in sys.modules if m.startswith('pydantic')])"
    )
    machine.says("[broker]\nport = 2000")
    assert _python("-c", code, config=machine.file).stdout == "2000 []\n"


@pytest.mark.parametrize("process", [["controller"], ["statistician"], ["collector", "ble"]])
def test_a_process_started_with_a_wrong_file_exits_78_with_a_line_a_mistake(
    machine: Machine, process: list[str]
) -> None:
    machine.says('[broker]\nport = 0\n[ble]\nmode = "loud"\n')
    done = _python("-m", *process, config=machine.file)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{machine.file} line 2: broker.port: 0 is not allowed; allowed: greater than or equal to 1",
        f"{machine.file} line 4: ble.mode: 'loud' is not allowed; allowed: 'active' or 'passive'",
    ]


@pytest.mark.parametrize(
    ("process", "why"),
    pairs(
        (["controller"], ["statistician"], ["collector", "ble"]),
        ("not there yet", "a folder that is no disk yet", "a link to nowhere"),
    ),
)
def test_a_process_waits_for_a_file_that_cannot_be_read_yet(
    machine: Machine, process: list[str], why: str
) -> None:
    path = machine.file.with_name("late.toml")
    if why == "a folder that is no disk yet":
        path.mkdir()
    elif why == "a link to nowhere":
        path.symlink_to(path.with_name("disk") / "late.toml")
    running = subprocess.Popen(
        [sys.executable, "-m", *process],
        cwd=ROOT,
        env=os.environ | {"BOONDOCK_CONFIG": str(path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    told = [running.stderr.readline(), running.stderr.readline()]
    assert str(path) in told[0]
    assert "allowed: a readable file" in told[0]
    assert told[1] == "trying again every 2 s\n"
    if path.is_dir():
        path.rmdir()
    # It is read as soon as it is there: this one is wrong, and then it ends.
    path.resolve().parent.mkdir(exist_ok=True)
    path.write_text("[broker]\nport = 0\n")
    rest = running.communicate(timeout=30)[1]
    assert running.returncode == 78
    assert "broker.port: 0 is not allowed" in rest
    assert "trying again" not in rest
