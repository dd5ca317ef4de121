"""Every setting of the model given as a variable, in the environment and in `.env`."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import pytest
from pydantic import TypeAdapter

from config.model import Device, Settings
from tests.config.conftest import Machine

# Tables of the owner's names, and those that need others to be there.
IDS = {"user": "phone", "device": "shunt", "relay": "pump"}
FILE = """
[user.phone]
role = "viewer"
[device.shunt]
kind = "victron_battery_monitor"
[relay.pump]
pin = 4
[battery_guard]
relay = "pump"
source = "shunt.voltage"
disconnect_below = 11
reconnect_above = 12
"""
JSON_LIKE = ['["x"]', "123", "true", "null", '{"a": 1}', '"x"']


def plain(kind: object) -> list[Any]:
    """The types of a setting without bounds and None."""
    if get_origin(kind) is Annotated:
        return plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for part in get_args(kind) if part is not type(None) for one in plain(part)]
    return [kind]


def settings() -> Iterator[tuple[str, list[Any], object]]:
    """Variable, types and annotation of every setting."""
    for table in fields(Settings):
        kind = plain(table.type)[0]
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        if table.name == "imports":
            # [[import]] is a list without ids: only the file can say it.
            continue
        assert is_dataclass(kind)
        above = f"BOONDOCK_{table.name}__" + (f"{IDS[table.name]}__" if table.name in IDS else "")
        for one in fields(kind):
            yield f"{above}{one.name}".upper(), plain(one.type), one.type


ALL = list(settings())


def texts(kinds: list[Any]) -> list[str]:
    """Candidates as users of pydantic-settings write them; the first that the annotation takes is used."""
    first = kinds[0]
    if get_origin(first) is Literal:
        return [str(get_args(first)[-1])]
    if get_origin(first) is tuple:
        return ['["ble", "tcp"]', "[[0, 1], [2.5, 3]]"]
    if get_origin(first) is dict:
        return ['{"voltage": 5}']
    return {bool: ["true"], int: ["2", "100", "9600"], float: ["1.5"], str: ["text"]}[first]


def fits(annotation: object, text: str) -> object:
    """What the setting is once a text is read; MISSING if it takes none."""
    adapter: TypeAdapter[object] = TypeAdapter(cast("Any", annotation))
    way = adapter.validate_json if text[0] in "[{" else adapter.validate_python
    try:
        return way(text)
    except ValueError:
        return MISSING


def reached(found: object, variable: str) -> object:
    """The setting that a variable names."""
    for part in variable.removeprefix("BOONDOCK_").lower().split("__"):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


@pytest.fixture
def free(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which only the types are looked at."""
    machine.says(FILE)
    monkeypatch.setattr("config.source.rules.check", lambda _settings, _file: [])
    return machine


@pytest.mark.parametrize(("variable", "kinds", "annotation"), ALL, ids=[one[0] for one in ALL])
def test_every_setting_can_be_a_variable(
    free: Machine, variable: str, kinds: list[Any], annotation: object
) -> None:
    wanted = [(text, value) for text in texts(kinds) if (value := fits(annotation, text)) is not MISSING]
    assert wanted
    text, value = wanted[0]
    env = free.file.with_name(".env")
    env.write_text(f"{variable}='{text}'\n")
    assert reached(free.settings(), variable) == value
    env.unlink()
    free.env(**{variable: text})
    assert reached(free.settings(), variable) == value


TEXTS = [variable for variable, kinds, _ in ALL if str in kinds]


@pytest.mark.parametrize("text", JSON_LIKE)
def test_a_text_that_looks_like_json_stays_a_text(free: Machine, text: str) -> None:
    for variable in TEXTS:
        # The one text that may be a number.
        if not variable.endswith("__ADDRESS"):
            free.env(**{variable: text})
    found = free.settings()
    said = {variable: reached(found, variable) for variable in TEXTS if not variable.endswith("__ADDRESS")}
    assert said == dict.fromkeys(said, text)


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_wrong_one_is_named_with_an_example(free: Machine, place: str) -> None:
    for variable, kinds, _ in ALL:
        if str in kinds or get_origin(kinds[0]) is Literal:
            continue
        env = free.file.with_name(".env")
        with pytest.MonkeyPatch.context() as patch:
            if place == ".env":
                env.write_text(f"{variable}=few\n")
            else:
                patch.setenv(variable, "few")
            (line,) = free.mistakes()
        assert line.startswith(f"{env} line 1: " if place == ".env" else f"environment {variable}: ")
        assert f"; such as {variable}=" in line, line


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BOONDOCK_COLLECTOR__RUN", '["ble", "bel"]'),
        ("BOONDOCK_COLLECTOR__RUN", '{"ble": 1}'),
        ("BOONDOCK_COLLECTOR__RUN", "ble,tcp"),
        ("BOONDOCK_DEVICE__SHUNT__CALIBRATION", "[[0, 1], [2]]"),
        ("BOONDOCK_DEVICE__SHUNT__STEPS", '{"voltage": "few"}'),
        ("BOONDOCK_DEVICE__SHUNT__STEPS", "[1]"),
        ("BOONDOCK_BROKER", '{"port": "few"}'),
        ("boondock_broker__port", "few"),
    ],
)
def test_what_is_wrong_inside_a_variable_is_told_of_that_variable(
    free: Machine, variable: str, text: str
) -> None:
    free.env(**{variable: text})
    assert {line.split(": ")[0] for line in free.mistakes()} == {f"environment {variable.upper()}"}


def test_tables_and_single_settings_go_together(free: Machine) -> None:
    free.env(
        BOONDOCK_BROKER='{"host": "van.local", "port": 1884}',
        BOONDOCK_BROKER__PORT="1885",
        BOONDOCK_DEVICE='{"mppt": {"kind": "victron_solar_charger", "disabled": ["error"]}}',
    )
    found = free.settings()
    assert (found.broker.host, found.broker.port) == ("van.local", 1885)
    assert found.device["mppt"] == Device(kind="victron_solar_charger", disabled=("error",))


@pytest.mark.parametrize(
    ("text", "address"),
    [("0x40", 0x40), ("64", 64), ("112233445566", "11:22:33:44:55:66"), ("0x4g", "0x4g"), ("true", "true")],
)
def test_the_address_of_a_chip_is_a_number(free: Machine, text: str, address: str | int) -> None:
    free.env(BOONDOCK_DEVICE__SHUNT__ADDRESS=text)
    assert free.settings().device["shunt"].address == address
