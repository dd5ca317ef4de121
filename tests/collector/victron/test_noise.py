"""Noise on every kind of Victron record, wrong keys that fit by chance, and when a device is believed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import BadRecordError, DecodeError, ImplausibleError
from collector.listening import Trust
from tests.collector.kinds import ble_kind
from tests.collector.victron.test_vectors import check
from tests.emulators.victron import SMARTSHUNT_500A, seal
from tests.emulators.victron_records import TWINS
from tests.rounds import rounds

_KEY = bytes.fromhex("64ba49f1a8562e45197a8e1fe50d7658")
_FRAMES = {name: (layout.readout_type, layout.model_id) for name, layout in TWINS.items()} | {
    "victron_battery_monitor": (0x02, SMARTSHUNT_500A),
    "victron_solar_charger": (0x01, 0xA042),
}
_kinds = pytest.mark.parametrize("name", sorted(TWINS))


@_kinds
def test_a_record_of_nothing_available_is_read_and_is_null(name: str) -> None:
    of = ble_kind(name)
    decoded = of.decode(TWINS[name].sealed({}, _KEY), _KEY)
    check(decoded, of)
    assert decoded.unknown == ()
    assert {value for value in decoded.values.values() if isinstance(value, int | float)} == set()


@_kinds
def test_a_record_cut_anywhere_is_bad(name: str) -> None:
    raw = TWINS[name].sealed({}, _KEY)
    for length in range(len(raw)):
        with pytest.raises(BadRecordError):
            ble_kind(name).decode(raw[:length], _KEY)


@_kinds
def test_any_flipped_bit_gives_values_or_a_decode_error(name: str) -> None:
    of, raw = ble_kind(name), TWINS[name].sealed({}, _KEY)
    for bit in range(len(raw) * 8):
        flipped = (int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little")
        try:
            decoded = of.decode(flipped, _KEY)
        except DecodeError:
            continue
        check(decoded, of)


@pytest.mark.parametrize("name", sorted(TWINS.keys() - {"victron_solarsense"}))
def test_a_wrong_key_with_the_right_first_byte_is_nearly_always_noticed(name: str) -> None:
    wrong = _KEY[:1] + random.Random(7).randbytes(15)  # noqa: S311 — noise, not secrets
    passed = 0
    for iv in range(rounds(1500, 5000)):
        try:
            ble_kind(name).decode(TWINS[name].sealed({}, _KEY, iv=iv), wrong)
        except ImplausibleError:
            continue
        passed += 1
    assert passed <= rounds(5, 15)


@pytest.mark.parametrize("name", sorted({*_FRAMES, "victron"}))
@given(
    noise=st.binary(max_size=40),
    key=st.binary(max_size=20),
    framed=st.sampled_from([None, *_FRAMES.values()]),
)
def test_noise_never_raises_anything_else(
    name: str, noise: bytes, key: bytes, framed: tuple[int, int] | None
) -> None:
    of = ble_kind(name)
    readout_type, model_id = framed or (0, 0)
    # A type of two bytes is open: its second one stands where the key is checked.
    number, fits = (readout_type >> 8, b"\x01") if readout_type > 0xFF else (readout_type, key[:1])
    header = b"\x10\x02" + model_id.to_bytes(2, "little") + bytes([number]) + b"\x01\x00" + fits
    try:
        decoded = of.decode(header + noise if framed else noise, key)
    except DecodeError:
        return
    check(decoded, of)


@pytest.mark.parametrize("name", sorted(_FRAMES))
@given(plain=st.binary(min_size=16, max_size=16))
def test_any_plaintext_is_values_or_implausible(name: str, plain: bytes) -> None:
    of, (readout_type, model_id) = ble_kind(name), _FRAMES[name]
    try:
        decoded = of.decode(seal(plain, _KEY, readout_type=readout_type, model_id=model_id, iv=1), _KEY)
    except ImplausibleError:
        return
    check(decoded, of)


def _record(number: int) -> bytes:
    return bytes([number])


def test_a_device_is_believed_from_its_first_plausible_record() -> None:
    trust = Trust()
    assert trust.plausible(_record(1))
    assert trust.trusted


def test_after_noise_three_different_plausible_records_are_needed() -> None:
    trust = Trust()
    trust.implausible(_record(0))
    assert not trust.trusted
    assert [trust.plausible(_record(number)) for number in (1, 2, 3, 4)] == [False, False, True, True]


def test_a_repeated_record_counts_once() -> None:
    trust = Trust()
    trust.implausible(_record(0))
    assert [trust.plausible(_record(number)) for number in (1, 1, 2, 1, 2, 3)] == [False] * 5 + [True]


def test_noise_between_plausible_records_starts_again() -> None:
    trust = Trust()
    for number in (0, 10, 20):
        trust.implausible(_record(number))
        assert not trust.plausible(_record(number + 1))
        assert not trust.plausible(_record(number + 2))
    assert not trust.trusted


def test_five_different_implausible_records_in_a_row_accuse_the_key() -> None:
    trust = Trust()
    for number in range(4):
        trust.implausible(_record(number))
    assert trust.complaint is None
    trust.implausible(_record(4))
    assert trust.complaint is not None
    assert "the key is probably wrong although its first byte matches" in trust.complaint


def test_one_damaged_record_repeated_does_not_accuse_the_key() -> None:
    trust = Trust()
    for _ in range(20):
        trust.implausible(_record(1))
    assert trust.complaint is None


def test_the_accusation_ends_with_a_plausible_record() -> None:
    trust = Trust()
    for number in range(300):
        trust.implausible(number.to_bytes(2, "big"))
    assert trust.complaint is not None
    trust.plausible(b"good")
    assert trust.complaint is None
    assert not trust.trusted
