"""`kinds`: a form drawn from its schema alone adds each kind of device; what it forbids is refused."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bus import request_server
from collector import form
from collector.checking import mistakes, settings_of
from collector.device import TRANSPORTS, cadence, own
from collector.device_store import SECRETS, shown
from collector.devices import KINDS
from collector.devices.description import NoAnswerError, PolledKind
from collector.devices.lines import Line
from collector.form import MEANINGS, Forms, defaults_of
from collector.scan.modbus import scan_of
from config.addresses import normal, wrong_address
from config.model import Device, Publish, Settings
from tests.clock import FakeTime
from tests.collector.clients import BleHouse, Clients, LineHouse

Json = Any
WHERE = [(name, which) for name, kind in KINDS.items() for which in kind.wire.collectors]
# Texts for a form's patterns: what a person copies from elsewhere.
TEXTS = (
    "C0:11:22:33:44:55",
    "0123456789abcdef" * 2,
    "A1b2C3d4E5f6",
    "/dev/ttyUSB0",
    "tcp://192.168.1.40",
    "28-0123456789ab",
    "sht3x",
    "0x44",
)


class Nobody(Line):
    """A line on which nobody answers, whatever is asked."""

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def silence(*_: object, **__: object) -> object:
            raise NoAnswerError("nobody there")

        return silence


def house_of(which: str, folder: Path, time: FakeTime) -> Clients:
    if which == "ble":
        return BleHouse(folder, time)
    return LineHouse(
        folder, time, {}, which, lines=lambda _: ("line", Nobody), scan=lambda *its: scan_of(which, *its)
    )


def schemas(house: Clients, **params: str) -> dict[str, Json]:
    """All kinds of a collector, page by page."""
    answer = house.ask("kinds", **params)
    found = list(answer["data"])
    while "next" in answer:
        answer = house.ask("kinds", cursor=answer["next"], **params)
        found += answer["data"]
    return {one["kind"]: one for one in found}


def filled(schema: Json) -> Json:
    """What somebody enters who sees this part of a form and nothing else."""
    for word in ("enum", "examples"):
        if schema.get(word):
            return schema[word][0]
    match schema.get("type"):
        case "integer" | "number":
            return schema.get("default", schema.get("minimum", 1))
        case "boolean":
            return True
        case "array":
            pair = schema["items"].get("type") == "array"
            return [[0.5, 0], [2.5, 100]] if pair else []
        case "object":
            return {"25": filled(schema["additionalProperties"])}
        case _:
            return next(text for text in TEXTS if re.search(schema.get("pattern", ""), text))


def device_of(entry: Json) -> dict[str, Json]:
    """The settings that the form needs."""
    properties = entry["settings"]["properties"]
    return {key: filled(properties[key]) for key in entry["settings"]["required"]}


@pytest.mark.parametrize(("name", "which"), WHERE)
def test_a_form_adds_the_device_and_shows_it_again(
    name: str, which: str, tmp_path: Path, time: FakeTime
) -> None:
    house = house_of(which, tmp_path, time)
    (entry,) = schemas(house, kind=name).values()
    jsonschema.Draft202012Validator.check_schema(entry["settings"])
    settings = device_of(entry)
    jsonschema.validate(settings, entry["settings"])
    added = house.data("device_add", device="new", kind=name, **settings)
    (listed,) = house.data("devices")
    assert (added["kind"], listed["kind"]) == (name, name)
    told = {key: value for key, value in listed["settings"].items() if key not in SECRETS}
    partial = {**entry["settings"], "required": []}
    jsonschema.validate(told, partial)
    assert {key: value for key, value in settings.items() if key not in SECRETS} == told
    secret = {key for key, one in entry["settings"]["properties"].items() if one.get("writeOnly")}
    assert secret == set(SECRETS) & set(settings_of(KINDS[name]))
    # What the form has as defaults may be sent back, and nothing changes by it.
    defaults = {k: one["default"] for k, one in entry["settings"]["properties"].items() if "default" in one}
    again = house.data("device_update", device="new", **defaults)
    assert (again["kind"], again["where"]) == (name, "mqtt")


def beyond(schema: Json) -> Iterator[Json]:
    """Values that the schema forbids, just beside those that it allows."""
    if "enum" in schema:
        yield 12345 if schema["type"] == "number" else "no such choice"
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "exclusiveMinimum" in schema:
        yield schema["exclusiveMinimum"]
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "pattern" in schema:
        yield "tcp:/x" if schema["pattern"].startswith("^(tcp") else "tcp://%"
    if schema.get("type") in ("integer", "number", "boolean", "array", "object"):
        yield "text"


@pytest.mark.parametrize(("name", "which"), WHERE)
def test_what_a_form_forbids_is_refused(name: str, which: str, tmp_path: Path, time: FakeTime) -> None:
    house = house_of(which, tmp_path, time)
    (entry,) = schemas(house, kind=name).values()
    good, tried = device_of(entry), 0
    for key, schema in entry["settings"]["properties"].items():
        for value in beyond(schema):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(value, schema)
            code, text = house.refusal("device_add", device="new", kind=name, **{**good, key: value})
            assert code == "invalid", (key, value, text)
            assert key in text or (key == "port" and text.startswith("kind: ")), (key, value, text)
            tried += 1
    code, text = house.refusal("device_add", device="new", kind=name, **good, nonsense=1)
    assert (code, "nonsense" in text) == ("invalid", True)
    for key in entry["settings"]["required"]:
        left = {other: value for other, value in good.items() if other != key}
        code, text = house.refusal("device_add", device="new", kind=name, **left)
        # Without a port nobody knows which of the two collectors it is for.
        assert (code, key in text) == ("invalid", True), (key, text)
    assert tried > 10


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_default_is_what_counts_without_it(name: str) -> None:
    kind, house = KINDS[name], Settings(publish=Publish(min_interval=2, heartbeat=40, timeout=300))
    which = kind.wire.collectors[0]
    entry = {"settings": Forms(which, house, None).entry(name).settings}
    required = device_of(entry)
    if "calibration" in required:
        required["calibration"] = tuple(map(tuple, required["calibration"]))
    device = Device(kind=name, **required)
    assert list(mistakes("new", device)) == []
    defaults = defaults_of(kind, house)
    assert set(kind.defaults) | {"heartbeat"} <= set(defaults)
    for key, value in defaults.items():
        said = replace(device, **{key: value})  # type: ignore[arg-type]  # settings by name
        assert cadence(house, said, kind) == cadence(house, device, kind), key
        if isinstance(kind, PolledKind) and key in kind.takes:
            one, other = (own(house, "new", its, 0.0).poller for its in (said, device))
            assert key in ("bus", "baudrate") or one == other, (key, one, other)
    assert cadence(house, device, kind).heartbeat == defaults["heartbeat"] == 40


def test_every_setting_of_every_kind_has_its_words_and_belongs_to_a_collector() -> None:
    assert {name for name, _ in WHERE} == set(KINDS)
    assert set(Device.__dataclass_fields__) == set(MEANINGS)
    for which in TRANSPORTS:
        forms = Forms(which, Settings(), None)
        for name in (name for name, its in WHERE if its == which):
            entry = forms.entry(name)
            assert set(entry.settings["properties"]) | {"kind"} == set(settings_of(KINDS[name]))
            assert entry.settings["required"] == list(KINDS[name].needs)
            assert all(one["title"] and one["description"] for one in entry.settings["properties"].values())


def test_the_kinds_of_a_collector_come_in_pages_and_one_may_be_asked_for(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = BleHouse(tmp_path, time)
    whole = schemas(house)
    assert list(whole) == sorted(name for name, which in WHERE if which == "ble")
    monkeypatch.setattr(request_server, "PAGE", 9000)
    assert "next" in house.ask("kinds")
    assert schemas(house) == whole
    assert list(schemas(house, kind="victron")) == ["victron"]
    assert house.refusal("kinds", kind="ina219")[0] == "not_found"
    assert house.refusal("kinds", sort="x")[0] == "invalid"


def test_a_scan_has_its_form_only_where_it_finds_such_devices(tmp_path: Path, time: FakeTime) -> None:
    found = {
        which: {n: one["scan"] for n, one in schemas(house_of(which, tmp_path / which, time)).items()}
        for which in ("ble", "serial", "i2c", "gpio", "host")
    }
    assert set(found["ble"]["victron"]["properties"]) == {"seconds"}
    assert found["ble"]["victron"]["properties"]["seconds"]["maximum"] == 60
    assert set(found["serial"]["modbus"]["properties"]) == {"port", "units", "baudrates"}
    assert found["serial"]["modbus"]["required"] == ["port"]
    assert found["serial"]["vedirect"] is found["serial"]["route_b_meter"] is None
    assert set(found["i2c"]["tank_sender"]["properties"]) == {"bus"}
    assert set(found["gpio"].values()) == {found["host"]["raspberry_pi"]} == {None}
    assert found["host"]["ds18b20"]["properties"] == {}
    for schema in (one for of in found.values() for one in of.values() if one):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_secret_of_the_house_is_in_it(tmp_path: Path, time: FakeTime) -> None:
    key = "00112233445566778899aabbccddeeff"
    house = BleHouse(
        tmp_path, time, {"a": Device(kind="victron", address="C0:11:22:33:44:55", key=key, name="Anna's")}
    )
    said = json.dumps(schemas(house))
    assert key not in said
    assert "C0:11" not in said
    assert "Anna" not in said


@pytest.mark.parametrize(
    "text",
    [
        "C0:11:22:33:44:55",
        "c0-11-22-33-44-55",
        "C01122334455",
        "C0 11 22 33 44 55",
        "C0:11:22:33:44",
        "x",
        "",
    ],
)
def test_the_pattern_of_an_address_takes_what_the_settings_take(text: str) -> None:
    pattern = Forms("ble", Settings(), None).entry("victron").settings["properties"]["address"]["pattern"]
    assert bool(re.search(pattern, text)) == (wrong_address(text) is None) == (normal(text).count(":") == 5)


@pytest.mark.parametrize("address", [0x40, "0x40", "64", "0X40"])
def test_a_chip_s_address_is_always_shown_as_the_form_has_it(
    address: int | str, tmp_path: Path, time: FakeTime
) -> None:
    house = house_of("i2c", tmp_path, time)
    added = house.data("device_add", device="a", kind="ina219", address=address)
    assert added["settings"] == {"address": "0x40"}
    # Those of boondock.toml are kept as they were written.
    assert shown(Device(kind="ina219", address=address))["address"] == "0x40"


@pytest.mark.parametrize(
    ("setting", "good", "wrong"),
    [
        ("ads1115_voltage.gain", [6.144, 4.096, 0.256], [3.0, 4.0]),
        ("tank_sender.gain", [6.144, 4.096], [3.0]),
        ("gpio_input.device_class", ["plug", "power"], ["plg", "Plug"]),
        ("route_b_meter.route_b_id", ["0" * 32, "aF" * 16], ["0" * 31, "0" * 33, "g" * 32]),
        ("route_b_meter.route_b_password", ["a1B2c3D4e5F6"], ["a1B2c3D4e5F", "a1B2c3D4e5F!", "a" * 13]),
        ("ina219.address", ["0x40", "0x4f"], ["0x3f", "0x50", "C0:11:22:33:44:55"]),
    ],
)
def test_what_only_the_kind_allows_is_in_its_form(
    setting: str, good: list[Json], wrong: list[Json], tmp_path: Path, time: FakeTime
) -> None:
    name, key = setting.split(".")
    house = house_of(KINDS[name].wire.collectors[0], tmp_path, time)
    (entry,) = schemas(house, kind=name).values()
    valid = jsonschema.Draft202012Validator(entry["settings"]["properties"][key]).is_valid
    for value in (*good, *wrong):
        answer = house.ask("device_add", device="new", kind=name, **{**device_of(entry), key: value})
        assert (answer["status"] == "ok") == valid(value) == (value in good), (key, value, answer)
        house.ask("device_remove", device="new")


def test_a_form_offers_the_ports_and_the_profiles_that_are_there(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = tmp_path / "by-id"
    monkeypatch.setattr(form, "_PORTS", ports)
    house = house_of("serial", tmp_path, time)

    def of(house: Clients, name: str) -> Json:
        return schemas(house, kind="modbus")["modbus"]["settings"]["properties"][name]

    assert of(house, "port")["examples"] == []
    ports.mkdir()
    for name in ("usb-B", "usb-A"):
        (ports / name).touch()
    assert of(house, "port")["examples"] == [f"{ports}/usb-A", f"{ports}/usb-B"]
    assert schemas(house)["modbus"]["scan"]["properties"]["port"]["examples"] == of(house, "port")["examples"]
    # Those of kinds of their own are no profiles to choose.
    assert "sdm630" in of(house, "profile")["examples"]
    assert "epever_tracer" not in of(house, "profile")["examples"]
    (tmp_path / "tcp").mkdir()
    assert of(house_of("tcp", tmp_path / "tcp", time), "port")["examples"] == ["tcp://192.168.1.40:502"]
