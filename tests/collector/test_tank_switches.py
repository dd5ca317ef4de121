"""A tank with level switches: level, volume, and switches that contradict each other."""

from itertools import product

import pytest

from collector.devices.description import Decoded, SettingError, Values
from collector.devices.tank_switches import KIND
from config.model import Device
from tests.collector.test_gpio_input import Pins

LEVELS = {"25": 5, "50": 6, "75": 13, "100": 19}


def _poll(closed: str, **settings: float) -> Decoded:
    device = Device(kind="tank_switches", levels=LEVELS, debounce=0, capacity=settings.get("capacity"))
    pins = Pins()
    pins.levels = {pin: state == "0" for pin, state in zip(LEVELS.values(), closed, strict=True)}
    return KIND.make(device).poll(pins, 1.0)


@pytest.mark.parametrize(
    ("closed", "level", "volume"),
    [("0000", 0, 0), ("1000", 25, 15), ("1100", 50, 30), ("1110", 75, 45), ("1111", 100, 60)],
)
def test_the_level_is_the_highest_switch_with_all_below_closed(
    closed: str, level: float, volume: float
) -> None:
    decoded = _poll(closed, capacity=60.0)
    switches: Values = {
        f"switch_{key}": "ON" if state == "1" else "OFF" for key, state in zip(LEVELS, closed, strict=True)
    }
    assert decoded.values == switches | {"level": level, "volume": volume}
    assert decoded.reasons == {}


@pytest.mark.parametrize(
    ("closed", "pair"),
    [
        ("0100", (50, 25)),
        ("0001", (100, 75)),
        ("1010", (75, 50)),
        ("1001", (100, 75)),
        ("1011", (100, 50)),
        ("0111", (100, 25)),
    ],
)
def test_a_closed_switch_above_an_open_one_makes_the_level_unknown(
    closed: str, pair: tuple[int, int]
) -> None:
    decoded = _poll(closed, capacity=60.0)
    assert decoded.values["level"] is decoded.values["volume"] is None
    assert decoded.reasons.keys() == {"level", "volume"}
    assert f"the switch at {pair[0]} % is closed, the one at {pair[1]} % is not" in decoded.reasons["level"]
    assert [decoded.values[f"switch_{key}"] for key in LEVELS] == [
        "ON" if state == "1" else "OFF" for state in closed
    ]


def test_no_other_state_of_the_switches_has_a_level() -> None:
    known = {"".join(c): _poll("".join(c)).values["level"] for c in product("01", repeat=4)}
    assert {closed: level for closed, level in known.items() if level is not None} == {
        "0000": 0,
        "1000": 25,
        "1100": 50,
        "1110": 75,
        "1111": 100,
    }


def test_without_a_capacity_there_is_no_volume() -> None:
    decoded = _poll("1000")
    assert "volume" not in decoded.values
    assert "volume" not in KIND.make(Device(kind="tank_switches", levels=LEVELS)).rows


def test_slosh_does_not_move_the_level() -> None:
    device = Device(kind="tank_switches", levels={"50": 5})
    poller, pins = KIND.make(device), Pins(p5=False)
    levels = []
    # Seconds 0 to 5 closed, then open every other second, then open for good.
    for second in range(20):
        pins.levels[5] = second > 5 and (second % 2 == 0 or second >= 12)
        levels.append(poller.poll(pins, float(second)).values.get("level"))
    assert levels == [None] * 5 + [50.0] * 12 + [0.0] * 3


def test_nothing_is_said_until_all_switches_are_known() -> None:
    poller, pins = KIND.make(Device(kind="tank_switches", levels={"25": 5, "50": 6})), Pins(p5=False, p6=True)
    assert poller.poll(pins, 0.0).values == {}
    pins.levels[6] = False
    assert poller.poll(pins, 3.0).values == {}
    assert poller.poll(pins, 5.0).values == {}
    assert poller.poll(pins, 8.0).values["level"] == 50


@pytest.mark.parametrize(
    ("levels", "ids"),
    [
        ({"100": 1, "9": 2, "50": 3}, ["switch_9", "switch_50", "switch_100"]),
        ({"12.5": 1, "0": 2}, ["switch_0", "switch_12_5"]),
    ],
)
def test_switches_stand_from_the_bottom_up(levels: dict[str, int], ids: list[str]) -> None:
    rows = KIND.make(Device(kind="tank_switches", levels=levels)).rows
    assert [key for key in rows if key != "level"] == ids
    assert all(rows[key].entity.diagnostic and rows[key].entity.boolean for key in ids)


@pytest.mark.parametrize(
    ("levels", "field", "wrong"),
    [
        ({"full": 5}, "levels.full", "no level"),
        ({"101": 5}, "levels.101", "no level"),
        ({"-1": 5}, "levels.-1", "no level"),
        ({"1e1": 5}, "levels.1e1", "no level"),
        ({"nan": 5}, "levels.nan", "no level"),
        ({"25 ": 5}, "levels.25 ", "no level"),
        ({"25": 5, "50": 5}, "levels.50", "pin 5"),
        ({"25": 5, "25.0": 6}, "levels.25.0", "there already"),
    ],
)
def test_a_wrong_level_is_a_mistake(levels: dict[str, int], field: str, wrong: str) -> None:
    with pytest.raises(SettingError) as caught:
        KIND.make(Device(kind="tank_switches", levels=levels))
    assert caught.value.field == field
    assert wrong in caught.value.wrong
