"""Connections on the real bleak, a real D-Bus and a fake bluetoothd: from a BMS's bytes to its state."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.commands import Switch
from collector.checking import conflicts, mistakes
from collector.direct import open_device
from collector.transports import gatt
from collector.transports.radio import Rung
from config.model import Device, Settings
from tests.collector.air import SOON, Air
from tests.emulators import bms
from tests.emulators.bluez import FakeBluez
from tests.emulators.bluez_objects import ADAPTER, PROPERTIES
from tests.emulators.bms import Cells, Jbd, Jk, LiTime, ModbusTwin, Twin
from tests.emulators.dbus import PrivateBus
from tests.emulators.epever import LOAD_COIL, Tracer
from tests.open_files import open_files

ADDRESS, OTHER = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"
Make = Callable[..., Air]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[Air] = []
    # What is only waited for.
    monkeypatch.setattr(gatt, "_HEARD_S", 2.0)
    monkeypatch.setattr(gatt, "_LOOK_S", 0.05)
    monkeypatch.setattr(gatt, "_CONNECT_S", 5.0)
    with PrivateBus() as dbus, FakeBluez(dbus.address) as bluez:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", dbus.address)

        def one(devices: dict[str, Device], peripherals: dict[str, Twin], **options: object) -> Air:
            for address, peripheral in peripherals.items():
                bluez.place(address, peripheral)
            air = Air(tmp_path / str(len(made)), dbus, bluez, devices, **options)  # type: ignore[arg-type]  # as Air says
            made.append(air)
            air.start()
            return air

        yield one
        for air in made:
            air.stop()


def battery(kind: str = "bms_jbd", address: str = ADDRESS, **settings: object) -> Device:
    return Device(kind=kind, address=address, heartbeat=1.0, min_interval=0.0, timeout=60.0, **settings)  # type: ignore[arg-type]  # as Device says


@pytest.mark.parametrize(("kind", "twin"), bms.every(), ids=lambda one: one if isinstance(one, str) else "")
def test_each_family_speaks_through_bluez(make: Make, kind: str, twin: Twin) -> None:
    air = make({"battery": battery(kind)}, {ADDRESS: twin})
    air.polled("battery", 2)
    said = air.said("battery")[-1]
    assert said["battery_voltage"] == 13.2
    assert said["battery_current"] == -5.5
    assert said["battery_power"] == -72.6
    assert said["battery_soc"] == 76
    assert said["cell_voltage_1"] == pytest.approx(3.301, abs=0.05 if kind == "bms_renogy" else 1e-6)
    assert air.online("battery")
    assert air.bluez.connects == 1, "the connection is kept"
    twin.says = Cells(current=12.25, soc=77, left=77)
    air.until(lambda: air.said("battery")[-1]["battery_soc"] == 77, pace=1.0)
    assert air.said("battery")[-1]["battery_current"] == pytest.approx(12.25, abs=0.06)


def test_about_tells_of_as_many_cells_and_sensors_as_there_are(make: Make) -> None:
    cells = Cells(cells=[3.3] * 16, degrees=(20.0, 21.0, 22.0))
    air = make({"battery": battery()}, {ADDRESS: Jbd(cells)})
    air.polled("battery")
    about = air.about("battery")
    assert {f"cell_voltage_{n}" for n in range(1, 17)} <= about.keys()
    assert "cell_voltage_17" not in about
    assert {"battery_temperature_3", "alarm_short_circuit", "charge_mosfet"} <= about.keys()
    assert not any(entity.get("command") for entity in about.values()), "nothing switches a battery off"


def test_a_lost_connection_comes_back_without_a_word(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()})
    air.polled("battery")
    air.bluez.drop(ADDRESS)
    air.polled("battery")
    assert air.bluez.connects == 2
    assert not air.problem("battery")


def test_a_connection_that_is_lost_in_mid_frame_comes_back(make: Make) -> None:
    twin = Jbd()
    air = make({"battery": battery()}, {ADDRESS: twin})
    air.polled("battery")
    twin.cut = lambda: air.bluez.drop_soon(ADDRESS)
    air.until(lambda: air.bluez.connects == 2, pace=1.0)
    air.polled("battery")
    assert air.journal.counters["failed_polls.battery"] == 1
    assert not air.problem("battery")


def test_the_end_of_a_connection_is_known_before_the_answer_is_late(make: Make) -> None:
    twin = bms.Topband()
    air = make({"battery": battery("bms_topband", every=0.2)}, {ADDRESS: twin})
    air.polled("battery")
    twin.mute = 1_000_000
    air.bluez.drop_soon(ADDRESS)
    began = time.monotonic()
    air.until(lambda: air.journal.counters["failed_polls.battery"] > 0)
    assert time.monotonic() - began < 5.0, "a question may wait for ten"


@dataclass(frozen=True)
class Fault:
    """How it begins and ends, and what the battery's owner is told."""

    begins: Callable[[Air], object]
    ends: Callable[[Air], object]
    told: str


def _restart_dbus(air: Air) -> None:
    air.bluez.stop_daemon()
    air.dbus.start()
    air.bluez.start_daemon()


FAULTS = {
    "adapter unplugged": Fault(
        lambda air: air.bluez.remove_adapter(),
        lambda air: air.bluez.add_adapter(),
        "there is no adapter hci0",
    ),
    "bluetoothd killed": Fault(
        lambda air: air.bluez.stop_daemon(), lambda air: air.bluez.start_daemon(), "start bluetooth"
    ),
    "D-Bus restarted": Fault(lambda air: air.dbus.kill(), _restart_dbus, "D-Bus"),
    "switched off": Fault(
        lambda air: air.bluez.power(on=False), lambda air: air.bluez.power(on=True), "bluetoothctl power on"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_radio_is_told_and_ends_by_itself(make: Make, name: str) -> None:
    fault = FAULTS[name]
    air = make({"battery": battery(), "second": battery("bms_jk", OTHER)}, {ADDRESS: Jbd(), OTHER: Jk()})
    air.polled("battery")
    air.polled("second")
    fault.begins(air)
    air.until(lambda: fault.told in air.problem("battery") and fault.told in air.problem("second"), pace=1.0)
    fault.ends(air)
    air.polled("battery")
    air.polled("second")
    assert not air.problem("battery")
    assert {state.rung for state in air.states} == {Rung.SCANNING, Rung.FAILED}, "the watchdog slept"


def test_a_device_that_takes_no_connection_is_told_and_tried_until_it_does(make: Make) -> None:
    twin = Jbd(refuses="le-connection-refused")
    air = make({"battery": battery()}, {ADDRESS: twin})
    air.until(lambda: "takes no connection" in air.problem("battery"), pace=1.0)
    assert "close the app on your phone" in air.problem("battery")
    twin.refuses = None
    air.polled("battery")
    assert not air.problem("battery")


def test_a_device_that_a_phone_holds_is_not_heard_and_that_is_told(make: Make) -> None:
    twin = Jbd(asleep=True)
    air = make({"battery": battery()}, {ADDRESS: twin})
    air.until(lambda: "is not heard" in air.problem("battery"), pace=1.0)
    assert "Connect" not in air.bluez.calls
    twin.asleep = False
    air.polled("battery")


def test_the_scan_is_stopped_where_a_connection_needs_that(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd(needs_quiet=True)})
    air.polled("battery")
    assert air.bluez.calls.count("Connect") == 2
    air.until(lambda: air.bluez.scanning)
    assert [state.rung for state in air.states] == [Rung.SCANNING], "the scan goes on as it was"
    assert air.bluez.calls.count("StopDiscovery") == 1


def test_a_pause_of_the_scan_while_connecting_is_not_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.transports.bluez._SCAN_BACK_WITHIN", 0.1)
    from dbus_fast import Variant  # noqa: PLC0415 — only here

    air = make({}, {ADDRESS: Jbd()})
    air.until(lambda: bool(air.states))

    def discovering(*, on: bool) -> None:
        changed = {"Discovering": Variant("b", on)}
        air.bluez.tell("/org/bluez/hci0", PROPERTIES, "PropertiesChanged", "sa{sv}as", [ADAPTER, changed, []])

    async def pausing(session: gatt._Session) -> None:
        import asyncio  # noqa: PLC0415 — only here

        async with session.still(False):  # noqa: FBT003 — as it is called
            discovering(on=False)
            await asyncio.sleep(0.5)
            discovering(on=True)
            await asyncio.sleep(0.1)

    air.radio.connections.run(pausing, 5.0)
    air.until(lambda: True)
    assert [state.rung for state in air.states] == [Rung.SCANNING]
    discovering(on=False)
    air.until(lambda: air.states[-1].rung == Rung.FAILED)


def test_a_wrong_kind_is_told_with_what_the_device_has(make: Make) -> None:
    air = make({"battery": battery("bms_daly")}, {ADDRESS: Jbd()})
    air.until(lambda: bool(air.problem("battery")), pace=1.0)
    assert "has no characteristic fff1, but ff01, ff02: is its kind right?" in air.problem("battery")
    assert not air.bluez.is_connected(ADDRESS), "others may connect to it"


def test_a_question_that_gets_lost_is_no_trouble_and_silence_is(make: Make) -> None:
    twin = LiTime()
    air = make({"battery": battery("bms_litime", every=1.0)}, {ADDRESS: twin})
    air.polled("battery")
    twin.mute = 1
    air.until(lambda: air.journal.counters["failed_polls.battery"] == 1, pace=0.05)
    assert not air.problem("battery")
    air.polled("battery")
    twin.mute = 3
    air.until(lambda: "does not answer" in air.problem("battery"), pace=0.05)
    air.polled("battery")
    assert air.bluez.connects == 2, "after three silences it was connected anew"
    assert set(twin.commands) == {0x13}, "nothing else is ever sent to it"


def test_one_is_connected_after_the_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatt, "_CONNECT_S", 1.5)
    air = make({}, {})
    air.bluez.hang("Connect", times=1)
    both = make(
        {"one": battery(), "two": battery("bms_jk", OTHER)},
        {ADDRESS: Jbd(), OTHER: Jk()},
    )
    both.until(lambda: "Connect" in air.bluez.calls, pace=0.1)
    began = time.monotonic()
    both.until(lambda: time.monotonic() - began > 0.5)
    assert air.bluez.calls.count("Connect") == 1
    both.polled("one")
    both.polled("two")


def test_an_adapter_that_connects_to_nothing_is_switched_off_and_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatt, "_TRIES_TO_STUCK", 3)
    twin = Jbd(refuses="le-connection-unknown")
    air = make({"battery": battery()}, {ADDRESS: twin})
    air.until(lambda: air.bluez.powered_history[-2:] == (False, True), pace=1.0)
    assert any("no connection comes about" in state.message for state in air.states)
    tries = air.bluez.calls.count("Connect")
    air.until(lambda: air.bluez.calls.count("Connect") == tries + 4, pace=1.0)
    assert len(air.bluez.powered_history) == 2, "the next time later"
    twin.refuses = None
    air.polled("battery")


def test_one_that_refuses_does_not_cost_others_their_connection(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatt, "_TRIES_TO_STUCK", 2)
    air = make(
        {"good": battery("bms_jk", OTHER), "bad": battery()},
        {ADDRESS: Jbd(refuses="le-connection-refused"), OTHER: Jk()},
    )
    air.polled("good")
    air.until(lambda: air.bluez.calls.count("Connect") >= 6, pace=1.0)
    assert not air.bluez.powered_history
    assert air.bluez.connects == 1


def test_the_watchdog_hears_connections_too(make: Make) -> None:
    air = make({"battery": battery("bms_topband", every=0.2)}, {ADDRESS: bms.Topband()}, silence=1.5)
    air.until(lambda: bool(air.said("battery")))
    end = time.monotonic() + 4.0
    air.until(lambda: time.monotonic() > end)
    assert {state.rung for state in air.states} == {Rung.SCANNING}
    assert air.bluez.connects == 1


def test_a_connection_that_a_killed_collector_left_behind_is_used(make: Make) -> None:
    first = make({"battery": battery()}, {ADDRESS: Jbd()})
    first.polled("battery")
    # Nobody hears it any more, and nobody disconnects it.
    first.bluez.forget_signal(ADDRESS)
    second = make({"battery": battery()}, {})
    second.polled("battery")
    assert second.bluez.connects == 1


def test_a_passive_radio_searches_for_it(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()}, mode="passive")
    air.polled("battery")
    air.bluez.drop(ADDRESS)
    air.polled("battery")
    assert air.bluez.calls.count("StartDiscovery") == 2


def test_the_end_does_not_wait_for_a_connection(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()})
    air.bluez.hang("Connect")
    air.until(lambda: "Connect" in air.bluez.calls, pace=0.1)
    began = time.monotonic()
    air.stop()
    assert time.monotonic() - began < SOON / 2
    air.bluez.heal()


def test_at_the_end_the_phone_may_have_it(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()})
    air.polled("battery")
    air.stop()
    assert not air.bluez.is_connected(ADDRESS)


def test_connections_that_come_and_go_leak_nothing(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()})
    air.polled("battery")
    before: list[int] = []
    for _ in range(16):
        air.bluez.drop(ADDRESS)
        air.polled("battery")
        before.append(len(open_files()))
    assert before[-1] <= before[4] + 2
    for _ in range(6):
        air.bluez.power(on=False)
        air.until(lambda: air.states[-1].rung == Rung.FAILED)
        air.bluez.power(on=True)
        air.polled("battery")
    assert len(open_files()) <= before[4] + 2


def test_a_flood_that_nobody_asked_for_is_bounded(make: Make) -> None:
    air = make({"battery": battery()}, {ADDRESS: Jbd()})
    air.polled("battery")
    (link,) = air.radio.connections.run(_links, 5.0)
    for _ in range(100):
        air.bluez.notify(ADDRESS, [(0xFF01, b"\xdd" * 240)])
    air.bluez.notify(ADDRESS, [(0xFF01, b"end")])
    air.until(lambda: link.stream.endswith(b"end"))
    assert len(link.stream) <= 1024
    air.polled("battery")
    assert not air.problem("battery")


async def _links(session: gatt._Session) -> set[gatt._Link]:
    return session.links


def test_a_command_reads_it_without_a_house(make: Make) -> None:
    air = make({}, {ADDRESS: Jbd()})
    air.stop()
    with open_device(Settings(), "pack", battery(), where="boondock.toml") as direct:
        got = direct.read()
    assert got.found is not None, got.why
    assert got.found.values["battery_soc"] == 76
    assert not air.bluez.is_connected(ADDRESS)


def test_a_silent_battery_is_not_told_of_instant_readout(make: Make) -> None:
    shunt = Device(kind="victron_battery_monitor", address=OTHER, key="00" * 16)
    air = make({"battery": battery(), "shunt": shunt}, {ADDRESS: Jbd(asleep=True)})
    air.until(lambda: bool(air.states))
    air.bluez.hang("GetAll")
    air.pass_(61.0)
    assert "Instant Readout" in air.problem("shunt")
    assert "Instant Readout" not in air.problem("battery")
    assert air.problem("battery")
    air.bluez.heal()


def test_a_renogy_adapter_has_unit_255(make: Make) -> None:
    tracer = Tracer.simulated()
    device = Device(kind="epever_tracer", port=f"ble://{ADDRESS}", unit=255, heartbeat=1.0, min_interval=0.0)
    assert not list(mistakes("solar", device))
    air = make({"solar": device}, {ADDRESS: ModbusTwin(units={255: tracer})})
    air.polled("solar")


def test_modbus_goes_through_a_bluetooth_adapter(make: Make) -> None:
    tracer = Tracer.simulated()
    port = f"ble://{ADDRESS.lower()}"
    device = Device(kind="epever_tracer", port=port, heartbeat=1.0, min_interval=0.0, allow_write=True)
    air = make({"solar": device}, {ADDRESS: ModbusTwin(units={1: tracer})})
    air.polled("solar")
    assert air.said("solar")[-1]["pv_voltage"] == 17.5
    assert air.said("solar")[-1]["soc"] == 80
    assert tracer.coils[LOAD_COIL] == 1
    solar = air.readings.get("solar")
    assert solar is not None
    air.polling.switch(solar, "load", Switch.OFF, None)
    air.until(lambda: tracer.coils[LOAD_COIL] == 0)
    air.polling.switch(solar, "battery_capacity", 180.0, None)
    air.until(lambda: tracer.holding[0x9001] == 180)


@pytest.mark.parametrize(
    ("port", "wrong"),
    [
        ("ble://A4:C1:38:00:00:01", None),
        ("ble://a4:c1:38:00:00:01", None),
        ("ble://", "has no Bluetooth address"),
        ("ble://A4C138000001", "has no Bluetooth address"),
        ("ble://A4:C1:38:00:00:01/1", "has no Bluetooth address"),
    ],
)
def test_the_port_of_an_adapter_is_its_address(port: str, wrong: str | None) -> None:
    found = [text for _, text, _ in mistakes("x", Device(kind="epever_tracer", port=port))]
    assert [wrong in text if wrong else text for text in found] == ([True] if wrong else [])


def test_other_ports_are_no_adapters() -> None:
    (found,) = mistakes("x", Device(kind="vedirect", port="ble://A4:C1:38:00:00:01"))
    assert found[1] == "ble:// is none"


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        (battery(), battery("bms_daly"), False),
        (battery(), battery(), False),
        (battery(), battery(address=OTHER), True),
        (battery("bms_renogy", unit=48), battery("bms_renogy", unit=49), True),
        (battery("bms_renogy"), battery("bms_renogy"), False),
    ],
)
def test_a_battery_has_one_connection(one: Device, other: Device, *, free: bool) -> None:
    assert bool(list(conflicts("new", one, {"there": other}))) is not free
