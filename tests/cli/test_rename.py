"""The name of a device in boondock.toml: each line that holds it is found, and no other is touched."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.rename import changed_lines, edit_file, with_name
from cli.terminal import CommandError

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TOML = """\
# [device.mppt] of the roof
[device.mppt]  # on the roof
kind = "victron_solar_charger"
name = "mppt"
address = "C0:11:22:33:44:66"
key = "fedcba9876543210fedcba9876543210"
steps = { voltage = 0.1 }

[device.mppt_2]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:67"
key = "fedcba9876543210fedcba9876543210"

[device.energy]
kind = "integral"
source = "mppt.power"

[relay.mppt]
pin = 17
only_if = [
    "mppt.voltage > 12", 'mppt_2.voltage > 12',
]
feedback = "mppt.load"

[relay.pump]
pin = 27
never_with = ["mppt"]

[user.node_red]
role = "publisher"
devices = [
    "lamp",
]

[[import]]
device = "thermo"
topic = "mppt/thermo"
[import.entities]
temperature = { path = "mppt.temperature" }
"""


def test_every_line_of_the_device_and_no_other() -> None:
    found = {line.number: line.new for line in changed_lines(TOML, "mppt", "roof")}
    assert found == {
        2: "[device.roof]  # on the roof",
        16: 'source = "roof.power"',
        21: "    \"roof.voltage > 12\", 'mppt_2.voltage > 12',",
        23: 'feedback = "roof.load"',
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[device.a]\n", "[device.b]\n"),
        ('[ device . "a" ]\n', '[ device . "b" ]\n'),
        ("[device.a.steps]\nx = 1\n", "[device.b.steps]\nx = 1\n"),
        ("[device.a]\r\nkind = 'x'\r\n", "[device.b]\r\nkind = 'x'\r\n"),
        ("[[import]]\ndevice = 'a'\n", "[[import]]\ndevice = 'b'\n"),
        ("[device.a]\n[user.x]\ndevices = ['c',\n 'a']", "[device.b]\n[user.x]\ndevices = ['c',\n 'b']"),
        ("[device.a]\n[user.x]\ncommands = ['a.on']\n", "[device.b]\n[user.x]\ncommands = ['b.on']\n"),
    ],
)
def test_it_is_found_however_it_is_written(text: str, wanted: str) -> None:
    assert with_name(text, "a", "b") == wanted
    assert tomllib.loads(wanted)


def test_what_no_line_says_is_told() -> None:
    with pytest.raises(CommandError, match="by hand"):
        with_name("device = { a = { kind = 'x' } }\n", "a", "b")


def test_the_file_is_changed_and_the_old_one_kept(tmp_path: Path) -> None:
    path, secrets = tmp_path / "boondock.toml", tmp_path / "secrets"
    path.write_text(TOML)
    path.chmod(0o640)
    secrets.mkdir()
    (secrets / "device__mppt__key").write_text("0" * 32)
    (secrets / "device__mppt_2__key").write_text("1" * 32)
    edit_file(path, secrets, "mppt", "roof", NOW)
    assert path.read_text() == with_name(TOML, "mppt", "roof")
    assert (tmp_path / "boondock.toml.before-20261128T000000").read_text() == TOML
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in secrets.iterdir()) == ["device__mppt_2__key", "device__roof__key"]


def test_a_name_that_cannot_be_changes_nothing(tmp_path: Path) -> None:
    path, secrets = tmp_path / "boondock.toml", tmp_path / "secrets"
    path.write_text(TOML)
    secrets.mkdir()
    (secrets / "device__mppt__key").write_text("0" * 32)
    with pytest.raises(CommandError, match="nothing was changed"):
        edit_file(path, secrets, "mppt", "relay", NOW)
    assert path.read_text() == TOML
    assert sorted(one.name for one in tmp_path.iterdir()) == ["boondock.toml", "secrets"]
    assert [one.name for one in secrets.iterdir()] == ["device__mppt__key"]
