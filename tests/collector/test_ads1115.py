"""ADS1115 against the chip's twin: a voltage, and a tank's sender."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import BadRecordError, Decoded, NoAnswerError, SettingError
from collector.devices.i2c.ads1115 import (
    TANK_ROWS,
    Ads1115Voltage,
    TankSender,
    make_tank,
    make_voltage,
)
from collector.devices.levels import table
from config.model import Device
from tests.collector.fake_i2c import FakeI2c

GAINS = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256)


LOST = "the chip at 0x48 lost its settings: is its supply steady, does another program use it?"


def _told(line: FakeI2c) -> float | str | None:
    """The voltage, or why there is none."""
    try:
        return _voltage().poll(line, 0.0).values["voltage"]
    except BadRecordError as lost:
        return str(lost)


def _voltage(channel: int = 0, **settings: float | str) -> Ads1115Voltage:
    return make_voltage(Device(kind="ads1115_voltage", channel=channel, **settings))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_every_gain_reads_what_is_there(gain: float, share: float) -> None:
    line = FakeI2c()
    line.ads1115.inputs = [9.0, 9.0, share * gain, 9.0]
    value = _voltage(2, gain=gain).poll(line, 0.0).values["voltage"]
    assert value == pytest.approx(share * gain, abs=gain / 32768 + 5e-5)


@pytest.mark.parametrize("channel", range(4))
def test_every_channel_is_measured_to_ground(channel: int) -> None:
    line = FakeI2c()
    line.ads1115.inputs = [0.1, 0.2, 0.3, 0.4]
    assert _voltage(channel).poll(line, 0.0).values["voltage"] == pytest.approx(
        0.1 * (channel + 1), abs=0.0002
    )


def test_the_divider_brings_the_battery_back() -> None:
    line = FakeI2c()
    line.ads1115.inputs[0] = 12.6 / 5.7
    decoded = _voltage(divider=5.7).poll(line, 0.0)
    assert decoded.values["voltage"] == pytest.approx(12.6, abs=0.001)
    assert decoded.model == "ADS1115"


def test_a_little_below_ground_is_negative_not_65535() -> None:
    line = FakeI2c()
    line.ads1115.inputs[0] = -0.01
    assert _voltage().poll(line, 0.0).values["voltage"] == pytest.approx(-0.01, abs=0.0002)


@pytest.mark.parametrize("volts", [4.096, 5.0, -4.2])
def test_full_scale_is_unknown_not_a_number(volts: float) -> None:
    line = FakeI2c()
    line.ads1115.inputs[0] = volts
    decoded = _voltage(divider=5.7).poll(line, 0.0)
    assert decoded.values == {"voltage": None}
    assert decoded.reasons["voltage"].startswith("beyond 23.35 V")


def test_neighbours_on_one_chip_do_not_disturb_each_other() -> None:
    line = FakeI2c()
    line.ads1115.inputs = [0.2, 3.0, 0.0, 0.0]
    fine, coarse = _voltage(0, gain=0.256), _voltage(1, gain=4.096)
    for _ in range(3):
        assert fine.poll(line, 0.0).values["voltage"] == pytest.approx(0.2, abs=0.0001)
        assert coarse.poll(line, 0.0).values["voltage"] == pytest.approx(3.0, abs=0.0002)


def test_a_conversion_that_never_ends_is_named_after_a_bounded_wait() -> None:
    line = FakeI2c()
    line.ads1115.stuck = True
    with pytest.raises(NoAnswerError, match="0x48 answers but does not convert"):
        _voltage().poll(line, 0.0)
    assert line.now < 0.2


def test_the_old_result_is_not_taken_for_the_new_one() -> None:
    line = FakeI2c()
    line.ads1115.inputs[0] = 1.0
    _voltage().poll(line, 0.0)
    line.ads1115.inputs[0] = 2.0
    assert _voltage().poll(line, 0.0).values["voltage"] == pytest.approx(2.0, abs=0.0002)


@pytest.mark.parametrize("transfer", range(1, 8))
def test_a_brown_out_in_the_middle_never_reads_zero(transfer: int) -> None:
    line = FakeI2c()
    line.ads1115.inputs[0] = 2.0
    line.before[transfer] = line.ads1115.brown_out
    assert _told(line) in (pytest.approx(2.0, abs=0.0002), LOST)


def test_another_program_that_moves_the_input_is_noticed() -> None:
    line = FakeI2c()
    line.ads1115.inputs = [2.0, 1.0, 0.0, 0.0]
    line.before[1] = lambda: line.ads1115.put(1, 0xD383)
    with pytest.raises(BadRecordError, match="another program"):
        _voltage().poll(line, 0.0)


@pytest.mark.parametrize(
    ("settings", "field", "allowed"),
    [
        ({"gain": 5.0}, "gain", "6.144, 4.096, 2.048, 1.024, 0.512, 0.256"),
        ({"gain": float("nan")}, "gain", "6.144"),
        ({"address": 0x40}, "address", "0x48 to 0x4b"),
        ({"address": "0x4C"}, "address", "0x48 to 0x4b"),
    ],
)
def test_settings_that_no_chip_fits_are_refused(
    settings: dict[str, float | str], field: str, allowed: str
) -> None:
    with pytest.raises(SettingError) as refused:
        _voltage(**settings)  # type: ignore[arg-type]  # channel keeps its default
    assert refused.value.field == field
    assert allowed in refused.value.allowed


# American senders fall from 240 to 33 ohms, European ones rise from 10 to 180.
AMERICAN = ((240.0, 0.0), (103.0, 50.0), (33.0, 100.0))
EUROPEAN = ((10.0, 0.0), (95.0, 40.0), (180.0, 100.0))
PULL_UP, SUPPLY = 220.0, 3.3
OHMS: dict[str, float | None] = {"pull_up": PULL_UP, "supply": SUPPLY}
Pairs = tuple[tuple[float, float], ...]


def _tank(calibration: Pairs = AMERICAN, settings: Mapping[str, float | None] = OHMS) -> TankSender:
    return make_tank(
        Device(kind="tank_sender", channel=1, calibration=calibration, **settings)  # type: ignore[arg-type]  # by name
    )


def _sender(line: FakeI2c, ohms: float) -> None:
    line.ads1115.inputs[1] = SUPPLY if math.isinf(ohms) else SUPPLY * ohms / (PULL_UP + ohms)


def _level(tank: TankSender, ohms: float) -> Decoded:
    line = FakeI2c()
    _sender(line, ohms)
    return tank.poll(line, 0.0)


@pytest.mark.parametrize(
    ("calibration", "ohms", "level"),
    [
        (AMERICAN, 240, 0),
        (AMERICAN, 171.5, 25),
        (AMERICAN, 103, 50),
        (AMERICAN, 68, 75),
        (AMERICAN, 33, 100),
        (EUROPEAN, 10, 0),
        (EUROPEAN, 52.5, 20),
        (EUROPEAN, 137.5, 70),
        (EUROPEAN, 180, 100),
        # Just outside the ends: the float is at its stop.
        (AMERICAN, 255, 0),
        (AMERICAN, 28, 100),
        (EUROPEAN, 7, 0),
        (EUROPEAN, 190, 100),
    ],
)
def test_ohms_become_a_level(calibration: Pairs, ohms: float, level: float) -> None:
    decoded = _level(_tank(calibration, OHMS | {"capacity": 80.0}), ohms)
    assert decoded.values["level"] == pytest.approx(level, abs=0.15)
    assert decoded.values["volume"] == pytest.approx(level * 0.8, abs=0.12)
    assert decoded.values["raw"] == pytest.approx(ohms, rel=0.002)
    assert decoded.reasons == {}


@pytest.mark.parametrize(
    ("calibration", "ohms", "says"),
    [
        (AMERICAN, math.inf, "is its wire broken?"),
        (AMERICAN, 5000, "is its wire broken?"),
        (AMERICAN, 300, "is its wire broken?"),
        (AMERICAN, 0, "is the sender short-circuited?"),
        (AMERICAN, 10, "is the sender short-circuited?"),
        (EUROPEAN, math.inf, "is its wire broken?"),
        (EUROPEAN, 230, "is its wire broken?"),
        (EUROPEAN, 0, "is the sender short-circuited?"),
        (((0.0, 0.0), (90.0, 100.0)), math.inf, "is its wire broken?"),
    ],
)
def test_a_broken_wire_is_neither_empty_nor_full(calibration: Pairs, ohms: float, says: str) -> None:
    decoded = _level(_tank(calibration, OHMS | {"capacity": 80.0}), ohms)
    assert decoded.values == {"level": None, "volume": None, "raw": None}
    assert set(decoded.reasons) == set(TANK_ROWS)
    assert says in decoded.reasons["level"]


def test_a_table_that_begins_at_zero_ohms_takes_zero_ohms() -> None:
    assert _level(_tank(((0.0, 0.0), (90.0, 100.0))), 0.0).values["level"] == 0.0


@pytest.mark.parametrize(
    ("volts", "level"), [(0.5, 0), (2.5, 50), (3.5, 75), (4.5, 100), (4.7, 100), (0.1, None), (5.2, None)]
)
def test_without_a_pull_up_the_table_is_in_volts(volts: float, level: float | None) -> None:
    line, tank = FakeI2c(), _tank(((0.5, 0.0), (4.5, 100.0)), {"gain": 6.144})
    line.ads1115.inputs[1] = volts
    decoded = tank.poll(line, 0.0)
    assert decoded.values["level"] == (None if level is None else pytest.approx(level, abs=0.1))
    assert ("V)" in decoded.reasons.get("level", "")) == (level is None)


def test_full_scale_of_the_chip_is_a_broken_wire() -> None:
    line, tank = FakeI2c(), _tank(((0.2, 0.0), (0.9, 100.0)), {"gain": 1.024})
    line.ads1115.inputs[1] = 3.3
    assert "nothing is far outside" in tank.poll(line, 0.0).reasons["level"]


def test_a_bend_in_the_road_and_a_bouncing_contact_are_smoothed() -> None:
    line, tank = FakeI2c(), _tank()
    levels = []
    for poll, ohms in enumerate((103.0, 103.0, 60.0, math.inf, 103.0, 150.0, 103.0)):
        _sender(line, ohms)
        levels.append(tank.poll(line, poll * 5.0).values["level"])
    assert levels == [pytest.approx(50, abs=0.2)] * 7


def test_a_tank_that_is_filled_follows_within_three_polls() -> None:
    line, tank = FakeI2c(), _tank()
    _sender(line, 240.0)
    for poll in range(5):
        tank.poll(line, poll * 5.0)
    _sender(line, 33.0)
    levels = [tank.poll(line, 25.0 + poll * 5.0).values["level"] for poll in range(3)]
    assert levels[0] == pytest.approx(0, abs=0.2)
    assert levels[2] == pytest.approx(100, abs=0.2)


def test_what_is_old_does_not_count() -> None:
    line, tank = FakeI2c(), _tank()
    _sender(line, 240.0)
    for poll in range(5):
        tank.poll(line, poll * 5.0)
    _sender(line, 33.0)
    assert tank.poll(line, 3600.0).values["level"] == pytest.approx(100, abs=0.2)


def test_litres_are_there_only_if_the_tanks_size_is() -> None:
    assert set(_tank().rows) == {"level", "raw"}
    assert set(_tank(AMERICAN, OHMS | {"capacity": 60.0}).rows) == {"level", "volume", "raw"}
    assert set(_level(_tank(), 100.0).values) == {"level", "raw"}


@pytest.mark.parametrize(
    ("calibration", "settings", "field", "wrong"),
    [
        (((240, 0),), {}, "calibration", "1 pairs"),
        (((240, 0), (240, 100)), {}, "calibration", "neither all rise nor all fall"),
        (((240, 0), (33, 50), (103, 100)), {}, "calibration", "neither all rise nor all fall"),
        (((240, 0), (33, 101)), {}, "calibration", "101"),
        (((240, -1), (33, 100)), {}, "calibration", "-1"),
        (((240, 0), (103, 80), (33, 50)), {}, "calibration", "shares"),
        (((240, 50), (33, 50)), {}, "calibration", "shares"),
        (((-5, 0), (33, 100)), {}, "calibration", "-5"),
        (((math.nan, 0), (33, 100)), {}, "calibration", "no number"),
        (((0, 0), (math.inf, 100)), {}, "calibration", "no number"),
        (AMERICAN, {"supply": None}, "supply", "missing"),
        (AMERICAN, {"pull_up": None}, "pull_up", "missing"),
        # 240 of 460 ohms at 12 V are 6.3 V, and the chip would see them as 4.096.
        (AMERICAN, {"supply": 12.0}, "gain", "6.26 V"),
        (AMERICAN, {"gain": 3.0}, "gain", "3"),
        (AMERICAN, {"address": 0x40}, "address", "0x40"),
    ],
)
def test_settings_that_make_no_tank_are_refused(
    calibration: Pairs, settings: dict[str, float | None], field: str, wrong: str
) -> None:
    with pytest.raises(SettingError) as refused:
        _tank(calibration, OHMS | settings)
    assert refused.value.field == field
    assert wrong in refused.value.wrong


_RAWS = st.lists(st.integers(0, 10_000), min_size=2, max_size=8, unique=True).map(sorted)


@given(raws=_RAWS, falling=st.booleans(), at=st.floats(0, 1))
def test_any_table_gives_levels_between_its_ends_and_its_points_exactly(
    raws: list[int],
    falling: bool,  # noqa: FBT001 — hypothesis calls by name
    at: float,
) -> None:
    last = len(raws) - 1
    pairs = tuple((float(raw), 100.0 * i / last) for i, raw in enumerate(raws))
    known = table(pairs[::-1] if falling else pairs, "ohms")
    for raw, share in pairs:
        assert known.share(raw) == pytest.approx(share)
    raw = known.low + at * (known.high - known.low)
    assert 0 <= known.share(raw) <= 100
    assert known.low < raws[0] or raws[0] == 0 or known.low <= raws[0] / 2
    assert known.share(raw) <= known.share(min(raw + 1, known.high)) + 1e-9
