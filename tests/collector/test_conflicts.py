"""What two devices cannot share, also where it stands in no setting."""

from dataclasses import replace

import pytest

from collector.checking import conflicts, mistakes
from config.model import Device

TANK = {"kind": "tank_sender", "channel": 0, "calibration": ((0.1, 0), (2.0, 100))}
SOLARMAN = {"kind": "modbus", "profile": "deye_sg04lp3", "port": "solarman://roof"}
TAG = {"kind": "bthome", "address": "C0:11:22:33:44:55"}
RS485 = {"kind": "epever_tracer", "port": "/dev/rs485", "unit": 1}


@pytest.mark.parametrize(
    ("device", "other", "field"),
    [
        ({"kind": "ina219"}, {"kind": "ina219"}, "address"),
        ({"kind": "ina219"}, {"kind": "ina219", "address": "0x40"}, "address"),
        ({"kind": "ina219", "bus": 1}, {"kind": "ina219", "address": 64}, "address"),
        ({"kind": "ads1115_voltage", "channel": 0}, TANK, "address"),
        ({"kind": "ina219", "address": "0x48"}, TANK, "address"),
        ({"kind": "ruuvi", "address": "c0:11:22:33:44:55"}, TAG, "address"),
        ({"kind": "victron", "address": "C0:11:22:33:44:55", "key": "0" * 32}, TAG, "address"),
        ({"kind": "vedirect", "port": "/dev/rs485"}, RS485, "port"),
        (RS485 | {"baudrate": 9600, "unit": 2}, RS485, "baudrate"),
        (RS485, RS485, "unit"),
        ({"kind": "epever_tracer", "port": "/dev/rs485"}, RS485, "unit"),
        (
            {"kind": "sunspec", "port": "tcp://Roof"},
            {"kind": "modbus", "profile": "sdm630", "port": "tcp://roof:502/"},
            "unit",
        ),
        (SOLARMAN | {"port": "solarman://Roof:8899"}, SOLARMAN, "unit"),
        (SOLARMAN | {"unit": 2, "logger": 7}, SOLARMAN, "logger"),
    ],
)
def test_what_both_need_is_told(device: dict[str, object], other: dict[str, object], field: str) -> None:
    found = list(conflicts("new", Device(**device), {"old": Device(**other)}))  # type: ignore[arg-type]  # as TOML gives them
    assert [(name, "old" in wrong) for name, wrong, _ in found] == [(field, True)]


@pytest.mark.parametrize(
    ("device", "other"),
    [
        ({"kind": "ina219"}, {"kind": "ina219", "address": "0x41"}),
        ({"kind": "ina219"}, {"kind": "ina219", "bus": 3}),
        ({"kind": "ruuvi", "address": "C0:11:22:33:44:56"}, TAG),
        ({"kind": "ads1115_voltage", "channel": 1}, TANK),
        (RS485, RS485 | {"unit": 2}),
        # An earlier version may have known this profile.
        (RS485 | {"baudrate": 9600}, {"kind": "modbus", "port": "/dev/rs485", "profile": "gone"}),
        ({"kind": "ina219"}, {"kind": "ina219", "address": "0x20"}),
        ({"kind": "sunspec", "port": "tcp://roof"}, {"kind": "sunspec", "port": "tcp://roof:503"}),
        (SOLARMAN | {"unit": 2}, SOLARMAN),
        (SOLARMAN, SOLARMAN | {"port": "tcp://roof:8899"}),
    ],
)
def test_what_both_can_have_is_allowed(device: dict[str, object], other: dict[str, object]) -> None:
    assert list(conflicts("new", Device(**device), {"old": Device(**other)})) == []  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("kind", ["vedirect", "route_b_meter"])
@pytest.mark.parametrize("port", ["tcp://roof", "solarman://roof"])
def test_a_port_for_modbus_is_for_no_other_wire(kind: str, port: str) -> None:
    device = Device(kind=kind, port=port)
    if kind == "route_b_meter":
        device = replace(device, route_b_id="0" * 32, route_b_password="0" * 12)
    found = list(mistakes("new", device))
    assert [field for field, _, _ in found] == ["port"]
