"""Readings on the wire: what is written, what is read, what is refused and why."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import (
    BadMessageError,
    Reading,
    decode_reading,
    encode_reading,
    from_iso,
    machine_zone,
    scalar,
    to_iso,
)

TS = 1795243210512
EXAMPLE = (
    b'{"ts":"2026-11-21T06:40:10.512Z","clock":"ok","stream":"ble-7f3a","seq":4711,'
    b'"voltage":13.21,"soc":87.5,"charge_state":"bulk"}'
)


def test_the_contract_s_example() -> None:
    reading = decode_reading(EXAMPLE)
    assert reading == Reading(
        ts=TS,
        stream="ble-7f3a",
        seq=4711,
        values={"voltage": 13.21, "soc": 87.5, "charge_state": "bulk"},
    )
    assert json.loads(encode_reading(reading)) == json.loads(EXAMPLE)


def test_null_is_unknown_and_absent_is_absent() -> None:
    assert decode_reading(b'{"voltage":null}') == Reading(ts=None, values={"voltage": None})
    assert json.loads(encode_reading(Reading(ts=None, values={"voltage": None}))) == {"voltage": None}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_reading_carries_what_is_no_number(number: float) -> None:
    with pytest.raises(BadMessageError, match=r"voltage.*null"):
        encode_reading(Reading(ts=TS, values={"voltage": number}))


def test_a_strangers_booleans_become_on_and_off() -> None:
    assert decode_reading(b'{"pump":true,"light":false}').values == {"pump": "ON", "light": "OFF"}


def test_history_that_a_device_remembered_says_so_and_all_else_is_silent() -> None:
    reading = Reading(ts=TS, values={"energy": 1.5}, late=True)
    payload = encode_reading(reading)
    assert json.loads(payload)["late"] is True
    assert decode_reading(payload) == reading
    assert b"late" not in encode_reading(Reading(ts=TS, values={}))
    assert decode_reading(b'{"late":false,"pump":true}') == Reading(ts=None, values={"pump": "ON"})


def test_last_reset_stands_beside_the_value() -> None:
    payload = b'{"energy":1.5,"last_reset":{"energy":"2026-11-21T00:00:00+01:00"}}'
    assert decode_reading(payload).last_reset == {"energy": from_iso("2026-11-20T23:00:00Z")}


def test_a_last_reset_without_a_zone_is_the_machines_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    machine_zone.cache_clear()
    try:
        for text, utc in (
            ("2026-11-21T05:45:00", "2026-11-21T00:00:00Z"),
            ("2026-11-21", "2026-11-20T18:15:00Z"),
            ("2026-11-21T05:45:00Z", "2026-11-21T05:45:00Z"),
        ):
            reading = decode_reading(b'{"e":1.5,"last_reset":{"e":"' + text.encode() + b'"}}')
            assert (reading.last_reset, reading.flaws) == ({"e": from_iso(utc)}, ())
    finally:
        machine_zone.cache_clear()


@pytest.mark.parametrize(
    ("resets", "flaw"),
    [
        (b'"x"', "last_reset: 'x' is no object"),
        (b"1764000000", "last_reset: '1764000000"),
        (b"true", "last_reset: 'True' is no object"),
        (b"[1]", "last_reset: '[1]' is no object"),
        (b'{"e":"x"}', "last_reset.e: 'x' is no time"),
        (b'{"e":1764000000}', "last_reset.e: '1764000000' is no time"),
        (b'{"e":true}', "last_reset.e: 'True' is no time"),
        (b'{"e":{"a":["b"]}}', "last_reset.e: "),
        (b'{"e":"0001-01-01T00:00:00"}', None),
        (b'{"e":"10000-01-01T00:00:00Z"}', "last_reset.e: "),
        (b'{"e":null}', None),
        (b"null", None),
        (b"{}", None),
    ],
)
@pytest.mark.parametrize("more", [b"", b',"pump":true'])
def test_an_unreadable_last_reset_spoils_nothing_else(resets: bytes, flaw: str | None, more: bytes) -> None:
    payload = b'{"e":1.5,"last_reset":' + resets + more + b"}"
    reading = decode_reading(payload)
    assert reading.values["e"] == 1.5
    assert [text.startswith(flaw or "") for text in reading.flaws] == [True] * (flaw is not None)
    if flaw is not None:
        assert reading.last_reset == {}
        assert "allowed is" in reading.flaws[0]


def test_one_unreadable_last_reset_leaves_the_others() -> None:
    reading = decode_reading(b'{"a":1,"last_reset":{"a":"2026-11-21T00:00:00Z","b":5,"c":null}}')
    assert reading.last_reset == {"a": from_iso("2026-11-21T00:00:00Z")}
    assert len(reading.flaws) == 1


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (b"", "JSON"),
        (b"13.2", "object"),
        (b"[1]", "object"),
        (b'{"voltage":', "JSON"),
        (b'{"voltage":NaN}', "JSON"),
        (b'{"voltage":1e999}', "JSON|large"),
        (b'{"voltage":' + b"9" * 400 + b"}", "voltage|JSON"),
        (b'{"voltage":[1]}', "voltage"),
        (b'{"voltage":{"a":1}}', "voltage"),
        (b'{"voltage":{"a":"b"}}', "voltage"),
        (b'{"Voltage":1}', "Voltage"),
        (b'{"a/b":1}', "a/b"),
        (b'{"ts":1,"v":1}', "ts"),
        (b'{"ts":"yesterday"}', "ts"),
        (b'{"ts":"2026-11-21T06:40:10"}', "zone"),
        (b'{"clock":"fine"}', "clock"),
        (b'{"seq":-1}', "seq"),
        (b'{"seq":1.5}', "seq"),
        (b'{"seq":"1"}', "seq: .*2\\^53"),
        (b'{"seq":1e308}', "seq: .*2\\^53"),
        (b'{"after":99999999999999999999}', "after: .*2\\^53"),
        (b'{"after":9007199254740992}', "after: .*2\\^53"),
        (b'{"after":true}', "after: .*2\\^53"),
        (b'{"stream":5}', "stream"),
        *(
            (b'{"late":' + wrong + b"}", "late: allowed are true")
            for wrong in (b'"ON"', b"1", b"null", b"{}")
        ),
        (b"\xff\xfe", "JSON"),
        (b'{"v":"\xff"}', "JSON"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_wrong_is_named(payload: bytes, names: str) -> None:
    with pytest.raises(BadMessageError, match=names):
        decode_reading(payload)


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        reading = decode_reading(payload)
    except BadMessageError:
        return
    assert all(not isinstance(v, float) or math.isfinite(v) for v in reading.values.values())


@given(st.integers(min_value=0, max_value=253402300799999))
def test_times_survive_the_wire(ms: int) -> None:
    assert from_iso(to_iso(ms)) == ms


def test_a_time_just_before_a_boundary_stays_before_it() -> None:
    assert from_iso("2026-11-21T06:39:59.999999Z") == from_iso("2026-11-21T06:40:00Z") - 1


@pytest.mark.parametrize(
    ("value", "precision", "plain"),
    [
        (13.21, 2, b"13.21"),
        (13.2, 2, b"13.20"),
        (87.5, None, b"87.5"),
        (20.0, None, b"20"),
        ("ON", None, b"ON"),
        (None, 2, b"None"),
        (1234567.0, None, b"1234567"),
    ],
)
def test_scalars_are_plain(value: float | str | None, precision: int | None, plain: bytes) -> None:
    assert scalar(value, precision) == plain
