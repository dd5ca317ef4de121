"""Commands as clients spell them: understood, or refused with the field and what is allowed."""

import json
import string

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus.about import Entity
from bus.commands import (
    LARGEST,
    LONGEST_ID,
    Code,
    Command,
    Refused,
    Switch,
    as_switch,
    check_fresh,
    parse,
    wanted,
)
from bus.messages import Result, encode
from tests.clock import NOON_MS

ON, OFF, TOGGLE = Switch.ON, Switch.OFF, Switch.TOGGLE


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        *((spelling, ON) for spelling in (b"ON", b"on", b"On", b"1", b"true", b"TRUE", b"True", b" ON\r\n")),
        *((spelling, OFF) for spelling in (b"OFF", b"off", b"0", b"false", b"False", b"\tOFF ")),
        *((spelling, TOGGLE) for spelling in (b"TOGGLE", b"toggle", b"Toggle\n")),
        (b'{"value":"ON"}', ON),
        (b'{"value": "off"}', OFF),
        (b' {"value":"toggle"} ', TOGGLE),
        (b'{"value":true}', ON),
        (b'{"value":false}', OFF),
        (b'{"value":1}', ON),
        (b'{"value":0}', OFF),
        (b'{"value":1.0}', ON),
        (b'{"value":0.0}', OFF),
        # What apps, flows and shells make of it.
        *(
            (text, ON)
            for text in (b'"ON"', b"'ON'", b'" on "', b"1.0", b"+1", b"1e0", b"ON\0", b"\xef\xbb\xbfON")
        ),
        *(
            (text, OFF)
            for text in (b'"off"', b"0.0", b"-0", b"00", b"\xc2\xa0OFF\r\n", b'\xef\xbb\xbf{"value":0}')
        ),
        *(
            (text, ON)
            for text in (
                b'"1"',
                b'"true"',
                b'{"value":"1.0"}',
                b'{"value":" on\\n"}',
                b'{"value":"\\"ON\\""}',
            )
        ),
        (b'{"state":"ON"}', ON),
        (b'{"State":"off"}', OFF),
        (b'{"VALUE":true}', ON),
        (b'{"state":"ON","value":"ON"}', ON),
        (b'{"state":"ON","brightness":254,"transition":2,"color":{"x":1}}', ON),
        (
            b'{"_msgid":"a1","payload":"toggle","topic":"camper/set/relay/pump","qos":1,"retain":false}',
            TOGGLE,
        ),
        (b'"{\\"state\\":\\"ON\\"}"', ON),
    ],
)
def test_every_usual_spelling_is_understood(payload: bytes, wanted: Switch) -> None:
    assert as_switch(parse(payload).value) is wanted


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ONN",
        b"yes",
        b"2",
        b"-1",
        b"1.5",
        b"null",
        b"nan",
        b'""',
        b"''",
        b"ON OFF",
        b"1,0",
        b"0x1",
        b"1e400",
        b"\xd9\xa1",
        b"Infinity",
        b'"null"',
        b'"[1]"',
        b'{"value":"NaN"}',
        b'{"state":"2"}',
        b"[1]",
        b'{"value":2}',
        b'{"value":""}',
        b'{"value":1e300}',
        "ÖN".encode(),
    ],
)
def test_any_other_word_is_refused_with_what_is_allowed(payload: bytes) -> None:
    with pytest.raises(Refused, match="allowed are ON, OFF, TOGGLE, 1, 0, true, false") as refused:
        as_switch(parse(payload).value)
    assert refused.value.code is Code.INVALID


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        ('{"value":"ON","for":30}', Command("ON", for_s=30.0)),
        ('{"value":"ON","for":0.5,"id":"a"}', Command("ON", for_s=0.5, id="a")),
        ('{"value":"ON","for":null,"id":null,"not_after":null}', Command("ON")),
        ('{"value":"ON","id":7}', Command("ON", id="7")),
        ('{"value":21.5}', Command(21.5)),
        ('{"value":"ON","not_after":"2026-11-21T12:00:00Z"}', Command("ON", not_after=NOON_MS)),
        ('{"value":"ON","from":"Änne (phone)"}', Command("ON", sender="Änne (phone)")),
        ('{"state":"ON","for":30,"ID":"a"}', Command("ON", for_s=30.0, id="a")),
        ('{"value":"ON","not_after":"2026-11-21T13:00:00+01:00"}', Command("ON", not_after=NOON_MS)),
    ],
)
def test_json_carries_what_a_word_cannot(payload: str, command: Command) -> None:
    assert parse(payload.encode()) == command


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ("{}", "value: allowed are"),
        ('{"value":null}', "value: allowed are"),
        ('{"value":[1]}', "value: allowed are"),
        ('{"value":{"a":1}}', "value: allowed are"),
        ('{"for":5}', "value: allowed are"),
        ('{"value":"ON","for":0}', "for: allowed is"),
        ('{"value":"ON","for":-1}', "for: allowed is"),
        ('{"value":"ON","for":"5"}', "for: allowed is"),
        ('{"value":"ON","for":true}', "for: allowed is"),
        ('{"value":"ON","for":1e12}', "for: allowed is"),
        ('{"value":"ON","for":' + "9" * 400 + "}", "for: allowed is"),
        ('{"value":"ON","id":true}', "id: allowed is"),
        ('{"value":"ON","id":1.5}', "id: allowed is"),
        ('{"value":"ON","id":["a"]}', "id: allowed is"),
        (json.dumps({"value": "ON", "id": "x" * (LONGEST_ID + 1)}), "id: allowed is"),
        ('{"value":"ON","not_after":5}', "not_after: allowed is"),
        ('{"value":"ON","not_after":"noon"}', "not_after: "),
        ('{"value":"ON","not_after":"2026-11-21T12:00:00"}', "not_after: .* no zone"),
        ('{"value":"ON","not_after":"10000-01-01T00:00:00Z"}', "not_after: "),
        ('{"value":"ON","fro":5}', "fro: there is no such key; allowed are value, for, id, not_after, from"),
        ('{"state":"ON","Duration":5}', "duration: there is no such key"),
        ('{"state":{}}', "value: allowed are"),
        ('{"payload":null}', "value: allowed are"),
        ('{"payload":["ON"]}', "value: allowed are"),
        ('{"state":"ON","value":"OFF"}', "value: value and state and payload differ"),
        ('{"state":"ON","payload":null}', "differ"),
        ('{"value":"ON","from":5}', "from: allowed is a name"),
        ('{"value":"ON","from":"a\\nb"}', "from: allowed is a name"),
        (json.dumps({"value": "ON", "from": "x" * (LONGEST_ID + 1)}), "from: allowed is a name"),
        ('"ON', "not JSON"),
        ('"', "not JSON"),
        ('{"value":"ON"', "not JSON"),
        ('{"value":NaN}', "not JSON"),
        ('{"value":1e999}', "not JSON"),
        ('{"value":"\\ud800"}', "not JSON"),
        ("{'value':'ON'}", "not JSON"),
    ],
)
def test_a_wrong_field_is_named(payload: str, field: str) -> None:
    with pytest.raises(Refused, match=field) as refused:
        parse(payload.encode())
    assert refused.value.code is Code.INVALID


HEATER = Entity(name="Heater", command=True, unit="°C", range=(5.0, 30.0), step=0.5)
FAN = Entity(name="Fan", command=True, options=("off", "Low", "High", "2"))
LEVEL = Entity(name="Level", command=True, range=(-1.5, 1e9))


@pytest.mark.parametrize(
    ("entity", "payload", "asked"),
    [
        (HEATER, b"21.5", 21.5),
        (HEATER, b'"5"', 5.0),
        (HEATER, b'{"value":30}', 30.0),
        (HEATER, b'{"state":"2.05e1"}', 20.5),
        (LEVEL, b"-1.5", -1.5),
        (LEVEL, b"0.333", 0.333),
        (FAN, b"high", "High"),
        (FAN, b'"Low"', "Low"),
        (FAN, b"OFF", "off"),
        (FAN, b'{"value":2}', "2"),
        (Entity(name="Lamp", command=True, boolean=True), b"1.0", ON),
        (Entity(name="Lamp", command=True), b"off", OFF),
    ],
)
def test_a_number_or_an_option_is_what_about_says(entity: Entity, payload: bytes, asked: object) -> None:
    assert wanted(entity, parse(payload)) == asked


@pytest.mark.parametrize(
    ("entity", "payload", "text"),
    [
        *(
            (HEATER, payload, "allowed are 5 to 30 °C in steps of 0.5")
            for payload in (b"4.5", b"31", b"ON", b"")
        ),
        *(
            (HEATER, payload, "in steps of 0.5")
            for payload in (b"21.3", b"NaN", b"1e999", b"true", b"toggle")
        ),
        (LEVEL, b"-2", "allowed are -1.5 to 1e[+]09"),
        *((FAN, payload, "allowed are off, Low, High, 2") for payload in (b"Lo", b"3", b"", b"null")),
        (HEATER, b'{"value":20,"for":5}', "for: it goes with ON"),
        (FAN, b'{"value":"Low","for":5}', "for: it goes with ON"),
    ],
)
def test_a_number_or_an_option_that_about_does_not_allow_is_refused(
    entity: Entity, payload: bytes, text: str
) -> None:
    with pytest.raises(Refused, match=text) as refused:
        wanted(entity, parse(payload))
    assert refused.value.code is Code.INVALID


def test_options_that_differ_in_case_only_must_be_said_exactly() -> None:
    entity = Entity(name="Mode", command=True, options=("auto", "AUTO"))
    assert wanted(entity, parse(b"AUTO")) == "AUTO"
    with pytest.raises(Refused, match="allowed are auto, AUTO"):
        wanted(entity, parse(b"Auto"))


def test_a_command_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Refused, match="not UTF-8"):
        parse(b"ON\xff")


def test_a_command_may_have_so_many_bytes_and_no_more() -> None:
    assert parse(b"ON" + b" " * (LARGEST - 2)) == Command("ON")
    with pytest.raises(Refused, match=f"{LARGEST + 1} bytes; allowed are {LARGEST}"):
        parse(b"ON" + b" " * (LARGEST - 1))


@pytest.mark.parametrize(
    "deep", ['{"value":' + "[" * 500 + "]" * 500 + "}", '{"a":' * 170, "{" * 1000, '{"a":' + "[" * 1015]
)
def test_deep_json_is_refused_like_any_other_garbage(deep: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(deep.encode())
    assert refused.value.code is Code.INVALID


@pytest.mark.parametrize(
    ("not_after", "late"), [(None, False), (NOON_MS, False), (NOON_MS + 1, False), (NOON_MS - 1, True)]
)
def test_a_command_expires_after_its_time(not_after: int | None, *, late: bool) -> None:
    try:
        check_fresh(Command("ON", not_after=not_after), retained=False, now_ms=NOON_MS)
    except Refused as refused:
        code: Code | None = refused.code
    else:
        code = None
    assert code is (Code.EXPIRED if late else None)


def test_a_retained_command_is_refused_whatever_else_it_says() -> None:
    with pytest.raises(Refused, match="without retain") as refused:
        check_fresh(Command("ON", not_after=NOON_MS - 1), retained=True, now_ms=NOON_MS)
    assert refused.value.code is Code.RETAINED


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
_ANY = _SCALARS | st.lists(_SCALARS, max_size=2)
_BODIES = st.fixed_dictionaries(
    {"value": _ANY}, optional={"for": _ANY, "id": _ANY, "not_after": _ANY, "x": _ANY}
)
# A busy machine is no defect of the parser.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _answerable(payload: bytes) -> None:
    """It is a command or refused as invalid, and either can be put into an answer."""
    command: Command | None = None
    text = "done"
    try:
        command = parse(payload)
        as_switch(command.value)
    except Refused as refused:
        text = f"{refused.code} {refused}"
        assert refused.code is Code.INVALID, text  # noqa: PT017 — both outcomes are right, other codes are not
    value, name = (str(command.value), command.id) if command else (None, None)
    answer = Result(
        id=name, status="ok", code=None, message=text, value=value, actual=None, until=None, ts=""
    )
    assert json.loads(encode(answer))["message"] == text


@_patient
@given(st.binary(max_size=LARGEST + 10))
@example(b"{")
@example(b'{"value":"\\ud800"}')
@example(b'{"value":"ON","id":"\\udfff"}')
def test_arbitrary_bytes_are_a_command_or_refused(payload: bytes) -> None:
    _answerable(payload)


@_patient
@given(st.text(alphabet=string.printable, max_size=40).map(lambda text: "{" + text))
def test_arbitrary_broken_json_is_a_command_or_refused(text: str) -> None:
    _answerable(text.encode())


@_patient
@given(_BODIES)
def test_arbitrary_fields_are_a_command_or_refused(body: dict[str, object]) -> None:
    _answerable(json.dumps(body).encode())
