"""[[import]] tables by themselves: paths, conversion, words, times, hostile payloads."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.checking import wrong_with_import
from collector.devices.imported import UNITS, BadPathError, BadPayloadError, Imported, is_online, parse_path
from config.model import Availability, Import, ImportEntity
from tests.collector.import_tables import PLUG

Table = dict[str, Any]


def table(**entity: Any) -> Imported:  # noqa: ANN401 — an entity's settings
    return Imported(Import(topic="t", entities={"value": ImportEntity(**entity)}))


def value(payload: bytes | str, **entity: Any) -> Any:  # noqa: ANN401 — an entity's settings and its value
    raw = payload.encode() if isinstance(payload, str) else payload
    return table(**entity).read("t", raw).values.get("value", "absent")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("ENERGY.Power", ("ENERGY", "Power")),
        ("a[0].b[12]", ("a", 0, "b", 12)),
        ("[3]", (3,)),
        ("[0][1]", (0, 1)),
        ("switch:0.a b", ("switch:0", "a b")),
        ("0", ("0",)),
    ],
)
def test_a_path_is_keys_and_indexes(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a[", "a]", "a[-1]", "a[x]", "a[0]b", "[99999]"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(BadPathError):
        parse_path(text)


@pytest.mark.parametrize(
    ("payload", "path", "found"),
    [
        ('{"a": {"b": 1}}', "a.b", 1.0),
        ('{"a": [1, {"b": -2.5}]}', "a[1].b", -2.5),
        ("[7]", "[0]", 7.0),
        ('{"a": null}', "a", None),
        ('{"a": 1}', "b", "absent"),
        ('{"a": 1}', "a.b", "absent"),
        ('{"a": [1]}', "a[1]", "absent"),
        ('{"a": {"0": 1}}', "a[0]", "absent"),
        ('{"a": [1]}', "a.0", "absent"),
        ("3", "a", "absent"),
        ("null", "a", "absent"),
    ],
)
def test_absent_is_not_null(payload: str, path: str, found: object) -> None:
    assert value(payload, path=path, unit="W") == found


@pytest.mark.parametrize(
    ("unit", "said", "ours"),
    [
        ("kW", 1.5, 1500),
        ("MW", 0.001, 1000),
        ("kWh", 1.956, 1956),
        ("kWh", 0.1, 100),
        ("MWh", 0.002, 2000),
        ("mA", -89, -0.089),
        ("mV", 2985, 2.985),
        ("°F", 32, 0),
        ("°F", -40, -40),
        ("°F", 212, 100),
        ("K", 273.15, 0),
        ("min", 2, 120),
        ("d", 1, 86400),
        ("m³", 0.25, 250),
        ("kHz", 0.05, 50),
        ("hPa", 1013.2, 1013.2),
        ("%", 44.72, 44.72),
    ],
)
def test_units_become_ours(unit: str, said: float, ours: float) -> None:
    assert value(json.dumps(said), unit=unit) == pytest.approx(ours, abs=1e-9)
    shown = table(unit=unit).rows["value"].entity.unit
    assert shown == (UNITS[unit][0] if unit in UNITS else unit)


def test_scale_and_offset_are_in_the_units_of_the_device() -> None:
    assert value("4", unit="kW", scale=-0.5, offset=1) == -1000
    assert value("50", unit="°F", offset=-18) == 0


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ("21.5", 21.5),
        (" -3 \n", -3.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("null", None),
        ("1e999", None),
        ("9" * 400, None),
        ("1e16", None),
        ("1_000", "absent"),
        ("nan", "absent"),
        ("inf", "absent"),
        ("0x10", "absent"),
        ("٣", "absent"),
        ("12 W", "absent"),
        ("", "absent"),
        ("true", "absent"),
    ],
)
def test_a_plain_payload_is_a_number_or_nothing(payload: str, found: object) -> None:
    assert value(payload, unit="W") == found


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ('{"v": "12.5"}', 12.5),
        ('{"v": 1' + "0" * 400 + "}", None),
        ('{"v": true}', "absent"),
        ('{"v": []}', "absent"),
        ('{"v": {}}', "absent"),
        ('{"v": "warm"}', "absent"),
    ],
)
def test_a_wrong_type_is_no_value(payload: str, found: object) -> None:
    heard = table(path="v", unit="W").read("t", payload.encode())
    assert heard.values.get("value", "absent") == found
    assert bool(heard.refused) is (found == "absent")


def test_without_a_unit_numbers_and_texts_pass_as_they_are() -> None:
    assert value('{"v": "12"}', path="v") == "12"
    assert value('{"v": 12}', path="v") == 12
    assert value("12") == 12
    assert value("bulk") == "bulk"
    assert value("x" * 256) == "absent"
    assert value('{"v": true}', path="v") == "absent"


@pytest.mark.parametrize(
    ("entity", "meanings"),
    [
        ({"command_topic": "c"}, {"ON": "ON", "on": "ON", "true": "ON", "1": "ON", "OFF": "OFF", "0": "OFF"}),
        ({"on": (True,), "off": (False,)}, {"true": "ON", "false": "OFF", "1": "absent", "null": None}),
        # A contact that says true is closed, so the door is not open.
        ({"on": (False,), "off": (True,)}, {"false": "ON", "true": "OFF"}),
        ({"on": ("open",)}, {"open": "ON", "OPEN": "ON", "off": "OFF", "on": "absent", "closed": "absent"}),
        ({"on": (1.0,), "off": (0.0,)}, {"1": "ON", "1.0": "absent", "0": "OFF", "2": "absent"}),
        ({"map": {"3": "bulk", "Abs": "absorption"}}, {"3": "bulk", "abs": "absorption", "4": "absent"}),
        ({"options": ("eco", "off")}, {"eco": "eco", "ECO": "eco", "off": "off", "on": "absent"}),
    ],
)
def test_words(entity: Table, meanings: dict[str, object]) -> None:
    assert {said: value(said, **entity) for said in meanings} == meanings


@pytest.mark.parametrize(
    ("said", "meaning"), [("true", "ON"), ("1", "ON"), ("1.0", "ON"), ('"On"', "ON"), ("0", "OFF")]
)
def test_words_in_json_have_their_types(said: str, meaning: str) -> None:
    assert value(f'{{"v": {said}}}', path="v", command_topic="c") == meaning


def test_rows_follow_from_the_unit_and_the_table_goes_first() -> None:
    entity = table(unit="kWh").rows["value"].entity
    assert (entity.unit, entity.device_class, entity.state_class) == ("Wh", "energy", "total_increasing")
    entity = table(unit="%", device_class="battery", name="Charge", precision=0).rows["value"].entity
    assert (entity.name, entity.device_class, entity.precision) == ("Charge", "battery", 0)
    assert table(unit="mA").rows["value"].entity.precision == 3
    assert table(unit="W", step=25).rows["value"].step == 25
    assert table(map={"1": "eco", "2": "off", "3": "off"}).rows["value"].entity.options == ("eco", "off")
    switch = table(command_topic="c", device_class="plug").rows["value"].entity
    assert (switch.boolean, switch.command, switch.device_class) == (True, True, "plug")


@pytest.mark.parametrize(
    ("said", "ts"),
    [
        ('"2026-11-21T06:40:10Z"', 1795243210000),
        ('"2026-11-21T07:40:10.5+01:00"', 1795243210500),
        ("1795243210", 1795243210000),
        ("1795243210123", 1795243210123),
        ('"2026-11-21T06:40:10"', None),
        ('"soon"', None),
        ("-1", None),
        ("1e300", None),
        ("true", None),
        ("null", None),
        ("9" * 400, None),
    ],
)
def test_the_devices_own_time(said: str, ts: int | None) -> None:
    imported = Imported(Import(topic="t", time="at", entities={"v": ImportEntity(path="v", unit="W")}))
    heard = imported.read("t", f'{{"v": 1, "at": {said}}}'.encode())
    assert (heard.ts, heard.bad_time, heard.values) == (ts, ts is None, {"v": 1.0})


@pytest.mark.parametrize(
    ("payload", "path", "online"),
    [
        (b"online", None, True),
        (b" Offline\n", None, False),
        (b"maybe", None, None),
        (b"", None, None),
        (b"\xff", None, None),
        (b'{"state": "online"}', "state", True),
        (b'{"state": "offline"}', "state", False),
        (b'{"other": "offline"}', "state", None),
        (b"online", "state", None),
    ],
)
def test_availability(payload: bytes, path: str | None, online: bool | None) -> None:  # noqa: FBT001 — the expectation
    assert is_online(Availability(topic="t", path=path), payload) is online


def test_availability_takes_booleans_for_their_words() -> None:
    said = Availability(topic="t", path="up", online="true", offline="false")
    assert [is_online(said, p) for p in (b'{"up": true}', b'{"up": false}', b'{"up": 1}')] == [
        True,
        False,
        None,
    ]


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff\xfe", b"NaN", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 60_000, b"nothing"]
)
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    with pytest.raises(BadPayloadError):
        Imported(PLUG).read("tele/plug/SENSOR", payload)


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ENERGY", "Power", "POWER", "Time", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


def _is_good(found: object) -> bool:
    if isinstance(found, float):
        return math.isfinite(found) and abs(found) <= 1e15
    return found is None or (isinstance(found, str) and len(found) <= 255)


@given(st.binary(max_size=300) | _anything.map(lambda body: json.dumps(body).encode()))
def test_whatever_comes_gives_good_values_or_a_refusal(payload: bytes) -> None:
    imported = Imported(PLUG)
    for topic in imported.topics:
        try:
            heard = imported.read(topic, payload)
        except BadPayloadError:
            continue
        assert all(_is_good(found) for found in heard.values.values())
        assert heard.values.keys() <= imported.rows.keys()


@given(_anything)
def test_words_never_come_from_elsewhere(body: object) -> None:
    found = value(json.dumps({"v": body}), path="v", options=("eco", "off"))
    assert found in ("eco", "off", None, "absent")


@pytest.mark.parametrize(
    ("entity", "wrong"),
    [
        ({"path": "a..b"}, "path: 'a..b' is no path"),
        ({"unit": "W", "device_class": "powr"}, "device_class: Home Assistant has no sensor of class 'powr'"),
        ({"unit": "V", "device_class": "power"}, "unit: V does not go with power"),
        ({"unit": "kWh", "state_class": "measurement"}, "state_class: measurement does not go with energy"),
        ({"command_topic": "c", "unit": "W"}, "unit: its values are ON and OFF"),
        ({"on": (1.0,), "off": (1.0,)}, "off: a payload cannot mean ON and OFF"),
        ({"on": (1.0,), "device_class": "voltage"}, "device_class: Home Assistant has no binary sensor"),
        ({"map": {"1": "eco"}, "scale": 2.0}, "scale: its values are words"),
        (
            {"range": (0.0, 1.0), "command_topic": "c", "payload_on": "1"},
            "payload_on: its values are numbers",
        ),
        ({"options": ("a",), "command_topic": "c", "payload_off": "1"}, "payload_off: its values are words"),
        ({"on": (1.0,), "command_topic": "c", "range": (0.0, 1.0)}, "range: its values are ON and OFF"),
        ({"map": {"1": "eco"}, "options": ("off",)}, "map.1: 'eco' is none of its options"),
    ],
)
def test_mistakes_name_the_setting(entity: Table, wrong: str) -> None:
    table = Import(topic="t", entities={"value": ImportEntity(**entity)})
    [(field, text, allowed)] = wrong_with_import(table)
    assert f"{field}: {text}".startswith(f"entities.value.{wrong}")
    assert allowed


def test_mistakes_of_the_table_itself() -> None:
    bad = Import(
        topic="t", time="[", availability=Availability(topic="a", path="."), entities={"ts": ImportEntity()}
    )
    assert [re.sub(r"'.*'", "…", f"{f}: {w}") for f, w, _ in wrong_with_import(bad)] == [
        "time: … is no path",
        "availability.path: … is no path",
        "entities.ts: a reading uses this word for itself",
    ]
    assert list(wrong_with_import(PLUG)) == []
