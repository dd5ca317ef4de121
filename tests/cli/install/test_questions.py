"""Answers become a boondock.toml that is good, and a wrong answer is asked for again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.install import System, plan, questions
from cli.install.kinds import BLE, I2C, KINDS, PINS, RELAY, SERIAL, AnswerError, key, mac
from cli.install.questions import Interview
from cli.terminal import CommandError
from collector.checking import find_mistakes
from collector.devices import KINDS as READ
from collector.devices.description import I2cKind, Wire
from config import load

WIRES = {BLE: (Wire.BLE, Wire.BLE_GATT), I2C: (Wire.I2C,), PINS: (Wire.GPIO,)}
# Good answers to what has no default, by key.
ANSWERS: dict[str, str | dict[str, str]] = {
    "address": {BLE: "c0-11-22-33-44-55", I2C: "0x48"},
    "key": {BLE: "0123456789ABCDEF0123456789abcdef"},
    "port": {SERIAL: "/dev/ttyUSB0"},
    "profile": "sdm630",
    "route_b_id": "0" * 32,
    "route_b_password": "A" * 12,
    "pin": "22",
    "levels": "25=5, 50=6",
}


def interview(root: Path, answers: list[str], said: list[str] | None = None) -> plan.Plan:
    left: Iterator[str] = iter(answers)

    def read(_prompt: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    lines: list[str] = [] if said is None else said
    made = Interview(System(root), read, lines.append).plan(Path("/src"), Path("/opt/x"))
    assert list(left) == [], "all answers were asked for"
    return made


def good(made: plan.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise ConfigError unless the settings with the secret files are good."""
    secrets = folder / "secrets"
    secrets.mkdir()
    for name, text in made.secrets.items():
        (secrets / name).write_text(f"{text}\n")
    monkeypatch.setenv("BOONDOCK_SECRETS", str(secrets))
    (folder / "boondock.toml").write_text(made.toml)
    load.load(folder / "boondock.toml", find_mistakes)


def test_who_takes_every_default_gets_a_house_that_reads_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = interview(tmp_path, [""] * 7)
    assert made.settings == {"page": {"enabled": True}, "device": {"pi": {"kind": "raspberry_pi"}}}
    assert (made.broker, made.i2c, made.uart, made.users) == (plan.OWN, False, False, True)
    good(made, tmp_path, monkeypatch)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=[f"{one.kind}-{one.wire}" for one in KINDS])
def test_every_kind_that_is_offered_can_be_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kind = KINDS[number]
    answers = []
    for one in kind.questions:
        found = ANSWERS.get(one.key, "")
        answers.append(found if isinstance(found, str) else found.get(kind.wire, "192.168.1.40"))
    made = interview(tmp_path, ["", "", "", "", str(number + 2), "", *answers, "", "", ""])
    good(made, tmp_path, monkeypatch)
    assert list(made.settings["device"]) == [kind.name, "pi"]
    assert not any(text in made.toml for text in made.secrets.values()), "keys are in files of their own"
    assert made.i2c is (kind.wire == I2C)


def test_the_wires_are_those_of_the_collectors() -> None:
    for kind in KINDS:
        assert kind.wire not in WIRES or READ[kind.kind].wire in WIRES[kind.wire], kind
    assert {name for name in READ if isinstance(READ[name], I2cKind)} == plan.I2C_KINDS


def test_what_a_kind_needs_is_asked_and_nothing_that_it_does_not_take() -> None:
    for kind in KINDS:
        asked = {one.key for one in kind.questions}
        known = READ[kind.kind]
        assert set(known.needs) <= asked, kind.kind
        assert asked <= {*known.needs, *known.takes}, kind.kind


def test_ports_that_are_found_are_offered_with_what_their_name_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = tmp_path / "dev/serial/by-id"
    ports.mkdir(parents=True)
    (ports / "usb-VictronEnergy_BV_VE_Direct_cable-if00-port0").touch()
    made = interview(tmp_path, ["", "", "", "", "", "", "", "", ""])
    port = "/dev/serial/by-id/usb-VictronEnergy_BV_VE_Direct_cable-if00-port0"
    assert made.settings["device"]["victron_cable"] == {"kind": "vedirect", "port": port}
    good(made, tmp_path, monkeypatch)


def test_the_boards_own_port_is_switched_on(tmp_path: Path) -> None:
    made = interview(tmp_path, ["", "", "", "", "3", "", "/dev/ttyAMA0", "", "", ""])
    assert made.uart


def test_two_devices_of_one_name_get_two_ids(tmp_path: Path) -> None:
    one = ["3", "MPPT links!", "/dev/ttyUSB0"]
    made = interview(tmp_path, ["", "", "", "", *one, *one, "", "", ""])
    assert list(made.settings["device"]) == ["mppt_links", "mppt_links_2", "pi"]


def test_a_relay_and_pins_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = interview(tmp_path, ["", "", "", "", "", "Pump", "", "27", "n", "-", ""])
    assert made.settings["relay"] == {"pump": {"pin": 27, "active_low": False}}
    assert made.settings["controller"] == {"pins": "simulated"}
    assert [one.key for one in RELAY] == ["pin", "active_low"]
    good(made, tmp_path, monkeypatch)


def test_a_broker_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = ["2", "ha.local", "", "van", "s3cret", "-", "annas_van"]
    made = interview(tmp_path, ["", *elsewhere, "", "", ""])
    assert made.settings["broker"] == {
        "host": "ha.local",
        "port": 1883,
        "username": "van",
        "base": "annas_van",
    }
    assert (made.broker, made.users, made.secrets) == (plan.ELSEWHERE, False, {"broker__password": "s3cret"})
    good(made, tmp_path, monkeypatch)


def test_answers_that_end_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nothing was changed"):
        interview(tmp_path, ["", ""])
    with pytest.raises(CommandError, match="nothing was changed"):
        interview(tmp_path, ["", "", "", "", "", "", "n"])


@pytest.mark.parametrize(
    ("take", "wrong", "why"),
    [
        (key, "O123456789abcdef0123456789abcdef", "'o' is no hexadecimal digit"),
        (key, "0123", "it has 4"),
        (mac, "C0:11:22:33:44", "VictronConnect"),
        (mac, "C0:11:22:33:44:GG", "VictronConnect"),
        (RELAY[0].take, "40", "0 to 27"),
        (RELAY[0].take, "GPIO17", "whole number"),
        (RELAY[1].take, "maybe", "y or n"),
    ],
)
def test_a_wrong_answer_says_what_is_allowed(take: Callable[[str], object], wrong: str, why: str) -> None:
    with pytest.raises(AnswerError, match=why):
        take(wrong)


@pytest.mark.parametrize("text", ["c01122334455", "C0-11-22-33-44-55", "c0:11:22:33:44:55", "C011.2233.4455"])
def test_an_address_may_be_written_in_any_usual_way(text: str) -> None:
    assert mac(text) == "C0:11:22:33:44:55"


@pytest.mark.parametrize(
    ("answers", "table"),
    [
        (["1"], {}),
        ([""], {"enabled": True}),
        (["3", "wlan0, eth0"], {"enabled": True, "listen": ["wlan0", "eth0"]}),
        (["4", "wlan0"], {"enabled": True, "listen": ["wlan0"], "tls": False}),
    ],
)
def test_the_page_is_for_whom_the_owner_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], table: dict[str, object]
) -> None:
    made = interview(tmp_path, ["", "", "", *answers, "", "", ""])
    assert made.settings.get("page", {}) == table
    good(made, tmp_path, monkeypatch)


def test_where_phones_may_come_in_the_page_is_proposed_to_them_too(tmp_path: Path) -> None:
    made = interview(tmp_path, ["", "", "y", "eth1", "", "", "", "", ""])
    assert made.settings["page"] == {"enabled": True, "listen": ["eth1"]}


@pytest.mark.parametrize("port", ["tcp://192.168.1.40", "solarman://192.168.1.42:8899"])
def test_a_device_on_the_network_is_written_with_its_protocol(port: str) -> None:
    assert questions._port(port) == port
    assert questions._port("192.168.1.40") == "tcp://192.168.1.40"
    again = questions._kind_of({"kind": "modbus", "port": port})
    assert again is not None
    assert again.wire == "local network"
