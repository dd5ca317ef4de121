"""Which devices share a line, and which settings make another line of it."""

from collections.abc import Mapping

import pytest

from collector.device import own
from collector.lines import line_of
from config.model import Device, Settings

METER = {
    "kind": "route_b_meter",
    "port": "/dev/stick",
    "route_b_id": "0123456789ABCDEF0123456789ABCDEF",
    "route_b_password": "SECRET123456",
}
TRACER = {"kind": "epever_tracer", "port": "/dev/rs485", "unit": 1}


def name(settings: Mapping[str, object]) -> str:
    """The name of the line of a device of these settings."""
    return line_of(own(Settings(), "one", Device(**settings), 0.0))[0]  # type: ignore[arg-type]  # as TOML gives them


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (TRACER, {"unit": 2}),
        (TRACER, {"name": "Sun", "every": 5.0, "disabled": ("load",)}),
        (METER, {"name": "Grid", "every": 120.0}),
        ({"kind": "ina219"}, {"bus": 1, "address": "0x41"}),
    ],
)
def test_a_change_that_is_not_the_lines_keeps_it(
    before: Mapping[str, object], change: Mapping[str, object]
) -> None:
    assert name(before) == name({**before, **change})


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (TRACER, {"baudrate": 9600}),
        (TRACER, {"port": "/dev/other"}),
        ({"kind": "vedirect", "port": "/dev/rs485"}, TRACER),
        (METER, {"route_b_id": METER["route_b_id"][::-1]}),
        (METER, {"route_b_password": "ANOTHER12345"}),
        ({"kind": "ina219"}, {"bus": 3}),
    ],
)
def test_a_line_that_was_opened_otherwise_is_another_one(
    before: Mapping[str, object], change: Mapping[str, object]
) -> None:
    assert name(before) != name({**before, **change})


def test_the_name_of_a_line_which_stands_in_logs_holds_no_secret() -> None:
    found = name(METER).lower()
    assert not [key for key in ("route_b_id", "route_b_password") if str(METER[key]).lower() in found]
