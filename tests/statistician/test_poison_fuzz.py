"""Payloads bent in every field, on a real database, with a kill after any of them: it always starts again."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import about as about_message
from bus.events import Message
from bus.messages import LONGEST_TEXT, BadMessageError, decode_reading
from statistician.records import DeadLetter
from tests.statistician.requests_rig import AskingRig
from tests.statistician.rig import MINUTE, SECOND, TOPICS
from tests.statistician.test_wrong_messages import finite, sunny

# As they stand in JSON.
NUMBERS = (
    *("0", "-1", "1.5", "-0.0", "5e-324", "1e308", "-1e308", "1e400", "9" * 400, "NaN", "Infinity"),
    *("9007199254740993", "99999999999999999999", "18446744073709551616", "-9223372036854775809"),
)
TIMES = (
    *(
        "2026-11-23T12:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00Z",
    ),
    *("0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59.999Z", "2262-01-01T00:00:00Z", "2026-11-23T12:00"),
)
WORDS = (
    *("W", "TWh", "mWh", "kWh", "MV", "power", "energy", "total", "total_increasing", "measurement"),
    *(
        "measurement_angle",
        "ble",
        "ble-1",
        "import-1",
        "ok",
        "estimated",
        "unset",
        "",
        "\0",
        "é" * 300,
        "x" * 9000,
    ),
)
ANY = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TIMES + WORDS).map(json.dumps),
    st.sampled_from(
        ("true", "false", "null", "[]", "{}", "[1, 2]", "[1e308, -1e308]", '["a", 1]', r'"\ud800"')
    ),
    st.dictionaries(st.sampled_from(("energy", "used", "x")), st.sampled_from(TIMES), max_size=2).map(
        json.dumps
    ),
    st.just("[" * 5000),
)


def body(keys: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A JSON object of some of the keys."""
    fields = st.dictionaries(st.sampled_from(keys), ANY, min_size=1, max_size=5)
    return fields.map(lambda found: "{" + ",".join(f'"{key}":{text}' for key, text in found.items()) + "}")


READING = body(
    ("power", "energy", "used", "new", "ts", "clock", "stream", "seq", "after", "late", "last_reset")
).map(lambda text: (TOPICS.state("van"), text))
ENTITY = body(
    ("name", "unit", "device_class", "state_class", "precision", "options", "range", "command", "daily")
).map(lambda text: '{"name":"n",' + text[1:])
ABOUT = st.tuples(ANY, st.dictionaries(st.sampled_from(("power", "energy", "used")), ENTITY, max_size=3)).map(
    lambda found: (
        TOPICS.about("van"),
        f'{{"name":"v","service":"ble","expire_after":{found[0]},"entities":{{'
        + ",".join(f'"{key}":{text}' for key, text in found[1].items())
        + "}}",
    )
)
STEPS = st.lists(
    st.tuples(st.one_of(READING, ABOUT), st.sampled_from((500, 61_000, 301_000)), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_comes_and_whenever_it_is_killed_it_starts_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[str, str], int, bool]]
) -> None:
    rig = sunny(tmp_path_factory.mktemp("fuzz") / "s.db")
    for (topic, text), pause, kill in steps:
        mid = rig.message(topic, text.encode("utf-8", "surrogatepass"))
        rig.commit()
        assert mid in rig.notes.acknowledged
        rig.now += pause
        rig.settle()
        if kill:
            rig.crash()
    rig.run_until(rig.now + 66 * MINUTE)
    rig.crash()
    rig.run_until(rig.now + 6 * MINUTE)
    assert finite(rig)
    rig.store.close()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", "x" * 256),
        ("unit", "é" * 256),
        ("device_class", "x" * 65_000),
        ("precision", 21),
        ("precision", -1),
        ("precision", 2**70),
        ("options", ["x"] * 1001),
        ("options", ["x" * 256]),
        ("range", [1, 0]),
        ("range", [-1e308, 1e308]),
        ("range", [0, 2**70 * 1.0e90]),
    ],
)
def test_what_an_entity_may_not_say_is_refused_by_its_name(field: str, wrong: object) -> None:
    entity = {"name": "n", field: wrong}
    with pytest.raises(ValueError, match=field):
        about_message.decode(json.dumps({"name": "v", "entities": {"volt": entity}}).encode())


@pytest.mark.parametrize("field", ["name", "manufacturer", "model", "backend"])
def test_the_texts_of_a_device_are_bounded(field: str) -> None:
    about = {"name": "v", field: "x" * 255}
    assert about_message.decode(json.dumps(about).encode())
    with pytest.raises(ValueError, match=f"{field}: allowed are texts of at most 255"):
        about_message.decode(json.dumps(about | {field: "x" * 256}).encode())


@pytest.mark.parametrize("seconds", [2**70, 1e308, -1, 0])
def test_an_expire_after_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expire_after"):
        about_message.decode(json.dumps({"name": "v", "expire_after": seconds}).encode())


def test_a_text_is_a_value_up_to_a_length() -> None:
    decode_reading(json.dumps({"x": "é" * LONGEST_TEXT}).encode())
    with pytest.raises(BadMessageError, match="x: allowed are texts of at most 1024"):
        decode_reading(json.dumps({"x": "é" * (LONGEST_TEXT + 1)}).encode())


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_cannot_be_written_in_utc_is_none(when: str) -> None:
    assert decode_reading(json.dumps({"last_reset": {"x": when}}).encode()).flaws
    with pytest.raises(BadMessageError, match=r"ts: .* years 1 to 9999"):
        decode_reading(json.dumps({"ts": when}).encode())


def test_a_dead_letter_is_shown_and_taken_again(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    good, bad, cut = b'{"volt": 12.5}', b'{"volt": [1]}', b'{"volt": "' + b"x" * 5000 + b'"}'
    topic = TOPICS.state("van")
    rig.message(topic, bad)
    rig.message(topic, cut)
    # As after two deaths: it is not handled, but acknowledged.
    rig.service.set_aside(Message(topic, good, 1, retain=False, mid=77, generation=1), KeyError("planted"))
    rig.commit()
    assert 77 in rig.notes.acknowledged
    listed = rig.data("dead_letters", limit=2)
    assert (listed[0]["id"], listed[0]["payload"], listed[0]["error"]) == (
        3,
        good.decode(),
        "KeyError('planted')",
    )
    assert "take_again" in rig.journal.problems["set_aside"]
    rig.now += 6 * SECOND
    assert rig.data("take_again", letter=3) == {"letter": 3, "topic": topic, "error": None}
    assert rig.data("take_again", letter=1)["error"].endswith("ON, OFF or null")
    assert rig.refusal("take_again", letter=2)[0] == "denied"
    assert rig.refusal("take_again", letter=99)[0] == "not_found"
    assert [one["id"] for one in rig.data("dead_letters")] == [3, 2]
    assert "set_aside" not in rig.journal.problems
    assert rig.store.states.last() == rig.now
    assert all(isinstance(one, DeadLetter) for one in rig.dead_letters())
