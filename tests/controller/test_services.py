"""Devices of a service that is gone are offline; those of a service that lives never are."""

import json

import pytest

from bus.events import Connected, Disconnected, Sent
from controller.others import GRACE_S, MOST_DEVICES, MOST_OUTPUTS, Services
from tests.controller.conftest import MakeRig
from tests.controller.rig import Rig

BLE = "collector_ble"


class Watch:
    """The pure class, looked at once a second as the controller does."""

    def __init__(self) -> None:
        self.services = Services(frozenset({"relay"}))
        self.now = 1000.0

    def pass_(self, seconds: float) -> list[str]:
        """Let time pass; the devices that were said to be offline, in order."""
        said: list[str] = []
        for _ in range(int(seconds)):
            self.now += 1.0
            for device in self.services.due(self.now):
                self.services.told(device)
                said.append(device)
        return said

    def hear(self, service: str, word: str) -> None:
        """A word on the service's topic."""
        self.services.hear(service, self.now, online=word == "online")


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    watch.pass_(1)
    for device, service in (("shunt", BLE), ("mppt", BLE), ("meter", "collector_serial"), ("fridge", None)):
        assert watch.services.describe(device, service)
    watch.services.describe("relay", BLE)
    return watch


def test_after_the_grace_each_device_of_the_service_is_told_once_and_no_other(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.hear("nobody", "offline")
    assert watch.pass_(GRACE_S - 1) == []
    watch.hear(BLE, "offline")
    assert watch.pass_(1) == ["shunt", "mppt"]
    assert watch.pass_(60) == []


def test_a_service_that_is_back_within_the_grace_was_only_restarted(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.pass_(GRACE_S - 1)
    watch.hear(BLE, "online")
    assert watch.pass_(60) == []


def test_each_absence_counts_anew(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.pass_(60)
    watch.hear(BLE, "online")
    watch.hear(BLE, "offline")
    assert watch.pass_(GRACE_S - 1) == []
    assert watch.pass_(1) == ["shunt", "mppt"]


def test_a_device_that_is_described_or_changes_hands_meanwhile(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.services.describe("shunt", "collector_serial")
    watch.services.describe("mppt", None)
    assert watch.pass_(60) == []
    watch.services.describe("late", BLE)
    assert watch.pass_(1) == ["late"]
    watch.services.describe("late", BLE)
    assert watch.pass_(1) == []


def test_what_was_told_before_a_device_changed_hands_is_told_again(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.pass_(60)
    watch.services.describe("shunt", "collector_serial")
    watch.services.describe("shunt", BLE)
    assert watch.pass_(1) == ["shunt"]


@pytest.mark.parametrize("paused", [4.0, 100.0])
def test_while_the_controller_stood_still_the_grace_does_not_run(watch: Watch, paused: float) -> None:
    watch.hear(BLE, "offline")
    watch.pass_(GRACE_S - 1)
    watch.now += paused
    assert watch.pass_(GRACE_S) == []
    watch.hear(BLE, "online")
    assert watch.pass_(60) == []


def test_a_broker_that_was_away_is_asked_anew(watch: Watch) -> None:
    watch.hear(BLE, "offline")
    watch.pass_(GRACE_S - 1)
    watch.services.forget()
    assert watch.pass_(60) == []
    watch.services.describe("shunt", BLE)
    assert watch.pass_(60) == []
    watch.hear(BLE, "offline")
    assert watch.pass_(GRACE_S) == ["shunt"]


def test_strangers_take_no_room_from_the_house() -> None:
    watch = Watch()
    many = tuple("abcde")
    noted = [watch.services.describe(f"x{n}", "evil", many) for n in range(2 * MOST_DEVICES)]
    kept = MOST_OUTPUTS // len(many)
    assert noted == [True] * kept + [False] * (2 * MOST_DEVICES - kept), "they have filled their own"
    assert watch.services.describe("fridge", BLE, ("pump",))
    assert watch.services.refusal("fridge", "pump") is None
    assert watch.services.refusal("fridge", "fan") is not None


def test_outputs_beyond_what_is_kept_are_their_owners_to_refuse() -> None:
    watch = Watch()
    assert watch.services.describe("d", BLE, ("pump",))
    many = [f"e{n}" for n in range(MOST_OUTPUTS)]
    assert not watch.services.describe("panel", BLE, many)
    assert watch.services.refusal("panel", "e0") is None
    assert watch.services.refusal("panel", "nonsense") is None, "only its owner knows"
    assert "panel" in str(watch.services.refusal("nobody", "x"))
    assert watch.services.describe("d", BLE)
    assert watch.services.describe("panel", BLE, many), "there is room now"
    assert watch.services.refusal("panel", "nonsense") is not None


def test_there_is_room_for_so_many_devices_and_services_and_no_more() -> None:
    watch = Watch()
    noted = [watch.services.describe(f"d{n}", BLE) for n in range(MOST_DEVICES + 1)]
    assert noted == [True] * MOST_DEVICES + [False]
    assert watch.services.describe("d0", "collector_serial"), "known"
    assert watch.services.describe("d1", None)
    assert watch.services.describe("last", "last")
    for n in range(MOST_DEVICES):
        watch.hear(f"s{n}", "offline")
    watch.hear("last", "offline")
    assert watch.pass_(60) == []


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    """A controller without a relay, in a house of two devices."""
    rig = make()
    rig.controller.handle(Connected(1))
    for device, service in (("shunt", BLE), ("fridge", None)):
        about = {"name": device, "entities": {}} | ({"service": service} if service else {})
        rig.receive(f"camper/about/{device}", json.dumps(about).encode(), retain=True)
    return rig


def said(rig: Rig, device: str = "shunt") -> list[bytes]:
    return rig.bus.on(f"camper/availability/{device}")


def live(rig: Rig, seconds: float) -> None:
    """Let time pass, with a look each second: after a longer pause the controller believes nothing old."""
    for _ in range(int(seconds)):
        rig.pass_(1)


def word(rig: Rig, payload: bytes, service: str = BLE) -> None:
    rig.receive(f"camper/service/{service}", payload, retain=True)


def test_the_controller_says_offline_retained_and_health_names_the_service(rig: Rig) -> None:
    word(rig, b"offline")
    live(rig, GRACE_S - 1)
    assert said(rig) == []
    live(rig, 2)
    assert said(rig) == [b"offline"]
    (published,) = (p for p in rig.bus.published if p.topic == "camper/availability/shunt")
    assert (published.qos, published.retain) == (1, True)
    assert "restart it" in rig.journal.problems[f"service.{BLE}"]
    assert said(rig, "fridge") == []
    word(rig, b"online")
    assert f"service.{BLE}" not in rig.journal.problems


@pytest.mark.parametrize("payload", [b"online", b""])
def test_a_retained_offline_of_an_earlier_life_turns_nothing_off(rig: Rig, payload: bytes) -> None:
    word(rig, b"offline")
    word(rig, payload)
    live(rig, 60)
    assert said(rig) == []
    assert rig.journal.problems == {}


def test_what_the_broker_did_not_take_is_said_later(rig: Rig) -> None:
    word(rig, b"offline")
    rig.bus.answer = Sent.LATER
    live(rig, 15)
    assert rig.journal.problems == {}
    rig.bus.answer = Sent.YES
    live(rig, 1)
    assert said(rig) == [b"offline"]


def test_a_service_that_went_while_the_broker_was_away_is_not_believed_gone(rig: Rig) -> None:
    word(rig, b"offline")
    rig.controller.handle(Disconnected("gone"))
    live(rig, 60)
    assert said(rig) == []


@pytest.mark.parametrize(
    "payload", [b"{", b'{"name": 1}', b'{"name":"x","service":"No"}', b'{"name":"x","y":' + b"[" * 5000]
)
def test_an_about_that_is_none_is_counted(rig: Rig, payload: bytes) -> None:
    rig.receive("camper/about/shunt", payload, retain=True)
    assert rig.journal.counters["refused_messages"] == 1


def test_a_device_that_is_gone_stays_gone(rig: Rig) -> None:
    rig.receive("camper/about/shunt", b"", retain=True)
    word(rig, b"offline")
    live(rig, 60)
    assert said(rig) == []


def test_too_many_devices_are_told_until_the_broker_says_all_anew(rig: Rig) -> None:
    for n in range(MOST_DEVICES + 1):
        rig.receive(f"camper/about/d{n}", b'{"name":"x","service":"x"}')
    assert "more than 1000" in rig.journal.problems["devices"]
    rig.controller.handle(Disconnected("gone"))
    assert "devices" not in rig.journal.problems


def test_a_house_with_more_outputs_than_are_kept_is_told(rig: Rig) -> None:
    entities = {f"e{n}": {"name": "x", "command": True} for n in range(MOST_OUTPUTS + 1)}
    rig.receive(
        "camper/about/panel", json.dumps({"name": "x", "entities": entities, "service": BLE}).encode()
    )
    assert f"more than {MOST_OUTPUTS} outputs" in rig.journal.problems["devices"]
