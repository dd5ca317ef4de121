"""A contact on a pin: what closed means, and which changes count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.about import BINARY_SENSOR_CLASSES
from collector.devices.contact import Contact
from collector.devices.description import SettingError
from collector.devices.gpio_input import KIND
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
    assert KIND.make(device).poll(pins, 1.0).values == {"input": value}
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
    poller = KIND.make(Device(kind="gpio_input", pin=4, debounce=0.3))
    said = [poller.poll(Pins(p4=False), now).values for now in (0.0, 0.2, 0.4)]
    assert said == [{}, {}, {"input": "ON"}]


@pytest.mark.parametrize("device_class", [None, *sorted(BINARY_SENSOR_CLASSES)])
def test_a_device_class_of_home_assistant_is_shown(device_class: str | None) -> None:
    rows = KIND.make(Device(kind="gpio_input", pin=4, device_class=device_class)).rows
    assert {key: (row.entity.device_class, row.entity.boolean) for key, row in rows.items()} == {
        "input": (device_class, True)
    }


@pytest.mark.parametrize("wrong", ["temperature", "Plug", ""])
def test_another_is_a_mistake_with_the_list(wrong: str) -> None:
    with pytest.raises(SettingError) as caught:
        KIND.make(Device(kind="gpio_input", pin=4, device_class=wrong))
    assert caught.value.field == "device_class"
    assert caught.value.allowed.split(", ") == sorted(BINARY_SENSOR_CLASSES)
