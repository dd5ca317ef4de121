"""Every mistake in boondock.toml is a line: file, key, what is wrong, what is allowed."""

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.mistakes import ConfigError, Mistake
from tests.config.conftest import Machine

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "hunter2-hunter2"  # noqa: S105 — no password of anybody's


def _device(text: str = "", name: str = "shunt") -> str:
    return f'[device.{name}]\nkind = "victron_battery_monitor"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[brokre]", "brokre: there is no such setting; did you mean broker?"),
        ("[broker]\nprot = 1", "broker.prot: there is no such setting; did you mean port?"),
        (
            "[clock]\nxyz = 1",
            "clock.xyz: there is no such setting; allowed: trusted, folder",
        ),
        (
            _device("adress = 1"),
            "device.shunt.adress: there is no such setting; did you mean address?",
        ),
        (
            "[relay.pump]\npin = 1\nactive_lo = true",
            "relay.pump.active_lo: there is no such setting; did you mean active_low?",
        ),
        ('[broker]\nport = "x"', "broker.port: 'x' is not allowed; allowed: a whole number, without a unit"),
        ("[broker]\nhost = 5", "broker.host: 5 is not allowed; allowed: a text in quotes"),
        (
            '[clock]\ntrusted = "perhaps"',
            "clock.trusted: 'perhaps' is not allowed; allowed: true or false, without quotes",
        ),
        (
            '[ble]\nmode = "loud"',
            "ble.mode: 'loud' is not allowed; allowed: 'active' or 'passive'",
        ),
        ("[broker]\nport = 0", "broker.port: 0 is not allowed; allowed: greater than or equal to 1"),
        (
            "[relay.pump]\npin = 28",
            (
                "relay.pump.pin: 28 is not allowed; "
                "allowed: a BCM number, 0 to 27; the numbers of the header are others"
            ),
        ),
        ("[publish]\nheartbeat = 0", "publish.heartbeat: 0 is not allowed; allowed: greater than 0"),
        (
            "[publish]\nheartbeat = nan",
            "publish.heartbeat: nan is not allowed; allowed: less than or equal to 31536000",
        ),
        (
            _device("steps = { voltage = inf }"),
            "device.shunt.steps.voltage: inf is not allowed; allowed: less than or equal to 1000000000",
        ),
        (
            _device("steps = { voltage = 'big' }"),
            (
                "device.shunt.steps.voltage: 'big' is not allowed; "
                "allowed: a number, without a unit and with a point, such as 1.5"
            ),
        ),
        (
            "[storage]\noutbox_rows = 9999999999999999",
            "storage.outbox_rows: 9999999999999999 is not allowed; allowed: less than or equal to 100000000",
        ),
        ("[device.shunt]", 'device.shunt.kind: it is missing; allowed: kind = "…", one of docs/devices.md'),
        (
            "[relay.pump]",
            "relay.pump.pin: it is missing; allowed: pin = the BCM number of the output, 0 to 27",
        ),
        ("broker = 5", "broker: this is no table; allowed: a table, such as [broker]"),
        ("[[relay.pump]]", "relay.pump: this is no table; allowed: a table, such as [relay.pump]"),
        ("device = 5", "device: this is no table; write [device.smartshunt], with an id of your own"),
        (
            '[broker]\nbase = "cam+per"',
            "broker.base: 'cam+per' is no base topic; allowed: levels of A-Z a-z 0-9 _ - joined by /",
        ),
        (_device(name="Shunt"), "device.Shunt: this is no id; allowed: a-z, 0-9 and _, such as shunt"),
        (_device(name='"a/b"'), "device.a/b: this is no id; allowed: a-z, 0-9 and _, such as a_b"),
        ("[relay.'pump+']\npin = 1", "relay.pump+: this is no id; allowed: a-z, 0-9 and _, such as pump"),
        (
            _device(name="relay"),
            "device.relay: this id belongs to the controller; allowed: any other id",
        ),
        (
            _device('address = "C0:11"'),
            "device.shunt.address: 'C0:11' has 4 digits; allowed: AA:BB:CC:DD:EE:FF, twelve digits",
        ),
        (
            _device('address = "C0:11:22:33:44:55"') + _device('address = "c0:11:22:33:44:55"', "mppt"),
            "device.mppt.address: device.shunt has it already; allowed: one device an address",
        ),
        (
            "[relay.lamp]\npin = 4\n[relay.pump]\npin = 4",
            "relay.pump.pin: relay.lamp uses pin 4 already; allowed: one use a pin",
        ),
        (
            '[relay.pump]\npin = 4\n[device.feedback]\nkind = "gpio_input"\npin = 4',
            "device.feedback.pin: relay.pump uses pin 4 already; allowed: one use a pin",
        ),
        (
            '[device.shore]\nkind = "gpio_input"\npin = 0\n[device.door]\nkind = "gpio_input"\npin = 0',
            "device.door.pin: device.shore uses pin 0 already; allowed: one use a pin",
        ),
        (
            '[relay.pump]\npin = 5\n[device.tank]\nkind = "tank_switches"\nlevels = { 25 = 6, 50 = 5 }',
            "device.tank.levels.50: relay.pump uses pin 5 already; allowed: one use a pin",
        ),
        (
            '[device.tank]\nkind = "tank_switches"\nlevels = { 25 = 5, 50 = 5 }',
            "device.tank.levels.50: device.tank.levels.25 uses pin 5 already; allowed: one use a pin",
        ),
        (
            '[device.tank]\nkind = "tank_switches"\nlevels = { 25 = 28 }',
            (
                "device.tank.levels.25: 28 is not allowed; "
                "allowed: a BCM number, 0 to 27; the numbers of the header are others"
            ),
        ),
        (
            _device(f'key = "{KEY}0"'),
            "device.shunt.key: it has 33 characters, 1 too many; allowed: 32 hexadecimal digits, 0-9 and a-f",
        ),
        (
            _device(f'key = "{KEY[:-1]}x"'),
            (
                "device.shunt.key: it has 32 characters, but character 32 is 'x'; "
                "allowed: 32 hexadecimal digits, 0-9 and a-f"
            ),
        ),
        (
            f'[broker]\npassword = "{SECRET}"',
            "broker.username: there is a password but no user; allowed: the user the password belongs to",
        ),
    ],
)
def test_a_mistake_is_one_line_with_key_what_is_wrong_and_what_is_allowed(
    machine: Machine, text: str, line: str
) -> None:
    machine.says(text)
    assert machine.mistakes() == [line]


def test_a_mistake_names_its_file(machine: Machine) -> None:
    machine.says("[broker]\nport = 0")
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert str(caught.value).startswith(f"{machine.file}: broker.port: ")


def test_no_toml_is_said_with_its_line(machine: Machine) -> None:
    machine.says("[broker]\nport = 1883\nhost = \n")
    (line,) = machine.mistakes()
    assert line.splitlines() == [
        f"{machine.file} line 3, column 8: there is no value after =; write a value, or remove the line",
        "    host = ",
        "           ^",
    ]


def test_a_key_given_twice_is_said_with_its_line(machine: Machine) -> None:
    machine.says("[broker]\nport = 1\nport = 2\n")
    assert "line 3" in machine.mistakes()[0]


def test_a_file_that_is_not_utf8_is_said(machine: Machine) -> None:
    machine.says(b"\xff\xfe[broker]")
    assert "this file is not UTF-8 but UTF-16" in machine.mistakes()[0]


@pytest.mark.parametrize("kind", ["absent", "a folder"])
def test_a_file_that_cannot_be_read_is_said_with_one_to_start_from(machine: Machine, kind: str) -> None:
    machine.file.unlink()
    if kind == "a folder":
        machine.file.mkdir()
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert str(machine.file) in str(caught.value)
    assert "config/example.toml" in str(caught.value)


def test_several_mistakes_are_all_reported(machine: Machine) -> None:
    machine.says('[broker]\nport = 0\nprot = 1\n[ble]\nmode = "loud"\n[relay.pump]\n')
    keys = [line.split(":")[0] for line in machine.mistakes()]
    assert sorted(keys) == ["ble.mode", "broker.port", "broker.prot", "relay.pump.pin"]


def test_several_mistakes_that_need_more_than_one_look_are_all_reported(machine: Machine) -> None:
    machine.says(
        _device('address = "no"\nkey = "abc"') + "[relay.a]\npin = 1\n[relay.b]\npin = 1\n[relay.c]\npin = 1"
    )
    keys = [line.split(":")[0] for line in machine.mistakes()]
    assert keys == ["device.shunt.address", "device.shunt.key", "relay.b.pin", "relay.c.pin"]


@pytest.mark.parametrize(
    "text",
    [
        _device(f'key = "{SECRET}"'),
        _device(f'key = ["{SECRET}"]'),
        _device(f'key = {{ a = "{SECRET}" }}'),
        _device(f'key = "{SECRET}"\nadress = 5'),
        f'[[device.shunt]]\nkind = "x"\nkey = "{SECRET}"',
        f'[device]\nshunt = "{SECRET}"',
        f'[[broker]]\npassword = "{SECRET}"',
        f'[broker]\npassword = ["{SECRET}"]',
        f'[broker]\npasswrod = "{SECRET}"',
        f'[broker]\npassword = "{SECRET}"',
        f'[broker]\nusername = "u"\npassword = "{SECRET}"\nport = 0',
        f'[broker]\npassword = "{SECRET}"\nusername = \n',
    ],
)
def test_a_secret_never_appears_in_a_mistake(machine: Machine, text: str) -> None:
    machine.says(text)
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.mistakes)


def test_a_secret_in_a_variable_never_appears_in_a_mistake(machine: Machine) -> None:
    machine.env(BOONDOCK_DEVICE__SHUNT=f'{{"kind": "x", "key": "{SECRET}"')
    (line,) = machine.mistakes()
    assert line.startswith("environment BOONDOCK_DEVICE__SHUNT: device.shunt: this is no table; ")
    assert SECRET not in line


def test_a_secret_never_appears_when_settings_are_shown(machine: Machine) -> None:
    machine.says(_device(f'key = "{KEY}"') + f'[broker]\nusername = "van"\npassword = "{SECRET}"')
    settings = machine.settings()
    assert (settings.broker.password, settings.device["shunt"].key) == (SECRET, KEY)
    for shown in (repr(settings), str(settings), repr(settings.broker), repr(settings.device)):
        assert SECRET not in shown
        assert KEY not in shown


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.text(alphabet="[]{}=.,\"'#\n abcdevicrlyhpokt_019-", max_size=60))
@example("[device.a.b]\nc = 1")
@example("relay = []")
@example("[publish]\nmin_interval = 2020-01-01")
@example("[device.'']\nkind = 'x'")
def test_whatever_the_file_holds_the_answer_is_settings_or_mistakes(machine: Machine, text: str) -> None:
    machine.says(text)
    mistakes = []
    try:
        machine.settings()
    except ConfigError as error:
        mistakes = error.mistakes or [Mistake("", "", "", "")]
    assert all(m.where and m.wrong and m.allowed for m in mistakes)
