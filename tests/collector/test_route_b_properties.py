"""Smart meter properties become values: every code, every sign, and nothing of damaged bytes."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices import route_b as properties
from collector.devices.description import BadRecordError
from tests.emulators.wisun import big

WELL: dict[int, bytes | None] = {
    0xE7: big(512, 4),
    0xE8: big(31, 2) + big(-22, 2),
    0xE0: big(123_456, 4),
    0xE3: big(7, 4),
    0xEA: bytes.fromhex("07ea0b15101e00") + big(123_450, 4),
    0x98: bytes.fromhex("07ea0b15"),
    0xD3: big(1, 4),
    0xD7: b"\x06",
    0xE1: b"\x01",
}


@pytest.mark.parametrize(
    ("code", "data", "entity", "value"),
    [
        (0xE7, "00000200", "grid_power", 512),
        (0xE7, "fffffb2e", "grid_power", -1234),
        (0xE7, "80000001", "grid_power", -2_147_483_647),
        (0xE7, "7ffffffd", "grid_power", 2_147_483_645),
        (0xE7, "7ffffffe", "grid_power", None),
        (0xE7, "7fffffff", "grid_power", None),
        (0xE7, "80000000", "grid_power", None),
        (0xE8, "0034fff3", "current_r", 5.2),
        (0xE8, "0034fff3", "current_t", -1.3),
        (0xE8, "00347ffe", "current_t", None),
        (0xE8, "7ffe0034", "current_r", None),
        (0xE8, "7fff8000", "current_r", None),
        (0xE8, "7fff8000", "current_t", None),
        (0xE8, "80017ffd", "current_r", -3276.7),
        (0xE0, "00000000", "grid_import_energy", 0.0),
        (0xE0, "05f5e0ff", "grid_import_energy", 9_999_999_900.0),
        (0xE0, "05f5e100", "grid_import_energy", None),
        (0xE0, "fffffffe", "grid_import_energy", None),
        (0xE3, "fffffffe", "grid_export_energy", None),
        (0xE3, "0000000a", "grid_export_energy", 1000.0),
        (0xD3, "0000000f", "grid_import_energy", 123_456 * 1500.0),
        (0xD3, "0000000f", "coefficient", 15),
        (0xD3, "00000000", "grid_import_energy", None),
        (0xD3, "000f4240", "coefficient", None),
        (0xE1, "05", "grid_import_energy", None),
    ],
)
def test_a_property_means(code: int, data: str, entity: str, value: float | None) -> None:
    said = properties.decode(WELL | {code: bytes.fromhex(data)})
    assert said.values[entity] == value


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        *((0x00, 1000.0), (0x01, 100.0), (0x02, 10.0), (0x03, 1.0), (0x04, 0.1)),
        *((0x0A, 10_000.0), (0x0B, 100_000.0), (0x0C, 1_000_000.0), (0x0D, 10_000_000.0)),
    ],
)
def test_counts_are_in_the_unit_the_meter_names(code: int, unit: float) -> None:
    said = properties.decode(WELL | {0xE1: bytes([code])})
    assert said.values["energy_unit"] == unit
    assert said.values["grid_import_energy"] == pytest.approx(123_456 * unit, rel=1e-12)


@pytest.mark.parametrize("code", sorted(set(range(256)) - {0, 1, 2, 3, 4, 0xA, 0xB, 0xC, 0xD}))
def test_an_unknown_unit_is_unknown_and_no_energy(code: int) -> None:
    said = properties.decode(WELL | {0xE1: bytes([code])})
    assert (said.values["energy_unit"], said.values["grid_import_energy"]) == (None, None)
    assert said.unknown == ("energy_unit",)
    assert "unit" in said.reasons["grid_import_energy"]
    assert said.values["grid_power"] == 512


def test_without_a_coefficient_a_meter_counts_itself_but_one_that_hides_it_says_nothing() -> None:
    without = {code: data for code, data in WELL.items() if code != 0xD3}
    assert properties.decode(without).values["grid_import_energy"] == 12_345_600.0
    assert properties.decode(WELL | {0xD3: None}).values["grid_import_energy"] is None


def test_japan_s_time_becomes_utc() -> None:
    said = properties.decode(WELL)
    assert said.mark == datetime(2026, 11, 21, 7, 30, tzinfo=UTC).timestamp() * 1000
    assert said.counts == 123_450
    assert said.day_began == datetime(2026, 11, 20, 15, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("time", ["07ea0d15101e00", "07ea0b15181e00", "07ea0b1f101e00", "0000010100000000"])
def test_what_is_no_time_is_a_bad_record(time: str) -> None:
    with pytest.raises(BadRecordError):
        properties.decode(WELL | {0xEA: bytes.fromhex(time)[:7] + big(1, 4)})


def test_a_meter_that_has_not_set_its_clock_has_no_half_hour() -> None:
    said = properties.decode(WELL | {0xEA: bytes.fromhex("ffffffffffffff") + big(0xFFFFFFFE, 4)})
    assert (said.mark, said.counts) == (None, None)


@given(st.sampled_from(sorted(WELL)), st.binary(max_size=20))
def test_no_data_of_another_length_is_taken(code: int, data: bytes) -> None:
    if len(data) == len(WELL[code] or b""):
        return
    with pytest.raises(BadRecordError):
        properties.decode(WELL | {code: data})


@given(
    st.fixed_dictionaries(
        {c: st.binary(min_size=len(d or b""), max_size=len(d or b"")) for c, d in WELL.items()}
    )
)
def test_noise_is_refused_or_a_number(data: dict[int, bytes | None]) -> None:
    try:
        said = properties.decode(data)
    except BadRecordError:
        return
    assert all(v is None or (isinstance(v, int | float) and math.isfinite(v)) for v in said.values.values())


@given(st.binary(max_size=200))
def test_a_history_is_48_counts_of_the_day_asked_for(data: bytes) -> None:
    whole = big(3, 2) + big(17, 4) * 47 + big(0xFFFFFFFE, 4)
    assert properties.history(0xE2, whole, 3) == (17,) * 47 + (None,)
    assert properties.history(0xE2, None, 3) == ()
    for wrong in (whole[:-1], whole + b"\0", big(255, 2) + whole[2:], data):
        with pytest.raises(BadRecordError):
            properties.history(0xE2, wrong, 3)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        ("", set()),
        ("03809fe7", {0x80, 0x9F, 0xE7}),
        # ECHONET Lite, appendix "Property map description format 2": byte by low digit, bit by high digit.
        ("10" + "00" * 7 + "40" + "00" * 8, {0xE7}),
        ("10" + "81" + "00" * 14 + "02", {0x80, 0xF0, 0x9F}),
    ],
)
def test_a_property_map_lists_codes(data: str, codes: set[int]) -> None:
    assert properties.listed(bytes.fromhex(data)) == codes


def test_a_short_map_of_bits_is_a_bad_record() -> None:
    with pytest.raises(BadRecordError):
        properties.listed(b"\x12" + bytes(15))
