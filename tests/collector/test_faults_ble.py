"""The radio of a real collector on a real D-Bus with a fake bluetoothd, and all that happens to them."""

import queue
import time as real_time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbus_fast import Variant

from bus.clock import Clock
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Readings, owned_devices
from collector.listening import ListeningSource
from collector.service import Collector
from collector.transports.radio import Event, Ladder, Radio, RadioState, Rung
from config.model import Device, Settings
from tests.clock import NOON_MS
from tests.emulators import victron
from tests.emulators.bluez import FakeBluez
from tests.emulators.bluez_objects import ADAPTER, DEVICE, OBJECT_MANAGER, PROPERTIES
from tests.emulators.dbus import PrivateBus
from tests.fake_bus import FakeBus
from tests.open_files import open_files

ADDRESS = "C0:11:22:33:44:55"
KEY = bytes(range(16))
SHUNT = Device(kind="victron_battery_monitor", address=ADDRESS, key=KEY.hex(), timeout=60)
HCI0, HCI1 = "/org/bluez/hci0", "/org/bluez/hci1"
FIRST_RETRY, LAST_RETRY = 0.02, 0.1
# Long enough for a busy machine; far below the watchdog, which must not be what finds a fault.
SOON, WATCHDOG = 20.0, 86_400.0


class Van:
    """A collector with its radio; time runs, and a test moves it on."""

    def __init__(self, folder: Path, dbus: PrivateBus, bluez: FakeBluez) -> None:
        self.dbus, self.bluez = dbus, bluez
        self.states: list[RadioState] = []
        self.asked: list[object] = []
        self._ahead, self._iv, self._spoken = 0.0, 0, 0.0
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.bus, self.journal = FakeBus(), Journal()
        clock = Clock(lambda: NOON_MS, self.now, lambda: "ok")
        outbox = Outbox(folder / "run", folder / "disk", "collector_ble")
        publisher = Publisher(self.bus, Topics(), outbox, clock, self.journal)
        readings = Readings(publisher, clock=clock, journal=self.journal)
        devices = owned_devices(Settings(device={"shunt": SHUNT}), "ble", self.now())
        source = ListeningSource(readings, emit=self.asked.append)
        self.service = Collector(devices, source, readings, topics=Topics())
        self.radio: Radio | None = None

    def now(self) -> float:
        """Monotonic seconds."""
        return real_time.monotonic() + self._ahead

    def start(self, mode: str = "active") -> None:
        """Switch the radio on."""
        ladder = Ladder(silence=WATCHDOG, first_retry=FIRST_RETRY, longest_retry=LAST_RETRY)
        self.radio = Radio(
            "hci0",
            "passive" if mode == "passive" else "active",
            self._events.put,
            ladder=ladder,
            patience=SOON,
            monotonic=self.now,
        )
        self.radio.start()

    def stop(self) -> None:
        """Switch it off."""
        if self.radio is not None:
            self.radio.stop()

    def until(self, done: Callable[[], bool]) -> None:
        """Handle the radio's events until it is so."""
        end = real_time.monotonic() + SOON
        while not done():
            try:
                event = self._events.get(timeout=max(0.0, end - real_time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"{self.journal.problems}, {self.journal.facts}") from None
            if isinstance(event, RadioState):
                self.states.append(event)
            self.service.handle(event)

    def pass_(self, seconds: float) -> None:
        """Let time pass, for the service and for the radio."""
        self._ahead += seconds
        self.service.tick(self.now())

    def silent_for(self, seconds: float) -> None:
        """Let time pass until the shunt spoke so long ago, however long the test took until now."""
        self.pass_(self._spoken + seconds - self.now())

    def hears(self) -> None:
        """The shunt advertises until it is online."""
        before = self.journal.counters["frames"]
        self.until(lambda: self.scans)
        assert self.bluez.wait_scanning(SOON)
        self._iv += 1
        says = victron.battery_monitor(victron.BatteryMonitor(voltage=13.2), KEY, iv=self._iv)
        self._spoken = self.now()
        assert self.bluez.advertise(ADDRESS, {0x02E1: says})
        self.until(lambda: self.journal.counters["frames"] > before)
        self.pass_(1.0)
        assert self.online

    @property
    def scans(self) -> bool:
        """Whether the radio says so."""
        return bool(self.states) and self.states[-1].rung == Rung.SCANNING

    @property
    def online(self) -> bool:
        """What the shunt's availability says."""
        return self.bus.on("camper/availability/shunt")[-1:] == [b"online"]

    @property
    def trouble(self) -> str:
        """What health says of the radio."""
        return self.journal.problems.get("radio", "")


@pytest.fixture
def van(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Van]:
    with PrivateBus() as dbus, FakeBluez(dbus.address) as bluez:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", dbus.address)
        van = Van(tmp_path, dbus, bluez)
        yield van
        van.stop()


def restart_dbus(van: Van) -> None:
    """At the same address; bluetoothd is started anew too, for it cannot live without."""
    van.bluez.stop_daemon()
    van.dbus.start()
    van.bluez.start_daemon()


@dataclass(frozen=True)
class Fault:
    """How it begins and ends, what is said if a scan ran, and what as long as it lasts."""

    begins: Callable[[Van], None]
    ends: Callable[[Van], None]
    at_once: str
    later: str


FAULTS = {
    "adapter unplugged": Fault(
        lambda van: van.bluez.remove_adapter(),
        lambda van: van.bluez.add_adapter(),
        "hci0 was unplugged",
        "there is no adapter hci0",
    ),
    "bluetoothd killed": Fault(
        lambda van: van.bluez.stop_daemon(),
        lambda van: van.bluez.start_daemon(),
        "bluetoothd went away",
        "sudo systemctl start bluetooth",
    ),
    "D-Bus restarted": Fault(
        lambda van: van.dbus.kill(), restart_dbus, "the system D-Bus ended", "D-Bus is not reachable"
    ),
    "switched off": Fault(
        lambda van: van.bluez.power(on=False),
        lambda van: van.bluez.power(on=True),
        "hci0 is switched off",
        "bluetoothctl power on",
    ),
}
# Only the start of a scan meets these: what fails, how, and what is said.
REFUSALS = {
    "rfkill": ("StartDiscovery", "org.bluez.Error.NotReady", "rfkill unblock bluetooth"),
    "not allowed": ("GetManagedObjects", "org.freedesktop.DBus.Error.AccessDenied", "group bluetooth"),
    "not allowed to scan": ("StartDiscovery", "org.freedesktop.DBus.Error.AccessDenied", "group bluetooth"),
    "scan in the way": ("StartDiscovery", "org.bluez.Error.InProgress", "busy with a scan"),
}


def goes_offline(van: Van, why: str) -> None:
    van.silent_for(57.0)
    assert van.online
    # It was heard at most so long after it spoke.
    van.silent_for(60.0 + SOON)
    assert not van.online
    assert f"the radio does not work: {why}" in van.journal.problems["device.shunt"]


def is_well(van: Van) -> None:
    van.hears()
    assert not [about for about in van.journal.problems if about != "backlog"]
    assert van.asked == [], "nobody had to be restarted"
    assert {state.rung for state in van.states} <= {Rung.SCANNING, Rung.FAILED}, "the watchdog slept"


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_scan_that_ends_is_known_at_once_and_begins_again_by_itself(van: Van, name: str, mode: str) -> None:
    fault = FAULTS[name]
    van.start(mode)
    van.hears()
    fault.begins(van)
    van.until(lambda: not van.scans)
    assert fault.at_once in van.trouble
    van.until(lambda: fault.later in van.trouble)
    van.until(lambda: van.journal.counters["radio_failed"] >= 6)
    assert [state.retry_in for state in van.states[1:7]] == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]
    goes_offline(van, van.states[-1].message)
    fault.ends(van)
    is_well(van)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_from_the_start_is_told_and_ends_by_itself(van: Van, name: str) -> None:
    fault = FAULTS[name]
    fault.begins(van)
    van.start()
    van.until(lambda: fault.later in van.trouble)
    fault.ends(van)
    is_well(van)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_scan_that_is_refused_is_told_and_tried_until_it_is_not(van: Van, name: str) -> None:
    member, error, why = REFUSALS[name]
    van.bluez.fail(member, error)
    van.start()
    van.until(lambda: why in van.trouble)
    van.pass_(61.0)
    assert not van.online
    assert why in van.journal.problems["device.shunt"]
    van.bluez.heal()
    is_well(van)


@pytest.mark.parametrize("member", ["GetManagedObjects", "StartDiscovery", "Get"])
def test_a_bus_that_dies_while_a_scan_starts_is_named(van: Van, member: str) -> None:
    van.bluez.hang(member)
    van.start()
    assert van.bluez.wait_until(lambda: member in van.bluez.calls, SOON)
    van.dbus.kill()
    van.until(lambda: bool(van.states))
    assert "system D-Bus" in van.trouble
    van.bluez.heal()
    restart_dbus(van)
    is_well(van)


def test_a_device_that_was_silent_before_the_radio_failed_keeps_its_reason(van: Van) -> None:
    van.start()
    van.hears()
    van.pass_(61.0)
    van.bluez.remove_adapter()
    van.until(lambda: "unplugged" in van.trouble)
    van.pass_(61.0)
    assert "is it in range" in van.journal.problems["device.shunt"]


def test_a_scan_that_somebody_ended_is_begun_again(van: Van, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.transports.bluez._SCAN_BACK_WITHIN", 0.1)
    van.start()
    van.hears()
    van.bluez.end_scans()
    van.until(lambda: "the scan on hci0 was ended" in van.trouble)
    is_well(van)


def properties(path: str, interface: str, **changed: bool) -> tuple[str, str, str, str, list[object]]:
    variants = {name: Variant("b", value) for name, value in changed.items()}
    return path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, variants, []]


def removed(path: str, *interfaces: str) -> tuple[str, str, str, str, list[object]]:
    return "/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)]


@pytest.mark.parametrize(
    ("mode", "signals"),
    [
        ("active", [properties(HCI1, ADAPTER, Powered=False), removed(HCI1, ADAPTER)]),
        ("active", [removed(f"{HCI0}/dev_5A_00_00_00_00_01", DEVICE), removed("/org/bluez/hci", ADAPTER)]),
        ("active", [removed(HCI0, "org.bluez.BatteryProviderManager1")]),
        ("active", [properties(HCI0, "org.bluez.Media1", Powered=False)]),
        ("active", [properties(HCI0, ADAPTER, Powered=True, Pairable=False)]),
        (
            "active",
            [properties(HCI0, ADAPTER, Discovering=False), properties(HCI0, ADAPTER, Discovering=True)],
        ),
        ("passive", [properties(HCI0, ADAPTER, Discovering=False)]),
    ],
    ids=[
        "other adapter",
        "device",
        "other interface",
        "other properties",
        "power",
        "a pause",
        "not our scan",
    ],
)
def test_what_is_not_the_scan_s_end_leaves_it_alone(
    van: Van,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    signals: list[tuple[str, str, str, str, list[object]]],
) -> None:
    monkeypatch.setattr("collector.transports.bluez._SCAN_BACK_WITHIN", 0.2)
    van.start(mode)
    van.hears()
    for signal in signals:
        van.bluez.tell(*signal)
    until = real_time.monotonic() + 0.4
    while real_time.monotonic() < until:
        van.hears()
    # What comes last on the bus is what was told first: nothing before it counted.
    van.bluez.stop_daemon()
    van.until(lambda: not van.scans)
    assert "bluetoothd went away" in van.trouble
    assert len(van.states) == 2


def test_an_outage_leaks_nothing(van: Van) -> None:
    van.bluez.fail("StartDiscovery", "org.bluez.Error.NotReady")
    van.start()
    van.until(lambda: van.journal.counters["radio_failed"] >= 5)
    before = len(open_files())
    van.until(lambda: van.journal.counters["radio_failed"] >= 25)
    assert len(open_files()) <= before + 4


def test_the_radio_can_be_stopped_in_every_fault(van: Van) -> None:
    van.start()
    for fault in FAULTS.values():
        van.hears()
        fault.begins(van)
        van.until(lambda: not van.scans)
        fault.ends(van)
    van.dbus.kill()
    van.until(lambda: "not reachable" in van.trouble)
    began = real_time.monotonic()
    van.stop()
    assert real_time.monotonic() - began < SOON
    van.until(lambda: van.states[-1].rung == Rung.STOPPED)
