"""The life of a device at Home Assistant: announced, changed, said again after a start, taken back."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.about import About, Entity
from bus.announcer import Announcer
from bus.events import Sent
from bus.topics import HOME_ASSISTANT, Topics
from tests.fake_bus import FakeBus

TOPIC = "homeassistant/device/camper_mppt/config"
VOLTAGE = Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement")
LOAD = Entity(name="Load", boolean=True)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "collector_ble-announced.json"


def announcer(bus: FakeBus, path: Path, *, enabled: bool = True, base: str = "camper") -> Announcer:
    """A run of the process."""
    topics = Topics(base)
    return Announcer(bus, topics, service="collector_ble", path=path, enabled=enabled, chance=lambda: 0.5)


def about(**entities: Entity) -> About:
    """The device as it describes itself."""
    return About(name="Solar charger", entities=entities)


def components(payload: bytes) -> dict[str, Any]:
    """What a payload makes of each entity; what every device has besides is not looked at."""
    found: dict[str, Any] = json.loads(payload)["components"]
    return {key: one for key, one in found.items() if not key.startswith("device_")}


def test_a_device_is_announced_once_and_again_when_it_changed(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    for entities in ({"v": VOLTAGE}, {"v": VOLTAGE}, {"v": VOLTAGE, "load": LOAD}):
        one.about("mppt", about(**entities))
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"], ["load", "v"]]
    assert all(published.retain for published in bus.published)


def test_an_entity_that_is_gone_is_reduced_and_then_left_out(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE, load=LOAD))
    bus.published.clear()
    one.about("mppt", about(v=VOLTAGE))
    first, second = (components(payload) for payload in bus.on(TOPIC))
    assert first["load"] == {"platform": "binary_sensor"}
    assert first["v"] == second["v"]
    assert second.keys() == {"v"}


@pytest.mark.parametrize("known", [{"v", "load"}, None])
def test_an_entity_that_waits_for_its_first_value_after_a_restart_is_not_taken_back(
    bus: FakeBus, path: Path, known: set[str] | None
) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE, load=LOAD))
    before = path.read_bytes()
    bus.published.clear()
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    again.tidy({"mppt": known})
    again.connected()
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"]]
    again.about("mppt", about(v=VOLTAGE, load=LOAD))
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"], ["load", "v"]]
    assert path.read_bytes() == before


def test_an_entity_that_this_run_can_never_say_is_taken_back(bus: FakeBus, path: Path) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE, load=LOAD))
    bus.published.clear()
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    again.tidy({"mppt": {"v"}})
    whole, reduced, after = (components(payload) for payload in bus.on(TOPIC))
    assert whole.keys() == after.keys() == {"v"}
    assert reduced["load"] == {"platform": "binary_sensor"}


def test_an_entity_switched_off_before_its_first_value_is_taken_back(bus: FakeBus, path: Path) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE, load=LOAD))
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    again.without("mppt", {"load", "never_there"})
    assert components(bus.on(TOPIC)[0])["load"] == {"platform": "binary_sensor"}


def test_an_entity_that_becomes_another_platform_is_first_taken_back(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(load=LOAD))
    bus.published.clear()
    one.about("mppt", about(load=Entity(name="Load", boolean=True, command=True)))
    first, second = (components(payload) for payload in bus.on(TOPIC))
    assert first == {"load": {"platform": "binary_sensor"}}
    assert second["load"]["platform"] == "switch"


def test_what_the_broker_did_not_hear_is_reduced_at_the_next_connect(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE, load=LOAD))
    bus.answer = Sent.LATER
    one.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    bus.answer = Sent.YES
    one.connected()
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["load", "v"], ["v"]]
    one.connected()
    assert len(bus.on(TOPIC)) == 2, "once"


def test_a_forgotten_device_is_taken_back(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    one.forget("mppt")
    assert bus.on(TOPIC)[-1] == b""
    bus.published.clear()
    one.forget("mppt")
    one.forget("never_there")
    assert bus.published == []


def test_a_device_that_comes_back_is_announced_again(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    one.forget("mppt")
    one.about("mppt", about(v=VOLTAGE))
    assert components(bus.on(TOPIC)[-1]).keys() == {"v"}


def test_what_an_earlier_run_announced_and_this_one_has_not_is_taken_back(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    for device in ("mppt", "shunt"):
        one.about(device, about(v=VOLTAGE))
    bus.published.clear()
    announcer(bus, path).tidy({"shunt": None})
    assert [(p.topic, p.payload, p.retain) for p in bus.published] == [(TOPIC, b"", True)]


def test_another_base_topic_takes_back_what_stood_below_the_old_one(bus: FakeBus, path: Path) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    moved = announcer(bus, path, base="vans/one")
    moved.about("mppt", about(v=VOLTAGE))
    moved.tidy({"mppt": None})
    assert [p.topic for p in bus.published] == ["homeassistant/device/vans_one_mppt/config", TOPIC]
    assert bus.on(TOPIC) == [b""]


def test_what_stood_below_an_older_base_goes_at_the_first_connect_whoever_is_known(
    bus: FakeBus, path: Path
) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    moved = announcer(bus, path, base="vans/one")
    moved.connected()
    assert [(p.topic, p.payload, p.retain) for p in bus.published] == [(TOPIC, b"", True)]
    announcer(bus, path, base="vans/one").connected()
    assert len(bus.published) == 1, "once"


def test_discovery_switched_off_takes_everything_back_once(bus: FakeBus, path: Path) -> None:
    announcer(bus, path).about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    for _ in range(2):
        off = announcer(bus, path, enabled=False)
        off.about("mppt", about(v=VOLTAGE))
        off.connected()
        assert not off.again(1e9)
    assert [(p.topic, p.payload) for p in bus.published] == [(TOPIC, b"")]


def test_taking_back_waits_for_the_broker_even_over_a_restart(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    bus.answer = Sent.LATER
    announcer(bus, path).tidy({})
    bus.answer = Sent.YES
    after = announcer(bus, path)
    after.tidy({})
    assert bus.on(TOPIC)[-1] == b""


def test_home_assistants_start_is_answered_a_little_later_with_everything(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    assert one.birth(HOME_ASSISTANT, b"online", 100.0)
    assert not one.again(102.4)
    assert bus.published == []
    assert one.again(102.5)
    assert components(bus.on(TOPIC)[0]).keys() == {"v"}
    assert not one.again(110.0), "once"


@pytest.mark.parametrize("payload", [b"offline", b"", b"\xff", b"ONLINE"])
def test_any_other_word_of_home_assistant_asks_for_nothing(bus: FakeBus, path: Path, payload: bytes) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    assert one.birth(HOME_ASSISTANT, payload, 0.0)
    assert not one.again(1e9)


def test_other_topics_are_not_home_assistants(bus: FakeBus, path: Path) -> None:
    assert not announcer(bus, path).birth("camper/watermark/x", b"online", 0.0)


def test_a_damaged_file_costs_nothing_but_what_is_old(bus: FakeBus, path: Path) -> None:
    path.write_bytes(b"{no json")
    announcer(bus, path).about("mppt", about(v=VOLTAGE))
    assert components(bus.on(TOPIC)[0]).keys() == {"v"}
    assert TOPIC in json.loads(path.read_bytes())
