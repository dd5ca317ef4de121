"""BTHome v2: every object against a second decoder, repetitions, events, encryption and its counter."""

import json

import pytest

from collector.devices import recognise
from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    Decoder,
    WrongKeyError,
    WrongKindError,
)
from collector.devices.senders.bthome import _MOST_ROWS
from tests.collector.kinds import ADDRESS, ble_kind
from tests.collector.test_senders import CAPTURES, hold
from tests.emulators.senders import BTHOME, BtHomeDevice, battery, button, humidity, temperature

KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
OBJECTS = json.loads((CAPTURES / "bthome_objects.json").read_text())["vectors"]
# Where our entity is called otherwise than theirs, and what our unit is of theirs.
_NAMES = {"gas": "gas_volume", "volume_flow_rate": "flow_rate", "volume_storage": "stored_volume"}
_FLAGS = {"battery": "battery_low", "moisture": "wet", "power": "power_on", "gas": "gas"}
_UNITS: dict[str, tuple[str, float]] = {
    "kWh": ("Wh", 1000),
    "lb": ("kg", 0.45359237),
    "m": ("mm", 1000),
    "mbar": ("hPa", 1),
    "mL": ("L", 0.001),
}
# A byte of steps of 0.35 °C: they round to tenths.
_COARSE = "58"


def made(**settings: object) -> Decoder:
    """A device of kind bthome."""
    return ble_kind("bthome").device(**settings)


def hear(device: Decoder, frame: bytes, now: float = 0.0) -> Decoded:
    """What it says of a frame that is news."""
    found = device.decode(frame, now)
    assert found is not None
    return found


def _agrees(decoded: Decoded, name: str, value: float | str, unit: object, within: float) -> None:
    if isinstance(value, bool):
        assert decoded.values == {_FLAGS.get(name, name): "ON" if value else "OFF"}
        return
    if isinstance(value, str):
        assert decoded.values[name] == value
        steps = unit.get("steps") if isinstance(unit, dict) else None
        assert decoded.values.get(f"{name}_steps") == steps
        return
    ours = _NAMES.get(name, name)
    assert decoded.rows is not None
    its, factor = _UNITS.get(str(unit), (unit, 1.0))
    # They write µ with the sign for micro, Home Assistant with the Greek letter.
    assert (decoded.rows[ours].entity.unit or "").replace("\u03bc", "\u00b5") == (its or "")
    # Their rounding loses some digits.
    assert decoded.values[ours] == pytest.approx(value * factor, rel=1e-4, abs=within * factor)


@pytest.mark.parametrize("number", sorted({frame[2:4] for frame, *_ in OBJECTS}))
def test_an_object_says_what_the_other_decoder_says(number: str) -> None:
    cases = [case for case in OBJECTS if case[0][2:4] == number]
    for frame, name, value, unit in cases:
        decoded = hear(made(), bytes.fromhex(frame))
        hold(decoded, "bthome")
        _agrees(decoded, name, value, unit, 0.06 if number == _COARSE else 0.011)


def test_the_names_of_two_objects_of_a_frame_are_numbered_and_stay() -> None:
    device = made()
    first = hear(device, bytes.fromhex("40") + temperature(20.0) + temperature(30.0) + b"\x45\xc8\x00")
    assert first.values == {"temperature": 20.0, "temperature_2": 30.0, "temperature_3": 20.0}
    second = hear(device, bytes.fromhex("40") + humidity(50.0), 9.0)
    assert second.values == {"humidity": 50.0}
    assert second.rows is not None
    assert list(second.rows) == ["rssi", "temperature", "temperature_2", "temperature_3", "humidity"]
    assert second.rows["temperature_3"].entity.name == "Temperature 3"
    assert all(row.optional for key, row in second.rows.items() if key != "rssi")


def test_a_packet_that_is_repeated_says_nothing_and_one_of_later_does() -> None:
    sender, device = BtHomeDevice(ADDRESS), made()
    frame = sender.says(temperature(20.0))
    assert hear(device, frame, 0.0).values == {"temperature": 20.0}
    # Each within four seconds of the one before.
    assert [device.decode(frame, now) for now in (0.1, 3.0, 6.0)] == [None] * 3
    assert hear(device, frame, 10.1).values == {"temperature": 20.0}, "a device that counts nothing"
    assert hear(device, sender.says(temperature(20.1)), 10.2).values == {"temperature": 20.1}


@pytest.mark.parametrize("key", [None, KEY])
def test_a_press_counts_once_however_often_it_is_sent(key: bytes | None) -> None:
    sender, device = BtHomeDevice(ADDRESS, key), made(key=(key or b"").hex())
    frame = sender.says(battery(90), button(1))
    first = hear(device, frame, 0.0)
    hold(first, "bthome")
    assert first.values == {"battery": 90, "button": "press", "button_events": 1}
    for now in (0.1, 0.2, 3.0):
        assert device.decode(frame, now) is None
    untouched = hear(device, sender.says(button(0)), 5.0)
    assert "button" not in untouched.values
    assert "button" in (untouched.rows or {}), "it has one"
    again = hear(device, sender.says(battery(90), button(1)), 6.0)
    assert (again.values["button"], again.values["button_events"]) == ("press", 2)


def test_a_beacon_of_an_old_press_is_no_new_one() -> None:
    sender, device = BtHomeDevice(ADDRESS, KEY), made(key=KEY.hex())
    packet = bytes([0, 7]) + button(2)
    # Encrypted anew each time, the same packet.
    events = [hear(device, sender.sealed(packet), now).values["button_events"] for now in (0.0, 30.0, 60.0)]
    assert events == [1, 1, 1]


def test_without_a_number_the_same_frame_some_seconds_later_is_another_press() -> None:
    device, frame = made(), b"\x40" + button(1)
    events = [hear(device, frame, now).values["button_events"] for now in (0.0, 0.2, 0.4, 9.0)]
    assert events == [1, 1, 1, 2]


def test_texts_and_what_it_tells_of_itself() -> None:
    text = "Grüße".encode()
    frame = b"\x40\x53" + bytes([len(text)]) + text + b"\x54\x02\xca\xfe" + b"\x50\x00\x00\x00\x60"
    frame += b"\xf0\x01\x02\xf1\x00\x01\x02\x04"
    decoded = hear(made(), frame)
    assert decoded.values == {"text": "Grüße", "raw": "cafe"}
    assert (decoded.model_id, decoded.sw_version) == ("0x0201", "4.2.1.0")
    assert hear(made(), b"\x40\xf2\x00\x01\x06").sw_version == "6.1.0"
    for bad in (b"\xff\xfe", b"a\nb", b"\x00"):
        assert hear(made(), b"\x40\x53" + bytes([len(bad)]) + bad).values == {"text": None}


def test_a_command_of_another_device_is_an_event() -> None:
    decoded = hear(made(), b"\x40\x3b\x01\x02\x05")
    assert decoded.values == {"command": "toggle", "command_events": 1}


def test_an_object_that_stands_in_no_table_ends_the_frame_and_is_named() -> None:
    decoded = hear(made(), b"\x40" + temperature(20.0) + b"\xee\x01\x02")
    assert (decoded.values, decoded.unread) == ({"temperature": 20.0}, ("object 0xee",))
    assert hear(made(), b"\x40\x3a\x77").unread == ("button event 0x77",)


@pytest.mark.parametrize(
    "body", [b"\x02\x01", b"\x53", b"\x53\x05abc", b"\x3c\x01", b"\x3b\x1f\x01", b"\x00", b"\x4d\x00\x00\x00"]
)
def test_an_object_that_is_cut_refuses_the_frame(body: bytes) -> None:
    with pytest.raises(BadRecordError):
        made().decode(b"\x40" + body, 0.0)


def test_a_device_has_no_more_values_than_a_page_can_show() -> None:
    device = made()
    first = hear(device, b"\x40" + b"\x0f\x01" * 120)
    assert len(first.values) == _MOST_ROWS - 1
    second = hear(device, b"\x40" + b"\x10\x01" * 120, 9.0)
    assert second.rows == first.rows
    assert second.unread == (f"more than {_MOST_ROWS} values",)


@pytest.mark.parametrize("version", [0, 1, 3, 7])
def test_another_version_is_named(version: int) -> None:
    frame = bytes([version << 5, 2, 0, 0])
    with pytest.raises(WrongKindError, match=f"BTHome version {version} is not read"):
        made().decode(frame, 0.0)
    known = recognise(BTHOME, frame, ADDRESS)
    assert known is not None
    assert known.kind is None


def test_the_scan_says_whether_it_needs_a_key() -> None:
    for key, word in ((None, "not encrypted"), (KEY, "needs its key")):
        known = recognise(BTHOME, BtHomeDevice(ADDRESS, key).says(battery(1)), ADDRESS)
        assert known is not None
        assert (known.kind, word in known.what) == ("bthome", True)


def test_what_is_encrypted_is_read_with_its_key_and_its_address_alone() -> None:
    frame = BtHomeDevice(ADDRESS, KEY).says(temperature(4.5))
    assert hear(made(key=KEY.hex()), frame).values == {"temperature": 4.5}
    with pytest.raises(WrongKeyError, match="it is encrypted: write its key"):
        made().decode(frame, 0.0)
    for other in ({"key": "00" * 16}, {"key": KEY.hex(), "address": "C0:11:22:33:44:56"}):
        with pytest.raises(WrongKeyError, match="the key is not this device's"):
            made(**other).decode(frame, 0.0)


def test_an_address_inside_the_frame_is_that_of_the_key() -> None:
    own = "54:48:E6:8F:80:A5"
    sender = BtHomeDevice(own)
    plain = sender.says(temperature(4.5))
    inside = b"\x42" + bytes.fromhex(own.replace(":", ""))[::-1] + plain[1:]
    assert hear(made(), inside).values == {"temperature": 4.5}


def test_what_is_not_encrypted_is_refused_of_a_device_that_has_a_key() -> None:
    device = made(key=KEY.hex())
    with pytest.raises(WrongKeyError, match="without encryption, as anybody could"):
        device.decode(BtHomeDevice(ADDRESS).says(temperature(99.0)), 0.0)


def test_a_recorded_frame_is_refused_and_a_device_that_began_again_is_not() -> None:
    sender, device = BtHomeDevice(ADDRESS, KEY, counter=5000), made(key=KEY.hex())
    recorded = [sender.says(temperature(n)) for n in range(3)]
    for now, frame in enumerate(recorded):
        hear(device, frame, float(now))
    assert device.decode(recorded[2], 3.0) is None, "the same once more says nothing"
    for frame in recorded[:2]:
        with pytest.raises(BadRecordError, match=r"its counter fell from 5002 to 500[01]"):
            device.decode(frame, 4.0)
    sender.counter = 0
    assert hear(device, sender.says(temperature(7.0)), 5.0).values == {"temperature": 7.0}, "a new battery"
    sender.counter = 9000
    hear(device, sender.says(temperature(8.0)), 6.0)
    sender.counter = 500
    fresh = sender.says(temperature(9.0))
    with pytest.raises(BadRecordError):
        device.decode(fresh, 3605.9)
    assert hear(device, fresh, 3606.0).values == {"temperature": 9.0}, "after an hour of silence"


@pytest.mark.parametrize("bit", range(8 * 17))
def test_any_flipped_bit_of_an_encrypted_frame_is_refused(bit: int) -> None:
    frame = BtHomeDevice(ADDRESS, KEY).says(temperature(4.5), humidity(50.0))
    assert len(frame) == 17
    bad = (int.from_bytes(frame, "little") ^ 1 << bit).to_bytes(len(frame), "little")
    with pytest.raises(DecodeError):
        made(key=KEY.hex()).decode(bad, 0.0)
