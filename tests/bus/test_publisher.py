"""What a process says of its devices: about, readings through the outbox, scalars, availability."""

import json
from pathlib import Path

import pytest

from bus.about import About, Entity, decode
from bus.events import Sent, Unpublished
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from tests.clock import NOON_MS, FakeTime
from tests.fake_bus import FakeBus

STATE = "camper/state/mppt"
ABOUT = About(name="Solar charger", entities={"voltage": Entity(name="Voltage", unit="V", precision=2)})


class Setup:
    """A publisher on a fake bus, an outbox on real files, a clock that stands still."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.bus = FakeBus()
        self.time = time
        self.journal = Journal()
        self.outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        self.publisher = Publisher(self.bus, Topics(), self.outbox, time.clock, self.journal)

    def seqs(self) -> list[int]:
        """The seqs that reached the wire, in order."""
        return [json.loads(payload)["seq"] for payload in self.bus.on(STATE)]


@pytest.fixture
def setup(tmp_path: Path, time: FakeTime) -> Setup:
    return Setup(tmp_path, time)


def test_a_reading_as_the_contract_writes_it(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"voltage": 13.21, "power": None}, ts=NOON_MS)
    (reading,) = (p for p in setup.bus.published if p.topic == STATE)
    assert (reading.qos, reading.retain) == (1, True)
    assert json.loads(reading.payload) == {
        "ts": "2026-11-21T12:00:00.000Z",
        "clock": "ok",
        "voltage": 13.21,
        "power": None,
        "stream": setup.outbox.stream,
        "seq": 1,
        "after": 0,
    }


def test_an_unsynchronised_clock_is_said(setup: Setup) -> None:
    setup.time.quality = "estimated"
    setup.publisher.reading("mppt", {"voltage": 13.21}, ts=NOON_MS)
    assert json.loads(setup.bus.on(STATE)[0])["clock"] == "estimated"


def test_scalars_mirror_what_changed_with_its_precision(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    for voltage in (13.2, 13.2, None, 13.3):
        setup.publisher.reading("mppt", {"voltage": voltage}, ts=NOON_MS)
    mirrored = [p for p in setup.bus.published if p.topic == f"{STATE}/voltage"]
    assert [p.payload for p in mirrored] == [b"13.20", b"None", b"13.30"]
    assert {(p.qos, p.retain) for p in mirrored} == {(0, True)}


def test_about_and_availability_are_said_when_they_change(setup: Setup) -> None:
    for _ in range(2):
        setup.publisher.about("mppt", ABOUT)
        setup.publisher.availability("mppt", online=True)
    setup.publisher.availability("mppt", online=False)
    assert [(p.topic, p.payload[:7], p.retain) for p in setup.bus.published] == [
        ("camper/about/mppt", b'{"name"', True),
        ("camper/availability/mppt", b"online", True),
        ("camper/availability/mppt", b"offline", True),
    ]


def test_without_a_broker_readings_wait_and_go_out_in_order(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    for voltage in (1.0, 2.0, 3.0):
        setup.publisher.reading("mppt", {"voltage": voltage}, ts=NOON_MS)
    assert setup.publisher.waiting == 3
    setup.bus.answer = Sent.YES
    setup.publisher.connected(setup.time.monotonic_s)
    assert setup.seqs() == [1, 2, 3]


def test_a_broker_that_forgot_gets_the_newest_reading_again(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.publisher.take(f"camper/watermark/{setup.outbox.stream}", b"1", setup.time.monotonic_s)
    setup.publisher.connected(setup.time.monotonic_s)
    assert setup.seqs() == [1, 1]


def test_what_still_waits_is_sent_in_its_order_not_newest_first(setup: Setup) -> None:
    for voltage in (1.0, 2.0):
        setup.publisher.reading("mppt", {"voltage": voltage}, ts=NOON_MS)
    setup.publisher.connected(setup.time.monotonic_s)
    assert setup.seqs() == [1, 2, 1, 2]
    assert [p.retain for p in setup.bus.published if p.topic == STATE] == [True, True, False, True], (
        "who subscribes meanwhile must not be given an old reading as the newest"
    )


def test_the_about_names_the_service_whose_streams_its_readings_are_in(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    said = decode(setup.bus.on("camper/about/mppt")[-1])
    assert said.service is not None
    assert setup.outbox.stream.startswith(f"{said.service}-")


def test_the_watermark_empties_the_outbox(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    topic = f"camper/watermark/{setup.outbox.stream}"
    for nonsense in (b"", b"x", b"\xff", b"1.5"):
        setup.publisher.take(topic, nonsense, 0.0)
    assert setup.publisher.waiting == 1
    assert setup.journal.counters["messages_refused"] == 4
    setup.publisher.take(topic, b"1", 0.0)
    assert setup.publisher.waiting == 0


def test_a_reading_too_large_for_the_broker_is_set_aside(setup: Setup) -> None:
    setup.bus.largest = 1000
    assert not setup.publisher.reading("mppt", {"note": "x" * 1000}, ts=NOON_MS)
    assert setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    assert setup.seqs() == [1]
    assert setup.journal.counters["readings_oversize"] == 1
    assert setup.journal.last_error is not None


def test_a_broker_with_a_smaller_limit_cannot_block_what_follows(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"note": "x" * 1000}, ts=NOON_MS)
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.bus.answer = Sent.YES
    setup.bus.takes = 500
    setup.publisher.pump(setup.time.monotonic_s)
    assert [json.loads(p) for p in setup.bus.on(STATE)] == [
        {"stream": setup.outbox.stream, "seq": 1, "after": 0},
        {
            "ts": "2026-11-21T12:00:00.000Z",
            "clock": "ok",
            "voltage": 1.0,
            "stream": setup.outbox.stream,
            "seq": 2,
        },
    ]


def retained(setup: Setup) -> dict[str, bytes]:
    """What a broker hands to a new subscriber."""
    kept = {p.topic: p.payload for p in setup.bus.published if p.retain}
    return {topic: payload for topic, payload in kept.items() if payload}


def test_a_forgotten_device_is_offline_first_and_then_gone(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.publisher.reading("mppt", {"voltage": 13.21}, ts=NOON_MS)
    setup.publisher.availability("mppt", online=True)
    before = len(setup.bus.published)
    setup.publisher.forget("mppt")
    assert [(p.topic, p.payload) for p in setup.bus.published[before:]] == [
        ("camper/availability/mppt", b"offline"),
        ("camper/about/mppt", b""),
        ("camper/state/mppt/voltage", b""),
        ("camper/state/mppt", b""),
        ("camper/availability/mppt", b""),
    ]
    assert retained(setup) == {}


def test_what_still_waits_of_a_forgotten_device_is_sent_but_not_retained(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"voltage": 13.21}, ts=NOON_MS)
    setup.publisher.forget("mppt")
    setup.bus.answer = Sent.YES
    setup.publisher.connected(setup.time.pass_(1))
    setup.publisher.connected(setup.time.pass_(1))
    assert [(p.retain, bool(p.payload)) for p in setup.bus.published if p.topic == STATE] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
    ]
    assert setup.publisher.waiting == 1, "the statistician has not got it yet"


def test_a_device_that_comes_back_is_not_given_its_old_reading(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.publisher.reading("mppt", {"voltage": 10.0}, ts=NOON_MS)
    setup.publisher.forget("mppt")
    setup.publisher.about("mppt", ABOUT)
    setup.publisher.connected(setup.time.pass_(1))
    assert sorted(retained(setup)) == ["camper/about/mppt"]
    setup.publisher.reading("mppt", {"voltage": 13.0}, ts=NOON_MS + 1000)
    assert json.loads(retained(setup)[STATE])["voltage"] == 13.0
    setup.publisher.connected(setup.time.pass_(1))
    assert json.loads(retained(setup)[STATE])["voltage"] == 13.0


def test_entities_that_are_gone_are_cleared_alone(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.publisher.reading("mppt", {"voltage": 10.0}, ts=NOON_MS)
    setup.publisher.tidy({"mppt": ("power",)})
    assert sorted(retained(setup)) == ["camper/about/mppt", STATE]
    setup.publisher.reading("mppt", {"voltage": 10.0}, ts=NOON_MS + 1000)
    assert retained(setup)["camper/state/mppt/voltage"] == b"10.00", "it is back"


def test_a_reading_that_the_broker_will_never_take_is_set_aside_and_its_place_kept(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"power": 1.0}, ts=NOON_MS)
    (sent,) = setup.bus.on("camper/state/mppt")
    setup.publisher.unpublished(Unpublished("camper/state/mppt", sent, "Not authorized", forever=False))
    assert setup.outbox.dead() == []
    setup.publisher.unpublished(
        Unpublished("camper/state/mppt", sent, "Payload format invalid", forever=True)
    )
    assert setup.outbox.dead() == [("camper/state/mppt", sent, "Payload format invalid")]
    setup.bus.published.clear()
    setup.publisher.connected(setup.time.monotonic_s)
    again = [json.loads(payload) for payload in setup.bus.on("camper/state/mppt")]
    assert [sorted(reading) for reading in again] == [["after", "seq", "stream"]]


@pytest.mark.parametrize("payload", [b"", b"{}", b"online", b"\xff", b'{"name": "Solar charger"}'])
def test_a_refused_message_that_is_no_reading_changes_nothing(setup: Setup, payload: bytes) -> None:
    setup.publisher.unpublished(Unpublished("camper/about/mppt", payload, "no", forever=True))
    assert setup.outbox.dead() == []
