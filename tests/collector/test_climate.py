"""SHT3x, BME280 and BMP280: against their twins, published numbers, and noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import (
    BadRecordError,
    DecodeError,
    NoAnswerError,
    SettingError,
    WrongKindError,
)
from collector.devices.i2c.climate import BME280, SHT3X, Trimming, decode_bosch, decode_sht, sht_checksum
from config.model import Device
from tests.collector.fake_i2c import FakeI2c
from tests.emulators.climate_chips import Bmp280, Bosch, Sht3x

SHT = SHT3X.make(Device(kind="sht3x"))
BME = BME280.make(Device(kind="bme280"))


def _sht() -> tuple[FakeI2c, Sht3x]:
    line = FakeI2c()
    chip = Sht3x(lambda: line.now)
    line.chips.at[0x44] = chip
    return line, chip


def _bosch(twin: type[Bosch] = Bosch) -> tuple[FakeI2c, Bosch]:
    line = FakeI2c()
    chip = twin(lambda: line.now)
    line.chips.at[0x76] = chip
    return line, chip


@pytest.mark.parametrize(("celsius", "percent"), [(-40, 0), (-0.01, 12.5), (21.37, 55.23), (125, 100)])
def test_an_sht_says_what_the_air_is_like(celsius: float, percent: float) -> None:
    line, chip = _sht()
    chip.celsius, chip.percent = celsius, percent
    values = SHT.poll(line, 0.0).values
    assert values == {
        "temperature": pytest.approx(celsius, abs=0.01),
        "humidity": pytest.approx(percent, abs=0.01),
    }


def test_the_checksum_is_sensirions() -> None:
    # The example of the data sheet, 4.12.
    assert sht_checksum(b"\xbe\xef") == 0x92


@given(st.binary(max_size=8))
def test_bytes_that_no_sht_sends_are_bad_records(data: bytes) -> None:
    good = len(data) == 6 and sht_checksum(data[:2]) == data[2] and sht_checksum(data[3:5]) == data[5]
    if not good:
        with pytest.raises(BadRecordError, match="checksum is wrong"):
            decode_sht(data)
        return
    values = decode_sht(data)
    assert -45 <= float(str(values["temperature"])) <= 130
    assert 0 <= float(str(values["humidity"])) <= 100


@pytest.mark.parametrize("bit", range(48))
def test_a_flipped_bit_of_an_sht_is_found(bit: int) -> None:
    line, chip = _sht()
    chip.command(b"\x24\x00")
    line.pause(1)
    data = bytearray(chip.receive(6))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadRecordError):
        decode_sht(bytes(data))


@pytest.mark.parametrize("data", [bytes(6), b"\xff" * 6])
def test_a_wire_at_ground_or_at_nothing_is_no_air(data: bytes) -> None:
    with pytest.raises(BadRecordError):
        decode_sht(data)


def test_an_sht_that_does_not_measure_is_no_answer() -> None:
    line, chip = _sht()
    chip.stuck = True
    with pytest.raises(NoAnswerError):
        SHT.poll(line, 0.0)


# Bosch, BMP280 data sheet, 3.12: a calculation in full.
PUBLISHED = Trimming((27504, 26435, -1000), (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000))


def _data(pressure: int, temperature: int, humidity: int = 0x8000) -> bytes:
    words = [
        part for raw in (pressure, temperature) for part in (raw >> 12, raw >> 4 & 0xFF, raw << 4 & 0xF0)
    ]
    return bytes([*words, humidity >> 8, humidity & 0xFF])


def test_the_published_calculation_comes_out() -> None:
    values = decode_bosch(_data(415148, 519888), PUBLISHED)
    assert values == {"temperature": 25.08, "pressure": 1006.53}


@pytest.mark.parametrize(
    ("celsius", "hectopascals", "percent"),
    [(-20, 500, 10), (0, 1013.25, 50), (21.4, 1000.1, 48.2), (60, 1080, 90)],
)
def test_a_bme_says_what_the_air_is_like(celsius: float, hectopascals: float, percent: float) -> None:
    line, chip = _bosch()
    chip.celsius, chip.hectopascals, chip.percent = celsius, hectopascals, percent
    decoded = BME.poll(line, 0.0)
    assert decoded.model == "BME280"
    assert decoded.values == {
        "temperature": pytest.approx(celsius, abs=0.02),
        "pressure": pytest.approx(hectopascals, abs=0.1),
        "humidity": pytest.approx(percent, abs=0.1),
    }


def test_a_bmp_has_no_humidity() -> None:
    line, _ = _bosch(Bmp280)
    decoded = BME.poll(line, 0.0)
    assert decoded.model == "BMP280"
    assert decoded.values.keys() == {"temperature", "pressure"}


def test_a_chip_that_is_neither_is_told() -> None:
    line, chip = _bosch()
    chip.CHIP = 0x61
    with pytest.raises(WrongKindError, match="0x76 says 0x61: it is no BME280"):
        BME.poll(line, 0.0)


def test_a_bme_that_stands_still_is_named() -> None:
    line, chip = _bosch()
    chip.stuck = True
    with pytest.raises(NoAnswerError, match="0x76 answers but does not measure"):
        BME.poll(line, 0.0)


@pytest.mark.parametrize("transfer", range(10))
def test_a_brown_out_of_a_bme_gives_no_wrong_air(transfer: int) -> None:
    line, chip = _bosch()
    BME.poll(line, 0.0)
    chip.celsius = 15.0
    line.before[line.transfers + transfer] = chip.brown_out
    try:
        values = BME.poll(line, 0.0).values
    except DecodeError as error:
        assert "lost its settings" in str(error)  # noqa: PT017 — either of two ends is right
        return
    assert values["temperature"] == pytest.approx(15.0, abs=0.02)
    assert values["humidity"] in (None, pytest.approx(50, abs=0.1))


class Noise(FakeI2c):
    """A bus that answers anything."""

    def __init__(self, answers: list[bytes]) -> None:
        super().__init__()
        self._answers = answers

    def read(self, _address: int, _register: int, count: int) -> bytes:
        """The next answer, the last one for ever; most are as long as was asked."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return (answer * count)[:count] if answer else b""

    def write(self, _address: int, _register: int, _data: bytes) -> None:
        """Take anything."""


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6), st.sampled_from([b"\x60", b"\x58", b""]))
def test_noise_is_a_documented_error_or_within_what_the_chip_measures(
    answers: list[bytes], chip: bytes
) -> None:
    try:
        values = BME.poll(Noise([chip, *answers]), 0.0).values
    except DecodeError:
        return
    assert -45 <= float(str(values["temperature"])) <= 90
    assert 250 <= float(str(values["pressure"])) <= 1150
    assert values.get("humidity") is None or 0 <= float(str(values["humidity"])) <= 100


@given(st.binary(min_size=8, max_size=8), st.lists(st.integers(-32768, 32767), min_size=18, max_size=18))
def test_any_numbers_are_computed_or_refused(data: bytes, numbers: list[int]) -> None:
    trim = Trimming(tuple(numbers[:3]), tuple(numbers[3:12]), tuple(numbers[12:]))
    try:
        values = decode_bosch(data, trim)
    except DecodeError:
        return
    assert values.keys() == {"temperature", "pressure", "humidity"}


@pytest.mark.parametrize(("kind", "address"), [("sht3x", 0x46), ("bme280", 0x75)])
def test_another_address_is_refused(kind: str, address: int) -> None:
    with pytest.raises(SettingError):
        {"sht3x": SHT3X, "bme280": BME280}[kind].make(Device(kind=kind, address=address))
