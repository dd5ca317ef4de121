"""What a process says of its devices: about, readings through the outbox, scalars, availability."""

import json
from pathlib import Path

import pytest

from bus.about import About, Entity, decode
from bus.announcer import Announcer
from bus.events import Sent, Unpublished
from bus.health import Journal
from bus.outbox import WINDOW, Outbox
from bus.publisher import Publisher
from bus.topics import HOME_ASSISTANT, Topics
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
        self.statistician(b"online", kept=True)

    def statistician(self, word: bytes, *, kept: bool = False) -> None:
        """What the broker says of it."""
        self.publisher.take("camper/service/statistician", word, self.time.monotonic_s, kept=kept)

    def connect(self) -> None:
        """A second later the broker is there, and has kept that the statistician runs."""
        self.publisher.connected(self.time.pass_(1))
        self.statistician(b"online", kept=True)

    def seqs(self) -> list[int]:
        """The seqs that went out live, in order."""
        return [json.loads(payload)["seq"] for payload in self.bus.on(STATE)]

    def backlog(self) -> list[int]:
        """The seqs that were sent again, in order."""
        return [json.loads(payload)["seq"] for payload in self.bus.backlog()]


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


def test_of_what_was_measured_without_a_broker_the_newest_goes_live_and_all_in_order_as_backlog(
    setup: Setup,
) -> None:
    setup.bus.answer = Sent.LATER
    for voltage in (1.0, 2.0, 3.0):
        setup.publisher.reading("mppt", {"voltage": voltage}, ts=NOON_MS)
        setup.publisher.reading("fridge", {"temperature": voltage}, ts=NOON_MS)
    assert setup.publisher.waiting == 6
    setup.bus.answer = Sent.YES
    setup.connect()
    assert (setup.seqs(), setup.backlog()) == ([5], [1, 2, 3, 4, 5, 6])
    assert [json.loads(payload)["seq"] for payload in setup.bus.on("camper/state/fridge")] == [6]
    first = next(p for p in setup.bus.published if "/backlog/" in p.topic)
    assert first.topic == f"camper/backlog/collector_ble/{setup.outbox.stream}"
    assert json.loads(first.payload) == {
        "ts": "2026-11-21T12:00:00.000Z",
        "clock": "ok",
        "voltage": 1.0,
        "stream": setup.outbox.stream,
        "seq": 1,
        "after": 0,
        "device": "mppt",
    }
    assert json.loads(setup.bus.backlog()[1])["device"] == "fridge"


def test_a_live_reading_goes_out_at_once_whatever_the_statistician_does(setup: Setup) -> None:
    for word in (b"offline", b"", b"online"):
        setup.statistician(word)
        before = len(setup.seqs())
        for _ in range(WINDOW + 10):
            setup.publisher.reading("mppt", {"voltage": setup.time.pass_(0.04)}, ts=NOON_MS)
        assert setup.seqs()[before:] == list(range(before + 1, before + WINDOW + 11))
    window = list(range(1, WINDOW + 1))
    assert setup.backlog() == [*window, *window], "once it came, and again when it did not move"


def test_no_reading_of_an_earlier_run_goes_live(setup: Setup, tmp_path: Path, time: FakeTime) -> None:
    setup.statistician(b"offline")
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.publisher.close()
    again = Setup(tmp_path, time)
    again.publisher.about("mppt", ABOUT)
    again.bus.published.clear()
    again.connect()
    assert (again.seqs(), again.backlog()) == ([], [1])
    again.publisher.reading("mppt", {"voltage": 2.0}, ts=NOON_MS)
    assert (again.seqs(), again.backlog()) == ([2], [1])


def test_what_a_device_remembered_is_never_live(setup: Setup) -> None:
    setup.publisher.reading("meter", {"energy": 1.0}, ts=NOON_MS - 60_000, late=True)
    setup.publisher.reading("meter", {"energy": 2.0}, ts=NOON_MS)
    setup.publisher.reading("meter", {"energy": 1.5}, ts=NOON_MS - 30_000, late=True)
    assert [json.loads(payload)["seq"] for payload in setup.bus.on("camper/state/meter")] == [2]
    assert setup.backlog() == [1, 3], "at once and once each: the order stays whole"
    setup.statistician(b"offline")
    setup.publisher.reading("meter", {"energy": 1.7}, ts=NOON_MS - 20_000, late=True)
    setup.publisher.reading("meter", {"energy": 3.0}, ts=NOON_MS)
    assert [json.loads(payload)["seq"] for payload in setup.bus.on("camper/state/meter")] == [2, 5]
    assert setup.backlog() == [1, 3]
    setup.connect()
    assert json.loads(setup.bus.on("camper/state/meter")[-1])["seq"] == 5, "the retained one is the newest"


def test_a_reading_that_did_not_go_out_at_once_goes_live_when_it_can(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.bus.answer = Sent.YES
    setup.publisher.settle(setup.time.pass_(1))
    assert (setup.seqs(), setup.backlog()) == ([1], [])


def test_health_tells_when_the_statistician_confirms_nothing(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    told = []
    for _ in range(0, 3 * 24 * 3600, 10):
        setup.publisher.settle(setup.time.pass_(10))
        if (text := setup.journal.problems.get("backlog")) and text not in told:
            told.append(text)
    assert told[1] == (
        "the statistician has confirmed nothing for 2 minutes: 1 readings wait, 1 of them on disk;"
        " look at its service"
    )
    spans = ["1 minute", "2 minutes", "5 minutes", "10 minutes", "30 minutes", "1 hour", "2 hours"]
    spans += ["6 hours", "12 hours", "1 day", "2 days", "3 days"]
    assert [text.partition(" for ")[2].partition(":")[0] for text in told] == spans
    setup.publisher.take(f"camper/watermark/{setup.outbox.stream}", b"1", setup.time.monotonic_s)
    setup.publisher.settle(setup.time.pass_(1))
    assert "backlog" not in setup.journal.problems


def test_without_a_broker_health_does_not_blame_the_statistician(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.journal.problem("broker", "no broker", NOON_MS)
    setup.publisher.settle(setup.time.pass_(300))
    assert "backlog" not in setup.journal.problems
    setup.journal.solved("broker")
    setup.publisher.settle(setup.time.pass_(1))
    assert "5 minutes" in setup.journal.problems["backlog"]


def test_a_broker_that_forgot_gets_the_newest_reading_again(setup: Setup) -> None:
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.publisher.take(f"camper/watermark/{setup.outbox.stream}", b"1", setup.time.monotonic_s)
    setup.publisher.connected(setup.time.monotonic_s)
    assert setup.seqs() == [1, 1]


def test_a_broker_that_was_away_gets_the_newest_live_and_what_waits_as_backlog(setup: Setup) -> None:
    for voltage in (1.0, 2.0):
        setup.publisher.reading("mppt", {"voltage": voltage}, ts=NOON_MS)
    setup.connect()
    assert (setup.seqs(), setup.backlog()) == ([1, 2, 2], [1, 2])
    assert all(p.retain for p in setup.bus.published if p.topic == STATE)


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
    assert setup.journal.counters["refused_messages"] == 4
    setup.publisher.take(topic, b"1", 0.0)
    assert setup.publisher.waiting == 0


def test_a_reading_too_large_for_the_broker_is_set_aside(setup: Setup) -> None:
    setup.bus.largest = 1000
    assert not setup.publisher.reading("mppt", {"note": "x" * 1000}, ts=NOON_MS)
    assert setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    assert setup.seqs() == [1]
    assert setup.journal.counters["refused_oversize_readings"] == 1
    assert setup.journal.last_error is not None


def test_a_broker_with_a_smaller_limit_cannot_block_what_follows(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"note": "x" * 1000}, ts=NOON_MS)
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    setup.bus.answer = Sent.YES
    setup.bus.takes = 500
    setup.connect()
    empty, whole = (json.loads(payload) for payload in setup.bus.backlog())
    assert empty == {"stream": setup.outbox.stream, "seq": 1, "after": 0, "device": "mppt"}
    assert (whole["voltage"], whole["seq"]) == (1.0, 2)
    assert setup.seqs() == [2]


@pytest.mark.parametrize("retained", [0, 1])
def test_a_live_reading_too_large_for_a_broker_holds_up_none(setup: Setup, retained: int) -> None:
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("note", {"note": "x" * 1000}, ts=NOON_MS)
    setup.bus.answer = Sent.YES
    # Another broker than the one that it was made for.
    setup.bus.largest, setup.bus.takes = (1000, 65536) if retained else (65536, 1000)
    setup.connect()
    setup.publisher.reading("mppt", {"voltage": 1.0}, ts=NOON_MS)
    assert setup.bus.on("camper/state/note") == []
    assert setup.seqs() == [2]


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


def test_what_still_waits_of_a_forgotten_device_is_sent_as_backlog_alone(setup: Setup) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.bus.answer = Sent.LATER
    setup.publisher.reading("mppt", {"voltage": 13.21}, ts=NOON_MS)
    setup.publisher.forget("mppt")
    setup.bus.answer = Sent.YES
    setup.connect()
    setup.connect()
    assert setup.bus.on(STATE) == [b"", b""]
    assert setup.backlog() == [1, 1]
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


def test_a_device_that_was_forgotten_without_a_broker_is_kept_in_the_file_until_it_is_cleared(
    setup: Setup,
) -> None:
    setup.publisher.about("mppt", ABOUT)
    setup.bus.answer = Sent.LATER
    setup.publisher.forget("mppt")
    setup.connect()
    assert setup.bus.retained.devices == ["mppt"], "a later run has to clear it"
    setup.bus.answer = Sent.YES
    setup.connect()
    assert setup.bus.retained.devices == []
    before = len(setup.bus.published)
    setup.connect()
    assert [p.topic for p in setup.bus.published[before:] if not p.payload] == [
        "camper/about/mppt",
        f"{STATE}/voltage",
        STATE,
        "camper/availability/mppt",
    ], "the broker may have begun again with an older file"


def test_a_new_home_assistant_hears_who_is_there_and_the_newest_readings_again(setup: Setup) -> None:
    announcer = Announcer(setup.bus, Topics(), service="collector_ble", chance=lambda: 0.0)
    publisher = Publisher(
        setup.bus, Topics(), setup.outbox, setup.time.clock, setup.journal, announcer=announcer
    )
    publisher.about("mppt", ABOUT)
    publisher.availability("mppt", online=True)
    publisher.reading("mppt", {"voltage": 13.0}, ts=NOON_MS)
    setup.bus.published.clear()
    publisher.take(HOME_ASSISTANT, b"online", setup.time.monotonic_s)
    publisher.settle(setup.time.pass_(1))
    assert [p.topic for p in setup.bus.published] == [
        "homeassistant/device/camper_mppt/config",
        "camper/availability/mppt",
        STATE,
    ]


def test_a_text_that_became_empty_is_cleared_once(setup: Setup) -> None:
    for note in ("x", "", "", "y"):
        setup.publisher.reading("mppt", {"note": note}, ts=NOON_MS)
    assert setup.bus.on(f"{STATE}/note") == [b"x", b"", b"y"]


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
    setup.publisher.forget("mppt")
    setup.connect()
    (again,) = setup.bus.backlog()
    assert sorted(json.loads(again)) == ["after", "device", "seq", "stream"]


@pytest.mark.parametrize("payload", [b"", b"{}", b"online", b"\xff", b'{"name": "Solar charger"}'])
def test_a_refused_message_that_is_no_reading_changes_nothing(setup: Setup, payload: bytes) -> None:
    setup.publisher.unpublished(Unpublished("camper/about/mppt", payload, "no", forever=True))
    assert setup.outbox.dead() == []
