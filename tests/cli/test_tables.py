"""A table of a user's file is changed in place: all other lines stay, and what is not usual is refused."""

import tomllib

import pytest

from cli.configure import Texts, with_table
from cli.terminal import CommandError

TOML = """\
# My van.
[broker]
host = "ha.local"   # the old Pi # two
port = 1883

[device.mppt]  # on the roof
kind = "vedirect"
# Where the cable is:
port = "/dev/tty#1"
steps = { voltage = 0.1 }

[device.tank]
kind = "tank_sender"
calibration = [
    [240, 0],  # empty
    [33, 100],
]
# The last one.

[[import]]
device = "thermo"
topic = "a/b"
[import.entities]
temperature = { path = "t" }

[relay.pump]
pin = 17
"""


def changes(text: str, fresh: str) -> tuple[list[str], list[str]]:
    old, new = text.split("\n"), fresh.split("\n")
    return [one for one in old if one not in new], [one for one in new if one not in old]


@pytest.mark.parametrize(
    ("name", "values", "gone", "come"),
    [
        ("broker", {"port": "1884"}, ["port = 1883"], ["port = 1884"]),
        (
            "broker",
            {"host": '"10.0.0.2"'},
            ['host = "ha.local"   # the old Pi # two'],
            ['host = "10.0.0.2"   # the old Pi # two'],
        ),
        ("broker", {"host": None, "username": None}, ['host = "ha.local"   # the old Pi # two'], []),
        ("broker", {"base": '"van"'}, [], ['base = "van"']),
        ("device.mppt", {"port": '"/dev/x"'}, ['port = "/dev/tty#1"'], ['port = "/dev/x"']),
        ("device.mppt", {"steps": None}, ["steps = { voltage = 0.1 }"], []),
        (
            "device.tank",
            {"calibration": "[[180, 0], [10, 100]]"},
            ["calibration = [", "    [240, 0],  # empty", "    [33, 100],", "]"],
            ["calibration = [[180, 0], [10, 100]]"],
        ),
        ("device.pi", {"kind": '"raspberry_pi"'}, [], ["[device.pi]", 'kind = "raspberry_pi"']),
        ("relay.fan", {"pin": "5"}, [], ["[relay.fan]", "pin = 5"]),
        ("lan", {"listen": '["wlan0"]'}, [], ["[lan]", 'listen = ["wlan0"]']),
        ("broker", {"port": "1883"}, [], []),
    ],
)
def test_only_lines_of_the_table_change(name: str, values: Texts, gone: list[str], come: list[str]) -> None:
    fresh = with_table(TOML, name, values)
    assert changes(TOML, fresh) == (gone, come)
    for key, value in values.items():
        table = tomllib.loads(fresh)
        for part in name.split("."):
            table = table[part]
        assert (key in table) is (value is not None)


def test_a_new_device_stands_after_the_others_and_a_new_key_in_its_table() -> None:
    fresh = with_table(TOML, "device.pi", {"kind": '"raspberry_pi"'})
    assert fresh.index("[device.tank]") < fresh.index("[device.pi]") < fresh.index("[[import]]")
    fresh = with_table(TOML, "broker", {"base": '"van"'})
    assert fresh.index("port = 1883\nbase") > 0


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_file_gets_its_first_table(text: str) -> None:
    fresh = with_table(text, "relay.pump", {"pin": "17"})
    assert tomllib.loads(fresh) == {"relay": {"pump": {"pin": 17}}}
    assert fresh.startswith(text.strip())


@pytest.mark.parametrize(
    "text",
    [
        'device.mppt = { kind = "vedirect" }\n',
        '[device]\nmppt.kind = "vedirect"\n',
        '[device.mppt]\nkind = "vedirect"\n[device.mppt.levels]\n25 = 5\n',
    ],
)
def test_what_is_written_otherwise_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(CommandError, match="change it by hand"):
        with_table(text, "device.mppt", {"levels": "{ 50 = 6 }", "port": '"/dev/x"'})


@pytest.mark.parametrize("header", ['[device."mppt"]', "[ device . mppt ]", "[device.'mppt'] # roof"])
def test_a_header_may_be_written_in_any_way(header: str) -> None:
    fresh = with_table(f"{header}\nport = 1\n", "device.mppt", {"port": "2"})
    assert fresh == f"{header}\nport = 2\n"


def test_a_value_of_several_lines_with_points_becomes_one() -> None:
    text = "[device.tank]\nlevels.25 = 5\nlevels.50 = 6\n# end\n"
    fresh = with_table(text, "device.tank", {"levels": "{ 50 = 7 }"})
    assert fresh == "[device.tank]\nlevels = { 50 = 7 }\n# end\n"
