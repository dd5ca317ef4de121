"""When a device is believed, as a service drives it: record by record."""

from collector.devices.trust import Trust


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
