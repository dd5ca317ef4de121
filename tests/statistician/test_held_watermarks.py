"""While an update may go back no collector is told to forget a reading."""

from pathlib import Path

import pytest

from bus.events import Message
from bus.health import Journal
from bus.messages import to_iso
from statistician.watermarks import HOLD_FILE, HeldWatermarks
from tests.statistician.rig import START, TOPICS, Notes

FIRST, SECOND = TOPICS.watermark("ble-1"), TOPICS.watermark("i2c-2")
MESSAGE = Message(topic="camper/state/mppt", payload=b"{}", qos=1, retain=False, mid=1, generation=1)


class Van:
    """What the statistician publishes on, and the time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / HOLD_FILE
        self.now = 1000.0
        self.notes = Notes()
        self.journal = Journal()
        self.bus = HeldWatermarks(
            self.notes,
            TOPICS,
            self.file,
            monotonic=lambda: self.now,
            wall=lambda: START + int(1000 * (self.now - 1000)),
            journal=self.journal,
        )

    def said(self) -> list[tuple[str, str]]:
        """Topics and payloads that went out."""
        return [(topic, payload.decode()) for kind, topic, payload in self.notes.log if kind == "publish"]


@pytest.fixture
def van(tmp_path: Path) -> Van:
    return Van(tmp_path)


def test_without_the_file_nothing_waits(van: Van) -> None:
    van.bus.publish(FIRST, b"1", retain=True)
    assert van.said() == [(FIRST, "1")]


def test_watermarks_wait_and_the_newest_of_each_stream_follows(van: Van) -> None:
    van.file.write_text("1090")
    for mark in (b"1", b"2"):
        van.bus.publish(FIRST, mark, retain=True)
    van.bus.publish(SECOND, b"7", retain=True)
    van.bus.publish("camper/health/statistician", b"{}", retain=True)
    van.bus.acknowledge(MESSAGE)
    assert van.said() == [("camper/health/statistician", "{}")]
    van.file.unlink()
    van.bus.acknowledge(MESSAGE)
    assert van.said()[1:] == [(FIRST, "2"), (SECOND, "7")]


def test_a_watermark_after_the_hold_is_newer_than_the_one_that_waited(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(FIRST, b"1", retain=True)
    van.file.unlink()
    van.bus.publish(FIRST, b"5", retain=True)
    van.bus.publish("camper/health/statistician", b"{}", retain=True)
    assert van.said() == [(FIRST, "5"), ("camper/health/statistician", "{}")]


def test_a_hold_that_nobody_ends_ends_by_itself(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(FIRST, b"1", retain=True)
    van.now = 1090.0
    van.bus.publish(SECOND, b"2", retain=True)
    assert van.said() == [(FIRST, "1"), (SECOND, "2")]


@pytest.mark.parametrize("text", ["", "soon", "nan"])
def test_a_file_that_says_nothing_holds_nothing(van: Van, text: str) -> None:
    van.file.write_text(text)
    van.bus.publish(FIRST, b"1", retain=True)
    assert van.said() == [(FIRST, "1")]


@pytest.mark.parametrize("end", ["healthy", "time is up"])
def test_health_says_since_when_and_how_long_until_it_is_over(van: Van, end: str) -> None:
    van.file.write_text("1090")
    for van.now in (1000.0, 1007.3, 1080.0):
        van.bus.publish(FIRST, b"1", retain=True)
        told = van.journal.problems["hold"]
        assert f"on trial since {to_iso(START)}" in told
        assert f"at the latest until {to_iso(START + 90_000)}" in told
    if end == "healthy":
        van.file.unlink()
    else:
        van.now = 1090.0
    van.bus.acknowledge(MESSAGE)
    assert van.journal.problems == {}


def test_a_second_update_is_told_with_its_own_times(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(FIRST, b"1", retain=True)
    van.file.write_text("1200")
    van.now = 1110.0
    van.bus.publish(FIRST, b"2", retain=True)
    assert f"since {to_iso(START + 110_000)}" in van.journal.problems["hold"]
