"""What hangs on pins: contacts, which of their changes count, and a tank whose switches contradict."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.about import BINARY_SENSOR_CLASSES
from collector.devices.description import Decoded, SettingError, Values
from collector.devices.gpio import GPIO_INPUT, TANK_SWITCHES, Contact
from config.model import Device, Pull


class Pins:
    """Levels by pin, and which pull was asked for."""

    def __init__(self, **levels: bool) -> None:
        self.levels = {int(name[1:]): level for name, level in levels.items()}
        self.pulls: dict[int, Pull] = {}

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def read(self, pin: int, pull: Pull) -> bool:
        """The level."""
        self.pulls[pin] = pull
        return self.levels[pin]


@pytest.mark.parametrize(
    ("pull", "active_low", "high", "value"),
    [
        (None, None, False, "ON"),
        (None, None, True, "OFF"),
        ("up", None, False, "ON"),
        ("down", None, True, "ON"),
        ("down", None, False, "OFF"),
        ("off", None, True, "ON"),
        ("up", False, True, "ON"),
        ("up", False, False, "OFF"),
        ("down", True, False, "ON"),
        ("off", True, True, "OFF"),
    ],
)
def test_what_counts_as_closed(
    pull: Pull | None,
    active_low: bool | None,  # noqa: FBT001 — a table
    high: bool,  # noqa: FBT001 — a table
    value: str,
) -> None:
    device = Device(kind="gpio_input", pin=0, pull=pull, active_low=active_low, debounce=0)
    pins = Pins(p0=high)
    assert GPIO_INPUT.make(device).poll(pins, 1.0).values == {"input": value}
    assert pins.pulls == {0: pull or "up"}


# Seconds and what a poll sees then (1: closed), and what counts after it (-: nothing yet); debounce 0.5 s.
_TABLE = {
    "the first level counts once it has stood still": ("0:1- 0.2:1- 0.4:1- 0.5:1+ 0.6:1+"),
    "an open contact is a value too": "0:0- 0.4:0- 0.6:0o",
    "a change counts once it has stood still": "0:0- 0.5:0o 1:1o 1.2:1o 1.4:1o 1.5:1+",
    "a short closing is ignored": "0:0- 0.5:0o 1:1o 1.4:1o 1.45:0o 2:0o",
    "a short opening is ignored": "0:1- 0.5:1+ 1:0+ 1.4:0+ 1.45:1+ 2:1+",
    "bouncing begins the wait anew": "0:0- 0.5:0o 1:1o 1.3:0o 1.4:1o 1.6:1o 1.8:1o 1.9:1+",
    "bouncing for ever keeps what counted": "0:1- 0.5:1+ 1:0+ 1.3:1+ 1.6:0+ 1.9:1+ 2.2:0+ 2.5:1+",
    "bouncing from the start says nothing": "0:1- 0.3:0- 0.6:1- 0.9:0- 1.2:1-",
    "polls far apart: two that agree": "0:1- 30:1+ 60:0+ 90:0o",
}


@pytest.mark.parametrize("steps", _TABLE.values(), ids=_TABLE.keys())
def test_debounce(steps: str) -> None:
    contact = Contact(4, "up", active_low=True, debounce=0.5)
    words = {None: "-", True: "+", False: "o"}
    for step in steps.split():
        when, _, rest = step.partition(":")
        assert words[contact.see(rest[0] == "1", 1000.0 + float(when))] == rest[1], step


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), min_size=1, max_size=60), st.floats(0.0, 2.0))
def test_what_counts_was_seen_for_that_long_at_some_time(
    polls: list[tuple[float, bool]], debounce: float
) -> None:
    contact = Contact(4, "up", active_low=True, debounce=debounce)
    now, began, last, told = 0.0, 0.0, None, None
    for pause, closed in polls:
        now += pause
        began = now if closed is not last else began
        last = closed
        after = contact.see(closed, now)
        if after is not told:
            assert after is closed
            assert now - began >= debounce
        elif after is not closed:
            assert now - began < debounce
        told = after


def test_nothing_is_said_until_the_first_level_counts() -> None:
    poller = GPIO_INPUT.make(Device(kind="gpio_input", pin=4, debounce=0.3))
    said = [poller.poll(Pins(p4=False), now).values for now in (0.0, 0.2, 0.4)]
    assert said == [{}, {}, {"input": "ON"}]


@pytest.mark.parametrize("device_class", [None, *sorted(BINARY_SENSOR_CLASSES)])
def test_a_device_class_of_home_assistant_is_shown(device_class: str | None) -> None:
    rows = GPIO_INPUT.make(Device(kind="gpio_input", pin=4, device_class=device_class)).rows
    assert {key: (row.entity.device_class, row.entity.boolean) for key, row in rows.items()} == {
        "input": (device_class, True)
    }


@pytest.mark.parametrize("wrong", ["temperature", "Plug", ""])
def test_another_is_a_mistake_with_the_list(wrong: str) -> None:
    with pytest.raises(SettingError) as caught:
        GPIO_INPUT.make(Device(kind="gpio_input", pin=4, device_class=wrong))
    assert caught.value.field == "device_class"
    assert caught.value.allowed.split(", ") == sorted(BINARY_SENSOR_CLASSES)


LEVELS = {"25": 5, "50": 6, "75": 13, "100": 19}


def _poll(closed: str, **settings: float) -> Decoded:
    device = Device(kind="tank_switches", levels=LEVELS, debounce=0, capacity=settings.get("capacity"))
    pins = Pins()
    pins.levels = {pin: state == "0" for pin, state in zip(LEVELS.values(), closed, strict=True)}
    return TANK_SWITCHES.make(device).poll(pins, 1.0)


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
    assert "volume" not in TANK_SWITCHES.make(Device(kind="tank_switches", levels=LEVELS)).rows


def test_slosh_does_not_move_the_level() -> None:
    device = Device(kind="tank_switches", levels={"50": 5})
    poller, pins = TANK_SWITCHES.make(device), Pins(p5=False)
    levels = []
    # Seconds 0 to 5 closed, then open every other second, then open for good.
    for second in range(20):
        pins.levels[5] = second > 5 and (second % 2 == 0 or second >= 12)
        levels.append(poller.poll(pins, float(second)).values.get("level"))
    assert levels == [None] * 5 + [50.0] * 12 + [0.0] * 3


def test_nothing_is_said_until_all_switches_are_known() -> None:
    poller, pins = (
        TANK_SWITCHES.make(Device(kind="tank_switches", levels={"25": 5, "50": 6})),
        Pins(p5=False, p6=True),
    )
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
    rows = TANK_SWITCHES.make(Device(kind="tank_switches", levels=levels)).rows
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
        TANK_SWITCHES.make(Device(kind="tank_switches", levels=levels))
    assert caught.value.field == field
    assert wrong in caught.value.wrong
