"""The BLE collector's service: frames in, readings, availability and problems out; time stands still."""

import json
from pathlib import Path

import pytest

from bus.announcer import Announcer
from bus.events import Connected, Message
from bus.health import Journal
from bus.outbox import Outbox
from bus.process import EXIT_RESTART, Stop
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Readings, owned_devices
from collector.listening import ListeningSource
from collector.service import Collector
from collector.transports.radio import Advertisement, Heard, RadioGone, RadioState, Rung
from config.model import Device, Settings
from tests.clock import FakeTime
from tests.emulators import victron
from tests.fake_bus import FakeBus

ADDRESS = "C0:11:22:33:44:55"
KEY = bytes(range(16))
STATE = "camper/state/shunt"
SETTINGS = Settings(
    device={
        "shunt": Device(
            kind="victron_battery_monitor", name="House battery", address=ADDRESS.lower(), key=KEY.hex()
        ),
        "mppt": Device(kind="victron_solar_charger", address="C0:11:22:33:44:66", key=KEY.hex()),
    }
)


class Setup:
    """A collector without a radio: the test is the radio."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.bus, self.time, self.journal = FakeBus(), time, Journal()
        self.asked: list[object] = []
        self.outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        announcer = Announcer(self.bus, Topics(), service="collector_ble")
        publisher = Publisher(self.bus, Topics(), self.outbox, time.clock, self.journal, announcer=announcer)
        devices = owned_devices(SETTINGS, "ble", time.monotonic_s)
        clock, journal = time.clock, self.journal
        readings = Readings(publisher, clock=clock, journal=journal)
        source = ListeningSource(readings, emit=self.asked.append)
        self.service = Collector(devices, source, readings, topics=Topics())
        self._iv = 0

    def hear(
        self, says: victron.BatteryMonitor, *, key: bytes = KEY, cut: int | None = None, rssi: int = -61
    ) -> None:
        """One advertisement of the shunt."""
        self._iv += 1
        self.hear_bytes(victron.battery_monitor(says, key, iv=self._iv)[:cut], rssi=rssi)

    def hear_bytes(self, data: bytes, address: str = ADDRESS, rssi: int = -61) -> None:
        """One advertisement, whatever it says."""
        self.service.handle(
            Advertisement(address, {victron.COMPANY: data}, "SmartShunt", rssi, self.time.monotonic_s)
        )

    def pass_(self, seconds: float) -> None:
        """Let time pass as the process's loop would."""
        self.service.tick(self.time.pass_(seconds))

    def readings(self) -> list[dict[str, object]]:
        """The shunt's readings on the wire."""
        return [json.loads(payload) for payload in self.bus.on(STATE)]


@pytest.fixture
def setup(tmp_path: Path, time: FakeTime) -> Setup:
    return Setup(tmp_path, time)


def test_every_device_is_described_from_the_start(setup: Setup) -> None:
    (about,) = (json.loads(payload) for payload in setup.bus.on("camper/about/shunt"))
    assert about["name"] == "House battery"
    assert about["manufacturer"] == "Victron Energy"
    assert about["entities"]["soc"]["device_class"] == "battery"
    assert "starter_voltage" not in about["entities"], "until the device has one"
    assert json.loads(setup.bus.on("camper/about/mppt")[0])["name"] == "Mppt"


def test_a_frame_becomes_a_reading_dated_by_its_reception(setup: Setup) -> None:
    frame = victron.battery_monitor(victron.BatteryMonitor(voltage=13.2, current=-4.5, soc=87.5), KEY)
    heard_at = setup.time.monotonic_s
    setup.time.pass_(2.5)
    setup.service.handle(Advertisement(ADDRESS, {victron.COMPANY: frame}, None, -61, heard_at))
    (reading,) = setup.readings()
    assert reading["ts"] == "2026-11-21T12:00:00.000Z"
    assert (reading["voltage"], reading["current"], reading["soc"], reading["rssi"]) == (
        13.2,
        -4.5,
        87.5,
        -61,
    )
    assert setup.bus.on("camper/availability/shunt") == [b"online"]


def test_what_an_auxiliary_input_is_appears_when_it_is_used(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(aux_mode=victron.AUX_TEMPERATURE, aux=0.0))
    about = json.loads(setup.bus.on("camper/about/shunt")[-1])
    assert about["entities"]["temperature"]["unit"] == "°C"
    assert about["model"] == "SmartShunt 500A/50mV"
    assert setup.readings()[0]["temperature"] == 0.0


def test_a_signal_that_wanders_makes_no_reading_and_rides_along(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(voltage=13.2))
    setup.pass_(10)
    setup.hear(victron.BatteryMonitor(voltage=13.2), rssi=-90)
    assert [reading["rssi"] for reading in setup.readings()] == [-61]
    setup.hear(victron.BatteryMonitor(voltage=13.3), rssi=-75)
    assert [reading["rssi"] for reading in setup.readings()] == [-61, -75]


def test_silence_is_offline_and_unknown_and_a_problem_until_it_returns(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(voltage=13.2, soc=None))
    setup.pass_(59)
    assert setup.bus.on("camper/availability/shunt") == [b"online"]
    setup.pass_(1)
    assert setup.bus.on("camper/availability/shunt") == [b"online", b"offline"]
    last = setup.readings()[-1]
    assert last["voltage"] is None
    assert last["ts"] == "2026-11-21T12:01:00.000Z"
    assert "nothing heard" in setup.journal.problems["device.shunt"]
    setup.hear(victron.BatteryMonitor(voltage=13.1))
    assert setup.bus.on("camper/availability/shunt")[-1] == b"online"
    assert "device.shunt" not in setup.journal.problems


def test_a_wrong_key_names_the_device_and_the_silence_does_not_hide_it(setup: Setup) -> None:
    for _ in range(3):
        assert setup.journal.problems == {}, "one record may be another's"
        setup.hear(victron.BatteryMonitor(), key=b"\xff" * 16)
    assert "key" in setup.journal.problems["device.shunt"]
    setup.pass_(61)
    assert "key" in setup.journal.problems["device.shunt"]
    assert setup.bus.on("camper/availability/shunt") == [b"offline"]
    assert setup.readings() == []


def test_a_wrong_key_with_the_right_first_byte_is_found_out_and_writes_nothing(setup: Setup) -> None:
    wrong = KEY[:1] + b"\xa5" * 15
    for _ in range(60):
        setup.hear(victron.BatteryMonitor(voltage=13.2, current=1.0, soc=80.0), key=wrong)
        setup.pass_(1)
    assert "first byte" in setup.journal.problems["device.shunt"]
    assert setup.readings() == []
    setup.hear(victron.BatteryMonitor(voltage=13.2))
    assert setup.readings() == [], "one that fits may be chance"
    for voltage in (13.21, 13.22):
        setup.hear(victron.BatteryMonitor(voltage=voltage))
    assert setup.readings()[-1]["voltage"] == 13.22


def test_cut_frames_are_counted_and_change_nothing(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(voltage=13.2))
    for cut in range(23):
        setup.hear(victron.BatteryMonitor(voltage=10.0), cut=cut)
    assert len(setup.readings()) == 1
    assert setup.journal.counters["refused_frames.shunt"] == 23
    assert setup.journal.problems == {}


def test_the_wrong_kind_is_said(setup: Setup) -> None:
    for _ in range(3):
        setup.hear_bytes(victron.solar_charger(victron.SolarCharger(), KEY))
    assert "it is a solar charger" in setup.journal.problems["device.shunt"]


STRANGE = victron.seal(bytes(16), KEY, readout_type=0x10, model_id=0xA389, iv=1)
FOREIGN = victron.battery_monitor(victron.BatteryMonitor(), b"\xff" * 16)


@pytest.mark.parametrize("odd", [(STRANGE,), (FOREIGN,), (STRANGE, FOREIGN), (STRANGE,) * 5, (b"\x02\x00",)])
@pytest.mark.parametrize("first", ["good", "odd"])
def test_odd_records_between_good_ones_are_counted_and_told_once(
    setup: Setup, caplog: pytest.LogCaptureFixture, odd: tuple[bytes, ...], first: str
) -> None:
    caplog.set_level("INFO")
    problems: set[str] = set()
    for pair in range(120):
        if first == "odd" and not pair:
            setup.hear_bytes(odd[0])
        setup.hear(victron.BatteryMonitor(voltage=13.0 + pair / 100))
        for record in odd:
            setup.hear_bytes(record)
            problems |= setup.journal.problems.keys()
        setup.pass_(1.0)
    assert "device.shunt" not in problems, "no alarm"
    assert len(setup.readings()) == 120, "every good value flows"
    assert setup.journal.counters["refused_frames.shunt"] == 120 * len(odd) + (first == "odd")
    kinds = {STRANGE: "records of type 0x10", FOREIGN: "records of another key"}
    told = [kinds[record] for record in dict.fromkeys(odd) if record in kinds]
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith("shunt")] == [
        f"shunt says what nobody reads: {what} (told once)" for what in told
    ]
    assert setup.journal.facts.get("unread.shunt", "") == ", ".join(told)


def test_a_device_that_was_well_and_gets_another_key_is_told_once_it_is_silent(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor())
    for _ in range(70):
        setup.hear_bytes(FOREIGN)
        setup.pass_(1.0)
    assert "the key is not this device's" in setup.journal.problems["device.shunt"]
    setup.hear(victron.BatteryMonitor())
    assert "device.shunt" not in setup.journal.problems


def test_a_single_record_of_another_key_is_the_reason_of_a_silence(setup: Setup) -> None:
    setup.hear_bytes(FOREIGN)
    setup.pass_(59)
    assert setup.journal.problems == {}
    setup.pass_(1)
    assert "the key is not this device's" in setup.journal.problems["device.shunt"]
    assert "nothing heard" in setup.journal.problems["device.mppt"]
    assert setup.bus.on("camper/availability/shunt") == [b"offline"]


def test_a_single_odd_record_of_a_silent_device_accuses_nobody(setup: Setup) -> None:
    for record in (FOREIGN, FOREIGN):
        setup.hear_bytes(record)
    setup.hear(victron.BatteryMonitor())
    setup.pass_(61)
    assert "nothing heard" in setup.journal.problems["device.shunt"]
    setup.hear_bytes(FOREIGN)
    assert "nothing heard" in setup.journal.problems["device.shunt"], "one may be another's"


def test_what_nobody_reads_is_bounded_and_forgotten_with_its_device(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor())
    for number in range(0x10, 0x80):
        setup.hear_bytes(victron.seal(bytes(16), KEY, readout_type=number, model_id=0xA389, iv=1))
    assert len(setup.journal.facts["unread.shunt"].split(", ")) == 16
    assert setup.journal.counters["unread.shunt"] == 0x70
    setup.service.remove("shunt")
    assert "unread.shunt" not in setup.journal.facts


def test_other_peoples_victrons_are_counted_only(setup: Setup) -> None:
    setup.hear_bytes(b"\x10\x02", address="AA:AA:AA:AA:AA:AA")
    assert setup.journal.counters["ignored_unconfigured_frames"] == 1
    assert setup.readings() == []


def test_a_watermark_empties_the_outbox_and_a_connect_sends_again(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(voltage=13.2))
    setup.service.handle(Connected(1))
    assert [r["seq"] for r in setup.readings()] == [1, 1]
    topic = f"camper/watermark/{setup.outbox.stream}"
    setup.service.handle(Message(topic, b"1", 1, retain=True, mid=1, generation=1))
    assert setup.service.waiting() == 0


def test_the_radio_s_ladder_shows_in_health(setup: Setup) -> None:
    setup.service.handle(RadioState(Rung.FAILED, "bluetoothd is not running"))
    assert setup.journal.problems["radio"] == "bluetoothd is not running"
    setup.service.handle(RadioState(Rung.SCANNING, "active scan on hci0"))
    assert "radio" not in setup.journal.problems
    assert setup.journal.facts["radio"] == "scanning: active scan on hci0"
    setup.service.handle(RadioState(Rung.POWER_CYCLE, "hci0 goes off and on"))
    assert setup.journal.counters["radio_power_cycle"] == 1
    setup.service.handle(Heard(0.0))
    setup.service.handle(RadioGone("nothing heard on hci0"))
    assert setup.asked == [Stop(EXIT_RESTART, "nothing heard on hci0")]


def test_a_home_assistant_that_starts_is_told_everything_again(setup: Setup) -> None:
    setup.hear(victron.BatteryMonitor(voltage=13.2))
    config = "homeassistant/device/camper_shunt/config"
    before, announced = len(setup.bus.on(STATE)), len(setup.bus.on(config))
    for topic, payload in (
        (f"camper/watermark/{setup.outbox.stream}", b"1"),
        ("homeassistant/status", b"online"),
    ):
        setup.service.handle(Message(topic, payload, qos=1, retain=False, mid=1, generation=1))
    setup.pass_(6)
    assert len(setup.bus.on(config)) == announced + 1
    assert setup.bus.on("camper/availability/shunt") == [b"online", b"online"]
    assert len(setup.bus.on(STATE)) == before + 1
