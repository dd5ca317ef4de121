"""Wrong messages, and whatever else comes: it is kept, told and harmless."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import about as about_message
from bus.about import Entity
from bus.commands import Refused
from bus.events import Message
from bus.messages import LONGEST_TEXT, BadMessageError, decode_reading, from_iso
from config.model import Device
from statistician.fixes.params import finite as finite_or_refused
from statistician.records import DeadLetter, Table
from tests.statistician.arithmetic.test_integral import Sun
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, AskingRig, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", energy="total", power="measurement")
    return rig


def say(rig: Rig, **fields: object) -> None:
    rig.message(TOPICS.state("van"), json.dumps(fields).encode())
    rig.now += MINUTE
    rig.settle()


@pytest.mark.parametrize("resets", [5, "midnight", {"energy": 5}, {"energy": "midnight"}, [1], True])
def test_an_unreadable_last_reset_loses_no_reading_and_health_names_it(rig: Rig, resets: object) -> None:
    say(rig, energy=100)
    say(rig, energy=103, last_reset=resets)
    rig.commit()
    assert [state.value for state in rig.store.states.between(0, None)] == [100.0, 103.0]
    assert rig.dead_letters() == []
    assert rig.journal.counters["refused_last_resets"] == 1
    assert "allowed is" in rig.journal.problems["last_reset.van"]
    say(rig, energy=1, last_reset={"energy": "2026-11-23T12:02:00Z"})
    assert "last_reset.van" not in rig.journal.problems
    rig.run_until(START + 6 * MINUTE)
    row = rig.rows("energy")[0].row
    assert (row.sum, row.last_reset) == (4.0, from_iso("2026-11-23T12:02:00Z"))


def numbers(rig: Rig) -> list[object]:
    """Every number on disk."""
    tables = ("states", "frames", "held", "adjusted", "statistics_5minute", "statistics_hour")
    rows = [row for table in tables for row in rig.store.engine.all(f"SELECT * FROM {table}")]  # noqa: S608 — ours
    return [cell for row in rows for cell in row]


def finite(rig: Rig) -> bool:
    return all(math.isfinite(cell) for cell in numbers(rig) if isinstance(cell, float))


KINDS = {"power": "measurement", "energy": "total", "used": "total_increasing"}


def sunny(path: Path) -> Sun:
    rig = Sun(path, {"sun": Device(kind="integral", source="van.power", max_gap=600)})
    units = {"power": "W", "energy": "kWh", "used": "kWh"}
    rig.describe(
        "van",
        {
            key: Entity(
                name=key, unit=unit, device_class="power" if unit == "W" else "energy", state_class=KINDS[key]
            )
            for key, unit in units.items()
        },
    )
    return rig


@pytest.mark.parametrize("wild", [1e308, -1e308, 1e200, 1e13])
def test_a_number_that_cannot_be_spoils_no_energy_and_no_sum(tmp_path: Path, wild: float) -> None:
    rig = sunny(tmp_path / "s.db")
    for minute in range(30):
        power = wild if minute in (5, 6, 12) else 600.0
        counter = wild if abs(wild) > 1e100 and minute in (5, 6, 12) else 10.0 + minute
        say(rig, power=power, energy=counter, used=abs(counter))
        if minute == 5:
            assert rig.journal.counters["refused_large_powers"] == 1
            assert "see what its source sends" in rig.journal.problems["energy.sun"]
        if minute == 12 and abs(wild) > 1e100:
            assert "no sum and no energy counts it" in rig.journal.problems["value.van.energy"]
        if minute in (6, 20):
            rig.restart()
    assert "energy.sun" not in rig.journal.problems
    rig.run_until(rig.now + 40 * MINUTE)
    assert finite(rig)
    assert rig.dead_letters() == []
    # A minute is 10 Wh; three minutes of power were none, and restarts hide a little.
    assert rig.rows("energy", device="sun")[-1].row.state == pytest.approx(10 * (29 - 3), abs=1)
    for key in ("energy", "used"):
        assert rig.rows(key)[-1].row.sum == 29.0


def test_what_an_earlier_version_stored_prevents_no_start(tmp_path: Path) -> None:
    rig = sunny(tmp_path / "s.db")
    for minute in range(20):
        say(rig, power=600.0, energy=minute, used=minute)
    run = rig.store.engine.run
    run(
        "UPDATE statistics_5minute SET sum = 9e999 WHERE sum IS NOT NULL AND start > ?", (START + 6 * MINUTE,)
    )
    run("UPDATE statistics_5minute SET max = -9e999 WHERE max IS NOT NULL")
    number = rig.rows("energy", device="sun")[0].entity
    run("UPDATE states SET value = 9e999 WHERE entity = ? AND ts > ?", (number, START + 10 * MINUTE))
    run("DELETE FROM meta WHERE key = 'finite'")
    rig.close()
    rig.start()
    assert finite(rig)
    for minute in range(20, 30):
        say(rig, power=600.0, energy=minute, used=minute)
    rig.run_until(rig.now + 10 * MINUTE)
    assert rig.rows("energy")[-1].row.sum == 29.0
    assert rig.rows("energy", device="sun")[-1].row.state == pytest.approx(290.0)
    assert rig.store.engine.one("SELECT value FROM meta WHERE key = 'finite'") != ("0",)


def test_no_unit_makes_a_number_infinite(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")

    def describe(unit: str) -> None:
        rig.describe(
            "van", {"volt": Entity(name="v", unit=unit, device_class="voltage", state_class="measurement")}
        )

    describe("mV")
    say(rig, volt=1.0)
    rig.run_until(START + 6 * MINUTE)
    describe("MV")
    for volt in (1e307, 2.0):
        say(rig, volt=volt)
    rig.run_until(rig.now + 10 * MINUTE)
    assert finite(rig)
    assert rig.rows("volt")[-1].row.mean == 2e9


def test_no_conversion_of_rows_makes_a_number_infinite(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", power="measurement")
    for power in (1e308, 5.0):
        say(rig, power=power)
    rig.run_until(START + 6 * MINUTE)
    (row,) = rig.rows("power")
    assert row.row.max == 1e308
    rig.store.statistics.scale(Table.FIVE_MINUTES, row.entity, factor=1000.0, offset=0.0)
    (row,) = rig.rows("power")
    assert (row.row.min, row.row.max) == (5000.0, None)


@pytest.mark.parametrize("amount", [1e101, -1e308, math.inf, math.nan])
def test_what_would_spoil_sums_is_refused(amount: float) -> None:
    with pytest.raises(Refused, match=r"adjustment: .*allowed are numbers from"):
        finite_or_refused(amount, "adjustment")


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
