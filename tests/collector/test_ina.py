"""INA219: ranges, signs, saturation and brown-outs, against the chip's twin."""

import pytest

from collector.devices.description import BadRecordError, NoAnswerError, SettingError
from collector.devices.i2c.ina import KINDS, ROWS, Ina
from config.model import Device
from tests.collector.fake_i2c import FakeI2c


def _chip(**settings: float | str) -> Ina:
    chip = KINDS["ina219"].make(Device(kind="ina219", **settings))  # type: ignore[arg-type]  # settings by name
    assert isinstance(chip, Ina)
    return chip


LOST = "the chip at 0x40 lost its settings: is its supply steady?"


def _told(chip: Ina, line: FakeI2c) -> float | str | None:
    """The current, or why there is none."""
    try:
        return chip.poll(line, 1.0).values["current"]
    except BadRecordError as lost:
        return str(lost)


@pytest.mark.parametrize(
    ("shunt", "max_current", "config", "amps"),
    [
        # The module that everybody sells: R100, 3.2 A.
        (0.1, 3.2, 0x3FFF, 3.2),
        (0.1, 1.6, 0x37FF, 1.6),
        (0.1, 1.0, 0x37FF, 1.6),
        (0.1, 0.4, 0x27FF, 0.4),
        (0.1, 0.001, 0x27FF, 0.4),
        (0.01, 8.0, 0x2FFF, 8.0),
        # A 75 mV, 50 A shunt.
        (0.0015, 50.0, 0x2FFF, 53.333),
    ],
)
def test_the_range_follows_from_the_shunt(shunt: float, max_current: float, config: int, amps: float) -> None:
    setup = _chip(shunt=shunt, max_current=max_current).setup
    assert setup.range.registers == {0: config}
    assert setup.range.end * setup.step == pytest.approx(amps, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "field", "allowed"),
    [
        ({"max_current": 3.3}, "max_current", "at most 3.2 A"),
        ({"shunt": 0.01, "max_current": 50.0}, "max_current", "at most 32 A"),
        ({"address": 0x3F}, "address", "0x40 to 0x4f"),
        ({"address": 0x50}, "address", "0x40 to 0x4f"),
        ({"address": "0x48,"}, "address", "0x40 to 0x4f"),
        ({"address": "AA:BB:CC:DD:EE:FF"}, "address", "0x40 to 0x4f"),
    ],
)
def test_settings_that_no_chip_fits_are_refused(
    settings: dict[str, float | str], field: str, allowed: str
) -> None:
    with pytest.raises(SettingError) as refused:
        _chip(**settings)
    assert refused.value.field == field
    assert allowed in refused.value.allowed


@pytest.mark.parametrize(("given", "address"), [(0x4F, 0x4F), ("0x41", 0x41), ("68", 0x44), (None, 0x40)])
def test_an_address_is_a_number_or_a_text(given: int | str | None, address: int) -> None:
    assert _chip(**({} if given is None else {"address": given})).address == address


@pytest.mark.parametrize(
    ("volts", "amps"), [(13.2, 1.5), (12.0, 0.0), (26.0, 3.19), (14.4, -2.75), (0.0, 0.0), (3.3, 0.0042)]
)
def test_what_flows_is_what_is_read(volts: float, amps: float) -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = volts, amps
    decoded = chip.poll(line, 0.0)
    # The steps of the converters: 4 mV, and 10 µV across 0.1 ohm.
    assert decoded.values["voltage"] == pytest.approx(volts, abs=0.002)
    assert decoded.values["current"] == pytest.approx(amps, abs=0.0002)
    assert decoded.values["power"] == pytest.approx(volts * amps, abs=0.01)
    assert decoded.model == "INA219"
    assert decoded.reasons == {}


def test_a_charger_has_negative_watts_although_the_chip_has_none() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = 14.0, -2.0
    assert chip.poll(line, 0.0).values["power"] == pytest.approx(-28.0, abs=0.01)
    assert line.ina219.get(3) < 0x8000, "the chip's own power register has no sign"


def test_the_correction_scales_current_and_power_but_not_the_voltage() -> None:
    line, chip = FakeI2c(), _chip(correction=1.05)
    line.ina219.volts, line.ina219.amps = 12.0, 2.0
    values = chip.poll(line, 0.0).values
    assert values["voltage"] == pytest.approx(12.0)
    assert values["current"] == pytest.approx(2.1, abs=0.0002)
    assert values["power"] == pytest.approx(25.2, abs=0.01)


@pytest.mark.parametrize("amps", [3.2, 3.3, 40.0, -3.2, -40.0])
def test_beyond_the_shunts_range_the_current_is_unknown_not_clipped(amps: float) -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = 13.0, amps
    decoded = chip.poll(line, 0.0)
    assert decoded.values == {"voltage": pytest.approx(13.0), "current": None, "power": None}
    assert decoded.reasons["current"].startswith("current above 3.2 A: the shunt's range is exceeded")
    assert decoded.reasons["power"] == decoded.reasons["current"]


def test_it_tells_a_little_more_than_was_expected() -> None:
    line, chip = FakeI2c(), _chip(max_current=1.0)
    line.ina219.volts, line.ina219.amps = 12.0, 1.55
    assert chip.poll(line, 0.0).values["current"] == pytest.approx(1.55, abs=0.0002)


def test_beyond_32_volts_voltage_and_power_are_unknown() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = 40.0, 1.0
    decoded = chip.poll(line, 0.0)
    assert decoded.values == {"voltage": None, "current": pytest.approx(1.0, abs=0.0002), "power": None}
    assert "26 V" in decoded.reasons["voltage"]
    assert set(decoded.reasons) == {"voltage", "power"}


def test_the_first_poll_waits_for_a_measurement_with_our_settings() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = 12.0, 1.0
    line.now = 5.0
    # Its power-on settings have long measured, in the widest range.
    assert chip.poll(line, 0.0).values["current"] == pytest.approx(1.0, abs=0.0002)
    assert line.now >= 5.0 + 2 * 0.0681


def test_the_next_poll_writes_nothing_and_waits_for_nothing() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.amps = 1.0
    chip.poll(line, 0.0)
    line.pause(1.0)
    line.ina219.amps = 2.0
    written, now = list(line.written), line.now
    assert chip.poll(line, 1.0).values["current"] == pytest.approx(2.0, abs=0.0002)
    assert line.written == written
    assert line.now - now < 0.01


def test_a_poll_right_after_another_waits_for_a_new_measurement() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.amps = 1.0
    chip.poll(line, 0.0)
    line.ina219.amps = 2.0
    assert chip.poll(line, 0.01).values["current"] == pytest.approx(2.0, abs=0.0002)


def test_after_a_brown_out_it_is_set_up_again() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.amps = 1.0
    chip.poll(line, 0.0)
    line.ina219.brown_out()
    line.pause(1.0)
    assert chip.poll(line, 1.0).values["current"] == pytest.approx(1.0, abs=0.0002)


@pytest.mark.parametrize("transfer", range(20))
def test_a_brown_out_in_the_middle_of_a_poll_never_reads_zero(transfer: int) -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.volts, line.ina219.amps = 12.0, 2.0
    chip.poll(line, 0.0)
    line.pause(1.0)
    line.before[line.transfers + transfer] = line.ina219.brown_out
    assert _told(chip, line) in (pytest.approx(2.0, abs=0.0002), LOST)


def test_a_chip_that_was_put_to_sleep_is_woken() -> None:
    line, chip = FakeI2c(), _chip()
    line.ina219.amps = 1.0
    chip.poll(line, 0.0)
    line.ina219.put(0, 0x3FF8)
    assert chip.poll(line, 1.0).values["current"] == pytest.approx(1.0, abs=0.0002)


def test_a_chip_that_stands_still_is_named_after_a_bounded_wait() -> None:
    line, chip = FakeI2c(), _chip()
    chip.poll(line, 0.0)
    line.ina219.stuck = True
    before = line.now
    with pytest.raises(NoAnswerError, match="0x40 answers but does not measure"):
        chip.poll(line, 1.0)
    assert line.now - before < 0.5


def test_a_chip_that_is_not_there_is_no_answer() -> None:
    line, chip = FakeI2c(), _chip(address=0x41)
    with pytest.raises(NoAnswerError):
        chip.poll(line, 0.0)


def test_every_row_has_a_value() -> None:
    assert set(_chip().poll(FakeI2c(), 0.0).values) == set(ROWS)
