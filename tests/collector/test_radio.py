"""The radio with the real bleak, on a private bus with a fake bluetoothd; its restart ladder."""

import gc
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

import pytest

from collector.transports.radio import (
    Advertisement,
    Event,
    Heard,
    Ladder,
    Radio,
    RadioGone,
    RadioState,
    Rung,
    Step,
)
from tests.collector.kinds import ble_kind
from tests.emulators import demo, victron
from tests.emulators.bluez import FakeBluez
from tests.emulators.dbus import PrivateBus

_SHUNT = "C0:11:22:33:44:55"
_KEY = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
_COMPANY = victron.COMPANY
_PHONE = 0x004C
_SOON = 10.0
_T = TypeVar("_T", bound=Event)


class Events:
    """What a radio emitted, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.seen: list[Event] = []
        self.emit = self._queue.put

    def until(self, wanted: type[_T]) -> _T:
        """The next event of that type; those before it are in `seen`."""
        end = time.monotonic() + _SOON
        while True:
            event = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            self.seen.append(event)
            if isinstance(event, wanted):
                return event

    def until_rung(self, rung: Rung) -> str:
        """The message of the next change to that rung."""
        while True:
            state = self.until(RadioState)
            if state.rung == rung:
                return state.message


class Bench:
    """A bus, a bluetoothd on it, and the radios started during a test."""

    def __init__(self, bus: PrivateBus, bluez: FakeBluez) -> None:
        self.bus = bus
        self.bluez = bluez
        self.events = Events()
        self.radios: list[Radio] = []

    def radio(self, *, mode: str = "active", silence: float = 90.0, patience: float = 5.0) -> Radio:
        """A started radio that is stopped with the test."""
        ladder = Ladder(silence=silence, first_retry=0.02, longest_retry=0.1)
        radio = Radio(
            "hci0",
            "passive" if mode == "passive" else "active",
            self.events.emit,
            ladder=ladder,
            patience=patience,
        )
        self.radios.append(radio)
        radio.start()
        return radio

    def hears(self) -> Advertisement:
        """Advertise, each time with new data, until the radio passes one on."""
        for number in range(100):
            assert self.bluez.wait_scanning(_SOON)
            data = b"\x10" + number.to_bytes(2, "big")
            if self.bluez.advertise(_SHUNT, {_COMPANY: data}):
                return self.events.until(Advertisement)
        raise AssertionError("the radio scans but nothing gets through")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with PrivateBus() as bus, FakeBluez(bus.address) as bluez:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        bench = Bench(bus, bluez)
        yield bench
        for radio in bench.radios:
            radio.stop()


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_values_arrive(bench: Bench, mode: str) -> None:
    bench.radio(mode=mode)
    assert bench.events.until_rung(Rung.SCANNING) == f"{mode} scan on hci0"
    assert bench.bluez.wait_scanning(_SOON)
    before = time.monotonic()
    says = victron.BatteryMonitor(voltage=13.27, current=-4.567, soc=87.3)
    record = victron.battery_monitor(says, _KEY, iv=7)
    assert bench.bluez.advertise(_SHUNT, {_COMPANY: record}, rssi=-71, name="House battery")
    heard = bench.events.until(Advertisement)
    assert (heard.address, heard.name, heard.rssi, heard.frames) == (
        _SHUNT,
        "House battery",
        -71,
        {_COMPANY: record},
    )
    assert before <= heard.at <= time.monotonic()
    values = ble_kind("victron_battery_monitor").decode(record, _KEY).values
    assert (values["voltage"], values["current"], values["soc"]) == (13.27, -4.567, 87.3)


def test_foreign_advertisements_are_told_once_a_second(bench: Bench) -> None:
    bench.radio()
    assert bench.bluez.wait_scanning(_SOON)
    before = time.monotonic()
    for number in range(200):
        bench.bluez.advertise(f"5A:00:00:00:00:{number:02X}", {_PHONE: b"\x10\x05"})
    bench.hears()
    heard = [event for event in bench.events.seen if isinstance(event, Heard)]
    assert 1 <= len(heard) <= 1 + (time.monotonic() - before)
    assert {event.address for event in bench.events.seen if isinstance(event, Advertisement)} == {_SHUNT}


def test_the_passive_scan_lets_nothing_foreign_through(bench: Bench) -> None:
    bench.radio(mode="passive")
    assert bench.bluez.wait_scanning(_SOON)
    assert not bench.bluez.advertise("5A:00:00:00:00:01", {_PHONE: b"\x10\x05"})
    assert "StartDiscovery" not in bench.bluez.calls


def test_a_withdrawn_signal_strength_is_not_an_advertisement(bench: Bench) -> None:
    bench.radio()
    assert bench.bluez.wait_scanning(_SOON)
    bench.bluez.advertise(_SHUNT, {_COMPANY: b"\x10one"})
    bench.bluez.forget_signal(_SHUNT)
    bench.bluez.advertise(_SHUNT, {_COMPANY: b"\x10two"})
    assert [bench.events.until(Advertisement).frames[_COMPANY] for _ in range(2)] == [b"\x10one", b"\x10two"]


def test_a_crowd_of_advertisements_arrives_whole(bench: Bench) -> None:
    bench.radio()
    assert bench.bluez.wait_scanning(_SOON)
    sent = [b"\x10" + number.to_bytes(2, "big") for number in range(1000)]
    for data in sent:
        assert bench.bluez.advertise(_SHUNT, {_COMPANY: data})
    assert [bench.events.until(Advertisement).frames[_COMPANY] for _ in sent] == sent


def test_a_failing_start_recovers(bench: Bench) -> None:
    bench.bluez.fail("StartDiscovery", "org.bluez.Error.NotReady", times=3)
    bench.radio()
    for _ in range(3):
        assert "bluetoothctl power on" in bench.events.until_rung(Rung.FAILED)
    bench.events.until_rung(Rung.SCANNING)
    bench.hears()


def test_a_start_whose_answer_is_lost_leaves_nothing_in_the_way(bench: Bench) -> None:
    bench.bluez.swallow("StartDiscovery", times=1)
    bench.radio(patience=0.3)
    assert "does not answer" in bench.events.until_rung(Rung.FAILED)
    bench.events.until_rung(Rung.SCANNING)
    bench.hears()


@pytest.mark.parametrize("member", ["GetManagedObjects", "StartDiscovery"])
def test_a_hanging_start_can_be_stopped(bench: Bench, member: str) -> None:
    bench.bluez.hang(member)
    radio = bench.radio(patience=1000)
    assert bench.bluez.wait_until(lambda: member in bench.bluez.calls, _SOON)
    began = time.monotonic()
    radio.stop()
    assert time.monotonic() - began < 10
    bench.events.until_rung(Rung.STOPPED)


def test_a_hanging_stop_is_bounded(bench: Bench) -> None:
    bench.bluez.hang("StopDiscovery")
    radio = bench.radio(patience=0.3)
    bench.events.until_rung(Rung.SCANNING)
    began = time.monotonic()
    radio.stop()
    assert time.monotonic() - began < 10
    bench.events.until_rung(Rung.STOPPED)


def test_a_stop_ends_the_scan_and_may_be_repeated(bench: Bench) -> None:
    radio = bench.radio()
    bench.events.until_rung(Rung.SCANNING)
    radio.stop()
    radio.stop()
    assert not bench.bluez.scanning
    assert bench.bluez.calls.count("StopDiscovery") == 1


def test_an_adapter_removed_and_plugged_in_again(bench: Bench) -> None:
    bench.radio()
    bench.hears()
    bench.bluez.remove_adapter()
    assert "hci0 was unplugged" in bench.events.until_rung(Rung.FAILED)
    assert "there is no adapter hci0" in bench.events.until_rung(Rung.FAILED)
    bench.bluez.add_adapter()
    bench.events.until_rung(Rung.SCANNING)
    bench.hears()


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_a_restarted_bluetoothd(bench: Bench, mode: str) -> None:
    bench.radio(mode=mode)
    bench.hears()
    bench.bluez.stop_daemon()
    assert "bluetoothd went away" in bench.events.until_rung(Rung.FAILED)
    assert "sudo systemctl start bluetooth" in bench.events.until_rung(Rung.FAILED)
    bench.bluez.start_daemon()
    bench.events.until_rung(Rung.SCANNING)
    bench.hears()


def test_a_deaf_adapter_is_switched_off_and_on(bench: Bench) -> None:
    bench.radio(silence=0.6)
    bench.hears()
    bench.bluez.silence()
    bench.events.until_rung(Rung.NEW_SCANNER)
    assert "Set" not in bench.bluez.calls
    bench.events.until_rung(Rung.POWER_CYCLE)
    bench.bluez.heal()
    bench.hears()
    assert bench.bluez.powered_history == (False, True)


def test_an_adapter_that_stays_deaf_ends_the_process(bench: Bench) -> None:
    bench.bluez.silence()
    bench.radio(silence=0.1)
    assert "hci0" in bench.events.until(RadioGone).message
    rungs = [event.rung for event in bench.events.seen if isinstance(event, RadioState)]
    assert rungs == ["scanning", "new_scanner", "scanning", "power_cycle", "scanning"]
    assert bench.bluez.powered_history == (False, True)


def test_a_failing_power_cycle_still_switches_on(bench: Bench) -> None:
    bench.bluez.silence()
    bench.bluez.swallow("Set", times=1)
    bench.radio(silence=0.4, patience=0.2)
    assert "does not answer" in bench.events.until_rung(Rung.FAILED)
    assert bench.bluez.powered_history == (False, True)


def test_a_dying_bus_is_survived_and_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.radio(silence=1.0)
    bench.events.until_rung(Rung.SCANNING)
    bench.hears()
    bench.bus.kill()
    assert "D-Bus ended" in bench.events.until_rung(Rung.FAILED)
    assert "D-Bus is not reachable" in bench.events.until_rung(Rung.FAILED)
    bench.events.until(RadioGone)
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(
    ("member", "error", "advice"),
    [
        ("StartDiscovery", "org.bluez.Error.InProgress", "restart bluetooth"),
        ("StartDiscovery", "org.bluez.Error.Failed", "library bleak failed: sudo systemctl restart"),
        ("GetManagedObjects", "org.freedesktop.DBus.Error.AccessDenied", "group bluetooth"),
        ("GetManagedObjects", "org.freedesktop.DBus.Error.ServiceUnknown", "systemctl start bluetooth"),
        ("SetDiscoveryFilter", "org.freedesktop.DBus.Error.UnknownObject", "bluetoothctl list"),
    ],
)
def test_a_failure_says_what_to_do(bench: Bench, member: str, error: str, advice: str) -> None:
    bench.bluez.fail(member, error)
    bench.radio()
    assert advice in bench.events.until_rung(Rung.FAILED)
    told = bench.events.seen[-1]
    assert isinstance(told, RadioState)
    assert told.told.endswith("(next attempt in 0.02 s)")


def test_a_bluetoothd_without_monitors_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateBus() as bus, FakeBluez(bus.address, experimental=False) as bluez:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        bench = Bench(bus, bluez)
        radio = bench.radio(mode="passive")
        assert 'mode = "active"' in bench.events.until_rung(Rung.FAILED)
        radio.stop()


class _BrokenLadder(Ladder):
    """A programming error on the radio's thread."""

    def step(self, now: float) -> Step:
        raise RuntimeError(f"broken at {now}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_radio_that_dies_of_a_bug_does_not_die_silently() -> None:
    events = Events()
    radio = Radio("hci0", "active", events.emit, ladder=_BrokenLadder())
    radio.start()
    assert "died" in events.until(RadioGone).message
    radio.stop()


def test_the_demos_van_reaches_the_radio(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateBus() as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        command = [sys.executable, "-m", "tests.emulators.demo", "--bus-address", bus.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            events = Events()
            radio = Radio("hci0", "active", events.emit)
            radio.start()
            heard = [events.until(Advertisement) for _ in range(12)]
            radio.stop()
            process.terminate()
    shunt = [event.frames[_COMPANY] for event in heard if event.address == demo.SHUNT_ADDRESS]
    mppt = [event.frames[_COMPANY] for event in heard if event.address == demo.MPPT_ADDRESS]
    assert len(set(shunt)) == len(set(mppt)) == 2
    decode = ble_kind("victron_battery_monitor").decode
    assert decode(shunt[0], bytes.fromhex(demo.SHUNT_KEY)).values["soc"] == pytest.approx(72, abs=0.2)


def test_importing_the_radio_needs_neither_bleak_nor_a_bus() -> None:
    code = (
        "import sys, collector.transports.radio\n"
        "sys.exit('bleak' in sys.modules or 'dbus_fast' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _started(now: float = 0.0) -> Ladder:
    ladder = Ladder()
    assert ladder.step(now) is Step.START
    ladder.started(now)
    return ladder


def test_a_radio_that_hears_is_left_alone() -> None:
    ladder = _started()
    for second in range(1000):
        ladder.heard(second)
        assert ladder.step(second + 0.5) is Step.WAIT
    assert ladder.rung == 0


def test_silence_climbs_new_scanner_then_power_cycle_then_exit() -> None:
    ladder = _started()
    seen = []
    for second in range(1, 400):
        step = ladder.step(second)
        if step is not Step.WAIT:
            seen.append((second, step))
            if step is Step.EXIT:
                break
            ladder.started(second)
    assert seen == [(90, Step.START), (180, Step.POWER_CYCLE), (270, Step.EXIT)]


def test_an_advertisement_brings_it_back_to_the_ground() -> None:
    ladder = _started()
    assert ladder.step(90) is Step.START
    ladder.started(90)
    assert ladder.step(180) is Step.POWER_CYCLE
    ladder.started(180)
    ladder.heard(200)
    assert ladder.rung == 0
    assert ladder.step(289.9) is Step.WAIT
    assert ladder.step(290) is Step.START


def test_failed_starts_are_retried_later_and_later_up_to_the_cap() -> None:
    ladder = Ladder(silence=10_000)
    now, delays = 0.0, []
    for _ in range(8):
        assert ladder.step(now) is Step.START
        delays.append(ladder.failed(now))
        assert ladder.step(now + delays[-1] * 0.99) is Step.WAIT
        now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_successful_start_forgets_the_failures() -> None:
    ladder = Ladder()
    for now in (0, 10, 20):
        ladder.step(now)
        ladder.failed(now)
    ladder.started(30)
    assert ladder.failed(31) == 1


def test_failing_starts_climb_by_the_same_clock() -> None:
    ladder = Ladder()
    now = 0.0
    seen: list[tuple[float, Step]] = []
    while not seen or seen[-1][1] is not Step.EXIT:
        step = ladder.step(now)
        if step in (Step.POWER_CYCLE, Step.EXIT):
            seen.append((now, step))
        if step in (Step.START, Step.POWER_CYCLE):
            ladder.failed(now)
        now += ladder.wait(now)
        assert now < 1000
    assert seen == [(180, Step.POWER_CYCLE), (270, Step.EXIT)]


def test_a_start_after_an_outage_has_the_whole_silence_to_hear_something() -> None:
    ladder = Ladder()
    ladder.step(0)
    ladder.failed(0)
    ladder.step(80)
    ladder.started(80)
    assert ladder.step(169) is Step.WAIT
    assert ladder.step(170) is Step.START


@pytest.mark.parametrize("heard", [0.1, 33.3, 1e6 + 0.7])
def test_after_the_named_wait_there_is_something_to_do(heard: float) -> None:
    ladder = _started()
    ladder.heard(heard)
    wait = ladder.wait(heard)
    assert wait == pytest.approx(90)
    assert ladder.step(heard + wait) is Step.START
