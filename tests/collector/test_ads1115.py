"""ADS1115: conversions, full scale and neighbours on the same chip, against its twin."""

import pytest

from collector.devices.description import BadRecordError, NoAnswerError, SettingError
from collector.devices.i2c.ads1115 import Ads1115Voltage
from collector.devices.i2c.ads1115 import make_voltage as make
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
    return make(Device(kind="ads1115_voltage", channel=channel, **settings))  # type: ignore[arg-type]  # by name


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
